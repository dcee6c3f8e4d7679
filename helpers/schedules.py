"""Calls a target on a schedule of EventBridge Scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.session import SageMakerHelper


def put_schedule(aws: SageMakerHelper, name: str, expression: str, target: Mapping[str, Any]) -> str:
    """Make a schedule, or change the one of that name; return its ARN.

    Args:
        aws: the lab's session.
        name: the schedule's name.
        expression: for example ``rate(1 hour)`` or ``cron(0 5 ? * MON *)``; runs are exact in time.
        target: members of the Target of CreateSchedule but the role, which is the session's.
    """
    schedule = {
        "Name": name,
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"RoleArn": aws.role, **target},
    }
    scheduler = aws.client("scheduler")
    try:
        return scheduler.create_schedule(**schedule)["ScheduleArn"]
    except scheduler.exceptions.ConflictException:
        return scheduler.update_schedule(**schedule)["ScheduleArn"]
