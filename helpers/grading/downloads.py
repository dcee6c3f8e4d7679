"""Submissions as learning platforms hand them out: folders of notebooks, and Canvas's and Moodle's zip files.

Everything is brought into nbgrader's layout, `<student>/<lab>/<lab>.ipynb`, in a folder of the caller's. Names inside
an archive decide whose a notebook is, never where it is written.
"""

from __future__ import annotations

import io
import lzma
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.grading.intake import MAX_NOTEBOOK_BYTES, STUDENT_ID

MAX_MEMBERS = 50_000
MAX_ARCHIVE_BYTES = 20 * 2**30  # of all notebooks of an archive together, unpacked
MAX_RATIO = 200
# Canvas: doejane_LATE_12345_678910_fraud-1.ipynb; LATE_anon_x7Yz2_678910_fraud.ipynb if graded anonymously.
_CANVAS = re.compile(r"(?P<name>\w+?)_(?:LATE_)?(?P<id>\d{1,18})_(?P<order>\d{1,18})_(?P<file>[^/]+)")
_CANVAS_ANONYMOUS = re.compile(r"(?:LATE_)?anon_(?P<id>[A-Za-z0-9]{5})_(?P<order>\d{1,18})_(?P<file>[^/]+)")
# Moodle: Jane Doe_12345_assignsubmission_file/fraud.ipynb, with _ for / if not downloaded in folders.
_MOODLE = re.compile(r"(?P<name>[^/_]+)_(?P<id>\d{1,18})_assignsubmission_file(?:_?/|_)(?P<file>.+)")
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError),
    *(NotImplementedError, RuntimeError),  # compressed in an unknown way, or behind a password
)


class DownloadError(Exception):
    """The file or folder holds no submissions that can be told apart; the message says what was expected."""


@dataclass(frozen=True)
class Entry:
    """A file of a download.

    Attributes:
        student: the student's id, or the entry's own name if it tells of none.
        name: of the file that the student handed in.
        content: the notebook, or why it is not taken.
        order: later files of a student have higher ones.
    """

    student: str
    name: str
    content: bytes | str
    order: int = 0


def bring_into_layout(given: Path, lab: str, target: Path) -> dict[str, str]:
    """Put the notebooks of an archive, or of a folder of `<student>.ipynb`, into `<target>/<student>/<lab>/`.

    Of several notebooks of a student, the one counts whose name is most like the lab's, and of those the latest.

    Returns:
        Students without a notebook that could be taken, and entries whose student is unknown, with the reason.

    Raises:
        DownloadError: nothing in it looks like a submission.
    """
    found: dict[str, tuple[int, int]] = {}
    refused: dict[str, str] = {}
    for entry in _archive(given) if given.is_file() else _folder(given):
        rank = (_likeness(Path(entry.name).stem.lower(), lab), entry.order)
        if isinstance(entry.content, str):
            refused[entry.student] = entry.content
        elif entry.student not in found or rank >= found[entry.student]:
            found[entry.student] = rank
            folder = target / entry.student / lab
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{lab}.ipynb").write_bytes(entry.content)
    if not found and not refused:
        raise DownloadError(
            f"{given} holds no submissions: expected <student>/{lab}/{lab}.ipynb or <student>.ipynb in a folder, or a "
            "zip file that Canvas (Download submissions) or Moodle (Download all submissions) made"
        )
    return {student: reason for student, reason in refused.items() if student not in found}


def _likeness(name: str, lab: str) -> int:
    """2 for the lab's name, or a copy's such as fraud-1 and fraud (1); 1 if it begins so; else 0."""
    if re.fullmatch(rf"{re.escape(lab)}[-_ ]?(\d+|\(\d+\))?", name):
        return 2
    return int(name.startswith(lab))


def _folder(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob("*.ipynb")):
        status = path.lstat()
        if not STUDENT_ID.fullmatch(path.stem):
            yield Entry(path.name, "", "the file's name is no student id")
        elif not stat.S_ISREG(status.st_mode):
            yield Entry(path.stem, "", "no regular file")
        elif status.st_size > MAX_NOTEBOOK_BYTES:
            size = f"{status.st_size / 2**20:.0f} MiB"
            yield Entry(path.stem, "", f"{size}, at most {MAX_NOTEBOOK_BYTES // 2**20} are taken")
        else:
            yield Entry(path.stem, "", path.read_bytes())


def _archive(path: Path) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise DownloadError(f"{path} has {len(members)} entries, at most {MAX_MEMBERS} are taken")
            total = 0
            for member in members:
                if member.is_dir() or _is_hidden(member.filename):
                    continue
                student, order, name = _owner(member.filename) or ("", 0, member.filename)
                content = _content(archive, member, name)
                if content is not None and not student:
                    student, content = name, "its name does not say whose it is"
                total += len(content) if isinstance(content, bytes) else 0
                if total > MAX_ARCHIVE_BYTES:
                    raise DownloadError(f"{path} unpacks to more than {MAX_ARCHIVE_BYTES >> 30} GiB")
                if content is not None:
                    yield Entry(student, name, content, order)
    except _DAMAGED as error:
        raise DownloadError(f"{path} is no zip file that can be read: {error}") from error


def _owner(name: str) -> tuple[str, int, str] | None:
    """Student id, order among the student's entries, and file name of an entry; None if its name tells of none.

    The id ends with the platform's name and number of the student, which `course export` gives back to it.
    """
    if moodle := _MOODLE.fullmatch(name):
        return f"{_plain(moodle['name'])}_moodle{moodle['id']}", 0, moodle["file"]
    if anonymous := _CANVAS_ANONYMOUS.fullmatch(name):
        return f"anon_{anonymous['id']}", int(anonymous["order"]), anonymous["file"]
    if canvas := _CANVAS.fullmatch(name):
        return f"{_plain(canvas['name'])}_canvas{canvas['id']}", int(canvas["order"]), canvas["file"]
    return None


def _plain(name: str) -> str:
    """A person's name in the letters of a student id."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:32] or "student"


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes | str | None:
    """The notebook of an entry, the one inside it if it is a zip file; a reason if it is refused; None if none."""
    kind = Path(name).suffix.lower()
    if kind not in (".ipynb", ".zip"):
        return None
    if stat.S_ISLNK(member.external_attr >> 16):
        return f"{name} is a link"
    if member.file_size > MAX_NOTEBOOK_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1024):
        return f"{name} unpacks to {member.file_size / 2**20:.0f} MiB: too large, or a zip bomb"
    try:
        with archive.open(member) as entry:
            content = entry.read(MAX_NOTEBOOK_BYTES + 1)
    except _DAMAGED as error:
        return f"{name} cannot be unpacked: {error}"
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
    except _DAMAGED as error:
        return f"{name} is no zip file that can be read: {error}"
    return found if found is not None else f"{name} holds no notebook"


def _is_notebook(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and not _is_hidden(member.filename) and member.filename.lower().endswith(".ipynb")


def _is_hidden(name: str) -> bool:
    """Whether it is what macOS or an editor adds."""
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in Path(name).parts)
