"""Answers that the tests of compare_models must tell apart."""

import numpy as np
from scipy import stats


def _verdict(low, high, margin):
    if -margin < low and high < margin:
        return "equivalent"
    if low > 0:
        return "first"
    return "second" if high < 0 else "undecided"


def _answer(differences, error, margin, confidence, verdict=_verdict):
    half = stats.t.ppf(0.5 + confidence / 2, len(differences) - 1) * error
    mean = float(np.mean(differences))
    low, high = mean - half, mean + half
    return {
        "difference": mean,
        "low": float(low),
        "high": float(high),
        "verdict": verdict(low, high, margin),
    }


def _differences(first, second):
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or len(first) < 2:
        raise ValueError("two metrics on the same folds are needed")
    return first - second


def right_by_scipy(first, second, test_to_train, margin, confidence=0.95):
    # the interval of scipy's t distribution
    d = _differences(first, second)
    scale = np.sqrt((1 / len(d) + test_to_train) * np.var(d, ddof=1))
    low, high = (
        stats.t.interval(confidence, len(d) - 1, loc=d.mean(), scale=scale)
        if scale
        else (d.mean(), d.mean())
    )
    return {
        "difference": float(d.mean()),
        "low": float(low),
        "high": float(high),
        "verdict": _verdict(low, high, margin),
    }


def wrong_paired_t_test(first, second, test_to_train, margin, confidence=0.95):
    # the folds' overlap is ignored: winners that are not there
    d = _differences(first, second)
    return _answer(d, np.sqrt(np.var(d, ddof=1) / len(d)), margin, confidence)


def wrong_unpaired(first, second, test_to_train, margin, confidence=0.95):
    # the variance of the two models' folds, not of their differences
    d = _differences(first, second)
    variance = np.var(first, ddof=1) + np.var(second, ddof=1)
    error = np.sqrt((1 / len(d) + test_to_train) * variance)
    return _answer(d, error, margin, confidence)


def wrong_population_variance(first, second, test_to_train, margin, confidence=0.95):
    # ddof=0
    d = _differences(first, second)
    error = np.sqrt((1 / len(d) + test_to_train) * np.var(d))
    return _answer(d, error, margin, confidence)


def wrong_better_mean_wins(first, second, test_to_train, margin, confidence=0.95):
    # whoever has the higher mean
    d = _differences(first, second)
    error = np.sqrt((1 / len(d) + test_to_train) * np.var(d, ddof=1))
    return _answer(
        d, error, margin, confidence, lambda *_: "first" if d.mean() > 0 else "second"
    )


def wrong_never_equivalent(first, second, test_to_train, margin, confidence=0.95):
    # significance alone: a difference that nobody would pay for has a winner
    d = _differences(first, second)
    error = np.sqrt((1 / len(d) + test_to_train) * np.var(d, ddof=1))
    return _answer(
        d, error, margin, confidence, lambda low, high, _: _verdict(low, high, 0)
    )


def wrong_not_significant_is_equivalent(
    first, second, test_to_train, margin, confidence=0.95
):
    # absence of evidence taken for evidence of absence
    d = _differences(first, second)
    error = np.sqrt((1 / len(d) + test_to_train) * np.var(d, ddof=1))

    def verdict(low, high, margin):
        return "equivalent" if low <= 0 <= high else _verdict(low, high, margin)

    return _answer(d, error, margin, confidence, verdict)


def wrong_normal_quantile(first, second, test_to_train, margin, confidence=0.95):
    # 1.96 for any number of folds
    d = _differences(first, second)
    half = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(
        (1 / len(d) + test_to_train) * np.var(d, ddof=1)
    )
    low, high = d.mean() - half, d.mean() + half
    return {
        "difference": d.mean(),
        "low": low,
        "high": high,
        "verdict": _verdict(low, high, margin),
    }
