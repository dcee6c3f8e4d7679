"""EventBridge: rules with what they choose and where it goes, and schedules with what they start and when."""

from __future__ import annotations

import json

from helpers.local_sagemaker.console.visits import Visit, page
from helpers.local_sagemaker.events import scheduler


@page("/events", "events.html")
def events(visit: Visit) -> dict:
    """All rules and all schedules."""
    return {"section": "events", "rules": _rules(visit), "schedules": _schedules(visit)}


def _rules(visit: Visit) -> list[dict]:
    """The rules of every bus with their targets."""
    client, rows = visit.server.client("events"), []
    for bus in client.list_event_buses()["EventBuses"]:
        for found in client.get_paginator("list_rules").paginate(EventBusName=bus["Name"]):
            for rule in found["Rules"]:
                of_rule = {"Rule": rule["Name"], "EventBusName": bus["Name"]}
                targets = client.get_paginator("list_targets_by_rule").paginate(**of_rule)
                pattern = rule.get("EventPattern")
                rows.append(
                    {
                        "name": rule["Name"],
                        "bus": bus["Name"],
                        "state": rule.get("State", "ENABLED"),
                        "description": rule.get("Description"),
                        "pattern": json.loads(pattern) if pattern else None,
                        "schedule": rule.get("ScheduleExpression"),
                        "targets": [target["Arn"] for some in targets for target in some["Targets"]],
                    }
                )
    return rows


def _schedules(visit: Visit) -> list[dict]:
    """The schedules of EventBridge Scheduler."""
    rows, request = [], {}
    while True:
        listed = scheduler.OPERATIONS["ListSchedules"](visit.server, request)
        for each in listed["Schedules"]:
            named = {"Name": each["Name"], "GroupName": each["GroupName"]}
            found = scheduler.OPERATIONS["GetSchedule"](visit.server, named)
            rows.append(
                {
                    "name": found["Name"],
                    "group": found["GroupName"],
                    "state": found["State"],
                    "expression": found["ScheduleExpression"],
                    "zone": found.get("ScheduleExpressionTimezone"),
                    "target": found["Target"]["Arn"],
                    "input": found["Target"].get("Input"),
                }
            )
        if not listed.get("NextToken"):
            return rows
        request["NextToken"] = listed["NextToken"]
