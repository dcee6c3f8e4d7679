"""Figures of scores and decisions against labels."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics

from helpers import evaluation
from helpers.plots.style import INK, MARKERS, axes, legend, reference, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def precision_recall(y_true: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """Precision against recall of each model, with the prevalence that a random ranking reaches.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        scores: name to scores, shape (n,), higher is riskier.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    label = np.asarray(y_true, dtype=bool)
    for (name, score), style in zip(scores.items(), styles(), strict=False):
        precision, recall, _ = metrics.precision_recall_curve(label, score)
        average = metrics.average_precision_score(label, score)
        # The curve's last point is a convention, precision 1 at recall 0, and no decision reaches it.
        ax.step(recall[:-1], precision[:-1], where="post", label=f"{name}, AP {average:.3f}", **style)
    prevalence = label.mean()
    ax.axhline(prevalence, label=f"random, prevalence {prevalence:.2%}", **reference())
    ax.set(xlabel="Recall (share of frauds flagged)", ylabel="Precision (share of flags that are frauds)")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    legend(ax)
    return ax


def roc(y_true: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """True positive rate against false positive rate of each model.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        scores: name to scores, shape (n,), higher is riskier.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, score), style in zip(scores.items(), styles(), strict=False):
        false_positive, true_positive, _ = metrics.roc_curve(y_true, score)
        area = metrics.roc_auc_score(y_true, score)
        ax.plot(false_positive, true_positive, label=f"{name}, AUC {area:.3f}", **style)
    ax.plot([0, 1], [0, 1], label="random, AUC 0.5", **reference())
    ax.set(xlabel="False positive rate (share of genuine rows flagged)", ylabel="True positive rate (recall)")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    legend(ax, loc="lower right")
    return ax


def cost_curve(
    threshold: ArrayLike,
    cost: ArrayLike | Mapping[str, ArrayLike],
    ax: Axes | None = None,
    unit: str = "currency units per transaction",
) -> Axes:
    """Expected cost against the decision threshold, with the cheapest threshold marked.

    Args:
        threshold: thresholds, shape (n,), infinite ones are left out.
        cost: expected cost at each threshold, shape (n,), or a name to such an array for each curve.
        ax: where to draw; a new figure when None.
        unit: unit of the cost, for the axis.
    """
    ax = axes(ax)
    threshold = np.asarray(threshold, dtype=float)
    finite = np.isfinite(threshold)
    curves = cost if isinstance(cost, Mapping) else {"expected cost": cost}
    for (name, values), style in zip(curves.items(), styles(), strict=False):
        x, y = threshold[finite], np.asarray(values, dtype=float)[finite]
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        cheapest = int(np.argmin(y))
        ax.plot(x, y, label=f"{name}, least {y[cheapest]:.3g} at {x[cheapest]:.3g}", **style)
        ax.plot(x[cheapest], y[cheapest], marker="o", color=style["color"], markersize=7)
    ax.set(xlabel="Threshold (flag when the score is at least this)", ylabel=f"Expected cost ({unit})")
    ax.set_ylim(bottom=0)
    legend(ax)
    return ax


def reliability(
    y_true: ArrayLike,
    probabilities: Mapping[str, ArrayLike],
    n_bins: int = 10,
    strategy: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Observed frequency against predicted probability, on logarithmic axes when positives are rare.

    Bins without a positive have no place on logarithmic axes and are left out there. The calibration error in the
    legend is always that of equal-width bins.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        probabilities: name ("before", "after") to predicted probabilities, shape (n,).
        n_bins: bins of the probability.
        strategy: as in `evaluation.reliability_table`; when None, "log" if fewer than 5 % are positive, else "uniform".
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    label = np.asarray(y_true, dtype=bool)
    rare = label.mean() < 0.05
    strategy = strategy or ("log" if rare else "uniform")
    low = 1.0
    for (name, probability), style, marker in zip(probabilities.items(), styles(), cycle(MARKERS), strict=False):
        table = evaluation.reliability_table(label, probability, n_bins, strategy)
        if rare:
            table = table[(table["observed"] > 0) & (table["predicted"] > 0)]
        low = min(low, table[["predicted", "observed"]].min().min())
        ece = evaluation.expected_calibration_error(label, probability, n_bins)
        ax.plot(table["predicted"], table["observed"], marker=marker, label=f"{name}, ECE {ece:.4f}", **style)
    low = low / 2 if rare else 0.0
    ax.plot([low, 1], [low, 1], label="calibrated", **reference())
    if rare:
        ax.set(xscale="log", yscale="log")
    ax.set(xlim=(low, 1.05), ylim=(low, 1.05))
    ax.set(xlabel="Predicted probability (mean of bin)", ylabel="Observed share of positives (in bin)")
    legend(ax)
    return ax


def confusion_matrix(
    y_true: ArrayLike, flagged: ArrayLike, names: tuple[str, str] = ("genuine", "fraud"), ax: Axes | None = None
) -> Axes:
    """Counts of true against decided class, coloured by the share within the true class.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        flagged: decisions, 0 and 1 or booleans, shape (n,).
        names: what to call the negative and the positive class.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    counts = metrics.confusion_matrix(np.asarray(y_true, dtype=bool), np.asarray(flagged, dtype=bool), labels=[0, 1])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), rows in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.5 else INK
        text = f"{rows:,}\n{share[row, column]:.2%} of {names[row]}"
        ax.text(column, row, text, ha="center", va="center", color=colour)
    ax.set(xticks=[0, 1], yticks=[0, 1], xticklabels=names, yticklabels=names)
    ax.set(xlabel="Decided class", ylabel="True class (number of rows)")
    ax.grid(False)
    return ax
