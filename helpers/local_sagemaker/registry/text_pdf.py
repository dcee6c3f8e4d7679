"""Lines of text as a PDF: pages of one fixed-width font.

Source: ISO 32000-1, PDF 1.4.
"""

from __future__ import annotations

import textwrap

_COLUMNS, _ROWS = 88, 62
_SIZE, _LEADING = 10, 12
_LEFT, _TOP = 40, 800  # points, on A4


def write(lines: list[str]) -> bytes:
    """The file; long lines are wrapped, characters outside of Windows-1252 become question marks."""
    wrapped = [part for line in lines for part in (_wrap(line) or [""])]
    pages = [wrapped[first : first + _ROWS] for first in range(0, len(wrapped), _ROWS)] or [[]]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (5 + 2 * number)
        )
        stream = _stream(page)
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
    return _file(objects)


def _wrap(line: str) -> list[str]:
    margin = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, _COLUMNS, subsequent_indent=margin, drop_whitespace=False)


def _stream(lines: list[str]) -> bytes:
    shown = b"\n".join(b"(%b) '" % _escaped(line) for line in lines)
    return b"BT /F1 %d Tf %d TL %d %d Td\n%b\nET" % (_SIZE, _LEADING, _LEFT, _TOP, shown)


def _escaped(line: str) -> bytes:
    text = line.encode("cp1252", "replace")
    return text.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


def _file(objects: list[bytes]) -> bytes:
    """The objects with the table that tells where each begins."""
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    entries = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return b"%bxref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        body,
        size,
        entries,
        size,
        len(body),
    )
