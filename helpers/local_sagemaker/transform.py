"""Batch transform jobs: their operations, and the states that one goes through."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    errors,
    job_records,
    kinds,
    listing,
    model_data,
    staging,
    transform_records,
    transform_run,
)
from helpers.local_sagemaker.experiments import job_components
from helpers.local_sagemaker.jobs import SERVER_STOPPED, Job, JobError, ServerStoppedError
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register("TransformJob", "transform-job", taken=kinds.JOB_TAKEN, missing=kinds.JOB_MISSING)
_TOLD = (
    *("TransformJobName", "ModelName", "MaxConcurrentTransforms", "ModelClientConfig", "MaxPayloadInMB"),
    *("BatchStrategy", "Environment", "TransformInput", "TransformOutput", "TransformResources", "DataProcessing"),
    "ExperimentConfig",
)
_MOST_MEGABYTES = 100


@operation("CreateTransformJob")
def create_transform_job(server: Server, request: dict) -> dict:
    """Checks the request, and starts the job."""
    name = request["TransformJobName"]
    model = model_data.served_model(server, request["ModelName"])
    _check(request, model)
    job_components.check(server, request)
    transform_records.check(request)
    arn = server.arn("transform-job", name)
    record = {key: request[key] for key in _TOLD if key in request} | {
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        transform_run.MODEL: model,
    }
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    # A transform job has no MaxRuntimeInSeconds.
    job = Job(server, KIND, name, log_group=transform_run.LOG_GROUP, max_seconds=math.inf)
    server.jobs.submit(job, run, fail)
    return {"TransformJobArn": arn}


def _check(request: dict, model: dict) -> None:
    if model["Mode"] == "Direct":
        raise errors.validation(
            f"Batch transform does not support direct invocation: model {request['ModelName']} has the "
            "InferenceExecutionConfig mode Direct."
        )
    if any(container.get("Mode") == "MultiModel" for container in model["Containers"]):
        raise errors.validation(f"Batch transform does not support multi-model models such as {request['ModelName']}.")
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise errors.validation(
            f"The local SageMaker has no S3DataType {source['S3DataType']}; use S3Prefix or ManifestFile."
        )
    for uri in (source["S3Uri"], request["TransformOutput"]["S3OutputPath"]):
        try:
            staging.parse(uri)
        except staging.StagingError as error:
            raise errors.validation(str(error)) from error
    megabytes = request.get("MaxPayloadInMB", transform_run.DEFAULT_MAX_PAYLOAD_IN_MB)
    if megabytes * max(1, request.get("MaxConcurrentTransforms", 1)) > _MOST_MEGABYTES:
        raise errors.validation(
            f"MaxPayloadInMB times MaxConcurrentTransforms must not exceed {_MOST_MEGABYTES} MB: MaxPayloadInMB is "
            f"{megabytes}, MaxConcurrentTransforms is {request.get('MaxConcurrentTransforms', 1)}."
        )


@operation("DescribeTransformJob")
def describe_transform_job(server: Server, request: dict) -> dict:
    """The whole record."""
    return server.store.require(KIND, request["TransformJobName"])


@operation("ListTransformJobs")
def list_transform_jobs(server: Server, request: dict) -> dict:
    """One page of summaries."""
    page = listing.page(server.store.list(KIND), request, "TransformJobName", "TransformJobStatus")
    return listing.response("TransformJobSummaries", *page)


@operation("StopTransformJob")
def stop_transform_job(server: Server, request: dict) -> None:
    """Asks the job to end; the output of objects that are done is kept."""
    job_records.stop(server, KIND, request["TransformJobName"])


def run(job: Job) -> None:
    """The body of a job's thread.

    Raises:
        JobError: the job failed.
        ServerStoppedError: the server goes away.
    """
    record = job.server.store.update(KIND, job.name, TransformStartTime=time.time())
    job.make_folders()
    try:
        transform_run.execute(job, record)
    except staging.StagingError as error:
        raise JobError(f"ClientError: {error}") from error
    if job.cut == SERVER_STOPPED:
        raise ServerStoppedError
    _end(job.server, job.name, "Stopped" if job.cut else "Completed")


def fail(server: Server, name: str, reason: str) -> None:
    """Ends a job as Failed."""
    _end(server, name, "Failed", FailureReason=reason)


def _end(server: Server, name: str, status: str, **changes: object) -> None:
    server.store.update(KIND, name, TransformJobStatus=status, TransformEndTime=time.time(), **changes)
