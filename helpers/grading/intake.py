"""Takes a submission in without running anything of it."""

from __future__ import annotations

import datetime
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STUDENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
MAX_NOTEBOOK_BYTES = 20 * 2**20
MAX_FILES = 500
MAX_TOTAL_BYTES = 100 * 2**20


class Refused(Exception):
    """A submission that cannot be graded; the message says why in one line."""


@dataclass(frozen=True)
class Submission:
    """One student's submission of one lab.

    Attributes:
        student: the student's id.
        lab: the lab, whose notebook is `<lab>.ipynb`.
        folder: that holds the notebook.
    """

    student: str
    lab: str
    folder: Path

    def notebook(self) -> Any:
        """The submitted notebook as nbformat 4.5.

        Raises:
            Refused: it cannot be taken in.
        """
        return read_submission(self.folder, self.lab, self.student)

    def timestamp(self) -> datetime.datetime | None:
        """When it was submitted, by the file timestamp.txt that nbgrader's exchange writes; UTC without a zone."""
        path = self.folder / "timestamp.txt"
        if not path.is_file():
            return None
        from nbgrader.utils import parse_utc

        try:
            return parse_utc(path.read_text(encoding="utf-8")[:100].strip())
        except (ValueError, OverflowError, UnicodeDecodeError):
            return None


@dataclass(frozen=True)
class RefusedSubmission:
    """An entry of a download that cannot be a submission.

    Attributes:
        student: the student's id, or the entry's name.
        lab: the lab.
        reason: why it is refused.
    """

    student: str
    lab: str
    reason: str

    def notebook(self) -> Any:
        """Raises Refused."""
        raise Refused(self.reason)

    def timestamp(self) -> None:
        """None: it was never taken in."""


def find_submissions(submitted: Path, lab: str) -> list[Submission]:
    """Submissions in submitted/<student>/<lab>, by student."""
    folders = sorted(path for path in submitted.glob(f"*/{lab}") if path.is_dir())
    return [Submission(folder.parent.name, lab, folder) for folder in folders]


def read_submission(folder: Path, lab: str, student: str) -> Any:
    """Read a submission's notebook as nbformat 4.5.

    Args:
        folder: the student's folder of the lab.
        lab: the lab, whose notebook is `<lab>.ipynb`.
        student: the student's id.

    Raises:
        Refused: the id is not allowed, the folder holds links, special files or too much, or the notebook is missing
            or damaged.
    """
    if not STUDENT_ID.fullmatch(student):
        raise Refused("student id: at most 64 letters, digits and _ . @ - are allowed, and the first is no sign")
    check_files(folder)
    path = folder / f"{lab}.ipynb"
    if not path.is_file():
        found = ", ".join(sorted(other.name for other in folder.glob("*.ipynb"))) or "no notebook"
        raise Refused(f"no {path.name} in the submission (found: {found})")
    if (size := path.stat().st_size) > MAX_NOTEBOOK_BYTES:
        raise Refused(f"{path.name} has {size / 2**20:.0f} MiB, at most {MAX_NOTEBOOK_BYTES // 2**20} are taken")
    return parse_notebook(path)


def check_files(folder: Path) -> None:
    """Refuse links, special files, and folders that are too large.

    Raises:
        Refused: naming the first such file.
    """
    if folder.is_symlink() or folder.parent.is_symlink():
        raise Refused(f"{folder.name} is a link")
    count = total = 0
    for where, folders, files in os.walk(folder, followlinks=False):
        for name in [*folders, *files]:
            path = Path(where, name)
            status = path.lstat()
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                kind = "a link" if stat.S_ISLNK(status.st_mode) else "no regular file"
                raise Refused(f"{path.relative_to(folder)} is {kind}")
            count += 1
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    if count > MAX_FILES or total > MAX_TOTAL_BYTES:
        raise Refused(
            f"{count} files, {total / 2**20:.0f} MiB; at most {MAX_FILES} and {MAX_TOTAL_BYTES // 2**20} MiB are taken"
        )


def parse_notebook(path: Path) -> Any:
    """Parse a notebook strictly and bring it to nbformat 4.5.

    Raises:
        Refused: it is not JSON, no notebook, or one that nbformat cannot read.
    """
    import nbformat

    try:
        raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Refused(f"{path.name} is not JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list) or raw.get("nbformat") != 4:
        raise Refused(f"{path.name} is no notebook of format 4")
    for number, cell in enumerate(raw["cells"], 1):
        _check_cell(path.name, number, cell)
    raw["nbformat_minor"] = 5
    raw["metadata"] = {}
    return nbformat.from_dict(raw)


def _check_cell(name: str, number: int, cell: Any) -> None:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise Refused(f"{name}: cell {number} is no code, markdown or raw cell")
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        cell["source"] = source = "".join(source)
    if not isinstance(source, str):
        raise Refused(f"{name}: cell {number} has no source")
    if not isinstance(cell.get("metadata", {}), dict):
        raise Refused(f"{name}: the metadata of cell {number} is damaged")


def _refuse_constant(value: str) -> None:
    raise ValueError(f"{value} is not allowed")
