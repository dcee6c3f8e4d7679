"""Contexts: what groups other entities, such as an endpoint or a model package group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import listing
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = entities.register("Context", "context")


@operation("CreateContext")
def create_context(server: Server, request: dict) -> dict:
    """Keeps a context."""
    return {"ContextArn": create(server, request)}


def create(server: Server, request: dict) -> str:
    """Keeps the context of a CreateContext request, and returns its ARN.

    Raises:
        AwsError: the name is taken.
    """
    record = {key: value for key, value in request.items() if key != "Tags"}
    name, source = entities.key(request["ContextName"]), request["Source"]["SourceUri"]
    return entities.create(server, KIND, name, record, source, request.get("Tags", []))


@operation("DescribeContext")
def describe_context(server: Server, request: dict) -> dict:
    """The whole record, by name or ARN."""
    return entities.described(server, server.store.require(KIND, entities.key(request["ContextName"])))


@operation("UpdateContext")
def update_context(server: Server, request: dict) -> dict:
    """Changes description and properties."""
    name = entities.key(request["ContextName"])
    entities.update(server, KIND, name, request, ("Description",))
    return {"ContextArn": server.arn("context", name)}


@operation("DeleteContext")
def delete_context(server: Server, request: dict) -> dict:
    """Forgets a context that has no associations."""
    name = entities.key(request["ContextName"])
    entities.delete(server, KIND, name)
    return {"ContextArn": server.arn("context", name)}


@operation("ListContexts")
def list_contexts(server: Server, request: dict) -> dict:
    """One page of summaries, by SourceUri, ContextType and time."""
    return listing.response("ContextSummaries", *entities.page(server, KIND, request))
