"""Lineage of jobs: what each took and gave, around its trial component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from helpers.local_sagemaker import tags, transform_run
from helpers.local_sagemaker.experiments import job_components
from helpers.local_sagemaker.lineage import graph

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_EXECUTION_TAG = "sagemaker:pipeline-execution-arn"


def write(server: Server, kind: str, job: dict, *, made: bool) -> None:
    """Writes a job that was made or came into another state.

    What it takes is written when it is made, with the content that it will find; what it gave, when it has completed.
    """
    component = job_components.record(server, kind, job)
    if made:
        for uri, artifact_type in _inputs(kind, job):
            graph.link(server, graph.content(server, uri, artifact_type), component, "ContributedTo")
        link_execution(server, job[f"{kind}Arn"], component)
    if job[f"{kind}Status"] == "Completed":
        for uri, artifact_type in _outputs(kind, job):
            graph.link(server, component, graph.content(server, uri, artifact_type), "Produced")


def link_execution(server: Server, arn: str, entity: str) -> None:
    """Associates the entity of a resource with the execution of a pipeline that made it, if one did."""
    for tag in tags.of(server.store, arn):
        if tag["Key"] == _EXECUTION_TAG:
            graph.link(server, entity, execution(server, tag["Value"]), "AssociatedWith")


def execution(server: Server, arn: str) -> str:
    """The ARN of the context of a pipeline's execution."""
    _, pipeline, _, number = arn.split("/")
    return graph.context(server, f"{pipeline[:70]}-{number}-aws-pipeline-execution", "PipelineExecution", arn)


def _inputs(kind: str, job: dict) -> Iterator[tuple[str, str]]:
    """The URI and the artifact type of all that a job takes."""
    if kind == "TrainingJob":
        yield job["AlgorithmSpecification"]["TrainingImage"], "Image"
        for channel in job.get("InputDataConfig", []):
            yield channel["DataSource"]["S3DataSource"]["S3Uri"], "DataSet"
    elif kind == "ProcessingJob":
        yield job["AppSpecification"]["ImageUri"], "Image"
        for source in job.get("ProcessingInputs", []):
            yield source["S3Input"]["S3Uri"], "DataSet"
    else:
        yield job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"], "DataSet"
        yield from of_containers(job[transform_run.MODEL]["Containers"])


def _outputs(kind: str, job: dict) -> Iterator[tuple[str, str]]:
    """The URI and the artifact type of all that a job gave."""
    if kind == "TrainingJob":
        yield job["ModelArtifacts"]["S3ModelArtifacts"], "Model"
        if "CheckpointConfig" in job:
            yield job["CheckpointConfig"]["S3Uri"], "Checkpoint"
    elif kind == "ProcessingJob":
        for target in job.get("ProcessingOutputConfig", {}).get("Outputs", []):
            yield target["S3Output"]["S3Uri"], "DataSet"
    else:
        yield job["TransformOutput"]["S3OutputPath"], "DataSet"


def of_containers(containers: list[dict]) -> Iterator[tuple[str, str]]:
    """The URI and the artifact type of the images and the archives of a model's containers."""
    for container in containers:
        if "Image" in container:
            yield container["Image"], "Image"
        uri = container.get("ModelDataUrl") or container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
        if uri:
            yield uri, "Model"
