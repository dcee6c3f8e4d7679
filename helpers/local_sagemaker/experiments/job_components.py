"""The trial component of a job: what it took, gave and measured, in the trial that its ExperimentConfig names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, job_metrics, kinds, metric_summaries
from helpers.local_sagemaker.experiments import experiments, run_metrics, trial_components, trials
from helpers.local_sagemaker.lineage import associations, entities

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KINDS = ("TrainingJob", "ProcessingJob", "TransformJob")
_LONGEST_TEXT = 2500
_HOUR = 3600


def check(server: Server, request: dict) -> None:
    """Checks the ExperimentConfig of a request that creates a job.

    Raises:
        AwsError: `ResourceNotFound`; it names an experiment, a trial or a run that does not exist.
    """
    config = request.get("ExperimentConfig", {})
    named = {
        experiments.KIND: config.get("ExperimentName"),
        trials.KIND: config.get("TrialName"),
        trial_components.KIND: config.get("RunName"),
    }
    for kind, name in named.items():
        if name is not None:
            server.store.require(kind, entities.key(name))


def make_trial(server: Server, config: dict) -> None:
    """Makes the experiment and the trial of an ExperimentConfig where there are none, as a pipeline does."""
    experiment, trial = config.get("ExperimentName"), config.get("TrialName")
    if experiment and not server.store.get(experiments.KIND, entities.key(experiment)):
        experiments.create_experiment(server, {"ExperimentName": experiment})
    if experiment and trial and not server.store.get(trials.KIND, entities.key(trial)):
        trials.create_trial(server, {"TrialName": trial, "ExperimentName": experiment})


def record(server: Server, kind: str, job: dict) -> str:
    """Writes the component of a job as the job is now, and returns its ARN; doing it twice changes nothing.

    Args:
        server: the server.
        kind: TrainingJob, ProcessingJob or TransformJob.
        job: its record.
    """
    config = job.get("ExperimentConfig", {})
    name = f"{job[f'{kind}Name']}-aws-{kinds.of(kind).segment}"
    told = _told(kind, job) | _outcome(server, kind, job)
    with server.store.transaction():
        if not (found := server.store.get(trial_components.KIND, entities.key(name))):
            display_name = {"DisplayName": config.get("TrialComponentDisplayName", name)}
            source = {"SourceArn": job[f"{kind}Arn"], "SourceType": f"SageMaker{kind}"}
            arn = trial_components.create(
                server, {"TrialComponentName": name} | display_name | told | {"Source": source}
            )
            _join(server, config, name, arn, job[f"{kind}Name"])
            return arn
        changes = {member: told[member] for member in ("Status", "StartTime", "EndTime", "Metrics") if member in told}
        server.store.update(trial_components.KIND, entities.key(name), **changes)
    return found["TrialComponentArn"]


def _join(server: Server, config: dict, name: str, arn: str, job: str) -> None:
    """Puts a new component into the trial, and next to the run, that its job's ExperimentConfig names."""
    experiment, trial = config.get("ExperimentName"), config.get("TrialName")
    try:
        if experiment and not trial:
            trial = f"{job}-aws-trial"
            make_trial(server, {"ExperimentName": experiment, "TrialName": trial})
        if trial:
            trial_components.associate_trial_component(server, {"TrialComponentName": name, "TrialName": trial})
        if run := config.get("RunName"):
            associations.add(server, arn, kinds.of(trial_components.KIND).arn(entities.key(run)), "AssociatedWith")
    except errors.AwsError as error:
        # They were there when the job was created, and may have been deleted since.
        if error.code != kinds.NOT_FOUND:
            raise


def _outcome(server: Server, kind: str, job: dict) -> dict:
    status = job[f"{kind}Status"]
    message = (
        f"Status: {status}, secondary status: {job.get('SecondaryStatus', status)}, failure reason: "
        f"{job.get('FailureReason', '')}."
    )
    times = {member: job.get(f"{kind.removesuffix('Job')}{member}") for member in ("StartTime", "EndTime")}
    metrics = [_metric(server, job, final) for final in job.get("FinalMetricDataList", [])]
    return (
        {"Status": {"PrimaryStatus": status, "Message": message[:1024]}}
        | {member: time for member, time in times.items() if time}
        | ({"Metrics": metrics} if metrics else {})
    )


def _metric(server: Server, job: dict, final: dict) -> dict:
    """The summary of all values of a job's metric, which CloudWatch has."""
    dimensions = [{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}]
    metric = metric_summaries.key(job_metrics.NAMESPACE, final["MetricName"], dimensions)
    begin = int(job["CreationTime"]) // _HOUR * _HOUR
    seconds = math.ceil((final["Timestamp"] + 1 - begin) / _HOUR) * _HOUR
    whole = metric_summaries.Summary()
    for _, _, summary in server.metric_data.windows(metric, begin, seconds, 1, with_values=True):
        whole.add(summary)
    values = sorted(whole.values.elements()) or [final["Value"]]
    told = {"MetricName": final["MetricName"], "SourceArn": job["TrainingJobArn"], "TimeStamp": final["Timestamp"]}
    return told | run_metrics.statistics_of(values) | {"Last": final["Value"]}


def _told(kind: str, job: dict) -> dict:
    """Parameters and artifacts of a job."""
    read = {"TrainingJob": _training, "ProcessingJob": _processing, "TransformJob": _transform}[kind]
    parameters, inputs, outputs = read(job)
    members = {
        "Parameters": {name: _parameter(value) for name, value in parameters.items() if value is not None},
        "InputArtifacts": inputs,
        "OutputArtifacts": outputs,
    }
    return {member: told for member, told in members.items() if told}


def _training(job: dict) -> tuple[dict, dict, dict]:
    cluster = _cluster(job["AlgorithmSpecification"]["TrainingImage"], job["ResourceConfig"])
    inputs = {
        channel["ChannelName"]: _artifact(channel["DataSource"]["S3DataSource"]["S3Uri"], channel.get("ContentType"))
        for channel in job.get("InputDataConfig", [])
    }
    outputs = {"SageMaker.ModelArtifact": _artifact(job["ModelArtifacts"]["S3ModelArtifacts"])}
    return job.get("HyperParameters", {}) | cluster, inputs, outputs


def _processing(job: dict) -> tuple[dict, dict, dict]:
    cluster = _cluster(job["AppSpecification"]["ImageUri"], job["ProcessingResources"]["ClusterConfig"])
    inputs = {one["InputName"]: _artifact(one["S3Input"]["S3Uri"]) for one in job.get("ProcessingInputs", [])}
    outputs = {
        one["OutputName"]: _artifact(one["S3Output"]["S3Uri"])
        for one in job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    }
    return cluster, inputs, outputs


def _transform(job: dict) -> tuple[dict, dict, dict]:
    resources, source = job["TransformResources"], job["TransformInput"]
    parameters = {
        "SageMaker.ModelName": job["ModelName"],
        "SageMaker.InstanceType": resources["InstanceType"],
        "SageMaker.InstanceCount": resources["InstanceCount"],
    }
    data = _artifact(source["DataSource"]["S3DataSource"]["S3Uri"], source.get("ContentType"))
    result = _artifact(job["TransformOutput"]["S3OutputPath"], job["TransformOutput"].get("Accept"))
    return parameters, {"SageMaker.TransformInput": data}, {"SageMaker.TransformOutput": result}


def _cluster(image: str, config: dict) -> dict:
    return {
        "SageMaker.ImageUri": image,
        "SageMaker.InstanceType": config.get("InstanceType"),
        "SageMaker.InstanceCount": config.get("InstanceCount"),
        "SageMaker.VolumeSizeInGB": config.get("VolumeSizeInGB"),
    }


def _artifact(uri: str, media_type: str | None = None) -> dict:
    return {"Value": uri} | ({"MediaType": media_type} if media_type else {})


def _parameter(value: object) -> dict:
    """A number where the text of a hyperparameter is one."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return {"NumberValue": number} if math.isfinite(number) else {"StringValue": str(value)[:_LONGEST_TEXT]}
