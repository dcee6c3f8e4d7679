"""Faults of a lab's source are found with file and line."""

from pathlib import Path

import pytest

from helpers.course.authoring import read_lab

FRONT = "# ---\n# title: T\n# minutes: 1\n# module: m\n# ---\n\n"
CLEANUP = '\n# %% tags=["cleanup"]\n1\n'
SOLUTION = '''# %% nbgrader="solution" grade_id="f"
def f():
    """What f does."""
    ### BEGIN SOLUTION
    return 1
    ### END SOLUTION
'''

FAULTY = {
    "duplicate grade_id": (SOLUTION + "\n" + SOLUTION + CLEANUP, 14, "duplicate grade_id 'f': line 7"),
    "test without points": ('# %% nbgrader="test" grade_id="t"\nassert True\n' + CLEANUP, 7, "needs points above 0"),
    "points of zero": ('# %% nbgrader="test" grade_id="t" points=0\nassert True\n' + CLEANUP, 7, "points above 0"),
    "solution without markers": (
        '# %% nbgrader="solution" grade_id="f"\nf = 1\n' + CLEANUP,
        7,
        "without solution markers",
    ),
    "region not closed": (
        '# %% nbgrader="solution" grade_id="f"\nf = 0\n### BEGIN SOLUTION\nf = 1\n' + CLEANUP,
        9,
        "BEGIN SOLUTION without END SOLUTION",
    ),
    "region not opened": (SOLUTION + "### END SOLUTION\n" + CLEANUP, 13, "END SOLUTION without BEGIN SOLUTION"),
    "region in a region": (
        SOLUTION.replace("    return 1", "    ### BEGIN SOLUTION\n    return 1") + CLEANUP,
        11,
        "inside the region that begins in line 10",
    ),
    "no cleanup cell": ("# %%\n1\n", 7, "no cleanup cell"),
    "two cleanup cells": (CLEANUP.lstrip() + CLEANUP, 10, "a second cleanup cell: line 7"),
    "code after the cleanup": (CLEANUP.lstrip() + "\n# %%\n2\n", 7, "must be the last code cell"),
    "unknown kind": ('# %% nbgrader="sulution" grade_id="f"\n1\n' + CLEANUP, 7, "unknown nbgrader kind 'sulution'"),
    "hidden tests in the open": (
        "# %%\n### BEGIN HIDDEN TESTS\n1\n### END HIDDEN TESTS\n" + CLEANUP,
        8,
        "BEGIN HIDDEN TESTS outside a test cell",
    ),
    "solution in the open": (
        "# %%\n1\n### BEGIN SOLUTION\n1\n### END SOLUTION\n" + CLEANUP,
        9,
        "BEGIN SOLUTION outside a solution or manual cell",
    ),
    "signature inside the markers": (
        '# %% nbgrader="solution" grade_id="f"\n### BEGIN SOLUTION\ndef f():\n    return 1\n### END SOLUTION\n'
        + CLEANUP,
        9,
        "solution stub lost: the signature of f",
    ),
    "no docstring left": (SOLUTION.replace('    """What f does."""\n', "") + CLEANUP, 8, "f has no docstring"),
    "markers that cut a statement": (
        SOLUTION.replace("    ### BEGIN", "    if True:\n    ### BEGIN").replace("    return 1", "        return 1")
        + CLEANUP,
        7,
        "without its solution the cell is not Python",
    ),
    "name that is no identifier": (
        '# %% nbgrader="test" grade_id="a-b" points=1\nassert True\n' + CLEANUP,
        7,
        "'a-b' is no identifier",
    ),
    "kind without a name": ('# %% nbgrader="test" points=1\nassert True\n' + CLEANUP, 7, "needs a grade_id"),
    "name without a kind": ('# %% grade_id="f"\n1\n' + CLEANUP, 7, "without a kind"),
    "points of a plain cell": ("# %% points=1\n1\n" + CLEANUP, 7, "points count in test and manual cells only"),
    "unknown option": ("# %% colour=1\n1\n" + CLEANUP, 7, "unknown option 'colour'"),
    "syntax error": ("# %%\n1\nif:\n" + CLEANUP, 9, "not Python"),
    "test in Markdown": ('# %% [markdown] nbgrader="test" grade_id="t" points=1\n# A\n' + CLEANUP, 7, "must be code"),
    "two parameters cells": (
        '# %% tags=["parameters"]\nA = 1\n\n# %% tags=["parameters"]\nB = 1\n' + CLEANUP,
        10,
        "a second parameters cell",
    ),
}


def write(folder: Path, text: str) -> Path:
    path = folder / "lab.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_reported_with_its_line(name: str, tmp_path: Path) -> None:
    body, line, message = FAULTY[name]
    _, faults = read_lab(write(tmp_path, FRONT + body))
    assert [(fault.line, message in fault.message) for fault in faults] == [(line, True)], [str(f) for f in faults]


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    body = '# %% nbgrader="test" grade_id="t"\nassert True\n\n# %% nbgrader="solution" grade_id="t"\n1\n'
    _, faults = read_lab(write(tmp_path, FRONT + body))
    assert [fault.line for fault in faults] == [7, 10, 10, 10]


def test_a_fault_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, FRONT + "# %%\n1\n")
    _, faults = read_lab(path)
    assert str(faults[0]).startswith(f"{path}:7: no cleanup cell")


@pytest.mark.parametrize("key", ["title", "minutes", "module"])
def test_the_front_matter_needs_its_keys(key: str, tmp_path: Path) -> None:
    front = "".join(line for line in FRONT.splitlines(keepends=True) if key not in line)
    _, faults = read_lab(write(tmp_path, front + CLEANUP.lstrip()))
    assert [fault.line for fault in faults] == [1]
    assert key in faults[0].message


def test_the_disk_that_a_lab_asks_for_is_a_number(tmp_path: Path) -> None:
    asking = FRONT.replace("# module: m\n", "# module: m\n# disk_mib: {}\n")
    lab, faults = read_lab(write(tmp_path, asking.format(2048) + CLEANUP.lstrip()))
    assert not faults and lab.front["disk_mib"] == 2048
    _, faults = read_lab(write(tmp_path, asking.format("2 GiB") + CLEANUP.lstrip()))
    assert [fault.message for fault in faults] == ["front matter: disk_mib must be int, got '2 GiB'"]


def test_front_matter_that_is_not_yaml_is_reported(tmp_path: Path) -> None:
    _, faults = read_lab(write(tmp_path, "# ---\n# title: [\n# ---\n\n" + CLEANUP.lstrip()))
    assert any("not YAML" in fault.message for fault in faults)


def test_a_task_needs_its_variants_once_there_are_any(tmp_path: Path) -> None:
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants" / "g.py").touch()
    path = write(tmp_path, FRONT + SOLUTION + CLEANUP)
    _, faults = read_lab(path)
    assert [(fault.path.name, fault.line) for fault in faults] == [("g.py", 1), ("lab.py", 7)]


def test_a_good_lab_has_no_fault(tmp_path: Path) -> None:
    lab, faults = read_lab(write(tmp_path, FRONT + SOLUTION + CLEANUP))
    assert faults == []
    assert [cell.line for cell in lab.cells] == [7, 14]
    assert lab.front == {"title": "T", "minutes": 1, "module": "m"}
