"""Every lab, graded: the solution gets every point, the blank release none, a mixed one what it deserves."""

import json
import shutil

import pytest

from helpers.course.grade import grade_all
from helpers.course.project import find_labs
from helpers.grading.intake import find_submissions
from helpers.grading.verdict import Verdict

LABS = (
    *("fraud", "fraud-audit", "churn", "churn-audit", "text", "text-audit", "sentiment", "sentiment-audit"),
    "monitoring",
)
STUDENTS = ("blank", "mixed", "solved")


def filled_in(release: dict, source: dict, tasks: set[str]) -> str:
    """The release with the solutions of some tasks in place of their stubs."""
    solved = {cell["id"]: cell for cell in source["cells"]}
    cells = [solved[cell["id"]] if cell["id"] in tasks else cell for cell in release["cells"]]
    return json.dumps(release | {"cells": cells})


def cells_of(notebook: dict, **wanted: bool) -> list[str]:
    """The ids of the code cells whose nbgrader metadata has the wanted values."""
    return [
        cell["id"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and wanted.items() <= cell["metadata"].get("nbgrader", {}).items()
    ]


@pytest.fixture(scope="module", params=LABS)
def graded(request, project, tmp_path_factory) -> tuple[list[str], dict[str, Verdict]]:
    """A lab's solution cells, and the verdict on each student."""
    lab = request.param
    root = tmp_path_factory.mktemp("course")
    for folder in ("labs", "source", "release"):
        shutil.copytree(project / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(project / "nbgrader_config.py", root / "nbgrader_config.py")
    source, release = (json.loads((root / f"{kind}/{lab}/{lab}.ipynb").read_text()) for kind in ("source", "release"))
    tasks = cells_of(source, solution=True, grade=False)
    solved = {"blank": set(), "mixed": set(tasks[: len(tasks) // 2]), "solved": set(tasks)}
    for student in STUDENTS:
        folder = root / "submitted" / student / lab
        folder.mkdir(parents=True)
        (folder / f"{lab}.ipynb").write_text(filled_in(release, source, solved[student]))
    submissions = find_submissions(root / "submitted", lab)
    return tasks, {verdict.student: verdict for verdict in grade_all(root, lab, submissions, workers=2)}


def test_every_lab_is_graded_here(project):
    assert {lab.name for lab in find_labs(project)} == set(LABS)


@pytest.mark.timeout(900)
def test_the_solution_gets_every_point_that_tests_give(graded):
    _, verdicts = graded
    tests = [task for task in verdicts["solved"].tasks if task.task.startswith("test_")]
    assert tests
    assert {task.task: task.score for task in tests} == {task.task: task.points for task in tests}
    assert not verdicts["solved"].flags


@pytest.mark.timeout(900)
def test_the_blank_release_gets_nothing(graded):
    _, verdicts = graded
    assert not verdicts["blank"].refusal
    assert verdicts["blank"].total == 0 and not verdicts["blank"].flags


@pytest.mark.timeout(900)
def test_a_mixed_submission_gets_the_points_of_the_tasks_it_solved(graded):
    tasks, verdicts = graded
    solved = {f"test_{task}" for task in tasks[: len(tasks) // 2]}
    scores = {task.task: task.score for task in verdicts["mixed"].tasks if task.task.startswith("test_")}
    points = {task.task: task.points for task in verdicts["mixed"].tasks}
    assert scores == {task: points[task] if task in solved else 0 for task in scores}
