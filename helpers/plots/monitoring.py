"""Figures of a model that is watched: what chance does to a drift distance, and drift over time with its alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from numpy.typing import ArrayLike

from helpers.plots.style import COLOURS, INK, axes, legend, reference, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def null_distances(by_rows: Mapping[int, ArrayLike], limits: Mapping[int, float], ax: Axes | None = None) -> Axes:
    """Drift distances of samples without drift by their number of rows, with the limit for each number.

    Args:
        by_rows: number of rows in service to distances of repeated samples, shape (n_repeats,).
        limits: number of rows to the distance that chance seldom exceeds.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for number, distances in by_rows.items():
        ax.plot([number] * len(distances), distances, "o", color=COLOURS[0], alpha=0.15, markersize=4)
    ax.plot([], [], "o", color=COLOURS[0], label="a sample without drift")
    ax.plot(list(limits), list(limits.values()), color=COLOURS[1], marker="s", label="limit of chance, 1 %")
    ax.axhline(0.1, label="customary threshold, 0.1", **reference())
    ax.set(xscale="log", yscale="log", xlabel="Rows in service", ylabel="Population stability index")
    ax.set_xticks(list(by_rows), [f"{number:,}" for number in by_rows])
    ax.minorticks_off()
    legend(ax, loc="upper right")
    return ax


def drift_timeline(
    values: Mapping[str, pd.Series], threshold: float, alarms: Sequence[pd.Timestamp] = (), ax: Axes | None = None
) -> Axes:
    """Drift of features over time, the alarm's threshold, and the times at which the alarm went off.

    Args:
        values: feature to distances, indexed by time.
        threshold: of the alarm.
        alarms: times of the changes to ALARM.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    start = min(series.index.min() for series in values.values())
    for (name, series), look in zip(values.items(), styles(), strict=False):
        ax.plot((series.index - start).total_seconds(), series, marker="o", label=name, **look)
    ax.axhline(threshold, label=f"threshold {threshold:g}", **reference())
    for number, moment in enumerate(alarms):
        label = "alarm goes off" if number == 0 else None
        ax.axvline((moment - start).total_seconds(), color=INK, linestyle="-", label=label)
    ax.set(xlabel="Time since the first report (s)", ylabel="Population stability index")
    ax.set_ylim(bottom=0)
    legend(ax, loc="upper left")
    return ax
