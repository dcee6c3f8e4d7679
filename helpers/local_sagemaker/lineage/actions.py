"""Actions: what was done, such as a deployment or an approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import listing
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = entities.register("Action", "action")


@operation("CreateAction")
def create_action(server: Server, request: dict) -> dict:
    """Keeps an action."""
    return {"ActionArn": create(server, request)}


def create(server: Server, request: dict) -> str:
    """Keeps the action of a CreateAction request, and returns its ARN.

    Raises:
        AwsError: the name is taken.
    """
    record = {key: value for key, value in request.items() if key != "Tags"}
    name, source = entities.key(request["ActionName"]), request["Source"]["SourceUri"]
    return entities.create(server, KIND, name, record, source, request.get("Tags", []))


@operation("DescribeAction")
def describe_action(server: Server, request: dict) -> dict:
    """The whole record, by name or ARN."""
    return entities.described(server, server.store.require(KIND, entities.key(request["ActionName"])))


@operation("UpdateAction")
def update_action(server: Server, request: dict) -> dict:
    """Changes description, status and properties."""
    name = entities.key(request["ActionName"])
    entities.update(server, KIND, name, request, ("Description", "Status"))
    return {"ActionArn": server.arn("action", name)}


@operation("DeleteAction")
def delete_action(server: Server, request: dict) -> dict:
    """Forgets an action that has no associations."""
    name = entities.key(request["ActionName"])
    entities.delete(server, KIND, name)
    return {"ActionArn": server.arn("action", name)}


@operation("ListActions")
def list_actions(server: Server, request: dict) -> dict:
    """One page of summaries, by SourceUri, ActionType and time."""
    return listing.response("ActionSummaries", *entities.page(server, KIND, request))
