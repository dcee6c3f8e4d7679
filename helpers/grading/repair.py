"""Puts a submitted notebook back into the shape that the lab was released in, by grade_id."""

from __future__ import annotations

import copy
from typing import Any


def repair(submitted: Any, release: Any) -> tuple[Any, list[str]]:
    """The submission with every graded cell of the release exactly once, and what had to be mended.

    A cell is recognised by the grade_id in its metadata, else by its cell id, which the release sets to the grade_id.
    Of several cells with one grade_id the first with the released cell type counts; the others stay as ordinary cells.
    Types, nbgrader metadata and the source of locked cells are the release's. A missing cell is put back behind the
    graded cell that precedes it in the release. Outputs are dropped.

    Args:
        submitted: the student's notebook.
        release: the released one.
    """
    wanted = {_grade_id(cell): cell for cell in release.cells if _grade_id(cell)}
    cells = [_plain(cell) for cell in submitted.cells]
    chosen = _choose(submitted.cells, wanted)
    notes: list[str] = []
    for name, original in wanted.items():
        if name in chosen:
            notes += _restore(cells[chosen[name]], original, name)
    claimed = [_claimed(cell, wanted) for cell in submitted.cells]
    notes += [
        f"{name}: a second cell of this name is not graded"
        for place, name in enumerate(claimed)
        if name and chosen[name] != place
    ]
    placed = {name: cells[place] for name, place in chosen.items()}
    previous = None
    for name, original in wanted.items():
        if name not in placed:
            placed[name] = copy.deepcopy(original)
            cells.insert(_position(cells, previous) + 1, placed[name])
            notes.append(f"{name}: missing, put back as released")
        previous = placed[name]
    _number(cells, {id(cell) for cell in placed.values()})
    repaired = copy.deepcopy(release)
    repaired.cells = cells
    return repaired, notes


def _grade_id(cell: Any) -> str | None:
    metadata = cell.get("metadata", {}).get("nbgrader")
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _claimed(cell: Any, wanted: dict[str, Any]) -> str | None:
    name = _grade_id(cell)
    if name in wanted:
        return name
    return cell.get("id") if cell.get("id") in wanted else None


def _choose(cells: list[Any], wanted: dict[str, Any]) -> dict[str, int]:
    """The place of the cell that counts for each grade_id."""
    chosen: dict[str, int] = {}
    for place, cell in enumerate(cells):
        name = _claimed(cell, wanted)
        if name is None:
            continue
        fits = cell.cell_type == wanted[name].cell_type
        if name not in chosen or (fits and cells[chosen[name]].cell_type != wanted[name].cell_type):
            chosen[name] = place
    return chosen


def _plain(cell: Any) -> Any:
    """A submitted cell without its metadata and outputs."""
    made = type(cell)(cell_type=cell.cell_type, metadata=type(cell)(), source=cell.source)
    if cell.cell_type == "code":
        made.update(outputs=[], execution_count=None)
    return made


def _restore(cell: Any, original: Any, name: str) -> list[str]:
    notes = []
    if cell.cell_type != original.cell_type:
        notes.append(f"{name}: was a {cell.cell_type} cell, is {original.cell_type} again")
    if original.metadata.nbgrader.locked and cell.source != original.source:
        notes.append(f"{name}: was changed, is as released again")
    source = original.source if original.metadata.nbgrader.locked else cell.source
    cell.clear()
    cell.update(copy.deepcopy(original))
    cell.source = source
    return notes


def _position(cells: list[Any], cell: Any) -> int:
    return next((place for place, other in enumerate(cells) if other is cell), -1)


def _number(cells: list[Any], graded: set[int]) -> None:
    """Give the ordinary cells ids of their own; graded cells keep the release's."""
    for number, cell in enumerate(cells, 1):
        if id(cell) not in graded:
            cell["id"] = f"submitted-{number:04d}"
