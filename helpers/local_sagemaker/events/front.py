"""EventBridge's operations that moto answers otherwise than AWS: patterns, targets and PutEvents."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, model, schedules
from helpers.local_sagemaker.events import inputs, patterns, state_events, targets
from helpers.local_sagemaker.events.rules import DEFAULT_BUS
from helpers.local_sagemaker.journal import Call

if TYPE_CHECKING:
    from helpers.local_sagemaker.aws import Answer, Aws

SERVICE = "events"
_REQUIRED = ("Source", "DetailType", "Detail")


def put_events(aws: Aws, call: Call) -> Answer:
    """events:PutEvents: events are on disk when it answers, and go to the targets of the rules that choose them."""
    entries = model.parse("PutEvents", call.body, SERVICE)["Entries"]
    known, answers = _buses(aws, call), []
    for entry in entries:
        bus = entry.get("EventBusName", DEFAULT_BUS).rpartition("event-bus/")[2]
        answers.append(_refusal(entry, bus, known) or _accept(aws, bus, entry))
    failed = sum("ErrorCode" in answer for answer in answers)
    return _json({"FailedEntryCount": failed, "Entries": answers})


def _refusal(entry: dict, bus: str, known: set[str]) -> dict | None:
    for name in _REQUIRED:
        if not entry.get(name):
            message = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": message}
    if entry["Source"].startswith("aws."):
        return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
    if bus not in known:
        return {"ErrorCode": "ResourceNotFoundException", "ErrorMessage": f"Event bus {bus} does not exist."}
    try:
        is_object = isinstance(json.loads(entry["Detail"]), dict)
    except ValueError:
        is_object = False
    return None if is_object else {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}


def _accept(aws: Aws, bus: str, entry: dict) -> dict:
    identity, detail = str(uuid.uuid4()), json.loads(entry["Detail"])
    event = state_events.envelope(
        identity,
        entry["Source"],
        entry["DetailType"],
        entry.get("Time", time.time()),
        entry.get("Resources", []),
        detail,
    )
    aws.server.event_buses.publish(bus, [event])
    return {"EventId": identity}


def _buses(aws: Aws, call: Call) -> set[str]:
    kept = tuple((name, value) for name, value in call.headers if name.lower() != "x-amz-target")
    headers = (*kept, ("X-Amz-Target", "AWSEvents.ListEventBuses"))
    return {bus["Name"] for bus in json.loads(aws.tell(replace(call, headers=headers, body=b"{}")).body)["EventBuses"]}


def test_event_pattern(_: Aws, call: Call) -> Answer:
    """events:TestEventPattern: whether an event is chosen by a pattern."""
    request = model.parse("TestEventPattern", call.body, SERVICE)
    try:
        event = json.loads(request["Event"])
    except ValueError:
        event = None
    needed = ("id", "account", "source", "time", "region", "resources", "detail-type")
    if not isinstance(event, dict) or any(name not in event for name in needed):
        raise errors.validation(f"Parameter Event is not valid. Reason: it needs {', '.join(needed)}.")
    return _json({"Result": patterns.matches(patterns.parse(request["EventPattern"]), event)})


def put_rule(aws: Aws, call: Call) -> Answer:
    """events:PutRule: patterns with every comparison of AWS, schedules that come."""
    request = model.parse("PutRule", call.body, SERVICE)
    if "EventPattern" in request:
        patterns.parse(request["EventPattern"])
    if "ScheduleExpression" in request:
        schedules.Schedule(request["ScheduleExpression"])
    return change_rules(aws, call)


def put_targets(aws: Aws, call: Call) -> Answer:
    """events:PutTargets: targets that exist here, with inputs that can be made."""
    for target in model.parse("PutTargets", call.body, SERVICE)["Targets"]:
        targets.check(target["Arn"])
        inputs.check(target)
    return change_rules(aws, call)


def change_rules(aws: Aws, call: Call) -> Answer:
    """events: rules, targets and buses are moto's; what is changed counts from the next event on."""
    answer = aws.tell(call)
    aws.server.event_buses.rules.changed()
    aws.server.timetable.wake()
    return answer


def refuse(_: Aws, call: Call) -> Answer:
    """events: archives would stay empty, for moto fills them only with events that it delivers itself."""
    raise errors.validation(f"events:{call.operation} is not available in the local SageMaker.")


def _json(body: dict) -> Answer:
    from helpers.local_sagemaker.aws import Answer

    return Answer(200, [("Content-Type", errors.JSON_CONTENT_TYPE)], json.dumps(body).encode())


SHIMS = {
    (SERVICE, "CreateArchive"): refuse,
    (SERVICE, "StartReplay"): refuse,
    (SERVICE, "PutEvents"): put_events,
    (SERVICE, "TestEventPattern"): test_event_pattern,
    (SERVICE, "PutRule"): put_rule,
    (SERVICE, "PutTargets"): put_targets,
    **{
        (SERVICE, name): change_rules
        for name in ("CreateEventBus", "DeleteEventBus", "DeleteRule", "DisableRule", "EnableRule", "RemoveTargets")
    },
}
