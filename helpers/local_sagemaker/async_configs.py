"""AsyncInferenceConfig: what makes an endpoint asynchronous, checked as AWS checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, model_data, staging

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

# AWS chooses an optimal value; the local containers run one request at a time.
DEFAULT_CONCURRENCY = 1
_TOPICS = {"SUCCESS_NOTIFICATION_TOPIC": "SuccessTopic", "ERROR_NOTIFICATION_TOPIC": "ErrorTopic"}


def check(server: Server, request: dict) -> None:
    """Raises AwsError when a CreateEndpointConfig request combines an AsyncInferenceConfig with what it excludes."""
    config = request.get("AsyncInferenceConfig")
    if config is None:
        return
    variants = request["ProductionVariants"]
    if len(variants) != 1:
        raise _not_supported("Multiple production variants")
    if "ShadowProductionVariants" in request:
        raise _not_supported("Shadow production variants")
    if "ServerlessConfig" in variants[0]:
        raise _not_supported("Serverless variants")
    if "ModelName" not in variants[0]:
        raise _not_supported("Inference components")
    model = server.store.require("Model", variants[0]["ModelName"])
    if any(container.get("Mode") == "MultiModel" for container in model_data.containers_of(model)):
        raise _not_supported("Multi-model endpoints")
    if model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct":
        raise _not_supported("Containers that are invoked directly")
    _check_output(config["OutputConfig"])


def concurrency(config: dict) -> int:
    """How many requests each instance is sent at a time."""
    return config.get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY)


def _not_supported(what: str) -> errors.AwsError:
    return errors.validation(f"{what} are not supported when specifying an AsyncInferenceConfig.")


def _check_output(output: dict) -> None:
    for member in ("S3OutputPath", "S3FailurePath"):
        try:
            if member in output:
                staging.parse(output[member])
        except staging.StagingError as error:
            raise errors.validation(f"AsyncInferenceConfig.OutputConfig.{member}: {error}.") from error
    topics = output.get("NotificationConfig", {})
    for name in topics.get("IncludeInferenceResponseIn", []):
        if _TOPICS[name] not in topics:
            raise errors.validation(
                f"IncludeInferenceResponseIn contains {name}, but the NotificationConfig has no {_TOPICS[name]}."
            )
