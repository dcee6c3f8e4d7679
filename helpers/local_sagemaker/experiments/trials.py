"""Trials: the components of one way to a model, in an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing
from helpers.local_sagemaker.experiments import experiments
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = entities.register("Trial", "experiment-trial")


@operation("CreateTrial")
def create_trial(server: Server, request: dict) -> dict:
    """Keeps a trial of an experiment."""
    record = {"DisplayName": request["TrialName"]} | {key: request[key] for key in request if key != "Tags"}
    name, experiment = entities.key(request["TrialName"]), entities.key(request["ExperimentName"])
    with server.store.transaction():
        server.store.require(experiments.KIND, experiment)
        return {"TrialArn": entities.create(server, KIND, name, record, experiment, request.get("Tags", []))}


@operation("DescribeTrial")
def describe_trial(server: Server, request: dict) -> dict:
    """The whole record."""
    return server.store.require(KIND, entities.key(request["TrialName"]))


@operation("UpdateTrial")
def update_trial(server: Server, request: dict) -> dict:
    """Changes the display name."""
    changes = {"DisplayName": request["DisplayName"]} if "DisplayName" in request else {}
    return {"TrialArn": server.store.update(KIND, entities.key(request["TrialName"]), **changes)["TrialArn"]}


@operation("DeleteTrial")
def delete_trial(server: Server, request: dict) -> dict:
    """Forgets a trial that has no components."""
    name = entities.key(request["TrialName"])
    with server.store.transaction() as connection:
        arn = server.store.require(KIND, name)["TrialArn"]
        if connection.execute("SELECT 1 FROM trial_parts WHERE trial = ? LIMIT 1", (name,)).fetchone():
            raise errors.validation(f"Trial '{arn}' has trial components. Disassociate them first.")
        entities.forget(server, KIND, name)
    return {"TrialArn": arn}


@operation("ListTrials")
def list_trials(server: Server, request: dict) -> dict:
    """One page of summaries, by experiment or component, and by time."""
    if "TrialComponentName" in request:
        component = entities.key(request["TrialComponentName"])
        server.store.require("TrialComponent", component)
        found = of_component(server, component)
    else:
        found = server.store.list(KIND)
    if "ExperimentName" in request:
        experiment = entities.key(request["ExperimentName"])
        server.store.require(experiments.KIND, experiment)
        found = [trial for trial in found if entities.key(trial["ExperimentName"]) == experiment]
    paged = {"MaxResults": entities.DEFAULT_PAGE} | request
    return listing.response("TrialSummaries", *listing.page(found, paged, "TrialName"))


def of_component(server: Server, component: str) -> list[dict]:
    """The records of the trials that a component is in."""
    names = server.store.execute("SELECT trial FROM trial_parts WHERE component = ?", (component,))
    return [server.store.require(KIND, name) for (name,) in names]
