"""Pipelines as sources and as targets: their events, and rules and schedules that start them."""

import json
import time

import pipelined
import pytest
from evented import Bus
from pipelined import get, processing
from registered import Registry

PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
OFF = {"Mode": "OFF"}


@pytest.fixture
def bus(client, unique):
    made = Bus(client, unique)
    yield made
    made.close()


@pytest.fixture
def pipelines(sm, unique):
    """See `pipelined.Pipelines`."""
    return pipelined.Pipelines(sm, unique)


def greeting(pipelines):
    """A pipeline whose only step says a word; its name."""
    step = processing("Say", 'test "$WORD" = hello', environment={"WORD": get("Parameters.Word")})
    return pipelines.create(step, parameters=[{"Name": "Word", "Type": "String", "DefaultValue": "nothing"}])


def started(sm, name):
    """The ARN of the only execution of a pipeline, once it is there."""
    deadline = time.monotonic() + pipelined.PATIENCE_SECONDS
    while not (found := sm.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]):
        assert time.monotonic() < deadline, f"{name} was not started"
        time.sleep(0.05)
    (execution,) = found
    return execution["PipelineExecutionArn"]


def test_executions_and_their_steps_are_told(sm, bus, pipelines):
    name = greeting(pipelines)
    kinds = ("Execution Status", "Execution Step Status")
    executions, steps = (
        bus.collect(
            {
                "detail-type": [f"SageMaker Model Building Pipeline {kind} Change"],
                "detail": {"pipelineArn": [{"suffix": f"/{name}"}]},
            }
        )
        for kind in kinds
    )
    arn = pipelines.start(name, {"Word": "hello"})
    assert pipelines.ended(arn)[0]["PipelineExecutionStatus"] == "Succeeded"
    told = executions.until(lambda event: event["detail"]["currentPipelineExecutionStatus"] == "Succeeded")
    assert [event["detail"]["currentPipelineExecutionStatus"] for event in told] == ["Executing", "Succeeded"]
    assert told[1]["detail"]["previousPipelineExecutionStatus"] == "Executing"
    assert told[1]["resources"] == [f"{PREFIX}:pipeline/{name}", arn]
    told = steps.until(lambda event: event["detail"]["currentStepStatus"] == "Succeeded")
    assert [event["detail"]["currentStepStatus"] for event in told] == ["Starting", "Executing", "Succeeded"]
    last = told[-1]["detail"]
    assert (last["stepName"], last["stepType"], last["previousStepStatus"]) == ("Say", "Processing", "Executing")
    assert last["metadata"]["processingJob"]["arn"].startswith(f"{PREFIX}:processing-job/")


def test_an_approval_starts_a_pipeline(sm, s3, bucket, bus, pipelines, unique, role_arn):
    name, registry = greeting(pipelines), Registry(sm, s3, bucket, unique)
    group = registry.group()
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]},
    }
    parameters = {"PipelineParameterList": [{"Name": "Word", "Value": "hello"}]}
    target = {"Arn": f"{PREFIX}:pipeline/{name}", "RoleArn": role_arn, "SageMakerPipelineParameters": parameters}
    bus.rule(pattern, target)
    arn = registry.version(group)
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert pipelines.ended(started(sm, name))[0]["PipelineExecutionStatus"] == "Succeeded"


@pytest.mark.parametrize("way", ["templated", "universal"])
def test_a_schedule_starts_a_pipeline(sm, client, pipelines, unique, role_arn, way):
    name, schedule = greeting(pipelines), unique("schedule")
    word = [{"Name": "Word", "Value": "hello"}]
    target = {
        "templated": {
            "Arn": f"{PREFIX}:pipeline/{name}",
            "SageMakerPipelineParameters": {"PipelineParameterList": word},
        },
        "universal": {
            "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution",
            "Input": json.dumps({"PipelineName": name, "PipelineParameters": word}),
        },
    }[way]
    request = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": OFF}
    client("scheduler").create_schedule(Name=schedule, Target=target | {"RoleArn": role_arn}, **request)
    assert pipelines.ended(started(sm, name))[0]["PipelineExecutionStatus"] == "Succeeded"
    client("scheduler").delete_schedule(Name=schedule)
