"""Answers that the tests of kaplan_meier must tell apart."""

import numpy as np
import pandas as pd

COLUMNS = ["time", "at_risk", "ends", "survival"]


def _arrays(duration, observed):
    duration, observed = np.asarray(duration, float), np.asarray(observed, bool)
    if duration.shape != observed.shape or (duration < 0).any():
        raise ValueError("durations must not be negative, one flag each")
    return duration, observed


def _table(duration, observed, at_risk, times=None):
    times = sorted(set(duration[observed])) if times is None else times
    rows, share = [], 1.0
    for t in times:
        n_risk, ends = at_risk(t), (observed & (duration == t)).sum()
        share *= 1 - ends / n_risk if n_risk else 1.0
        rows.append((t, n_risk, ends, share))
    return pd.DataFrame(rows, columns=COLUMNS)


def right_by_loop(duration, observed):
    # the definition, time by time
    duration, observed = _arrays(duration, observed)
    return _table(duration, observed, lambda t: (duration >= t).sum())


def right_by_life_table(duration, observed):
    # counts per distinct time, at risk from the end
    duration, observed = _arrays(duration, observed)
    table = pd.DataFrame({"time": duration, "ends": observed}).groupby("time")["ends"]
    counts = table.agg(["size", "sum"])
    counts["at_risk"] = counts["size"][::-1].cumsum()[::-1]
    counts = counts[counts["sum"] > 0]
    survival = (1 - counts["sum"] / counts["at_risk"]).cumprod()
    return pd.DataFrame(
        {
            "time": counts.index.to_numpy(float),
            "at_risk": counts["at_risk"].to_numpy(),
            "ends": counts["sum"].to_numpy(),
            "survival": survival.to_numpy(float),
        }
    )


def wrong_drops_the_censored(duration, observed):
    # only customers who left: stays look shorter than they are
    duration, observed = _arrays(duration, observed)
    kept = duration[observed]
    return _table(kept, np.ones(len(kept), bool), lambda t: (kept >= t).sum())


def wrong_censoring_is_an_end(duration, observed):
    # today is taken for the last day of all who are here
    duration, observed = _arrays(duration, observed)
    everyone = np.ones(len(duration), bool)
    return _table(duration, everyone, lambda t: (duration >= t).sum())


def wrong_censored_leave_first(duration, observed):
    # who is censored at a time is not at risk at that time
    duration, observed = _arrays(duration, observed)
    return _table(
        duration,
        observed,
        lambda t: ((duration > t) | ((duration == t) & observed)).sum(),
    )


def wrong_share_of_all(duration, observed):
    # one minus the share that has left: the censored count as staying for ever
    duration, observed = _arrays(duration, observed)
    table = right_by_loop(duration, observed)
    return table.assign(survival=1 - table["ends"].cumsum() / max(len(duration), 1))


def wrong_row_for_every_time(duration, observed):
    # times without an end are listed too
    duration, observed = _arrays(duration, observed)
    times = sorted(set(duration))
    return _table(duration, observed, lambda t: (duration >= t).sum(), times)


def wrong_cumulative_hazard(duration, observed):
    # Nelson-Aalen's exp(-H), close to it and not it
    table = right_by_loop(duration, observed)
    hazard = (table["ends"] / table["at_risk"]).cumsum()
    return table.assign(survival=np.exp(-hazard.astype(float)))
