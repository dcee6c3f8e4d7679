"""Which capacity a scaling policy wants: its arithmetic, its cooldowns, and what other policies of the target want.

Cooldowns are scheduled waits, and so run `speedup` times faster.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from helpers.local_sagemaker import alarm_evaluation, scalable_targets, scaling_steps
from helpers.local_sagemaker.scaling_policies import DEFAULT_COOLDOWN, POLICY_KIND, STEP, TRACKING

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.state import Store


def wanted(server: Server, policy: dict, alarm: dict, now: int, values: list[float]) -> int | None:
    """The capacity that a policy wants, None for no change.

    Args:
        policy: its record.
        alarm: that executes it.
        now: the target's capacity.
        values: of the alarm's datapoints, oldest first.
    """
    wish = _wish(server, policy, alarm, now, values)
    if wish is None or wish >= now:
        return wish
    if _is_cooling(server, policy, "_LastIn", "ScaleInCooldown"):
        return None
    # Of what several policies want, the largest counts.
    for other in server.store.list(POLICY_KIND):
        if other["PolicyARN"] != policy["PolicyARN"] and scalable_targets.is_same(other, policy):
            held = _held(server, other, now)
            wish = now if held is None else max(wish, held)
    return wish if wish < now else None


def cooling(policy: dict, before: int, after: int) -> dict[str, object]:
    """The changes of a policy's record that begin the cooldown of a change of capacity."""
    last = {"Time": time.time(), "From": before, "To": after}
    # A scale-out ends the cooldown of a scale-in.
    return {"_LastOut": last, "_LastIn": None} if after > before else {"_LastIn": last}


def _wish(server: Server, policy: dict, alarm: dict, now: int, values: list[float]) -> int | None:
    """What a policy wants by itself, None for no change."""
    is_cooling = _is_cooling(server, policy, "_LastOut", "ScaleOutCooldown")
    # What a scale-out has added counts as done while it cools down, so that only a larger one goes beyond it.
    base = min(policy["_LastOut"]["From"], now) if is_cooling else now
    compute = _stepped if policy["PolicyType"] == "StepScaling" else _tracked
    wish = compute(policy, alarm, base, values)
    return None if wish is not None and is_cooling and base <= wish < now else wish


def _is_cooling(server: Server, policy: dict, last: str, member: str) -> bool:
    configuration = policy.get(STEP) or policy[TRACKING]
    seconds = configuration.get(member, configuration.get("Cooldown", DEFAULT_COOLDOWN)) / server.speedup
    return last in policy and time.time() < policy[last]["Time"] + seconds


def _stepped(policy: dict, alarm: dict, capacity: int, values: list[float]) -> int | None:
    value = scaling_steps.aggregated(policy[STEP], values) if values else alarm["Threshold"]
    is_below = alarm["ComparisonOperator"].startswith("LessThan")
    return scaling_steps.stepped(policy[STEP], capacity, value - alarm["Threshold"], is_below)


def _tracked(policy: dict, alarm: dict, capacity: int, values: list[float]) -> int | None:
    if not values:
        return None
    tracked = scaling_steps.tracked(capacity, values[-1], policy[TRACKING]["TargetValue"])
    high, _ = policy["Alarms"]
    if alarm["AlarmName"] == high["AlarmName"]:
        return max(tracked, capacity)
    return None if policy[TRACKING].get("DisableScaleIn") or tracked >= capacity else tracked


def _held(server: Server, policy: dict, now: int) -> int | None:
    """The capacity below which another policy would not go now, None when it wants to keep what there is.

    A step policy whose alarm is quiet has nothing to say; a tracking policy agrees only by its low alarm.
    """
    if policy["PolicyType"] == "TargetTrackingScaling":
        if policy[TRACKING].get("DisableScaleIn"):
            return 0
        low = server.store.get("MetricAlarm", policy["Alarms"][1]["AlarmName"])
        is_low = low is not None and low["StateValue"] == alarm_evaluation.ALARM
        return _wish(server, policy, low, now, _values(low)) if is_low else None
    held = 0
    for alarm in _alarms(server.store, policy):
        wish = _wish(server, policy, alarm, now, _values(alarm))
        held = max(held, 0 if wish is None else min(wish, now))
    return held


def _alarms(store: Store, policy: dict) -> Iterator[dict]:
    """The alarms that execute a policy now."""
    for alarm in store.list("MetricAlarm"):
        if alarm["StateValue"] == alarm_evaluation.ALARM and policy["PolicyARN"] in alarm["AlarmActions"]:
            yield alarm


def _values(alarm: dict) -> list[float]:
    """The datapoints that an alarm's state is of."""
    data = json.loads(alarm.get("StateReasonData", "{}"))
    return data.get("recentDatapoints", []) if isinstance(data, dict) else []
