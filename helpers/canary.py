"""Canary releases on paper: what a small share of the traffic can show, how long to bake, which alarm sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
REGRESSIONS = ("none", "5xx", "latency", "quality")
FLEETS = ("blue", "green", "all")
# SageMaker waits at most so long in one step of an update, and at its end: WaitIntervalInSeconds.
MOST_BAKE_MINUTES = 60
# CloudWatch looks this much further back than the evaluation periods, for datapoints in the place of missing ones.
_EXTRA_PERIODS = 2


def p_see_nothing(requests: int, share: float, fault_rate: float) -> float:
    """Chance that not one request fails on a canary that fails at some rate.

    Each request goes to the canary with the chance `share`, as SageMaker routes, and fails there with `fault_rate`.

    Args:
        requests: to the whole endpoint.
        share: of the canary, in [0, 1].
        fault_rate: of the canary's requests, in [0, 1].

    Raises:
        ValueError: an argument lies outside its range.
    """
    _check_shares(share=share, fault_rate=fault_rate)
    if requests < 0:
        raise ValueError(f"requests must not be negative, got {requests}")
    return float((1 - share * fault_rate) ** requests)


def bake_minutes(
    requests_per_minute: float, share: float, fault_rate: float, detection: float = 0.95, faults: int = 1
) -> int:
    """Whole minutes after which a canary has shown its fault with some chance.

    Args:
        requests_per_minute: to the whole endpoint, on average; they come as a Poisson process.
        share: of the canary, in (0, 1].
        fault_rate: of the canary's requests, in (0, 1].
        detection: chance to see the fault in time, in (0, 1).
        faults: failed requests that it takes to see one, at least 1: an alarm with a higher threshold needs more.

    Returns:
        May be more than `MOST_BAKE_MINUTES`, which one step of an update cannot wait.

    Raises:
        ValueError: an argument lies outside its range.
    """
    _check_shares(share=share, fault_rate=fault_rate, detection=detection)
    rate = requests_per_minute * share * fault_rate
    if rate <= 0 or detection in (0, 1) or faults < 1:
        raise ValueError("rates must be positive, detection between 0 and 1, and faults at least 1")
    # The expected number of faults with which at least `faults` come with the chance `detection`.
    expected = stats.gamma.ppf(detection, faults)
    return math.ceil(expected / rate - 1e-9)


def labels_needed(accuracy: float, drop: float, detection: float = 0.95, alpha: float = 0.05) -> int:
    """Labels with which a one-sided test finds that the canary's accuracy is lower than it should be.

    Args:
        accuracy: of the fleet in service, known from many labels, in (0, 1).
        drop: of the accuracy that must be found, above 0 and below accuracy.
        detection: chance to find it.
        alpha: chance of an alarm without any drop.

    Raises:
        ValueError: an argument lies outside its range.
    """
    if not 0 < drop < accuracy < 1:
        raise ValueError(f"drop must lie between 0 and the accuracy, and that below 1: {drop}, {accuracy}")
    _check_shares(detection=detection, alpha=alpha)
    lower = accuracy - drop
    known, found = math.sqrt(accuracy * (1 - accuracy)), math.sqrt(lower * (1 - lower))
    return math.ceil(((stats.norm.isf(alpha) * known + stats.norm.ppf(detection) * found) / drop) ** 2)


def label_bake_minutes(
    requests_per_minute: float, share: float, labels: int, label_share: float, label_delay: float
) -> int:
    """Whole minutes after which so many labels of the canary's answers are expected.

    Args:
        requests_per_minute: to the whole endpoint.
        share: of the canary, in (0, 1].
        labels: that are needed, see `labels_needed`.
        label_share: of the requests that are ever labelled, in (0, 1].
        label_delay: mean minutes from a request to its label; the delay is exponential.

    Raises:
        ValueError: an argument lies outside its range.
    """
    _check_shares(share=share, label_share=label_share)
    rate = requests_per_minute * share * label_share
    if rate <= 0 or labels < 1 or label_delay < 0:
        raise ValueError("rates must be positive, labels at least 1, and the delay not negative")
    if label_delay == 0:
        return math.ceil(labels / rate)

    def arrived(minutes: float) -> float:
        return rate * (minutes + label_delay * math.expm1(-minutes / label_delay))

    return math.ceil(brentq(lambda minutes: arrived(minutes) - labels, 0, labels / rate + label_delay))


@dataclass(frozen=True)
class Alarm:
    """An alarm over one value a minute.

    Attributes:
        threshold: an alarm's datapoint is at least this or, with below, less than this.
        evaluation_periods: N, the minutes that are looked at.
        datapoints_to_alarm: M, how many of them must be beyond the threshold.
        missing: what a minute without a value counts as, CloudWatch's TreatMissingData.
        below: whether low values are bad, as an accuracy's are.
    """

    threshold: float
    evaluation_periods: int = 1
    datapoints_to_alarm: int = 1
    missing: Literal["missing", "notBreaching", "breaching", "ignore"] = "missing"
    below: bool = False

    def members(self) -> dict[str, Any]:
        """The members of PutMetricAlarm that say when it goes off; name, metric and statistic are not among them."""
        return {
            "Period": 60,
            "Threshold": self.threshold,
            "ComparisonOperator": "LessThanThreshold" if self.below else "GreaterThanOrEqualToThreshold",
            "EvaluationPeriods": self.evaluation_periods,
            "DatapointsToAlarm": self.datapoints_to_alarm,
            "TreatMissingData": self.missing,
        }


def alarm_states(values: ArrayLike, alarm: Alarm) -> list[str]:
    """State of an alarm after each minute: OK, ALARM or INSUFFICIENT_DATA.

    Args:
        values: one a minute, shape (minutes,), nan where nothing was reported.
        alarm: what it looks at.

    Raises:
        ValueError: datapoints_to_alarm lies not between 1 and evaluation_periods.

    Source: "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide.
    """
    if not 1 <= alarm.datapoints_to_alarm <= alarm.evaluation_periods:
        raise ValueError(f"M must lie between 1 and N: {alarm.datapoints_to_alarm} of {alarm.evaluation_periods}")
    values = np.asarray(values, dtype=float)
    before = np.full(alarm.evaluation_periods + _EXTRA_PERIODS - 1, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, values]), len(before) + 1)
    states, state = [], INSUFFICIENT_DATA
    for window in windows:
        state = _state(window, alarm, state)
        states.append(state)
    return states


def first_alarm(values: ArrayLike, alarm: Alarm) -> int | None:
    """The first minute, from 0, after which an alarm is in the state ALARM; None if it never is."""
    states = alarm_states(values, alarm)
    return states.index(ALARM) if ALARM in states else None


def simulate(
    seed: int,
    regression: str = "none",
    minutes: int = 60,
    requests_per_minute: float = 60.0,
    share: float = 0.1,
    severity: float | None = None,
    fault_rate: float = 0.0005,
    median_ms: float = 40.0,
    accuracy: float = 0.85,
    label_share: float = 0.3,
    label_delay: float = 10.0,
) -> pd.DataFrame:
    """What CloudWatch would hold of an endpoint, minute by minute, while a canary takes a share of its traffic.

    Args:
        seed: of the stream of random numbers.
        regression: what is worse on the canary, one of `REGRESSIONS`.
        minutes: from the canary's first request on.
        requests_per_minute: to the whole endpoint, on average.
        share: of the canary.
        severity: how much worse. For 5xx the fault rate (.05 by default), for latency the share of requests that take
            ten times as long (.05), for quality the drop of the accuracy (.15).
        fault_rate: of either fleet without a regression.
        median_ms: of the latency without a regression, which is lognormal with a shape of .25.
        accuracy: of either fleet's answers without a regression.
        label_share: of requests that are ever labelled.
        label_delay: mean minutes from a request to its label, exponential.

    Returns:
        One row per minute and fleet ("blue" is the old one, "green" the canary, "all" both): minute (int), fleet,
        requests, errors (5xx), mean_ms and p99_ms (nan without requests), labels (that arrived in this minute) and
        correct (of these labels).

    Raises:
        ValueError: the regression is unknown, or an argument lies outside its range.
    """
    if regression not in REGRESSIONS:
        raise ValueError(f"regression must be one of {REGRESSIONS}, got {regression!r}")
    _check_shares(share=share, fault_rate=fault_rate, accuracy=accuracy, label_share=label_share)
    severity = {"5xx": 0.05, "latency": 0.05, "quality": 0.15}.get(regression, 0.0) if severity is None else severity
    rng = np.random.default_rng(seed)
    minute = np.repeat(np.arange(minutes), rng.poisson(requests_per_minute, minutes))
    green = rng.random(len(minute)) < share

    def worse(kind: str) -> np.ndarray:
        return green if regression == kind else np.zeros(len(minute), dtype=bool)

    failed = rng.random(len(minute)) < np.where(worse("5xx"), severity, fault_rate)
    milliseconds = median_ms * rng.lognormal(0, 0.25, len(minute))
    milliseconds[worse("latency") & (rng.random(len(minute)) < severity)] *= 10
    correct = rng.random(len(minute)) < np.where(worse("quality"), accuracy - severity, accuracy)
    labelled = ~failed & (rng.random(len(minute)) < label_share)
    known = (minute + rng.random(len(minute)) + rng.exponential(label_delay, len(minute))).astype(int)
    requests = pd.DataFrame({"minute": minute, "known": known, "failed": failed, "ms": milliseconds})
    requests = requests.assign(labelled=labelled, correct=correct)
    of = {"blue": requests[~green], "green": requests[green], "all": requests}
    return pd.concat([_by_minute(rows, minutes).assign(fleet=fleet) for fleet, rows in of.items()], ignore_index=True)


def metric(frame: pd.DataFrame, name: str, fleet: str = "green") -> np.ndarray:
    """One value a minute of a simulated metric, shape (minutes,), nan where CloudWatch would hold none.

    Args:
        frame: as `simulate` returns.
        name: "5xx_sum" or "5xx_average" (Sum and Average of Invocation5XXErrors), "mean_ms", "p99_ms", or "accuracy" of
            the labels that arrived in the minute.
        fleet: "green", "blue" or "all".

    Raises:
        ValueError: the metric or the fleet is unknown.
    """
    if fleet not in FLEETS:
        raise ValueError(f"fleet must be one of {FLEETS}, got {fleet!r}")
    rows = frame[frame["fleet"] == fleet].sort_values("minute")
    asked, labels = rows["requests"].where(rows["requests"] > 0), rows["labels"].where(rows["labels"] > 0)
    values = {
        "5xx_sum": rows["errors"].where(rows["requests"] > 0),
        "5xx_average": rows["errors"] / asked,
        "mean_ms": rows["mean_ms"],
        "p99_ms": rows["p99_ms"],
        "accuracy": rows["correct"] / labels,
    }
    if name not in values:
        raise ValueError(f"the metric must be one of {list(values)}, got {name!r}")
    return values[name].to_numpy(dtype=float)


def alarm_odds(frames: Sequence[pd.DataFrame], name: str, alarm: Alarm, fleet: str = "green") -> tuple[float, float]:
    """Share of simulated canaries that an alarm stops, and the median minute of those alarms.

    Args:
        frames: as `simulate` returns, one per canary.
        name: of the metric, see `metric`.
        alarm: on that metric.
        fleet: whose metric it is.

    Returns:
        The share, and the median minute (counted from 1; nan when nothing was stopped).
    """
    found = [first_alarm(metric(frame, name, fleet), alarm) for frame in frames]
    stopped = [minute + 1 for minute in found if minute is not None]
    return len(stopped) / len(frames), float(np.median(stopped)) if stopped else math.nan


def _state(window: np.ndarray, alarm: Alarm, state: str) -> str:
    """The next state: missing datapoints are replaced by older ones first, and only then by what `missing` says."""
    periods, to_alarm = alarm.evaluation_periods, alarm.datapoints_to_alarm
    present = np.flatnonzero(~np.isnan(window))
    judged = present[-periods:]
    breaching = (window[judged] < alarm.threshold) if alarm.below else (window[judged] >= alarm.threshold)
    filled = periods - len(judged)
    if breaching.sum() >= to_alarm:
        return ALARM
    if not filled or alarm.missing == "notBreaching":
        return OK
    if alarm.missing == "breaching":
        return ALARM if breaching.sum() + filled >= to_alarm else OK
    if not len(judged):
        return state if alarm.missing == "ignore" else INSUFFICIENT_DATA
    if not breaching.all():
        return OK
    # All that is there breaches, but it is too little: old enough, it decides; else the next datapoint does.
    age = len(window) - judged[0]
    return ALARM if alarm.missing == "missing" and age >= to_alarm else state


def _by_minute(rows: pd.DataFrame, minutes: int) -> pd.DataFrame:
    every = pd.RangeIndex(minutes, name="minute")
    asked = rows.groupby("minute")
    latency = pd.DataFrame({"mean_ms": asked["ms"].mean(), "p99_ms": asked["ms"].quantile(0.99)}).reindex(every)
    counts = pd.DataFrame({"requests": asked.size(), "errors": asked["failed"].sum()}).reindex(every, fill_value=0)
    came = rows[rows["labelled"]].groupby("known")
    labels = pd.DataFrame({"labels": came.size(), "correct": came["correct"].sum()}).reindex(every, fill_value=0)
    return pd.concat([counts, latency, labels.rename_axis("minute")], axis=1).reset_index()


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
