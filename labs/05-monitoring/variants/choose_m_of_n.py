"""Answers that the tests of choose_m_of_n must tell apart."""

import numpy as np


def _states(values, threshold, m, n):
    over = [bool(value > threshold) for value in values]
    return [sum(over[max(0, i - n + 1) : i + 1]) >= m for i in range(len(over))]


def _calls(states):
    return sum(now and not before for before, now in zip([False, *states], states))  # noqa: B905


def _pairs():
    return [(m, n) for n in range(1, 6) for m in range(1, n + 1)]


def _choose(rows, order):
    if not rows:
        raise ValueError("nothing is quiet enough")
    names = ("m", "n", "calls", "hours")
    return dict(zip(names, min(rows, key=order), strict=True))


def _rows(calm, drifted, threshold, most, states=_states, calls=_calls):
    rows = []
    for m, n in _pairs():
        loud = states(drifted, threshold, m, n)
        cost = calls(states(calm, threshold, m, n))
        if True in loud and cost <= most:
            rows.append((m, n, cost, loud.index(True) + 1))
    return rows


def _order(row):
    m, n, calls, hours = row
    return hours, calls, n, -m


def right_by_lists(calm, drifted, threshold, most_calls):
    # windows as slices
    return _choose(_rows(calm, drifted, threshold, most_calls), _order)


def wrong_counts_hours_in_alarm(calm, drifted, threshold, most_calls):
    # every hour in ALARM is a call
    return _choose(_rows(calm, drifted, threshold, most_calls, calls=sum), _order)


def wrong_missing_breaches(calm, drifted, threshold, most_calls):
    # an hour without a value counts as above the threshold
    calm, drifted = (np.nan_to_num(each, nan=np.inf) for each in (calm, drifted))
    return _choose(_rows(calm, drifted, threshold, most_calls), _order)


def wrong_leaves_missing_out(calm, drifted, threshold, most_calls):
    # the window reaches over hours without a value
    calm, drifted = (each[~np.isnan(each)] for each in (calm, drifted))
    return _choose(_rows(calm, drifted, threshold, most_calls), _order)


def wrong_m_in_a_row(calm, drifted, threshold, most_calls):
    # the last m, whatever n is
    def in_a_row(values, limit, m, n):
        return _states(values, limit, m, m)

    return _choose(_rows(calm, drifted, threshold, most_calls, states=in_a_row), _order)


def wrong_quietest(calm, drifted, threshold, most_calls):
    # fewest calls first: the drift is found later than it could be
    def order(row):
        return row[2], row[3], row[1], -row[0]

    return _choose(_rows(calm, drifted, threshold, most_calls), order)


def wrong_hours_from_zero(calm, drifted, threshold, most_calls):
    # the first hour is 0
    found = _choose(_rows(calm, drifted, threshold, most_calls), _order)
    return found | {"hours": found["hours"] - 1}


def wrong_waits_for_a_full_window(calm, drifted, threshold, most_calls):
    # no state before n values are there
    def full(values, limit, m, n):
        states = _states(values, limit, m, n)
        return [s and i >= n - 1 for i, s in enumerate(states)]

    return _choose(_rows(calm, drifted, threshold, most_calls, states=full), _order)
