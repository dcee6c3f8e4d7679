"""Answers that the tests of latency_report must tell apart."""

import math

import numpy as np


def _check(trace):
    if trace.empty:
        raise ValueError("the trace holds no request")


def _report(trace, latency, method="inverted_cdf"):
    latency = np.asarray(latency, float)
    ranked = {
        f"p{p}_ms": float(np.percentile(latency, p, method=method)) for p in (50, 99)
    }
    return ranked | {"error_rate": float(1 - trace["ok"].mean())}


def right_by_counting(trace):
    # counts upwards until enough requests are covered
    _check(trace)
    latency = ((trace["done"] - trace["scheduled"]) * 1000).where(trace["ok"], math.inf)
    ranked = latency.sort_values().tolist()
    report = {
        f"p{p}_ms": float(ranked[max(math.ceil(p * len(ranked) / 100), 1) - 1])
        for p in (50, 99)
    }
    return report | {"error_rate": float((~trace["ok"]).sum() / len(trace))}


def wrong_from_sending(trace):
    # coordinated omission: the clock starts when the request is at last sent
    _check(trace)
    return _report(
        trace, ((trace["done"] - trace["sent"]) * 1000).where(trace["ok"], 1e300)
    )


def wrong_leaves_failures_out(trace):
    # the more requests fail, the better the percentiles
    _check(trace)
    answered = trace[trace["ok"]]
    return _report(trace, (answered["done"] - answered["scheduled"]) * 1000)


def wrong_failures_count_as_answers(trace):
    # a quick error is a quick answer
    _check(trace)
    return _report(trace, (trace["done"] - trace["scheduled"]) * 1000)


def wrong_interpolates(trace):
    # numpy's default lies between two requests, and infinity cannot be interpolated
    _check(trace)
    latency = ((trace["done"] - trace["scheduled"]) * 1000).where(trace["ok"], 1e300)
    return _report(trace, latency, "linear")


def wrong_seconds(trace):
    # seconds under a name that says milliseconds
    _check(trace)
    return _report(
        trace, (trace["done"] - trace["scheduled"]).where(trace["ok"], math.inf)
    )


def wrong_rank_too_high(trace):
    # int(.99 n) as a zero-based index is one request too far
    _check(trace)
    latency = (
        ((trace["done"] - trace["scheduled"]) * 1000)
        .where(trace["ok"], math.inf)
        .sort_values()
        .tolist()
    )
    report = {
        f"p{p}_ms": float(latency[min(int(p / 100 * len(latency)), len(latency) - 1)])
        for p in (50, 99)
    }
    return report | {"error_rate": float((~trace["ok"]).mean())}


def wrong_empty_trace_is_fine(trace):
    # no request, no error
    if trace.empty:
        return {"p50_ms": 0.0, "p99_ms": 0.0, "error_rate": 0.0}
    return right_by_counting(trace)
