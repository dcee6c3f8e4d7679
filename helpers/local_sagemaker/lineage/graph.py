"""What happens here, written as lineage: entities and associations that are made once, however often they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import staging
from helpers.local_sagemaker.lineage import actions, artifacts, associations, contexts, entities, s3_content

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def artifact(
    server: Server,
    uri: str,
    artifact_type: str,
    identifiers: list[dict] | None = None,
    properties: dict[str, str] | None = None,
) -> str:
    """The ARN of the artifact with this source."""
    source = {"SourceUri": uri} | ({"SourceTypes": identifiers} if identifiers else {})
    name = artifacts.name_of(source)
    with server.store.transaction():
        if server.store.get(artifacts.KIND, name):
            return server.arn("artifact", name)
        request = {"Source": source, "ArtifactType": artifact_type} | ({"Properties": properties} if properties else {})
        return artifacts.create(server, request)


def content(server: Server, uri: str, artifact_type: str) -> str:
    """The ARN of the artifact for an image, or for what stands under an S3 URI now.

    Where nothing stands there any more, it is what stood there last.
    """
    if artifact_type == "Image":
        return artifact(server, uri, artifact_type)
    uri = str(staging.parse(uri))
    identifiers, properties = s3_content.identify(server, uri)
    if not identifiers and (known := entities.with_source(server, artifacts.KIND, uri)):
        return max(known, key=lambda record: record["CreationTime"])["ArtifactArn"]
    return artifact(server, uri, artifact_type, identifiers, properties)


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
