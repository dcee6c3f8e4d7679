"""Artifacts: data, models and images, each known by the URI and the content that it came from."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = entities.register("Artifact", "artifact")


@operation("CreateArtifact")
def create_artifact(server: Server, request: dict) -> dict:
    """Keeps an artifact; there is one for each source, which is a URI with the identifiers of its content."""
    source, arn = request["Source"], server.arn("artifact", name_of(request["Source"]))
    if server.store.get(KIND, name_of(source)):
        raise errors.validation(f"Artifact with source uri ({source['SourceUri']}) already exists: {arn}.")
    return {"ArtifactArn": create(server, request)}


def create(server: Server, request: dict) -> str:
    """Keeps the artifact of a CreateArtifact request, and returns its ARN.

    Raises:
        AwsError: there is one with the same source.
    """
    record = {key: value for key, value in request.items() if key != "Tags"}
    source = request["Source"]
    return entities.create(server, KIND, name_of(source), record, source["SourceUri"], request.get("Tags", []))


def name_of(source: dict) -> str:
    """The name of the artifact that has a source: two sources are one when URI and identifiers are the same."""
    identifiers = sorted((one["SourceIdType"], one["Value"]) for one in source.get("SourceTypes", []))
    return hashlib.sha256(json.dumps([source["SourceUri"], identifiers]).encode()).hexdigest()[:32]


@operation("DescribeArtifact")
def describe_artifact(server: Server, request: dict) -> dict:
    """The whole record."""
    return entities.described(server, server.store.require(KIND, entities.key(request["ArtifactArn"])))


@operation("UpdateArtifact")
def update_artifact(server: Server, request: dict) -> dict:
    """Changes name and properties."""
    entities.update(server, KIND, entities.key(request["ArtifactArn"]), request, ("ArtifactName",))
    return {"ArtifactArn": request["ArtifactArn"]}


@operation("DeleteArtifact")
def delete_artifact(server: Server, request: dict) -> dict:
    """Forgets an artifact, named by its ARN or by its source."""
    if ("ArtifactArn" in request) == ("Source" in request):
        raise errors.validation("Provide either ArtifactArn or Source, and not both.")
    name = name_of(request["Source"]) if "Source" in request else entities.key(request["ArtifactArn"])
    entities.delete(server, KIND, name)
    return {"ArtifactArn": server.arn("artifact", name)}


@operation("ListArtifacts")
def list_artifacts(server: Server, request: dict) -> dict:
    """One page of summaries, by SourceUri, ArtifactType and time."""
    return listing.response("ArtifactSummaries", *entities.page(server, KIND, request))
