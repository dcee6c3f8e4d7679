"""`course run` executes the solutions."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from helpers.course.cli import join_parameters
from helpers.course.execute import digest
from helpers.course.project import CourseError
from helpers.course.run import parse_parameters


@pytest.fixture
def made(course, tiny_course: Path) -> Path:
    assert course("labs").returncode == 0
    return tiny_course


def test_a_lab_runs_once_until_its_inputs_change(course, made: Path) -> None:
    first = course("run")
    assert first.returncode == 0, first.stderr
    assert "passed" in first.stdout
    assert "unchanged" in course("run").stdout
    changed = course("run", "-p", "STEP", "3")
    assert "passed" in changed.stdout
    suite = ElementTree.parse(made / "_build/labs/junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert sorted(path.name for path in (made / "source/tiny").iterdir()) == ["README.md", "src", "tiny.ipynb"]


def test_a_failing_cell_is_named_with_the_end_of_its_traceback(course, made: Path) -> None:
    notebook = made / "source/tiny/tiny.ipynb"
    notebook.write_text(notebook.read_text().replace("math.pi * radius**2", "radius.nothing"))
    answer = course("run")
    assert answer.returncode == 1
    for part in ("tiny: cell test_area: AttributeError", "has no attribute 'nothing'", "_build/labs/tiny.ipynb"):
        assert part in answer.stderr
    suite = ElementTree.parse(made / "_build/labs/junit.xml").getroot()
    assert suite.find("testcase/failure").get("message").startswith("cell test_area")
    assert "unchanged" not in course("run").stdout


def test_an_unknown_parameter_is_refused(course, made: Path) -> None:
    answer = course("run", "-p", "NOPE", "3")
    assert (answer.returncode, answer.stderr.strip()) == (1, "lab tiny has no parameter NOPE; it has: STEP")


def test_a_lab_that_was_not_made_is_refused(course) -> None:
    answer = course("run")
    assert (answer.returncode, "run `course labs tiny` first" in answer.stderr) == (1, True)


def test_parameters_are_typed_as_in_yaml() -> None:
    pairs = join_parameters(["run", "-p", "A", "3", "-p", "B=true", "-p", "C", "[1, 2]"])
    assert pairs == ["run", "-p", "A=3", "-p", "B=true", "-p", "C=[1, 2]"]
    assert parse_parameters(["A=3", "B=true", "C=[1, 2]", "D=text"]) == {"A": 3, "B": True, "C": [1, 2], "D": "text"}
    with pytest.raises(CourseError, match="write -p NAME VALUE"):
        parse_parameters(["A"])


def test_the_digest_follows_every_input(tmp_path: Path) -> None:
    (tmp_path / "source/tiny").mkdir(parents=True)
    (tmp_path / "helpers/course").mkdir(parents=True)
    paths = ["source/tiny/tiny.ipynb", "helpers/session.py", "requirements.txt"]
    seen = {digest(tmp_path, "tiny", {}, "smoke", "local")}
    for path in paths:
        (tmp_path / path).write_text("content")
        seen.add(digest(tmp_path, "tiny", {}, "smoke", "local"))
    seen |= {digest(tmp_path, "tiny", {"A": 1}, "smoke", "local"), digest(tmp_path, "tiny", {}, "lab", "local")}
    seen.add(digest(tmp_path, "tiny", {}, "smoke", "aws"))
    assert len(seen) == 7
    (tmp_path / "helpers/course/run.py").write_text("the machinery decides nothing of what a lab computes")
    assert digest(tmp_path, "tiny", {}, "smoke", "local") in seen
