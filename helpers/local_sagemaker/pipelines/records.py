"""Pipelines, their versions, executions and steps as the store keeps them, and the names and ARNs that lead to them.

Names are ways: a version is `<pipeline>/<number>`, an execution `<pipeline>/<id>`, a step `<pipeline>/<id>/<step>`.
"""

from __future__ import annotations

import secrets
import string

from helpers.local_sagemaker import arns, errors, kinds
from helpers.local_sagemaker.state import Store

PIPELINE = kinds.register(
    "Pipeline",
    "pipeline",
    taken=(
        kinds.VALIDATION,
        "Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already exists.",
    ),
    missing=(kinds.NOT_FOUND, "Pipeline '{arn}' does not exist."),
)
VERSION, EXECUTION, STEP = "PipelineVersion", "PipelineExecution", "PipelineExecutionStep"
ACTIVE = ("Executing", "Stopping")
RUNNING = ("Starting", "Executing", "Stopping")

_LETTERS = string.ascii_lowercase + string.digits
_ROOM = 63
_SUFFIX = 10


def new_execution_id() -> str:
    """Twelve letters and digits, as AWS draws them."""
    return "".join(secrets.choice(_LETTERS) for _ in range(12))


def new_token() -> str:
    """Ten letters and digits: of a callback, and at the end of a resource's name."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_SUFFIX))


def resource_name(execution_id: str, step: str, prefix: str | None, longest: int) -> str:
    """A name for what a step makes, such as `pipelines-1abc2def3ghi-Train-Xy12Zw34Vu`.

    Args:
        execution_id: of the execution.
        step: the step's name.
        prefix: what the step's arguments want it to begin with, None where they say nothing.
        longest: how many characters it may have; where it is short, AWS leaves `pipelines-` out.
    """
    ending = f"-{new_token()}"
    begin = f"{prefix}-{execution_id}" if prefix else f"{execution_id}-{step.replace('_', '-')}"
    if not prefix and longest >= _ROOM:
        begin = f"pipelines-{begin}"
    return begin[: longest - len(ending)].rstrip("-") + ending


def pipeline_arn(pipeline: str) -> str:
    """The ARN of a pipeline."""
    return kinds.of(PIPELINE).arn(pipeline)


def execution_arn(name: str) -> str:
    """The ARN of an execution, by its name in the store."""
    pipeline, _, identity = name.partition("/")
    return f"{pipeline_arn(pipeline)}/execution/{identity}"


def execution_name(arn: str) -> str:
    """The name in the store of the execution with an ARN."""
    way = arn.partition(":pipeline/")[2]
    return way.replace("/execution/", "/", 1)


def pipeline_name(name_or_arn: str) -> str:
    """The name in a request that takes a pipeline's name or its ARN.

    Raises:
        AwsError: `ValidationException`; the ARN is none of a pipeline of this account.
    """
    return arns.name_of("pipeline", name_or_arn)


def require_execution(store: Store, arn: str) -> dict:
    """The record of an execution.

    Raises:
        AwsError: `ResourceNotFound`.
    """
    record = store.get(EXECUTION, execution_name(arn))
    if record is None or record["PipelineExecutionArn"] != arn:
        raise errors.resource_not_found(f"Pipeline execution '{arn}' does not exist.")
    return record


def require_version(store: Store, pipeline: str, version: int) -> dict:
    """The record of a pipeline's version.

    Raises:
        AwsError: `ResourceNotFound`.
    """
    record = store.get(VERSION, f"{pipeline}/{version}")
    if record is None:
        raise errors.resource_not_found(f"Pipeline '{pipeline_arn(pipeline)}' has no version {version}.")
    return record


def steps_of(store: Store, execution: str) -> dict[str, dict]:
    """The steps of an execution that have begun, by their names."""
    return {record["StepName"]: record for record in store.list(STEP, f"{execution}/")}


def executions_of(store: Store, pipeline: str) -> list[dict]:
    """All executions of a pipeline."""
    return store.list(EXECUTION, f"{pipeline}/")
