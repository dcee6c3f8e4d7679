"""Pipelines and their versions: created, updated, described, listed and deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds, listing, permissions, staging
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.pipelines import definition, records

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_TOLD = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")
_LARGEST_DEFINITION = 1_048_576


@operation("CreatePipeline")
def create_pipeline(server: Server, request: dict) -> dict:
    """Checks the definition, and keeps it as version 1."""
    name, token = request["PipelineName"], request["ClientRequestToken"]
    existing = server.store.get(records.PIPELINE, name)
    if existing and existing["_token"] == token:
        return {"PipelineArn": existing["PipelineArn"]}
    if existing:
        raise kinds.of(records.PIPELINE).already_exists(name)
    permissions.require_role(server, request["RoleArn"])
    text = _definition(server, request)
    arn = records.pipeline_arn(name)
    record = {"PipelineDisplayName": name} | {key: request[key] for key in _TOLD if key in request}
    with server.store.transaction():
        server.store.put(
            records.PIPELINE,
            name,
            record
            | {"PipelineName": name, "PipelineArn": arn, "PipelineStatus": "Active", "_token": token, "_versions": 0},
        )
        server.add_tags(arn, request.get("Tags", []))
        _add_version(server, name, text, request.get("PipelineVersionAliases", []))
    return {"PipelineArn": arn}


def _definition(server: Server, request: dict) -> str:
    """The definition that a request brings along, or points to.

    Raises:
        AwsError: there is none, or it is not valid.
    """
    place = request.get("PipelineDefinitionS3Location")
    if ("PipelineDefinition" in request) == (place is not None):
        raise errors.validation("Provide either PipelineDefinition or PipelineDefinitionS3Location, and not both.")
    text = request["PipelineDefinition"] if place is None else _stored(server, place)
    definition.parse(text)
    return text


def _stored(server: Server, place: dict) -> str:
    location = staging.Location(place["Bucket"], place["ObjectKey"])
    try:
        text = staging.read(server, location, place.get("VersionId")).decode()
    except (staging.StagingError, UnicodeDecodeError) as error:
        raise errors.validation(f"Unable to read the pipeline definition at {location}: {error}") from error
    if len(text) > _LARGEST_DEFINITION:
        raise errors.validation(f"The pipeline definition at {location} is longer than {_LARGEST_DEFINITION} bytes.")
    return text


def _add_version(server: Server, pipeline: str, text: str, aliases: list[str]) -> int:
    """Keeps a definition as the pipeline's latest version; returns its number."""
    version = server.store.require(records.PIPELINE, pipeline)["_versions"] + 1
    server.store.update(records.PIPELINE, pipeline, _versions=version)
    server.store.put(
        records.VERSION,
        f"{pipeline}/{version}",
        {
            "PipelineArn": records.pipeline_arn(pipeline),
            "PipelineVersionId": version,
            "PipelineVersionDisplayName": f"version-{version}",
            "PipelineDefinition": text,
            "_number": f"{version:012}",
        },
    )
    _point(server, pipeline, version, aliases)
    return version


def _point(server: Server, pipeline: str, version: int, add: list[str], remove: tuple[str, ...] = ()) -> None:
    """Gives a version aliases, which other versions lose, and takes some away."""
    for record in server.store.list(records.VERSION, f"{pipeline}/"):
        number, old = record["PipelineVersionId"], record.get("PipelineVersionAliases", [])
        lost = {*remove} if number == version else {*add}
        new = [alias for alias in old if alias not in lost]
        if number == version:
            new += [alias for alias in dict.fromkeys(add) if alias not in new]
        if new != old:
            server.store.update(records.VERSION, f"{pipeline}/{number}", PipelineVersionAliases=new or None)


@operation("UpdatePipeline")
def update_pipeline(server: Server, request: dict) -> dict:
    """Changes a pipeline; a definition becomes its next version, and running executions keep theirs."""
    name = request["PipelineName"]
    server.store.require(records.PIPELINE, name)
    if "RoleArn" in request:
        permissions.require_role(server, request["RoleArn"])
    has_definition = request.keys() & {"PipelineDefinition", "PipelineDefinitionS3Location"}
    text = _definition(server, request) if has_definition else None
    aliases = request.get("PipelineVersionAliases", [])
    with server.store.transaction():
        changes = {key: request[key] for key in _TOLD if key in request}
        version = server.store.update(records.PIPELINE, name, **changes)["_versions"]
        if text is None:
            _point(server, name, version, aliases)
        else:
            version = _add_version(server, name, text, aliases)
    return {"PipelineArn": records.pipeline_arn(name), "PipelineVersionId": version}


@operation("DescribePipeline")
def describe_pipeline(server: Server, request: dict) -> dict:
    """The pipeline with one of its versions, the latest by default."""
    name = records.pipeline_name(request["PipelineName"])
    record = server.store.require(records.PIPELINE, name)
    version = chosen_version(server, name, request)
    names = ("PipelineDefinition", "PipelineVersionDisplayName", "PipelineVersionDescription", "PipelineVersionAliases")
    return record | {key: version[key] for key in names if key in version}


def chosen_version(server: Server, pipeline: str, request: dict) -> dict:
    """The version that a request names by its id or an alias, else the latest.

    Raises:
        AwsError: `ValidationException`, it names both; `ResourceNotFound`, there is no such version.
    """
    number, alias = request.get("PipelineVersionId"), request.get("PipelineVersionAlias")
    if number and alias:
        raise errors.validation("Provide either PipelineVersionId or PipelineVersionAlias, and not both.")
    if alias:
        versions = server.store.list(records.VERSION, f"{pipeline}/")
        found = next((each for each in versions if alias in each.get("PipelineVersionAliases", [])), None)
        if found is None:
            arn = records.pipeline_arn(pipeline)
            raise errors.resource_not_found(f"Pipeline '{arn}' has no version with the alias '{alias}'.")
        return found
    latest = server.store.require(records.PIPELINE, pipeline)["_versions"]
    return records.require_version(server.store, pipeline, number or latest)


@operation("ListPipelines")
def list_pipelines(server: Server, request: dict) -> dict:
    """One page of summaries."""
    prefix = request.get("PipelineNamePrefix", "")
    # AWS manages no pipelines here.
    found = [] if request.get("ManagedBy") == "AWS" else server.store.list(records.PIPELINE, prefix)
    summaries = [record | {"LastExecutionTime": record.get("LastRunTime")} for record in found]
    page = listing.page(summaries, request, "PipelineName")
    return listing.response("PipelineSummaries", *page)


@operation("ListPipelineVersions")
def list_pipeline_versions(server: Server, request: dict) -> dict:
    """One page of a pipeline's versions, the latest first."""
    name = records.pipeline_name(request["PipelineName"])
    server.store.require(records.PIPELINE, name)
    last: dict[int, dict] = {}
    for execution in sorted(records.executions_of(server.store, name), key=lambda record: record["CreationTime"]):
        last[execution["PipelineVersionId"]] = execution
    versions = [
        record | {"LastExecutionPipelineExecutionArn": last.get(number, {}).get("PipelineExecutionArn")}
        for record in server.store.list(records.VERSION, f"{name}/")
        for number in [record["PipelineVersionId"]]
    ]
    return listing.response("PipelineVersionSummaries", *listing.page(versions, request, "_number"))


@operation("UpdatePipelineVersion")
def update_pipeline_version(server: Server, request: dict) -> dict:
    """Changes what a version is called."""
    name, version = records.pipeline_name(request["PipelineArn"]), request["PipelineVersionId"]
    server.store.require(records.PIPELINE, name)
    aliases = request.get("PipelineVersionAliasOperations", {})
    keys = ("PipelineVersionDisplayName", "PipelineVersionDescription")
    with server.store.transaction():
        records.require_version(server.store, name, version)
        server.store.update(records.VERSION, f"{name}/{version}", **{k: request[k] for k in keys if k in request})
        _point(server, name, version, aliases.get("Add", []), tuple(aliases.get("Remove", [])))
    return {"PipelineArn": records.pipeline_arn(name), "PipelineVersionId": version}


@operation("DeletePipeline")
def delete_pipeline(server: Server, request: dict) -> dict:
    """Forgets a pipeline with its versions and executions; what its steps made stays."""
    name, store = request["PipelineName"], server.store
    with store.transaction():
        store.require(records.PIPELINE, name)
        executions = records.executions_of(store, name)
        if any(record["PipelineExecutionStatus"] in records.ACTIVE for record in executions):
            raise errors.AwsError(
                "ConflictException", f"Pipeline {name} has executions that run: stop them before you delete it."
            )
        for record in store.list(records.STEP, f"{name}/"):
            store.delete(records.STEP, record["_name"])
        for record in executions:
            store.delete(records.EXECUTION, records.execution_name(record["PipelineExecutionArn"]))
        for record in store.list(records.VERSION, f"{name}/"):
            store.delete(records.VERSION, f"{name}/{record['PipelineVersionId']}")
        store.delete(records.PIPELINE, name)
    return {"PipelineArn": records.pipeline_arn(name)}


def note_run(server: Server, pipeline: str) -> None:
    """Writes down that an execution of a pipeline has begun."""
    server.store.update(records.PIPELINE, pipeline, LastRunTime=time.time())
