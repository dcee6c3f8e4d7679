"""EventBridge Scheduler's schedules: their records, and when each is due.

`at` is a time of the clock on the wall. `rate` and `cron` recur by a clock that starts when the schedule is made or at
its StartDate, at the true time, and runs as many times faster as the server's scheduled waits do.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns, errors, scheduled_actions
from helpers.local_sagemaker.events import targets
from helpers.local_sagemaker.events.deliveries import MAX_AGE_SECONDS, MAX_RETRIES
from helpers.local_sagemaker.schedules import Schedule

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND, GROUP_KIND = "Schedule", "ScheduleGroup"
DEFAULT_GROUP = "default"
_NOT_AVAILABLE = (
    "EcsParameters",
    "EventBridgePutEventsV2Parameters",
    "EventBridgePutRawEventsParameters",
    "KinesisParameters",
)


def create_schedule(server: Server, request: dict) -> dict:
    """CreateSchedule."""
    record = _record(request)
    with server.store.transaction():
        require_group(server, record["GroupName"])
        there = server.store.get(KIND, record["_Key"])
        if there is None:
            server.store.put(KIND, record["_Key"], record)
        elif "ClientToken" not in request or there.get("ClientToken") != request["ClientToken"]:
            raise errors.AwsError("ConflictException", f"Schedule {request['Name']} already exists.", 409)
    server.timetable.wake()
    return {"ScheduleArn": record["Arn"]}


def update_schedule(server: Server, request: dict) -> dict:
    """UpdateSchedule: what the request does not give is as in a new schedule; its clock starts anew."""
    record = _record(request)
    with server.store.transaction():
        old = _require(server, request)
        server.store.delete(KIND, record["_Key"])
        server.store.put(KIND, record["_Key"], record | {"CreationDate": old["CreationDate"]})
    server.timetable.wake()
    return {"ScheduleArn": record["Arn"]}


def get_schedule(server: Server, request: dict) -> dict:
    """GetSchedule."""
    return _require(server, request)


def delete_schedule(server: Server, request: dict) -> None:
    """DeleteSchedule."""
    with server.store.transaction():
        server.store.delete(KIND, _require(server, request)["_Key"])


def require_group(server: Server, name: str) -> dict:
    """The record of a group.

    Raises:
        AwsError: `ResourceNotFoundException`.
    """
    if name == DEFAULT_GROUP:
        return {"Name": name, "Arn": group_arn(name), "State": "ACTIVE", "_Key": name}
    record = server.store.get(GROUP_KIND, name)
    if record is None:
        raise errors.AwsError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
    return record


def group_arn(name: str) -> str:
    """The ARN of a group."""
    return f"arn:aws:scheduler:{arns.REGION}:{arns.ACCOUNT}:schedule-group/{name}"


def _require(server: Server, request: dict) -> dict:
    group = request.get("GroupName", DEFAULT_GROUP)
    record = server.store.get(KIND, f"{group}/{request['Name']}")
    if record is None:
        raise errors.AwsError("ResourceNotFoundException", f"Schedule {request['Name']} does not exist.", 404)
    return record


def _record(request: dict) -> dict:
    """A new schedule.

    Raises:
        AwsError: `ValidationException`.
    """
    now = time.time()
    group = request.get("GroupName", DEFAULT_GROUP)
    timezone = request.get("ScheduleExpressionTimezone", "UTC")
    schedule = Schedule(request["ScheduleExpression"], timezone)
    if schedule.at is not None and schedule.at <= now:
        raise errors.validation(f"Invalid Schedule Expression {schedule.text}: it lies in the past.")
    _check(request, now)
    retries = {"MaximumEventAgeInSeconds": MAX_AGE_SECONDS, "MaximumRetryAttempts": MAX_RETRIES}
    policy = retries | request["Target"].get("RetryPolicy", {})
    return request | {
        "GroupName": group,
        "Arn": f"arn:aws:scheduler:{arns.REGION}:{arns.ACCOUNT}:schedule/{group}/{request['Name']}",
        "ScheduleExpressionTimezone": timezone,
        "State": request.get("State", "ENABLED"),
        "ActionAfterCompletion": request.get("ActionAfterCompletion", "NONE"),
        "Target": request["Target"] | {"RetryPolicy": policy},
        "CreationDate": now,
        "LastModificationDate": now,
        "_Key": f"{group}/{request['Name']}",
        "_Since": max(now, request.get("StartDate", now)),
    }


def _check(request: dict, now: float) -> None:
    window = request["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise errors.validation("MaximumWindowInMinutes is for the FlexibleTimeWindow mode FLEXIBLE, which needs it.")
    if request.get("StartDate", now) >= request.get("EndDate", float("inf")):
        raise errors.validation("The StartDate must be before the EndDate.")
    if request.get("EndDate", float("inf")) <= now:
        raise errors.validation("The EndDate you specify cannot be in the past.")
    target = request["Target"]
    for name in _NOT_AVAILABLE:
        if name in target:
            raise errors.validation(f"Target.{name} is not available in the local SageMaker.")
    targets.check(target["Arn"])
    if ":event-bus/" in target["Arn"] and "EventBridgeParameters" not in target:
        raise errors.validation("EventBridgeParameters are required for an event bus.")
    if targets.is_universal(target["Arn"]):
        try:
            is_request = isinstance(json.loads(target.get("Input", "{}")), dict)
        except ValueError:
            is_request = False
        if not is_request:
            raise errors.validation(f"The Input of {target['Arn']} must be a JSON object.")


def next_time(record: dict, speedup: float) -> float | None:
    """When a schedule is due next, in real epoch seconds; None when never again.

    A rate is due at once, or at its StartDate.
    """
    end = record.get("EndDate", float("inf"))
    if "_Last" not in record and record["ScheduleExpression"].startswith("rate"):
        return record["_Since"] if record["_Since"] <= end else None
    action = {"Schedule": record["ScheduleExpression"], "Timezone": record["ScheduleExpressionTimezone"]}
    clock = {"_Since": record["_Since"], "_Last": record.get("_Last", record["_Since"]), "EndTime": end}
    return scheduled_actions.next_time(action | clock, speedup)
