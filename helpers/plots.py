"""The course's figures: one function per figure, each takes data and returns the Axes it drew on.

Colours are Okabe and Ito's, told apart by colour-blind readers; every line also differs in style. Backgrounds are
opaque and light, so that a figure stays legible on a dark page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import metrics

from helpers import evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Source: Okabe, Ito, "Color Universal Design", 2008; its yellow is left out, too faint on a light background.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = "osD^v<"
INK = "#222222"
REFERENCE = "#767676"
BACKGROUND = "#FFFFFF"


def use_style() -> None:
    """Set the course's matplotlib style for all figures drawn afterwards."""
    import matplotlib

    matplotlib.rcParams.update(_style())


def precision_recall(y_true: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """Precision against recall of each model, with the prevalence that a random ranking reaches.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        scores: name to scores, shape (n,), higher is riskier.
        ax: where to draw; a new figure when None.
    """
    ax = _axes(ax)
    label = np.asarray(y_true, dtype=bool)
    for (name, score), style in zip(scores.items(), _styles(), strict=False):
        precision, recall, _ = metrics.precision_recall_curve(label, score)
        average = metrics.average_precision_score(label, score)
        # The curve's last point is a convention, precision 1 at recall 0, and no decision reaches it.
        ax.step(recall[:-1], precision[:-1], where="post", label=f"{name}, AP {average:.3f}", **style)
    prevalence = label.mean()
    ax.axhline(prevalence, label=f"random, prevalence {prevalence:.2%}", **_reference())
    ax.set(xlabel="Recall (share of frauds flagged)", ylabel="Precision (share of flags that are frauds)")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    _legend(ax)
    return ax


def roc(y_true: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """True positive rate against false positive rate of each model.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        scores: name to scores, shape (n,), higher is riskier.
        ax: where to draw; a new figure when None.
    """
    ax = _axes(ax)
    for (name, score), style in zip(scores.items(), _styles(), strict=False):
        false_positive, true_positive, _ = metrics.roc_curve(y_true, score)
        area = metrics.roc_auc_score(y_true, score)
        ax.plot(false_positive, true_positive, label=f"{name}, AUC {area:.3f}", **style)
    ax.plot([0, 1], [0, 1], label="random, AUC 0.5", **_reference())
    ax.set(xlabel="False positive rate (share of genuine rows flagged)", ylabel="True positive rate (recall)")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    _legend(ax, loc="lower right")
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
    ax = _axes(ax)
    threshold = np.asarray(threshold, dtype=float)
    finite = np.isfinite(threshold)
    curves = cost if isinstance(cost, Mapping) else {"expected cost": cost}
    for (name, values), style in zip(curves.items(), _styles(), strict=False):
        x, y = threshold[finite], np.asarray(values, dtype=float)[finite]
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        cheapest = int(np.argmin(y))
        ax.plot(x, y, label=f"{name}, least {y[cheapest]:.3g} at {x[cheapest]:.3g}", **style)
        ax.plot(x[cheapest], y[cheapest], marker="o", color=style["color"], markersize=7)
    ax.set(xlabel="Threshold (flag when the score is at least this)", ylabel=f"Expected cost ({unit})")
    ax.set_ylim(bottom=0)
    _legend(ax)
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
    ax = _axes(ax)
    label = np.asarray(y_true, dtype=bool)
    rare = label.mean() < 0.05
    strategy = strategy or ("log" if rare else "uniform")
    low = 1.0
    for (name, probability), style, marker in zip(probabilities.items(), _styles(), cycle(MARKERS), strict=False):
        table = evaluation.reliability_table(label, probability, n_bins, strategy)
        if rare:
            table = table[(table["observed"] > 0) & (table["predicted"] > 0)]
        low = min(low, table[["predicted", "observed"]].min().min())
        ece = evaluation.expected_calibration_error(label, probability, n_bins)
        ax.plot(table["predicted"], table["observed"], marker=marker, label=f"{name}, ECE {ece:.4f}", **style)
    low = low / 2 if rare else 0.0
    ax.plot([low, 1], [low, 1], label="calibrated", **_reference())
    if rare:
        ax.set(xscale="log", yscale="log")
    ax.set(xlim=(low, 1.05), ylim=(low, 1.05))
    ax.set(xlabel="Predicted probability (mean of bin)", ylabel="Observed share of positives (in bin)")
    _legend(ax)
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
    ax = _axes(ax)
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


def daily_card_precision(precision: Mapping[str, pd.Series], k: int, ax: Axes | None = None) -> Axes:
    """Card precision at k on each day, one line per model, with the mean in the legend.

    Args:
        precision: name to a series of precisions indexed by day, as `evaluation.card_precision_by_day` returns.
        k: cards checked a day.
        ax: where to draw; a new figure when None.
    """
    from matplotlib.ticker import MaxNLocator

    ax = _axes(ax)
    for (name, series), style, marker in zip(precision.items(), _styles(), cycle(MARKERS), strict=False):
        ax.plot(series.index, series.to_numpy(), marker=marker, label=f"{name}, mean {series.mean():.3f}", **style)
    ax.set(xlabel="Day of the test period", ylabel=f"Card precision at {k} (share of opened cards)")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(ax)
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

    ax = _axes(ax, height=2.6)
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


def feature_importance(importance: pd.Series, top: int = 15, unit: str = "share", ax: Axes | None = None) -> Axes:
    """Bars of the most important features, the largest on top.

    Args:
        importance: importance indexed by feature name.
        top: number of features drawn, ranked by absolute value.
        unit: what the importance measures, for the axis.
        ax: where to draw; a new figure when None.
    """
    ranked = importance.reindex(importance.abs().sort_values(ascending=False, kind="stable").index).head(top)[::-1]
    ax = _axes(ax, height=max(2.5, 0.28 * len(ranked) + 1))
    ax.barh(ranked.index.astype(str), ranked.to_numpy(), color=COLOURS[0])
    ax.set(xlabel=f"Importance ({unit})", ylabel="Feature")
    ax.grid(False, axis="y")
    return ax


def latency_ecdf(milliseconds: Mapping[str, ArrayLike], objective: float | None = None, ax: Axes | None = None) -> Axes:
    """Share of requests answered within a time, on a logarithmic axis, with each trace's p50 and p99.

    Args:
        milliseconds: name to latencies, shape (n,), ms.
        objective: latency promised for the 99th percentile, ms; drawn when given.
        ax: where to draw; a new figure when None.
    """
    ax = _axes(ax)
    for (name, values), style in zip(milliseconds.items(), _styles(), strict=False):
        p50, p99 = np.percentile(values, [50, 99])
        ax.ecdf(values, label=f"{name}, p50 {p50:.3g} ms, p99 {p99:.3g} ms", **style)
    ax.axhline(0.99, label="99 % of requests", **_reference())
    if objective is not None:
        ax.axvline(objective, label=f"objective {objective:g} ms", **_reference() | {"linestyle": ":"})
    ax.set(xscale="log", xlabel="Latency (ms)", ylabel="Share of requests answered", ylim=(0, 1.02))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _legend(ax, loc="lower right")
    return ax


def shap_beeswarm(values: ArrayLike, features: pd.DataFrame, top: int = 12, ax: Axes | None = None) -> Axes:
    """SHAP values of every row, one line of dots per feature, coloured by the feature's own value.

    Args:
        values: SHAP values in log-odds, shape (n_rows, n_features).
        features: the rows they explain, shape (n_rows, n_features).
        top: number of features drawn, ranked by mean absolute value.
        ax: where to draw; a new figure when None.

    Raises:
        ValueError: shapes differ.
    """
    values = np.asarray(values, dtype=float)
    if values.shape != features.shape:
        raise ValueError(f"SHAP values have shape {values.shape}, the features {features.shape}")
    strongest = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:top]
    ax = _axes(ax, height=max(2.8, 0.36 * len(strongest) + 1))
    for line, column in enumerate(strongest[::-1]):
        rank = features.iloc[:, column].rank(pct=True).to_numpy()
        dots = ax.scatter(
            values[:, column], line + _swarm(values[:, column]), c=rank, cmap="cividis", vmin=0, vmax=1, s=7,
            linewidths=0, rasterized=True,
        )  # fmt: skip
    ax.axvline(0, color=REFERENCE, linewidth=1)
    ax.set_yticks(range(len(strongest)), [str(features.columns[column]) for column in strongest[::-1]])
    ax.set(xlabel="SHAP value (change of the log-odds of fraud)", ylabel="Feature")
    bar = ax.figure.colorbar(dots, ax=ax, ticks=[0, 1], pad=0.02, aspect=30)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("Feature value (rank)")
    bar.outline.set_visible(False)
    return ax


def _swarm(values: np.ndarray, height: float = 0.38, n_bins: int = 80) -> np.ndarray:
    """Vertical offsets that spread equal values, wider where there are more of them."""
    span = np.ptp(values) or 1.0
    bins = ((values - values.min()) / span * (n_bins - 1)).astype(int)
    order = np.lexsort((values, bins))
    counts = np.bincount(bins, minlength=n_bins)
    place = np.empty(len(values))
    place[order] = np.arange(len(values)) - (np.cumsum(counts) - counts)[bins[order]]
    side = np.where(place % 2 == 0, 1, -1) * np.ceil(place / 2)
    return np.clip(side * 2 / max(counts.max(), 10), -1, 1) * height


def _style() -> dict:
    return {
        "figure.facecolor": BACKGROUND,
        "axes.facecolor": BACKGROUND,
        "savefig.facecolor": BACKGROUND,
        "savefig.transparent": False,
        "savefig.bbox": "tight",
        "figure.figsize": (7.0, 4.2),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "font.size": 10.5,
        "text.color": INK,
        "axes.edgecolor": REFERENCE,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.framealpha": 0.9,
        "legend.edgecolor": "#E4E4E4",
        "lines.linewidth": 1.8,
    }


def _axes(ax: Axes | None, height: float = 4.2) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    # A notebook's backend switches interactive drawing on when it loads; inside rc_context that would be undone.
    plt.draw_if_interactive()
    with plt.rc_context(_style()):
        return plt.subplots(figsize=(7.0, height))[1]


def _styles() -> Iterator[dict]:
    for i in count():
        yield {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)], "linewidth": 1.8}


def _reference() -> dict:
    return {"color": REFERENCE, "linestyle": (0, (2, 2)), "linewidth": 1.2}


def _legend(ax: Axes, **options) -> None:
    ax.legend(fontsize="small", **options)
