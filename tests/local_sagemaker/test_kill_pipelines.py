"""The server is killed at random points while pipelines run: every execution ends, and nothing of it is lost."""

import itertools
import time

import pipelined
import pytest
from botocore.exceptions import ClientError
from killed import BUCKET, Victim
from pipelined import condition, equals, fail, get, join, processing, training

# Where the server is killed, and how often clients get there at most before it is.
POINTS = {
    "pipeline created": 2,
    "execution started": 2,
    "Prepare begun": 1,
    "Train begun": 1,
    "Train Succeeded": 1,
    "stop asked for": 1,
    "retry asked for": 1,
}
INTERNAL = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 20, "IntervalSeconds": 0}
pytestmark = pytest.mark.timeout(900)  # on a machine that does much else

_numbers = itertools.count()


def steps() -> list[dict]:
    """Two jobs, of which the first is tried again after a kill, and a condition."""
    place = join(f"s3://{BUCKET}", get("Execution.PipelineExecutionId"), on="/")
    script = "sleep 0.1; echo 1 > /opt/ml/processing/rows/one"
    prepare = processing("Prepare", script, {"rows": place}, RetryPolicies=[INTERNAL])
    uri = get("Steps.Prepare.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri")
    train = training("Train", "cp /opt/ml/input/data/train/one /opt/ml/model; sleep 0.1", f"s3://{BUCKET}/models", uri)
    judge = condition("Judge", [equals(get("Steps.Train.TrainingJobStatus"), "Completed")], [], [fail("No", "never")])
    return [prepare, train, judge]


def executions(victim: Victim) -> None:
    """Creates a pipeline, runs it to its end, and stops and retries another run of it."""
    sm, name = victim.client("sagemaker"), f"pipeline-{next(_numbers)}"
    with victim.ledger.change("pipeline", name, "there"):
        victim.reached("pipeline created")
        sm.create_pipeline(PipelineName=name, PipelineDefinition=pipelined.definition(*steps()), RoleArn=pipelined.ROLE)
    arn = start(victim, name, "run")
    seen: set[str] = set()
    while (
        status := sm.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
    ) == "Executing":
        for step in sm.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]:
            for point in (f"{step['StepName']} begun", f"{step['StepName']} {step['StepStatus']}"):
                if point not in seen:
                    seen.add(point)
                    victim.reached(point)
        time.sleep(0.01)
    assert status == "Succeeded", sm.list_pipeline_execution_steps(PipelineExecutionArn=arn)
    arn = start(victim, name, "stop")
    victim.reached("stop asked for")
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    pipelined.Pipelines(sm, str).ended(arn)
    victim.reached("retry asked for")
    sm.retry_pipeline_execution(PipelineExecutionArn=arn)


def follow(victim: Victim, arn: str) -> None:
    """Tells of the steps of an execution as they go on; nothing fails while the server lives."""
    sm, seen = victim.client("sagemaker"), set()
    while (told := sm.describe_pipeline_execution(PipelineExecutionArn=arn))["PipelineExecutionStatus"] == "Executing":
        for step in sm.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]:
            for point in (f"{step['StepName']} begun", f"{step['StepName']} {step['StepStatus']}"):
                if point not in seen:
                    seen.add(point)
                    victim.reached(point)
        time.sleep(0.01)
    assert told["PipelineExecutionStatus"] == "Succeeded", told


def start(victim: Victim, pipeline: str, name: str) -> str:
    """Starts an execution that has a name of its own; returns its ARN."""
    display = f"{pipeline}-{name}"
    with victim.ledger.change("execution", display, "there"):
        victim.reached("execution started")
        started = victim.client("sagemaker").start_pipeline_execution(
            PipelineName=pipeline, PipelineExecutionDisplayName=display
        )
    return started["PipelineExecutionArn"]


def read_pipeline(victim: Victim, name: str) -> str | None:
    """Whether a pipeline is there, with its definition."""
    try:
        told = victim.client("sagemaker").describe_pipeline(PipelineName=name)
    except ClientError as error:
        assert "does not exist" in str(error)
        return None
    assert told["PipelineDefinition"] == pipelined.definition(*steps())
    return "there"


def read_execution(victim: Victim, display: str) -> str | None:
    """Whether an execution is there; it ends, by what became of its steps, and leaves no job that runs."""
    sm, pipeline = victim.client("sagemaker"), display.rpartition("-")[0]
    try:
        listed = sm.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]
    except ClientError as error:
        assert "does not exist" in str(error)
        return None
    named = [each for each in listed if each["PipelineExecutionDisplayName"] == display]
    if not named:
        return None
    (told,) = named
    told, ran = pipelined.Pipelines(sm, str).ended(told["PipelineExecutionArn"])
    status, statuses = told["PipelineExecutionStatus"], {name: step["StepStatus"] for name, step in ran.items()}
    if status == "Succeeded":
        assert statuses == dict.fromkeys(("Judge", "Train", "Prepare"), "Succeeded")
    elif status == "Failed":
        assert statuses == {"Prepare": "Succeeded", "Train": "Failed"}, ran
        assert "stopped while the job ran" in ran["Train"]["FailureReason"]
    else:
        assert status == "Stopped" and display.endswith("stop"), ran
        assert {*statuses.values()} <= {"Succeeded", "Stopped"}
    check_jobs(victim, ran)
    return "there"


def check_jobs(victim: Victim, ran: dict[str, dict]) -> None:
    """The jobs of steps that have ended have ended as the steps did."""
    sm = victim.client("sagemaker")
    ends = {"Completed": "Succeeded", "Failed": "Failed", "Stopped": "Stopped"}
    for step in ran.values():
        for kind, made in step.get("Metadata", {}).items():
            name = made.get("Arn", "").rpartition("/")[2]
            if kind == "ProcessingJob":
                job = sm.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"]
                assert ends[job] == step["StepStatus"], step
            if kind == "TrainingJob":
                job = sm.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
                assert ends[job] == step["StepStatus"], step


@pytest.mark.parametrize("victim", [5], indirect=True)
def test_pipelines_survive_kills_at_random_points(victim, report):
    read = {"pipeline": read_pipeline, "execution": read_execution}
    kills = victim.kill_at(POINTS, 2, [executions], read)
    report("Kills amid executions of pipelines", kills, bar=14, **victim.found())
