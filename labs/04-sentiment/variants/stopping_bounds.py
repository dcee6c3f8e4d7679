"""Answers that the tests of stopping_bounds must tell apart."""

import numpy as np
from scipy import stats
from scipy.optimize import brentq


def _time(n_looks):
    return np.arange(1, n_looks + 1) / n_looks


def _late(bounds, first_look):
    """No stop before first_look."""
    return np.where(np.arange(1, len(bounds) + 1) < first_look, np.inf, bounds)


def _simulated(n_looks, seed, n=60_000):
    """|z| of experiments without a difference."""
    steps = np.random.default_rng(seed).normal(size=(n, n_looks))
    return np.abs(steps.cumsum(axis=1)) / np.sqrt(np.arange(1, n_looks + 1))


def _calibrated(shape, n_looks, alpha, first_look):
    """`constant * shape`, with the constant at which simulated looks hold the level."""
    shape = _late(shape, first_look)
    top = (_simulated(n_looks, 99) / shape).max(axis=1)
    return shape * np.quantile(top, 1 - alpha)


def right_pocock(n_looks=20, alpha=0.05, first_look=1):
    # Pocock (1977): the same bound at every look
    return _calibrated(np.ones(n_looks), n_looks, alpha, first_look)


def right_obrien_fleming(n_looks=20, alpha=0.05, first_look=1):
    # O'Brien and Fleming (1979): falls with the root of the users
    return _calibrated(1 / np.sqrt(_time(n_looks)), n_looks, alpha, first_look)


def right_wang_tsiatis(n_looks=20, alpha=0.05, first_look=1):
    # Wang and Tsiatis (1987), Delta = .25: between the two
    return _calibrated(_time(n_looks) ** -0.25, n_looks, alpha, first_look)


def right_haybittle_peto(n_looks=20, alpha=0.05, first_look=1):
    # Haybittle (1971), Peto et al. (1976): p < alpha / 50 before the last look
    interim = _late(np.full(n_looks, stats.norm.isf(alpha / 100)), first_look)[:-1]
    z = _simulated(n_looks, 98)
    early = (z[:, :-1] >= interim).any(axis=1)
    last = brentq(lambda c: (early | (z[:, -1] >= c)).mean() - alpha, 1, 6)
    return np.r_[interim, last]


def right_hwang_shih_decani(n_looks=20, alpha=0.05, first_look=1):
    # Hwang, Shih and DeCani's spending (1990), gamma = -4, by simulation
    spent = alpha * np.expm1(4 * _time(n_looks)) / np.expm1(4)
    z = _simulated(n_looks, 97, 80_000)
    running, bounds = np.ones(len(z), bool), []
    for look in range(n_looks):
        allowed = spent[look] - (~running).mean()
        share = 1 - allowed * len(z) / running.sum()
        bound = np.quantile(z[running, look], share)
        bounds.append(bound if look + 1 >= first_look else np.inf)
        running &= z[:, look] < bounds[-1]
    return np.array(bounds)


def wrong_peeks(n_looks=20, alpha=0.05, first_look=1):
    # p < .05 at any look: one experiment in four has a winner
    return _late(np.full(n_looks, stats.norm.isf(alpha / 2)), first_look)


def wrong_bonferroni(n_looks=20, alpha=0.05, first_look=1):
    # as if the looks shared nothing
    looks = n_looks - first_look + 1
    return _late(np.full(n_looks, stats.norm.isf(alpha / 2 / looks)), first_look)


def wrong_sidak(n_looks=20, alpha=0.05, first_look=1):
    # as if the looks were independent
    level = 1 - (1 - alpha) ** (1 / (n_looks - first_look + 1))
    return _late(np.full(n_looks, stats.norm.isf(level / 2)), first_look)


def wrong_waits_for_the_end(n_looks=20, alpha=0.05, first_look=1):
    # one look, the last: harm goes on until then
    return _late(np.full(n_looks, stats.norm.isf(alpha / 2)), n_looks)


def wrong_one_sided(n_looks=20, alpha=0.05, first_look=1):
    # the level is spent on each side
    return right_obrien_fleming(n_looks, 2 * alpha, first_look)


def wrong_spends_the_level_twice(n_looks=20, alpha=0.05, first_look=1):
    # strict interim looks, and the whole level again at the end
    bounds = np.full(n_looks, stats.norm.isf(alpha / 2 / 4))
    bounds[-1] = stats.norm.isf(alpha / 2)
    return _late(bounds, first_look)


def wrong_table_for_five_looks(n_looks=20, alpha=0.05, first_look=1):
    # Pocock's constant for five looks, used for any number
    return _late(np.full(n_looks, 2.413 if n_looks > 1 else 1.96), first_look)


def wrong_reversed(n_looks=20, alpha=0.05, first_look=1):
    # most of the level is spent where nothing is known yet
    return _late(right_obrien_fleming(n_looks, alpha)[::-1], first_look)


def wrong_mixture_sprt(n_looks=20, alpha=0.05, first_look=1):
    # valid at any number of looks: too few users here to pay for that
    information = 8 * _time(n_looks)
    evidence = np.log1p(information) - 2 * np.log(alpha)
    bounds = np.sqrt((1 + 1 / information) * evidence)
    return _late(bounds if n_looks > 1 else bounds * 0 + 1.96, first_look)


def wrong_stops_at_every_look(n_looks=20, alpha=0.05, first_look=1):
    # the first week is not over, and a winner is named
    return right_obrien_fleming(n_looks, alpha)


def wrong_throws_early_level_away(n_looks=20, alpha=0.05, first_look=1):
    # looks that may not stop have spent their part of the level
    return _late(right_pocock(n_looks, alpha), first_look)
