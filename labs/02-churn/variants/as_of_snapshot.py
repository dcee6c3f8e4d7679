"""Answers that the tests of as_of_snapshot must tell apart."""

import numpy as np
import pandas as pd


def _snapshot(
    customers,
    usage,
    as_of_day,
    last_day,
    windows,
    horizon_days,
    *,
    before=True,
    exposure=True,
    label=lambda end, day, horizon: end <= day + horizon,
    active=lambda end, day: end > day,
    whole_usage=False,
    reach=0,
):
    if as_of_day + horizon_days > last_day:
        raise ValueError("labels are not known")
    events = [name for name in usage if name not in ("customer_id", "day")]
    rows = []
    for c in customers.sort_values("customer_id").itertuples():
        end = np.inf if pd.isna(c.ended_day) else int(c.ended_day)
        if c.signup_day > as_of_day - 30 or not active(end, as_of_day):
            continue
        own = usage[usage["customer_id"] == c.customer_id]
        past = own if whole_usage else own[own["day"] < as_of_day + (not before)]
        tenure = as_of_day - c.signup_day
        row = {
            "customer_id": c.customer_id,
            "tenure_days": tenure,
            "days_since_use": as_of_day - past["day"].max() if len(past) else np.nan,
        }
        for w in windows:
            inside = past[past["day"] >= as_of_day - w - reach]
            for name in events:
                scale = 30 / (min(w, tenure) if exposure else w)
                row[f"{name}_{w}d"] = float(inside[name].sum() * scale)
        row["churned"] = bool(label(end, as_of_day, horizon_days))
        rows.append(row)
    return pd.DataFrame(rows).set_index("customer_id")


def right_by_customer(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # one customer after the other
    return _snapshot(customers, usage, as_of_day, last_day, windows, horizon_days)


def wrong_counts_the_day_itself(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # the job runs in the morning: the day's usage is not there yet
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, before=False)


def wrong_uses_all_usage(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # no upper bound: the future is in the counts
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, whole_usage=True)


def wrong_ignores_exposure(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # a young customer looks inactive in the long window
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, exposure=False)


def wrong_window_a_day_too_long(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # w + 1 days
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, reach=1)


def wrong_label_of_today(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # whether the customer has left by now, not within the horizon
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, label=lambda end, day, horizon: np.isfinite(end))


def wrong_label_ends_early(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # the last day of the horizon does not count
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, label=lambda end, day, horizon: end < day + horizon)


def wrong_keeps_those_who_left(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # survivors and the dead: whoever ended before counts as churned
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, active=lambda end, day: True)


def wrong_only_survivors(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # customers of today: those who left since are missing
    arguments = customers, usage, as_of_day, last_day, windows, horizon_days
    return _snapshot(*arguments, active=lambda end, day: np.isinf(end))


def wrong_accepts_unknown_labels(
    customers, usage, as_of_day, last_day, windows=(7, 30, 90), horizon_days=30
):
    # who has not left by the end of the tables counts as staying
    arguments = customers, usage, as_of_day, 10**9, windows, horizon_days
    return _snapshot(*arguments)
