"""Before an experiment: how many observations it takes, who sees what, and whether the lot was fair."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.power import normal_sample_size_one_tail

from helpers.experiments.sequential import inflation

# Source: Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.
SRM_ALPHA = 0.0005


def sample_size(p0: float, p1: float, alpha: float = 0.05, power: float = 0.8, looks: int = 1) -> int:
    """Observations per arm with which a two-sided test tells two proportions apart.

    The difference of the two shares is taken as normal, with the variance that it has under the alternative. With more
    than one look, the number is that of the last look of a group-sequential test with O'Brien-Fleming spending, which
    needs a little more than a test with one look.

    Args:
        p0: share of successes in the control arm, in (0, 1).
        p1: share of successes in the treatment arm, in (0, 1).
        alpha: false positives of the two-sided test.
        power: chance to find the difference.
        looks: at equal distances, the last of them at the returned number.

    Raises:
        ValueError: a share, alpha or power does not lie in (0, 1), p0 equals p1, or looks is below 1.

    Source: Chow, Shao, Wang, Lokhnygina, "Sample Size Calculations in Clinical Research", 3rd ed., 2017, ch. 4.
    """
    for name, value in {"p0": p0, "p1": p1, "alpha": alpha, "power": power}.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    if p0 == p1:
        raise ValueError(f"no number of observations tells {p0} from {p1}")
    deviation = math.sqrt(p0 * (1 - p0) + p1 * (1 - p1))
    needed = normal_sample_size_one_tail(abs(p1 - p0), power, alpha / 2, std_null=deviation)
    return math.ceil(needed * inflation(looks, alpha, power))


@dataclass(frozen=True)
class SampleRatio:
    """Whether arms hold as many observations as their weights say.

    Attributes:
        p_value: of the chi-square test that they do.
        mismatch: whether the p-value is below the threshold; the experiment's result is then not to be read.
        expected: observations by arm that the weights promise.
    """

    p_value: float
    mismatch: bool
    expected: dict[str, float]


def sample_ratio_mismatch(
    counts: Mapping[str, int], weights: Mapping[str, float], alpha: float = SRM_ALPHA
) -> SampleRatio:
    """Test whether the observations by arm agree with the weights that the arms were given.

    Args:
        counts: units of randomisation by arm; an arm that nobody saw has the count 0.
        weights: by arm, any scale.
        alpha: threshold. The check runs on every experiment and its alarm ends one, so it is far stricter than .05;
            with enough traffic, a real fault still falls far below it.

    Raises:
        ValueError: the arms differ, a weight is not positive, a count is negative, or nothing was counted.
    """
    if set(counts) != set(weights) or len(counts) < 2:
        raise ValueError(
            f"counts and weights must name the same arms, at least two: {sorted(counts)}, {sorted(weights)}"
        )
    observed = np.array([counts[arm] for arm in weights], dtype=float)
    share = np.array(list(weights.values()), dtype=float)
    if (share <= 0).any() or (observed < 0).any() or observed.sum() == 0:
        raise ValueError(
            f"weights must be positive, counts not negative and not all 0: {dict(weights)}, {dict(counts)}"
        )
    expected = observed.sum() * share / share.sum()
    p_value = float(stats.chisquare(observed, expected).pvalue)
    return SampleRatio(p_value, p_value < alpha, dict(zip(weights, expected.tolist(), strict=True)))


def assign(units: Iterable[object], weights: Mapping[str, float], salt: str) -> list[str]:
    """Arm of each unit, the same whenever it is asked for: a hash of the unit decides.

    Args:
        units: what is randomised, for example user ids; equal units get equal arms.
        weights: by arm, any scale.
        salt: name of the experiment. Another salt gives an independent lot, so that an experiment does not inherit the
            groups of the last one.

    Raises:
        ValueError: a weight is negative, or all are 0.
    """
    share = np.array(list(weights.values()), dtype=float)
    if (share < 0).any() or share.sum() == 0:
        raise ValueError(f"weights must not be negative and not all 0: {dict(weights)}")
    hashes = [hashlib.sha256(f"{salt}:{unit}".encode()).digest()[:8] for unit in units]
    positions = np.array([int.from_bytes(each, "big") for each in hashes], dtype=float) / 2**64
    arms = list(weights)
    last = np.flatnonzero(share)[-1]
    found = np.searchsorted(np.cumsum(share) / share.sum(), positions, side="right")
    return [arms[min(place, last)] for place in found]
