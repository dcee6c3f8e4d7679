"""What DescribeAlarmHistory tells: what was done to an alarm, its changes of state, and its actions."""

from __future__ import annotations

import base64
import json
import time

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.alarm_evaluation import timestamp
from helpers.local_sagemaker.state import Store

KEPT_SECONDS = 30 * 86_400
MAX_RECORDS = 100
CONFIGURATION, STATE, ACTION = "ConfigurationUpdate", "StateUpdate", "Action"


def add(store: Store, alarm: dict, kind: str, summary: str, data: dict) -> None:
    """Notes something down; belongs into the transaction that changes the alarm."""
    alarm_type = "CompositeAlarm" if "AlarmRule" in alarm else "MetricAlarm"
    moment = time.time()
    row = (alarm["AlarmName"], alarm_type, moment, kind, summary, json.dumps(data, separators=(",", ":")))
    store.execute("INSERT INTO alarm_history (alarm, type, time, kind, summary, data) VALUES (?, ?, ?, ?, ?, ?)", row)
    store.execute("DELETE FROM alarm_history WHERE alarm = ? AND time < ?", (row[0], moment - KEPT_SECONDS))


def add_configuration(store: Store, alarm: dict, verb: str) -> None:
    """Notes that an alarm was `created`, `updated` or `deleted`."""
    kind = {"created": "Create", "updated": "Update", "deleted": "Delete"}[verb]
    public = {_lower_first(name): value for name, value in alarm.items() if not name.startswith("_")}
    for name, value in public.items():
        if name.endswith("Timestamp"):
            public[name] = timestamp(value)
    data = {"version": "1.0", "type": kind, f"{verb}Alarm": public}
    add(store, alarm, CONFIGURATION, f'Alarm "{alarm["AlarmName"]}" {verb}', data)


def add_state(store: Store, old: dict, new: dict) -> None:
    """Notes a change of state."""
    data = {"version": "1.0", "oldState": _state(old), "newState": _state(new)}
    add(store, new, STATE, f"Alarm updated from {old['StateValue']} to {new['StateValue']}", data)


def add_action(store: Store, alarm: dict, action: str, state_updated: float, error: str | None, sent: object) -> None:
    """Notes that an action was taken, or why not."""
    data = {
        "actionState": "Failed" if error else "Succeeded",
        "stateUpdateTimestamp": int(state_updated * 1000),
        "notificationResource": action,
        "publishedMessage": sent,
        "error": error,
    }
    failed = f'Failed to execute action {action}. Received error: "{error}"'
    add(store, alarm, ACTION, failed if error else f"Successfully executed action {action}", data)


def describe(store: Store, request: dict) -> dict:
    """DescribeAlarmHistory.

    Raises:
        AwsError: `InvalidNextToken`.
    """
    is_ascending = request.get("ScanBy") == "TimestampAscending"
    size = request.get("MaxRecords", MAX_RECORDS)
    wanted = {
        "alarm": request.get("AlarmName"),
        "types": json.dumps(request.get("AlarmTypes") or ["MetricAlarm"]),
        "kind": request.get("HistoryItemType"),
        "start": request.get("StartDate", 0.0),
        "end": request.get("EndDate", float("inf")),
        "after": _decoded(request["NextToken"]) if "NextToken" in request else None,
        "limit": size + 1,
    }
    rows = store.execute(_ASCENDING if is_ascending else _DESCENDING, wanted)
    items = [dict(zip(_MEMBERS, row[1:], strict=True)) for row in rows[:size]]
    token = {"NextToken": base64.b64encode(str(rows[size - 1][0]).encode()).decode()} if len(rows) > size else {}
    return {"AlarmHistoryItems": items, **token}


_ASCENDING = """
SELECT id, alarm, type, time, kind, summary, data FROM alarm_history
WHERE (:alarm IS NULL OR alarm = :alarm) AND type IN (SELECT value FROM json_each(:types))
AND (:kind IS NULL OR kind = :kind) AND time BETWEEN :start AND :end AND (:after IS NULL OR id > :after)
ORDER BY id LIMIT :limit
"""
_DESCENDING = _ASCENDING.replace("id > :after", "id < :after").replace("ORDER BY id", "ORDER BY id DESC")
_MEMBERS = ("AlarmName", "AlarmType", "Timestamp", "HistoryItemType", "HistorySummary", "HistoryData")


def _state(alarm: dict) -> dict:
    state = {"stateValue": alarm["StateValue"], "stateReason": alarm["StateReason"]}
    if "StateReasonData" in alarm:
        state["stateReasonData"] = json.loads(alarm["StateReasonData"])
    return state


def _lower_first(name: str) -> str:
    return "okActions" if name == "OKActions" else name[0].lower() + name[1:]


def _decoded(token: str) -> int:
    try:
        return int(base64.b64decode(token))
    except ValueError:
        raise errors.AwsError("InvalidNextToken", "The next token specified is invalid.") from None
