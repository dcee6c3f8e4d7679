"""How far the distribution of a feature is from the one of the baseline.

Source: the open-source data quality library Deequ, on which AWS's container is built: `Distance.scala`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ROBUST, SIMPLE = "Robust", "Simple"
L_INFINITY, CHI_SQUARED = "LInfinity", "ChiSquared"
_KOLMOGOROV_SMIRNOV = 1.8  # the distance, in units of its own sampling error, that two samples of one source may have


def numeric(baseline: dict, current: dict, method: str) -> float | None:
    """The greatest distance between the cumulative distributions of two numeric features, 0 to 1.

    Args:
        baseline: numerical_statistics of statistics.json; None is returned where it has no sketch.
        current: the other ones.
        method: Robust takes off what chance alone makes of two samples of these sizes; Simple does not.
    """
    import numpy as np

    ours, theirs = _sketched(current), _sketched(baseline)
    if ours is None or theirs is None:
        return None
    points = np.concatenate([ours[0], theirs[0]])
    distance = float(np.abs(_cumulated(*ours, points) - _cumulated(*theirs, points)).max())
    return corrected(distance, float(ours[1].sum()), float(theirs[1].sum()), method)


def categorical(baseline: dict, current: dict, method: str, categorical_method: str = L_INFINITY) -> float:
    """The distance between two features of text, 0 to 1.

    Args:
        baseline: string_statistics of statistics.json.
        current: the other ones.
        method: as for `numeric`, for LInfinity.
        categorical_method: LInfinity is the greatest difference of a value's shares; ChiSquared is 1 - p of the test
            that both have one source.
    """
    import numpy as np

    ours, theirs = _counts(current), _counts(baseline)
    values = list(ours.keys() | theirs.keys())
    counts = np.array([[side.get(value, 0) for value in values] for side in (ours, theirs)], dtype=float)
    sizes = counts.sum(axis=1)
    if not sizes.all():
        return 0.0
    if categorical_method == CHI_SQUARED:
        from scipy.stats import chi2_contingency

        return 1 - float(chi2_contingency(counts).pvalue) if len(values) > 1 else 0.0
    shares = counts / sizes[:, None]
    return corrected(float(np.abs(shares[0] - shares[1]).max()), *sizes, method)


def corrected(distance: float, size: float, other_size: float, method: str) -> float:
    """A distance less what chance makes of it."""
    if method == SIMPLE:
        return distance
    return max(0.0, distance - _KOLMOGOROV_SMIRNOV * math.sqrt((size + other_size) / (size * other_size)))


def _sketched(statistics: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """The values of a KLL sketch, ascending, and what each stands for."""
    import numpy as np

    levels = statistics.get("distribution", {}).get("kll", {}).get("sketch", {}).get("data")
    if not levels or not any(levels):
        return None
    values = np.concatenate([np.asarray(level, dtype=float) for level in levels])
    weights = np.concatenate([np.full(len(level), 2.0**index) for index, level in enumerate(levels)])
    order = np.argsort(values, kind="stable")
    return values[order], weights[order]


def _cumulated(values: np.ndarray, weights: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The share of values up to each point."""
    import numpy as np

    sums = np.concatenate([[0.0], np.cumsum(weights)])
    return sums[np.searchsorted(values, points, side="right")] / sums[-1]


def _counts(statistics: dict) -> dict[str | None, float]:
    """The counts of the values that are written, and of all others together as None."""
    buckets = statistics.get("distribution", {}).get("categorical", {}).get("buckets", [])
    counts: dict[str | None, float] = {bucket["value"]: bucket["count"] for bucket in buckets}
    others = statistics["common"]["num_present"] - sum(counts.values())
    return counts | ({None: others} if others > 0 else {})
