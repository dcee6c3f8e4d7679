"""Rehearses a canary: draws what a release would report, minute by minute, and evaluates alarm requests on it.

A plan that has never rolled anything back is a guess. Here it meets releases with known faults, thousands of times
faster than an endpoint would show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers import canary

HISTORY_MINUTES = 60
STATISTICS = {
    "Average": np.mean,
    "Sum": np.sum,
    "Minimum": np.min,
    "Maximum": np.max,
    "SampleCount": len,
}
UNITS = {"Invocation5XXErrors": "None", "ModelLatency": "Microseconds", "Agreement": "None"}
NAMESPACES = {"Invocation5XXErrors": "AWS/SageMaker", "ModelLatency": "AWS/SageMaker", "Agreement": "Course/Sentiment"}

# By the metric's name and whether it is of the new fleet alone: the values of each minute, history first.
Series = dict[tuple[str, bool], list[np.ndarray]]


@dataclass(frozen=True)
class Release:
    """How a model behaves in service.

    Args:
        error_share: share of the requests that are answered with a 5xx status.
        slow_share: share of the requests that take `slow_ms`.
        median_ms: median latency of the others, log-normal with a sigma of .35.
        slow_ms: latency of the slow ones.
        agreement: share of the answers that agree with the label that comes later.
    """

    error_share: float = 0.002
    slow_share: float = 0.0005
    median_ms: float = 20.0
    slow_ms: float = 400.0
    agreement: float = 0.85


@dataclass(frozen=True)
class Rollback:
    """When an update was rolled back, in minutes since the first request to the new fleet, and by which alarm."""

    minute: int
    alarm: str


def rehearse(
    service: Mapping[str, Any],
    alarms: Sequence[Mapping[str, Any]],
    update: Mapping[str, Any],
    release: Release,
    seed: int | Sequence[int],
    stable: Release | None = None,
) -> Rollback | None:
    """Play the canary stage of an update, and say whether its alarms roll it back.

    Alarms are evaluated once a minute, M out of N, with CloudWatch's rules for missing data. Those that the update
    does not name are not watched. An alarm on a metric that nobody reports has no data, as on AWS.

    Args:
        service: endpoint, variant and endpoint_config (the new one): names; requests_per_minute; label_share: share
            of the requests that get a label; label_delay_minutes: how long that takes.
        alarms: requests of PutMetricAlarm, each on one metric.
        update: request of UpdateEndpoint, a canary.
        release: the new model's behaviour.
        seed: of the draw.
        stable: the behaviour of the model in service; a healthy one by default.

    Returns:
        The rollback, or None when the canary stage ends without an alarm.

    Raises:
        ValueError: the update is no canary, or an alarm's period is not a whole number of minutes.
    """
    routing = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    if routing["Type"] != "CANARY" or routing["CanarySize"]["Type"] != "CAPACITY_PERCENT":
        raise ValueError("the rehearsal knows canaries by percent of the capacity only")
    share, minutes = routing["CanarySize"]["Value"] / 100, routing["WaitIntervalInSeconds"] // 60
    named = {entry["AlarmName"] for entry in update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]}
    series = draw(service, release, stable or Release(), share, minutes, seed)
    tripped = {
        alarm["AlarmName"]: minute
        for alarm in alarms
        if alarm["AlarmName"] in named and (minute := _first_alarm(service, alarm, series, minutes)) is not None
    }
    if not tripped:
        return None
    first = min(tripped, key=lambda name: tripped[name])
    return Rollback(tripped[first], first)


def draw(
    service: Mapping[str, Any],
    release: Release,
    stable: Release,
    share: float,
    minutes: int,
    seed: int | Sequence[int],
) -> Series:
    """What both fleets report: `HISTORY_MINUTES` before the update, then `minutes` of its canary stage.

    Args:
        service: see `rehearse`.
        release: behaviour of the new fleet.
        stable: behaviour of the old fleet.
        share: share of the traffic that the new fleet gets.
        minutes: length of the canary stage.
        seed: of the draw.

    Returns:
        Values of each minute by the metric's name, of the new fleet alone (True) and of both fleets (False).
    """
    rng = np.random.default_rng(seed)
    rate, total = service["requests_per_minute"], HISTORY_MINUTES + minutes
    started = np.arange(total) >= HISTORY_MINUTES
    new = _reports(rng, service, release, np.where(started, rate * share, 0.0))
    old = _reports(rng, service, stable, np.where(started, rate * (1 - share), rate))
    both = {name: [np.concatenate(pair) for pair in zip(old[name], new[name], strict=True)] for name in new}
    return {(name, True): new[name] for name in new} | {(name, False): both[name] for name in both}


def _reports(
    rng: np.random.Generator, service: Mapping[str, Any], release: Release, rates: np.ndarray
) -> dict[str, list[np.ndarray]]:
    """One fleet's values of each minute."""
    counts, delay = rng.poisson(rates), service["label_delay_minutes"]
    n = counts.sum()
    slow = rng.random(n) < release.slow_share
    latency = np.where(slow, release.slow_ms, rng.lognormal(np.log(release.median_ms), 0.35, n))
    asked = np.concatenate([np.zeros(min(delay, len(counts)), dtype=int), counts])[: len(counts)]
    labelled = rng.binomial(asked, service["label_share"])
    return {
        "Invocation5XXErrors": _by_minute(rng.random(n) < release.error_share, counts),
        "ModelLatency": _by_minute(1000 * latency, counts),
        "Agreement": _by_minute(rng.random(labelled.sum()) < release.agreement, labelled),
    }


def _by_minute(values: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return np.split(values.astype(float), counts.cumsum()[:-1])


def _first_alarm(service: Mapping[str, Any], alarm: Mapping[str, Any], series: Series, minutes: int) -> int | None:
    """The minute of the canary stage at whose end an alarm is in the state ALARM; 0 is the minute before it."""
    period, rest = divmod(alarm["Period"], 60)
    if rest or not period:
        raise ValueError(f"{alarm['AlarmName']}: the metrics have a value a minute, not every {alarm['Period']} s")
    reported = _find(service, alarm, series)
    # Older minutes than these lie outside of the first evaluation's range.
    oldest = HISTORY_MINUTES - (alarm["EvaluationPeriods"] + 3) * period
    ends = np.arange(max(period, oldest), len(reported) + 1)
    values = np.array([_statistic(alarm, reported[end - period : end]) for end in ends])
    states = np.empty(len(ends), dtype=object)
    # The periods that end at a minute are evaluated every `period` minutes, those that end at the next one apart.
    for offset in range(period):
        states[offset::period] = canary.alarm_states(values[offset::period], _members(alarm))
    in_stage = ends >= HISTORY_MINUTES
    tripped = ends[in_stage & (states == canary.ALARM)]
    return int(tripped[0]) - HISTORY_MINUTES if len(tripped) else None


def _members(alarm: Mapping[str, Any]) -> canary.Alarm:
    """What of a request says when the alarm goes off."""
    comparison, threshold = alarm["ComparisonOperator"], alarm["Threshold"]
    if comparison in ("GreaterThanThreshold", "LessThanOrEqualToThreshold"):
        threshold = np.nextafter(threshold, np.inf)
    elif comparison not in ("GreaterThanOrEqualToThreshold", "LessThanThreshold"):
        raise ValueError(f"{alarm['AlarmName']}: the rehearsal does not know {comparison}")
    return canary.Alarm(
        threshold=threshold,
        evaluation_periods=alarm["EvaluationPeriods"],
        datapoints_to_alarm=alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]),
        missing=alarm.get("TreatMissingData", "missing"),
        below=comparison.startswith("Less"),
    )


def _find(service: Mapping[str, Any], alarm: Mapping[str, Any], series: Series) -> list[np.ndarray]:
    """What an alarm's metric reported; nothing when there is no such metric."""
    nothing: list[np.ndarray] = [np.empty(0)] * len(series["Agreement", True])
    name, dimensions = alarm["MetricName"], {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
    if alarm["Namespace"] != NAMESPACES.get(name) or alarm.get("Unit", UNITS[name]) != UNITS[name]:
        return nothing
    both = {"EndpointName": service["endpoint"], "VariantName": service["variant"]}
    for known, new_fleet in ((both, False), (both | {"EndpointConfigName": service["endpoint_config"]}, True)):
        if dimensions == known:
            return series[name, new_fleet]
    return nothing


def _statistic(alarm: Mapping[str, Any], values: Sequence[np.ndarray]) -> float:
    """An alarm's statistic of some minutes; NaN when nothing was reported in them."""
    together = np.concatenate(values)
    if not len(together):
        return np.nan
    if "Statistic" in alarm:
        return float(STATISTICS[alarm["Statistic"]](together))
    return float(np.percentile(together, float(alarm["ExtendedStatistic"].removeprefix("p"))))
