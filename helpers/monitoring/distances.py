"""Distances between the distribution of a feature at training time and in service, and how large chance makes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon


def population_stability_index(reference: np.ndarray, current: np.ndarray, bins: int = 10) -> float:
    """Population stability index: sum over bins of (q - p) ln(q / p), 0 for equal shares, without an upper limit.

    A numeric feature is cut at the reference's quantiles, any other one by its values; missing values are a bin of
    their own. Half a row is added to each bin, so that an empty one gives a large value and not an infinite one.

    Args:
        reference: values at training time, shape (n_reference,).
        current: values in service, shape (n_current,).
        bins: number of quantile bins.

    Raises:
        ValueError: one of the two is empty, or bins is below 2.

    Source:
        Yurdakul and Naranjo, Statistical properties of the population stability index, Journal of Risk Model
        Validation 14(4), 2020.
    """
    p, q = _smoothed(*binned(reference, current, bins))
    return float(np.sum((q - p) * np.log(q / p)))


def psi_limit(n_reference: int, n_current: int, bins: int = 10, alpha: float = 0.01) -> float:
    """The PSI that two samples of one distribution exceed with probability alpha.

    Without drift, PSI is about (1 / n_reference + 1 / n_current) times a chi-squared variable with bins - 1 degrees of
    freedom: the customary 0.1 and 0.25 are noise for a few hundred rows, and blind for millions.

    Raises:
        ValueError: a count is below 1, bins below 2, or alpha is not in (0, 1).

    Source:
        Yurdakul and Naranjo, 2020, theorem 1.
    """
    if min(n_reference, n_current) < 1 or bins < 2 or not 0 < alpha < 1:
        raise ValueError(
            f"counts must be at least 1, bins at least 2 and alpha between 0 and 1, "
            f"got {n_reference}, {n_current}, {bins} and {alpha}"
        )
    return float(stats.chi2.ppf(1 - alpha, bins - 1) * (1 / n_reference + 1 / n_current))


def jensen_shannon_distance(reference: np.ndarray, current: np.ndarray, bins: int = 10) -> float:
    """Jensen-Shannon distance to base 2 between the binned shares: 0 for equal ones, 1 for disjoint ones.

    The bins are those of `population_stability_index`; no smoothing is needed.

    Source:
        Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37(1), 1991.
    """
    p, q = binned(reference, current, bins)
    return float(jensenshannon(p / p.sum(), q / q.sum(), base=2))


def kolmogorov_smirnov(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """Kolmogorov-Smirnov statistic (largest gap between the two distribution functions) and its p-value.

    The statistic is a distance: larger means more drift. The p-value is none: it falls with the drift, and with the
    number of rows. Missing values are left out.

    Raises:
        ValueError: one of the two holds no value.
    """
    reference, current = (_present(np.asarray(values, dtype=float)) for values in (reference, current))
    if not len(reference) or not len(current):
        raise ValueError(f"no value to compare: {len(reference)} in the reference, {len(current)} in service")
    found = stats.ks_2samp(reference, current, method="asymp")
    return float(found.statistic), float(found.pvalue)


def drift_report(
    reference: pd.DataFrame, current: pd.DataFrame, bins: int = 10, threshold: float = 0.1, alpha: float = 0.01
) -> pd.DataFrame:
    """Drift of each feature, worst first.

    A feature has drifted if its PSI is above `threshold` (it matters) and above what chance gives (it is there), the
    latter at alpha over the number of features.

    Args:
        reference: rows at training time, one column per feature.
        current: rows in service, with the same columns; further ones are left alone.
        bins: number of quantile bins of a numeric feature.
        threshold: smallest PSI that matters.
        alpha: probability of any false alarm among all features, if none has drifted.

    Returns:
        One row per feature: feature, kind ("numeric" or "categorical"), n (rows in service), missing_reference and
        missing_current (shares), psi, limit (what chance gives), js, ks, ks_pvalue (NaN for a categorical feature),
        drifted (bool).

    Raises:
        ValueError: a column of the reference is not in service, or one of the two is empty.
    """
    absent = [name for name in reference if name not in current]
    if absent:
        raise ValueError(f"columns that the reference has and the rows in service have not: {', '.join(absent)}")
    rows = []
    for name in reference:
        before, after = reference[name].to_numpy(), current[name].to_numpy()
        numeric = pd.api.types.is_numeric_dtype(reference[name]) and not pd.api.types.is_bool_dtype(reference[name])
        p, _ = binned(before, after, bins)
        limit = psi_limit(len(before), len(after), max(len(p), 2), alpha / reference.shape[1])
        psi = population_stability_index(before, after, bins)
        comparable = numeric and pd.notna(before).any() and pd.notna(after).any()
        ks, pvalue = kolmogorov_smirnov(before, after) if comparable else (np.nan, np.nan)
        rows.append(
            {
                "feature": name,
                "kind": "numeric" if numeric else "categorical",
                "n": len(after),
                "missing_reference": float(pd.isna(before).mean()),
                "missing_current": float(pd.isna(after).mean()),
                "psi": psi,
                "limit": limit,
                "js": jensen_shannon_distance(before, after, bins),
                "ks": ks,
                "ks_pvalue": pvalue,
                "drifted": psi > max(threshold, limit),
            }
        )
    return pd.DataFrame(rows).sort_values("psi", ascending=False, ignore_index=True)


def binned(reference: np.ndarray, current: np.ndarray, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """How many rows of each fall into each bin, two arrays of one length; see `population_stability_index`."""
    reference, current = np.asarray(reference), np.asarray(current)
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    if not len(reference) or not len(current):
        raise ValueError(f"nothing to compare: {len(reference)} rows in the reference, {len(current)} in service")
    bin_of = _quantile_bins if _is_numeric(reference) else _value_bins
    before, after = bin_of(reference, current, bins)
    size = 1 + max(before.max(), after.max())
    counts = np.stack([np.bincount(each, minlength=size) for each in (before, after)]).astype(float)
    used = counts.any(axis=0)
    return counts[0, used], counts[1, used]


def _quantile_bins(reference: np.ndarray, current: np.ndarray, bins: int) -> list[np.ndarray]:
    """The number of each value's bin among the reference's quantiles; the last one is for missing values."""
    present = _present(reference.astype(float))
    edges = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1])) if len(present) else np.array([])
    numbers = []
    for values in (reference.astype(float), current.astype(float)):
        number = np.searchsorted(edges, values, side="left")
        numbers.append(np.where(np.isnan(values), len(edges) + 1, number))
    return numbers


def _value_bins(reference: np.ndarray, current: np.ndarray, _: int) -> list[np.ndarray]:
    """A number for each distinct value, missing ones included."""
    numbers, _ = pd.factorize(np.concatenate([reference.astype(object), current.astype(object)]), use_na_sentinel=False)
    return [numbers[: len(reference)], numbers[len(reference) :]]


def _smoothed(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()


def _present(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _is_numeric(values: np.ndarray) -> bool:
    return np.issubdtype(values.dtype, np.number)
