"""Looks at an experiment while it runs: a group-sequential test that spends its false positives look by look.

O'Brien and Fleming's spending function of Lan and DeMets leaves the looks' number and times open and asks almost no
additional observations. The boundaries are exact for the normal limit: the density of the running statistic, of the
streams that have not been stopped, is carried from look to look by numerical integration.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

# Beyond this |z| lies less than the 1e-17 that no look of a sensible plan spends.
MOST_Z = 8.5
COUNTS = ("n0", "x0", "n1", "x1")


def spending(fractions: ArrayLike, alpha: float = 0.05) -> np.ndarray:
    """False positives that may have been spent by a share of the planned observations, of O'Brien and Fleming's type.

    Args:
        fractions: observed over planned observations, shape (looks,), in (0, 1]; beyond 1 it is alpha.
        alpha: of the whole two-sided test.

    Source: Lan, DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70, 1983.
    """
    fractions = np.minimum(np.asarray(fractions, dtype=float), 1.0)
    return 4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(fractions))


def boundaries(fractions: ArrayLike, alpha: float = 0.05) -> np.ndarray:
    """Bound of `|z|` at each look, so that all looks together raise a share alpha of false alarms.

    A bound depends on the looks up to it alone: whoever looks once more later changes none of those before.

    Args:
        fractions: observed over planned observations at each look, shape (looks,), rising, in (0, 1].
        alpha: of the whole two-sided test.

    Returns:
        Shape (looks,). A look with a negligible amount to spend has `MOST_Z`.

    Raises:
        ValueError: fractions do not rise within (0, 1], or alpha does not lie in (0, 1).

    Source: Armitage, McPherson, Rowe, "Repeated significance tests on accumulating data", JRSS A 132, 1969;
    Jennison, Turnbull, "Group Sequential Methods with Applications to Clinical Trials", 2000, ch. 7 and 19.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    return np.array(_boundaries(tuple(_checked(fractions).tolist()), alpha))


def crossing_probabilities(fractions: ArrayLike, bounds: ArrayLike, drift: float = 0.0) -> np.ndarray:
    """Chance that `|z|` crosses its bound for the first time at each look.

    With bounds of 1.96 at every look it is what peeking does; with `boundaries` and no drift it sums to alpha.

    Args:
        fractions: observed over planned observations at each look, shape (looks,), rising, in (0, 1].
        bounds: of `|z|`, shape (looks,).
        drift: expected z once all planned observations are there; 0 without any difference. A difference that a test
            with one look finds with the power 1 - beta has z(1 - alpha/2) + z(1 - beta).

    Returns:
        Shape (looks,).

    Raises:
        ValueError: fractions do not rise within (0, 1], or there are not as many bounds.
    """
    fractions, bounds = _checked(fractions), np.asarray(bounds, dtype=float)
    if bounds.shape != fractions.shape:
        raise ValueError(f"{len(fractions)} looks need as many bounds, got {bounds.shape}")
    walk = _Walk(drift)
    return np.array([walk.look(fraction, bound) for fraction, bound in zip(fractions, bounds, strict=True)])


@lru_cache(maxsize=256)
def inflation(looks: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Observations that a test with so many equidistant looks needs, over those of a test with one look.

    Raises:
        ValueError: looks is below 1.
    """
    if looks < 1:
        raise ValueError(f"looks must be at least 1, got {looks}")
    if looks == 1:
        return 1.0
    fractions = np.arange(1, looks + 1) / looks
    bounds = boundaries(fractions, alpha)
    fixed = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    drift = brentq(
        lambda each: crossing_probabilities(fractions, bounds, each).sum() - power, fixed, 1.5 * fixed, xtol=1e-6
    )
    return float((drift / fixed) ** 2)


def z_scores(looks: pd.DataFrame) -> pd.Series:
    """z of the difference of two shares, treatment minus control, with the pooled variance; 0 where it is not defined.

    Args:
        looks: columns n0, x0, n1, x1 as in `sequential_test`.
    """
    n0, x0, n1, x1 = (looks[column].to_numpy(dtype=float) for column in COUNTS)
    pooled = (x0 + x1) / (n0 + n1)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
    difference = x1 / n1 - x0 / n0
    return pd.Series(np.divide(difference, deviation, out=np.zeros_like(difference), where=deviation > 0), looks.index)


def sequential_test(looks: pd.DataFrame, n_per_arm: int, alpha: float = 0.05) -> pd.DataFrame:
    """Judge an experiment at each look, with at most alpha false positives over all looks together.

    Args:
        looks: one row per look in their order, with the counts so far: n0 and n1 observations, x0 and x1 successes of
            control and treatment.
        n_per_arm: planned number per arm; `sample_size` with the number of looks. The looks may come at any time, but
            neither their times nor n_per_arm may be chosen by what was seen.
        alpha: of the whole two-sided test.

    Returns:
        The looks with the columns fraction (of the planned information), z, bound (of `|z|`), difference (treatment
        minus control), low and high (an interval that holds the difference at all looks at once with probability
        1 - alpha) and crossed (whether `|z|` reaches its bound at this look or did at an earlier one).
        Looks after a fraction of 1 have nothing left to spend: their crossed is that of the last one before.

    Raises:
        KeyError: a column is missing.
        ValueError: the counts do not rise, an arm is empty, or there are more successes than observations.

    Source: repeated confidence intervals of Jennison, Turnbull, "Interim analyses: the repeated confidence interval
    approach", JRSS B 51, 1989.
    """
    _check_counts(looks)
    n0, x0, n1, x1 = (looks[column].to_numpy(dtype=float) for column in COUNTS)
    fraction = np.minimum(2 / (1 / n0 + 1 / n1) / n_per_arm, 1.0)
    used = np.concatenate([[True], np.diff(fraction) > 0])
    bound = np.full(len(looks), np.inf)
    bound[used] = boundaries(fraction[used], alpha)
    z, p0, p1 = z_scores(looks).to_numpy(), x0 / n0, x1 / n1
    deviation = np.sqrt(p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1)
    margin = np.where(used, bound, 0) * deviation
    judged = looks.assign(fraction=fraction, z=z, bound=bound, difference=p1 - p0)
    judged["low"] = np.where(used, p1 - p0 - margin, np.nan)
    judged["high"] = np.where(used, p1 - p0 + margin, np.nan)
    return judged.assign(crossed=np.maximum.accumulate(np.abs(z) >= bound))


class _Walk:
    """The density of a Brownian motion with drift at the looks, of the paths that no bound has stopped."""

    def __init__(self, drift: float) -> None:
        self._drift = drift
        self._time = 0.0
        self._at, self._mass = np.zeros(1), np.ones(1)

    def beyond(self, time: float, bound: float) -> float:
        """Chance that a path has not been stopped before and has `|z|` beyond a bound at a time."""
        mean, deviation = self._step(time)
        limit = bound * np.sqrt(time)
        outside = stats.norm.sf((limit - mean) / deviation) + stats.norm.cdf((-limit - mean) / deviation)
        return float(self._mass @ outside)

    def look(self, time: float, bound: float) -> float:
        """As `beyond`; the paths there are stopped."""
        crossed = self.beyond(time, bound)
        mean, deviation = self._step(time)
        centre, reach = self._drift * time, min(bound, MOST_Z) * np.sqrt(time)
        low, high = max(-reach, centre - MOST_Z * np.sqrt(time)), min(reach, centre + MOST_Z * np.sqrt(time))
        if high <= low:
            self._at, self._mass, self._time = np.zeros(1), np.zeros(1), time
            return crossed
        # Nodes lie denser than the step's deviation, so that its density is integrated to many digits.
        nodes, weights = _nodes(max(64, 8 * int((high - low) / deviation)))
        at = (high - low) / 2 * nodes + (high + low) / 2
        density = stats.norm.pdf(at[:, None], mean, deviation) @ self._mass
        self._at, self._mass, self._time = at, density * weights * (high - low) / 2, time
        return crossed

    def _step(self, time: float) -> tuple[np.ndarray, float]:
        step = time - self._time
        return self._at + self._drift * step, float(np.sqrt(step))


@lru_cache(maxsize=64)
def _nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(min(count, 1000))


@lru_cache(maxsize=1024)
def _boundaries(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    walk, bounds, spent = _Walk(0.0), [], 0.0
    for fraction, allowed in zip(fractions, spending(fractions, alpha).tolist(), strict=True):
        left = allowed - spent

        def excess(bound: float, fraction: float = fraction, left: float = left) -> float:
            return walk.beyond(fraction, bound) - left

        bound = MOST_Z if excess(MOST_Z) >= 0 else brentq(excess, 0.0, MOST_Z, xtol=1e-10)
        walk.look(fraction, bound)
        bounds.append(bound)
        spent = allowed
    return tuple(bounds)


def _checked(fractions: ArrayLike) -> np.ndarray:
    fractions = np.asarray(fractions, dtype=float)
    if fractions.ndim != 1 or not len(fractions) or (np.diff(fractions, prepend=0.0) <= 0).any() or fractions[-1] > 1:
        raise ValueError(f"fractions must rise within (0, 1], got {fractions}")
    return fractions


def _check_counts(looks: pd.DataFrame) -> None:
    if missing := [column for column in COUNTS if column not in looks.columns]:
        raise KeyError(f"looks lacks the columns {missing}: it has {list(looks.columns)}")
    counts = looks[list(COUNTS)]
    if counts.empty or (counts[["n0", "n1"]] <= 0).any(axis=None) or (counts < 0).any(axis=None):
        raise ValueError("looks must not be empty, and both arms must hold observations at each of them")
    if (counts.diff() < 0).any(axis=None):
        raise ValueError("looks hold the counts so far: none may fall from one look to the next")
    if (counts["x0"] > counts["n0"]).any() or (counts["x1"] > counts["n1"]).any():
        raise ValueError("an arm has more successes than observations")
