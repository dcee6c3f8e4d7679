"""Figures along the days of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.plots.style import COLOURS, INK, MARKERS, REFERENCE, axes, legend, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def daily_card_precision(precision: Mapping[str, pd.Series], k: int, ax: Axes | None = None) -> Axes:
    """Card precision at k on each day, one line per model, with the mean in the legend.

    Args:
        precision: name to a series of precisions indexed by day, as `evaluation.card_precision_by_day` returns.
        k: cards checked a day.
        ax: where to draw; a new figure when None.
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes(ax)
    for (name, series), style, marker in zip(precision.items(), styles(), cycle(MARKERS), strict=False):
        ax.plot(series.index, series.to_numpy(), marker=marker, label=f"{name}, mean {series.mean():.3f}", **style)
    ax.set(xlabel="Day of the test period", ylabel=f"Card precision at {k} (share of opened cards)")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(ax)
    return ax


def split_timeline(
    train_start_day: int,
    train_days: int,
    delay_days: int,
    test_days: int,
    frauds_per_day: pd.Series | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The periods of a split in time: training, delay of the labels, test.

    Args:
        train_start_day: first day of training.
        train_days: length of the training period, days.
        delay_days: days between training and test whose labels are not known yet.
        test_days: length of the test period, days.
        frauds_per_day: number of frauds indexed by day, drawn above the periods when given.
        ax: where to draw; a new figure when None.
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes(ax, height=2.6)
    lengths = (train_days, delay_days, test_days)
    starts = train_start_day + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    looks = (("train", COLOURS[0], "white", ""), ("label delay", "#DDDDDD", INK, "///"), ("test", COLOURS[1], INK, ""))
    top = 1.0 if frauds_per_day is None else 1.15 * max(float(frauds_per_day.max()), 1.0)
    for start, length, (name, colour, ink, hatch) in zip(starts, lengths, looks, strict=True):
        if length:
            ax.barh(-0.3 * top, length, 0.34 * top, left=start, color=colour, hatch=hatch, edgecolor="white")
            patch = {"facecolor": colour, "edgecolor": "none", "pad": 2} if hatch else None
            text = f"{name}\n{length} days"
            ax.text(start + length / 2, -0.3 * top, text, ha="center", va="center", color=ink, bbox=patch)
    ax.set(xlabel="Day", xlim=(train_start_day - 0.5, starts[-1] + test_days + 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    if frauds_per_day is None:
        ax.set(ylim=(-0.5, -0.1), yticks=[])
        return ax
    inside = frauds_per_day[(frauds_per_day.index >= starts[0]) & (frauds_per_day.index < starts[-1] + test_days)]
    ax.bar(inside.index + 0.5, inside.to_numpy(), 0.8, color=REFERENCE)
    ax.set(ylabel="Frauds a day (transactions)", ylim=(-0.5 * top, top))
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top])
    return ax
