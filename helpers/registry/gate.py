"""The gate before the registry: does a challenger beat the champion on the same rows, and by how much?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class PairedDifference:
    """What a challenger gains on the champion.

    Attributes:
        champion: the champion's metric on all rows.
        challenger: the challenger's.
        low: lower end of the interval of challenger minus champion.
        high: its upper end.
        confidence: the interval's coverage, for example 0.95.
    """

    champion: float
    challenger: float
    low: float
    high: float
    confidence: float

    @property
    def estimate(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


def paired_difference(
    label: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    metric: Metric,
    groups: np.ndarray | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Bootstrap interval of the difference of two models' metrics on the same rows.

    Both models are scored on each resample, so what makes a row hard for both cancels out. Rows of one group are drawn
    together: a card's transactions are not independent.

    Args:
        label: true labels, shape (n_rows,).
        champion: scores of the model in service, shape (n_rows,).
        challenger: scores of the new model, shape (n_rows,).
        metric: metric(label, score), higher is better, for example `average_precision_score`.
        groups: what is drawn together, shape (n_rows,); each row alone by default.
        n_resamples: number of bootstrap samples.
        confidence: coverage of the percentile interval.
        seed: of the resampling.

    Raises:
        ValueError: the arrays differ in length or are empty, labels are of one class, or confidence is not in (0, 1).

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    label, champion, challenger = np.asarray(label), np.asarray(champion), np.asarray(challenger)
    lengths = {"label": len(label), "champion": len(champion), "challenger": len(challenger)}
    if len(set(lengths.values())) > 1 or not len(label):
        raise ValueError(f"label, champion and challenger must have one length above 0, got {lengths}")
    if len(np.unique(label)) < 2:
        raise ValueError(f"a metric of one class says nothing: every label is {label[0]}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    rows_of = _rows_of(np.arange(len(label)) if groups is None else np.asarray(groups))
    rng = np.random.default_rng(seed)
    gains = []
    while len(gains) < n_resamples:
        drawn = np.concatenate([rows_of[i] for i in rng.integers(len(rows_of), size=len(rows_of))])
        if len(np.unique(label[drawn])) == 2:
            gains.append(metric(label[drawn], challenger[drawn]) - metric(label[drawn], champion[drawn]))
    low, high = np.quantile(gains, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PairedDifference(
        float(metric(label, champion)), float(metric(label, challenger)), float(low), float(high), confidence
    )


def promotes(difference: PairedDifference, margin: float = 0.0) -> bool:
    """Whether the challenger is registered: its gain is above `margin` with the interval's confidence.

    A negative margin asks that it is not worse by more than that, the test for a model that is cheaper to run.
    """
    return difference.low > margin


def _rows_of(groups: np.ndarray) -> list[np.ndarray]:
    """The rows of each group."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(np.unique(groups, return_inverse=True)[1][order]) > 0])
    return np.split(order, starts[1:])
