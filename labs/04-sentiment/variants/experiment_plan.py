"""Answers that the tests of experiment_plan must tell apart."""

import math

from scipy import stats
from scipy.optimize import brentq


def _plan(
    p0,
    p1,
    treated_share,
    users_per_day,
    alpha,
    power,
    inflation,
    *,
    sides=2,
    share=None,
    whole=True,
    effect=1.0,
):
    if p0 == p1 or min(p0, p1, treated_share) <= 0 or max(p0, p1, treated_share) >= 1:
        raise ValueError("nothing to find")
    share = treated_share if share is None else share

    def lack(users):
        variance = p0 * (1 - p0) / (users * (1 - share)) + p1 * (1 - p1) / (
            users * share
        )
        z = effect * abs(p1 - p0) / math.sqrt(variance)
        return stats.norm.cdf(z - stats.norm.isf(alpha / sides)) - power

    users = brentq(lack, 1, 1e9) * inflation
    days = users / users_per_day
    return {
        "control": math.ceil(users * (1 - treated_share)),
        "treatment": math.ceil(users * treated_share),
        "days": math.ceil(days / 7) * 7 if whole else math.ceil(days),
    }


def right_by_root_finding(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # the number of users at which the power is the wanted one
    return _plan(p0, p1, treated_share, users_per_day, alpha, power, inflation)


def wrong_one_sided(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # a fifth too few users: harm is a difference, too
    return _plan(p0, p1, treated_share, users_per_day, alpha, power, inflation, sides=1)


def wrong_even_split(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # the size for halves, then dealt out unevenly
    arguments = p0, p1, treated_share, users_per_day, alpha, power, inflation
    return _plan(*arguments, share=0.5)


def wrong_without_power(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # an interval just as wide as the difference: it is missed every other time
    return _plan(p0, p1, treated_share, users_per_day, alpha, 0.5, inflation)


def wrong_ignores_inflation(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # looks are free
    return _plan(p0, p1, treated_share, users_per_day, alpha, power, 1.0)


def wrong_stops_in_midweek(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # nine days hold one weekend more or less
    arguments = p0, p1, treated_share, users_per_day, alpha, power, inflation
    return _plan(*arguments, whole=False)


def wrong_total_per_arm(
    p0, p1, treated_share, users_per_day, alpha=0.05, power=0.8, inflation=1.0
):
    # each arm gets the users of both
    plan = _plan(p0, p1, treated_share, users_per_day, alpha, power, inflation)
    total = plan["control"] + plan["treatment"]
    return plan | {"control": total, "treatment": total}
