"""Answers that the tests of ratio_mismatch must tell apart."""

import numpy as np
import pandas as pd
from scipy import stats


def _mismatch(
    users,
    crossed,
    weights,
    alpha,
    *,
    names=None,
    test=None,
    sticky=True,
):
    names = list(weights) if names is None else names
    observed = np.array([users.get(name, 0) for name in names], dtype=float)
    share = np.array([weights[name] for name in names], dtype=float)
    expected = observed.sum() * share / share.sum()
    p_value = (
        test(observed, expected)
        if test
        else stats.chi2.sf(
            ((observed - expected) ** 2 / expected).sum(), len(names) - 1
        )
    )
    return {
        "users": {name: int(users.get(name, 0)) for name in names},
        "crossed": int(crossed),
        "p_value": float(p_value),
        "trusted": bool(p_value >= alpha and (crossed == 0 or not sticky)),
    }


def _check(requests, weights):
    if not set(requests["variant"]) <= set(weights):
        raise ValueError("a variant without a weight")


def _met(requests):
    met = {}
    for user, variant in zip(requests["user_id"], requests["variant"], strict=True):
        met.setdefault(user, set()).add(variant)
    return met


def right_by_sets(requests, weights, alpha=0.001):
    # the set of variants that each user met
    _check(requests, weights)
    met = _met(requests)
    loyal = [next(iter(seen)) for seen in met.values() if len(seen) == 1]
    users = {name: loyal.count(name) for name in weights}
    return _mismatch(users, len(met) - len(loyal), weights, alpha)


def wrong_counts_requests(requests, weights, alpha=0.001):
    # one heavy user breaks the ratio
    _check(requests, weights)
    users = requests["variant"].value_counts().to_dict()
    crossed = sum(len(seen) > 1 for seen in _met(requests).values())
    return _mismatch(users, crossed, weights, alpha)


def wrong_first_variant_counts(requests, weights, alpha=0.001):
    # a user who crossed is kept where he was seen first
    _check(requests, weights)
    first = requests.drop_duplicates("user_id")
    crossed = sum(len(seen) > 1 for seen in _met(requests).values())
    users = first["variant"].value_counts().to_dict()
    return _mismatch(users, crossed, weights, alpha)


def wrong_counts_crossers_twice(requests, weights, alpha=0.001):
    # a user who crossed is evidence for both arms
    _check(requests, weights)
    pairs = requests[["user_id", "variant"]].drop_duplicates()
    crossed = sum(len(seen) > 1 for seen in _met(requests).values())
    users = pairs["variant"].value_counts().to_dict()
    return _mismatch(users, crossed, weights, alpha)


def wrong_expects_halves(requests, weights, alpha=0.001):
    # nine to one was planned
    _check(requests, weights)
    return right_by_sets(requests, dict.fromkeys(weights, 1.0), alpha)


def wrong_drops_the_empty_arm(requests, weights, alpha=0.001):
    # an arm that nobody met is the largest mismatch there is
    _check(requests, weights)
    met = _met(requests)
    loyal = pd.Series([next(iter(seen)) for seen in met.values() if len(seen) == 1])
    users = loyal.value_counts().to_dict()
    names = [name for name in weights if name in users]
    return _mismatch(users, len(met) - len(loyal), weights, alpha, names=names)


def wrong_tolerates_crossing(requests, weights, alpha=0.001):
    # the ratio is right, and users see both models
    _check(requests, weights)
    got = right_by_sets(requests, weights, alpha)
    return got | {"trusted": got["p_value"] >= alpha}


def wrong_yates_correction(requests, weights, alpha=0.001):
    # a correction for tables of two by two
    _check(requests, weights)
    got = right_by_sets(requests, weights, alpha)

    def corrected(observed, expected):
        gap = np.maximum(np.abs(observed - expected) - 0.5, 0)
        return stats.chi2.sf((gap**2 / expected).sum(), len(observed) - 1)

    return _mismatch(got["users"], got["crossed"], weights, alpha, test=corrected)


def wrong_level_of_five_percent(requests, weights, alpha=0.001):
    # one experiment in twenty is thrown away
    return right_by_sets(requests, weights, 0.05)
