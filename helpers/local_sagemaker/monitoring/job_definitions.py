"""The definitions of monitoring jobs: of data quality, model quality, bias and explainability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds, listing, local_paths, permissions, sandbox, staging
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


@dataclass(frozen=True)
class JobType:
    """How the operations of one type of monitoring job call its parts.

    Attributes:
        segment: of the ARNs of its definitions.
        baseline: the member with what data is compared with.
        application: the member with the container.
        inputs: the member with the data.
        outputs: the member with where reports go.
    """

    segment: str
    baseline: str
    application: str
    inputs: str
    outputs: str


TYPES = {
    "DataQuality": JobType(
        "data-quality-job-definition",
        "DataQualityBaselineConfig",
        "DataQualityAppSpecification",
        "DataQualityJobInput",
        "DataQualityJobOutputConfig",
    ),
    "ModelQuality": JobType(
        "model-quality-job-definition",
        "ModelQualityBaselineConfig",
        "ModelQualityAppSpecification",
        "ModelQualityJobInput",
        "ModelQualityJobOutputConfig",
    ),
    "ModelBias": JobType(
        "model-bias-job-definition",
        "ModelBiasBaselineConfig",
        "ModelBiasAppSpecification",
        "ModelBiasJobInput",
        "ModelBiasJobOutputConfig",
    ),
    "ModelExplainability": JobType(
        "model-explainability-job-definition",
        "ModelExplainabilityBaselineConfig",
        "ModelExplainabilityAppSpecification",
        "ModelExplainabilityJobInput",
        "ModelExplainabilityJobOutputConfig",
    ),
}
_DEFAULT_MAX_SECONDS = 3600
_TAKEN = (kinds.IN_USE, 'Job Definition "{arn}" already exists.')
_MISSING = (kinds.NOT_FOUND, 'Job Definition "{arn}" not found.')


def kind_of(monitoring_type: str) -> str:
    """The kind of the definitions of a type, such as DataQuality."""
    return f"{monitoring_type}JobDefinition"


def source_of(inputs: dict) -> tuple[str, dict]:
    """The one source of a job's data: `EndpointInput` or `BatchTransformInput`, and its members.

    Raises:
        AwsError: there is none, or both.
    """
    found = [(name, inputs[name]) for name in ("EndpointInput", "BatchTransformInput") if name in inputs]
    if len(found) != 1:
        raise errors.validation("Exactly one of EndpointInput and BatchTransformInput must be given.")
    return found[0]


def check_places(inputs: dict, outputs: dict) -> None:
    """Refuses data that a job cannot be given, and places where nothing can be written.

    Raises:
        AwsError: `ValidationException`.
    """
    name, source = source_of(inputs)
    if source.get("S3InputMode") == "Pipe":
        raise errors.validation(f"{name}: the local SageMaker has no S3InputMode Pipe; use File")
    local_paths.require_inside(source["LocalPath"], f"{name}.LocalPath", f"{sandbox.ML}/processing")
    uris = [source.get("DataCapturedDestinationS3Uri"), inputs.get("GroundTruthS3Input", {}).get("S3Uri")]
    for output in outputs["MonitoringOutputs"]:
        place = output["S3Output"]
        local_paths.require_inside(place["LocalPath"], "MonitoringOutputs: LocalPath", f"{sandbox.ML}/processing")
        uris.append(place["S3Uri"])
    for uri in filter(None, uris):
        try:
            staging.parse(uri)
        except staging.StagingError as error:
            raise errors.validation(str(error)) from error


def _create(server: Server, request: dict, monitoring_type: str) -> dict:
    """Checks a definition, and keeps it."""
    permissions.require_role(server, request["RoleArn"])
    job_type = TYPES[monitoring_type]
    check_places(request[job_type.inputs], request[job_type.outputs])
    kind, name = kind_of(monitoring_type), request["JobDefinitionName"]
    arn = kinds.of(kind).arn(name)
    stopping = {"StoppingCondition": {"MaxRuntimeInSeconds": _DEFAULT_MAX_SECONDS}}
    record = stopping | {key: value for key, value in request.items() if key != "Tags"} | {"JobDefinitionArn": arn}
    with server.store.transaction():
        server.store.put(kind, name, record)
        server.add_tags(arn, request.get("Tags", []))
    return {"JobDefinitionArn": arn}


def _list(server: Server, request: dict, monitoring_type: str) -> dict:
    """One page of summaries."""
    endpoint = request.get("EndpointName")
    records = [each for each in _summaries(server, monitoring_type) if endpoint in (None, each["EndpointName"])]
    page = listing.page(records, request, "MonitoringJobDefinitionName")
    return listing.response("JobDefinitionSummaries", *page)


def _summaries(server: Server, monitoring_type: str) -> Iterator[dict]:
    for record in server.store.list(kind_of(monitoring_type)):
        _, source = source_of(record[TYPES[monitoring_type].inputs])
        yield {
            "MonitoringJobDefinitionName": record["JobDefinitionName"],
            "MonitoringJobDefinitionArn": record["JobDefinitionArn"],
            "CreationTime": record["CreationTime"],
            "EndpointName": source.get("EndpointName", ""),
        }


def _register(monitoring_type: str, segment: str) -> None:
    kind = kinds.register(kind_of(monitoring_type), segment, taken=_TAKEN, missing=_MISSING)

    @operation(f"Create{kind}")
    def create(server: Server, request: dict) -> dict:
        return _create(server, request, monitoring_type)

    @operation(f"Describe{kind}")
    def describe(server: Server, request: dict) -> dict:
        return server.store.require(kind, request["JobDefinitionName"])

    @operation(f"List{kind}s")
    def list_(server: Server, request: dict) -> dict:
        return _list(server, request, monitoring_type)

    @operation(f"Delete{kind}")
    def delete(server: Server, request: dict) -> None:
        server.store.delete(kind, request["JobDefinitionName"])


for _name, _type in TYPES.items():
    _register(_name, _type.segment)
