"""Monitoring schedules: the list, and one schedule with its executions and what they found."""

from __future__ import annotations

import json

from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker import staging
from helpers.local_sagemaker import tags as tags_of
from helpers.local_sagemaker.console import addresses
from helpers.local_sagemaker.console.visits import RefusedError, Visit, page

_EXECUTIONS = 20
_REPORT_BYTES = 256 * 1024
_MOST_VIOLATIONS = 50


@page("/monitoring", "monitoring.html")
def schedules(visit: Visit) -> dict:
    """One page of the monitoring schedules, each with its latest execution."""
    context = {"section": "monitoring", "is_available": visit.has("ListMonitoringSchedules")}
    if not context["is_available"]:
        return context
    found = visit.one_page("ListMonitoringSchedules", "MonitoringScheduleSummaries", {"name": "NameContains"})
    for row in found["rows"]:
        row["latest"] = next(iter(_executions(visit, row["MonitoringScheduleName"], 1)), None)
    return context | {
        "page": found | {"token": visit.query.get("token")},
        "next_address": lambda token: addresses.to("monitoring", **found["filters"], token=token),
    }


@page("/monitoring/{name}", "monitor.html")
def schedule(visit: Visit) -> dict:
    """One monitoring schedule."""
    name = visit.path["name"]
    found = visit.require("DescribeMonitoringSchedule", MonitoringScheduleName=name)
    executions = _executions(visit, name, _EXECUTIONS)
    for each in executions:
        each["address"] = addresses.of_arn(each.get("ProcessingJobArn"))
        each["violations"] = None
        if each["MonitoringExecutionStatus"] == "CompletedWithViolations":
            each["violations"] = _violations(visit, each["ProcessingJobArn"])
    return {
        "section": "monitoring",
        "trail": [("Monitoring", addresses.to("monitoring"))],
        "schedule": found,
        "tags": tags_of.of(visit.server.store, found["MonitoringScheduleArn"]),
        "executions": executions,
    }


def _executions(visit: Visit, name: str, most: int) -> list[dict]:
    latest = {"SortBy": "ScheduledTime", "SortOrder": "Descending", "MaxResults": most}
    answer = visit.read("ListMonitoringExecutions", MonitoringScheduleName=name, **latest)
    return answer["MonitoringExecutionSummaries"]


def _violations(visit: Visit, job_arn: str) -> list[dict] | None:
    """What an execution found, from the report that its job wrote; None where that cannot be read."""
    try:
        job = visit.read("DescribeProcessingJob", ProcessingJobName=job_arn.rpartition("/")[2])
        place = staging.parse(job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"])
        report = {"Bucket": place.bucket, "Key": f"{place.key.rstrip('/')}/constraint_violations.json"}
        body = visit.server.client("s3").get_object(**report, Range=f"bytes=0-{_REPORT_BYTES - 1}")["Body"].read()
        return json.loads(body)["violations"][:_MOST_VIOLATIONS]
    except (BotoCoreError, ClientError, RefusedError, staging.StagingError, KeyError, IndexError, ValueError):
        return None
