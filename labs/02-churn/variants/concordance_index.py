"""Answers that the tests of concordance_index must tell apart."""

import numpy as np
from sklearn.metrics import roc_auc_score


def _c(duration, observed, risk, comparable, tied=0.5):
    duration, risk = np.asarray(duration, float), np.asarray(risk, float)
    observed = np.asarray(observed, bool)
    pairs = comparable(
        duration[:, None], duration[None, :], observed[:, None], observed[None, :]
    )
    if not pairs.any():
        raise ValueError("no pair can be ordered")
    higher = (risk[:, None] > risk[None, :]) + tied * (risk[:, None] == risk[None, :])
    return float(higher[pairs].mean())


def right_by_matrix(duration, observed, risk):
    # all pairs at once
    return _c(
        duration,
        observed,
        risk,
        lambda d, e, seen, seen_e: seen & ((e > d) | ((e == d) & ~seen_e)),
    )


def wrong_ignores_censoring(duration, observed, risk):
    # every duration counts as an end
    return _c(duration, observed, risk, lambda d, e, *_: d < e)


def wrong_observed_pairs_only(duration, observed, risk):
    # pairs with a censored customer are dropped
    return _c(
        duration, observed, risk, lambda d, e, seen, other: seen & other & (d < e)
    )


def wrong_drops_tied_durations(duration, observed, risk):
    # a customer censored on the day of another's end stayed longer
    return _c(duration, observed, risk, lambda d, e, seen, _: seen & (d < e))


def wrong_ties_count_nothing(duration, observed, risk):
    # equal risks are wrong: a constant score gets 0
    return _c(
        duration,
        observed,
        risk,
        lambda d, e, seen, other: seen & ((e > d) | ((e == d) & ~other)),
        tied=0.0,
    )


def wrong_other_direction(duration, observed, risk):
    # higher risk with longer stays
    return 1 - right_by_matrix(duration, observed, risk)


def wrong_auc(duration, observed, risk):
    # the area under the ROC curve of having left at all
    if np.asarray(observed, bool).all() or not np.asarray(observed, bool).any():
        raise ValueError("one class")
    return float(roc_auc_score(np.asarray(observed, bool), np.asarray(risk, float)))
