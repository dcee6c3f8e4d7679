"""Members of requests that nothing here acts on: refused where somebody could rely on them, else kept and described."""

from __future__ import annotations

from helpers.local_sagemaker import errors

_VARIANT = (
    "AcceleratorPartitionLayouts",
    "AcceleratorType",
    "CapacityReservationConfig",
    "CoreDumpConfig",
    "EnableSSMAccess",
    "InstancePools",
    "ManagedInstanceScaling.ScaleInPolicy",
    "RoutingConfig.PrefixAwareRoutingConfig",
    "VariantInstanceProvisionTimeoutInSeconds",
)
_S3_MODEL = ("ETag", "HubAccessConfig", "ManifestEtag", "ManifestS3Uri")
_CONTAINER = (
    *(f"AdditionalModelDataSources.S3DataSource.{name}" for name in _S3_MODEL),
    "ContainerMetricsConfig",
    *(f"ModelDataSource.S3DataSource.{name}" for name in _S3_MODEL),
)
_COMPONENT = (
    "Specification.BaseInferenceComponentName",
    "Specification.ComputeResourceRequirements.AcceleratorPartitionType",
    "Specification.Container.ContainerMetricsConfig",
    "Specification.InstanceType",
    "Specification.SchedulingConfig.AvailabilityZoneBalance",
    "Specifications",
)

_PACKAGED = (
    "AdditionalS3DataSource",
    "BaseModel",
    "IsCheckpoint",
    *(f"AdditionalModelDataSources.S3DataSource.{name}" for name in _S3_MODEL),
    *(f"ModelDataSource.S3DataSource.{name}" for name in _S3_MODEL),
)
_TUNED = (
    "AlgorithmSpecification.AlgorithmName",
    "HyperParameterRanges.AutoParameters",
    "InputDataConfig.DataSource.DatasetSource",
    "InputDataConfig.DataSource.FileSystemDataSource",
    "InputDataConfig.DataSource.S3DataSource.HubAccessConfig",
    "ResourceConfig.InstanceGroups",
    "ResourceConfig.InstancePlacementConfig",
    "ResourceConfig.InstancePreferences",
    "ResourceConfig.TrainingPlanArn",
)

# By operation: the way to each member, through lists and structures alike.
REFUSED: dict[str, tuple[str, ...]] = {
    "CreateEndpointConfig": (
        "CrossRegionTrafficConfig",
        "ExplainerConfig",
        "MetricsConfig",
        *(f"ProductionVariants.{name}" for name in _VARIANT),
        *(f"ShadowProductionVariants.{name}" for name in _VARIANT),
    ),
    "CreateHyperParameterTuningJob": (
        "Autotune",
        "HyperParameterTuningJobConfig.ParameterRanges.AutoParameters",
        *(f"TrainingJobDefinition.{name}" for name in _TUNED),
        *(f"TrainingJobDefinitions.{name}" for name in _TUNED),
    ),
    "CreateInferenceComponent": _COMPONENT,
    "CreateModel": (
        *(f"Containers.{name}" for name in _CONTAINER),
        *(f"PrimaryContainer.{name}" for name in _CONTAINER),
    ),
    "CreateModelPackage": (
        "CertifyForMarketplace",
        "ManagedStorageType",
        "SourceAlgorithmSpecification",
        "ValidationSpecification",
        *(f"AdditionalInferenceSpecifications.Containers.{name}" for name in _PACKAGED),
        *(f"InferenceSpecification.Containers.{name}" for name in _PACKAGED),
    ),
    "CreateModelPackageGroup": ("ManagedConfiguration",),
    "CreateProcessingJob": (
        "ProcessingInputs.DatasetDefinition",
        "ProcessingOutputConfig.Outputs.FeatureStoreOutput",
        "ProcessingResources.ClusterConfig.InstancePreferences",
    ),
    "CreateTrainingJob": (
        "AlgorithmSpecification.AlgorithmName",
        "InputDataConfig.DataSource.DatasetSource",
        "InputDataConfig.DataSource.FileSystemDataSource",
        "InputDataConfig.DataSource.S3DataSource.HubAccessConfig",
        "MlflowConfig",
        "ModelPackageConfig",
        "RemoteDebugConfig.EnableRemoteDebug",
        "ResourceConfig.InstanceGroups",
        "ResourceConfig.InstancePlacementConfig",
        "ResourceConfig.InstancePreferences",
        "ResourceConfig.TrainingPlanArn",
        "ServerlessJobConfig",
        "SessionChainingConfig",
    ),
    "CreateTransformJob": ("DataCaptureConfig",),
    "StartPipelineExecution": ("MlflowExperimentName",),
    "UpdateInferenceComponent": _COMPONENT,
    "UpdateModelPackage": (
        *(f"AdditionalInferenceSpecificationsToAdd.Containers.{name}" for name in _PACKAGED),
        *(f"InferenceSpecification.Containers.{name}" for name in _PACKAGED),
    ),
    "UpdateTrainingJob": ("ProfilerConfig", "ProfilerRuleConfigurations", "RemoteDebugConfig"),
}

# What is kept and described without an effect, and why that misleads nobody.
KEPT: dict[str, str] = {
    "AllocationStrategy": "There is capacity for the preferred instance type at any time.",
    "AttributeNames": "They go with S3DataType AugmentedManifestFile, which is refused.",
    "DataCacheConfig": "The files of a component are kept on this machine in any case.",
    "DebugHookConfig": "Older SDKs send it by default. No tensors are saved by it.",
    "DebugRuleConfigurations": "Older SDKs send one by default. Its status tells that the rule is not evaluated.",
    "Description": "It tells people what something is.",
    "Domain": "It tells people what a model package is for.",
    "DriftCheckBaselines": "Whoever looks for drift reads them from the model package.",
    "EnableInterContainerTrafficEncryption": "Instances talk to each other within this machine.",
    "EnableSageMakerMetricsTimeSeries": "Metrics are in CloudWatch with their times in any case.",
    "Framework": "It describes a model package's container, which is chosen by its image.",
    "FrameworkVersion": "As for Framework.",
    "ImageConfig": "No image is pulled.",
    "ImageDigest": "No image is pulled.",
    "InferenceAmiVersion": "Instances are processes of this machine, under its own system.",
    "InfraCheckConfig": "There is no other hardware to check.",
    "KmsKeyId": "Nothing is encrypted.",
    "MaxPendingTimeInSeconds": "No job waits for capacity.",
    "MetadataProperties": "They tell people where a resource comes from.",
    "ModelAccessConfig": "Licences are accepted where the data comes from.",
    "ModelInput": "Only a compiler or a recommender of instances would read it.",
    "ModelLifeCycle": "Whoever takes a model package from stage to stage sets and reads it.",
    "ModelMetrics": "Whoever approves a model package reads them.",
    "ModelPackageDescription": "It tells people what something is.",
    "ModelPackageGroupDescription": "As for ModelPackageDescription.",
    "NearestModelName": "As for ModelInput.",
    "ProductId": "It names a listing of AWS Marketplace.",
    "ProvisionedReadCapacityUnits": "Reads are not throttled.",
    "ProvisionedWriteCapacityUnits": "Writes are not throttled.",
    "ProfilerConfig": "Older SDKs send it by default. Nothing is profiled.",
    "ProfilerRuleConfigurations": "As for DebugRuleConfigurations.",
    "SamplePayloadUrl": "As for ModelInput.",
    "SelectedInstanceCount": "AWS tells it of a job with InstancePreferences, which are refused.",
    "SelectedInstanceType": "As for SelectedInstanceCount.",
    "SecurityConfig": "Nothing is encrypted.",
    "SourceId": "As for MetadataProperties.",
    "SupportedContentTypes": "They tell people what a model package takes.",
    "SupportedResponseMIMETypes": "As for SupportedContentTypes.",
    "Task": "As for Domain.",
    "TrainingImageConfig": "No image is pulled.",
    "TransformAmiVersion": "As for InferenceAmiVersion.",
    "VolumeKmsKeyId": "Nothing is encrypted.",
    "VpcConfig": "There is no VPC: what runs here reaches what this machine reaches.",
}


def check(operation: str, request: dict) -> None:
    """Refuses a request that asks for what is not to be had here.

    Raises:
        AwsError: `ValidationException`; it names the members.
    """
    asked = [way for way in REFUSED.get(operation, ()) if _is_asked(_values([request], way.split(".")))]
    if asked:
        verb = "is" if len(asked) == 1 else "are"
        raise errors.validation(f"{' and '.join(asked)} {verb} not available in the local SageMaker.")


def _values(values: list, names: list[str]) -> list:
    """What stands at the end of a way, in every structure of the lists that it leads through."""
    for name in names:
        found = [value[name] for value in values if name in value]
        values = [each for value in found for each in (value if isinstance(value, list) else [value])]
    return values


def _is_asked(value: object) -> bool:
    """Whether something is asked for: switches that are off, and structures of nothing else, ask for nothing."""
    if isinstance(value, dict):
        return any(map(_is_asked, value.values()))
    if isinstance(value, list):
        return any(map(_is_asked, value))
    return bool(value)
