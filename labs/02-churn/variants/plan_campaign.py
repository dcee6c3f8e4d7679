"""Answers that the tests of plan_campaign must tell apart."""

import numpy as np


def _profit(probability, value, contact_cost, offer_cost, success, capacity):
    probability, value = np.asarray(probability, float), np.asarray(value, float)
    if (
        ((probability < 0) | (probability > 1)).any()
        or not 0 <= success <= 1
        or (capacity is not None and capacity < 0)
    ):
        raise ValueError("a probability or the capacity is out of range")
    saved = probability * success
    return saved * value - (saved + 1 - probability) * offer_cost - contact_cost


def _best(profit, ranking, capacity):
    order = np.argsort(-np.asarray(ranking, float), kind="stable")
    order = order if capacity is None else order[:capacity]
    called = np.zeros(len(profit), dtype=bool)
    called[order] = True
    return called & (profit > 0)


def right_by_loop(probability, value, contact_cost, offer_cost, success, capacity=None):
    # take the best customer while there is one who pays
    arguments = contact_cost, offer_cost, success, capacity
    profit = _profit(probability, value, *arguments)
    called, total = np.zeros(len(profit), dtype=bool), 0.0
    limit = len(profit) if capacity is None else capacity
    for i in sorted(range(len(profit)), key=lambda i: -profit[i])[:limit]:
        if profit[i] <= 0:
            break
        called[i] = True
        total += profit[i]
    return called, float(total)


def wrong_ranks_by_risk(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # the riskiest first: cheap customers fill the capacity
    arguments = contact_cost, offer_cost, success, capacity
    profit = _profit(probability, value, *arguments)
    called = _best(profit, probability, capacity)
    return called, float(profit[called].sum())


def wrong_offer_to_churners_only(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # those who would have stayed take the offer too
    arguments = contact_cost, offer_cost, success, capacity
    _profit(probability, value, *arguments)
    saved = np.asarray(probability, float) * success
    profit = saved * (np.asarray(value, float) - offer_cost) - contact_cost
    called = _best(profit, profit, capacity)
    return called, float(profit[called].sum())


def wrong_everybody_at_risk(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # a threshold of one half on the probability
    arguments = contact_cost, offer_cost, success, capacity
    profit = _profit(probability, value, *arguments)
    called = np.asarray(probability, float) >= 0.5
    return called, float(profit[called].sum())


def wrong_every_offer_is_accepted(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # success is forgotten
    arguments = contact_cost, offer_cost, 1.0, capacity
    profit = _profit(probability, value, *arguments)
    called = _best(profit, profit, capacity)
    return called, float(profit[called].sum())


def wrong_fills_the_capacity(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # calls that lose money are made because there is time for them
    arguments = contact_cost, offer_cost, success, capacity
    profit = _profit(probability, value, *arguments)
    called = np.zeros(len(profit), dtype=bool)
    called[np.argsort(-profit)[: len(profit) if capacity is None else capacity]] = True
    return called, float(profit[called].sum())


def wrong_ignores_capacity(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # more calls than the team can make
    arguments = contact_cost, offer_cost, success, capacity
    profit = _profit(probability, value, *arguments)
    return profit > 0, float(profit[profit > 0].sum())


def wrong_free_calls(
    probability, value, contact_cost, offer_cost, success, capacity=None
):
    # the call's own price is forgotten
    profit = _profit(probability, value, 0.0, offer_cost, success, capacity)
    called = _best(profit, profit, capacity)
    return called, float(profit[called].sum())
