"""Processing jobs: their operations, and what one does from its first to its last state."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    channels,
    containment,
    errors,
    images,
    job_records,
    kinds,
    listing,
    local_paths,
    mirroring,
    permissions,
    sandbox,
    staging,
)
from helpers.local_sagemaker.experiments import job_components
from helpers.local_sagemaker.failures import last_error
from helpers.local_sagemaker.images import Runtime
from helpers.local_sagemaker.jobs import TIMED_OUT, Command, Job, JobError, Outcome
from helpers.local_sagemaker.monitoring import published_metrics
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register("ProcessingJob", "processing-job", taken=kinds.JOB_TAKEN, missing=kinds.JOB_MISSING)
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_TOLD = (
    *("ProcessingJobName", "ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "AppSpecification"),
    *("Environment", "NetworkConfig", "RoleArn", "ExperimentConfig"),
)
_SOURCE_BUNDLE = f"{sandbox.ML}/processing/input/code/sourcedir.tar.gz"
_DEFAULT_MAX_SECONDS = 86_400
_ANALYZER = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from analyzers import job, {{0}}; "
    "sys.path.pop(0); job.run({0}.main)"
)
_LONGEST_EXIT_MESSAGE = 1024


@operation("CreateProcessingJob")
def create_processing_job(server: Server, request: dict) -> dict:
    """Checks the request, and starts the job."""
    name = request["ProcessingJobName"]
    if server.store.get(KIND, name):
        raise kinds.of(KIND).already_exists(name)
    permissions.require_role(server, request["RoleArn"])
    _check(request)
    job_components.check(server, request)
    arn = server.arn("processing-job", name)
    record = {key: request[key] for key in _TOLD if key in request} | {
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "StoppingCondition": {"MaxRuntimeInSeconds": _DEFAULT_MAX_SECONDS} | request.get("StoppingCondition", {}),
    }
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    cluster = request["ProcessingResources"]["ClusterConfig"]
    job = Job(
        server,
        KIND,
        name,
        log_group=LOG_GROUP,
        max_seconds=record["StoppingCondition"]["MaxRuntimeInSeconds"],
        hosts=cluster["InstanceCount"],
        isolated=request.get("NetworkConfig", {}).get("EnableNetworkIsolation", False),
        limits=containment.limits(server.home, cluster["InstanceType"], cluster.get("VolumeSizeInGB")),
    )
    server.jobs.submit(job, run, fail)
    return {"ProcessingJobArn": arn}


def _check(request: dict) -> None:
    """Refuses inputs and outputs that the local SageMaker cannot give to a job."""
    places = [
        (f"ProcessingInputs[{item['InputName']}]", item, "S3Input") for item in request.get("ProcessingInputs", [])
    ]
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    places += [(f"ProcessingOutputs[{item['OutputName']}]", item, "S3Output") for item in outputs]
    names = [place for place, *_ in places]
    for place, item, member in places:
        if names.count(place) > 1:
            raise errors.validation(f"{place}: the name is used twice")
        if member not in item:
            raise errors.validation(f"{place}: {member} is missing")
        _check_s3(place, item[member], item.get("AppManaged", False))
    network, cluster = request.get("NetworkConfig", {}), request["ProcessingResources"]["ClusterConfig"]
    if "InstanceType" not in cluster or "InstanceCount" not in cluster:
        raise errors.validation("ClusterConfig needs InstanceType and InstanceCount in the local SageMaker.")
    sandbox.require_isolation(network.get("EnableNetworkIsolation", False), cluster["InstanceCount"])


def _check_s3(place: str, s3: dict, app_managed: bool) -> None:
    if "LocalPath" in s3 or not app_managed:
        local_paths.require_inside(s3.get("LocalPath", ""), f"{place}: LocalPath", f"{sandbox.ML}/processing")
    if s3.get("S3DataType", "S3Prefix") not in ("S3Prefix", "ManifestFile"):
        raise errors.validation(f"{place}: the local SageMaker has no S3DataType {s3['S3DataType']}")
    if s3.get("S3InputMode") == "Pipe":
        raise errors.validation(f"{place}: the local SageMaker has no S3InputMode Pipe; use File")
    if s3.get("S3CompressionType", "None") != "None":
        raise errors.validation(
            f"{place}: S3CompressionType {s3['S3CompressionType']} can only be used with S3InputMode Pipe, which is "
            "not available in the local SageMaker"
        )
    try:
        staging.parse(s3["S3Uri"])
    except staging.StagingError as error:
        raise errors.validation(f"{place}: {error}") from error


def _inputs(record: dict) -> list[dict]:
    """The inputs that are downloaded: those that the application manages are its own affair, as on AWS."""
    return [item for item in record.get("ProcessingInputs", []) if not item.get("AppManaged")]


def _outputs(record: dict) -> list[dict]:
    """The outputs that are uploaded; see `_inputs`."""
    outputs = record.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return [item for item in outputs if not item.get("AppManaged")]


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
        runtime = images.runtime_for(record["AppSpecification"]["ImageUri"], processing=True)
    except errors.AwsError as error:
        raise JobError(f"ClientError: {error.message}") from error
    argv = _command(record["AppSpecification"], runtime)
    outcome = None
    try:
        _prepare(job, record)
        server.store.update(KIND, job.name, ProcessingStartTime=time.time())
        continuous = [(folder, location) for folder, location, mode in _targets(job, record) if mode == "Continuous"]
        with mirroring.mirrored(server, continuous):
            outcome = _execute(job, record, argv)
        _keep_exit_message(job)
        published_metrics.publish(job)
        _upload(job, record)
    except staging.StagingError as error:
        # What the script failed of counts more than what became of its outputs.
        raise JobError(_failure(job, record, outcome) or f"ClientError: {error}") from error
    if reason := _failure(job, record, outcome):
        raise JobError(reason)
    status = "Stopped" if outcome.cut else "Completed"
    server.store.update(KIND, job.name, ProcessingJobStatus=status, ProcessingEndTime=time.time())


def _upload(job: Job, record: dict) -> None:
    for folder, location, mode in _targets(job, record):
        if mode != "Continuous":
            staging.upload_folder(job.server, folder, location)


def _failure(job: Job, record: dict, outcome: Outcome | None) -> str | None:
    """Why the processes failed, None when they did not, were stopped, or never ran."""
    if outcome is None:
        return None
    if outcome.cut == TIMED_OUT:
        return (
            "ClientError: The processing job ran longer than MaxRuntimeInSeconds "
            f"({record['StoppingCondition']['MaxRuntimeInSeconds']} s) and was ended"
        )
    if outcome.code and not outcome.cut:
        return f"AlgorithmError: {_reason(job, outcome)}, exit code: {outcome.code}"
    return None


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


def _command(application: dict, runtime: Runtime) -> list[str]:
    """What a container runs.

    Raises:
        JobError: the job names no entry point, and the image has none of its own.
    """
    entrypoint = application.get("ContainerEntrypoint")
    if entrypoint is None and runtime.analyzer is None:
        raise JobError("ClientError: AppSpecification.ContainerEntrypoint is missing, and the image has no default one")
    if entrypoint is None:
        entrypoint = ["python3", "-c", _ANALYZER.format(runtime.analyzer), sandbox.ML]
    return [*entrypoint, *application.get("ContainerArguments", [])]


def _execute(job: Job, record: dict, argv: list[str]) -> Outcome:
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
    message = next(filter(None, [host.read("output/message") for host in job.hosts]), "")
    if message:
        job.server.store.update(KIND, job.name, ExitMessage=message[:_LONGEST_EXIT_MESSAGE])


def _reason(job: Job, outcome: Outcome) -> str:
    if outcome.breach:
        return outcome.breach
    written = next(filter(None, [host.read("output/failure") for host in job.hosts]), "")
    return written or last_error(outcome.tail) or "See job logs for more information"
