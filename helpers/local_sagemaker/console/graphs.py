"""Layered drawings of graphs: boxes in rows from top to bottom, and lines that go around them."""

from __future__ import annotations

import graphlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 220, 46  # of a box
_GAP, _ROW = 28, 96
_LANE = 20  # of a line that passes a row
_SWEEPS = 8
_MARGIN = 14

Node = str | tuple[str, str, int]  # a box by its name, or where the line between two boxes passes a row


@dataclass(frozen=True)
class Box:
    """Where a box is: its left upper corner."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """A line from one box to another: its path, and its label with where that stands."""

    source: str
    target: str
    path: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """A whole graph; sizes are those of the drawing's own coordinates."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float


def layered(names: Iterable[str], edges: Mapping[tuple[str, str], str]) -> Drawing:
    """Places boxes so that every edge leads downwards, with few crossings.

    Rows are the longest ways from the top; in a row, boxes stand near those that they are connected with (barycentres,
    swept down and up). Edges that other edges imply are left out, unless they have a label.
    Source: Sugiyama, Tagawa, Toda: Methods for visual understanding of hierarchical system structures, 1981.

    Args:
        names: of the boxes; the order decides between equals.
        edges: labels by source and target, both of them boxes.

    Raises:
        graphlib.CycleError: edges lead in a circle.
    """
    names = list(names)
    before: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        before[target].append(source)
    level: dict[str, int] = {}
    for name in graphlib.TopologicalSorter(before).static_order():
        level[name] = max((level[each] + 1 for each in before[name]), default=0)
    kept = _without_implied(edges, before)
    rows: list[list[Node]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in names:
        rows[level[name]].append(name)
    above: defaultdict[Node, list[Node]] = defaultdict(list)
    for source, target in kept:
        way = [source, *((source, target, row) for row in range(level[source] + 1, level[target])), target]
        for passed in way[1:-1]:
            rows[passed[2]].append(passed)
        for upper, lower in itertools.pairwise(way):
            above[lower].append(upper)
    _untangle(rows, above)
    places, width = _placed(rows)
    boxes = [Box(node, x - WIDTH / 2, y) for node, (x, y) in places.items() if isinstance(node, str)]
    lines = [_line(edge, label, level, places) for edge, label in kept.items()]
    return Drawing(boxes, lines, width, max(len(rows) - 1, 0) * _ROW + HEIGHT + 2 * _MARGIN)


def _without_implied(edges: Mapping[tuple[str, str], str], before: dict[str, list[str]]) -> dict[tuple[str, str], str]:
    """The edges that are not a short cut of a longer way."""
    ancestors: dict[str, set[str]] = {}
    for name in graphlib.TopologicalSorter(before).static_order():
        ancestors[name] = set(before[name]).union(*(ancestors[each] for each in before[name]))
    return {
        (source, target): label
        for (source, target), label in edges.items()
        if label or not any(source in ancestors[each] for each in before[target])
    }


def _untangle(rows: list[list[Node]], above: Mapping[Node, list[Node]]) -> None:
    """Orders each row by where its neighbours stand, down and up in turn."""
    below: defaultdict[Node, list[Node]] = defaultdict(list)
    for lower, uppers in above.items():
        for upper in uppers:
            below[upper].append(lower)
    for sweep in range(_SWEEPS):
        neighbours, order = (above, rows[1:]) if sweep % 2 == 0 else (below, rows[-2::-1])
        place = {node: (index + 0.5) / len(row) for row in rows for index, node in enumerate(row)}
        for row in order:
            found = {node: [place[each] for each in neighbours.get(node, ())] for node in row}
            row.sort(key=lambda node: sum(found[node]) / len(found[node]) if found[node] else place[node])
            place |= {node: (index + 0.5) / len(row) for index, node in enumerate(row)}


def _placed(rows: list[list[Node]]) -> tuple[dict[Node, tuple[float, float]], float]:
    """The middle of the upper side of every node, and the width of all; each row is centred."""
    sizes = [[WIDTH if isinstance(node, str) else _LANE for node in row] for row in rows]
    widths = [sum(row) + _GAP * (len(row) - 1) for row in sizes]
    width = max(widths, default=0) + 2 * _MARGIN
    places = {}
    for number, row in enumerate(rows):
        x = (width - widths[number]) / 2
        for node, size in zip(row, sizes[number], strict=True):
            places[node] = (x + size / 2, _MARGIN + number * _ROW)
            x += size + _GAP
    return places, width


def _line(
    edge: tuple[str, str], label: str, level: Mapping[str, int], places: Mapping[Node, tuple[float, float]]
) -> Line:
    source, target = edge
    x, y = places[source][0], places[source][1] + HEIGHT
    path = f"M{x:.0f} {y:.0f}"
    first = None
    for row in range(level[source] + 1, level[target] + 1):
        node = target if row == level[target] else (source, target, row)
        to_x, to_y = places[node]
        middle = (y + to_y) / 2
        first = first or ((x + to_x) / 2, middle)
        path += f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"
        x, y = to_x, to_y
        if row < level[target]:
            y += HEIGHT
            path += f"V{y:.0f}"
    return Line(source, target, path, label, *(first or (x, y)))
