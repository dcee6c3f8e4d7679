"""Answers that the tests of time_split must tell apart."""

import pandas as pd
from sklearn.model_selection import train_test_split

from helpers.data import fraud

DAY = pd.Timedelta(days=1)


def _periods(transactions, cut, train_days, delay_days, test_days):
    at = transactions["timestamp"]
    begin = cut + delay_days * DAY
    train = transactions[(at >= cut - train_days * DAY) & (at < cut)]
    test = transactions[(at >= begin) & (at < begin + test_days * DAY)]
    if train.empty or test.empty:
        raise ValueError("train or test is empty")
    return train, test


def right_by_loop(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # walks through time and keeps the set of cards that are known
    train, test = _periods(transactions, cut, train_days, delay_days, test_days)
    frauds = transactions[
        transactions["fraud"] & (transactions["timestamp"] >= cut - train_days * DAY)
    ]
    pending = sorted(zip(frauds["timestamp"], frauds["customer_id"], strict=True))
    known, keep, i = set(), [], 0
    for position, row in zip(
        test.sort_values("timestamp").index,
        test.sort_values("timestamp").itertuples(),
        strict=True,
    ):
        while i < len(pending) and pending[i][0] < row.timestamp - delay_days * DAY:
            known.add(pending[i][1])
            i += 1
        if row.customer_id not in known:
            keep.append(position)
    if not keep:
        raise ValueError("every card of the test period is known")
    return train, test.loc[keep]


def right_by_merge(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # pairs every test transaction with every fraud of its card
    train, test = _periods(transactions, cut, train_days, delay_days, test_days)
    frauds = transactions.loc[
        transactions["fraud"] & (transactions["timestamp"] >= cut - train_days * DAY),
        ["customer_id", "timestamp"],
    ]
    pairs = (
        test.reset_index(drop=True)
        .reset_index(names="row")
        .merge(frauds, on="customer_id", suffixes=("", "_fraud"))
    )
    known = pairs.loc[
        pairs["timestamp_fraud"] < pairs["timestamp"] - delay_days * DAY, "row"
    ]
    test = test[~pd.Series(range(len(test)), index=test.index).isin(known)]
    if test.empty:
        raise ValueError("every card of the test period is known")
    return train, test


def wrong_random(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # the default of most notebooks: a random split
    _periods(transactions, cut, train_days, delay_days, test_days)
    return train_test_split(transactions, test_size=0.4, random_state=0)


def wrong_no_gap(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # the test begins at the cut, when the last training labels are not known yet
    _periods(transactions, cut, train_days, delay_days, test_days)
    train, test = _periods(transactions, cut, train_days, 0, test_days)
    known = transactions[transactions["fraud"] & (transactions["timestamp"] < cut)][
        "customer_id"
    ]
    return train, test[~test["customer_id"].isin(known)]


def wrong_keeps_known_cards(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # blocked cards are caught once more
    return _periods(transactions, cut, train_days, delay_days, test_days)


def wrong_published(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # the Handbook's split: whole days, so a fraud becomes known at midnight
    _periods(transactions, cut, train_days, delay_days, test_days)
    first = cut.normalize() - train_days * DAY
    day = (transactions["timestamp"].dt.normalize() - first) // DAY
    return fraud.handbook_split(
        transactions.assign(day=day), 0, train_days, delay_days, test_days
    )


def wrong_drops_cards_before_they_are_known(
    transactions, cut, train_days=7, delay_days=7, test_days=7
):
    # every card with a fraud before the transaction, also within the delay: uses labels
    # that nobody has
    train, test = _periods(transactions, cut, train_days, delay_days, test_days)
    frauds = transactions[
        transactions["fraud"] & (transactions["timestamp"] >= cut - train_days * DAY)
    ]
    first = test["customer_id"].map(frauds.groupby("customer_id")["timestamp"].min())
    return train, test[~(first < test["timestamp"])]


def wrong_drops_only_cards_of_train(
    transactions, cut, train_days=7, delay_days=7, test_days=7
):
    # knowledge stands still at the start of the test period
    train, test = _periods(transactions, cut, train_days, delay_days, test_days)
    return (
        train,
        test[~test["customer_id"].isin(train.loc[train["fraud"], "customer_id"])],
    )


def wrong_drops_from_train_too(
    transactions, cut, train_days=7, delay_days=7, test_days=7
):
    # the training set loses the frauds it should learn from
    train, test = right_by_merge(transactions, cut, train_days, delay_days, test_days)
    return (
        train[~train["customer_id"].isin(train.loc[train["fraud"], "customer_id"])],
        test,
    )


def wrong_closed_ends(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # Series.between includes both ends: a transaction at the cut is in train
    _periods(transactions, cut, train_days, delay_days, test_days)
    _, test = right_by_merge(transactions, cut, train_days, delay_days, test_days)
    return (
        transactions[transactions["timestamp"].between(cut - train_days * DAY, cut)],
        test,
    )


def wrong_checks_the_train_period_only(
    transactions, cut, train_days=7, delay_days=7, test_days=7
):
    # an evaluation on no rows at all goes through
    begin = cut - train_days * DAY
    if not transactions["timestamp"].between(begin, cut, inclusive="left").any():
        raise ValueError("train is empty")
    try:
        return right_by_loop(transactions, cut, train_days, delay_days, test_days)
    except ValueError:
        train = transactions[
            transactions["timestamp"].between(begin, cut, inclusive="left")
        ]
        return train, transactions.iloc[:0]


def wrong_checks_before_the_cards_leave(
    transactions, cut, train_days=7, delay_days=7, test_days=7
):
    # the period has rows, the test set has none
    train, test = _periods(transactions, cut, train_days, delay_days, test_days)
    try:
        return right_by_loop(transactions, cut, train_days, delay_days, test_days)
    except ValueError:
        return train, test.iloc[:0]


def wrong_loses_columns(transactions, cut, train_days=7, delay_days=7, test_days=7):
    # train keeps what the split itself needs
    train, test = right_by_loop(transactions, cut, train_days, delay_days, test_days)
    return train[["transaction_id", "timestamp", "customer_id", "fraud"]], test
