"""Pipelines run, read, tried again and scheduled through helpers.pipelines, on the local SageMaker."""

import json

import pytest
from waiting import until

from helpers import pipelines

CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
WORD = {"Name": "Word", "Type": "String", "DefaultValue": "one"}


def step(aws, name, script, **members):
    """A Processing step that runs a shell script; it sees the pipeline's parameter as $WORD."""
    arguments = {
        "RoleArn": aws.role,
        "AppSpecification": {"ImageUri": aws.image("sklearn"), "ContainerEntrypoint": ["bash", "-c", script]},
        "ProcessingResources": {"ClusterConfig": CLUSTER},
        "Environment": {"WORD": {"Get": "Parameters.Word"}},
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments} | members


def executions(aws, name):
    """The executions of a pipeline, the newest first."""
    return aws.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]


def running(aws, name):
    """The executions of a pipeline that have not ended."""
    return [found for found in executions(aws, name) if found["PipelineExecutionStatus"] == "Executing"]


@pytest.fixture
def made(aws):
    """`made(step, ...)`: the name of a new pipeline; it is deleted after the test."""
    names = []

    def make(*steps):
        names.append(aws.name("pipeline"))
        definition = {"Version": "2020-12-01", "Parameters": [WORD], "Steps": list(steps)}
        aws.sagemaker.create_pipeline(
            PipelineName=names[-1], PipelineDefinition=json.dumps(definition), RoleArn=aws.role
        )
        return names[-1]

    yield make
    for name in names:
        until(lambda name=name: not running(aws, name))
        aws.sagemaker.delete_pipeline(PipelineName=name)


def test_steps_tell_their_order_jobs_and_cache_hits(aws, made):
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}
    first = step(aws, "First", "echo $WORD", **cache)
    choice = {
        "Name": "Choice",
        "Type": "Condition",
        "DependsOn": ["First"],
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Parameters.Word"}, "RightValue": "one"}],
            "IfSteps": [step(aws, "Yes", "true")],
            "ElseSteps": [step(aws, "No", "true")],
        },
    }
    name = made(first, choice)
    table = pipelines.steps(aws, pipelines.run(aws, name))
    assert list(table["step"]) == ["First", "Choice", "Yes"]
    assert list(table["kind"]) == ["ProcessingJob", "Condition", "ProcessingJob"]
    assert list(table["status"].unique()) == ["Succeeded"]
    assert not table["cached"].any()
    assert table["what"].iloc[0].startswith(f"arn:aws:sagemaker:{aws.region}:{aws.account}:processing-job/")
    assert table["what"].iloc[1] == "True"
    assert (table["seconds"] >= 0).all()
    again = pipelines.steps(aws, pipelines.run(aws, name))
    assert list(again["cached"]) == [True, False, False]
    assert again["what"].iloc[0] == table["what"].iloc[0]
    other = pipelines.steps(aws, pipelines.run(aws, name, {"Word": "two"}))
    assert list(other["step"]) == ["First", "Choice", "No"]
    assert not other["cached"].any()


def test_a_failed_step_is_told_with_its_reason_and_tried_again_alone(aws, made, tmp_path):
    flag = tmp_path / "repaired"
    broken = f"test -e {flag} || (echo the rows are gone >&2; exit 3)"
    name = made(step(aws, "Read", "true"), step(aws, "Train", broken, DependsOn=["Read"]))
    execution = pipelines.run(aws, name)
    with pytest.raises(RuntimeError, match=r"is Failed: Train: .*the rows are gone"):
        pipelines.require(aws, execution)
    before = pipelines.steps(aws, execution).set_index("step")
    assert list(before["status"]) == ["Succeeded", "Failed"]
    flag.touch()
    assert pipelines.retry(aws, execution) == execution
    pipelines.require(aws, execution)
    after = pipelines.steps(aws, execution).set_index("step")
    assert after.loc["Read", "what"] == before.loc["Read", "what"]
    assert after.loc["Train", "what"] != before.loc["Train", "what"]
    assert after.loc["Train", "attempt"] > before.loc["Train", "attempt"]


def test_an_execution_that_takes_too_long_is_named_and_goes_on(aws, made):
    name = made(step(aws, "Sleep", "sleep 3"))
    with pytest.raises(TimeoutError, match=r"pipeline/.* is still Executing after 0\.5 s"):
        pipelines.run(aws, name, timeout=0.5)
    until(lambda: not running(aws, name))
    (found,) = executions(aws, name)
    pipelines.require(aws, found["PipelineExecutionArn"])


def test_a_schedule_starts_executions_with_its_parameters(aws, made):
    name, schedule = made(step(aws, "Echo", "echo $WORD")), aws.name("schedule")
    arn = pipelines.schedule(aws, schedule, name, "rate(1 minute)", {"Word": "scheduled"})
    assert pipelines.schedule(aws, schedule, name, "rate(2 minutes)", {"Word": "scheduled"}) == arn
    try:
        found = until(lambda: executions(aws, name))
    finally:
        aws.client("scheduler").delete_schedule(Name=schedule)
    given = aws.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=found[0]["PipelineExecutionArn"])
    assert given["PipelineParameters"] == [{"Name": "Word", "Value": "scheduled"}]
