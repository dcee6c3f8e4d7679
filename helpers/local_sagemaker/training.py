"""Training jobs: their operations, and the states that one goes through."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    channels,
    containment,
    errors,
    images,
    job_metrics,
    job_records,
    kinds,
    listing,
    permissions,
    sandbox,
    spot,
    staging,
    training_run,
    warm_pools,
)
from helpers.local_sagemaker.experiments import job_components
from helpers.local_sagemaker.jobs import (
    INTERRUPTED,
    SERVER_STOPPED,
    STOPPED,
    TIMED_OUT,
    WAITED_TOO_LONG,
    Job,
    JobError,
    ServerStoppedError,
)
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.runtimes import training_toolkit
from helpers.local_sagemaker.tuning import trials

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register(
    "TrainingJob", "training-job", taken=kinds.JOB_TAKEN, missing=(kinds.VALIDATION, "Requested resource not found.")
)
_TOLD = (
    *("TrainingJobName", "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig"),
    *(
        "ResourceConfig",
        "VpcConfig",
        "StoppingCondition",
        "EnableNetworkIsolation",
        "CheckpointConfig",
        "DebugHookConfig",
    ),
    *("EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "DebugRuleConfigurations", "Environment"),
    *("TensorBoardOutputConfig", "ExperimentConfig", "ProfilerConfig", "ProfilerRuleConfigurations", "RetryStrategy"),
    *("RemoteDebugConfig", "InfraCheckConfig"),
)
_SWITCHES = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
_DEFAULT_MAX_SECONDS = 86_400
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Interrupted": "Training job interrupted: the spot instances were taken away. Waiting for capacity.",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
_FINAL = {"Completed": "Completed", "Failed": "Failed", STOPPED: "Stopped", TIMED_OUT: "Stopped"}
_FINAL |= {WAITED_TOO_LONG: "Stopped"}
_NOT_WHEN_STOPPING = ("Starting", "Downloading", "Training", "Interrupted")
_RETRIES = "_Retries"


@operation("CreateTrainingJob")
def create_training_job(server: Server, request: dict) -> dict:
    """Checks the request, and starts the job."""
    name, algorithm = request["TrainingJobName"], request["AlgorithmSpecification"]
    if server.store.get(KIND, name):
        raise kinds.of(KIND).already_exists(name)
    check(server, request)
    arn = server.arn("training-job", name)
    now = time.time()
    record = (
        dict.fromkeys(_SWITCHES, False)
        | {key: request[key] for key in _TOLD if key in request}
        | {
            "TrainingJobArn": arn,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [
                {"Status": "Starting", "StartTime": now, "StatusMessage": _MESSAGES["Starting"]}
            ],
            "StoppingCondition": {"MaxRuntimeInSeconds": _DEFAULT_MAX_SECONDS} | request.get("StoppingCondition", {}),
            # Programs that look at a job again, such as Estimator.attach of the SDK 2, read all members of it.
            "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP"} | request["OutputDataConfig"],
            "ModelArtifacts": {"S3ModelArtifacts": training_run.model_artifacts(request)},
            "AlgorithmSpecification": algorithm | _built_in_metrics(request),
            "CreationTime": now,
            **_rule_statuses(request),
            **trials.owner(server, name),
        }
    )
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
        warm_pools.take(server, record)
    _submit(server, record)
    return {"TrainingJobArn": arn}


def check(server: Server, request: dict) -> None:
    """Checks a request of CreateTrainingJob, but for its name.

    Raises:
        AwsError: it could not be run.
    """
    algorithm = request["AlgorithmSpecification"]
    if "TrainingImage" not in algorithm:
        raise errors.validation(
            "The local SageMaker trains with AlgorithmSpecification.TrainingImage, and none is given."
        )
    _check_available(request)
    job_components.check(server, request)
    permissions.require_role(server, request["RoleArn"])
    _check_metric_definitions(algorithm)
    _check_waiting(request)
    training_run.check_locations(request)
    channels.check(server, request)


def _submit(server: Server, record: dict) -> None:
    resources = record["ResourceConfig"]
    job = Job(
        server,
        KIND,
        record["TrainingJobName"],
        log_group=training_run.LOG_GROUP,
        max_seconds=record["StoppingCondition"]["MaxRuntimeInSeconds"],
        hosts=resources["InstanceCount"],
        isolated=record.get("EnableNetworkIsolation", False),
        limits=containment.limits(server.home, resources["InstanceType"], resources.get("VolumeSizeInGB")),
    )
    server.jobs.submit(job, run, fail)


def _check_available(request: dict) -> None:
    """Refuses what the local SageMaker could only ignore."""
    resources, algorithm = request.get("ResourceConfig", {}), request["AlgorithmSpecification"]
    if "InstanceType" not in resources or "InstanceCount" not in resources:
        raise errors.validation("ResourceConfig needs InstanceType and InstanceCount in the local SageMaker.")
    sandbox.require_isolation(request.get("EnableNetworkIsolation", False), resources["InstanceCount"])
    training_run.check_arguments(algorithm)


def _check_metric_definitions(algorithm: dict) -> None:
    for definition in algorithm.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise errors.validation(
                f"Invalid regular expression in MetricDefinitions, metric {definition['Name']}: {error}"
            ) from error


def _check_waiting(request: dict) -> None:
    """MaxWaitTimeInSeconds goes with managed spot training, and with nothing else."""
    limits = request.get("StoppingCondition", {})
    longest = limits.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if longest is not None:
            raise errors.validation(
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
            )
    elif longest is None or longest < limits.get("MaxRuntimeInSeconds", _DEFAULT_MAX_SECONDS):
        raise errors.validation(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _rule_statuses(request: dict) -> dict:
    """What became of Debugger's rules: older SDKs ask for one by default, so they are no reason to refuse a job."""
    statuses = {}
    for kind in ("Debug", "Profiler"):
        if rules := request.get(f"{kind}RuleConfigurations"):
            statuses[f"{kind}RuleEvaluationStatuses"] = [
                {
                    "RuleConfigurationName": rule["RuleConfigurationName"],
                    "RuleEvaluationStatus": "Error",
                    "StatusDetails": "Rules are not evaluated: Debugger is not available in the local SageMaker.",
                    "LastModifiedTime": time.time(),
                }
                for rule in rules
            ]
    return statuses


def _built_in_metrics(request: dict) -> dict:
    return {"MetricDefinitions": job_metrics.XGBOOST_DEFINITIONS} if training_run.is_built_in(request) else {}


@operation("DescribeTrainingJob")
def describe_training_job(server: Server, request: dict) -> dict:
    """The whole record."""
    return warm_pools.shown(server, server.store.require(KIND, request["TrainingJobName"]))


@operation("ListTrainingJobs")
def list_training_jobs(server: Server, request: dict) -> dict:
    """One page of summaries."""
    # No job here has a training plan.
    records = [] if "TrainingPlanArnEquals" in request else server.store.list(KIND)
    found = warm_pools.with_status(server, records, request.get("WarmPoolStatusEquals"))
    page = listing.page(found, request, "TrainingJobName", "TrainingJobStatus")
    return listing.response("TrainingJobSummaries", *page)


@operation("StopTrainingJob")
def stop_training_job(server: Server, request: dict) -> None:
    """Asks the job to end; the artifacts that it has are kept."""
    name = request["TrainingJobName"]
    job_records.stop(server, KIND, name, lambda: _move(server, name, "Stopping", TrainingJobStatus="Stopping"))


@operation("DeleteTrainingJob")
def delete_training_job(server: Server, request: dict) -> None:
    """Forgets a job that ended; its artifacts and logs stay."""
    job_records.delete(server, KIND, request["TrainingJobName"])


def run(job: Job) -> None:
    """The body of a job's thread: from Starting to its final state.

    Raises:
        JobError: the job failed.
    """
    server, record = job.server, job.server.store.require(KIND, job.name)
    try:
        runtime = images.runtime_for(record["AlgorithmSpecification"]["TrainingImage"])
    except errors.AwsError as error:
        raise JobError(f"ClientError: {error.message}") from error
    objective = record.get("HyperParameters", {}).get(training_toolkit.TUNING_METRIC)
    reader = job_metrics.MetricReader(record["AlgorithmSpecification"].get("MetricDefinitions", []), objective)
    job.curve = reader.curve
    try:
        cut = _attempt(job, record, runtime, reader)
        while cut == INTERRUPTED:
            _move(server, job.name, "Interrupted")
            job.clean_up()
            if spot.await_capacity(job):
                _move(server, job.name, "Starting")
                cut = _attempt(job, record, runtime, reader)
            else:
                cut = job.cut
        if cut == SERVER_STOPPED:
            raise ServerStoppedError
        if job.folder.exists():
            _move(server, job.name, "Uploading")
            training_run.upload(job, record)
    except staging.StagingError as error:
        raise JobError(f"ClientError: {error}") from error
    _end(server, job.name, cut or "Completed")


def _attempt(job: Job, record: dict, runtime: images.Runtime, reader: job_metrics.MetricReader) -> str | None:
    """One run on instances, from Downloading on; returns why it was cut short, if it was."""
    server = job.server
    started = server.store.require(KIND, job.name).get("TrainingStartTime", time.time())
    _move(server, job.name, "Downloading", TrainingStartTime=started)
    launch = training_run.prepare(job, record, runtime)
    _move(server, job.name, "Training")
    try:
        return training_run.execute(job, record, launch, reader.read).cut
    finally:
        reader.publish(server, job.name)
        server.store.update(
            KIND, job.name, FinalMetricDataList=reader.final() or None, **{trials.CURVE: reader.curve or None}
        )


def fail(server: Server, name: str, reason: str) -> None:
    """Ends a job as Failed; after a fault of the server's own, one with a RetryStrategy is run again instead."""
    if not (reason.startswith("InternalServerError") and _retry(server, name)):
        _end(server, name, "Failed", FailureReason=reason)


def _retry(server: Server, name: str) -> bool:
    """Whether the job will run again: at once, or when the server starts the next time."""
    record = server.store.require(KIND, name)
    retries = record.get(_RETRIES, 0)
    most = record.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
    if record["TrainingJobStatus"] != "InProgress" or retries >= most:
        return False
    if not server.jobs.closed:
        begin = {spot.ATTEMPT_BEGIN: len(record["SecondaryStatusTransitions"])}
        _move(server, name, "Starting", **{_RETRIES: retries + 1} | begin)
        _submit(server, record)
    return True


def _end(server: Server, name: str, secondary: str, **changes: object) -> None:
    _move(server, name, secondary, TrainingJobStatus=_FINAL[secondary], TrainingEndTime=time.time(), **changes)


def _move(server: Server, name: str, secondary: str, **changes: object) -> None:
    """Enters a secondary status: closes the last transition, opens the next."""
    with server.store.transaction():
        now = time.time()
        record = server.store.require(KIND, name)
        if record["TrainingJobStatus"] == "Stopping" and secondary in _NOT_WHEN_STOPPING:
            secondary = "Stopping"
        transitions = record["SecondaryStatusTransitions"]
        if transitions[-1]["Status"] != secondary:
            transitions[-1]["EndTime"] = now
            transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": _MESSAGES[secondary]})
        if secondary in _FINAL:
            transitions[-1]["EndTime"] = now
            changes |= spot.times(record) if "TrainingStartTime" in record else {}
        server.store.update(
            KIND, name, **{"SecondaryStatus": secondary, "SecondaryStatusTransitions": transitions} | changes
        )
