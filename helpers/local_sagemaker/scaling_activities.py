"""Scaling activities: what Application Auto Scaling did or would not do, and why."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from helpers.local_sagemaker import scalable_targets

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.state import Store

KIND = "ScalingActivity"
KEPT_SECONDS = 42 * 86_400
KEPT_OF_TARGET = 500
OPEN = ("Pending", "InProgress")


def add(store: Store, target: dict, description: str, cause: str, status: str, **members: object) -> dict:
    """Notes an activity down."""
    activity = {
        "ActivityId": str(uuid.uuid4()),
        **{name: target[name] for name in scalable_targets.IDENTITY},
        "Description": description,
        "Cause": cause,
        "StartTime": time.time(),
        "StatusCode": status,
        **members,
    }
    if status not in OPEN:
        activity["EndTime"] = activity["StartTime"]
    store.put(KIND, activity["ActivityId"], activity)
    _forget_old(store, target)
    return activity


def end(store: Store, activity: dict, status: str, message: str) -> None:
    """Writes down how an activity ended."""
    store.update(KIND, activity["ActivityId"], StatusCode=status, StatusMessage=message, EndTime=time.time())


def of(store: Store, target: dict) -> list[dict]:
    """A target's activities, the latest first."""
    mine = [activity for activity in store.list(KIND) if scalable_targets.is_same(activity, target)]
    return sorted(mine, key=lambda activity: activity["StartTime"], reverse=True)


def _forget_old(store: Store, target: dict) -> None:
    oldest = time.time() - KEPT_SECONDS
    for position, activity in enumerate(of(store, target)):
        if position >= KEPT_OF_TARGET or activity["StartTime"] < oldest:
            store.delete(KIND, activity["ActivityId"])


def describe_scaling_activities(server: Server, request: dict) -> dict:
    """DescribeScalingActivities."""
    found = [
        activity
        for activity in server.store.list(KIND)
        if scalable_targets.is_asked_for(activity, request)
        and ("NotScaledReasons" not in activity or request.get("IncludeNotScaledActivities"))
    ]
    found.sort(key=lambda activity: activity["StartTime"], reverse=True)
    return scalable_targets.page("ScalingActivities", found, request)
