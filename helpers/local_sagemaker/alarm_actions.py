"""What an alarm does when its state changes: it tells a topic, as AWS words it, or executes a scaling policy."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from helpers.local_sagemaker import alarm_history, alarm_metrics, alarms, arns
from helpers.local_sagemaker.alarm_evaluation import timestamp

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

REGION_NAME = {"us-east-1": "US East (N. Virginia)"}[arns.REGION]
MAX_SUBJECT = 100
_MEMBERS = {"OK": "OKActions", "ALARM": "AlarmActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}


def of(alarm: dict, state: str) -> list[str]:
    """The actions of an alarm on its way into a state; none when they are disabled."""
    return alarm[_MEMBERS[state]] if alarm["ActionsEnabled"] else []


def take(server: Server, alarm: dict, change: dict) -> None:
    """Takes all actions of one change of an alarm's state.

    Args:
        alarm: its record.
        change: State, OldState, Reason and Time, as `alarms.set_state` wrote them down.
    """
    for action in of(alarm, change["State"]):
        error, sent = None, None
        try:
            if alarms.is_scaling(action):
                server.scaling.execute(action, alarm, change["State"], _values(server, alarm, change), is_new=True)
            else:
                sent = _notify(server, alarm, change, action)
        except Exception as failure:
            logger.warning("action %s of alarm %s failed", action, alarm["AlarmName"], exc_info=True)
            error = str(failure)
        alarm_history.add_action(server.store, alarm, action, change["Time"], error, sent)


def repeat(server: Server, alarm: dict, state: str, data: str) -> None:
    """Executes the scaling policies of an alarm that stays in a state, which AWS does every minute."""
    for action in of(alarm, state):
        if alarms.is_scaling(action):
            try:
                server.scaling.execute(action, alarm, state, json.loads(data)["recentDatapoints"], is_new=False)
            except LookupError:  # told in the history when the state changed
                logger.debug("action %s of alarm %s does not exist", action, alarm["AlarmName"])


def _values(server: Server, alarm: dict, change: dict) -> list[float]:
    """The datapoints that changed an alarm's state; those there are now if somebody has set it."""
    data = json.loads(change["ReasonData"] or "{}")
    if isinstance(data, dict) and "recentDatapoints" in data:
        return data["recentDatapoints"]
    if "AlarmRule" in alarm:
        return []
    points = alarm_metrics.datapoints(server, alarm, int(change["Time"]))
    return [point.value for point in points if point.value is not None][-alarm["EvaluationPeriods"] :]


def _notify(server: Server, alarm: dict, change: dict, topic: str) -> dict:
    """Publishes what AWS publishes, and returns it."""
    told = message(alarm, change)
    subject = f'{change["State"]}: "{alarm["AlarmName"]}" in {REGION_NAME}'
    if len(subject) > MAX_SUBJECT:
        subject = f"{subject[: MAX_SUBJECT - 3]}..."
    server.client("sns").publish(TopicArn=topic, Subject=subject, Message=json.dumps(told))
    return {"default": json.dumps(told)}


def message(alarm: dict, change: dict) -> dict:
    """The JSON that a topic's subscribers get."""
    told = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": arns.ACCOUNT,
        "AlarmConfigurationUpdatedTimestamp": timestamp(alarm["AlarmConfigurationUpdatedTimestamp"]),
        "NewStateValue": change["State"],
        "NewStateReason": change["Reason"],
        "StateChangeTime": timestamp(change["Time"]),
        "Region": REGION_NAME,
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": change["OldState"],
        **{member: alarm[member] for member in _MEMBERS.values()},
    }
    if "AlarmRule" in alarm:
        return told | {"AlarmRule": alarm["AlarmRule"]}
    return told | {"Trigger": _trigger(alarm)}


def _trigger(alarm: dict) -> dict:
    """The alarm's definition as its message words it."""
    trigger: dict[str, object] = {}
    if "MetricName" in alarm:
        trigger = {"MetricName": alarm["MetricName"], "Namespace": alarm["Namespace"]}
        if "Statistic" in alarm:
            trigger |= {"StatisticType": "Statistic", "Statistic": _STATISTICS[alarm["Statistic"]]}
        else:
            trigger |= {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm["ExtendedStatistic"]}
        trigger |= {"Unit": alarm.get("Unit"), "Dimensions": _dimensions(alarm), "Period": alarm["Period"]}
    trigger["EvaluationPeriods"] = alarm["EvaluationPeriods"]
    if "DatapointsToAlarm" in alarm:
        trigger["DatapointsToAlarm"] = alarm["DatapointsToAlarm"]
    trigger |= {
        "ComparisonOperator": alarm["ComparisonOperator"],
        "Threshold": alarm["Threshold"],
        "TreatMissingData": alarm.get("TreatMissingData", ""),
        "EvaluateLowSampleCountPercentile": alarm.get("EvaluateLowSampleCountPercentile", ""),
    }
    if "Metrics" in alarm:
        trigger["Metrics"] = [_metric(entry) for entry in alarm["Metrics"]]
    return trigger


def _metric(entry: dict) -> dict:
    if "MetricStat" not in entry:
        return entry
    stat = entry["MetricStat"]
    return entry | {"MetricStat": stat | {"Metric": stat["Metric"] | {"Dimensions": _dimensions(stat["Metric"])}}}


def _dimensions(described: dict) -> list[dict]:
    return [{"value": entry["Value"], "name": entry["Name"]} for entry in described.get("Dimensions", [])]


_STATISTICS = {
    "SampleCount": "SAMPLE_COUNT",
    "Average": "AVERAGE",
    "Sum": "SUM",
    "Minimum": "MINIMUM",
    "Maximum": "MAXIMUM",
}
