"""Answers that the tests of release_gate must tell apart."""

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint


def _gate(
    results,
    floors,
    confidence,
    *,
    method="wilson",
    two_sided=False,
    joint=True,
    decide=None,
    worst="slack",
    strict=True,
):
    if strict and set(results["language"]) - set(floors):
        raise ValueError("a language without a floor")
    alpha = (1 - confidence) / (len(floors) if joint else 1)
    rows = {}
    for language, floor in sorted(floors.items()):
        own = results.loc[results["language"] == language, "correct"]
        n, low, high, share = len(own), 0.0, 1.0, np.nan
        if n:
            share = own.mean()
            level = alpha if two_sided else 2 * alpha
            low, high = proportion_confint(own.sum(), n, min(level, 0.9999), method)
        verdict = "pass" if low >= floor else "fail" if high < floor else "collect"
        rows[language] = (n, share, low, high, verdict)
    table = pd.DataFrame(rows, index=["n", "accuracy", "lower", "upper", "verdict"]).T
    numbers = table.astype(dict.fromkeys(("accuracy", "lower", "upper"), float))
    order = {
        "slack": numbers["lower"] - pd.Series(floors),
        "lower": numbers["lower"],
        "accuracy": numbers["accuracy"].fillna(1),
    }[worst]
    released = bool((numbers["verdict"] == "pass").all())
    if decide:
        released = bool(decide(numbers, pd.Series(floors)))
    return {"released": released, "worst": order.idxmin(), "table": numbers}


def right_by_statsmodels(results, floors, confidence=0.95):
    # statsmodels' interval, at twice the one-sided level
    return _gate(results, floors, confidence)


def wrong_mean_of_languages(results, floors, confidence=0.95):
    # the average passes for all
    return _gate(
        results,
        floors,
        confidence,
        decide=lambda table, floor: table["accuracy"].mean() >= floor.mean(),
    )


def wrong_point_estimates(results, floors, confidence=0.95):
    # forty reviews pass by luck
    return _gate(
        results,
        floors,
        confidence,
        decide=lambda table, floor: (table["accuracy"] >= floor[table.index]).all(),
    )


def wrong_releases_unless_failed(results, floors, confidence=0.95):
    # absence of evidence is taken for evidence
    return _gate(
        results,
        floors,
        confidence,
        decide=lambda table, floor: not (table["verdict"] == "fail").any(),
    )


def wrong_each_language_alone(results, floors, confidence=0.95):
    # five bounds at 95 % do not hold together at 95 %
    return _gate(results, floors, confidence, joint=False)


def wrong_two_sided(results, floors, confidence=0.95):
    # half of the level is spent on the other side
    return _gate(results, floors, confidence, two_sided=True)


def wrong_normal_interval(results, floors, confidence=0.95):
    # Wald's interval: no width at all when every review is right
    return _gate(results, floors, confidence, method="normal")


def wrong_worst_by_accuracy(results, floors, confidence=0.95):
    # the lowest mean, whatever its floor and its number of reviews
    return _gate(results, floors, confidence, worst="accuracy")


def wrong_worst_by_bound(results, floors, confidence=0.95):
    # floors differ: a low bound may be far above its floor
    return _gate(results, floors, confidence, worst="lower")


def wrong_lets_ungated_through(results, floors, confidence=0.95):
    # a language without a floor goes out unseen
    return _gate(results, floors, confidence, strict=False)


def wrong_counts_only_what_is_there(results, floors, confidence=0.95):
    # a language without a result is not gated
    present = {k: v for k, v in floors.items() if (results["language"] == k).any()}
    return _gate(results, present, confidence)


def wrong_pools_all_rows(results, floors, confidence=0.95):
    # one interval over all languages
    gate = _gate(results, floors, confidence)
    n, right = len(results), results["correct"].sum()
    z = stats.norm.isf(1 - confidence)
    return gate | {"released": bool(right / n - abs(z) * 0.5 / n**0.5 >= 0.8)}
