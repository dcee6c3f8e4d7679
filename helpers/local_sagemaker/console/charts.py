"""Line charts as geometry for an SVG: what the template draws, and the same in words for those who do not see it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.local_sagemaker.console import rendering

WIDTH, HEIGHT = 600, 100  # of the drawing's own coordinates; it is stretched to its place
Point = tuple[float, float | None]


@dataclass(frozen=True)
class Series:
    """One line: its name, and (x, y) points from left to right; a y of None is a gap."""

    name: str
    points: Sequence[Point]

    @property
    def values(self) -> list[float]:
        """The values that are there."""
        return [y for _, y in self.points if y is not None]


@dataclass(frozen=True)
class Line:
    """A series as drawn: the path of the line, and of the area below it where that says something."""

    name: str
    path: str
    area: str | None
    last: str


@dataclass(frozen=True)
class Chart:
    """A chart as the template draws it.

    Args:
        title: what is shown.
        unit: of the values, for people; may be empty.
        lines: of the series.
        top: the largest value of the scale, as text.
        bottom: the smallest.
        begin: the left end, as text.
        end: the right end.
        threshold: height of a line across, or None.
        description: what one sees.
    """

    title: str
    unit: str
    lines: list[Line]
    top: str
    bottom: str
    begin: str
    end: str
    threshold: float | None
    description: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.path for line in self.lines)


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    unit: str = "",
    ends: tuple[float, float] | None = None,
    from_zero: bool = True,
    most: float | None = None,
    threshold: float | None = None,
    is_time: bool = True,
) -> Chart:
    """A chart of a few series.

    Args:
        title: what is shown.
        series: at most five, which the style sheet tells apart by colour and dash.
        unit: of the values.
        ends: the left and the right end of x; by default those of the points.
        from_zero: whether the scale begins at 0.
        most: a value that the scale holds at least, so that neighbours share a scale.
        threshold: a value to draw across.
        is_time: whether x is a time, in epoch seconds; else it is a number.
    """
    values = [value for each in series for value in each.values]
    known = values + [value for value in (threshold, most) if value is not None]
    low, high = _scale(known, from_zero)
    xs = [x for each in series for x, _ in each.points] or [0.0, 1.0]
    left, right = ends or (min(xs), max(xs))
    width = (right - left) or 1.0

    def place(x: float, y: float) -> str:
        return f"{(x - left) / width * WIDTH:.1f} {HEIGHT - (y - low) / (high - low) * HEIGHT:.1f}"

    base = HEIGHT - (0 - low) / (high - low) * HEIGHT if low <= 0 <= high else HEIGHT
    lines = []
    for each in series:
        runs = _runs(each.points)
        path = "".join(_drawn([place(x, y) for x, y in run]) for run in runs)
        area = "".join(_closed([place(x, y) for x, y in run], base) for run in runs if len(run) > 1)
        last = rendering.number(each.values[-1]) if each.values else rendering.NOTHING
        lines.append(Line(each.name, path, area if len(series) == 1 and from_zero and area else None, last))
    begin, end = (rendering.clock(x) if is_time else rendering.number(x) for x in (left, right))
    return Chart(
        title,
        unit,
        lines,
        rendering.number(_rounded(high)),
        rendering.number(_rounded(low)),
        begin,
        end,
        None if threshold is None else HEIGHT - (threshold - low) / (high - low) * HEIGHT,
        _words(title, unit, series, begin, end, threshold),
    )


def _scale(values: list[float], from_zero: bool) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return low - (0 if from_zero else 0.5), high + (1.0 if from_zero else 0.5)
    return low, high


def _rounded(value: float) -> float:
    return round(value, 3 - math.floor(math.log10(abs(value)))) if value else 0.0


def _runs(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The points between the gaps."""
    groups = itertools.groupby(points, key=lambda point: point[1] is not None)
    return [list(run) for is_there, run in groups if is_there]


def _drawn(places: list[str]) -> str:
    # A line of no length is a dot, by its round end.
    return f"M{places[0]}" + (f"L{' '.join(places[1:])}" if len(places) > 1 else "h0")


def _closed(places: list[str], base: float) -> str:
    first, last = places[0].split()[0], places[-1].split()[0]
    return f"M{first} {base:.1f}L{' '.join(places)} {last} {base:.1f}Z"


def _words(title: str, unit: str, series: Sequence[Series], begin: str, end: str, threshold: float | None) -> str:
    """The chart's text alternative."""
    parts = [f"{title}, {begin} to {end}."]
    for each in series:
        name = f"{each.name}: " if len(series) > 1 else ""
        if not each.values:
            parts.append(f"{name}no data.")
            continue
        latest, least, most = map(rendering.number, (each.values[-1], min(each.values), max(each.values)))
        parts.append(f"{name}latest {latest}, lowest {least}, highest {most}{f' {unit}' if unit else ''}.")
    if threshold is not None:
        parts.append(f"Threshold {rendering.number(threshold)}.")
    return " ".join(parts)
