"""Answers that the tests of find_noisy_labels must tell apart."""

import numpy as np
import pandas as pd


def _check(probability, label):
    label = list(label)
    if len(label) != len(probability) or set(label) - set(probability.columns):
        raise ValueError("one label for each row, each a column")
    return np.array(label, dtype=object)


def _listed(probability, label, suggested, suspect, order=None):
    own = np.array([probability.iloc[i][one] for i, one in enumerate(label)])
    other = np.array([probability.iloc[i][one] for i, one in enumerate(suggested)])
    found = pd.DataFrame(
        {"label": label, "suggested": suggested, "margin": other - own},
        index=probability.index,
    )[suspect]
    order = found["margin"] if order is None else order[suspect]
    return found.iloc[np.argsort(-np.asarray(order), kind="stable")]


def _thresholds(probability, label):
    return {
        one: probability[one].to_numpy()[label == one].mean()
        for one in probability.columns
        if (label == one).any()
    }


def right_row_by_row(probability, label):
    # the definition as a loop
    label = _check(probability, label)
    threshold = _thresholds(probability, label)
    suggested = []
    for row, own in zip(probability.to_dict("records"), label, strict=True):
        sure = {j: row[j] for j, t in threshold.items() if row[j] >= t}
        suggested.append(max(sure, key=sure.get) if sure else own)
    suggested = np.array(suggested, dtype=object)
    return _listed(probability, label, suggested, suggested != label)


def wrong_every_disagreement(probability, label):
    # the largest probability, however small
    label = _check(probability, label)
    suggested = probability.idxmax(axis=1).to_numpy()
    return _listed(probability, label, suggested, suggested != label)


def wrong_one_threshold(probability, label):
    # .5 for every class
    label = _check(probability, label)
    suggested = probability.idxmax(axis=1).to_numpy()
    sure = probability.max(axis=1).to_numpy() >= 0.5
    return _listed(probability, label, suggested, sure & (suggested != label))


def wrong_means_over_all_rows(probability, label):
    # the mean of the column, not of the rows of the class
    label = _check(probability, label)
    sure = probability.where(probability >= probability.mean(), -1)
    suggested = sure.idxmax(axis=1).to_numpy()
    return _listed(probability, label, suggested, suggested != label)


def wrong_low_own_probability(probability, label):
    # the label's own probability is low: so it is for every row of a rare class
    label = _check(probability, label)
    own = np.array([probability.iloc[i][one] for i, one in enumerate(label)])
    suggested = probability.idxmax(axis=1).to_numpy()
    return _listed(probability, label, suggested, own < 0.3)


def wrong_orders_by_own_probability(probability, label):
    # the right rows in another order
    found = right_row_by_row(probability, label)
    own = pd.Series(
        [probability.iloc[i][one] for i, one in enumerate(label)], probability.index
    )
    return found.iloc[np.argsort(own[found.index].to_numpy(), kind="stable")]


def wrong_largest_excess(probability, label):
    # of several confident classes, the one farthest above its threshold
    label = _check(probability, label)
    threshold = pd.Series(_thresholds(probability, label))
    excess = probability[threshold.index] - threshold
    best = excess.idxmax(axis=1).to_numpy()
    suggested = np.where(excess.max(axis=1) >= 0, best, label)
    return _listed(probability, label, suggested, suggested != label)


def wrong_finds_none(probability, label):
    # nothing is suspect
    label = _check(probability, label)
    return _listed(probability, label, label, np.zeros(len(label), bool))
