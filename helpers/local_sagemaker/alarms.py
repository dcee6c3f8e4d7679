"""CloudWatch's alarms: the operations on them. They are rows of the state; `alarm_watch` evaluates them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import alarm_definitions, alarm_history, arns, composite_alarms, errors, listing, tags
from helpers.local_sagemaker.alarm_definitions import refused

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.state import Store

KINDS = ("MetricAlarm", "CompositeAlarm")
DEFAULT_RECORDS = 50
_TOPIC = f"arn:aws:sns:{arns.REGION}:{arns.ACCOUNT}:"
_POLICY = f"arn:aws:autoscaling:{arns.REGION}:{arns.ACCOUNT}:scalingPolicy:"
_ACTION_MEMBERS = ("OKActions", "AlarmActions", "InsufficientDataActions")

Handler = Callable[["Server", dict], dict | None]


def find(store: Store, name: str) -> dict | None:
    """The alarm of this name, metric or composite, or None."""
    return next((alarm for kind in KINDS if (alarm := store.get(kind, name))), None)


def kind_of(alarm: dict) -> str:
    """`MetricAlarm` or `CompositeAlarm`."""
    return "CompositeAlarm" if "AlarmRule" in alarm else "MetricAlarm"


def put_metric_alarm(server: Server, request: dict) -> None:
    """PutMetricAlarm."""
    if "Threshold" in request:
        request = request | {"Threshold": float(request["Threshold"])}
    alarm_definitions.check(request)
    _put(server, "MetricAlarm", {"Dimensions": []} | request if "MetricName" in request else request)


def put_composite_alarm(server: Server, request: dict) -> None:
    """PutCompositeAlarm."""
    for member in ("ActionsSuppressor", "ActionConfiguration"):
        if member in request:
            raise refused(f"{member} is not available in the local SageMaker.")
    for name in composite_alarms.Rule(request["AlarmRule"]).names:
        if name == request["AlarmName"] or find(server.store, name) is None:
            raise refused(f"AlarmRule is invalid: it refers to the alarm {name}, which does not exist.")
    _put(server, "CompositeAlarm", request)


def _put(server: Server, kind: str, request: dict) -> None:
    name, store, now = request["AlarmName"], server.store, time.time()
    _check_actions(request)
    new_tags = request.get("Tags", [])
    alarm_arn = arn(name)
    defaults = {"ActionsEnabled": True, **{member: [] for member in _ACTION_MEMBERS}, "AlarmArn": alarm_arn}
    definition = defaults | {member: value for member, value in request.items() if member != "Tags"}
    definition["AlarmConfigurationUpdatedTimestamp"] = now
    with store.transaction():
        old = find(store, name)
        if old is not None and kind_of(old) != kind:
            raise refused(f"The alarm {name} exists already, and is of another type.")
        if old is None:
            state = {"StateValue": "INSUFFICIENT_DATA", "StateReason": "Unchecked: Initial alarm creation"}
            alarm = definition | state | {"StateUpdatedTimestamp": now, "StateTransitionedTimestamp": now}
            store.put(kind, name, alarm)
            tags.add(store, alarm_arn, new_tags)
        else:
            kept = {member: value for member, value in old.items() if member.startswith(("State", "_"))}
            alarm = definition | kept | {"CreationTime": old["CreationTime"]}
            store.delete(kind, name)
            store.put(kind, name, alarm)
        alarm_history.add_configuration(store, alarm, "created" if old is None else "updated")
    server.alarm_watch.changed()


def _check_actions(request: dict) -> None:
    for member in _ACTION_MEMBERS:
        for action in request.get(member, []):
            if not action.startswith("arn:"):
                raise refused(f"Invalid arn syntax: {action}")
            if not action.startswith(_TOPIC) and not is_scaling(action):
                raise refused(
                    f"The action {action} is not available in the local SageMaker: alarms notify topics of {_TOPIC}* "
                    "and execute scaling policies of SageMaker's variants."
                )


def is_scaling(action: str) -> bool:
    """Whether an action is a scaling policy of SageMaker's."""
    return action.startswith(_POLICY) and ":resource/sagemaker/" in action


def arn(name: str) -> str:
    """The ARN of an alarm."""
    return f"arn:aws:cloudwatch:{arns.REGION}:{arns.ACCOUNT}:alarm:{name}"


def describe_alarms(server: Server, request: dict) -> dict:
    """DescribeAlarms; like AWS, without composite alarms if AlarmTypes does not ask for them."""
    for members in (("AlarmNames", "AlarmNamePrefix"), ("AlarmNames", "ActionPrefix")):
        if all(request.get(member) for member in members):
            raise refused(f"{members[0]} and {members[1]} are mutually exclusive.")
    kinds = request.get("AlarmTypes") or ["MetricAlarm"]
    found = [alarm for kind in KINDS if kind in kinds for alarm in _selected(server.store, kind, request)]
    for member, selected in (("ChildrenOfAlarmName", _children), ("ParentsOfAlarmName", _parents)):
        if member in request:
            found = selected(server.store, request[member])
    page_request = {"SortBy": "Name", "SortOrder": "Ascending"}
    page_request["MaxResults"] = request.get("MaxRecords", DEFAULT_RECORDS)
    if "NextToken" in request:
        page_request["NextToken"] = request["NextToken"]
    try:
        page, token = listing.page(found, page_request, "AlarmName")
    except errors.AwsError as error:
        raise errors.AwsError("InvalidNextToken", error.message) from None
    answer = {f"{kind}s": [alarm for alarm in page if kind_of(alarm) == kind] for kind in KINDS}
    return answer | ({"NextToken": token} if token else {})


def _selected(store: Store, kind: str, request: dict) -> Iterable[dict]:
    """The alarms of a kind that DescribeAlarms's filters let through."""
    if names := request.get("AlarmNames"):
        alarms = [alarm for name in dict.fromkeys(names) if (alarm := store.get(kind, name))]
    else:
        alarms = store.list(kind)
    for alarm in alarms:
        actions = [action for member in _ACTION_MEMBERS for action in alarm[member]]
        if (
            alarm["AlarmName"].startswith(request.get("AlarmNamePrefix", ""))
            and request.get("StateValue", alarm["StateValue"]) == alarm["StateValue"]
            and ("ActionPrefix" not in request or any(a.startswith(request["ActionPrefix"]) for a in actions))
        ):
            yield alarm


def _children(store: Store, name: str) -> list[dict]:
    composite = store.get("CompositeAlarm", name)
    names = composite_alarms.Rule(composite["AlarmRule"]).names if composite else ()
    return [alarm for child in names if (alarm := find(store, child))]


def _parents(store: Store, name: str) -> list[dict]:
    composites = store.list("CompositeAlarm")
    return [alarm for alarm in composites if name in composite_alarms.Rule(alarm["AlarmRule"]).names]


def describe_alarms_for_metric(server: Server, request: dict) -> dict:
    """DescribeAlarmsForMetric."""
    wanted = {name: value for name, value in request.items() if name != "Dimensions"}
    dimensions = _dimensions(request)

    def is_wanted(alarm: dict) -> bool:
        same = all(alarm.get(name) == value for name, value in wanted.items())
        return same and _dimensions(alarm) == dimensions

    return {"MetricAlarms": [alarm for alarm in server.store.list("MetricAlarm") if is_wanted(alarm)]}


def _dimensions(described: dict) -> set[tuple[str, str]]:
    return {(dimension["Name"], dimension["Value"]) for dimension in described.get("Dimensions", [])}


def describe_alarm_history(server: Server, request: dict) -> dict:
    """DescribeAlarmHistory."""
    return alarm_history.describe(server.store, request)


def delete_alarms(server: Server, request: dict) -> None:
    """DeleteAlarms; names that do not exist are passed over."""
    store = server.store
    with store.transaction():
        for name in request["AlarmNames"]:
            if alarm := find(store, name):
                store.delete(kind_of(alarm), name)
                tags.delete(store, alarm["AlarmArn"])
                alarm_history.add_configuration(store, alarm, "deleted")
    server.alarm_watch.changed()


def set_alarm_state(server: Server, request: dict) -> None:
    """SetAlarmState: the next evaluation may set another."""
    if "StateReasonData" in request:
        try:
            json.loads(request["StateReasonData"])
        except ValueError:
            raise errors.AwsError("InvalidFormat", "StateReasonData is not JSON.") from None
    with server.store.transaction():
        alarm = find(server.store, request["AlarmName"])
        if alarm is None:
            raise errors.AwsError("ResourceNotFound", f"The alarm {request['AlarmName']} does not exist.", 404)
        set_state(server.store, alarm, request["StateValue"], request["StateReason"], request.get("StateReasonData"))
    server.alarm_watch.changed()


def set_state(store: Store, alarm: dict, state: str, reason: str, data: str | None) -> None:
    """Puts an alarm into a state; a change of it is told in the history, and its actions become due.

    Args:
        alarm: its record as it is in the store: the caller's transaction has read it.
        data: StateReasonData; None for none.
    """
    now = time.time()
    changes = {"StateValue": state, "StateReason": reason, "StateReasonData": data, "StateUpdatedTimestamp": now}
    if state != alarm["StateValue"]:
        changes["StateTransitionedTimestamp"] = now
        changes["_Due"] = [*alarm.get("_Due", []), {"State": state, "OldState": alarm["StateValue"], "Time": now}]
        changes["_Due"][-1] |= {"Reason": reason, "ReasonData": data}
    new = store.update(kind_of(alarm), alarm["AlarmName"], **changes)
    if state != alarm["StateValue"]:
        alarm_history.add_state(store, alarm, new)


def _enable(server: Server, request: dict, is_enabled: bool) -> None:
    with server.store.transaction():
        for name in request["AlarmNames"]:
            alarm = find(server.store, name)
            if alarm is not None and alarm["ActionsEnabled"] != is_enabled:
                changes = {"ActionsEnabled": is_enabled, "AlarmConfigurationUpdatedTimestamp": time.time()}
                new = server.store.update(kind_of(alarm), name, **changes)
                alarm_history.add_configuration(server.store, new, "updated")


def enable_alarm_actions(server: Server, request: dict) -> None:
    """EnableAlarmActions."""
    _enable(server, request, True)


def disable_alarm_actions(server: Server, request: dict) -> None:
    """DisableAlarmActions: states change as ever, and nobody is told."""
    _enable(server, request, False)


OPERATIONS: dict[str, Handler] = {
    "PutMetricAlarm": put_metric_alarm,
    "PutCompositeAlarm": put_composite_alarm,
    "DescribeAlarms": describe_alarms,
    "DescribeAlarmsForMetric": describe_alarms_for_metric,
    "DescribeAlarmHistory": describe_alarm_history,
    "DeleteAlarms": delete_alarms,
    "SetAlarmState": set_alarm_state,
    "EnableAlarmActions": enable_alarm_actions,
    "DisableAlarmActions": disable_alarm_actions,
}
