"""One attempt at one step: what the code of each step type gets, and what it answers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from helpers.local_sagemaker import staging
from helpers.local_sagemaker.pipelines import expressions, records
from helpers.local_sagemaker.pipelines.definition import Definition, Step
from helpers.local_sagemaker.pipelines.expressions import ExpressionError, Scope

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        status: Succeeded, Failed or Stopped.
        properties: what `Steps.<name>.` of a definition leads to.
        metadata: of the step.
        reason: why it failed.
        exception: what a retry policy calls the failure.
    """

    status: str
    properties: dict | None = None
    metadata: dict | None = None
    reason: str | None = None
    exception: str | None = None


@dataclass
class Attempt:
    """An attempt at a step.

    Attributes:
        server: the server.
        execution: the execution's record.
        definition: what it runs.
        step: the step in it.
        record: the step's record; `note` changes it here and in the store.
    """

    server: Server
    execution: dict
    definition: Definition
    step: Step
    record: dict

    @property
    def name(self) -> str:
        """The step's name in the store."""
        return f"{records.execution_name(self.execution['PipelineExecutionArn'])}/{self.step.name}"

    def note(self, **changes: object) -> None:
        """Writes members of the step's record; None removes one."""
        self.record = self.server.store.update(records.STEP, self.name, **changes)

    @cached_property
    def arguments(self) -> dict:
        """The step's arguments with the values that they have by now.

        Raises:
            ExpressionError: one has none.
        """
        own = {key: value for key, value in self.step.arguments.items() if key not in ("IfSteps", "ElseSteps")}
        return expressions.resolve(own, self.scope)

    @cached_property
    def body(self) -> dict:
        """The other members of the step, resolved."""
        return expressions.resolve({k: v for k, v in self.step.body.items() if k != "Arguments"}, self.scope)

    @property
    def scope(self) -> Scope:
        """Where the step's expressions find their values."""
        found = scope(self.server, self.definition, self.execution)
        if name := self.record.get("_resource"):
            found.execution.update({"TrainingJobName": name, "ProcessingJobName": name})
        return found


def scope(server: Server, definition: Definition, execution: dict) -> Scope:
    """Where the expressions of an execution find their values."""
    name = records.execution_name(execution["PipelineExecutionArn"])
    variables = {
        "StartDateTime": iso(execution["CreationTime"]),
        "CurrentDateTime": iso(time.time()),
        "PipelineName": name.partition("/")[0],
        "PipelineArn": execution["PipelineArn"],
        "PipelineExecutionId": name.rpartition("/")[2],
        "PipelineExecutionArn": execution["PipelineExecutionArn"],
    }

    def properties(step: str) -> dict:
        record = server.store.get(records.STEP, f"{name}/{step}")
        if record is None or "_properties" not in record:
            raise ExpressionError(f"step {step} has no properties")
        return record["_properties"]

    def property_file(step: str, file: str) -> object:
        output, path = definition.steps[step].property_files[file]
        way = ["ProcessingOutputConfig", "Outputs", output, "S3Output", "S3Uri"]
        folder = expressions.follow(properties(step), way, f"the output {output} of step {step}")
        return s3_json(server, f"{folder.rstrip('/')}/{path}")

    own = execution.get("PipelineExperimentConfig", {})
    return Scope(execution["_parameters"], variables, own, properties, property_file, lambda uri: s3_json(server, uri))


def s3_json(server: Server, uri: str) -> object:
    """The JSON document at an S3 URI.

    Raises:
        ExpressionError: there is none.
    """
    try:
        return json.loads(staging.read(server, staging.parse(uri)))
    except (staging.StagingError, ValueError) as error:
        raise ExpressionError(f"no JSON can be read from {uri}: {error}") from error


def plain(value: object) -> object:
    """A response of boto3 as JSON has it: times as texts, without what tells of the call."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "ResponseMetadata"}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return iso(value.timestamp()) if isinstance(value, datetime) else value


def iso(moment: float) -> str:
    """Epoch seconds as AWS writes a time."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
