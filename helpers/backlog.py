"""Simulates the queue of an asynchronous endpoint under the requests that scale it, minute by minute.

What it reproduces is the arithmetic of Application Auto Scaling and CloudWatch: metrics once a minute, an alarm from
zero, the two alarms of target tracking, cooldowns, and instances that need time until they serve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

PERIOD_SECONDS = 60
STEPS_PER_PERIOD = 12
HIGH_PERIODS, LOW_PERIODS = 3, 15
LOW_FRACTION = 0.9
DEFAULT_COOLDOWN_SECONDS = 300
METRICS = (
    "ApproximateBacklogSize",
    "ApproximateBacklogSizePerInstance",
    "HasBacklogWithoutCapacity",
    "ApproximateAgeOfOldestRequest",
)
_STATISTICS = ("Average", "Maximum", "Minimum", "Sum")
_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": np.greater_equal,
    "GreaterThanThreshold": np.greater,
    "LessThanOrEqualToThreshold": np.less_equal,
    "LessThanThreshold": np.less,
}


@dataclass(frozen=True)
class Drained:
    """What became of the requests.

    Attributes:
        wait_seconds: from arrival to answer, in order of arrival, shape (n_requests,); inf without an answer.
        trace: one row per minute: minute, backlog (requests), instances (serving), desired (asked for).
        instance_minutes: sum over all minutes of the instances asked for, which AWS bills from their start on.
    """

    wait_seconds: np.ndarray
    trace: pd.DataFrame
    instance_minutes: float


def simulate(
    requests: Mapping[str, Mapping[str, Any]],
    arrival_seconds: Sequence[float],
    seconds_per_request: float,
    provisioning_seconds: float,
    minutes: int,
) -> Drained:
    """Run an asynchronous endpoint that begins without instances and without requests.

    Args:
        requests: members of four calls, by these keys: target (RegisterScalableTarget), tracking (PutScalingPolicy,
            TargetTrackingScaling), step (PutScalingPolicy, StepScaling), alarm (PutMetricAlarm that executes step).
        arrival_seconds: when requests arrive, ascending, seconds after the beginning.
        seconds_per_request: of one instance, which works on one request at a time.
        provisioning_seconds: from the decision for an instance until it serves.
        minutes: how long to simulate.

    Raises:
        ValueError: a metric, statistic or comparison is none that the endpoint's alarms know, or a period is not 60 s.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
    """
    fleet = _Fleet(requests, provisioning_seconds)
    arrivals = np.asarray(arrival_seconds, dtype=float)
    step = PERIOD_SECONDS / STEPS_PER_PERIOD
    done, served_by_step, rows = 0.0, [], []
    for minute in range(minutes):
        for i in range(1, STEPS_PER_PERIOD + 1):
            now = minute * PERIOD_SECONDS + i * step
            arrived = int(np.searchsorted(arrivals, now, side="right"))
            done = min(arrived, done + fleet.serving(now) * step / seconds_per_request)
            served_by_step.append(done)
        answered = math.floor(done + 1e-9)
        backlog, now = arrived - answered, (minute + 1) * PERIOD_SECONDS
        age = now - arrivals[answered] if backlog else 0.0
        rows.append((minute + 1, backlog, fleet.serving(now), fleet.desired))
        fleet.decide(now, backlog, age)
    first_step = np.searchsorted(np.array(served_by_step) + 1e-9, np.arange(1, len(arrivals) + 1))
    answered_at = np.where(first_step < len(served_by_step), (first_step + 1) * step, np.inf)
    trace = pd.DataFrame(rows, columns=["minute", "backlog", "instances", "desired"])
    return Drained(answered_at - arrivals, trace, float(trace["desired"].sum()))


@dataclass
class _Fleet:
    """Instances that serve or are on their way, and the policies that change their number."""

    requests: Mapping[str, Mapping[str, Any]]
    provisioning_seconds: float
    ready_at: list[float] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    last_change: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tracking = self.requests["tracking"]["TargetTrackingScalingPolicyConfiguration"]
        if "CustomizedMetricSpecification" not in tracking:
            raise ValueError("an asynchronous endpoint's queue has no predefined metric: name one of " + str(METRICS))
        for metric in (tracking["CustomizedMetricSpecification"], self.requests["alarm"]):
            if metric["MetricName"] not in METRICS:
                raise ValueError(f"the endpoint's queue publishes {METRICS}, not {metric['MetricName']!r}")
            if metric.get("Statistic") not in _STATISTICS or metric.get("Period", PERIOD_SECONDS) != PERIOD_SECONDS:
                raise ValueError(f"a statistic of one period of {PERIOD_SECONDS} s is needed, got {dict(metric)}")
        if self.requests["alarm"]["ComparisonOperator"] not in _COMPARISONS:
            raise ValueError(f"unknown comparison {self.requests['alarm']['ComparisonOperator']!r}")
        self._resize(0, self.requests["target"]["MinCapacity"])

    @property
    def desired(self) -> int:
        """Instances asked for."""
        return len(self.ready_at)

    def serving(self, now: float) -> int:
        """Instances that serve."""
        return sum(ready <= now for ready in self.ready_at)

    def decide(self, now: float, backlog: int, age: float) -> None:
        """Report a minute's metrics and let the policies act on them."""
        serving = self.serving(now)
        missing = math.nan
        values = (backlog, backlog / serving if serving else missing, float(backlog > 0 and not serving), age)
        for name, value in zip(METRICS, values, strict=True):
            self.seen[name].append(value)
        wishes = [self._stepped(now), self._tracked(now)]
        if any(wish > self.desired for wish in wishes):
            self._resize(now, max(wishes))
        elif any(wish < self.desired for wish in wishes):
            # Target tracking alone takes instances away; the step policy only adds.
            self._resize(now, min(wishes))

    def _resize(self, now: float, wish: int) -> None:
        target = self.requests["target"]
        wish = max(target["MinCapacity"], min(wish, target["MaxCapacity"]))
        if wish > self.desired:
            self.last_change["out"] = now
            self.ready_at += [now + self.provisioning_seconds] * (wish - self.desired)
        elif wish < self.desired:
            self.last_change["in"] = now
            self.ready_at = sorted(self.ready_at)[:wish]

    def _is_cooling(self, direction: str, seconds: float, now: float) -> bool:
        return now < self.last_change.get(direction, -math.inf) + seconds

    def _stepped(self, now: float) -> int:
        alarm, policy = self.requests["alarm"], self.requests["step"]["StepScalingPolicyConfiguration"]
        periods = alarm["EvaluationPeriods"]
        window = np.array(self.seen[alarm["MetricName"]][-periods:])
        with np.errstate(invalid="ignore"):
            breaching = _COMPARISONS[alarm["ComparisonOperator"]](window, alarm["Threshold"])
        if alarm.get("TreatMissingData") == "breaching":
            breaching |= np.isnan(window)
        if breaching.sum() < alarm.get("DatapointsToAlarm", periods):
            return self.desired
        if self._is_cooling("out", policy.get("Cooldown", DEFAULT_COOLDOWN_SECONDS), now):
            return self.desired
        excess = np.nan_to_num(window[-1]) - alarm["Threshold"]
        for adjustment in policy["StepAdjustments"]:
            low = adjustment.get("MetricIntervalLowerBound", -math.inf)
            if low <= excess < adjustment.get("MetricIntervalUpperBound", math.inf):
                base = 0 if policy["AdjustmentType"] == "ExactCapacity" else self.desired
                return max(self.desired, base + adjustment["ScalingAdjustment"])
        return self.desired

    def _tracked(self, now: float) -> int:
        policy = self.requests["tracking"]["TargetTrackingScalingPolicyConfiguration"]
        target, values = policy["TargetValue"], self.seen[policy["CustomizedMetricSpecification"]["MetricName"]]
        high, low = np.array(values[-HIGH_PERIODS:]), np.array(values[-LOW_PERIODS:])
        wish = math.ceil(max(self.serving(now), 1) * np.nan_to_num(values[-1]) / target - 1e-9)
        if len(high) == HIGH_PERIODS and (high > target).all():
            cooling = self._is_cooling("out", policy.get("ScaleOutCooldown", DEFAULT_COOLDOWN_SECONDS), now)
            return self.desired if cooling else max(wish, self.desired)
        if len(low) == LOW_PERIODS and (low < LOW_FRACTION * target).all() and not policy.get("DisableScaleIn"):
            cooldown = policy.get("ScaleInCooldown", DEFAULT_COOLDOWN_SECONDS)
            cooling = any(self._is_cooling(direction, cooldown, now) for direction in ("out", "in"))
            return self.desired if cooling else min(wish, self.desired)
        return self.desired
