"""A course with the tiny lab, and submissions to it."""

import json
import shutil
from pathlib import Path

from helpers.course.labs import generate
from helpers.course.project import find_labs, put_environment_on_path, skip_slow_grammars

ANSWERS = {
    "right": ("return number + STEP", "return math.pi * radius**2"),
    "partly": ("return number + STEP", "return math.pi * radius"),
    "wrong": ("return number", "return radius"),
    "visible-only": ("return 2", "return math.pi"),
    "another-road": ("return sum((number, STEP))", "return math.tau / 2 * radius * radius"),
    "raises": ("return number + nothing", "raise ValueError('no area')"),
    "warns": ("import sys; print('careful', file=sys.stderr); return number + STEP", "return math.pi * radius**2"),
}


def make_course(root: Path, project: Path) -> Path:
    """A course with the tiny lab in a new folder."""
    put_environment_on_path()
    skip_slow_grammars()
    shutil.copytree(project / "tests/course/fixtures/01-tiny", root / "labs" / "01-tiny")
    shutil.copyfile(project / "nbgrader_config.py", root / "nbgrader_config.py")
    generate(root, find_labs(root), root)
    return root


def put(root: Path, student: str, kind: str) -> None:
    """Put a submission of the tiny lab into submitted/."""
    notebook = json.loads((root / "release/tiny/tiny.ipynb").read_text())
    bodies = dict(zip(("add_step", "area"), ANSWERS.get(kind, ()), strict=False))
    for cell in notebook["cells"]:
        if cell["id"] in bodies:
            stub = 'raise NotImplementedError("Student exercise: replace this line")'
            source = "".join(cell["source"])
            assert stub in source
            cell["source"] = source.replace(stub, bodies[cell["id"]])
    folder = root / "submitted" / student / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.ipynb").write_text(json.dumps(notebook))
