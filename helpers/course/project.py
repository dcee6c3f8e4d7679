"""Where the course lies, and the labs that it holds."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

LAB_FOLDER = re.compile(r"\d{2}-(?P<name>[a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


class CourseError(Exception):
    """A failure that the user can act on: its message says what was wrong, where, and what to do.

    Attributes:
        exit_code: that the command ends with.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Lab:
    """One lab of the course.

    Attributes:
        name: the folder's name without its number, `fraud` for `01-fraud`.
        folder: where its sources lie, absolute.
    """

    name: str
    folder: Path

    @property
    def script(self) -> Path:
        """The lab's one source, a py:percent script."""
        return self.folder / "lab.py"


def find_root(start: Path | None = None) -> Path:
    """The course's folder: the nearest one, from `start` (by default the current) upwards, that holds labs/.

    Raises:
        CourseError: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "labs").is_dir():
            return folder
    raise CourseError(f"{here} is not inside a course: no folder labs/ here or above. Change into the repository.")


def find_labs(root: Path, names: list[str] | None = None) -> list[Lab]:
    """The labs of the course in their order, or the named ones.

    Raises:
        CourseError: a name is unknown, two folders give the same name, or there is no lab at all.
    """
    labs: dict[str, Lab] = {}
    for script in sorted((root / "labs").glob("*/lab.py")):
        match = LAB_FOLDER.fullmatch(script.parent.name)
        if match is None:
            raise CourseError(
                f"labs/{script.parent.name}: a lab's folder is named like 01-fraud: two digits, "
                "a hyphen, then lower-case words joined by hyphens. Rename it."
            )
        name = match["name"]
        if name in labs:
            raise CourseError(f"labs/{labs[name].folder.name} and labs/{script.parent.name} are both lab {name!r}")
        labs[name] = Lab(name, script.parent)
    if not labs:
        raise CourseError(f"no lab in {root / 'labs'}: a lab is a folder labs/<nn-name> with a lab.py")
    if unknown := [name for name in names or [] if name not in labs]:
        raise CourseError(f"no lab named {', '.join(unknown)}; there are: {', '.join(labs)}")
    return [labs[name] for name in names or labs]


def put_environment_on_path() -> None:
    """Let child processes find the programs of this Python's environment: nbgrader calls `alembic` by its bare name."""
    programs = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    if programs not in path:
        os.environ["PATH"] = os.pathsep.join([programs, *path])


def skip_slow_grammars() -> None:
    """Keep jsonschema from building URI grammars that no notebook needs: 1.4 s of every import of nbformat."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
