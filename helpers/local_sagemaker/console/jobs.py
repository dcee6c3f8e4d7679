"""Jobs of every kind: their lists, and one job with its timeline, metrics, locations and log."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from dataclasses import dataclass

from helpers.local_sagemaker import job_metrics, model, training_run, transform_run
from helpers.local_sagemaker import processing as processing_jobs
from helpers.local_sagemaker import tags as tags_of
from helpers.local_sagemaker.console import addresses, charts, logs, measured, prices
from helpers.local_sagemaker.console.visits import MissingError, Visit, page

UNFINISHED = ("InProgress", "Stopping")
_MOST_LINES = 5  # in one chart
_SHOWN_ELSEWHERE = {
    *("HyperParameters", "Environment", "SecondaryStatusTransitions", "FinalMetricDataList", "FailureReason"),
    *("ExitMessage", "InputDataConfig", "ProcessingInputs", "ProcessingOutputConfig", "TransformInput"),
    *("TransformOutput", "ModelArtifacts", "TrainingJobName", "TrainingJobStatus", "SecondaryStatus", "Tags"),
    *("ProcessingJobName", "ProcessingJobStatus", "TransformJobName", "TransformJobStatus"),
    *("HyperParameterTuningJobName", "HyperParameterTuningJobStatus"),
}


@dataclass(frozen=True)
class JobKind:
    """What tells one kind of job from another.

    Args:
        name: in addresses, such as `training`.
        record: botocore's word, such as `TrainingJob`.
        begin: the member that holds when it began to run.
        end: the member that holds when it ended.
        plural: of the List operation's name.
        log_group: of its log; None where it has none.
        resources: members on the way to its InstanceType and InstanceCount.
    """

    name: str
    record: str
    begin: str
    end: str
    log_group: str | None
    resources: tuple[str, ...]

    @property
    def list_operation(self) -> str:
        """Such as ListTrainingJobs."""
        return f"List{self.record}s"

    @property
    def describe_operation(self) -> str:
        """Such as DescribeTrainingJob."""
        return f"Describe{self.record}"

    @property
    def list_member(self) -> str:
        """Such as TrainingJobSummaries."""
        return f"{self.record}Summaries"

    @property
    def name_member(self) -> str:
        """Such as TrainingJobName."""
        return f"{self.record}Name"

    @property
    def status_member(self) -> str:
        """Such as TrainingJobStatus."""
        return f"{self.record}Status"


JOB_KINDS = {
    kind.name: kind
    for kind in (
        JobKind(
            "training",
            "TrainingJob",
            "TrainingStartTime",
            "TrainingEndTime",
            training_run.LOG_GROUP,
            ("ResourceConfig",),
        ),
        JobKind(
            "processing",
            "ProcessingJob",
            "ProcessingStartTime",
            "ProcessingEndTime",
            processing_jobs.LOG_GROUP,
            ("ProcessingResources", "ClusterConfig"),
        ),
        JobKind(
            "transform",
            "TransformJob",
            "TransformStartTime",
            "TransformEndTime",
            transform_run.LOG_GROUP,
            ("TransformResources",),
        ),
        JobKind("tuning", "HyperParameterTuningJob", "CreationTime", "HyperParameterTuningEndTime", None, ()),
    )
}


@page("/jobs", "jobs.html")
def training(visit: Visit) -> dict:
    """The list of training jobs."""
    return job_list(Visit(visit.server, {"kind": "training"}, visit.query))


@page("/jobs/{kind}", "jobs.html")
def job_list(visit: Visit) -> dict:
    """One page of the jobs of a kind."""
    kind = _kind(visit)
    context = {"section": "jobs", "kind": kind.name, "kinds": list(JOB_KINDS), "operation": kind.list_operation}
    if not visit.has(kind.list_operation):
        return context | {"is_available": False}
    filters = {"name": "NameContains", "status": "StatusEquals"}
    found = visit.one_page(
        kind.list_operation, kind.list_member, filters, SortBy="CreationTime", SortOrder="Descending"
    )
    for row in found["rows"]:
        name = row[kind.name_member]
        end = row.get(kind.end) if row[kind.status_member] not in UNFINISHED else time.time()
        row |= {
            "name": name,
            "status": row[kind.status_member],
            "address": addresses.to("jobs", kind.name, name),
            "took": None if end is None else end - row["CreationTime"],
        }
    next_address = functools.partial(_list_address, kind.name, found["filters"])
    return context | {
        "is_available": True,
        "page": found | {"token": visit.query.get("token")},
        "next_address": next_address,
        "statuses": model.service()["shapes"][kind.status_member]["enum"],
    }


def _list_address(kind: str, filters: dict, token: str | None) -> str:
    return addresses.to("jobs", kind, **filters, token=token)


def _kind(visit: Visit) -> JobKind:
    try:
        return JOB_KINDS[visit.path["kind"]]
    except KeyError:
        known = ", ".join(JOB_KINDS)
        raise MissingError(f"There are no jobs of the kind {visit.path['kind']!r}; there are {known}.") from None


@page("/jobs/{kind}/{name}", "job.html")
def job(visit: Visit) -> dict:
    """One job."""
    kind, name = _kind(visit), visit.path["name"]
    found = visit.require(kind.describe_operation, **{kind.name_member: name})
    status = found[kind.status_member]
    begin, end = found.get(kind.begin), _end(kind, found)
    address = addresses.to("jobs", kind.name, name)
    context = {
        "section": "jobs",
        "trail": [(f"{kind.name.capitalize()} jobs", addresses.to("jobs", kind.name))],
        "name": name,
        "job": found,
        "operation": kind.describe_operation,
        "arn": found[f"{kind.record}Arn"],
        "has_lineage": visit.has("QueryLineage"),
        "status": status,
        "stage": found.get("SecondaryStatus"),
        "took": end - begin if begin else None,
        "tags": tags_of.of(visit.server.store, found[f"{kind.record}Arn"]),
        "timeline": _timeline(kind, found),
        "locations": _locations(found),
        "hyperparameters": sorted((found.get("HyperParameters") or {}).items()),
        "environment": sorted((found.get("Environment") or {}).items()),
        "settings": _settings(found),
        "final": found.get("FinalMetricDataList", []),
        "charts": _charts(visit, found, begin, end) if kind.name == "training" else [],
        "log": logs.tail(visit, kind.log_group, address, f"{name}/") if kind.log_group else None,
    }
    if kind.name == "tuning":
        return context | _children(visit, found, name)
    return context | {"cluster": resources(kind, found), "cost": cost(kind, found)}


def cost(kind: JobKind, record: dict) -> float | None:
    """USD on AWS for what a job has run so far; None where that has no price, or it has not begun."""
    cluster, begin = resources(kind, record), record.get(kind.begin)
    return prices.of_job(record, cluster, begin, _end(kind, record)) if cluster and begin else None


def resources(kind: JobKind, record: dict) -> dict | None:
    """The part of a job's record that holds its InstanceType and InstanceCount, if it has them."""
    for member in kind.resources:
        record = record.get(member) or {}
    return record if "InstanceType" in record else None


def _end(kind: JobKind, record: dict) -> float:
    if record[kind.status_member] in UNFINISHED:
        return time.time()
    return record.get(kind.end) or record.get("LastModifiedTime") or record["CreationTime"]


def _timeline(kind: JobKind, record: dict) -> list[dict]:
    """The states of a job, each with its place and width in a bar 600 wide."""
    end = _end(kind, record)
    steps = [
        {"status": each["Status"], "begin": each["StartTime"], "message": each.get("StatusMessage", "")}
        for each in record.get("SecondaryStatusTransitions", [])
    ]
    if not steps:
        steps = [{"status": "Starting", "begin": record["CreationTime"], "message": "Created"}]
        if record.get(kind.begin) and kind.begin != "CreationTime":
            steps.append({"status": "InProgress", "begin": record[kind.begin], "message": "Began to run"})
        if record[kind.status_member] not in UNFINISHED:
            steps.append({"status": record[kind.status_member], "begin": end, "message": "Ended"})
    start = steps[0]["begin"]
    whole = max(end - start, 1e-3)
    for step, following in zip(steps, [*steps[1:], {"begin": end}], strict=True):
        step["took"] = max(following["begin"] - step["begin"], 0)
        step["x"] = (step["begin"] - start) / whole * 600
        step["width"] = max(step["took"] / whole * 600 - 1, 2)
        step["x"] = min(step["x"], 598)
    return steps


def _locations(record: dict) -> list[tuple[str, str, str]]:
    """Where a job read from and wrote to: direction, name, URI."""
    found = []
    for channel in record.get("InputDataConfig", []):
        source = channel["DataSource"]
        uri = (source.get("S3DataSource") or {}).get("S3Uri") or (source.get("FileSystemDataSource") or {}).get(
            "DirectoryPath"
        )
        found.append(("in", channel["ChannelName"], uri))
    for each in record.get("ProcessingInputs", []):
        found.append(("in", each["InputName"], (each.get("S3Input") or {}).get("S3Uri")))
    if source := record.get("TransformInput"):
        found.append(("in", "transform input", source["DataSource"]["S3DataSource"]["S3Uri"]))
    for each in (record.get("ProcessingOutputConfig") or {}).get("Outputs", []):
        found.append(("out", each["OutputName"], (each.get("S3Output") or {}).get("S3Uri")))
    if output := record.get("TransformOutput"):
        found.append(("out", "transform output", output["S3OutputPath"]))
    if artifacts := record.get("ModelArtifacts"):
        found.append(("out", "model", artifacts["S3ModelArtifacts"]))
    if checkpoints := record.get("CheckpointConfig"):
        found.append(("both", "checkpoints", checkpoints["S3Uri"]))
    return found


def _settings(record: dict) -> list[tuple[str, object]]:
    """What else the record says, but for what the page shows in another place."""
    return [
        (name, value) for name, value in record.items() if name not in _SHOWN_ELSEWHERE and not name.endswith("Time")
    ]


def _charts(visit: Visit, record: dict, begin: float | None, end: float) -> list[charts.Chart]:
    """A chart for each metric of a training job, the training and the validation side in one."""
    if not begin:
        return []
    name, sides = record["TrainingJobName"], defaultdict(list)
    for _, metric, dimensions in visit.server.metric_data.metrics(0, job_metrics.NAMESPACE, None):
        if ("TrainingJobName", name) in dimensions:
            sides[metric.rpartition(":")[2]].append((metric, dict(dimensions)))
    drawn = []
    for what, found in sorted(sides.items()):
        lines = [
            measured.exact(
                visit.server, metric.removesuffix(f":{what}"), (job_metrics.NAMESPACE, metric, of), begin, end
            )
            for metric, of in found[:_MOST_LINES]
        ]
        drawn.append(charts.line_chart(what if len(found) > 1 else found[0][0], lines, from_zero=False))
    return drawn


def _children(visit: Visit, record: dict, name: str) -> dict:
    """What a tuning job tells about its training jobs."""
    operation = "ListTrainingJobsForHyperParameterTuningJob"
    jobs = list(visit.all(operation, "TrainingJobSummaries", HyperParameterTuningJobName=name))
    objective = (record["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective") or {}).get(
        "MetricName"
    )
    values = [
        (index, (each.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value"))
        for index, each in enumerate(sorted(jobs, key=lambda each: each["CreationTime"]), 1)
    ]
    drawn = charts.line_chart(
        objective or "objective", [charts.Series(objective or "objective", values)], from_zero=False, is_time=False
    )
    best = (record.get("BestTrainingJob") or {}).get("TrainingJobName")
    trained = [visit.read("DescribeTrainingJob", TrainingJobName=each["TrainingJobName"]) for each in jobs]
    costs = [each for record in trained if (each := cost(JOB_KINDS["training"], record)) is not None]
    return {
        "children": jobs,
        "best": best,
        "objective": objective,
        "charts": [drawn] if len(jobs) > 1 else [],
        "cost": sum(costs) if costs else None,
    }
