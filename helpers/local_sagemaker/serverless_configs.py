"""What AWS allows in the configuration of a serverless endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, model_data

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

STAND_UP_SECONDS = 180  # until /ping must answer
NOT_STANDING = (
    f"Unable to successfully stand up your model within the allotted {STAND_UP_SECONDS} second timeout. Please ensure "
    "that downloading your model artifacts, starting your model container and passing the ping health checks can be "
    f"completed within {STAND_UP_SECONDS} seconds. "
)
_GIGABYTE_IN_MB = 1024
# Source: "Feature exclusions" of serverless inference in the SageMaker developer guide.
_NOT_IN_CONFIG = ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants", "VpcConfig")
_NOT_IN_VARIANT = (
    *("InstanceType", "InitialInstanceCount", "AcceleratorType", "CoreDumpConfig", "VolumeSizeInGB"),
    *("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds", "InferenceAmiVersion"),
    *("ManagedInstanceScaling", "RoutingConfig"),
)


def is_serverless(variants: list[dict]) -> bool:
    """Whether one of these production variants, or entries of a plan, is serverless."""
    return any("ServerlessConfig" in variant for variant in variants)


def check(server: Server, request: dict) -> None:
    """Checks a CreateEndpointConfig with a serverless variant against what AWS excludes.

    Raises:
        AwsError: `ValidationException`; what it has cannot go together.
    """
    variants = request["ProductionVariants"]
    if len(variants) != 1:
        raise errors.validation(
            f"A serverless endpoint must have exactly one production variant, got {len(variants)}: multiple production "
            "variants are not supported for serverless endpoints."
        )
    captured = request.get("DataCaptureConfig", {}).get("EnableCapture", "DataCaptureConfig" in request)
    isolated = request.get("EnableNetworkIsolation")
    excluded = [member for member in _NOT_IN_CONFIG if request.get(member)]
    excluded += ["DataCaptureConfig"] * bool(captured) + ["EnableNetworkIsolation"] * bool(isolated)
    excluded += [member for member in _NOT_IN_VARIANT if member in variants[0]]
    _refuse(excluded)
    check_concurrency(variants[0]["ServerlessConfig"])
    megabytes = variants[0]["ServerlessConfig"]["MemorySizeInMB"]
    if megabytes % _GIGABYTE_IN_MB:
        raise errors.validation(
            f"MemorySizeInMB must be in 1 GB increments: 1024, 2048, 3072, 4096, 5120 or 6144, got {megabytes}."
        )
    if "ModelName" not in variants[0]:
        raise errors.validation(f"Production variant {variants[0]['VariantName']} must have ModelName.")
    check_model(server.store.require("Model", variants[0]["ModelName"]))


def check_model(model: dict) -> None:
    """Checks that a model can be served without instances.

    Raises:
        AwsError: `ValidationException`; it needs what serverless endpoints do not have.
    """
    containers = model_data.containers_of(model)
    excluded = ["VpcConfig"] * ("VpcConfig" in model)
    excluded += ["EnableNetworkIsolation"] * bool(model.get("EnableNetworkIsolation"))
    excluded += ["an inference pipeline"] * (len(containers) > 1)
    excluded += ["Mode MultiModel"] * any(container.get("Mode") == "MultiModel" for container in containers)
    excluded += ["ImageConfig"] * any("ImageConfig" in container for container in containers)
    _refuse(excluded, f" (model {model['ModelName']})")


def check_concurrency(config: dict) -> None:
    """Checks that no more is provisioned than may run.

    Raises:
        AwsError: `ValidationException`; ProvisionedConcurrency is above MaxConcurrency.
    """
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise errors.validation(
            f"ProvisionedConcurrency {config['ProvisionedConcurrency']} must be less than or equal to MaxConcurrency "
            f"{config['MaxConcurrency']}."
        )


def updated(spec: dict, desired: dict) -> None:
    """Takes one entry of DesiredWeightsAndCapacities over into a variant's entry of a plan.

    Raises:
        AwsError: `ValidationException`; it is for the other kind of variant.
    """
    name = spec["VariantName"]
    if "ServerlessConfig" not in spec:
        if "ServerlessUpdateConfig" in desired:
            raise errors.validation(
                f"ServerlessUpdateConfig is not supported for the instance-based production variant {name}."
            )
        return
    if "DesiredInstanceCount" in desired:
        raise errors.validation(f"DesiredInstanceCount is not supported for the serverless production variant {name}.")
    spec["ServerlessConfig"] = spec["ServerlessConfig"] | desired.get("ServerlessUpdateConfig", {})
    check_concurrency(spec["ServerlessConfig"])


def check_conversion(endpoint_arn: str, now: list[dict], then: list[dict]) -> None:
    """Checks that an endpoint with instances is not updated to a serverless one.

    Raises:
        AwsError: `ValidationException`; it is.
    """
    if is_serverless(then) and not is_serverless(now):
        raise errors.validation(
            f'Cannot update the instance-based endpoint "{endpoint_arn}" to a serverless one: create a new endpoint.'
        )


def _refuse(excluded: list[str], where: str = "") -> None:
    if excluded:
        verb = "is" if len(excluded) == 1 else "are"
        raise errors.validation(f"{' and '.join(excluded)}{where} {verb} not supported for serverless endpoints.")
