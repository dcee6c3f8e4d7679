"""Pipelines: the list, one pipeline with its executions, and one execution with the graph of its steps."""

from __future__ import annotations

import json

from helpers.local_sagemaker import tags as tags_of
from helpers.local_sagemaker.console import addresses, graphs
from helpers.local_sagemaker.console.visits import Visit, page
from helpers.local_sagemaker.pipelines import definition, records

_LONGEST_LABEL = 26
_NOT_BEGUN = "Waiting"
_NEVER_BEGAN = "NotExecuted"


@page("/pipelines", "pipelines.html")
def pipeline_list(visit: Visit) -> dict:
    """One page of the pipelines, each with its latest execution."""
    found = visit.one_page("ListPipelines", "PipelineSummaries", {"name": "PipelineNamePrefix"})
    for row in found["rows"]:
        executions = visit.read("ListPipelineExecutions", PipelineName=row["PipelineName"], MaxResults=1)
        row["latest"] = next(iter(executions["PipelineExecutionSummaries"]), None)
    return {
        "section": "pipelines",
        "page": found | {"token": visit.query.get("token")},
        "next_address": lambda token: addresses.to("pipelines", **found["filters"], token=token),
    }


@page("/pipelines/{name}", "pipeline.html")
def pipeline(visit: Visit) -> dict:
    """One pipeline: its graph, its parameters, and a page of its executions."""
    name = visit.path["name"]
    found = visit.require("DescribePipeline", PipelineName=name)
    parsed = definition.parse(found["PipelineDefinition"])
    executions = visit.one_page("ListPipelineExecutions", "PipelineExecutionSummaries", PipelineName=name)
    for row in executions["rows"]:
        row["address"] = addresses.of_arn(row["PipelineExecutionArn"])
        row["id"] = row["PipelineExecutionArn"].rpartition("/")[2]
    document = json.loads(found["PipelineDefinition"])
    return {
        "section": "pipelines",
        "trail": [("Pipelines", addresses.to("pipelines"))],
        "pipeline": found | {"PipelineDefinition": document},
        "tags": tags_of.of(visit.server.store, found["PipelineArn"]),
        "graph": _graph(parsed, {}, is_over=False),
        "parameters": document.get("Parameters") or [],
        "page": executions | {"token": visit.query.get("token")},
        "next_address": lambda token: addresses.to("pipelines", name, token=token),
    }


@page("/pipelines/{name}/{execution}", "execution.html")
def execution(visit: Visit) -> dict:
    """One execution: the graph with the states of the steps, and the steps."""
    name = visit.path["name"]
    arn = records.execution_arn(f"{name}/{visit.path['execution']}")
    found = visit.require("DescribePipelineExecution", PipelineExecutionArn=arn)
    told = visit.read("DescribePipelineDefinitionForExecution", PipelineExecutionArn=arn)
    parsed = definition.parse(told["PipelineDefinition"])
    listed = visit.all("ListPipelineExecutionSteps", "PipelineExecutionSteps", PipelineExecutionArn=arn)
    begun = {each["StepName"]: each for each in listed}
    is_over = found["PipelineExecutionStatus"] not in records.ACTIVE
    parameters = visit.all("ListPipelineParametersForExecution", "PipelineParameters", PipelineExecutionArn=arn)
    return {
        "section": "pipelines",
        "trail": [("Pipelines", addresses.to("pipelines")), (name, addresses.to("pipelines", name))],
        "execution": found,
        "id": visit.path["execution"],
        "graph": _graph(parsed, begun, is_over),
        "steps": [_step(each, begun.get(each.name), is_over) for each in parsed.steps.values()],
        "parameters": [(each["Name"], each["Value"]) for each in parameters],
    }


def _status(begun: dict | None, is_over: bool) -> str:
    return begun["StepStatus"] if begun else _NEVER_BEGAN if is_over else _NOT_BEGUN


def _step(step: definition.Step, begun: dict | None, is_over: bool) -> dict:
    """A row of the table of steps."""
    begun_or_empty = begun or {}
    metadata = begun_or_empty.get("Metadata", {})
    return {
        "name": step.name,
        "type": step.type,
        "status": _status(begun, is_over),
        "begin": begun_or_empty.get("StartTime"),
        "end": begun_or_empty.get("EndTime"),
        "attempts": begun_or_empty.get("AttemptCount"),
        "cache": begun_or_empty.get("CacheHitResult", {}).get("SourcePipelineExecutionArn"),
        "reason": begun_or_empty.get("FailureReason"),
        "made": [made["Arn"] for made in metadata.values() if isinstance(made, dict) and "Arn" in made],
        "outcome": metadata.get("Condition", {}).get("Outcome"),
        "metadata": metadata,
    }


def _graph(parsed: definition.Definition, begun: dict[str, dict], is_over: bool) -> dict:
    """The drawing of the steps, and what each box says."""
    edges = {}
    for step in parsed.steps.values():
        for upstream, trigger in step.triggers.items():
            is_branch = step.branch is not None and step.branch[0] == upstream
            edges[upstream, step.name] = step.branch[1] if is_branch else "" if trigger == "Completed" else trigger
    drawn = graphs.layered(parsed.steps, edges)
    shown = {
        name: {
            "label": name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…",
            "type": step.type,
            "status": _status(begun.get(name), is_over) if begun or is_over else "",
            "is_cached": "CacheHitResult" in begun.get(name, {}),
            "address": f"#step-{name}" if begun or is_over else None,
        }
        for name, step in parsed.steps.items()
    }
    words = [f"{source} leads to {target}{f' ({label})' if label else ''}" for (source, target), label in edges.items()]
    return {
        "drawing": drawn,
        "boxes": shown,
        "box": (graphs.WIDTH, graphs.HEIGHT),
        "description": f"Graph of {len(shown)} steps. {'; '.join(words)}.",
    }
