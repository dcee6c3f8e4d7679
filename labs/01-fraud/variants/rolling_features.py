"""Answers that the tests of rolling_features must tell apart."""

import numpy as np
import pandas as pd

from helpers.data import fraud

DAY = pd.Timedelta(days=1)


def _check(windows, delay_days):
    if delay_days < 0 or min(windows) < 1:
        raise ValueError("delay_days must be at least 0 and windows at least 1")


def _from_rows(
    transactions, windows, delay_days, customer_window, terminal_window, empty_mean=0.0
):
    """Features from two functions (age in days, w) -> rows that count."""
    _check(windows, delay_days)
    at = transactions["timestamp"].to_numpy()
    columns = {
        name: transactions[name].to_numpy()
        for name in ("customer_id", "terminal_id", "amount", "fraud")
    }
    out = []
    for i in range(len(transactions)):
        age = (at[i] - at) / np.timedelta64(1, "s") / 86_400
        card = columns["customer_id"] == columns["customer_id"][i]
        terminal = columns["terminal_id"] == columns["terminal_id"][i]
        earlier = age[card & (age > 0)]
        values = {
            "customer_recency_hours": earlier.min() * 24 if len(earlier) else np.nan
        }
        for w in windows:
            mine = card & customer_window(age, w)
            there = terminal & terminal_window(age, w)
            values[f"customer_count_{w}d"] = float(mine.sum())
            values[f"customer_mean_amount_{w}d"] = (
                columns["amount"][mine].mean() if mine.any() else empty_mean
            )
            values[f"terminal_count_{w}d"] = float(there.sum())
            values[f"terminal_risk_{w}d"] = (
                columns["fraud"][there].mean() if there.any() else 0.0
            )
        out.append(values)
    return pd.DataFrame(out, index=transactions.index)


def right_by_masks(transactions, windows=(1, 7, 30), delay_days=7):
    # every row against every other: slow, and the definition itself
    return _from_rows(
        transactions,
        windows,
        delay_days,
        lambda age, w: (age > 0) & (age <= w),
        lambda age, w: (age > delay_days) & (age <= delay_days + w),
    )


def right_by_groups(transactions, windows=(1, 7, 30), delay_days=7):
    # one sorted array of times per card and per terminal, windows found by bisection
    _check(windows, delay_days)
    result = pd.DataFrame(index=transactions.index)
    at_second = (
        transactions["timestamp"].to_numpy().astype("datetime64[s]").astype("int64")
    )
    seconds = pd.Series(at_second, transactions.index)
    for kind, value, names, delay in (
        ("customer_id", "amount", ("customer_count", "customer_mean_amount"), 0),
        ("terminal_id", "fraud", ("terminal_count", "terminal_risk"), delay_days),
    ):
        for _, rows in transactions.groupby(kind):
            at = seconds[rows.index].sort_values(kind="stable")
            total = np.append(0.0, rows.loc[at.index, value].astype(float).cumsum())
            end = np.searchsorted(at, at - delay * 86_400, side="left")
            for w in windows:
                begin = np.searchsorted(at, at - (delay + w) * 86_400, side="left")
                n = end - begin
                mean = np.where(
                    n > 0, (total[end] - total[begin]) / np.where(n > 0, n, 1), 0.0
                )
                result.loc[at.index, [f"{names[0]}_{w}d", f"{names[1]}_{w}d"]] = (
                    np.column_stack([n, mean])
                )
            if kind == "customer_id":
                last = np.where(end > 0, at.to_numpy()[end - 1], 0)
                recency = np.where(end > 0, (at.to_numpy() - last) / 3600, np.nan)
                result.loc[at.index, "customer_recency_hours"] = recency
    return result.astype(float)


def wrong_published(transactions, windows=(1, 7, 30), delay_days=7):
    # the Handbook's features: the current transaction is in the customer's window, the
    # windows' ends are closed
    _check(windows, delay_days)
    strict = right_by_groups(transactions, windows, delay_days)
    published = fraud.handbook_features(transactions, delay_days, windows)
    names = [column for column in strict if column in published]
    return strict.assign(**published[names].astype(float))


def wrong_no_label_delay(transactions, windows=(1, 7, 30), delay_days=7):
    # labels are used from the moment of the transaction on
    return (
        right_by_groups(transactions, windows, 0)
        if delay_days >= 0
        else _check(windows, delay_days)
    )


def wrong_labels_of_the_delay(transactions, windows=(1, 7, 30), delay_days=7):
    # the window is moved back, but its end stays now: labels of the last days are
    # counted
    return _from_rows(
        transactions,
        windows,
        delay_days,
        lambda age, w: (age > 0) & (age <= w),
        lambda age, w: (age > 0) & (age <= delay_days + w),
    )


def wrong_window_not_moved(transactions, windows=(1, 7, 30), delay_days=7):
    # only the labels wait: a window of w days up to now keeps nothing when w is below
    # the delay
    return _from_rows(
        transactions,
        windows,
        delay_days,
        lambda age, w: (age > 0) & (age <= w),
        lambda age, w: (age > delay_days) & (age <= w),
    )


def wrong_same_second_is_history(transactions, windows=(1, 7, 30), delay_days=7):
    # pandas' rolling(closed="left") drops the current row only: an earlier row of the
    # same second stays in
    good = right_by_groups(transactions, windows, delay_days)
    ordered = transactions.sort_values("timestamp", kind="stable")
    for w in windows:
        rolled = (
            ordered.set_index("timestamp")
            .groupby("customer_id")["amount"]
            .rolling(f"{w}D", closed="left")
        )
        order = ordered.sort_values(["customer_id", "timestamp"], kind="stable").index
        counts = pd.Series(rolled.count().to_numpy(), index=order)
        means = pd.Series(rolled.mean().fillna(0).to_numpy(), index=order)
        good[f"customer_count_{w}d"] = counts.reindex(good.index)
        good[f"customer_mean_amount_{w}d"] = means.reindex(good.index)
    return good


def wrong_calendar_days(transactions, windows=(1, 7, 30), delay_days=7):
    # whole days: all of yesterday is history, nothing of today is
    floored = transactions.assign(timestamp=transactions["timestamp"].dt.floor("D"))
    return right_by_groups(floored, windows, delay_days)


def wrong_returns_time_order(transactions, windows=(1, 7, 30), delay_days=7):
    # values are right, but rows come back sorted and with a new index
    return right_by_groups(
        transactions.sort_values("timestamp"), windows, delay_days
    ).reset_index(drop=True)


def wrong_fills_with_the_overall_mean(transactions, windows=(1, 7, 30), delay_days=7):
    # a card without history gets the mean of all amounts, those of the future included
    good = right_by_groups(transactions, windows, delay_days)
    for w in windows:
        no_history = good[f"customer_count_{w}d"] == 0
        good.loc[no_history, f"customer_mean_amount_{w}d"] = transactions[
            "amount"
        ].mean()
    return good


def wrong_changes_its_argument(transactions, windows=(1, 7, 30), delay_days=7):
    # the caller's frame is changed
    good = right_by_groups(transactions, windows, delay_days)
    transactions["hour"] = transactions["timestamp"].dt.hour
    return good


def wrong_recency_in_whole_hours(transactions, windows=(1, 7, 30), delay_days=7):
    # right for every payment made on the hour
    table = right_by_groups(transactions, windows, delay_days)
    return table.assign(customer_recency_hours=table["customer_recency_hours"] // 1)


def wrong_takes_any_time_for_seconds(transactions, windows=(1, 7, 30), delay_days=7):
    # the integers behind datetime64[ns] are not seconds
    seconds = transactions["timestamp"].to_numpy().astype(np.int64)
    stamps = pd.Series(seconds - seconds.min(), index=transactions.index)
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta(stamps % 10**9, unit="s")
    return right_by_groups(transactions.assign(timestamp=times), windows, delay_days)


def wrong_counts_are_integers(transactions, windows=(1, 7, 30), delay_days=7):
    # the docstring promises floats
    table = right_by_groups(transactions, windows, delay_days)
    return table.astype({name: int for name in table if "count" in name})


def wrong_joined_to_its_argument(transactions, windows=(1, 7, 30), delay_days=7):
    # labels and ids come back among the features
    return transactions.join(right_by_groups(transactions, windows, delay_days))


def wrong_checks_the_first_window(transactions, windows=(1, 7, 30), delay_days=7):
    _check(windows[:1], delay_days)
    allowed = tuple(w for w in windows if w >= 1)
    return right_by_groups(transactions, allowed, delay_days)
