"""Answers that the tests of uplift_report must tell apart."""

import numpy as np
import pandas as pd


def _arrays(score, treated, stayed, share):
    score = np.asarray(score, float)
    treated, stayed = np.asarray(treated, bool), np.asarray(stayed, bool)
    if not 0 < share <= 1 or treated.all() or not treated.any():
        raise ValueError("share out of range, or an empty arm")
    return score, treated, stayed


def _uplift(treated, stayed, top):
    if not (top & treated).any() or not (top & ~treated).any():
        return float("nan")
    return float(stayed[top & treated].mean() - stayed[top & ~treated].mean())


def _top(score, share):
    k = int(np.ceil(share * len(score)))
    return score >= np.sort(score)[len(score) - k]


def _curve(score, treated, stayed, scaled=True):
    table = pd.DataFrame(
        {
            "t": treated,
            "c": ~treated,
            "ty": treated & stayed,
            "cy": ~treated & stayed,
        }
    ).groupby(-score)
    sums = table.sum().cumsum().astype(float)
    ratio = (sums["t"] / sums["c"]).where(sums["c"] > 0, 0.0) if scaled else 1.0
    kept = (sums["ty"] - sums["cy"] * ratio) / len(score)
    share = (sums["t"] + sums["c"]) / len(score)
    return np.append(0, share), np.append(0, kept)


def _area(share, kept):
    return float(np.trapezoid(kept - kept[-1] * share, share))


def right_by_frame(score, treated, stayed, share):
    # sums per group of equal scores in a frame
    score, treated, stayed = _arrays(score, treated, stayed, share)
    return {
        "uplift_at_k": _uplift(treated, stayed, _top(score, share)),
        "qini": _area(*_curve(score, treated, stayed)),
    }


def wrong_ties_by_row_order(score, treated, stayed, share):
    # a point after each customer: the area depends on the order of rows
    score, treated, stayed = _arrays(score, treated, stayed, share)
    order = np.argsort(-score, kind="stable")
    top = np.zeros(len(score), bool)
    top[order[: int(np.ceil(share * len(score)))]] = True
    ranks = np.empty(len(score))
    ranks[order] = -np.arange(len(score))
    return {
        "uplift_at_k": _uplift(treated, stayed, top),
        "qini": _area(*_curve(ranks, treated, stayed)),
    }


def wrong_arms_of_any_size(score, treated, stayed, share):
    # controls are not scaled to as many treated
    report = right_by_frame(score, treated, stayed, share)
    arrays = _arrays(score, treated, stayed, share)
    return report | {"qini": _area(*_curve(*arrays, scaled=False))}


def wrong_area_above_zero(score, treated, stayed, share):
    # the line of a lot is not taken off: a treatment that works flatters any order
    report = right_by_frame(score, treated, stayed, share)
    positions, kept = _curve(*_arrays(score, treated, stayed, share))
    return report | {"qini": float(np.trapezoid(kept, positions))}


def wrong_response_not_uplift(score, treated, stayed, share):
    # how many of the treated stay: what a campaign report usually says
    report = right_by_frame(score, treated, stayed, share)
    score, treated, stayed = _arrays(score, treated, stayed, share)
    return report | {"uplift_at_k": float(stayed[_top(score, share) & treated].mean())}


def wrong_lowest_first(score, treated, stayed, share):
    # the wrong end of the ranking
    return right_by_frame(-np.asarray(score, float), treated, stayed, share)


def wrong_final_scale(score, treated, stayed, share):
    # controls scaled by the whole log's ratio, not by that of the customers so far
    report = right_by_frame(score, treated, stayed, share)
    score, treated, stayed = _arrays(score, treated, stayed, share)
    groups = pd.DataFrame({"t": treated & stayed, "c": ~treated & stayed}).groupby(
        -score
    )
    sums = groups.sum().cumsum()
    kept = (sums["t"] - sums["c"] * treated.sum() / (~treated).sum()) / len(score)
    sizes = groups.size().cumsum() / len(score)
    return report | {"qini": _area(np.append(0, sizes), np.append(0, kept))}


def wrong_accepts_anything(score, treated, stayed, share):
    # no check of the arguments
    try:
        return right_by_frame(score, treated, stayed, share)
    except ValueError:
        return {"uplift_at_k": float("nan"), "qini": 0.0}
