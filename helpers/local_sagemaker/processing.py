"""Processing jobs: their operations, and what one does from its first to its last state."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    channels,
    errors,
    images,
    job_records,
    listing,
    mirroring,
    permissions,
    sandbox,
    staging,
)
from helpers.local_sagemaker.failures import last_error
from helpers.local_sagemaker.jobs import TIMED_OUT, Command, Job, JobError, Outcome
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = "ProcessingJob"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_TOLD = (
    *("ProcessingJobName", "ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "AppSpecification"),
    *("Environment", "NetworkConfig", "RoleArn", "ExperimentConfig"),
)
_SOURCE_BUNDLE = f"{sandbox.ML}/processing/input/code/sourcedir.tar.gz"
_DEFAULT_MAX_SECONDS = 86_400
_LONGEST_EXIT_MESSAGE = 1024


@operation("CreateProcessingJob")
def create_processing_job(server: Server, request: dict) -> dict:
    """Checks the request, and starts the job."""
    name = request["ProcessingJobName"]
    if server.store.get(KIND, name):
        raise errors.in_use(
            "Processing job names must be unique within an AWS account and region, and a processing job with this name "
            f"already exists ({server.arn('processing-job', name)})"
        )
    permissions.require_role(server, request["RoleArn"])
    _check(request)
    arn = server.arn("processing-job", name)
    record = {key: request[key] for key in _TOLD if key in request} | {
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "StoppingCondition": {"MaxRuntimeInSeconds": _DEFAULT_MAX_SECONDS} | request.get("StoppingCondition", {}),
    }
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    job = Job(
        server,
        KIND,
        name,
        log_group=LOG_GROUP,
        max_seconds=record["StoppingCondition"]["MaxRuntimeInSeconds"],
        hosts=request["ProcessingResources"]["ClusterConfig"]["InstanceCount"],
    )
    server.jobs.submit(job, run, fail)
    return {"ProcessingJobArn": arn}


def _check(request: dict) -> None:
    places = [(f"ProcessingInputs[{item['InputName']}]", item.get("S3Input")) for item in _inputs(request)]
    places += [(f"ProcessingOutputs[{item['OutputName']}]", item.get("S3Output")) for item in _outputs(request)]
    names = [place for place, _ in places]
    for place, s3 in places:
        if names.count(place) > 1:
            raise errors.validation(f"{place}: the name is used twice")
        if s3 is None:
            raise errors.validation(
                f"{place}: the local SageMaker reads and writes S3 only; S3Input or S3Output is missing"
            )
        if not s3.get("LocalPath", "").startswith(f"{sandbox.ML}/processing"):
            raise errors.validation(
                f"{place}: LocalPath must begin with {sandbox.ML}/processing, got {s3.get('LocalPath', '')!r}"
            )
        if s3.get("S3DataType", "S3Prefix") not in ("S3Prefix", "ManifestFile"):
            raise errors.validation(f"{place}: the local SageMaker has no S3DataType {s3['S3DataType']}")
        if s3.get("S3InputMode") == "Pipe":
            raise errors.validation(f"{place}: the local SageMaker has no S3InputMode Pipe; use File")
        try:
            staging.parse(s3["S3Uri"])
        except staging.StagingError as error:
            raise errors.validation(f"{place}: {error}") from error


def _inputs(record: dict) -> list[dict]:
    return record.get("ProcessingInputs", [])


def _outputs(record: dict) -> list[dict]:
    return record.get("ProcessingOutputConfig", {}).get("Outputs", [])


@operation("DescribeProcessingJob")
def describe_processing_job(server: Server, request: dict) -> dict:
    """The whole record."""
    return server.store.require(KIND, request["ProcessingJobName"])


@operation("ListProcessingJobs")
def list_processing_jobs(server: Server, request: dict) -> dict:
    """One page of summaries."""
    page = listing.page(server.store.list(KIND), request, "ProcessingJobName", "ProcessingJobStatus")
    return listing.response("ProcessingJobSummaries", *page)


@operation("StopProcessingJob")
def stop_processing_job(server: Server, request: dict) -> None:
    """Asks the job to end."""
    job_records.stop(server, KIND, request["ProcessingJobName"])


@operation("DeleteProcessingJob")
def delete_processing_job(server: Server, request: dict) -> None:
    """Forgets a job that ended; its outputs and logs stay."""
    job_records.delete(server, KIND, request["ProcessingJobName"])


def run(job: Job) -> None:
    """The body of a job's thread.

    Raises:
        JobError: the job failed.
    """
    server, record = job.server, job.server.store.require(KIND, job.name)
    try:
        images.runtime_for(record["AppSpecification"]["ImageUri"])
    except errors.AwsError as error:
        raise JobError(f"ClientError: {error.message}") from error
    if "ContainerEntrypoint" not in record["AppSpecification"]:
        raise JobError("ClientError: AppSpecification.ContainerEntrypoint is missing, and the image has no default one")
    try:
        _prepare(job, record)
        server.store.update(KIND, job.name, ProcessingStartTime=time.time())
        continuous = [(folder, location) for folder, location, mode in _targets(job, record) if mode == "Continuous"]
        with mirroring.mirrored(server, continuous):
            outcome = _execute(job, record)
        _keep_exit_message(job)
        for folder, location, mode in _targets(job, record):
            if mode != "Continuous":
                staging.upload_folder(server, folder, location)
    except staging.StagingError as error:
        raise JobError(f"ClientError: {error}") from error
    if outcome.cut == TIMED_OUT:
        raise JobError(
            "ClientError: The processing job ran longer than MaxRuntimeInSeconds "
            f"({record['StoppingCondition']['MaxRuntimeInSeconds']} s) and was ended"
        )
    if outcome.code and not outcome.cut:
        raise JobError(f"AlgorithmError: {_reason(job, outcome)}, exit code: {outcome.code}")
    status = "Stopped" if outcome.cut else "Completed"
    server.store.update(KIND, job.name, ProcessingJobStatus=status, ProcessingEndTime=time.time())


def fail(server: Server, name: str, reason: str) -> None:
    """Ends a job as Failed."""
    server.store.update(KIND, name, ProcessingJobStatus="Failed", FailureReason=reason, ProcessingEndTime=time.time())


def _prepare(job: Job, record: dict) -> None:
    """Fills `/opt/ml` of every host.

    Raises:
        StagingError: something is missing in S3.
    """
    job.make_folders("config", "output", "processing", *(item["S3Output"]["LocalPath"] for item in _outputs(record)))
    for item in _outputs(record):
        staging.require_bucket(job.server, staging.parse(item["S3Output"]["S3Uri"]), "Failed to upload data")
    for item in _inputs(record):
        source = item["S3Input"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        data_type = source.get("S3DataType", "S3Prefix")
        try:
            channels.copy_source(job.server, source["S3Uri"], data_type, job.hosts, source["LocalPath"], sharded)
        except staging.StagingError as error:
            raise staging.StagingError(f"Failed to download data of input {item['InputName']!r}. {error}") from error
    told = (*_TOLD, "ProcessingJobArn", "StoppingCondition")
    configuration = {key: record[key] for key in told if key in record}
    hosts = [host.name for host in job.hosts]
    for host in job.hosts:
        folder = host.path("config")
        (folder / "processingjobconfig.json").write_text(json.dumps(configuration))
        (folder / "resourceconfig.json").write_text(json.dumps({"current_host": host.name, "hosts": hosts}))


def _execute(job: Job, record: dict) -> Outcome:
    application = record["AppSpecification"]
    argv = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
    environment = {"PROCESSING_JOB_NAME": job.name, "PROCESSING_JOB_ARN": record["ProcessingJobArn"]}
    command = Command(argv, environment | record.get("Environment", {}))
    return job.run([command] * len(job.hosts), _interpreter(job))


def _interpreter(job: Job) -> Path:
    """The job's interpreter; the requirements of a FrameworkProcessor's source bundle are installed for it.

    Its own `pip install` finds them satisfied: it knows nothing of the package indexes that the host is set up for.

    Raises:
        JobError: a requirement cannot be had.
    """
    bundle = job.hosts[0].path(_SOURCE_BUNDLE)
    if not bundle.is_file():
        return job.interpreter()
    source = job.folder / "source"
    staging.extract_tar(bundle, source)
    return job.interpreter_with(source / "requirements.txt")


def _targets(job: Job, record: dict) -> list[tuple[Path, staging.Location, str]]:
    """Folder, place in S3 and upload mode of every output, for every host."""
    return [
        (
            host.path(item["S3Output"]["LocalPath"]),
            staging.parse(item["S3Output"]["S3Uri"]),
            item["S3Output"]["S3UploadMode"],
        )
        for item in _outputs(record)
        for host in job.hosts
    ]


def _keep_exit_message(job: Job) -> None:
    """What a container writes to `/opt/ml/output/message` becomes ExitMessage."""
    for host in job.hosts:
        path = host.path("output/message")
        if path.is_file():
            message = path.read_text(errors="replace")[:_LONGEST_EXIT_MESSAGE]
            job.server.store.update(KIND, job.name, ExitMessage=message)
            return


def _reason(job: Job, outcome: Outcome) -> str:
    failures = [host.path("output/failure") for host in job.hosts]
    written = next((path.read_text(errors="replace").strip() for path in failures if path.is_file()), "")
    return written or last_error(outcome.tail) or "See job logs for more information"
