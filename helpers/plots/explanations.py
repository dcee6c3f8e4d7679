"""Figures of what a model looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.plots.style import COLOURS, REFERENCE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def feature_importance(importance: pd.Series, top: int = 15, unit: str = "share", ax: Axes | None = None) -> Axes:
    """Bars of the most important features, the largest on top.

    Args:
        importance: importance indexed by feature name.
        top: number of features drawn, ranked by absolute value.
        unit: what the importance measures, for the axis.
        ax: where to draw; a new figure when None.
    """
    ranked = importance.reindex(importance.abs().sort_values(ascending=False, kind="stable").index).head(top)[::-1]
    ax = axes(ax, height=max(2.5, 0.28 * len(ranked) + 1))
    ax.barh(ranked.index.astype(str), ranked.to_numpy(), color=COLOURS[0])
    ax.set(xlabel=f"Importance ({unit})", ylabel="Feature")
    ax.grid(False, axis="y")
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
    ax = axes(ax, height=max(2.8, 0.36 * len(strongest) + 1))
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
