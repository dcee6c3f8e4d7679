"""Experiments: collections of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = entities.register("Experiment", "experiment")


@operation("CreateExperiment")
def create_experiment(server: Server, request: dict) -> dict:
    """Keeps an experiment."""
    record = {"DisplayName": request["ExperimentName"]} | {key: request[key] for key in request if key != "Tags"}
    name = entities.key(request["ExperimentName"])
    return {"ExperimentArn": entities.create(server, KIND, name, record, None, request.get("Tags", []))}


@operation("DescribeExperiment")
def describe_experiment(server: Server, request: dict) -> dict:
    """The whole record."""
    return server.store.require(KIND, entities.key(request["ExperimentName"]))


@operation("UpdateExperiment")
def update_experiment(server: Server, request: dict) -> dict:
    """Changes display name and description."""
    changes = {member: request[member] for member in ("DisplayName", "Description") if member in request}
    return {
        "ExperimentArn": server.store.update(KIND, entities.key(request["ExperimentName"]), **changes)["ExperimentArn"]
    }


@operation("DeleteExperiment")
def delete_experiment(server: Server, request: dict) -> dict:
    """Forgets an experiment that has no trials."""
    name = entities.key(request["ExperimentName"])
    with server.store.transaction():
        arn = server.store.require(KIND, name)["ExperimentArn"]
        # A trial is found by its experiment.
        if entities.with_source(server, "Trial", name):
            raise errors.validation(f"Experiment '{arn}' has trials. Delete them first.")
        entities.forget(server, KIND, name)
    return {"ExperimentArn": arn}


@operation("ListExperiments")
def list_experiments(server: Server, request: dict) -> dict:
    """One page of summaries, by time."""
    paged = {"MaxResults": entities.DEFAULT_PAGE} | request
    return listing.response("ExperimentSummaries", *listing.page(server.store.list(KIND), paged, "ExperimentName"))
