"""Selective execution: some steps run, and those before them are taken from an earlier execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.pipelines import records
from helpers.local_sagemaker.pipelines.definition import Definition

if TYPE_CHECKING:
    from helpers.local_sagemaker.state import Store

_COPIED = ("StepName", "StepType", "StepDisplayName", "StepDescription", "Metadata", "_properties")


def copies(store: Store, pipeline: str, definition: Definition, config: dict | None) -> list[dict]:
    """The records of the steps that are taken from the source execution.

    Args:
        store: where the source execution is.
        pipeline: its name.
        definition: of the version that is started.
        config: SelectiveExecutionConfig of the request; None where all steps run.

    Raises:
        AwsError: `ValidationException`; a step is not known, one between two others is missing, or the source has no
            result of one that is needed.
    """
    if config is None:
        return []
    selected = [item["StepName"] for item in config["SelectedSteps"]]
    if unknown := [name for name in selected if name not in definition.steps]:
        raise errors.validation(f"Invalid SelectedSteps: the pipeline has no step [{', '.join(unknown)}].")
    if between := _between(definition, {*selected}):
        raise errors.validation(
            f"Invalid SelectedSteps: all steps between two selected steps must be selected, [{', '.join(between)}] "
            "are not."
        )
    needed = [name for name in definition.steps if name not in selected and _is_before(definition, name, {*selected})]
    if not needed:
        return []
    arn = config.get("SourcePipelineExecutionArn")
    if arn is None:
        raise errors.validation(
            f"Invalid SourcePipelineExecutionArn: null. The selected steps [{', '.join(selected)}] have dependencies "
            f"on [{', '.join(needed)}]"
        )
    return _copied(store, pipeline, arn, needed)


def _is_before(definition: Definition, name: str, selected: set[str]) -> bool:
    return any(name in definition.steps[each].triggers for each in selected)


def _between(definition: Definition, selected: set[str]) -> list[str]:
    """The steps that are not selected, and stand on a way from one that is to another."""
    after: set[str] = set()
    for step in definition.steps.values():
        if step.triggers.keys() & (after | selected):
            after.add(step.name)
    before: set[str] = set()
    for step in reversed(definition.steps.values()):
        if step.name in before | selected:
            before |= step.triggers.keys()
    return [name for name in definition.steps if name in after & before - selected]


def _copied(store: Store, pipeline: str, arn: str, needed: list[str]) -> list[dict]:
    source = records.require_execution(store, arn)
    if source["PipelineArn"] != records.pipeline_arn(pipeline):
        raise errors.validation(f"Invalid SourcePipelineExecutionArn: {arn} is not of the pipeline {pipeline}.")
    if source["PipelineExecutionStatus"] in records.ACTIVE:
        raise errors.validation(f"Invalid SourcePipelineExecutionArn: {arn} has not ended.")
    steps = records.steps_of(store, records.execution_name(arn))
    missing = [name for name in needed if steps.get(name, {}).get("StepStatus") != "Succeeded"]
    if missing:
        raise errors.validation(
            f"Invalid SourcePipelineExecutionArn: the steps [{', '.join(missing)}] have not succeeded in {arn}."
        )
    result = {"SelectiveExecutionResult": {"SourcePipelineExecutionArn": arn}, "StepStatus": "Succeeded"}
    return [{key: steps[name][key] for key in _COPIED if key in steps[name]} | result for name in needed]
