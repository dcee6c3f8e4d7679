"""Pipelines as the tests make them, by plain boto3: definitions of small steps, and what became of executions."""

import json
import time
from collections.abc import Callable

from botocore.client import BaseClient

PATIENCE_SECONDS = 240
ROLE = "arn:aws:iam::111122223333:role/CourseExecutionRole"
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
ACTIVE = ("Executing", "Stopping")
ENDED = ("Succeeded", "Failed", "Stopped")
LONG = "sleep 600; exit 0"  # ends at once when it is told to: a first process does not hear it


def processing(
    name: str, script: str, outputs: dict[str, str] | None = None, environment: dict | None = None, **members: object
) -> dict:
    """A Processing step that runs a shell script; `outputs` are S3 prefixes for folders below /opt/ml/processing."""
    arguments = {
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": "local/tool", "ContainerEntrypoint": ["sh", "-c", script]},
        "ProcessingResources": {"ClusterConfig": CLUSTER},
    }
    if environment:
        arguments["Environment"] = environment
    if outputs:
        arguments["ProcessingOutputConfig"] = {
            "Outputs": [
                {
                    "OutputName": output,
                    "S3Output": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/{output}",
                        "S3UploadMode": "EndOfJob",
                    },
                }
                for output, uri in outputs.items()
            ]
        }
    return {"Name": name, "Type": "Processing", "Arguments": arguments} | members


def training(name: str, script: str, output: str, channel: object = None, **members: object) -> dict:
    """A Training step that runs a shell script; its model goes below the S3 prefix `output`."""
    arguments = {
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": "local/trainer",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", "-c", script],
        },
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": CLUSTER,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    if channel:
        source = {"S3DataType": "S3Prefix", "S3Uri": channel, "S3DataDistributionType": "FullyReplicated"}
        arguments["InputDataConfig"] = [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]
    return {"Name": name, "Type": "Training", "Arguments": arguments} | members


def condition(
    name: str, conditions: list[dict], if_steps: list[dict], else_steps: list[dict], **members: object
) -> dict:
    """A Condition step."""
    arguments = {"Conditions": conditions, "IfSteps": if_steps, "ElseSteps": else_steps}
    return {"Name": name, "Type": "Condition", "Arguments": arguments} | members


def fail(name: str, message: object, **members: object) -> dict:
    """A Fail step."""
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}} | members


def get(path: str) -> dict:
    """A Get expression."""
    return {"Get": path}


def join(*values: object, on: str = "") -> dict:
    """A Std:Join expression."""
    return {"Std:Join": {"On": on, "Values": list(values)}}


def equals(left: object, right: object) -> dict:
    """An Equals condition."""
    return {"Type": "Equals", "LeftValue": left, "RightValue": right}


def definition(*steps: dict, parameters: list[dict] = (), **others: object) -> str:
    """The JSON text of a definition."""
    return json.dumps({"Version": "2020-12-01", "Parameters": list(parameters), "Steps": list(steps)} | others)


class Pipelines:
    """Makes pipelines on one server, and reads what became of their executions."""

    def __init__(self, sm: BaseClient, unique: Callable[[str], str]) -> None:
        self.sm, self.unique = sm, unique

    def create(self, *steps: dict, parameters: list[dict] = (), **others: object) -> str:
        """Creates a pipeline of these steps; returns its name."""
        name = self.unique("pipeline")
        text = definition(*steps, parameters=parameters, **others)
        self.sm.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=ROLE)
        return name

    def start(self, name: str, parameters: dict[str, str] | None = None, **members: object) -> str:
        """Starts an execution; returns its ARN."""
        given = [{"Name": key, "Value": value} for key, value in (parameters or {}).items()]
        if given:
            members["PipelineParameters"] = given
        return self.sm.start_pipeline_execution(PipelineName=name, **members)["PipelineExecutionArn"]

    def run(self, *steps: dict, **members: object) -> tuple[dict, dict[str, dict]]:
        """Creates a pipeline of these steps and runs it; see `ended`."""
        return self.ended(self.start(self.create(*steps, **members)))

    def ended(self, arn: str) -> tuple[dict, dict[str, dict]]:
        """The description of an execution that has ended, and its steps by name."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            told = self.sm.describe_pipeline_execution(PipelineExecutionArn=arn)
            if told["PipelineExecutionStatus"] not in ACTIVE:
                return told, self.steps(arn)
            assert time.monotonic() < deadline, f"the execution does not end: {told} {self.steps(arn)}"
            time.sleep(0.05)

    def steps(self, arn: str) -> dict[str, dict]:
        """The steps that have begun, by name, the latest first."""
        pages = self.sm.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
        return {step["StepName"]: step for page in pages for step in page["PipelineExecutionSteps"]}

    def await_step(self, arn: str, name: str, status: str) -> dict:
        """The step, once it has a status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (step := self.steps(arn).get(name, {})).get("StepStatus") != status:
            assert step.get("StepStatus") not in ENDED, f"{name} does not become {status}: {step}"
            assert time.monotonic() < deadline, f"{name} does not become {status}: {self.steps(arn)}"
            time.sleep(0.05)
        return step

    def statuses(self, steps: dict[str, dict]) -> dict[str, str]:
        """Names and statuses."""
        return {name: step["StepStatus"] for name, step in sorted(steps.items())}
