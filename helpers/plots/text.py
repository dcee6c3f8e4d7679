"""Figures of a text classifier: who is taken for whom, how long texts are, what abstaining buys, how a queue drains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import metrics

from helpers.plots.style import COLOURS, INK, MARKERS, axes, legend, reference, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def class_confusion(
    y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Counts of true against predicted class, coloured by the share within the true class.

    Args:
        y_true: true classes, shape (n,).
        y_pred: predicted classes, shape (n,).
        labels: the classes in the order of rows and columns; all that occur, sorted, when None.
        ax: where to draw; a new figure when None.

    Raises:
        ValueError: shapes differ, or a class occurs that is not among `labels`.
    """
    occurring = np.union1d(y_true, y_pred).tolist()
    names = occurring if labels is None else list(labels)
    if unknown := sorted(set(occurring) - set(names)):
        raise ValueError(f"classes that are not among labels: {unknown}")
    counts = metrics.confusion_matrix(y_true, y_pred, labels=names)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = axes(ax, height=1.6 + 0.4 * len(names))
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), rows in np.ndenumerate(counts):
        if rows:
            colour = "white" if share[row, column] > 0.5 else INK
            ax.text(column, row, f"{rows:,}", ha="center", va="center", color=colour, fontsize="small")
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), [f"{name} ({n:,})" for name, n in zip(names, counts.sum(axis=1), strict=True)])
    ax.set(xlabel="Predicted class", ylabel="True class (number of texts)")
    ax.grid(False)
    return ax


def token_length_cdf(lengths: Mapping[str, ArrayLike], cuts: Sequence[int] = (), ax: Axes | None = None) -> Axes:
    """Share of texts with at most so many tokens, with the share that each cut truncates in the legend.

    Args:
        lengths: name, such as a class, to numbers of tokens, shape (n,).
        cuts: values of max_seq_len to mark; a text longer than a cut is truncated.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, values), look in zip(lengths.items(), styles(), strict=False):
        ax.ecdf(np.asarray(values), label=name, **look)
    pooled = np.concatenate([np.asarray(values) for values in lengths.values()])
    for cut, line in zip(cuts, cycle(((0, (2, 2)), ":", "-.")), strict=False):
        truncated = np.mean(pooled > cut)
        ax.axvline(cut, label=f"cut at {cut}: {truncated:.1%} truncated", **reference() | {"linestyle": line})
    ax.set(xlabel="Length (tokens, special ones included)", ylabel="Share of texts no longer", ylim=(0, 1.02))
    ax.set_xlim(left=0)
    legend(ax, loc="lower right")
    return ax


def risk_coverage(
    curves: Mapping[str, pd.DataFrame], coverage_target: float | None = None, ax: Axes | None = None
) -> Axes:
    """Share of wrong answers among the texts that are answered, against the share that is answered.

    Args:
        curves: name to a frame with the columns coverage and risk, both shares.
        coverage_target: coverage to mark, with each curve's risk there in the legend.
        ax: where to draw; a new figure when None.

    Source: Geifman, El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.
    """
    ax = axes(ax)
    for (name, curve), look in zip(curves.items(), styles(), strict=False):
        label = name
        if coverage_target is not None:
            ordered = curve.sort_values("coverage")
            risk = np.interp(coverage_target, ordered["coverage"], ordered["risk"])
            label = f"{name}, {risk:.1%} wrong at {coverage_target:.0%}"
        ax.plot(curve["coverage"], curve["risk"], label=label, **look)
    if coverage_target is not None:
        ax.axvline(coverage_target, label=f"coverage target {coverage_target:.0%}", **reference())
    ax.set(xlabel="Coverage (share of texts answered)", ylabel="Risk (share of answers that are wrong)", xlim=(0, 1))
    ax.set_ylim(bottom=0)
    legend(ax, loc="lower right")
    return ax


def learning_curve(scores: Mapping[str, pd.DataFrame], metric: str = "Macro-F1", ax: Axes | None = None) -> Axes:
    """Mean score of each model against the number of labelled texts, with the range over repeated draws.

    Args:
        scores: name to a frame with the columns texts (labelled training texts) and score, one row for each run;
            runs with the same number of texts are repeats.
        metric: name of the score, for the axis.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    sizes: set[int] = set()
    for (name, runs), look, marker in zip(scores.items(), styles(), cycle(MARKERS), strict=False):
        by_size = runs.groupby("texts")["score"].agg(["mean", "min", "max"])
        label = f"{name}, {by_size['mean'].iloc[-1]:.3f} with {by_size.index[-1]:,} texts"
        ax.plot(by_size.index, by_size["mean"], marker=marker, label=label, **look)
        ax.fill_between(by_size.index, by_size["min"], by_size["max"], color=look["color"], alpha=0.15, linewidth=0)
        sizes |= set(by_size.index)
    ax.set(xscale="log", xlabel="Labelled training texts", ylabel=f"{metric} on the test texts", ylim=(0, 1))
    ax.set_xticks(sorted(sizes), [f"{size:,}" for size in sorted(sizes)])
    ax.minorticks_off()
    legend(ax, loc="lower right")
    return ax


def scaling_trace(trace: pd.DataFrame, objective: float | None = None, ax: Axes | None = None) -> Axes:
    """Requests that wait in an endpoint's queue over time, with the number of instances in a panel above.

    Args:
        trace: rows in order of time, columns time (s), backlog (requests waiting) and instances (running then).
        objective: time by which the queue has to be empty, s; drawn when given.
        ax: where to draw the backlog; a new figure when None.
    """
    ax = axes(ax, height=4.8)
    time = trace["time"].to_numpy()
    ax.step(time, trace["backlog"], where="post", color=COLOURS[0], label="requests waiting")
    if objective is not None:
        ax.axvline(objective, label=f"objective: empty after {objective:g} s", **reference())
    ax.set(xlabel="Time since the first request (s)", ylabel="Backlog (requests)")
    ax.set_ylim(bottom=0)
    legend(ax, loc="upper right")
    above = ax.inset_axes([0, 1.08, 1, 0.32], sharex=ax)
    above.spines[["top", "right"]].set_visible(False)
    above.grid(True, axis="y")
    above.fill_between(time, trace["instances"], step="post", color=COLOURS[5], alpha=0.6, linewidth=0)
    above.step(time, trace["instances"], where="post", color=COLOURS[1])
    above.set(ylabel="Instances", ylim=(0, float(trace["instances"].max()) + 0.5))
    above.yaxis.get_major_locator().set_params(integer=True)
    above.tick_params(labelbottom=False)
    return ax
