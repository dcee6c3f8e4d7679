"""How far a scaling policy goes: the arithmetic of step scaling and of target tracking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from helpers.local_sagemaker import errors

_AGGREGATED = {"Minimum": min, "Maximum": max, "Average": lambda values: sum(values) / len(values)}


def tracked(capacity: int, value: float, target: float) -> int:
    """The capacity at which a metric that is shared among the instances would be at its target."""
    return math.ceil(max(capacity, 1) * value / target - 1e-9)


def aggregated(policy: dict, values: Sequence[float]) -> float:
    """What a step policy makes of an alarm's datapoints."""
    return _AGGREGATED[policy.get("MetricAggregationType", "Average")](values)


def stepped(policy: dict, capacity: int, excess: float, is_below: bool) -> int | None:
    """The capacity that a step policy wants, None when no step covers the excess.

    Args:
        policy: StepScalingPolicyConfiguration.
        capacity: that there is.
        excess: the metric's value minus the alarm's threshold.
        is_below: the alarm is for values below the threshold: a step then ends with its upper bound.
    """
    for step in policy["StepAdjustments"]:
        lower = step.get("MetricIntervalLowerBound", -math.inf)
        upper = step.get("MetricIntervalUpperBound", math.inf)
        if lower < excess <= upper if is_below else lower <= excess < upper:
            return _adjusted(policy, capacity, step["ScalingAdjustment"])
    return None


def _adjusted(policy: dict, capacity: int, adjustment: int) -> int:
    if policy["AdjustmentType"] == "ExactCapacity":
        return adjustment
    if policy["AdjustmentType"] == "ChangeInCapacity":
        return capacity + adjustment
    change = capacity * adjustment / 100
    # Towards zero, but not to it.
    change = math.copysign(max(abs(int(change)), 1), change) if change else 0
    least = policy.get("MinAdjustmentMagnitude", 0)
    if adjustment and abs(change) < least:
        change = math.copysign(least, adjustment)
    return capacity + int(change)


def check(policy: dict) -> None:
    """Holds a step policy to AWS's rules.

    Raises:
        AwsError: `ValidationException`.
    """
    if "AdjustmentType" not in policy:
        raise errors.validation("Step scaling policies require an AdjustmentType.")
    steps = policy.get("StepAdjustments")
    if not steps:
        raise errors.validation("You must specify StepAdjustments for a step scaling policy.")
    if "MinAdjustmentMagnitude" in policy and policy["AdjustmentType"] != "PercentChangeInCapacity":
        raise errors.validation("MinAdjustmentMagnitude is only valid for PercentChangeInCapacity.")
    bounds = sorted(
        (step.get("MetricIntervalLowerBound", -math.inf), step.get("MetricIntervalUpperBound", math.inf))
        for step in steps
    )
    for lower, upper in bounds:
        if (lower, upper) == (-math.inf, math.inf):
            raise errors.validation("The upper and the lower bound of a step adjustment cannot both be unspecified.")
        if lower >= upper:
            raise errors.validation("The lower bound of a step adjustment must be less than its upper bound.")
    for (_, upper), (lower, _) in itertools.pairwise(bounds):
        if lower != upper:
            what = "overlap" if lower < upper else "have a gap between them"
            raise errors.validation(f"StepAdjustment intervals must not {what}.")
    if bounds[0][0] < 0 and bounds[0][0] != -math.inf:
        raise errors.validation(_unbounded("lower", "negative"))
    if bounds[-1][1] > 0 and bounds[-1][1] != math.inf:
        raise errors.validation(_unbounded("upper", "positive"))


def _unbounded(side: str, sign: str) -> str:
    return (
        f"There must be a step adjustment with an unspecified {side} bound when there is a step adjustment with a "
        f"{sign} {side} bound."
    )
