"""`course grade` on a batch of good and bad submissions: what each scores, and that none harms another."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TINY = REPOSITORY / "tests" / "course" / "fixtures" / "01-tiny"


def course(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "helpers.course", *arguments],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def put(root: Path, student: str, text: str) -> None:
    folder = root / "submitted" / student / "tiny"
    folder.mkdir(parents=True)
    (folder / "tiny.ipynb").write_text(text)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """A batch of submissions, good and bad, after one `course grade`."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(TINY, root / "labs" / "01-tiny")
    shutil.copyfile(REPOSITORY / "nbgrader_config.py", root / "nbgrader_config.py")
    assert course(root, "labs").returncode == 0
    source = (root / "source/tiny/tiny.ipynb").read_text()
    release = (root / "release/tiny/tiny.ipynb").read_text()
    solved = {cell["id"]: cell for cell in json.loads(source)["cells"]}
    mixed = json.loads(release)
    mixed["cells"] = [
        solved["add_step"] if cell["id"] == "add_step" else cell
        for cell in mixed["cells"]
        if cell["id"] not in ("test_add_step", "area")
    ]
    put(root, "solved", source)
    put(root, "blank", release)
    put(root, "mixed", json.dumps(mixed))
    put(root, "cut-off", release[:500])
    put(root, "=cmd()", release)
    folder = root / "submitted" / "linked" / "tiny"
    folder.mkdir(parents=True)
    (folder / "tiny.ipynb").symlink_to(root / "source/tiny/tiny.ipynb")
    put(root, "shadowing", source)
    (root / "submitted/shadowing/tiny/math.py").write_text("pi = 3")
    return root, course(root, "grade", "tiny", "--workers", "2")


def scores(root: Path) -> dict[str, list[str]]:
    """Each graded student's points by task, and the total."""
    assert course(root, "export", "--to", "grades.csv").returncode == 0
    with (root / "grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("test_add_step", "test_area", "why", "total")
    return {row["student"]: [row[column] for column in columns] for row in rows if not row["refused"]}


def test_each_submission_scores_what_it_deserves(graded) -> None:
    root, answer = graded
    assert answer.returncode == 0, answer.stderr
    assert scores(root) == {
        "solved": ["2.0", "3.0", "", "5.0"],
        "shadowing": ["2.0", "3.0", "", "5.0"],
        "blank": ["0.0", "0.0", "0.0", "0.0"],
        "mixed": ["2.0", "0.0", "0.0", "2.0"],
    }


def test_each_refused_submission_is_one_line_and_the_batch_goes_on(graded) -> None:
    _, answer = graded
    for line in (
        "cut-off: tiny.ipynb is not JSON",
        "=cmd(): student id: at most 64",
        "linked: tiny.ipynb is a link",
    ):
        assert line in answer.stdout
    assert answer.stdout.count("refused") >= 3
    assert "Traceback" not in answer.stderr


def test_what_was_mended_is_said(graded) -> None:
    _, answer = graded
    assert "test_add_step: missing, put back as released" in answer.stdout
    assert "area: missing, put back as released" in answer.stdout


def test_feedback_and_autograded_notebooks_lie_in_the_course(graded) -> None:
    root, _ = graded
    assert (root / "feedback/solved/tiny/tiny.html").is_file()
    assert (root / "autograded/solved/tiny/tiny.ipynb").is_file()
    assert sorted(path.name for path in (root / "submitted/solved/tiny").iterdir()) == ["tiny.ipynb"]


def test_feedback_shows_verdicts_and_no_hidden_test(graded) -> None:
    root, _ = graded
    page = (root / "feedback/blank/tiny/tiny.html").read_text()
    assert "NotImplementedError" in page and "0 of 9 points" in page
    assert "hidden_value_of_the_test" not in page
    assert "hidden_value_of_the_test" in (root / "autograded/blank/tiny/tiny.ipynb").read_text()


def test_what_has_not_changed_is_taken_over_and_graded_again_on_request(graded) -> None:
    root, _ = graded
    before = scores(root)
    answer = course(root, "grade", "tiny", "--student", "solved")
    assert answer.returncode == 0 and "solved: 5 of 9, taken over" in answer.stdout
    answer = course(root, "grade", "tiny", "--student", "solved", "--again")
    assert answer.returncode == 0 and "taken over" not in answer.stdout
    assert scores(root) == before


def test_without_a_sandbox_the_rows_are_the_same_and_a_warning_says_so(graded) -> None:
    root, _ = graded
    before = scores(root)
    answer = course(root, "grade", "tiny", "--no-sandbox", "--student", "solved", "--again")
    assert "without a sandbox" in answer.stderr
    assert scores(root) == before


def test_an_unknown_student_or_folder_is_named(graded) -> None:
    root, _ = graded
    assert "no submission of nobody" in course(root, "grade", "tiny", "--student", "nobody").stderr
    assert "no folder" in course(root, "grade", "tiny", "--submitted", "nowhere").stderr
