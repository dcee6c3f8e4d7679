"""Answers that the tests of value_lift must tell apart."""

import numpy as np
import pandas as pd

from helpers import evaluation


def _lost(churned, value, share):
    lost = np.asarray(churned, float) * np.asarray(value, float)
    if not 0 < share <= 1 or lost.sum() <= 0:
        raise ValueError("share or value out of range")
    return lost


def right_by_group(churned, score, value, share):
    # the mean of each group of equal scores stands for its members
    lost = _lost(churned, value, share)
    score = pd.Series(np.asarray(score, float))
    even = pd.Series(lost).groupby(score).transform("mean")
    ranked = even[np.argsort(-score.to_numpy(), kind="stable")].to_numpy()
    k = share * len(lost)
    whole = int(np.floor(k + 1e-9))
    part = ranked[whole] * (k - whole) if whole < len(ranked) else 0.0
    return float((ranked[:whole].sum() + part) / lost.sum() / share)


def wrong_counts_churners(churned, score, value, share):
    # the ordinary lift: a cheap customer counts as much as a dear one
    _lost(churned, value, share)
    return evaluation.BusinessMetrics().lift(churned, score, share)


def wrong_ties_by_row_order(churned, score, value, share):
    # whoever comes first in the table is called
    lost = _lost(churned, value, share)
    order = np.argsort(-np.asarray(score, float), kind="stable")
    k = round(share * len(lost))
    return float(lost[order][:k].sum() / lost.sum() / share)


def wrong_all_ties_called(churned, score, value, share):
    # more customers are called than the share says
    lost = _lost(churned, value, share)
    score = np.asarray(score, float)
    cut = np.sort(score)[::-1][max(int(np.ceil(share * len(lost))) - 1, 0)]
    return float(lost[score >= cut].sum() / lost.sum() / share)


def wrong_gain(churned, score, value, share):
    # the share of the value that is found, not divided by the share called
    return right_by_group(churned, score, value, share) * share


def wrong_value_of_everybody(churned, score, value, share):
    # value of all who are called, whether they leave or not
    _lost(churned, value, share)
    return right_by_group(np.ones(len(np.asarray(value))), score, value, share)


def wrong_ranks_expected_loss(churned, score, value, share):
    # another ranking: score times value
    score = np.asarray(score, float) * np.asarray(value, float)
    return right_by_group(churned, score, value, share)


def wrong_accepts_anything(churned, score, value, share):
    # no check of the arguments
    try:
        return right_by_group(churned, score, value, share)
    except ValueError:
        return float("nan")
