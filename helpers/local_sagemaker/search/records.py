"""The records that a search finds: what is in the store, with its tags and what it is linked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import deployments, fleet, kinds
from helpers.local_sagemaker.experiments import trial_components, trials
from helpers.local_sagemaker.feature_store import feature_groups, feature_metadata
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.pipelines import parameters
from helpers.local_sagemaker.pipelines import records as executions
from helpers.local_sagemaker.search import properties

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def of(server: Server, resource: str) -> list[dict]:
    """All records of a resource, each as its member of SearchRecord tells it."""
    if resource == "FeatureMetadata":
        groups = server.store.list(feature_groups.KIND)
        return [_present(feature_metadata.told(group, one)) for group in groups for one in group["FeatureDefinitions"]]
    kind = properties.member_of(resource)
    tags = _tags(server, kinds.of(kind).arn(""))
    found = []
    for record in server.store.list(kind):
        arn = record.get(f"{kind}Arn")
        tagged = record | ({"Tags": tags[arn]} if arn in tags else {})
        found.append(_linked(server, kind, tagged))
    return _dashboards(server, found) if kind == properties.MODEL else found


def _present(record: dict) -> dict:
    return {name: value for name, value in record.items() if value is not None}


def searched(record: dict) -> dict:
    """A record as its properties are looked up: tags and metrics by their names."""
    own = record.get(properties.MODEL, record)
    metrics = {metric["MetricName"]: metric for metric in own.get("Metrics", own.get("FinalMetricDataList", []))}
    tags = {tag["Key"]: tag["Value"] for tag in own.get("Tags", [])}
    named = {"Tags": tags, "Metrics": metrics}
    # A model's own properties are searched beside those of its dashboard.
    return own | record | {member: found for member, found in named.items() if found}


def _tags(server: Server, prefix: str) -> dict[str, list[dict]]:
    """The tags of all resources whose ARN begins so, by ARN."""
    rows = server.store.execute(
        "SELECT arn, key, value FROM tags WHERE arn >= ? AND arn < ? ORDER BY position", (prefix, f"{prefix}\U0010ffff")
    )
    found: dict[str, list[dict]] = {}
    for arn, key, value in rows:
        found.setdefault(arn, []).append({"Key": key, "Value": value})
    return found


def _linked(server: Server, kind: str, record: dict) -> dict:
    if kind == trials.KIND:
        in_it = trial_components.in_trials(server, [entities.key(record["TrialName"])])
        summaries = [one | {"TrialComponentSource": one.get("Source")} for one in in_it]
        return record | ({"TrialComponentSummaries": summaries} if summaries else {})
    if kind == trial_components.KIND:
        return trial_components.told(server, record) | _parents(server, record) | _source(server, record)
    if kind == executions.EXECUTION:
        return record | {"PipelineParameters": parameters.listed(record["_parameters"])}
    return record


def _parents(server: Server, component: dict) -> dict:
    found = trials.of_component(server, entities.key(component["TrialComponentName"]))
    parents = [{"TrialName": trial["TrialName"], "ExperimentName": trial["ExperimentName"]} for trial in found]
    return {"Parents": parents} if parents else {}


def _source(server: Server, component: dict) -> dict:
    """The job that a component is of, as long as it is there."""
    arn = component.get("Source", {}).get("SourceArn", "")
    if not (named := kinds.parse(arn)):
        return {}
    job = server.store.get(named[0].name, named[1])
    return {"SourceDetail": {"SourceArn": arn} | ({named[0].name: job} if job else {})}


def _dashboards(server: Server, models: list[dict]) -> list[dict]:
    """Models with the endpoints that serve them, and their last transform jobs."""
    serving: dict[str, list[dict]] = {}
    for endpoint in server.store.list("Endpoint"):
        arns = {spec.get("Model", {}).get("ModelArn") for spec in deployments.specs(endpoint[fleet.PLAN])}
        for arn in arns:
            serving.setdefault(arn, []).append(endpoint)
    jobs: dict[str, dict] = {}
    for job in sorted(server.store.list("TransformJob"), key=lambda job: job["CreationTime"]):
        jobs[job["ModelName"]] = job
    return [
        {"Model": model}
        | ({"Endpoints": serving[model["ModelArn"]]} if model["ModelArn"] in serving else {})
        | ({"LastBatchTransformJob": jobs[model["ModelName"]]} if model["ModelName"] in jobs else {})
        for model in models
    ]
