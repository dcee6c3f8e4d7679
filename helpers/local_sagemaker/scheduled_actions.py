"""Scheduled actions: other bounds of a scalable target at given times.

`at` is a time of the clock on the wall. `rate` and `cron` recur by a clock that starts when the action is made, at the
true time, and runs as many times faster as the server's scheduled waits do: `cron(0 9 * * ? *)` comes every 24 minutes
at a speedup of 60.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns, errors, scalable_targets
from helpers.local_sagemaker.scalable_targets import ACTION_KIND
from helpers.local_sagemaker.schedules import Schedule

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_ROUNDING_SECONDS = 1e-3  # without it, the time that was last may be found again
_CHANGEABLE = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")


def put_scheduled_action(server: Server, request: dict) -> None:
    """PutScheduledAction: a new action, or other members of one."""
    scalable_targets.check_identity(request)
    store, now = server.store, time.time()
    with store.transaction():
        scalable_targets.require(store, request)
        name = scalable_targets.action_key(request)
        old = store.get(ACTION_KIND, name)
        resource = f"resource/sagemaker/{request['ResourceId']}"
        new = {
            **{member: request[member] for member in (*scalable_targets.IDENTITY, "ScheduledActionName")},
            "ScheduledActionARN": f"arn:aws:autoscaling:{arns.REGION}:{arns.ACCOUNT}:scheduledAction:{uuid.uuid4()}:"
            f"{resource}:scheduledActionName/{request['ScheduledActionName']}",
            "CreationTime": now,
        }
        action = new | (old or {}) | {member: request[member] for member in _CHANGEABLE if member in request}
        _check(action, now)
        # The clock of its schedule starts now.
        action |= {"_Since": now, "_Last": now}
        if old is not None:
            store.delete(ACTION_KIND, name)
        store.put(ACTION_KIND, name, action)
    server.scaling.wake()


def _check(action: dict, now: float) -> None:
    if "Schedule" not in action:
        raise errors.validation("Schedule is required for a new scheduled action.")
    bounds = action.get("ScalableTargetAction")
    if not bounds:
        raise errors.validation("You must specify a minimum or a maximum capacity, or both.")
    if any(value < 0 for value in bounds.values()):
        raise errors.validation("Minimum and maximum capacity must not be negative.")
    if bounds.get("MinCapacity", 0) > bounds.get("MaxCapacity", float("inf")):
        raise errors.validation("Maximum capacity cannot be less than minimum capacity.")
    if action.get("StartTime", 0) >= action.get("EndTime", float("inf")):
        raise errors.validation("Start time must be before end time.")
    schedule = Schedule(action["Schedule"], action.get("Timezone", "UTC"))
    if schedule.at is not None and schedule.at <= now:
        raise errors.validation(f"The schedule {action['Schedule']} lies in the past.")


def next_time(action: dict, speedup: float) -> float | None:
    """When an action is due next, in real epoch seconds; None when never again."""
    schedule = Schedule(action["Schedule"], action.get("Timezone", "UTC"))
    since, last = action["_Since"], action["_Last"]
    earliest = max(last, action.get("StartTime", last))
    if schedule.at is not None:
        due = schedule.after(earliest - 1e-6, since) if last < schedule.at else None
    else:
        fast = schedule.after(since + (earliest + _ROUNDING_SECONDS - since) * speedup, since)
        due = None if fast is None else since + (fast - since) / speedup
    return due if due is not None and due <= action.get("EndTime", float("inf")) else None


def delete_scheduled_action(server: Server, request: dict) -> None:
    """DeleteScheduledAction."""
    name = scalable_targets.action_key(request)
    if server.store.get(ACTION_KIND, name) is None:
        words = f"{scalable_targets.words(request)}, scheduled action name: {request['ScheduledActionName']}"
        raise errors.AwsError("ObjectNotFoundException", f"No scheduled action found for {words}")
    server.store.delete(ACTION_KIND, name)


def describe_scheduled_actions(server: Server, request: dict) -> dict:
    """DescribeScheduledActions."""
    names = request.get("ScheduledActionNames")
    found = [
        action
        for action in server.store.list(ACTION_KIND)
        if scalable_targets.is_asked_for(action, request) and (not names or action["ScheduledActionName"] in names)
    ]
    return scalable_targets.page("ScheduledActions", found, request)
