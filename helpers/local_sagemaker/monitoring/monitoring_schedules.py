"""Monitoring schedules: their operations, and when each is due.

A cron expression recurs by a clock that starts when the schedule is made or started, at the true time, and runs as
many times faster as the server's scheduled waits do: an hourly schedule comes every minute at a speedup of 60.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import data_capture, errors, kinds, listing, permissions, scheduled_actions
from helpers.local_sagemaker.monitoring import job_definitions, windows
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.schedules import Schedule

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register(
    "MonitoringSchedule",
    "monitoring-schedule",
    taken=(kinds.IN_USE, "Monitoring Schedule {arn} already exists"),
    missing=(kinds.NOT_FOUND, "Monitoring Schedule {arn} not found"),
)
EXECUTION_KIND = "MonitoringExecution"
HOURLY = "cron(0 * ? * * *)"
NOW = "NOW"


@operation("CreateMonitoringSchedule")
def create_monitoring_schedule(server: Server, request: dict) -> dict:
    """Keeps a schedule, which runs from then on."""
    name = request["MonitoringScheduleName"]
    arn = kinds.of(KIND).arn(name)
    record = {"MonitoringScheduleName": name, "MonitoringScheduleArn": arn, "MonitoringScheduleStatus": "Pending"}
    record |= _configured(server, request["MonitoringScheduleConfig"])
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    server.monitoring.wake()
    return {"MonitoringScheduleArn": arn}


@operation("UpdateMonitoringSchedule")
def update_monitoring_schedule(server: Server, request: dict) -> dict:
    """Gives a schedule another configuration; its clock starts anew. One that is stopped stays so."""
    record = server.store.require(KIND, request["MonitoringScheduleName"])
    changes = {"EndpointName": None} | _configured(server, request["MonitoringScheduleConfig"])
    if record["MonitoringScheduleStatus"] != "Stopped":
        changes["MonitoringScheduleStatus"] = "Pending"
    server.store.update(KIND, request["MonitoringScheduleName"], **changes)
    server.monitoring.wake()
    return {"MonitoringScheduleArn": record["MonitoringScheduleArn"]}


@operation("DescribeMonitoringSchedule")
def describe_monitoring_schedule(server: Server, request: dict) -> dict:
    """A schedule, and its last execution."""
    record = server.store.require(KIND, request["MonitoringScheduleName"])
    name = record["MonitoringScheduleName"]
    executions = [each for each in server.store.list(EXECUTION_KIND) if each["MonitoringScheduleName"] == name]
    if executions:
        record["LastMonitoringExecutionSummary"] = max(executions, key=lambda each: each["ScheduledTime"])
    return record


@operation("ListMonitoringSchedules")
def list_monitoring_schedules(server: Server, request: dict) -> dict:
    """One page of summaries."""
    wanted = {
        "EndpointName": request.get("EndpointName"),
        "MonitoringJobDefinitionName": request.get("MonitoringJobDefinitionName"),
        "MonitoringType": request.get("MonitoringTypeEquals"),
    }
    records = [record | definition_name(record) for record in server.store.list(KIND)]
    found = [each for each in records if all(value in (None, each.get(key)) for key, value in wanted.items())]
    page = listing.page(found, request, "MonitoringScheduleName", "MonitoringScheduleStatus")
    return listing.response("MonitoringScheduleSummaries", *page)


@operation("DeleteMonitoringSchedule")
def delete_monitoring_schedule(server: Server, request: dict) -> None:
    """Forgets a schedule; an execution that runs goes on, and all of them can be listed, as on AWS."""
    server.store.delete(KIND, request["MonitoringScheduleName"])


@operation("StartMonitoringSchedule")
def start_monitoring_schedule(server: Server, request: dict) -> None:
    """Lets a stopped schedule run again."""
    record = server.store.require(KIND, request["MonitoringScheduleName"])
    if record["MonitoringScheduleStatus"] == "Stopped":
        now = time.time()
        clock = {"_Since": now, "_Last": now}
        server.store.update(KIND, record["MonitoringScheduleName"], MonitoringScheduleStatus="Pending", **clock)
        server.monitoring.wake()


@operation("StopMonitoringSchedule")
def stop_monitoring_schedule(server: Server, request: dict) -> None:
    """Keeps a schedule from starting executions; one that runs goes on."""
    server.store.update(KIND, request["MonitoringScheduleName"], MonitoringScheduleStatus="Stopped")


def definition_name(record: dict) -> dict:
    """The member MonitoringJobDefinitionName of a schedule's summary, where it has one."""
    key = "MonitoringJobDefinitionName"
    return {key: value} if (value := record["MonitoringScheduleConfig"].get(key)) else {}


def timing(record: dict) -> dict:
    """The ScheduleConfig; a schedule without one is hourly."""
    return record["MonitoringScheduleConfig"].get("ScheduleConfig", {"ScheduleExpression": HOURLY})


def next_time(record: dict, speedup: float) -> float | None:
    """When a schedule is due, in real epoch seconds; None when never."""
    if record["MonitoringScheduleStatus"] != "Scheduled":
        return None
    expression = timing(record)["ScheduleExpression"]
    if expression == NOW:
        return record["_Since"]
    timed = {"Schedule": expression, "_Since": record["_Since"], "_Last": record["_Last"]}
    return scheduled_actions.next_time(timed, speedup)


def definition(server: Server, record: dict) -> dict:
    """The job that a schedule runs: its type, Input, Baseline, Application, Output, Resources and what it shares.

    Raises:
        AwsError: its job definition is gone.
    """
    config, kind = record["MonitoringScheduleConfig"], record["MonitoringType"]
    if job := config.get("MonitoringJobDefinition"):
        found = {
            "Input": job["MonitoringInputs"][0],
            "Baseline": job.get("BaselineConfig", {}),
            "Application": job["MonitoringAppSpecification"] | {"Environment": job.get("Environment", {})},
            "Output": job["MonitoringOutputConfig"],
            "Resources": job["MonitoringResources"],
        }
    else:
        job = server.store.require(job_definitions.kind_of(kind), config["MonitoringJobDefinitionName"])
        job_type = job_definitions.TYPES[kind]
        found = {
            "Input": job[job_type.inputs],
            "Baseline": job.get(job_type.baseline, {}),
            "Application": job[job_type.application],
            "Output": job[job_type.outputs],
            "Resources": job["JobResources"],
        }
    shared = {key: job[key] for key in ("RoleArn", "NetworkConfig", "StoppingCondition") if key in job}
    return {"Type": kind} | found | shared


def _configured(server: Server, config: dict) -> dict:
    """The members of a record that a MonitoringScheduleConfig decides.

    Raises:
        AwsError: it is not valid.
    """
    has_inline, has_name = "MonitoringJobDefinition" in config, "MonitoringJobDefinitionName" in config
    if has_inline == has_name:
        raise errors.validation("Give either MonitoringJobDefinition or MonitoringJobDefinitionName.")
    if has_name and "MonitoringType" not in config:
        raise errors.validation("MonitoringType is required with MonitoringJobDefinitionName.")
    now = time.time()
    record = {"MonitoringScheduleConfig": config, "MonitoringType": config.get("MonitoringType", "DataQuality")}
    record |= {"_Since": now, "_Last": now}
    _check_timing(timing(record))
    job = definition(server, record)
    if has_inline:
        permissions.require_role(server, job["RoleArn"])
        job_definitions.check_places(job["Input"], job["Output"])
    _, source = job_definitions.source_of(job["Input"])
    if "EndpointName" in source:
        _check_endpoint(server, source["EndpointName"])
        record["EndpointName"] = source["EndpointName"]
    return record


def _check_timing(config: dict) -> None:
    expression = config["ScheduleExpression"]
    times = [config[key] for key in ("DataAnalysisStartTime", "DataAnalysisEndTime") if key in config]
    if expression == NOW:
        if len(times) < 2:
            raise errors.validation("A one time schedule needs DataAnalysisStartTime and DataAnalysisEndTime.")
        if windows.offset(times[0]) >= windows.offset(times[1]):
            raise errors.validation("DataAnalysisStartTime must be before DataAnalysisEndTime.")
        return
    if times:
        raise errors.validation("DataAnalysisStartTime and DataAnalysisEndTime are for a one time schedule only.")
    Schedule(expression)
    if not expression.startswith("cron(") or not expression.removeprefix("cron(").split()[0].isdigit():
        raise errors.validation(
            f"Invalid schedule expression: {expression}. A cron expression, hourly at most, is valid."
        )


def _check_endpoint(server: Server, name: str) -> None:
    record = server.store.require("Endpoint", name)
    config = server.store.require("EndpointConfig", record["EndpointConfigName"]).get("DataCaptureConfig")
    if config is None or not data_capture.is_enabled(config):
        raise errors.validation(f"Endpoint {name} has no data capture, which a monitoring schedule needs.")
