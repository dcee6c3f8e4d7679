"""Writes the lineage of what happens here, from the changes of state that the store tells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from helpers.local_sagemaker.experiments import job_components
from helpers.local_sagemaker.lineage import of_jobs, of_models

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.state_changes import StateChange


def start(server: Server) -> None:
    """Subscribes to changes of state."""
    server.state_changes.subscribe("lineage", partial(record, server))


def stop(server: Server) -> None:
    """Does nothing: the subscription ends with the others."""


def record(server: Server, change: StateChange) -> None:
    """Writes what a change of state means: once, however often it is told. What is deleted leaves its lineage."""
    before, after = change.before, change.after
    if after is None:
        return
    if change.kind in job_components.KINDS:
        of_jobs.write(server, change.kind, after, made=before is None)
    elif change.kind == "PipelineExecution" and before is None:
        of_jobs.execution(server, after["PipelineExecutionArn"])
    elif change.kind == "Model" and before is None:
        of_models.write_model(server, after)
    elif change.kind == "ModelPackage":
        approval = (before or {}).get("ModelApprovalStatus") != after.get("ModelApprovalStatus")
        of_models.write_package(server, after, change.time, approval=approval)
    elif change.kind == "Endpoint" and after["EndpointStatus"] == "InService":
        of_models.write_endpoint(server, after)
    elif change.kind == "InferenceComponent" and after["InferenceComponentStatus"] == "InService":
        of_models.write_component(server, after)
