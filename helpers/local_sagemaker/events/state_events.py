"""The events that SageMaker and CloudWatch send when a resource is made, deleted or comes into another state.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html and, for alarms,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from helpers.local_sagemaker import arns, tags
from helpers.local_sagemaker.alarm_evaluation import timestamp
from helpers.local_sagemaker.state import Store
from helpers.local_sagemaker.state_changes import StateChange

SAGEMAKER, CLOUDWATCH = "aws.sagemaker", "aws.cloudwatch"
_NAMESPACE = uuid.UUID("2f9d7c0e-4c6e-4d53-9a0c-7f4f2a3bb0c5")
_EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
_STEP = "SageMaker Model Building Pipeline Execution Step Status Change"


def envelope(identity: str, source: str, detail_type: str, moment: float, resources: list[str], detail: dict) -> dict:
    """An event as targets get it.

    Args:
        identity: its id.
        source: such as `aws.sagemaker`.
        detail_type: such as `SageMaker Training Job State Change`.
        moment: epoch seconds.
        resources: ARNs.
        detail: what happened.
    """
    return {
        "version": "0",
        "id": identity,
        "detail-type": detail_type,
        "source": source,
        "account": arns.ACCOUNT,
        "time": iso(moment),
        "region": arns.REGION,
        "resources": resources,
        "detail": detail,
    }


def iso(moment: float) -> str:
    """Epoch seconds as `2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def of(store: Store, change: StateChange) -> list[dict]:
    """The events of a change: none where AWS sends none. The same change gives the same ids."""
    return [
        envelope(
            str(uuid.uuid5(_NAMESPACE, f"{change.time} {change.id} {detail_type}")),
            CLOUDWATCH if detail_type.startswith("CloudWatch") else SAGEMAKER,
            detail_type,
            change.time,
            resources,
            detail,
        )
        for detail_type, resources, detail in _found(store, change)
    ]


def _found(store: Store, change: StateChange) -> Iterator[tuple[str, list[str], dict]]:
    """Type, resources and detail of each event."""
    before, after = change.before or {}, change.after or {}
    if change.kind in ("Model", "EndpointConfig"):
        yield _plain(store, change.kind, after or before)
    elif not after:
        return
    elif change.kind == "Endpoint":
        yield from _of_endpoint(store, before, after)
    elif change.kind == "PipelineExecution":
        yield _EXECUTION, [after["PipelineArn"], after["PipelineExecutionArn"]], _execution(before, after)
    elif change.kind == "PipelineExecutionStep":
        yield _STEP, [after["PipelineArn"], after["PipelineExecutionArn"]], _step(before, after)
    elif change.kind in ("MetricAlarm", "CompositeAlarm"):
        if before and before["StateValue"] != after["StateValue"]:
            yield "CloudWatch Alarm State Change", [after["AlarmArn"]], _alarm(before, after)
    elif change.kind in _WORDS:
        yield _plain(store, change.kind, after)


# What the describing name of each kind's detail type is, between "SageMaker" and "State Change".
_WORDS = {
    "EndpointConfig": "Endpoint Config",
    "FeatureGroup": "Feature Group",
    "HyperParameterTuningJob": "HyperParameter Tuning Job",
    "Model": "Model",
    "ModelCard": "Model Card",
    "ModelCardExportJob": "Model Card Export Job",
    "ModelPackage": "Model Package",
    "MonitoringSchedule": "Monitoring Schedule",
    "ProcessingJob": "Processing Job",
    "TrainingJob": "Training Job",
    "TransformJob": "Transform Job",
}
# Whose times AWS writes as text; the others' are milliseconds.
_WITH_TEXT_TIMES = ("ModelCard", "ModelCardExportJob", "ModelPackage", "TransformJob")


def _plain(store: Store, kind: str, record: dict) -> tuple[str, list[str], dict]:
    """An event that tells what Describe tells, with its tags."""
    arn = record[f"{kind}Arn"]
    detail = _with_times(_public(record), iso if kind in _WITH_TEXT_TIMES else _milliseconds)
    if kind == "ModelCard":
        del detail["Content"]
        detail["AccountId"] = arns.ACCOUNT
    elif kind != "ModelPackage":
        detail["Tags"] = {tag["Key"]: tag["Value"] for tag in tags.of(store, arn)}
    return f"SageMaker {_WORDS[kind]} State Change", [arn], detail


def _of_endpoint(store: Store, before: dict, after: dict) -> Iterator[tuple[str, list[str], dict]]:
    arn = after["EndpointArn"]
    detail = _with_times(_public(after), _milliseconds)
    # InService is IN_SERVICE in events.
    detail["EndpointStatus"] = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", after["EndpointStatus"]).upper()
    detail["Tags"] = {tag["Key"]: tag["Value"] for tag in tags.of(store, arn)}
    if before.get("EndpointStatus") != after["EndpointStatus"]:
        yield "SageMaker Endpoint State Change", [arn], detail
    deployment = after.get("PendingDeploymentSummary")
    if before and deployment and deployment != before.get("PendingDeploymentSummary"):
        yield "SageMaker Endpoint Deployment State Change", [arn], detail


def _public(record: dict) -> dict:
    return {name: value for name, value in record.items() if not name.startswith("_")}


def _milliseconds(moment: float) -> int:
    return int(moment * 1000)


def _with_times(value: Any, written: Callable[[float], Any], name: str = "") -> Any:
    """A value with its times as they are written."""
    if isinstance(value, dict):
        return {key: _with_times(each, written, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_times(each, written) for each in value]
    is_time = name.endswith("Time") and isinstance(value, int | float) and not isinstance(value, bool)
    return written(value) if is_time else value


def _execution(before: dict, after: dict) -> dict:
    return _present(
        {
            "pipelineExecutionDisplayName": after.get("PipelineExecutionDisplayName"),
            "pipelineExecutionDescription": after.get("PipelineExecutionDescription"),
            "currentPipelineExecutionStatus": after["PipelineExecutionStatus"],
            "previousPipelineExecutionStatus": before.get("PipelineExecutionStatus"),
            "executionStartTime": iso(after["CreationTime"]),
            "executionEndTime": _ended(after["PipelineExecutionStatus"], after["LastModifiedTime"]),
            "failureReason": after.get("FailureReason"),
            "pipelineArn": after["PipelineArn"],
            "pipelineExecutionArn": after["PipelineExecutionArn"],
        }
    )


def _ended(status: str, moment: float) -> str | None:
    return iso(moment) if status in ("Stopped", "Failed", "Succeeded") else None


def _step(before: dict, after: dict) -> dict:
    metadata = after.get("Metadata") or {}
    return _present(
        {
            "metadata": {_lower_first(kind): _lower_names(made) for kind, made in metadata.items()},
            "cacheHitResult": _lower_names(after["CacheHitResult"]) if "CacheHitResult" in after else None,
            "failureReason": after.get("FailureReason"),
            "stepStartTime": iso(after["StartTime"]) if "StartTime" in after else None,
            "stepEndTime": iso(after["EndTime"]) if "EndTime" in after else None,
            "stepName": after["StepName"],
            "stepType": after["StepType"],
            "previousStepStatus": before.get("StepStatus"),
            "currentStepStatus": after["StepStatus"],
            "pipelineArn": after["PipelineArn"],
            "pipelineExecutionArn": after["PipelineExecutionArn"],
        }
    )


def _lower_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {_lower_first(name): _lower_names(each) for name, each in value.items()}
    return value


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _present(members: dict) -> dict:
    return {name: value for name, value in members.items() if value is not None}


def _alarm(before: dict, after: dict) -> dict:
    configuration = {"description": after.get("AlarmDescription")}
    if "AlarmRule" in after:
        configuration["alarmRule"] = after["AlarmRule"]
    else:
        configuration["metrics"] = _metrics(after)
    return {
        "alarmName": after["AlarmName"],
        "configuration": _present(configuration),
        "previousState": _alarm_state(before),
        "state": _alarm_state(after),
    }


def _alarm_state(alarm: dict) -> dict:
    return _present(
        {
            "value": alarm["StateValue"],
            "reason": alarm["StateReason"],
            "reasonData": alarm.get("StateReasonData"),
            "timestamp": timestamp(alarm["StateUpdatedTimestamp"]),
        }
    )


def _metrics(alarm: dict) -> list[dict]:
    if "Metrics" in alarm:
        return [_query(entry) for entry in alarm["Metrics"]]
    stat = {"Metric": alarm, "Period": alarm["Period"], "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"]}
    return [_query({"Id": str(uuid.uuid5(_NAMESPACE, alarm["AlarmArn"])), "MetricStat": stat, "ReturnData": True})]


def _query(entry: dict) -> dict:
    query = {"id": entry["Id"], "returnData": entry.get("ReturnData", True)}
    if "Expression" in entry:
        return _present(query | {"expression": entry["Expression"], "label": entry.get("Label")})
    metric = entry["MetricStat"]["Metric"]
    named = {"namespace": metric["Namespace"], "name": metric["MetricName"]}
    named["dimensions"] = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
    stat = {"metric": named, "period": entry["MetricStat"]["Period"], "stat": entry["MetricStat"]["Stat"]}
    return query | {"metricStat": stat}
