"""Trial components: stages of a trial, such as a job or a run, with what they took, gave and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing
from helpers.local_sagemaker.experiments import experiments, run_metrics, trials
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = entities.register("TrialComponent", "experiment-trial-component")
# By the member whose names they remove.
_REMOVALS = {
    "Parameters": "ParametersToRemove",
    "InputArtifacts": "InputArtifactsToRemove",
    "OutputArtifacts": "OutputArtifactsToRemove",
}
_FILTERS = ("ExperimentName", "TrialName", "SourceArn")


@operation("CreateTrialComponent")
def create_trial_component(server: Server, request: dict) -> dict:
    """Keeps a component, which is in no trial yet."""
    return {"TrialComponentArn": create(server, request)}


def create(server: Server, request: dict) -> str:
    """Keeps the component of a CreateTrialComponent request, and returns its ARN; it may have a Source.

    Raises:
        AwsError: the name is taken.
    """
    record = {"DisplayName": request["TrialComponentName"]} | {key: request[key] for key in request if key != "Tags"}
    # The ARNs of jobs are compared without their case, as the SDK does.
    source = request.get("Source", {}).get("SourceArn", "").lower()
    name = entities.key(request["TrialComponentName"])
    return entities.create(server, KIND, name, record, source, request.get("Tags", []))


@operation("DescribeTrialComponent")
def describe_trial_component(server: Server, request: dict) -> dict:
    """The whole record with its metrics, by name or ARN."""
    return told(server, server.store.require(KIND, entities.key(request["TrialComponentName"])))


def told(server: Server, record: dict) -> dict:
    """A component's record as it is described: with all of its metrics."""
    name = entities.key(record["TrialComponentName"])
    metrics = [*record.get("Metrics", []), *run_metrics.summaries(server, name, record["TrialComponentArn"])]
    sources = {"Sources": [record["Source"]]} if "Source" in record else {}
    return entities.described(server, record) | sources | ({"Metrics": metrics} if metrics else {})


@operation("UpdateTrialComponent")
def update_trial_component(server: Server, request: dict) -> dict:
    """Changes what a component tells; parameters and artifacts are replaced by their names, or removed."""
    name = entities.key(request["TrialComponentName"])
    changes = {key: request[key] for key in ("DisplayName", "Status", "StartTime", "EndTime") if key in request}
    with server.store.transaction():
        record = server.store.require(KIND, name)
        for member, removal in _REMOVALS.items():
            merged = record.get(member, {}) | request.get(member, {})
            removed = request.get(removal, [])
            changes[member] = {key: value for key, value in merged.items() if key not in removed} or None
        server.store.update(KIND, name, **changes)
    return {"TrialComponentArn": record["TrialComponentArn"]}


@operation("DeleteTrialComponent")
def delete_trial_component(server: Server, request: dict) -> dict:
    """Forgets a component that is in no trial, with its associations and metrics."""
    name = entities.key(request["TrialComponentName"])
    with server.store.transaction() as connection:
        arn = server.store.require(KIND, name)["TrialComponentArn"]
        if found := trials.of_component(server, name):
            names = ", ".join(trial["TrialName"] for trial in found)
            raise errors.validation(f"Trial component '{arn}' is in trials. Disassociate it from them first: {names}.")
        entities.forget(server, KIND, name)
        connection.execute("DELETE FROM run_metrics WHERE component = ?", (name,))
    return {"TrialComponentArn": arn}


@operation("ListTrialComponents")
def list_trial_components(server: Server, request: dict) -> dict:
    """One page of summaries, by experiment, trial or source, and by time."""
    given = [member for member in _FILTERS if member in request]
    if len(given) > 1:
        raise errors.validation(f"Provide at most one of {', '.join(_FILTERS)}, got {' and '.join(given)}.")
    if "SourceArn" in request:
        found = entities.with_source(server, KIND, request["SourceArn"].lower())
    elif "TrialName" in request:
        trial = entities.key(request["TrialName"])
        server.store.require(trials.KIND, trial)
        found = in_trials(server, [trial])
    elif "ExperimentName" in request:
        experiment = entities.key(request["ExperimentName"])
        server.store.require(experiments.KIND, experiment)
        in_it = entities.with_source(server, trials.KIND, experiment)
        found = in_trials(server, [entities.key(trial["TrialName"]) for trial in in_it])
    else:
        found = server.store.list(KIND)
    paged = {"MaxResults": entities.DEFAULT_PAGE} | request
    page, token = listing.page(found, paged, "TrialComponentName")
    summaries = [record | {"TrialComponentSource": record.get("Source")} for record in page]
    return listing.response("TrialComponentSummaries", summaries, token)


def in_trials(server: Server, names: list[str]) -> list[dict]:
    """The records of the components that are in any of these trials."""
    components = {
        component
        for name in names
        for (component,) in server.store.execute("SELECT component FROM trial_parts WHERE trial = ?", (name,))
    }
    return [server.store.require(KIND, component) for component in components]


@operation("AssociateTrialComponent")
def associate_trial_component(server: Server, request: dict) -> dict:
    """Puts a component into a trial, where it may be already."""
    component, trial, arns = _ends(server, request)
    with server.store.transaction() as connection:
        connection.execute("INSERT OR IGNORE INTO trial_parts VALUES (?, ?)", (trial, component))
    return arns


@operation("DisassociateTrialComponent")
def disassociate_trial_component(server: Server, request: dict) -> dict:
    """Takes a component out of a trial."""
    component, trial, arns = _ends(server, request)
    with server.store.transaction() as connection:
        connection.execute("DELETE FROM trial_parts WHERE trial = ? AND component = ?", (trial, component))
    return arns


def _ends(server: Server, request: dict) -> tuple[str, str, dict]:
    component, trial = entities.key(request["TrialComponentName"]), entities.key(request["TrialName"])
    return (
        component,
        trial,
        {
            "TrialComponentArn": server.store.require(KIND, component)["TrialComponentArn"],
            "TrialArn": server.store.require(trials.KIND, trial)["TrialArn"],
        },
    )
