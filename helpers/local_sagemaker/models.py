"""Models: what an endpoint's containers run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds, listing, permissions, sandbox
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.registry import packaged_models

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register("Model", "model")


@operation("CreateModel")
def create_model(server: Server, request: dict) -> dict:
    if ("PrimaryContainer" in request) == ("Containers" in request):
        raise errors.validation("Provide either PrimaryContainer or Containers, and not both.")
    containers = request["Containers"] if "Containers" in request else [request["PrimaryContainer"]]
    if not containers:
        raise errors.validation("Containers must have at least one container.")
    for container in containers:
        _check_container(container)
    unpacked = packaged_models.unpacked(server, containers)
    _check_together(unpacked, request.get("InferenceExecutionConfig", {}).get("Mode", "Serial"))
    sandbox.require_isolation(request.get("EnableNetworkIsolation", False))
    if "ExecutionRoleArn" in request:
        permissions.require_role(server, request["ExecutionRoleArn"])
    name = request["ModelName"]
    model_arn = server.arn("model", name)
    record = {"EnableNetworkIsolation": False} | request | {"ModelArn": model_arn}
    if unpacked != containers:
        record["_Containers"] = unpacked
    tags = record.pop("Tags", [])
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(model_arn, tags)
    return {"ModelArn": model_arn}


@operation("DescribeModel")
def describe_model(server: Server, request: dict) -> dict:
    return server.store.require(KIND, request["ModelName"])


@operation("DeleteModel")
def delete_model(server: Server, request: dict) -> None:
    server.store.delete(KIND, request["ModelName"])


@operation("ListModels")
def list_models(server: Server, request: dict) -> dict:
    return listing.response("Models", *listing.page(server.store.list(KIND), request, "ModelName"))


def _check_container(container: dict) -> None:
    if "Image" not in container and "ModelPackageName" not in container:
        raise errors.validation("Each container must have an Image or a ModelPackageName.")
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise errors.validation("Each container may have ModelDataUrl or ModelDataSource, and not both.")
    if container.get("Mode") == "MultiModel":
        if "ModelDataSource" in container:
            raise errors.validation("ModelDataSource is not supported for containers in MultiModel mode.")
        if "ModelDataUrl" not in container:
            raise errors.validation("ModelDataUrl is required for containers in MultiModel mode.")
    elif "MultiModelConfig" in container:
        raise errors.validation("MultiModelConfig is only supported for containers in MultiModel mode.")
    channels = [source.get("ChannelName", "") for source in container.get("AdditionalModelDataSources", [])]
    if len(set(channels)) < len(channels) or {"", ".", ".."} & set(channels):
        raise errors.validation(
            f"Each of AdditionalModelDataSources must have a ChannelName of its own that names a folder: {channels}."
        )


def _check_together(containers: list[dict], mode: str) -> None:
    """The rules for the containers of an inference pipeline, or of an endpoint that is invoked directly."""
    hostnames = [container["ContainerHostname"] for container in containers if "ContainerHostname" in container]
    several = len(containers) > 1
    if mode == "Direct" and not several:
        raise errors.validation("InferenceExecutionConfig mode Direct requires more than one container.")
    if several and len(hostnames) < len(containers) and (hostnames or mode == "Direct"):
        where = "with direct invocation" if mode == "Direct" else "of which one has a ContainerHostname"
        raise errors.validation(f"ContainerHostname is required for each container of a model {where}.")
    if several and len(set(hostnames)) < len(hostnames):
        raise errors.validation(f"ContainerHostname must be unique for each container, got {', '.join(hostnames)}.")
    multi_model = sum(container.get("Mode") == "MultiModel" for container in containers)
    if multi_model > 1:
        raise errors.validation("More than one container in MultiModel mode is not supported with inference pipeline.")
    if multi_model and mode == "Direct":
        raise errors.validation("A container in MultiModel mode is not supported with direct invocation.")
