"""Figures of a retention campaign: whom to contact, what it earns, how long customers stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.plots.style import axes, legend, reference, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gain(curves: Mapping[str, pd.DataFrame], marked_share: float | None = None, ax: Axes | None = None) -> Axes:
    """Share of all positives found against the share of customers contacted, with the random order's diagonal.

    Args:
        curves: name to a frame with the columns share and gain, as `BusinessMetrics.gain_curve` returns.
        marked_share: share of customers whose gain and lift stand in the legend, for example .1.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, curve), look in zip(curves.items(), styles(), strict=False):
        label = name
        if marked_share is not None:
            found = float(np.interp(marked_share, curve["share"], curve["gain"]))
            label = f"{name}, {found:.0%} in the top {marked_share:.0%}: lift {found / marked_share:.1f}"
        ax.plot(curve["share"], curve["gain"], label=label, **look)
    ax.plot([0, 1], [0, 1], label="random order", **reference())
    ax.set(xlabel="Share of customers contacted", ylabel="Share of churners among them", xlim=(0, 1), ylim=(0, 1.02))
    legend(ax, loc="lower right")
    return ax


def profit(curves: Mapping[str, pd.Series], unit: str = "currency units", ax: Axes | None = None) -> Axes:
    """Profit of a campaign against the number of customers contacted, with the best number marked.

    Args:
        curves: name to a series of profits indexed by the number of customers contacted.
        unit: unit of the profit, for the axis.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, curve), look in zip(curves.items(), styles(), strict=False):
        best = curve.idxmax()
        ax.plot(curve.index, curve.to_numpy(), label=f"{name}, most {curve[best]:,.0f} at {best:,}", **look)
        ax.plot(best, curve[best], marker="o", color=look["color"], markersize=7)
    ax.axhline(0, label="nobody is contacted", **reference())
    ax.set(xlabel="Customers contacted, best first", ylabel=f"Profit of the campaign ({unit})")
    legend(ax)
    return ax


def survival(curves: Mapping[str, pd.DataFrame], unit: str = "days", ax: Axes | None = None) -> Axes:
    """Share of customers who still stay against the time since they signed up, one step curve per group.

    Args:
        curves: name to a frame with the columns time and survival, and optionally low and high, a confidence band.
        unit: unit of the time, for the axis.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, curve), look in zip(curves.items(), styles(), strict=False):
        time = np.concatenate([[0], curve["time"]])
        ax.step(time, np.concatenate([[1], curve["survival"]]), where="post", label=name, **look)
        if {"low", "high"} <= set(curve.columns):
            low, high = (np.concatenate([[1], curve[column]]) for column in ("low", "high"))
            ax.fill_between(time, low, high, step="post", color=look["color"], alpha=0.15, linewidth=0)
    ax.set(xlabel=f"Time since sign-up ({unit})", ylabel="Share of customers who stay", ylim=(0, 1.02))
    ax.set_xlim(left=0)
    legend(ax)
    return ax


def qini(curves: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Customers kept by a treatment against the share of customers treated, with the line of a treatment by lot.

    Args:
        curves: name to a frame with the columns share (of customers) and kept (customers kept per customer of the
            log); every curve ends in the same point.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, curve), look in zip(curves.items(), styles(), strict=False):
        ax.plot(curve["share"], curve["kept"], label=name, **look)
    last = next(iter(curves.values())).iloc[-1]
    ax.plot([0, last["share"]], [0, last["kept"]], label="by lot", **reference())
    ax.set(xlabel="Share of customers treated, best first", ylabel="Customers kept, per customer of the log")
    ax.set_xlim(0, 1)
    legend(ax)
    return ax
