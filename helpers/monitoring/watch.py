"""Runs a job on a schedule and alarms on a metric: EventBridge Scheduler, CloudWatch and SNS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from helpers.schedules import put_schedule

if TYPE_CHECKING:
    from helpers.session import SageMakerHelper

CREATE_PROCESSING_JOB = "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"


def schedule_processing(
    aws: SageMakerHelper, name: str, request: Mapping[str, Any], expression: str, retries: int = 2
) -> str:
    """Start a processing job on a schedule of EventBridge Scheduler; return the schedule's ARN.

    Each start needs a job name of its own: the request's name gets the schedule's execution id at its end. The job can
    read the time that it was due from the variable SCHEDULED_TIME (UTC, ISO 8601).

    Args:
        aws: the lab's session.
        name: the schedule's name; an existing one is changed.
        request: members of CreateProcessingJob; ProcessingJobName has at most 26 characters.
        expression: for example ``rate(1 hour)`` or ``cron(0 * ? * * *)``.
        retries: how often a start that SageMaker refused is tried again.

    Raises:
        ValueError: the job's name is too long for the execution id.
    """
    prefix = request["ProcessingJobName"]
    if len(prefix) > 26:
        raise ValueError(f"{prefix!r} has {len(prefix)} characters; 26 leave room for the execution id in a job's name")
    environment = dict(request.get("Environment", {})) | {"SCHEDULED_TIME": "<aws.scheduler.scheduled-time>"}
    job = dict(request) | {
        "ProcessingJobName": f"{prefix}-<aws.scheduler.execution-id>",
        "Environment": environment,
    }
    target = {
        "Arn": CREATE_PROCESSING_JOB,
        "Input": json.dumps(job),
        "RetryPolicy": {"MaximumRetryAttempts": retries, "MaximumEventAgeInSeconds": 3600},
    }
    return put_schedule(aws, name, expression, target)


def alarm_on(
    aws: SageMakerHelper,
    name: str,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, str],
    threshold: float,
    m: int = 1,
    n: int = 1,
    period: int = 3600,
    statistic: str = "Maximum",
    missing: Literal["missing", "ignore", "breaching", "notBreaching"] = "missing",
    topics: Sequence[str] = (),
) -> None:
    """Make a CloudWatch alarm that goes off when m of the last n periods are above a threshold.

    Args:
        aws: the lab's session.
        name: the alarm's name.
        namespace: of the metric, for example "course/drift".
        metric: the metric's name.
        dimensions: the metric's dimensions; an alarm sees a metric only under exactly these.
        threshold: a datapoint above it breaches.
        m: datapoints that must breach.
        n: datapoints that are looked at.
        period: seconds of a datapoint; not shorter than the time between two runs of the job that writes the metric.
        statistic: of the values in a period.
        missing: what a period without a value counts as. A job that died writes none: "breaching" tells of it.
        topics: ARNs of SNS topics that hear of ALARM and of OK.
    """
    aws.cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic=statistic,
        Period=period,
        EvaluationPeriods=n,
        DatapointsToAlarm=m,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData=missing,
        AlarmActions=list(topics),
        OKActions=list(topics),
    )
