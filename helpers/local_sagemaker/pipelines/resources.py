"""Step types that make a resource of SageMaker: by which operations, and what of it counts for the cache."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """What a step of one type makes.

    Attributes:
        stem: of the operations and their members, such as ProcessingJob.
        metadata: its member in a step's Metadata.
        cached: the arguments that a cached result depends on, AWS's default cache keys; empty for types without cache.
        ends: the statuses at the end of the work, and what the step becomes by each; empty where making it is all.
        stops: whether there is an operation that stops it.
        retried: whether a step of the type may have RetryPolicies.
        prefixed: whether a name in the arguments is only the begin of the resource's name.
        tagged: whether its Create operation takes the tags that name the execution and the step.
        arn_told: the member of its ARN in that Metadata.
    """

    stem: str
    metadata: str
    cached: tuple[str, ...] = ()
    ends: tuple[tuple[str, str], ...] = (("Completed", "Succeeded"), ("Failed", "Failed"), ("Stopped", "Stopped"))
    stops: bool = False
    retried: bool = True
    prefixed: bool = True
    tagged: bool = True
    arn_told: str = "Arn"

    @property
    def name(self) -> str:
        """The member that names it."""
        return f"{self.stem}Name"

    @property
    def arn(self) -> str:
        """The member of its ARN."""
        return f"{self.stem}Arn"

    @property
    def status(self) -> str:
        """The member of its status."""
        return f"{self.stem}Status"


_PROCESSED = ("AppSpecification", "Environment", "ProcessingInputs")
_IN_SERVICE = (("InService", "Succeeded"), ("Failed", "Failed"))
_TUNED = ("AlgorithmSpecification", "HyperParameterRanges", "InputDataConfig", "StaticHyperParameters")

RESOURCES = {
    "Processing": Resource(
        "ProcessingJob",
        "ProcessingJob",
        _PROCESSED,
        stops=True,
    ),
    "QualityCheck": Resource(
        "ProcessingJob", "QualityCheck", _PROCESSED, stops=True, retried=False, arn_told="CheckJobArn"
    ),
    "ClarifyCheck": Resource(
        "ProcessingJob", "ClarifyCheck", _PROCESSED, stops=True, retried=False, arn_told="CheckJobArn"
    ),
    "Training": Resource(
        "TrainingJob",
        "TrainingJob",
        (
            *("AlgorithmSpecification", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations"),
            *("Environment", "HyperParameters", "InputDataConfig"),
        ),
        stops=True,
    ),
    "Tuning": Resource(
        "HyperParameterTuningJob",
        "TuningJob",
        (
            "HyperParameterTuningJobConfig",
            *(f"TrainingJobDefinition.{name}" for name in (*_TUNED, "TuningObjective")),
            "TrainingJobDefinitions",
        ),
        stops=True,
    ),
    "Transform": Resource(
        "TransformJob", "TransformJob", ("DataProcessing", "Environment", "ModelName", "TransformInput"), stops=True
    ),
    "Model": Resource("Model", "Model", ends=()),
    "RegisterModel": Resource("ModelPackage", "RegisterModel", tagged=False),
    "EndpointConfig": Resource(
        "EndpointConfig",
        "EndpointConfig",
        ("ProductionVariants", "ShadowProductionVariants", "DataCaptureConfig", "AsyncInferenceConfig"),
        ends=(),
        prefixed=False,
    ),
    "Endpoint": Resource(
        "Endpoint",
        "Endpoint",
        ("EndpointName", "EndpointConfigName", "DeploymentConfig"),
        ends=_IN_SERVICE,
        retried=False,
        prefixed=False,
    ),
    "InferenceComponent": Resource(
        "InferenceComponent", "InferenceComponent", ends=_IN_SERVICE, retried=False, prefixed=False
    ),
}
