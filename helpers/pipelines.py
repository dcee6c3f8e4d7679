"""Runs a SageMaker pipeline, tells what its steps did, tries it again where it failed, and starts it on a schedule."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.deployment import WAIT_SECONDS
from helpers.schedules import put_schedule

if TYPE_CHECKING:
    import pandas as pd

    from helpers.session import SageMakerHelper

_ENDED = ("Succeeded", "Failed", "Stopped")
_COLUMNS = ["step", "kind", "status", "cached", "attempt", "seconds", "what", "reason"]


def run(
    aws: SageMakerHelper,
    pipeline: str,
    parameters: Mapping[str, Any] | None = None,
    timeout: float = WAIT_SECONDS,
) -> str:
    """Start an execution of a pipeline and wait until it has ended, in whatever way; return its ARN.

    A failed step is not an error here: the execution's steps tell more than an exception can. `require` raises.

    Args:
        aws: the lab's session.
        pipeline: the pipeline's name.
        parameters: values of the pipeline's parameters; those left out keep their defaults.
        timeout: seconds to wait.

    Raises:
        TimeoutError: it was under way after `timeout` seconds; it goes on.
    """
    given = [{"Name": name, "Value": str(value)} for name, value in (parameters or {}).items()]
    started = aws.sagemaker.start_pipeline_execution(PipelineName=pipeline, PipelineParameters=given)
    return _wait(aws, started["PipelineExecutionArn"], timeout)


def retry(aws: SageMakerHelper, execution: str, timeout: float = WAIT_SECONDS) -> str:
    """Go on with an execution that failed or was stopped, from the steps that did not succeed; return its ARN.

    Raises:
        TimeoutError: it was under way after `timeout` seconds; it goes on.
    """
    aws.sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution)
    return _wait(aws, execution, timeout)


def steps(aws: SageMakerHelper, execution: str) -> pd.DataFrame:
    """What the steps of an execution did, in the order of their start.

    Args:
        aws: the lab's session.
        execution: ARN of the execution.

    Returns:
        One row per step that began: step, kind (for example "ProcessingJob"; "" for a step without a resource), status,
        cached (whether an earlier execution's result was taken), attempt, seconds, what (ARN of the job, model or
        package; the outcome of a condition), reason (of a failure).
    """
    import pandas as pd

    pages = aws.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=execution, SortOrder="Ascending"
    )
    rows = []
    for found in (found for page in pages for found in page["PipelineExecutionSteps"]):
        kind, details = next(iter(found.get("Metadata", {}).items()), ("", {}))
        start, end = found.get("StartTime"), found.get("EndTime")
        rows.append(
            {
                "step": found["StepName"],
                "kind": kind,
                "status": found["StepStatus"],
                "cached": "CacheHitResult" in found,
                "attempt": found.get("AttemptCount", 0),
                "seconds": (end - start).total_seconds() if start and end else float("nan"),
                "what": details.get("Arn", details.get("Outcome", "")),
                "reason": found.get("FailureReason", ""),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def require(aws: SageMakerHelper, execution: str) -> None:
    """Check that an execution succeeded, as a CI job does.

    Raises:
        RuntimeError: it did not; the message names the failed steps and their reasons.
    """
    found = aws.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
    if found["PipelineExecutionStatus"] == "Succeeded":
        return
    table = steps(aws, execution)
    failed = table[table["status"] == "Failed"]
    reasons = "; ".join(f"{row.step}: {row.reason or 'no reason given'}" for row in failed.itertuples())
    raise RuntimeError(
        f"{execution} is {found['PipelineExecutionStatus']}: {reasons or found.get('FailureReason', 'no step failed')}"
    )


def schedule(
    aws: SageMakerHelper, name: str, pipeline: str, expression: str, parameters: Mapping[str, Any] | None = None
) -> str:
    """Start a pipeline on a schedule of EventBridge Scheduler; return the schedule's ARN.

    Args:
        aws: the lab's session.
        name: the schedule's name; an existing one is changed.
        pipeline: the pipeline's name.
        expression: for example ``rate(1 day)`` or ``cron(0 5 ? * MON *)``.
        parameters: values of the pipeline's parameters.
    """
    arn = aws.sagemaker.describe_pipeline(PipelineName=pipeline)["PipelineArn"]
    given = [{"Name": key, "Value": str(value)} for key, value in (parameters or {}).items()]
    parameter_list = {"SageMakerPipelineParameters": {"PipelineParameterList": given}} if given else {}
    return put_schedule(aws, name, expression, {"Arn": arn, **parameter_list})


def _wait(aws: SageMakerHelper, execution: str, timeout: float) -> str:
    deadline = time.monotonic() + timeout
    while True:
        found = aws.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        if found["PipelineExecutionStatus"] in _ENDED:
            return execution
        if time.monotonic() > deadline:
            raise TimeoutError(f"{execution} is still {found['PipelineExecutionStatus']} after {timeout:g} s")
        time.sleep(aws.poll_seconds)
