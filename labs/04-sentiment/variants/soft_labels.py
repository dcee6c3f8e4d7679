"""Answers that the tests of soft_labels must tell apart."""

import numpy as np
import pandas as pd


def _shares(ratings, labels, smooth=0.5):
    counts = pd.crosstab(ratings["review_id"], ratings["rating"])
    counts = counts.reindex(columns=list(labels), fill_value=0) + smooth
    return counts.div(counts.sum(axis=1), axis=0)


def right_one_coin(ratings, labels):
    # one accuracy for each rater, the same for all classes
    share, labels = _shares(ratings, labels), list(labels)
    for _ in range(40):
        given = share.loc[ratings["review_id"]].to_numpy()
        vote = pd.Index(labels).get_indexer(ratings["rating"])
        hit = pd.Series(given[np.arange(len(vote)), vote], index=ratings["rater_id"])
        by_rater = hit.groupby(level=0)
        right = (by_rater.sum() + 2) / (by_rater.count() + 3)
        p = ratings["rater_id"].map(right).to_numpy()
        weight = np.log(p / ((1 - p) / (len(labels) - 1)))
        score = np.zeros((len(share), len(labels)))
        rows = share.index.get_indexer(ratings["review_id"])
        np.add.at(score, (rows, vote), weight)
        value = (
            np.exp(score - score.max(axis=1, keepdims=True)) * share.mean().to_numpy()
        )
        value /= value.sum(axis=1, keepdims=True)
        share = pd.DataFrame(value, index=share.index, columns=labels)
    return share * 0.95 + 0.05 / len(labels)


def right_weights_by_agreement(ratings, labels):
    # votes weighted by how far their rater agrees with the others, repeated
    share, labels = _shares(ratings, labels), list(labels)
    vote = pd.Index(labels).get_indexer(ratings["rating"])
    rows = share.index.get_indexer(ratings["review_id"])
    for _ in range(20):
        agrees = pd.Series(share.to_numpy()[rows, vote], index=ratings["rater_id"])
        mean = ratings["rater_id"].map(agrees.groupby(level=0).mean()).to_numpy()
        weight = 5 * np.clip(mean - 1 / len(labels), 0.01, None) ** 1.2
        counts = np.full(share.shape, 0.35)
        np.add.at(counts, (rows, vote), weight)
        counts = counts**1.3
        counts /= counts.sum(axis=1, keepdims=True)
        share = pd.DataFrame(counts, index=share.index, columns=labels)
    return share


def wrong_majority(ratings, labels):
    # three against two looks like five against none
    share = _shares(ratings, labels, 0)
    winner = np.eye(len(labels))[share.to_numpy().argmax(axis=1)]
    return share * 0 + winner * 0.955 + 0.015


def wrong_shares(ratings, labels):
    # a class without a vote is given probability 0
    return _shares(ratings, labels, 0)


def wrong_smoothed_shares(ratings, labels):
    # every rater's vote weighs the same
    return _shares(ratings, labels)


def wrong_base_rates(ratings, labels):
    # calibrated, and blind to the review
    share = _shares(ratings, labels)
    return share * 0 + share.mean()


def wrong_one_rater(ratings, labels):
    # the review's first rater is believed
    share = _shares(ratings, labels)
    first = ratings.drop_duplicates("review_id").set_index("review_id")["rating"]
    vote = pd.Index(labels).get_indexer(first.reindex(share.index))
    return share * 0 + np.eye(len(labels))[vote] * 0.7 + 0.1


def wrong_sharpened_shares(ratings, labels):
    # surer than the votes are
    share = _shares(ratings, labels) ** 4
    return share.div(share.sum(axis=1), axis=0)


def wrong_depends_on_order(ratings, labels):
    # later votes overrule earlier ones: the order of the rows decides
    share = right_one_coin(ratings, labels)
    last = ratings.drop_duplicates("review_id", keep="last").set_index("review_id")
    vote = pd.Index(labels).get_indexer(last["rating"].reindex(share.index))
    return share * 0.9 + 0.1 * (np.eye(len(labels))[vote] * 0.94 + 0.02)


def wrong_columns_in_alphabetical_order(ratings, labels):
    # the caller's order of the classes is lost
    return right_one_coin(ratings, sorted(labels))


def wrong_keeps_order_of_appearance(ratings, labels):
    # one row per review, but not ascending
    return right_one_coin(ratings, labels).loc[ratings["review_id"].unique()[::-1]]
