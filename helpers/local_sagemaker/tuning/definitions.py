"""TrainingJobDefinition(s): what a tuning job trains, and the request of CreateTrainingJob that comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.local_sagemaker import errors, job_metrics, training_run
from helpers.local_sagemaker.runtimes.training_toolkit import TUNING_METRIC
from helpers.local_sagemaker.tuning import search_space
from helpers.local_sagemaker.tuning.search_space import Parameter

_PASSED_ON = (
    *(
        "AlgorithmSpecification",
        "CheckpointConfig",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
    ),
    *(
        "EnableNetworkIsolation",
        "Environment",
        "InputDataConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "RetryStrategy",
    ),
    *("RoleArn", "StoppingCondition", "VpcConfig"),
)
_RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")


@dataclass(frozen=True)
class Definition:
    """One TrainingJobDefinition with its ranges and its objective.

    Attributes:
        training: as in the request.
        parameters: what is tuned.
        objective: `Type` and `MetricName`.
    """

    training: dict
    parameters: list[Parameter]
    objective: dict

    @property
    def name(self) -> str | None:
        """The DefinitionName, if there is one."""
        return self.training.get("DefinitionName")

    @property
    def minimize(self) -> bool:
        """Whether lower is better."""
        return self.objective["Type"] == "Minimize"

    @property
    def static(self) -> dict[str, str]:
        """The hyperparameters that stay."""
        return self.training.get("StaticHyperParameters", {})

    def training_request(self, name: str, values: dict[str, str], tags: list[dict]) -> dict:
        """A request of CreateTrainingJob.

        Args:
            name: of the training job.
            values: of what is tuned.
            tags: of the tuning job.
        """
        request = {member: self.training[member] for member in _PASSED_ON if member in self.training}
        if "HyperParameterTuningResourceConfig" in self.training:
            request["ResourceConfig"] = _resources(self.training["HyperParameterTuningResourceConfig"])
        if "CheckpointConfig" in request:
            checkpoints = request["CheckpointConfig"]
            request["CheckpointConfig"] = checkpoints | {"S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{name}"}
        hyperparameters = self.static | values | {TUNING_METRIC: self.objective["MetricName"]}
        return request | {"TrainingJobName": name, "HyperParameters": hyperparameters, "Tags": tags}


def of(job: dict) -> list[Definition]:
    """The definitions of a tuning job, or of the request for one.

    Raises:
        AwsError: `ValidationException`; what each of them needs is missing or does not go together.
    """
    config = job["HyperParameterTuningJobConfig"]
    if ("TrainingJobDefinition" in job) == ("TrainingJobDefinitions" in job):
        raise errors.validation("Exactly one of TrainingJobDefinition and TrainingJobDefinitions must be provided.")
    if "TrainingJobDefinition" in job:
        ranges, objective = config.get("ParameterRanges", {}), config.get("HyperParameterTuningJobObjective")
        return [_definition(job["TrainingJobDefinition"], ranges, objective)]
    if {"ParameterRanges", "HyperParameterTuningJobObjective"} & config.keys():
        raise errors.validation(
            "With TrainingJobDefinitions, give HyperParameterRanges and TuningObjective in each of them, and no "
            "ParameterRanges and HyperParameterTuningJobObjective for all."
        )
    given = job["TrainingJobDefinitions"]
    names = {each.get("DefinitionName") for each in given}
    if None in names or len(names) < len(given):
        raise errors.validation("Each of the TrainingJobDefinitions needs a DefinitionName of its own.")
    found = [_definition(each, each.get("HyperParameterRanges", {}), each.get("TuningObjective")) for each in given]
    if len({definition.minimize for definition in found}) > 1:
        raise errors.validation("The TuningObjective of all TrainingJobDefinitions must have the same Type.")
    return found


def _definition(training: dict, ranges: dict, objective: dict | None) -> Definition:
    if objective is None:
        raise errors.validation("Each training job definition needs an objective metric.")
    if ("ResourceConfig" in training) == ("HyperParameterTuningResourceConfig" in training):
        raise errors.validation(
            "Exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be provided."
        )
    parameters = search_space.parse(ranges)
    if both := sorted({parameter.name for parameter in parameters} & training.get("StaticHyperParameters", {}).keys()):
        raise errors.validation(f"The hyperparameters {both} are both static and tunable.")
    definition = Definition(training, parameters, objective)
    _check_objective(definition)
    return definition


def _check_objective(definition: Definition) -> None:
    algorithm, metric = definition.training["AlgorithmSpecification"], definition.objective["MetricName"]
    request = {"AlgorithmSpecification": algorithm, "HyperParameters": definition.static}
    built_in = "TrainingImage" in algorithm and training_run.is_built_in(request)
    known = job_metrics.XGBOOST_DEFINITIONS if built_in else algorithm.get("MetricDefinitions", [])
    if metric not in {definition["Name"] for definition in known}:
        source = "those of the algorithm" if built_in else "the MetricDefinitions"
        raise errors.validation(
            f"The objective metric for the hyperparameter tuning job, [{metric}], isn't valid: it is none of {source}. "
            "Choose a valid objective metric."
        )


def _resources(config: dict) -> dict:
    """The ResourceConfig of a HyperParameterTuningResourceConfig: of several instance types, the preferred one."""
    preferred = config.get("InstanceConfigs", [config])[0]
    return {member: (config | preferred)[member] for member in _RESOURCES if member in config | preferred}
