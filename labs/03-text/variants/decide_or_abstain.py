"""Answers that the tests of decide_or_abstain must tell apart."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve


def _check(fitted, asked, coverage):
    if not 0 < coverage <= 1 or set(fitted.columns) != set(asked.columns):
        raise ValueError("coverage is out of range, or the columns differ")


def _f1(y, taken):
    return 2 * (y & taken).sum() / (y.sum() + taken.sum())


def _threshold(p, y):
    """The largest of the best thresholds of one class."""
    if not y.any() or not (p > 0).any():
        return 1.0
    best = (-1.0, 1.0)
    for t in np.unique(p[p > 0]):
        score = _f1(y, p >= t)
        if score >= best[0] - 1e-12:
            best = (score, t)
    return best[1]


def _thresholds(fitted, label):
    label = np.asarray(label)
    return pd.Series({c: _threshold(fitted[c].to_numpy(), label == c) for c in fitted})


def _answered(sure, asked_sure, names, coverage):
    """Answers from confidences of the fitted and of the asked rows."""
    reached = np.sort(sure.max(axis=1))[::-1]
    cut = reached[int(np.ceil(coverage * len(reached) - 1e-9)) - 1]
    answer = names[asked_sure.argmax(axis=1)].astype(object)
    answer[asked_sure.max(axis=1) < cut] = None
    return answer


def right_by_loop(fitted, fitted_label, asked, coverage):
    # thresholds by one candidate after the other
    _check(fitted, asked, coverage)
    t = _thresholds(fitted, fitted_label)
    names, asked_ = fitted.columns.to_numpy(), asked[list(fitted.columns)]
    answer = _answered(
        fitted.to_numpy() / t.to_numpy(),
        asked_.to_numpy() / t.to_numpy(),
        names,
        coverage,
    )
    return pd.Series(answer, asked.index, dtype=object)


def wrong_largest_probability(fitted, fitted_label, asked, coverage):
    # no thresholds: frequent classes win
    _check(fitted, asked, coverage)
    names, asked_ = fitted.columns.to_numpy(), asked[list(fitted.columns)]
    answer = _answered(fitted.to_numpy(), asked_.to_numpy(), names, coverage)
    return pd.Series(answer, asked.index, dtype=object)


def wrong_difference(fitted, fitted_label, asked, coverage):
    # probability minus threshold
    _check(fitted, asked, coverage)
    t = _thresholds(fitted, fitted_label).to_numpy()
    names, asked_ = fitted.columns.to_numpy(), asked[list(fitted.columns)]
    answer = _answered(fitted.to_numpy() - t, asked_.to_numpy() - t, names, coverage)
    return pd.Series(answer, asked.index, dtype=object)


def wrong_cut_on_the_asked(fitted, fitted_label, asked, coverage):
    # the coverage is met on the tickets to answer, by looking at all of them
    _check(fitted, asked, coverage)
    t = _thresholds(fitted, fitted_label).to_numpy()
    names, asked_ = fitted.columns.to_numpy(), asked[list(fitted.columns)]
    sure = asked_.to_numpy() / t
    return pd.Series(_answered(sure, sure, names, coverage), asked.index, dtype=object)


def wrong_quantile(fitted, fitted_label, asked, coverage):
    # an interpolated quantile: with ties and few rows another coverage
    _check(fitted, asked, coverage)
    t = _thresholds(fitted, fitted_label).to_numpy()
    cut = np.quantile((fitted.to_numpy() / t).max(axis=1), 1 - coverage)
    sure = asked[list(fitted.columns)].to_numpy() / t
    answer = fitted.columns.to_numpy()[sure.argmax(axis=1)].astype(object)
    answer[sure.max(axis=1) <= cut] = None
    return pd.Series(answer, asked.index, dtype=object)


def wrong_smallest_threshold(fitted, fitted_label, asked, coverage):
    # of equal F1, the smallest
    _check(fitted, asked, coverage)
    label = np.asarray(fitted_label)
    t = []
    for one in fitted:
        p, y = fitted[one].to_numpy(), label == one
        candidates = np.unique(p[p > 0])
        f1 = [_f1(y, p >= c) for c in candidates]
        t.append(candidates[int(np.argmax(f1))] if y.any() and len(f1) else 1.0)
    names, asked_ = fitted.columns.to_numpy(), asked[list(fitted.columns)]
    answer = _answered(fitted.to_numpy() / t, asked_.to_numpy() / t, names, coverage)
    return pd.Series(answer, asked.index, dtype=object)


def wrong_precision_equals_recall(fitted, fitted_label, asked, coverage):
    # the break-even point instead of the largest F1
    _check(fitted, asked, coverage)
    label, t = np.asarray(fitted_label), []
    for one in fitted:
        y = label == one
        if not y.any():
            t.append(1.0)
            continue
        precision, recall, candidates = precision_recall_curve(y, fitted[one])
        t.append(max(candidates[np.argmin(np.abs(precision - recall)[:-1])], 1e-6))
    names, asked_ = fitted.columns.to_numpy(), asked[list(fitted.columns)]
    answer = _answered(fitted.to_numpy() / t, asked_.to_numpy() / t, names, coverage)
    return pd.Series(answer, asked.index, dtype=object)


def wrong_columns_by_position(fitted, fitted_label, asked, coverage):
    # trusts that both frames have their columns in one order
    _check(fitted, asked, coverage)
    t = _thresholds(fitted, fitted_label).to_numpy()
    names = fitted.columns.to_numpy()
    answer = _answered(fitted.to_numpy() / t, asked.to_numpy() / t, names, coverage)
    return pd.Series(answer, asked.index, dtype=object)
