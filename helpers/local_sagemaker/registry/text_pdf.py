"""Lines of text as a PDF: A4 pages of one fixed-width font."""

from __future__ import annotations

import io
import textwrap

_COLUMNS, _ROWS = 84, 58
_A4 = (8.27, 11.69)  # inches
_LEFT, _TOP = 0.07, 0.95  # shares of the page
_POINTS = 10


def write(lines: list[str]) -> bytes:
    """The file; long lines are wrapped."""
    from matplotlib import style
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    wrapped = [part for line in lines for part in (_wrap(line) or [""])]
    file = io.BytesIO()
    with style.context("default"), PdfPages(file) as pdf:
        for first in range(0, max(len(wrapped), 1), _ROWS):
            page = Figure(figsize=_A4)
            text = "\n".join(wrapped[first : first + _ROWS])
            page.text(_LEFT, _TOP, text, family="monospace", size=_POINTS, verticalalignment="top", parse_math=False)
            pdf.savefig(page)
    return file.getvalue()


def _wrap(line: str) -> list[str]:
    margin = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, _COLUMNS, subsequent_indent=margin, drop_whitespace=False)
