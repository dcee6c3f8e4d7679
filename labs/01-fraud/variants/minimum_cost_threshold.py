"""Answers that the tests of minimum_cost_threshold must tell apart."""

import numpy as np
from sklearn.metrics import precision_recall_curve


def _check(fraud, score, amount):
    if not len(score) or not len(fraud) == len(score) == len(amount):
        raise ValueError("arrays must be of one length above 0")


def _cost(threshold, fraud, score, amount, review_cost):
    alert = score >= threshold
    return float(
        np.broadcast_to(review_cost, score.shape)[alert].sum()
        + amount[fraud & ~alert].sum()
    )


def _cheapest(candidates, fraud, score, amount, review_cost):
    costs = [
        _cost(threshold, fraud, score, amount, review_cost) for threshold in candidates
    ]
    return float(candidates[int(np.argmin(costs))]), float(min(costs))


def right_by_brute_force(fraud, score, amount, review_cost):
    # every distinct score and infinity, the highest first
    _check(fraud, score, amount)
    return _cheapest(
        [np.inf, *np.unique(score)[::-1]], fraud, score, amount, review_cost
    )


def right_by_groups(fraud, score, amount, review_cost):
    # sums per distinct score, accumulated from the highest
    _check(fraud, score, amount)
    distinct, group = np.unique(score, return_inverse=True)
    gain = np.bincount(
        group,
        weights=np.where(fraud, amount, 0.0) - review_cost,
        minlength=len(distinct),
    )
    saved = np.concatenate([[0.0], np.cumsum(gain[::-1])])
    best = int(np.argmax(saved))
    return float(np.append(np.inf, distinct[::-1])[best]), float(
        amount[fraud].sum() - saved[best]
    )


def wrong_grid(fraud, score, amount, review_cost):
    # a hundred thresholds between 0 and 1: scores need not lie there, and the optimum
    # falls between two points
    _check(fraud, score, amount)
    return _cheapest(
        [np.inf, *np.linspace(1, 0, 101)], fraud, score, amount, review_cost
    )


def wrong_mean_amount(fraud, score, amount, review_cost):
    # every missed fraud costs the mean amount
    _check(fraud, score, amount)
    mean = np.full(len(score), amount[fraud].mean() if fraud.any() else 0.0)
    return right_by_brute_force(fraud, score, mean, review_cost)


def wrong_mean_review_cost(fraud, score, amount, review_cost):
    # every review costs the mean
    return right_by_brute_force(fraud, score, amount, float(np.mean(review_cost)))


def wrong_strictly_above(fraud, score, amount, review_cost):
    # alerts where score > threshold
    _check(fraud, score, amount)
    candidates = np.concatenate([np.unique(score)[::-1], [-np.inf]])
    costs = []
    for threshold in candidates:
        alert = score > threshold
        costs.append(
            np.broadcast_to(review_cost, score.shape)[alert].sum()
            + amount[fraud & ~alert].sum()
        )
    return float(candidates[int(np.argmin(costs))]), float(min(costs))


def wrong_separates_equal_scores(fraud, score, amount, review_cost):
    # the cumulative cost is read at every row, also in the middle of equal scores
    _check(fraud, score, amount)
    order = np.argsort(-score, kind="stable")
    missed = np.where(fraud, amount, 0.0)
    change = (np.broadcast_to(review_cost, score.shape) - missed)[order]
    cost = np.concatenate([[0.0], np.cumsum(change)]) + missed.sum()
    best = int(np.argmin(cost))
    return float(np.append(np.inf, score[order])[best]), float(cost[best])


def wrong_always_alerts_somebody(fraud, score, amount, review_cost):
    # infinity is no candidate
    _check(fraud, score, amount)
    return _cheapest(np.unique(score)[::-1], fraud, score, amount, review_cost)


def wrong_reviews_of_frauds_are_free(fraud, score, amount, review_cost):
    # only false alerts cost a review
    _check(fraud, score, amount)
    return right_by_brute_force(fraud, score, amount, np.where(fraud, 0.0, review_cost))


def wrong_lowest_of_the_cheapest(fraud, score, amount, review_cost):
    # equal costs: alerts more people for nothing
    _check(fraud, score, amount)
    return _cheapest([*np.unique(score), np.inf], fraud, score, amount, review_cost)


def wrong_maximises_f1(fraud, score, amount, review_cost):
    # the threshold with the best F1, money left out
    _check(fraud, score, amount)
    if not fraud.any():
        return float("inf"), 0.0
    precision, recall, thresholds = precision_recall_curve(fraud, score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = float(thresholds[int(np.argmax(f1[:-1]))])
    return best, _cost(best, fraud, score, amount, review_cost)


def wrong_break_even_rule(fraud, score, amount, review_cost):
    # review cost over mean loss, as if scores were calibrated probabilities
    _check(fraud, score, amount)
    threshold = float(
        np.mean(review_cost) / max(amount[fraud].mean() if fraud.any() else 1.0, 1e-9)
    )
    return threshold, _cost(threshold, fraud, score, amount, review_cost)


def wrong_amounts_of_any_length(fraud, score, amount, review_cost):
    # only labels and scores are compared
    if not len(score) or len(fraud) != len(score):
        raise ValueError("labels and scores must be of one length above 0")
    amount = np.resize(amount, len(score))
    return right_by_brute_force(fraud, score, amount, review_cost)


def wrong_review_costs_of_any_length(fraud, score, amount, review_cost):
    # the costs are cut to the scores' length
    _check(fraud, score, amount)
    if np.ndim(review_cost):
        review_cost = np.asarray(review_cost)[: len(score)]
    return right_by_brute_force(fraud, score, amount, review_cost)
