"""Submissions as learning platforms hand them out: folders of notebooks, and Canvas's and Moodle's zip files.

Everything is brought into nbgrader's layout, `<student>/<lab>/<lab>.ipynb`, in a folder of the caller's. Names inside
an archive decide whose a notebook is, never where it is written.
"""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

from helpers.grading.intake import MAX_NOTEBOOK_BYTES, STUDENT_ID

MAX_MEMBERS = 50_000
MAX_ARCHIVE_BYTES = 20 * 2**30  # of all notebooks of an archive together, unpacked
MAX_RATIO = 200
# Canvas: doejane_LATE_12345_678910_fraud-1.ipynb. Moodle: Jane Doe_12345_assignsubmission_file_/fraud.ipynb.
_CANVAS = re.compile(r"(?P<name>[a-z]+)_(?:LATE_)?(?P<id>\d+)_(?P<order>\d+)_(?P<file>.+)")
_MOODLE = re.compile(r"(?P<name>[^/_]+)_(?P<id>\d+)_assignsubmission_file_?/(?P<file>.+)")


class DownloadError(Exception):
    """The file or folder holds no submissions that can be told apart; the message says what was expected."""


def bring_into_layout(given: Path, lab: str, target: Path) -> dict[str, str]:
    """Put the notebooks of an archive, or of a folder of `<student>.ipynb`, into `<target>/<student>/<lab>/`.

    Returns:
        Entries of the archive that could not be taken, with the reason.

    Raises:
        DownloadError: nothing in it looks like a submission.
    """
    found: dict[str, tuple[int, bytes]] = {}
    refused: dict[str, str] = {}
    entries = _archive(given) if given.is_file() else _folder(given)
    for student, order, content in entries:
        if isinstance(content, str):
            refused[student] = content
        elif student not in found or order >= found[student][0]:
            found[student] = (order, content)
    if not found and not refused:
        raise DownloadError(
            f"{given} holds no submissions: expected <student>/{lab}/{lab}.ipynb or <student>.ipynb in a folder, or a "
            "zip file that Canvas (Download submissions) or Moodle (Download all submissions) made"
        )
    for student, (_, content) in found.items():
        folder = target / student / lab
        folder.mkdir(parents=True)
        (folder / f"{lab}.ipynb").write_bytes(content)
    return refused


def _folder(folder: Path) -> Iterator[tuple[str, int, bytes | str]]:
    for path in sorted(folder.glob("*.ipynb")):
        status = path.lstat()
        if not STUDENT_ID.fullmatch(path.stem):
            yield path.name, 0, "the file's name is no student id"
        elif not stat.S_ISREG(status.st_mode):
            yield path.stem, 0, "no regular file"
        elif status.st_size > MAX_NOTEBOOK_BYTES:
            yield path.stem, 0, f"{status.st_size / 2**20:.0f} MiB, at most {MAX_NOTEBOOK_BYTES // 2**20} are taken"
        else:
            yield path.stem, 0, path.read_bytes()


def _archive(path: Path) -> Iterator[tuple[str, int, bytes | str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise DownloadError(f"{path} has {len(members)} entries, at most {MAX_MEMBERS} are taken")
            total = 0
            for member in members:
                if member.is_dir() or not (owner := _owner(member.filename)):
                    continue
                student, order, name = owner
                content = _content(archive, member, name)
                total += len(content) if isinstance(content, bytes) else 0
                if total > MAX_ARCHIVE_BYTES:
                    raise DownloadError(f"{path} unpacks to more than {MAX_ARCHIVE_BYTES >> 30} GiB")
                if content is not None:
                    yield student, order, content
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"{path} is no zip file that can be read: {error}") from error


def _owner(name: str) -> tuple[str, int, str] | None:
    """Student id, order among the student's entries, and file name of an entry; None for what is no submission."""
    moodle = _MOODLE.fullmatch(name)
    if moodle:
        student = f"{_plain(moodle['name'])}_{moodle['id']}"
        return (student, 0, moodle["file"]) if STUDENT_ID.fullmatch(student) else None
    canvas = _CANVAS.fullmatch(name)
    if canvas:
        return f"{canvas['name'][:40]}_{canvas['id']}", int(canvas["order"]), canvas["file"]
    return None


def _plain(name: str) -> str:
    """A person's name in the letters of a student id."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:40] or "student"


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes | str | None:
    """The notebook of an entry, the one inside it if it is a zip file; a reason if it is refused; None if none."""
    kind = Path(name).suffix.lower()
    if kind not in (".ipynb", ".zip"):
        return None
    if stat.S_ISLNK(member.external_attr >> 16):
        return f"{name} is a link"
    if member.file_size > MAX_NOTEBOOK_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1024):
        return f"{name} unpacks to {member.file_size / 2**20:.0f} MiB: too large, or a zip bomb"
    with archive.open(member) as entry:
        content = entry.read(MAX_NOTEBOOK_BYTES + 1)
    if len(content) > MAX_NOTEBOOK_BYTES:
        return f"{name} is larger than it says"
    return content if kind == ".ipynb" else _inner(name, content)


def _inner(name: str, content: bytes) -> bytes | str:
    """The one notebook of a zip file that a student handed in."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            notebooks = [member for member in inner.infolist() if _is_notebook(member)]
            if len(notebooks) != 1:
                return f"{name} holds {len(notebooks)} notebooks, one is expected"
            found = _content(inner, notebooks[0], notebooks[0].filename)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        return f"{name} is no zip file that can be read: {error}"
    return found if found is not None else f"{name} holds no notebook"


def _is_notebook(member: zipfile.ZipInfo) -> bool:
    parts = Path(member.filename).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not member.is_dir() and not hidden and member.filename.lower().endswith(".ipynb")
