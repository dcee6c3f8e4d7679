"""A submission is put back into the shape of the release, by grade_id."""

import copy
from pathlib import Path
from typing import Any

import nbformat
import pytest

from helpers.course.authoring import read_lab
from helpers.course.labs import to_notebook
from helpers.grading.intake import Refused, parse_notebook
from helpers.grading.repair import repair

TINY = Path(__file__).parents[1] / "course" / "fixtures" / "01-tiny" / "lab.py"
GRADED = ["add_step", "test_add_step", "area", "test_area", "why"]


@pytest.fixture
def release() -> Any:
    return to_notebook("tiny", read_lab(TINY)[0])


def graded(notebook: Any) -> list[str]:
    return [cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata]


def cell(notebook: Any, name: str) -> Any:
    return next(cell for cell in notebook.cells if cell.id == name)


def test_an_intact_submission_stays_as_it_is(release: Any) -> None:
    repaired, notes = repair(copy.deepcopy(release), release)
    assert notes == []
    assert [entry.source for entry in repaired.cells] == [entry.source for entry in release.cells]


@pytest.mark.parametrize("name", GRADED)
def test_a_missing_cell_is_put_back(name: str, release: Any) -> None:
    submitted = copy.deepcopy(release)
    submitted.cells = [entry for entry in submitted.cells if entry.id != name]
    repaired, notes = repair(submitted, release)
    assert graded(repaired) == GRADED
    assert notes == [f"{name}: missing, put back as released"]
    nbformat.validate(repaired)


def test_an_empty_notebook_gets_every_graded_cell(release: Any) -> None:
    submitted = copy.deepcopy(release)
    submitted.cells = []
    repaired, _ = repair(submitted, release)
    assert graded(repaired) == GRADED


def test_stripped_metadata_is_restored_by_cell_id(release: Any) -> None:
    submitted = copy.deepcopy(release)
    for entry in submitted.cells:
        entry.metadata = {}
    repaired, _ = repair(submitted, release)
    assert graded(repaired) == GRADED


def test_a_duplicated_cell_counts_once(release: Any) -> None:
    submitted = copy.deepcopy(release)
    submitted.cells.append(copy.deepcopy(cell(submitted, "area")))
    repaired, notes = repair(submitted, release)
    assert graded(repaired) == GRADED
    assert notes == ["area: a second cell of this name is not graded"]
    nbformat.validate(repaired)


def test_a_changed_test_and_its_points_are_as_released_again(release: Any) -> None:
    submitted = copy.deepcopy(release)
    cell(submitted, "test_area").source = "pass"
    cell(submitted, "test_area").metadata.nbgrader.points = 100
    repaired, notes = repair(submitted, release)
    assert cell(repaired, "test_area") == cell(release, "test_area")
    assert notes == ["test_area: was changed, is as released again"]


def test_a_changed_cell_type_is_restored(release: Any) -> None:
    submitted = copy.deepcopy(release)
    place = submitted.cells.index(cell(submitted, "area"))
    submitted.cells[place] = nbformat.v4.new_markdown_cell("x = 1", id="area")
    repaired, notes = repair(submitted, release)
    assert (cell(repaired, "area").cell_type, cell(repaired, "area").source) == ("code", "x = 1")
    assert notes == ["area: was a markdown cell, is code again"]
    nbformat.validate(repaired)


DAMAGED = {
    "empty": "",
    "list": "[]",
    "no cells": '{"nbformat": 4}',
    "old format": '{"nbformat": 3, "cells": []}',
    "cell of no type": '{"nbformat": 4, "cells": [{}]}',
    "cell without source": '{"nbformat": 4, "cells": [{"cell_type": "code"}]}',
    "metadata of a wrong type": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "metadata": 1}]}',
    "not a number": '{"nbformat": 4, "cells": [], "metadata": NaN}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_notebook_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.ipynb"
    path.write_text(DAMAGED[name])
    with pytest.raises(Refused) as refusal:
        parse_notebook(path)
    assert "tiny.ipynb" in str(refusal.value)
    assert "\n" not in str(refusal.value)
