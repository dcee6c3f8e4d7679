"""Executions of pipelines: started, stopped, retried, described and listed, with their steps and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing, model, permissions
from helpers.local_sagemaker.experiments import job_components
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.pipelines import (
    attempts,
    callback_steps,
    definition,
    expressions,
    order,
    parameters,
    pipelines,
    records,
    selection,
)

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_TOLD = ("PipelineExecutionDescription", "PipelineExecutionDisplayName", "SelectiveExecutionConfig")
_RETRIED = ("Failed", "Stopped")


@operation("StartPipelineExecution")
def start_pipeline_execution(server: Server, request: dict) -> dict:
    """Checks the parameters, and begins; the same token begins only once."""
    pipeline = records.pipeline_name(request["PipelineName"])
    record = server.store.require(records.PIPELINE, pipeline)
    if arn := _started(server, pipeline, request["ClientRequestToken"]):
        return {"PipelineExecutionArn": arn}
    if "RoleArn" in request:
        permissions.require_role(server, request["RoleArn"])
    version = pipelines.chosen_version(server, pipeline, request)
    parsed = definition.parse(version["PipelineDefinition"])
    identity = records.new_execution_id()
    name = f"{pipeline}/{identity}"
    parallelism = request.get("ParallelismConfiguration") or record.get("ParallelismConfiguration")
    values = parameters.values(parsed.parameters, request.get("PipelineParameters", []))
    execution = {key: request[key] for key in _TOLD if key in request} | {
        "PipelineArn": record["PipelineArn"],
        "PipelineExecutionArn": records.execution_arn(name),
        "PipelineExecutionStatus": "Executing",
        "PipelineVersionId": version["PipelineVersionId"],
        "RoleArn": request.get("RoleArn", record["RoleArn"]),
        "_parameters": values,
        "_tokens": [request["ClientRequestToken"]],
    }
    if parallelism:
        execution["ParallelismConfiguration"] = parallelism
    copied = selection.copies(server.store, pipeline, parsed, request.get("SelectiveExecutionConfig"))
    with server.store.transaction():
        execution = server.store.put(records.EXECUTION, name, execution)
        _note_experiment(server, name, parsed, execution)
        for step in copied:
            _put_copy(server, execution, name, step)
        pipelines.note_run(server, pipeline)
    server.pipelines.run(name)
    return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}


def _started(server: Server, pipeline: str, token: str) -> str | None:
    """The execution that a request with this token has started before."""
    found = (each for each in records.executions_of(server.store, pipeline) if each["_tokens"][0] == token)
    return next((each["PipelineExecutionArn"] for each in found), None)


def _note_experiment(server: Server, name: str, parsed: definition.Definition, execution: dict) -> None:
    """Writes down, and makes, the experiment and the trial that the jobs of an execution belong to."""
    if parsed.experiment:
        scope = attempts.scope(server, parsed, execution)
        try:
            resolved = expressions.resolve(parsed.experiment, scope)
        except expressions.ExpressionError as error:
            raise errors.validation(f"PipelineExperimentConfig: {error}") from None
        resolved = model.validate("PipelineExperimentConfig", resolved)
        job_components.make_trial(server, resolved)
        server.store.update(records.EXECUTION, name, PipelineExperimentConfig=resolved)


def _put_copy(server: Server, execution: dict, name: str, step: dict) -> None:
    times = {"StartTime": execution["CreationTime"], "EndTime": execution["CreationTime"]}
    arns = {key: execution[key] for key in ("PipelineArn", "PipelineExecutionArn")}
    way = f"{name}/{step['StepName']}"
    server.store.put(records.STEP, way, step | times | arns | {"_name": way})


@operation("StopPipelineExecution")
def stop_pipeline_execution(server: Server, request: dict) -> dict:
    """Asks an execution to stop; its running jobs are stopped."""
    arn, token = request["PipelineExecutionArn"], request["ClientRequestToken"]
    name = records.execution_name(arn)
    with server.store.transaction():
        execution = records.require_execution(server.store, arn)
        if token in execution["_tokens"] or execution["PipelineExecutionStatus"] == "Stopping":
            return {"PipelineExecutionArn": arn}
        if execution["PipelineExecutionStatus"] != "Executing":
            raise errors.validation(
                f"Pipeline execution {arn} has the status {execution['PipelineExecutionStatus']}. Only pipeline "
                "executions with the status Executing can be stopped."
            )
        tokens = [*execution["_tokens"], token]
        server.store.update(records.EXECUTION, name, PipelineExecutionStatus="Stopping", _tokens=tokens)
    server.pipelines.wake()
    return {"PipelineExecutionArn": arn}


@operation("RetryPipelineExecution")
def retry_pipeline_execution(server: Server, request: dict) -> dict:
    """Runs the steps again that failed or were stopped, and what comes after them; what succeeded stays."""
    arn, token = request["PipelineExecutionArn"], request["ClientRequestToken"]
    name = records.execution_name(arn)
    with server.store.transaction():
        execution = records.require_execution(server.store, arn)
        if token in execution["_tokens"]:
            return {"PipelineExecutionArn": arn}
        if execution["PipelineExecutionStatus"] not in _RETRIED:
            raise errors.validation(
                f"Pipeline execution {arn} has the status {execution['PipelineExecutionStatus']}. Only pipeline "
                f"executions with the status {' or '.join(_RETRIED)} can be retried."
            )
        counts = _forget_failed(server, name, execution)
        changes = {"ParallelismConfiguration": request.get("ParallelismConfiguration")}
        server.store.update(
            records.EXECUTION,
            name,
            PipelineExecutionStatus="Executing",
            FailureReason=None,
            _attempts=execution.get("_attempts", {}) | counts,
            _tokens=[*execution["_tokens"], token],
            **{key: value for key, value in changes.items() if value},
        )
    server.pipelines.run(name)
    return {"PipelineExecutionArn": arn}


def _forget_failed(server: Server, name: str, execution: dict) -> dict[str, int]:
    """Removes the steps that are to run again; returns how many attempts each has had."""
    pipeline = name.partition("/")[0]
    version = records.require_version(server.store, pipeline, execution["PipelineVersionId"])
    steps = records.steps_of(server.store, name)
    handling = order.handling(definition.parse(version["PipelineDefinition"]), steps)
    again = [step for step in steps.values() if step["StepStatus"] in _RETRIED or step["StepName"] in handling]
    for step in again:
        server.store.delete(records.STEP, step["_name"])
    return {step["StepName"]: step["AttemptCount"] for step in again}


@operation("UpdatePipelineExecution")
def update_pipeline_execution(server: Server, request: dict) -> dict:
    """Changes what an execution is called, or how many of its steps run at once."""
    arn = request["PipelineExecutionArn"]
    keys = ("PipelineExecutionDescription", "PipelineExecutionDisplayName", "ParallelismConfiguration")
    with server.store.transaction():
        records.require_execution(server.store, arn)
        changes = {key: request[key] for key in keys if key in request}
        server.store.update(records.EXECUTION, records.execution_name(arn), **changes)
    server.pipelines.wake()
    return {"PipelineExecutionArn": arn}


@operation("DescribePipelineExecution")
def describe_pipeline_execution(server: Server, request: dict) -> dict:
    """The whole record."""
    execution = records.require_execution(server.store, request["PipelineExecutionArn"])
    return execution | {"PipelineVersionAliases": _version(server, execution).get("PipelineVersionAliases")}


def _version(server: Server, execution: dict) -> dict:
    pipeline = records.execution_name(execution["PipelineExecutionArn"]).partition("/")[0]
    return records.require_version(server.store, pipeline, execution["PipelineVersionId"])


@operation("DescribePipelineDefinitionForExecution")
def describe_pipeline_definition_for_execution(server: Server, request: dict) -> dict:
    """The definition that an execution runs by."""
    return _version(server, records.require_execution(server.store, request["PipelineExecutionArn"]))


@operation("ListPipelineExecutions")
def list_pipeline_executions(server: Server, request: dict) -> dict:
    """One page of a pipeline's executions."""
    pipeline = records.pipeline_name(request["PipelineName"])
    server.store.require(records.PIPELINE, pipeline)
    found = records.executions_of(server.store, pipeline)
    if "PipelineVersionAlias" in request:
        version = pipelines.chosen_version(server, pipeline, request)["PipelineVersionId"]
        found = [each for each in found if each["PipelineVersionId"] == version]
    summaries = [
        each | {"StartTime": each["CreationTime"], "PipelineExecutionFailureReason": each.get("FailureReason")}
        for each in found
    ]
    page = listing.page(summaries, request, "PipelineExecutionArn")
    return listing.response("PipelineExecutionSummaries", *page)


@operation("ListPipelineExecutionSteps")
def list_pipeline_execution_steps(server: Server, request: dict) -> dict:
    """One page of the steps that have begun, the latest first."""
    if "PipelineExecutionArn" not in request:
        raise errors.validation("PipelineExecutionArn must be given.")
    records.require_execution(server.store, request["PipelineExecutionArn"])
    steps = records.steps_of(server.store, records.execution_name(request["PipelineExecutionArn"]))
    return listing.response("PipelineExecutionSteps", *listing.page(steps.values(), request, "StepName"))


@operation("ListPipelineParametersForExecution")
def list_pipeline_parameters_for_execution(server: Server, request: dict) -> dict:
    """One page of the values of all parameters."""
    execution = records.require_execution(server.store, request["PipelineExecutionArn"])
    listed = parameters.listed(execution["_parameters"])
    page = listing.page(listed, request | {"SortBy": "Name"}, "Name", default_order="Ascending")
    return listing.response("PipelineParameters", *page)


@operation("SendPipelineExecutionStepSuccess")
def send_pipeline_execution_step_success(server: Server, request: dict) -> dict:
    """Ends a callback step well."""
    outputs = request.get("OutputParameters", [])
    return _answered(server, request, Status="Succeeded", OutputParameters=outputs)


@operation("SendPipelineExecutionStepFailure")
def send_pipeline_execution_step_failure(server: Server, request: dict) -> dict:
    """Ends a callback step as failed."""
    return _answered(server, request, Status="Failed", FailureReason=request.get("FailureReason"))


def _answered(server: Server, request: dict, **told: object) -> dict:
    token = request.get("ClientRequestToken")
    arn = callback_steps.answer(server, request["CallbackToken"], token, **told)
    server.pipelines.wake()
    return {"PipelineExecutionArn": arn}
