"""Answers that the tests of stopping_bounds must tell apart."""

import numpy as np
from scipy import stats
from scipy.optimize import brentq


def _time(n_looks):
    return np.arange(1, n_looks + 1) / n_looks


def _calibrated(shape, n_looks, alpha):
    """`constant * shape`, with the constant at which simulated looks hold the level."""
    steps = np.random.default_rng(99).normal(size=(60_000, n_looks))
    z = np.abs(steps.cumsum(axis=1)) / np.sqrt(np.arange(1, n_looks + 1))
    return shape * np.quantile((z / shape).max(axis=1), 1 - alpha)


def right_pocock(n_looks=20, alpha=0.05):
    # Pocock (1977): the same bound at every look
    return _calibrated(np.ones(n_looks), n_looks, alpha)


def right_obrien_fleming(n_looks=20, alpha=0.05):
    # O'Brien and Fleming (1979): falls with the root of the users
    return _calibrated(1 / np.sqrt(_time(n_looks)), n_looks, alpha)


def right_wang_tsiatis(n_looks=20, alpha=0.05):
    # Wang and Tsiatis (1987), Delta = .25: between the two
    return _calibrated(_time(n_looks) ** -0.25, n_looks, alpha)


def right_haybittle_peto(n_looks=20, alpha=0.05):
    # Haybittle (1971), Peto et al. (1976): p < alpha / 50 before the last look
    interim = stats.norm.isf(alpha / 100)
    steps = np.random.default_rng(98).normal(size=(60_000, n_looks))
    z = np.abs(steps.cumsum(axis=1)) / np.sqrt(np.arange(1, n_looks + 1))
    early = (z[:, :-1] >= interim).any(axis=1)
    last = brentq(lambda c: (early | (z[:, -1] >= c)).mean() - alpha, 1, 6)
    return np.r_[np.full(n_looks - 1, interim), last]


def right_hwang_shih_decani(n_looks=20, alpha=0.05):
    # Hwang, Shih and DeCani's spending (1990), gamma = -4, by simulation
    spent = alpha * np.expm1(4 * _time(n_looks)) / np.expm1(4)
    steps = np.random.default_rng(97).normal(size=(200_000, n_looks))
    z = np.abs(steps.cumsum(axis=1)) / np.sqrt(np.arange(1, n_looks + 1))
    running, bounds = np.ones(len(z), bool), []
    for look in range(n_looks):
        allowed = spent[look] - (~running).mean()
        share = 1 - allowed * len(z) / running.sum()
        bounds.append(np.quantile(z[running, look], share))
        running &= z[:, look] < bounds[-1]
    return np.array(bounds)


def wrong_peeks(n_looks=20, alpha=0.05):
    # p < .05 at any look: one experiment in four has a winner
    return np.full(n_looks, stats.norm.isf(alpha / 2))


def wrong_bonferroni(n_looks=20, alpha=0.05):
    # as if the looks shared nothing
    return np.full(n_looks, stats.norm.isf(alpha / 2 / n_looks))


def wrong_sidak(n_looks=20, alpha=0.05):
    # as if the looks were independent
    return np.full(n_looks, stats.norm.isf((1 - (1 - alpha) ** (1 / n_looks)) / 2))


def wrong_waits_for_the_end(n_looks=20, alpha=0.05):
    # one look, the last: harm goes on until then
    return np.r_[np.full(n_looks - 1, 50.0), stats.norm.isf(alpha / 2)]


def wrong_one_sided(n_looks=20, alpha=0.05):
    # the level is spent on each side
    return right_obrien_fleming(n_looks, 2 * alpha)


def wrong_spends_the_level_twice(n_looks=20, alpha=0.05):
    # strict interim looks, and the whole level again at the end of five
    interim = stats.norm.isf(alpha / 2 / 4)
    return np.r_[np.full(n_looks - 1, interim), stats.norm.isf(alpha / 2)]


def wrong_table_for_five_looks(n_looks=20, alpha=0.05):
    # Pocock's constant for five looks, used for any number
    return np.full(n_looks, 2.413 if n_looks > 1 else 1.96)


def wrong_reversed(n_looks=20, alpha=0.05):
    # most of the level is spent where nothing is known yet
    return right_obrien_fleming(n_looks, alpha)[::-1]


def wrong_mixture_sprt(n_looks=20, alpha=0.05):
    # valid at any number of looks: too few users here to pay for that
    information = 8 * _time(n_looks)
    return np.sqrt(
        (1 + 1 / information) * (np.log1p(information) - 2 * np.log(alpha))
    )
