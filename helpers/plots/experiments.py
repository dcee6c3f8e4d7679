"""Figures of experiments and canaries: false alarms by looks, bounds, regret, detection, and a rollout in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.plots.style import COLOURS, MARKERS, axes, legend, reference, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def false_positives(curves: Mapping[str, pd.Series], alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Share of A/A experiments that some look calls different, against the number of looks.

    Args:
        curves: name of the rule to shares indexed by the number of looks.
        alpha: what was promised; drawn as a line.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, shares), look, marker in zip(curves.items(), styles(), MARKERS, strict=False):
        label = f"{name}, {shares.iloc[-1]:.1%} at {shares.index[-1]} looks"
        ax.plot(shares.index, shares.to_numpy(), marker=marker, label=label, **look)
    ax.axhline(alpha, label=f"promised, {alpha:.0%}", **reference())
    ax.set(xlabel="Looks at the data", ylabel="A/A experiments called different", ylim=(0, None))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    legend(ax, loc="upper left")
    return ax


def sequential_bounds(
    fractions: ArrayLike, bounds: ArrayLike, paths: Mapping[str, ArrayLike], fixed: float = 1.96, ax: Axes | None = None
) -> Axes:
    """z of experiments at their looks, between the bounds of a sequential test and the fixed ones that peeking uses.

    Args:
        fractions: of the planned observations, at each look, shape (looks,).
        bounds: of `|z|`, shape (looks,).
        paths: name to z at each look, shape (up to looks,).
        fixed: bound of a test with one look.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    fractions, bounds = np.asarray(fractions), np.asarray(bounds)
    for sign in (1, -1):
        label = "bound of all looks together" if sign == 1 else None
        ax.plot(fractions, sign * bounds, color=COLOURS[0], marker="o", markersize=3, label=label)
        ax.axhline(sign * fixed, label=f"bound of a single look, ±{fixed:g}" if sign == 1 else None, **reference())
    for (name, path), look in zip(paths.items(), list(_other_styles()), strict=False):
        ax.plot(fractions[: len(path)], path, label=name, **look)
    ax.set(xlabel="Share of the planned observations", ylabel="z of treatment minus control", ylim=(-8, 8))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    legend(ax, loc="lower right")
    return ax


def regret(curves: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Successes lost against the best arm alone, against the requests served: mean of many runs, and most of them.

    Args:
        curves: name of the allocation to a frame with the columns requests, mean, low and high.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, curve), look in zip(curves.items(), styles(), strict=False):
        ax.plot(curve["requests"], curve["mean"], label=f"{name}, {curve['mean'].iloc[-1]:.0f} at the end", **look)
        ax.fill_between(curve["requests"], curve["low"], curve["high"], color=look["color"], alpha=0.15, linewidth=0)
    ax.set(xlabel="Requests served", ylabel="Successes lost against the best arm", ylim=(0, None))
    legend(ax, loc="upper left")
    return ax


def detection(curves: Mapping[str, pd.Series], target: float = 0.95, ax: Axes | None = None) -> Axes:
    """Chance that a canary has shown its fault, against the minutes that it bakes.

    Args:
        curves: name of the plan to chances indexed by minutes.
        target: chance wanted; drawn as a line.
        ax: where to draw; a new figure when None.
    """
    ax = axes(ax)
    for (name, chances), look in zip(curves.items(), styles(), strict=False):
        reached = chances.index[chances >= target]
        when = f"after {reached[0]:g} min" if len(reached) else f"not within {chances.index[-1]:g} min"
        ax.plot(chances.index, chances.to_numpy(), label=f"{name}: {target:.0%} {when}", **look)
    ax.axhline(target, **reference())
    ax.set(xlabel="Bake time (min)", ylabel="Chance to have seen a fault", ylim=(0, 1.02))
    legend(ax, loc="lower right")
    return ax


def rollout_timeline(
    timeline: pd.DataFrame, metric: str, threshold: float, events: Mapping[str, float], ax: Axes | None = None
) -> Axes:
    """The new fleet's share of the traffic above, and the metric that its alarm watches below, on the same time.

    Args:
        timeline: columns minute, share (of the new fleet, 0 to 1) and value (of the metric, nan where there is none).
        metric: name of the metric and its unit, for the axis.
        threshold: of the alarm.
        events: what happened to the minute of it, drawn through both.
        ax: of the metric; a new figure when None. The share stands above it.
    """
    ax = axes(ax, height=4.6)
    above = ax.inset_axes((0, 1.12, 1, 0.75), sharex=ax)
    above.spines[["top", "right"]].set_visible(False)
    above.grid(True)
    above.fill_between(timeline["minute"], timeline["share"], step="mid", color=COLOURS[0], alpha=0.3)
    above.step(timeline["minute"], timeline["share"], where="mid", color=COLOURS[0])
    above.set(ylabel="Traffic on\nthe new fleet", ylim=(0, 1.05))
    above.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    above.tick_params(labelbottom=False)
    seen = timeline.dropna(subset="value")
    ax.plot(seen["minute"], seen["value"], color=COLOURS[1], marker="s", markersize=4, label="new fleet")
    ax.axhline(threshold, label=f"threshold, {threshold:g}", **reference())
    for (name, minute), line in zip(events.items(), ((0, (1, 1)), "--", "-."), strict=False):
        for part in (above, ax):
            part.axvline(minute, color=COLOURS[2], linestyle=line, linewidth=1.4, label=name)
    ax.set(xlabel="Minutes of AWS since UpdateEndpoint", ylabel=metric, ylim=(0, 1.3 * max(threshold, *seen["value"])))
    legend(ax, loc="best")
    return ax


def _other_styles() -> list[dict]:
    """Lines that are not taken for the bounds."""
    some = styles()
    next(some)
    return [next(some) | {"linewidth": 1.2} for _ in range(5)]
