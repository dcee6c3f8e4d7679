"""How a lab is examined follows from its source: what each test needs, whom it calls, and where it runs."""

import dataclasses
import json
from typing import Any

import pytest

from helpers.grading.examination import examination, first_hidden_line
from helpers.grading.pool import read_package
from helpers.grading.sandbox import Limits


def notebook(*cells: tuple[str, str]) -> dict[str, Any]:
    """Cells as (kind, source): lab, solution:<name>, test:<name>, inside:<name>."""
    made = []
    for kind, source in cells:
        name, _, grade_id = kind.partition(":")
        metadata: dict[str, Any] = {}
        if name != "lab":
            graded = name in ("test", "inside")
            options = {"grade_id": grade_id, "grade": graded, "solution": not graded, "locked": graded}
            metadata["nbgrader"] = options | ({"points": 1} if graded else {})
        if name == "inside":
            metadata["tags"] = ["in-process"]
        made.append({"cell_type": "code", "id": grade_id or f"c{len(made)}", "metadata": metadata, "source": source})
    return {"cells": made}


def the_test(*cells: tuple[str, str]) -> Any:
    [test] = examination("lab", notebook(*cells)).tests.values()
    return test


def test_a_lab_gets_the_disk_that_its_front_matter_asks_for(tmp_path):
    for course, disk in (({}, Limits().disk), ({"disk_mib": 2048}, 2 * 2**30)):
        source = notebook(("lab", "a = 1")) | {"metadata": {"course": course}}
        (tmp_path / "lab.ipynb").write_text(json.dumps(source))
        assert read_package(tmp_path, "lab").limits == dataclasses.replace(Limits(), disk=disk)


@pytest.mark.parametrize("opening", ["from helpers import connect\naws = connect()", "aws = helpers.connect(lab='x')"])
def test_a_test_that_needs_a_session_runs_where_the_session_is(opening):
    cells = (("lab", "import helpers"), ("lab", opening), ("lab", "jobs = aws.jobs()"), SOLUTION)
    assert the_test(*cells, ("test:t", "assert f(jobs)")).inside == "cell 2 opens a session to SageMaker"
    assert not the_test(*cells, ("test:t", "assert f(1)")).inside


SOLUTION = ("solution:f", "def f(x):\n    return x")


def test_a_test_gets_the_cells_that_bind_what_it_uses_and_no_others():
    test = the_test(
        ("lab", "import math"), ("lab", "a = 1"), ("lab", "b = 2"), SOLUTION, ("test:t", "assert f(a) == math.floor(a)")
    )
    assert test.context == (0, 1) and test.answers == {"f": True} and not test.inside


def test_what_those_cells_need_is_needed_too():
    test = the_test(("lab", "a = 1"), ("lab", "b = a + 1"), ("lab", "c = [b]"), SOLUTION, ("test:t", "assert f(c)"))
    assert test.context == (0, 1, 2)


def test_the_last_cell_that_binds_a_name_counts_and_those_that_change_its_object():
    cells = [("lab", "a = {}"), ("lab", "a = {1: 2}"), ("lab", "a[3] = 4"), ("lab", "a.update(b=5)"), ("lab", "len(a)")]
    assert the_test(*cells, SOLUTION, ("test:t", "assert f(a)")).context == (1, 2, 3)


def test_names_that_the_test_binds_itself_are_not_needed():
    source = "for row in f(3):\n    total = [row for row in (1, 2)]\ndef g(a):\n    return a + total[0]\nassert g(1)"
    test = the_test(("lab", "row = 1"), ("lab", "total = 2"), ("lab", "a = 3"), SOLUTION, ("test:t", source))
    assert test.context == ()


def test_a_name_that_is_used_before_the_test_binds_it_is_needed():
    assert the_test(("lab", "a = 1"), SOLUTION, ("test:t", "a = f(a)\nassert a")).context == (0,)


def test_a_value_of_a_solution_is_fetched_and_not_called():
    test = the_test(("solution:x", "x = 3"), ("test:t", "assert x == 3"))
    assert test.answers == {"x": False}


def test_a_cell_between_that_calls_the_student_is_done_for_each_submission():
    exam = examination("lab", notebook(("lab", "a = 1"), SOLUTION, ("lab", "b = f(a)"), ("test:t", "assert b == 1")))
    assert exam.impure == {2} and exam.tests["t"].context == (0, 2)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ([SOLUTION, ("inside:t", "assert f(1)")], "tagged"),
        ([("solution:c", "class C:\n    pass"), ("test:t", "assert C()")], "class C"),
        ([SOLUTION, ("test:t", "%timeit f(1)\nassert f(1)")], "not plain Python"),
        ([("lab", "!ls\na = 1"), SOLUTION, ("test:t", "assert f(a)")], "cell 1 is not plain Python"),
    ],
)
def test_what_cannot_run_outside_runs_inside_and_says_why(cells, why):
    assert why in the_test(*cells).inside


def test_the_modules_that_the_lab_imports_are_known():
    exam = examination(
        "lab", notebook(("lab", "import a.b as c, d"), ("lab", "def g():\n    from e.f import h"), SOLUTION)
    )
    assert exam.modules == ("a.b", "d", "e.f", "e.f.h")


def test_hidden_tests_begin_at_their_marker():
    assert first_hidden_line("a\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS") == 2
    assert first_hidden_line("a\nb") == 3
