"""What happens here, written as lineage: entities and associations that are made once, however often they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import staging
from helpers.local_sagemaker.lineage import actions, artifacts, associations, contexts, entities, s3_content

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def artifact(server: Server, uri: str, artifact_type: str, identifiers: list[dict] | None = None) -> str:
    """The ARN of the artifact with this source; `identifiers` are its SourceTypes."""
    source = _source(uri, identifiers)
    return _known(server, source) or _make(server, source, artifact_type, {})


def content(server: Server, uri: str, artifact_type: str) -> str:
    """The ARN of the artifact for an image, or for what stands under an S3 URI now.

    Where nothing stands there any more, it is what stood there last.
    """
    try:
        location = None if artifact_type == "Image" else staging.parse(uri)
    except staging.StagingError:
        location = None
    if location is None:
        return artifact(server, uri, artifact_type)
    found = s3_content.find(server, location)
    if not found.objects and (before := entities.with_source(server, artifacts.KIND, str(location))):
        return max(before, key=lambda record: record["CreationTime"])["ArtifactArn"]
    source = _source(str(location), found.identifiers())
    return _known(server, source) or _make(
        server, source, artifact_type, found.properties(server) if found.objects else {}
    )


def _source(uri: str, identifiers: list[dict] | None) -> dict:
    return {"SourceUri": uri} | ({"SourceTypes": identifiers} if identifiers else {})


def _known(server: Server, source: dict) -> str | None:
    name = artifacts.name_of(source)
    return server.arn("artifact", name) if server.store.get(artifacts.KIND, name) else None


def _make(server: Server, source: dict, artifact_type: str, properties: dict[str, str]) -> str:
    request = {"Source": source, "ArtifactType": artifact_type} | ({"Properties": properties} if properties else {})
    with server.store.transaction():
        return _known(server, source) or artifacts.create(server, request)


def context(server: Server, name: str, context_type: str, arn: str) -> str:
    """The ARN of the context with this name, for the resource with an ARN."""
    with server.store.transaction():
        if server.store.get(contexts.KIND, entities.key(name)):
            return server.arn("context", entities.key(name))
        source = {"SourceUri": arn, "SourceType": "ARN"}
        return contexts.create(server, {"ContextName": name, "ContextType": context_type, "Source": source})


def action(server: Server, name: str, action_type: str, arn: str, properties: dict[str, str]) -> str:
    """The ARN of the completed action with this name, on the resource with an ARN."""
    with server.store.transaction():
        if server.store.get(actions.KIND, entities.key(name)):
            return server.arn("action", entities.key(name))
        source = {"SourceUri": arn, "SourceType": "ARN"}
        request = {"ActionName": name, "ActionType": action_type, "Source": source, "Status": "Completed"}
        return actions.create(server, request | ({"Properties": properties} if properties else {}))


def link(server: Server, source: str, destination: str, association_type: str) -> None:
    """Associates two entities, which may be associated already."""
    associations.add(server, source, destination, association_type)
