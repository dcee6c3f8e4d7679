"""Models: what an endpoint's containers run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


@operation("CreateModel")
def create_model(server: Server, request: dict) -> dict:
    if ("PrimaryContainer" in request) == ("Containers" in request):
        raise errors.validation("Provide either PrimaryContainer or Containers, and not both.")
    containers = request.get("Containers") or [request["PrimaryContainer"]]
    for container in containers:
        if "Image" not in container and "ModelPackageName" not in container:
            raise errors.validation("Each container must have an Image or a ModelPackageName.")
        if "ModelDataUrl" in container and "ModelDataSource" in container:
            raise errors.validation("Each container may have ModelDataUrl or ModelDataSource, and not both.")
    name = request["ModelName"]
    model_arn = server.arn("model", name)
    record = {"EnableNetworkIsolation": False} | request | {"ModelArn": model_arn}
    tags = record.pop("Tags", [])
    with server.store.transaction():
        server.store.put("Model", name, record)
        server.add_tags(model_arn, tags)
    return {"ModelArn": model_arn}


@operation("DescribeModel")
def describe_model(server: Server, request: dict) -> dict:
    return server.store.require("Model", request["ModelName"])


@operation("DeleteModel")
def delete_model(server: Server, request: dict) -> None:
    with server.store.transaction():
        server.store.delete("Model", request["ModelName"])
        server.delete_tags(server.arn("model", request["ModelName"]))


@operation("ListModels")
def list_models(server: Server, request: dict) -> dict:
    return listing.response("Models", *listing.page(server.store.list("Model"), request, "ModelName"))
