"""Executions of pipelines: the cache, retries, parallelism, stops, selected steps, and what a kill leaves."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pipelined
import psutil
import pytest
from botocore.exceptions import ClientError
from pipelined import LONG, condition, equals, fail, get, join, processing, training

from helpers import local_sagemaker
from helpers.local_sagemaker.pipelines import coordinator, records, retries
from helpers.local_sagemaker.pipelines.handlers import HANDLERS, Handler
from helpers.local_sagemaker.state import Store

CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}
INTERNAL = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2, "IntervalSeconds": 1}


@pytest.fixture
def place(bucket, unique):
    """A prefix of S3."""
    return f"s3://{bucket}/{unique('runs')}"


def hits(steps):
    """The executions that results were taken from, by step."""
    found = {
        name: step["CacheHitResult"]["SourcePipelineExecutionArn"]
        for name, step in steps.items()
        if "CacheHitResult" in step
    }
    return dict(sorted(found.items()))


def test_a_second_run_takes_the_results_of_unchanged_steps_and_a_changed_input_does_not(pipelines, place):
    out = {"rows": join(place, get("Execution.PipelineExecutionId"), on="/")}
    script = "echo $WORD > /opt/ml/processing/rows/word"
    process = processing("Process", script, out, {"WORD": get("Parameters.Word")}, **CACHE)
    uri = get("Steps.Process.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri")
    train = training("Train", "cp /opt/ml/input/data/train/word /opt/ml/model/", place, uri, **CACHE)
    train["Arguments"]["HyperParameters"] = {"depth": get("Parameters.Depth")}
    uncached = processing("Uncached", "true", DependsOn=["Train"])
    words = [{"Name": n, "Type": "String", "DefaultValue": v} for n, v in (("Word", "one"), ("Depth", "1"))]
    name = pipelines.create(process, train, uncached, parameters=words)

    def run(**given):
        execution, steps = pipelines.ended(pipelines.start(name, given))
        assert execution["PipelineExecutionStatus"] == "Succeeded", steps
        return execution["PipelineExecutionArn"], steps

    first, original = run()
    assert hits(original) == {}
    _, steps = run()
    assert hits(steps) == {"Process": first, "Train": first}
    assert steps["Train"]["Metadata"] == original["Train"]["Metadata"]
    assert steps["Uncached"]["Metadata"] != original["Uncached"]["Metadata"]
    _, steps = run(Depth="2")
    assert hits(steps) == {"Process": first}, "a run that hit the cache is not a source"
    fourth, steps = run(Word="two")
    assert hits(steps) == {}
    _, steps = run(Word="two")
    assert hits(steps) == {"Process": fourth, "Train": fourth}


def test_results_that_failed_or_are_too_old_are_not_taken(pipelines, sm):
    broken = processing("Broken", "exit 1", **CACHE)
    name = pipelines.create(broken)
    for _ in range(2):
        _, steps = pipelines.ended(pipelines.start(name))
        assert steps["Broken"]["StepStatus"] == "Failed" and hits(steps) == {}
    short = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1S"}}
    name = pipelines.create(processing("Fine", "true", **CACHE))
    pipelines.ended(pipelines.start(name))
    time.sleep(1.1)
    sm.update_pipeline(PipelineName=name, PipelineDefinition=pipelined.definition(processing("Fine", "true", **short)))
    _, steps = pipelines.ended(pipelines.start(name))
    assert hits(steps) == {}
    off = {"CacheConfig": {"Enabled": False}}
    sm.update_pipeline(PipelineName=name, PipelineDefinition=pipelined.definition(processing("Fine", "true", **off)))
    _, steps = pipelines.ended(pipelines.start(name))
    assert hits(steps) == {}


def test_a_failed_execution_is_retried_from_where_it_failed(pipelines, s3, bucket, place, sm):
    script = {"Bucket": bucket, "Key": place.removeprefix(f"s3://{bucket}/") + "/in/script"}
    s3.put_object(**script, Body=b"exit 7")
    first = processing("First", "true")
    train = training("Train", "sh /opt/ml/input/data/train/script", place, f"{place}/in", DependsOn=["First"])
    beside = processing("Beside", "sleep 0.5", DependsOn=["First"])
    last = processing("Last", "true", DependsOn=["Train"])
    arn = pipelines.start(pipelines.create(first, train, beside, last))
    execution, before = pipelines.ended(arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert pipelines.statuses(before) == {"Beside": "Succeeded", "First": "Succeeded", "Train": "Failed"}
    assert "exit code: 7" in before["Train"]["FailureReason"]
    s3.put_object(**script, Body=b"true")
    request = {"PipelineExecutionArn": arn, "ClientRequestToken": "t" * 32}
    for _ in range(2):
        assert sm.retry_pipeline_execution(**request)["PipelineExecutionArn"] == arn
    execution, after = pipelines.ended(arn)
    assert execution["PipelineExecutionStatus"] == "Succeeded" and "FailureReason" not in execution
    assert pipelines.statuses(after) == dict.fromkeys(("Beside", "First", "Last", "Train"), "Succeeded")
    assert after["First"] == before["First"] and after["Beside"] == before["Beside"]
    assert after["Train"]["AttemptCount"] == 2 and "FailureReason" not in after["Train"]
    assert after["Train"]["Metadata"] != before["Train"]["Metadata"]


def test_no_more_steps_run_at_once_than_the_execution_allows(pipelines, sm):
    steps = [processing(f"Step{number}", "sleep 0.3") for number in range(5)]
    name = pipelines.create(*steps)
    spans = {}
    for most in (1, 2, 5):
        arn = pipelines.start(name, ParallelismConfiguration={"MaxParallelExecutionSteps": most})
        _, ran = pipelines.ended(arn)
        assert len(ran) == 5
        times = [(step["StartTime"], step["EndTime"]) for step in ran.values()]
        spans[most] = max(sum(begin <= moment < end for begin, end in times) for moment, _ in times)
    assert spans[1] == 1 and spans[2] == 2 and spans[5] > 2


def test_a_stop_ends_the_jobs_that_run_and_begins_no_others(pipelines, sm, place):
    steps = [
        processing("Long", LONG),
        training("Train", LONG, place),
        processing("After", "true", DependsOn=["Long"]),
    ]
    arn = pipelines.start(pipelines.create(*steps))
    for name in ("Long", "Train"):
        pipelines.await_step(arn, name, "Executing")
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    execution, ran = pipelines.ended(arn)
    assert execution["PipelineExecutionStatus"] == "Stopped", ran
    assert pipelines.statuses(ran) == {"Long": "Stopped", "Train": "Stopped"}
    job = ran["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    assert sm.describe_training_job(TrainingJobName=job)["TrainingJobStatus"] == "Stopped"
    sm.retry_pipeline_execution(PipelineExecutionArn=arn)
    pipelines.await_step(arn, "Long", "Executing")
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert pipelines.ended(arn)[0]["PipelineExecutionStatus"] == "Stopped"


def test_a_request_that_cannot_be_made_fails_the_step_and_names_the_operation(pipelines, place):
    step = processing("Odd", "true")
    step["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": get("Parameters.Number")}
    _, steps = pipelines.run(step, parameters=[{"Name": "Number", "Type": "Integer", "DefaultValue": 0}])
    assert "Failed to invoke sagemaker:CreateProcessingJob. Error Details" in steps["Odd"]["FailureReason"]
    no_role = processing("NoRole", "true")
    no_role["Arguments"]["RoleArn"] = "arn:aws:iam::111122223333:role/Nobody"
    _, steps = pipelines.run(no_role)
    assert "Could not assume role" in steps["NoRole"]["FailureReason"]
    missing = {"Std:JsonGet": {"S3Uri": f"{place}/none.json", "Path": "a"}}
    _, steps = pipelines.run(fail("Read", missing))
    assert f"{place}/none.json" in steps["Read"]["FailureReason"]


def test_selected_steps_run_with_the_results_of_an_earlier_execution(pipelines, place, sm):
    out = {"rows": join(place, get("Execution.PipelineExecutionId"), on="/")}
    process = processing("Process", "echo 1 > /opt/ml/processing/rows/one", out)
    uri = get("Steps.Process.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri")
    train = training("Train", "cp /opt/ml/input/data/train/one /opt/ml/model/", place, uri)
    judge = processing("Judge", "true", DependsOn=["Train"])
    check = condition("Check", [equals(get("Steps.Judge.ProcessingJobStatus"), "Completed")], [], [])
    name = pipelines.create(process, train, judge, check)
    source, before = pipelines.ended(pipelines.start(name))
    source = source["PipelineExecutionArn"]

    def select(*steps, **members):
        return {"SelectedSteps": [{"StepName": step} for step in steps]} | members

    config = select("Train", "Judge", SourcePipelineExecutionArn=source)
    execution, steps = pipelines.ended(pipelines.start(name, SelectiveExecutionConfig=config))
    assert execution["SelectiveExecutionConfig"] == config
    assert pipelines.statuses(steps) == dict.fromkeys(("Judge", "Process", "Train"), "Succeeded")
    assert steps["Process"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": source}
    assert steps["Process"]["Metadata"] == before["Process"]["Metadata"]
    assert steps["Train"]["Metadata"] != before["Train"]["Metadata"]
    _, steps = pipelines.ended(pipelines.start(name, SelectiveExecutionConfig=select("Process")))
    assert list(steps) == ["Process"]
    other = pipelines.create(process, train)
    for config, message in (
        (select("Nobody"), "the pipeline has no step"),
        (select("Train"), r"null. The selected steps \[Train\] have dependencies on \[Process\]"),
        (select("Process", "Judge"), r"\[Train\] are not"),
        (select("Check", SourcePipelineExecutionArn=f"{source}x"), "does not exist"),
    ):
        with pytest.raises(ClientError, match=message):
            pipelines.start(name, SelectiveExecutionConfig=config)
    with pytest.raises(ClientError, match=f"is not of the pipeline {other}"):
        pipelines.start(other, SelectiveExecutionConfig=select("Train", SourcePipelineExecutionArn=source))


def test_the_jobs_of_an_execution_have_its_experiment(pipelines, sm):
    config = {"ExperimentName": get("Execution.PipelineName"), "TrialName": get("Execution.PipelineExecutionId")}
    name = pipelines.create(processing("Run", "true"), PipelineExperimentConfig=config)
    arn = pipelines.start(name)
    execution, steps = pipelines.ended(arn)
    resolved = {"ExperimentName": name, "TrialName": arn.rpartition("/")[2]}
    assert execution["PipelineExperimentConfig"] == resolved
    job = steps["Run"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert sm.describe_processing_job(ProcessingJobName=job)["ExperimentConfig"] == resolved
    assert [trial["TrialName"] for trial in sm.list_trials(ExperimentName=name)["TrialSummaries"]] == [
        resolved["TrialName"]
    ]
    pipelines.ended(pipelines.start(name))
    assert len(sm.list_trials(ExperimentName=name)["TrialSummaries"]) == 2
    odd = pipelines.create(processing("Run", "true"), PipelineExperimentConfig=config | {"TrialName": "a b"})
    with pytest.raises(ClientError, match="'trialName' failed to satisfy constraint"):
        pipelines.start(odd)


def test_a_policy_says_how_often_and_when_a_step_is_tried_again():
    internal = [INTERNAL | {"BackoffRate": 3.0, "IntervalSeconds": 2}]
    waits = [retries.seconds_until_next(internal, retries.INTERNAL_ERROR, tries, 0) for tries in (1, 2, 3)]
    assert waits == [2, 6, None]
    assert retries.seconds_until_next(internal, retries.CAPACITY, 1, 0) is None
    assert retries.seconds_until_next([], None, 1, 0) is None
    assert retries.seconds_until_next([], retries.THROTTLING, 2, 0) == 2, "tried again without a policy"
    expiring = [{"ExceptionType": [retries.CAPACITY], "ExpireAfterMin": 1}]
    assert retries.seconds_until_next(expiring, retries.CAPACITY, 5, 30) == 16
    assert retries.seconds_until_next(expiring, retries.CAPACITY, 5, 45) is None
    assert retries.of_failure("InternalServerError: it broke") == retries.INTERNAL_ERROR
    assert retries.of_failure("AlgorithmError: exit code 1") is None
    assert retries.of_error("ResourceLimitExceeded") == retries.LIMIT


def test_a_job_is_told_its_own_name_and_never_cached_by_it(pipelines, sm):
    name = pipelines.create(processing("Run", "true", environment={"ME": get("Execution.ProcessingJobName")}, **CACHE))
    for _ in range(2):
        _, steps = pipelines.ended(pipelines.start(name))
        assert steps["Run"]["StepStatus"] == "Succeeded" and hits(steps) == {}, steps
        job = steps["Run"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
        assert sm.describe_processing_job(ProcessingJobName=job)["Environment"] == {"ME": job}


def test_what_nobody_foresaw_fails_one_step(tmp_path, monkeypatch):
    def decide(attempt):
        raise ZeroDivisionError

    store = Store(tmp_path / "state.db")
    text = pipelined.definition(condition("Odd", [equals(1, 1)], [], []), fail("Other", "as meant"))
    arn = records.execution_arn("p/e")
    store.put(records.VERSION, "p/1", {"PipelineDefinition": text})
    execution = {"PipelineArn": records.pipeline_arn("p"), "PipelineExecutionArn": arn, "PipelineVersionId": 1}
    store.put(records.EXECUTION, "p/e", execution | {"PipelineExecutionStatus": "Executing", "_parameters": {}})
    monkeypatch.setitem(HANDLERS, "Condition", Handler(decide))
    run = coordinator.Coordinator(SimpleNamespace(store=store, speedup=60), "p/e")
    deadline = time.monotonic() + pipelined.PATIENCE_SECONDS
    while not run.has_ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.get(records.EXECUTION, "p/e")["PipelineExecutionStatus"] == "Failed"
    reasons = {name: step["FailureReason"] for name, step in records.steps_of(store, "p/e").items()}
    assert reasons.pop("Odd").startswith("InternalServerError: ZeroDivisionError()")
    assert reasons == {"Other": "as meant"}
    store.close()


def kill(running):
    """Ends a server without a word."""
    process = psutil.Process(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    process.wait()


def test_an_execution_goes_on_after_a_kill_and_tries_again_what_its_policy_says(client_of, unique):
    home = Path(tempfile.mkdtemp(prefix="pipelines"))
    running = local_sagemaker.start(home)
    pipelines = pipelined.Pipelines(client_of(running)("sagemaker"), unique)
    steps = [
        processing("Done", "true"),
        processing("Retried", LONG, DependsOn=["Done"], RetryPolicies=[INTERNAL]),
        processing("Lost", LONG, DependsOn=["Done"]),
    ]
    arn = pipelines.start(pipelines.create(*steps))
    for name in ("Retried", "Lost"):
        pipelines.await_step(arn, name, "Executing")
    before = pipelines.steps(arn)
    kill(running)
    running = local_sagemaker.start(home)
    try:
        pipelines.sm = client_of(running)("sagemaker")
        lost = pipelines.await_step(arn, "Lost", "Failed")
        assert lost["FailureReason"].startswith("InternalServerError: the local SageMaker was stopped")
        while (again := pipelines.await_step(arn, "Retried", "Executing"))["AttemptCount"] < 2:
            time.sleep(0.05)
        assert again["Metadata"] != before["Retried"]["Metadata"]
        assert pipelines.steps(arn)["Done"] == before["Done"]
        pipelines.sm.stop_pipeline_execution(PipelineExecutionArn=arn)
        execution, after = pipelines.ended(arn)
        assert execution["PipelineExecutionStatus"] == "Failed"
        assert pipelines.statuses(after) == {"Done": "Succeeded", "Lost": "Failed", "Retried": "Stopped"}
    finally:
        local_sagemaker.stop(home)
        shutil.rmtree(home)
