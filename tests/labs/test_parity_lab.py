"""Sixty honest submissions of the fraud lab score as with stock `nbgrader autograde`.

Stock takes some twenty seconds for each. It gets each distinct answer to a task once: its n-th submission holds the
n-th answer to every task. A task's row depends on the answer to that task alone, as far as its test runs outside the
student's interpreter, so that the rows of every other combination follow, and ours are held to them. The short run
leaves out cells that no such test needs, the training job and the endpoint among them, and some of the wrong answers.
The long one, `pytest -m whole tests/labs/test_parity_lab.py`, has the whole lab, every listed answer, and the test of
the endpoint.
"""

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "grading"))
from rows import rows

from helpers.course.grade import grade_all
from helpers.course.project import put_environment_on_path, skip_slow_grammars
from helpers.grading.examination import examination, needs
from helpers.grading.intake import find_submissions

LAB, FOLDER = "fraud", "01-fraud"
STUDENTS, FEW = 60, 5  # submissions; answers to a task in the short run
BLANK = "blank"
pytestmark = pytest.mark.timeout(7200)


@dataclass(frozen=True)
class Both:
    """What the two graders made of it.

    Attributes:
        answers: by student, the name of the answer to each task.
        outside: tests that run outside the student's interpreter.
        ours: our rows, by student and cell.
        stock: those of stock nbgrader, of its students alone.
        comments: of both.
    """

    answers: dict[str, dict[str, str]]
    outside: set[str]
    ours: dict[tuple[str, str], tuple]
    stock: dict[tuple[str, str], tuple]
    comments: tuple[list, list]


def listed_answers(project: Path, source: dict, task: str) -> dict[str, str]:
    """Sources for a task's cell, by name: the lab's own, and the listed right and wrong ones."""
    own = next("".join(cell["source"]) for cell in source["cells"] if cell["id"] == task)
    text = (project / "labs" / FOLDER / "variants" / f"{task}.py").read_text()
    names = re.findall(r"(?m)^def ((?:right|wrong)_\w+)", text)
    return {BLANK: "", "own": own} | {name: f"{text}\n\n{task} = {name}\n" for name in names}


def cut(root: Path) -> None:
    """Leave out of the lab what no test outside the student's interpreter needs."""
    source = json.loads((root / "source" / LAB / f"{LAB}.ipynb").read_text())
    exam = examination(LAB, source)
    kept = set(exam.solutions) | {test.place for test in exam.tests.values() if not test.inside}
    for place in sorted(kept):
        kept |= needs(place, exam.names, exam.cells | exam.solutions, {})[0]
    ids = {source["cells"][place]["id"] for place in kept}
    for kind in ("source", "release"):
        path = root / kind / LAB / f"{LAB}.ipynb"
        notebook = json.loads(path.read_text())
        notebook["cells"] = [c for c in notebook["cells"] if c["id"] in ids or c["cell_type"] == "markdown"]
        path.write_text(json.dumps(notebook))


def put(root: Path, student: str, sources: dict[str, str]) -> None:
    """Submit the release with these sources in the tasks' cells."""
    notebook = json.loads((root / "release" / LAB / f"{LAB}.ipynb").read_text())
    for cell in notebook["cells"]:
        cell["source"] = sources.get(cell["id"]) or cell["source"]
    target = root / "submitted" / student / LAB
    shutil.copytree(root / "release" / LAB, target)
    (target / f"{LAB}.ipynb").write_text(json.dumps(notebook))


@pytest.fixture(scope="module", params=["short", pytest.param("whole", marks=pytest.mark.whole)])
def both(request, project, tmp_path_factory) -> Iterator[Both]:
    """Submissions, graded by both."""
    short = request.param == "short"
    ours = tmp_path_factory.mktemp("parity") / "ours"
    for folder in ("source", "release", "labs"):
        shutil.copytree(project / folder, ours / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (ours / "source" / "fraud-audit", ours / "release" / "fraud-audit"):
        shutil.rmtree(folder)
    shutil.copyfile(project / "nbgrader_config.py", ours / "nbgrader_config.py")
    if short:
        cut(ours)
    source = json.loads((ours / "source" / LAB / f"{LAB}.ipynb").read_text())
    exam = examination(LAB, source)
    tasks = [source["cells"][place]["id"] for place in sorted(exam.solutions)]
    listed = {task: listed_answers(project, source, task) for task in tasks}
    chance = random.Random(20260301)
    if short:
        listed = {task: some(answers, chance) for task, answers in listed.items()}
    by_stock = max(map(len, listed.values()))
    chosen: dict[str, dict[str, str]] = {}
    for number in range(STUDENTS):
        names = {
            task: [*answers][number % len(answers)] if number < by_stock else chance.choice([*answers])
            for task, answers in listed.items()
        }
        chosen[f"student-{number:02d}"] = names
        put(ours, f"student-{number:02d}", {task: listed[task][name] for task, name in names.items()})
    stock = shutil.copytree(ours, ours.parent / "stock")
    for number in range(by_stock, STUDENTS):
        shutil.rmtree(stock / "submitted" / f"student-{number:02d}")
    put_environment_on_path()
    skip_slow_grammars()
    for arguments in (["generate_assignment"], ["autograde"]):
        options = ["--force", "--log-level=ERROR", "--ExecutePreprocessor.timeout=600"]
        command = [sys.executable, "-m", "nbgrader", *arguments, LAB, *options]
        subprocess.run(command, cwd=stock, check=True, capture_output=True)
    grade_all(ours, LAB, find_submissions(ours / "submitted", LAB), workers=2)
    (our_grades, our_comments), (grades, comments) = rows(ours), rows(stock)
    of_both = [row for row in our_comments if int(row[0].removeprefix("student-")) < by_stock]
    yield Both(
        chosen,
        {name for name, test in exam.tests.items() if not test.inside},
        {row[:2]: row[2:] for row in our_grades},
        {row[:2]: row[2:] for row in grades},
        (of_both, comments),
    )


def some(answers: dict[str, str], chance: random.Random) -> dict[str, str]:
    """Blank, the lab's own, one that is right by another road, and some of the wrong ones."""
    right = [name for name in answers if name.startswith("right")]
    wrong = [name for name in answers if name.startswith("wrong")]
    return {name: answers[name] for name in (BLANK, "own", right[0], *chance.sample(wrong, FEW - 3))}


def test_what_both_graded_has_the_same_rows(both):
    graded = {student for student, _ in both.stock}
    assert {key: row for key, row in both.ours.items() if key[0] in graded} == both.stock
    assert both.comments[0] == both.comments[1]


def test_every_other_submission_has_the_rows_that_its_answers_have_with_stock(both):
    known = {(test, both.answers[student][test.removeprefix("test_")]): row for (student, test), row in outside(both)}
    ours = {key: row for key, row in both.ours.items() if key[1] in both.outside}
    assert len(ours) == STUDENTS * len(both.outside)
    expected = {key: known[key[1], both.answers[key[0]][key[1].removeprefix("test_")]] for key in ours}
    assert ours == expected
    assert {row[0] for row in ours.values()} >= {0.0, 4.0}


def outside(both: Both) -> list[tuple]:
    return [(key, row) for key, row in both.stock.items() if key[1] in both.outside]
