"""labs/ → source/ → release/."""

import json
from pathlib import Path

import nbformat


def snapshot(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for kind in ("source", "release")
        for path in sorted((root / kind).rglob("*"))
        if path.is_file()
    }


def test_the_chain_is_byte_identical_on_rerun(course, tiny_course: Path) -> None:
    assert course("labs").returncode == 0
    first = snapshot(tiny_course)
    assert course("labs").returncode == 0
    assert snapshot(tiny_course) == first
    assert set(first) == {
        f"{kind}/tiny/{name}" for kind in ("source", "release") for name in ("tiny.ipynb", "README.md", "src/train.py")
    }


def test_the_release_holds_no_solution_and_no_hidden_test(course, tiny_course: Path) -> None:
    course("labs")
    text = (tiny_course / "release/tiny/tiny.ipynb").read_text()
    for secret in ("answer_of_the_author", "hidden_value_of_the_test", "only the author knows", "BEGIN", "END"):
        assert secret not in text
    assert "The number one step on." in text
    assert text.count('raise NotImplementedError(\\"Student exercise: replace this line\\")') == 2


def test_cell_ids_are_grade_ids_or_numbers(course, tiny_course: Path) -> None:
    course("labs")
    for kind in ("source", "release"):
        notebook = nbformat.read(tiny_course / kind / "tiny/tiny.ipynb", as_version=4)
        nbformat.validate(notebook)
        for number, cell in enumerate(notebook.cells, 1):
            assert cell.id == cell.metadata.get("nbgrader", {}).get("grade_id", f"cell-{number:03d}")
            assert not cell.get("outputs")


def test_only_tests_and_readonly_cells_are_locked(course, tiny_course: Path) -> None:
    course("labs")
    cells = json.loads((tiny_course / "release/tiny/tiny.ipynb").read_text())["cells"]
    locked = {cell["id"] for cell in cells if cell["metadata"].get("nbgrader", {}).get("locked")}
    assert locked == {"test_add_step", "test_area"}


def test_making_labs_leaves_no_gradebook(course, tiny_course: Path) -> None:
    course("labs")
    assert sorted(path.name for path in tiny_course.iterdir()) == ["labs", "nbgrader_config.py", "release", "source"]


def test_check_passes_after_making(course) -> None:
    course("labs")
    assert course("labs", "--check").returncode == 0


def test_check_fails_on_drift_and_shows_it(course, tiny_course: Path) -> None:
    course("labs")
    path = tiny_course / "release/tiny/tiny.ipynb"
    path.write_text(path.read_text().replace("A tiny lab", "A changed lab"))
    before = snapshot(tiny_course)
    answer = course("labs", "--check")
    assert answer.returncode == 1
    assert "release/tiny/tiny.ipynb: differs" in answer.stderr
    assert "A changed lab" in answer.stderr
    assert snapshot(tiny_course) == before


def test_check_fails_on_missing_and_foreign_files(course, tiny_course: Path) -> None:
    course("labs")
    (tiny_course / "source/tiny/src/train.py").unlink()
    (tiny_course / "release/tiny/notes.txt").touch()
    answer = course("labs", "--check")
    assert "source/tiny/src/train.py: missing" in answer.stderr
    assert "release/tiny/notes.txt: no longer made" in answer.stderr


def test_a_removed_lab_is_drift_and_then_removed(course, tiny_course: Path) -> None:
    course("labs")
    old = tiny_course / "source/old"
    old.mkdir()
    (old / "old.ipynb").touch()
    assert "source/old: no lab in labs/ makes it" in course("labs", "--check").stderr
    course("labs")
    assert not old.exists()


def test_a_faulty_lab_writes_nothing_and_names_every_fault(course, tiny_course: Path) -> None:
    script = tiny_course / "labs/01-tiny/lab.py"
    line = script.read_text().splitlines().index('# %% nbgrader="test" grade_id="test_add_step" points=2') + 1
    script.write_text(script.read_text().replace(" points=2", "").replace('# %% tags=["cleanup"]', "# %%"))
    answer = course("labs")
    assert answer.returncode == 1
    assert f"labs/01-tiny/lab.py:{line}: a test cell needs points" in answer.stderr
    assert "no cleanup cell" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tiny_course / "source").exists()


def test_an_unknown_lab_is_named_with_those_there_are(course) -> None:
    answer = course("labs", "nope")
    assert (answer.returncode, "no lab named nope; there are: tiny" in answer.stderr) == (1, True)


def test_a_badly_named_lab_folder_is_refused(course, tiny_course: Path) -> None:
    (tiny_course / "labs/01-tiny").rename(tiny_course / "labs/tiny")
    assert "labs/tiny: a lab's folder is named like 01-fraud" in course("labs").stderr
