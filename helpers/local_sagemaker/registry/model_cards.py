"""Model cards and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns, errors, kinds, listing
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.registry import card_content
from helpers.local_sagemaker.registry.package_groups import USER

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

RESOURCE = "model-card"
KIND = kinds.register(
    "ModelCard",
    RESOURCE,
    taken=("ConflictException", "Modelcard {name} already exists."),
    missing=(kinds.NOT_FOUND, "Modelcard {name} does not exist."),
)
VERSION_KIND = "ModelCardVersion"
EXPORT_KIND = "ModelCardExportJob"


def require(server: Server, name_or_arn: str, version: int | None = None) -> dict:
    """The record of a card: its latest version, or the one that is asked for.

    Raises:
        AwsError: `ResourceNotFound`.
    """
    latest = server.store.require(KIND, arns.name_of(RESOURCE, name_or_arn))
    if version is None or version == latest["ModelCardVersion"]:
        return latest
    record = server.store.get(VERSION_KIND, _key(latest["ModelCardName"], version))
    if record is None:
        raise errors.resource_not_found(
            f"Modelcard with name {latest['ModelCardName']} and version: {version} does not exist."
        )
    return record


def _key(name: str, version: int) -> str:
    return f"{name}/{version:09}"


@operation("CreateModelCard")
def create_model_card(server: Server, request: dict) -> dict:
    card_content.parse(request["Content"])
    name = request["ModelCardName"]
    arn = server.arn(RESOURCE, name)
    record = request | {"ModelCardArn": arn, "ModelCardVersion": 1, "CreatedBy": USER}
    tags = record.pop("Tags", [])
    with server.store.transaction():
        record = server.store.put(KIND, name, record)
        server.store.put(VERSION_KIND, _key(name, 1), record)
        server.add_tags(arn, tags)
    return {"ModelCardArn": arn}


@operation("DescribeModelCard")
def describe_model_card(server: Server, request: dict) -> dict:
    record = require(server, request["ModelCardName"], request.get("ModelCardVersion"))
    if request.get("IncludedData") == "MetadataOnly":
        record["Content"] = card_content.metadata(record["Content"])
    return record


@operation("UpdateModelCard")
def update_model_card(server: Server, request: dict) -> dict:
    """New content is a new version; a new status is one of the latest version."""
    if ("Content" in request) == ("ModelCardStatus" in request):
        raise errors.validation("Either Content or ModelCardStatus must be updated, and not both in a single call.")
    if "Content" in request:
        card_content.parse(request["Content"])
    with server.store.transaction():
        record = require(server, request["ModelCardName"])
        name, version = record["ModelCardName"], record["ModelCardVersion"]
        if record["ModelCardStatus"] == "Archived":
            raise errors.conflict(f"Modelcard {name} is archived: it cannot be updated.")
        changes = {member: request[member] for member in ("Content", "ModelCardStatus") if member in request}
        changes |= {"LastModifiedBy": USER, "ModelCardVersion": version + ("Content" in request)}
        record = server.store.update(KIND, name, **changes)
        if "Content" in request:
            server.store.put(VERSION_KIND, _key(name, version + 1), record)
        else:
            server.store.update(VERSION_KIND, _key(name, version), **changes)
    return {"ModelCardArn": record["ModelCardArn"]}


@operation("ListModelCards")
def list_model_cards(server: Server, request: dict) -> dict:
    found = [card for card in server.store.list(KIND) if _has_status(card, request)]
    return listing.response("ModelCardSummaries", *listing.page(found, request, "ModelCardName"))


@operation("ListModelCardVersions")
def list_model_card_versions(server: Server, request: dict) -> dict:
    name = require(server, request["ModelCardName"])["ModelCardName"]
    found = [
        record | {"_Version": _key(name, record["ModelCardVersion"])}
        for record in server.store.list(VERSION_KIND, f"{name}/")
        if _has_status(record, request)
    ]
    page = listing.page(found, request | {"SortBy": "Name"}, "_Version")
    return listing.response("ModelCardVersionSummaryList", *page)


def _has_status(record: dict, request: dict) -> bool:
    return request.get("ModelCardStatus", record["ModelCardStatus"]) == record["ModelCardStatus"]


@operation("DeleteModelCard")
def delete_model_card(server: Server, request: dict) -> None:
    store, name = server.store, request["ModelCardName"]
    with store.transaction():
        store.delete(KIND, name)
        for record in store.list(VERSION_KIND, f"{name}/"):
            store.delete(VERSION_KIND, _key(name, record["ModelCardVersion"]))
        for record in store.list(EXPORT_KIND, f"{name}/"):
            store.delete(EXPORT_KIND, f"{name}/{record['ModelCardExportJobName']}")
