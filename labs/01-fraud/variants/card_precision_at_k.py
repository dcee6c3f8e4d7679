"""Answers that the tests of card_precision_at_k must tell apart."""

import numpy as np

from helpers import evaluation


def _check(scored, k):
    if k < 1 or scored.empty:
        raise ValueError("k must be at least 1 and scored not empty")


def right_by_loop(scored, k):
    # plain dictionaries, day by day
    _check(scored, k)
    precisions = []
    for _, day in scored.groupby("day"):
        score, compromised = {}, {}
        for row in day.itertuples():
            score[row.customer_id] = max(score.get(row.customer_id, -np.inf), row.score)
            compromised[row.customer_id] = (
                compromised.get(row.customer_id, False) or row.fraud
            )
        opened = sorted(score, key=lambda card: (-score[card], card))[:k]
        precisions.append(sum(bool(compromised[card]) for card in opened) / len(opened))
    return float(np.mean(precisions))


def right_by_first_row(scored, k):
    # the riskiest row stands for its card, the label is spread over the card's rows
    # first
    _check(scored, k)
    label = scored.groupby(["day", "customer_id"])["fraud"].transform("max")
    ranked = scored.assign(fraud=label).sort_values(
        ["day", "score", "customer_id"], ascending=[True, False, True]
    )
    cards = ranked.drop_duplicates(["day", "customer_id"])
    opened = cards[cards.groupby("day").cumcount() < k]
    return float(opened.groupby("day")["fraud"].mean().mean())


def wrong_ranks_transactions(scored, k):
    # the top k rows: one compromised card fills the list
    _check(scored, k)
    top = (
        scored.sort_values(["score", "customer_id"], ascending=[False, True])
        .groupby("day")
        .head(k)
    )
    return float(top.groupby("day")["fraud"].mean().mean())


def wrong_pools_days(scored, k):
    # the top k cards of the whole period
    _check(scored, k)
    cards = scored.groupby("customer_id", as_index=False)[["score", "fraud"]].max()
    return float(cards.nlargest(k, "score")["fraud"].mean())


def wrong_keeps_last_label(scored, k):
    # a card's label is taken from its last row, not from any row
    _check(scored, k)
    cards = scored.groupby(["day", "customer_id"], as_index=False).agg(
        score=("score", "max"), fraud=("fraud", "last")
    )
    opened = (
        cards.sort_values(["score", "customer_id"], ascending=[False, True])
        .groupby("day")
        .head(k)
    )
    return float(opened.groupby("day")["fraud"].mean().mean())


def wrong_label_of_riskiest_row(scored, k):
    # the label of the riskiest row: a card whose fraud hides behind a genuine payment
    # counts as clean
    _check(scored, k)
    ranked = scored.sort_values(
        ["score", "customer_id"], ascending=[False, True], kind="stable"
    )
    opened = ranked.drop_duplicates(["day", "customer_id"]).groupby("day").head(k)
    return float(opened.groupby("day")["fraud"].mean().mean())


def wrong_mean_score(scored, k):
    # a card's score is its mean: one risky payment drowns in many harmless ones
    _check(scored, k)
    cards = scored.groupby(["day", "customer_id"], as_index=False).agg(
        score=("score", "mean"), fraud=("fraud", "max")
    )
    opened = (
        cards.sort_values(["score", "customer_id"], ascending=[False, True])
        .groupby("day")
        .head(k)
    )
    return float(opened.groupby("day")["fraud"].mean().mean())


def wrong_ties_by_row_order(scored, k):
    # equal scores in order of appearance: the value changes when rows are shuffled
    _check(scored, k)
    cards = scored.groupby(["day", "customer_id"], as_index=False, sort=False).agg(
        score=("score", "max"), fraud=("fraud", "max")
    )
    opened = (
        cards.sort_values("score", ascending=False, kind="stable")
        .groupby("day")
        .head(k)
    )
    return float(opened.groupby("day")["fraud"].mean().mean())


def wrong_published(scored, k):
    # the Handbook's protocol: divides by k on short days, and removes detected cards on
    # later days
    return evaluation.card_precision_top_k(scored, k)


def wrong_divides_by_k(scored, k):
    # a day with fewer than k cards is punished for it
    return evaluation.card_precision_top_k(scored, k, remove_detected=False)


def wrong_accepts_anything(scored, k):
    # no check of the arguments: an empty frame gives nan
    k = max(k, 1)
    return right_by_first_row(scored, k) if len(scored) else float("nan")


def wrong_refuses_only_zero(scored, k):
    # -1 is truthy
    if not k or scored.empty:
        raise ValueError("k must not be 0 and scored not empty")
    return right_by_loop(scored, abs(k))
