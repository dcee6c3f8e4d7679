"""Figures of a model that serves several groups, such as languages: who learns from whom, and who is released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.plots.style import COLOURS, INK, REFERENCE, axes, legend, reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def transfer(scores: pd.DataFrame, metric: str = "Macro-F1", ax: Axes | None = None) -> Axes:
    """A score for every pair of a training group (rows) and a test group (columns), framed where they are the same.

    Args:
        scores: a value between 0 and 1 for each pair; index and columns name the groups.
        metric: name of the score, for the colour bar.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax, height=1.5 + 0.45 * len(scores))
    values = scores.to_numpy(float)
    low, high = np.floor(values.min() * 10) / 10, np.ceil(values.max() * 10) / 10
    image = ax.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value < (low + high) / 2 else INK
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
        if scores.index[row] == scores.columns[column]:
            ax.add_patch(_frame(column, row))
    ax.set_xticks(range(len(scores.columns)), scores.columns)
    ax.set_yticks(range(len(scores)), scores.index)
    ax.set(xlabel="Tested on", ylabel="Trained on")
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, label=metric)
    return ax


def release_gate(
    intervals: pd.DataFrame, gate: float, metric: str = "Macro-F1, 95 % lower bound to 95 % upper bound",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A score with its bounds for every group against the gate; a group passes when its lower bound does.

    Args:
        intervals: indexed by group, with the columns score, low and high.
        gate: the lowest lower bound with which a group is released.
        metric: name of the score and kind of the bounds, for the axis.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax, height=1.4 + 0.4 * len(intervals))
    passes = intervals["low"] >= gate
    for passed, colour, marker, word in ((True, COLOURS[0], "o", "released"), (False, COLOURS[1], "X", "held back")):
        rows = np.flatnonzero(passes == passed)
        if not len(rows):
            continue
        score, low, high = (intervals[name].to_numpy(float)[rows] for name in ("score", "low", "high"))
        ax.errorbar(
            score, rows, xerr=[score - low, high - score], fmt=marker, color=colour, capsize=4, markersize=8, label=word
        )
    ax.axvline(gate, label=f"gate {gate:.2f}", **reference())
    mean = intervals["score"].mean()
    ax.axvline(mean, color=REFERENCE, linestyle="-", linewidth=1, label=f"mean of the scores {mean:.2f}")
    ax.set_yticks(range(len(intervals)), intervals.index)
    ax.set_ylim(len(intervals) - 0.5, -0.5)
    ax.set(xlabel=metric, ylabel=intervals.index.name or "Group")
    legend(ax, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax


def rater_quality(raters: pd.DataFrame, suspected: pd.Series, ax: Axes | None = None) -> Axes:
    """Agreement of each rater with the others against the share of the rater's commonest answer.

    Args:
        raters: one row per rater with the columns kappa (agreement with the others' majority) and commonest (share of
            the commonest answer).
        suspected: whether each rater is suspected, aligned with `raters`.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for flag, colour, marker, word in ((False, COLOURS[0], "o", "kept"), (True, COLOURS[1], "X", "suspected")):
        rows = raters[suspected.to_numpy() == flag]
        ax.scatter(rows["commonest"], rows["kappa"], color=colour, marker=marker, s=70, label=f"{word} ({len(rows)})")
    ax.axhline(0, label="agreement of chance", **reference())
    ax.set(xlabel="Share of the rater's commonest answer", ylabel="Cohen's kappa with the others' majority")
    legend(ax)
    return ax


def _frame(column: int, row: int):
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=COLOURS[1], linewidth=2.2)
