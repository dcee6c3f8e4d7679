"""Figures of an endpoint under load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from helpers.plots.style import axes, legend, reference, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def latency_ecdf(milliseconds: Mapping[str, ArrayLike], objective: float | None = None, ax: Axes | None = None) -> Axes:
    """Share of requests answered within a time, on a logarithmic axis, with each trace's p50 and p99.

    Args:
        milliseconds: name to latencies, shape (n,), ms.
        objective: latency promised for the 99th percentile, ms; drawn when given.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, values), style in zip(milliseconds.items(), styles(), strict=False):
        p50, p99 = np.percentile(values, [50, 99])
        ax.ecdf(values, label=f"{name}, p50 {p50:.3g} ms, p99 {p99:.3g} ms", **style)
    ax.axhline(0.99, label="99 % of requests", **reference())
    if objective is not None:
        ax.axvline(objective, label=f"objective {objective:g} ms", **reference() | {"linestyle": ":"})
    ax.set(xscale="log", xlabel="Latency (ms)", ylabel="Share of requests answered", ylim=(0, 1.02))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    legend(ax, loc="lower right")
    return ax
