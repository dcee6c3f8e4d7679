"""Alarms: the list, and one alarm with its chart and its history."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from helpers.local_sagemaker import alarms as alarm_operations
from helpers.local_sagemaker.console import addresses, charts, measured
from helpers.local_sagemaker.console.measured import Span
from helpers.local_sagemaker.console.visits import MissingError, Visit, page

_COMPARISONS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": "≥",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "≤",
}
_HISTORY = 50
_STATES = ("ALARM", "INSUFFICIENT_DATA", "OK")


@page("/alarms", "alarms.html")
def alarm_list(visit: Visit) -> dict:
    """All alarms, those in alarm first."""
    store = visit.server.store
    rows = [alarm for kind in alarm_operations.KINDS for alarm in store.list(kind)]
    for alarm in rows:
        alarm["condition"] = condition(alarm)
    rows.sort(key=lambda alarm: (_STATES.index(alarm["StateValue"]), alarm["AlarmName"]))
    return {"section": "alarms", "alarms": rows}


def condition(alarm: Mapping) -> str:
    """What an alarm watches, in one line."""
    if "AlarmRule" in alarm:
        return alarm["AlarmRule"]
    what = alarm.get("MetricName") or "metric math"
    stat = alarm.get("Statistic") or alarm.get("ExtendedStatistic") or ""
    sign = _COMPARISONS.get(alarm["ComparisonOperator"], alarm["ComparisonOperator"])
    needed, periods = alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]), alarm["EvaluationPeriods"]
    length = f" of {alarm['Period']} s" if "Period" in alarm else ""
    return f"{what} {stat} {sign} {alarm.get('Threshold', '')} in {needed} of {periods} periods{length}"


@page("/alarms/alarm", "alarm.html")
def alarm(visit: Visit) -> dict:
    """One alarm."""
    name = visit.query.get("name", "")
    found = alarm_operations.find(visit.server.store, name)
    if found is None:
        raise MissingError(f"There is no alarm {name!r}.")
    asked = {"AlarmName": name, "MaxRecords": _HISTORY, "AlarmTypes": [alarm_operations.kind_of(found)]}
    history = alarm_operations.OPERATIONS["DescribeAlarmHistory"](visit.server, asked)["AlarmHistoryItems"]
    over = measured.span(visit.query.get("span"))
    shown = {key: value for key, value in found.items() if not key.startswith("_")}
    return {
        "section": "alarms",
        "trail": [("Alarms", addresses.to("alarms"))],
        "alarm": shown,
        "condition": condition(found),
        "history": history,
        "chart": _chart(visit, found, over) if "MetricName" in found else None,
        "spans": measured.SPANS,
        "span": over,
        "reason_data": json.loads(found["StateReasonData"]) if found.get("StateReasonData") else None,
        "now": time.time(),
    }


def _chart(visit: Visit, alarm: dict, over: Span) -> charts.Chart:
    """The metric with the alarm's threshold across."""
    dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
    stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    metric = (alarm["Namespace"], alarm["MetricName"], dimensions)
    line = measured.series(visit.server, stat, metric, stat, over)
    return charts.line_chart(
        f"{alarm['MetricName']} {stat}",
        [line],
        unit=alarm.get("Unit", ""),
        ends=over.ends,
        threshold=alarm.get("Threshold"),
    )
