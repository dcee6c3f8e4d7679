"""Answers that the tests of sequential_verdicts must tell apart."""

import itertools

import numpy as np


def _verdicts(
    looks,
    bounds,
    *,
    sticky=True,
    look_ahead=False,
    final=True,
    variance="pooled",
    checks=True,
    last_is_data=False,
):
    looks = [tuple(float(value) for value in look) for look in looks]
    falls = any(
        late < early
        for before, after in itertools.pairwise(looks)
        for early, late in zip(before, after, strict=True)
    )
    if checks and (len(looks) > len(bounds) or falls):
        raise ValueError("not the planned looks, or not cumulative")
    told, winner = [], None
    for k, (n_a, a, n_b, b) in enumerate(looks):
        p, q = a / n_a, b / n_b
        pooled = (a + b) / (n_a + n_b)
        spread = {
            "pooled": pooled * (1 - pooled) * (1 / n_a + 1 / n_b),
            "rows": pooled * (1 - pooled) / (n_a + n_b),
        }[variance]
        z = (q - p) / np.sqrt(spread) if spread > 0 else 0.0
        reached = abs(z) >= bounds[min(k, len(bounds) - 1)]
        if reached and (winner is None or not sticky):
            winner = "b" if z > 0 else "a"
        if not reached and not sticky:
            winner = None
        last = k == (len(looks) if last_is_data else len(bounds)) - 1
        told.append(winner or ("no difference" if last and final else "continue"))
    if look_ahead and winner:
        return [winner] * len(told)
    return told


def right_look_by_look(looks, bounds):
    # a loop over the looks
    return _verdicts(looks, bounds)


def wrong_takes_it_back(looks, bounds):
    # a later look that does not reach its bound goes on
    return _verdicts(looks, bounds, sticky=False)


def wrong_knows_the_future(looks, bounds):
    # the winner of the end is announced on the first day
    return _verdicts(looks, bounds, look_ahead=True)


def wrong_never_ends(looks, bounds):
    # "continue" at the last look
    return _verdicts(looks, bounds, final=False)


def wrong_ends_with_the_data(looks, bounds):
    # today is taken for the last planned look
    return _verdicts(looks, bounds, last_is_data=True)


def wrong_standard_error(looks, bounds):
    # the error of one mean over all users: half of that of a difference
    return _verdicts(looks, bounds, variance="rows")


def wrong_takes_any_counts(looks, bounds):
    # counts of the day instead of cumulative ones pass
    return _verdicts(looks, bounds, checks=False)


def wrong_first_bound_for_all(looks, bounds):
    # the bound of the first look at all looks
    return _verdicts(looks, [bounds[0]] * len(bounds))


def wrong_higher_rate_wins(looks, bounds):
    # no bound at all
    return _verdicts(looks, [0.0] * len(bounds))


def wrong_peeks(looks, bounds):
    # 1.96 at every look, whatever was planned
    return _verdicts(looks, [1.96] * len(bounds))
