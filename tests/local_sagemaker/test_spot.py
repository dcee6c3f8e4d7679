"""Managed spot training, retries after a fault of the server, warm pools, and what is refused of a training request."""

import itertools
import json
import os
import signal
import time

import psutil
import pytest
from botocore.exceptions import ClientError
from submitted_jobs import SKLEARN, Submitter

from helpers import local_sagemaker

# Counts its attempts in a checkpoint, and waits until a third begins.
RESUMES = """
import pathlib, signal, sys, time
state = pathlib.Path("/opt/ml/checkpoints/epoch.txt")
epoch = int(state.read_text()) if state.exists() else 0
print("epoch", epoch)
def warned(*_):
    state.write_text(str(epoch + 1))
    print("warned in epoch", epoch)
    sys.exit(0)
signal.signal(signal.SIGTERM, warned)
print("ready", epoch)
while epoch < 2:
    time.sleep(0.1)
"""
SLEEP = "import time\nopen('/opt/ml/model/half.txt', 'w').write('x')\nprint('ready')\ntime.sleep(600)"


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


def train_on_spot(submit: Submitter, script: str, max_run: int = 600, max_wait: int = 900, **changes: object) -> str:
    limits = {"MaxRuntimeInSeconds": max_run, "MaxWaitTimeInSeconds": max_wait}
    source = submit.source(train_py=script)
    return submit.train(
        HyperParameters=source, EnableManagedSpotTraining=True, **{"StoppingCondition": limits} | changes
    )


def await_status(submit: Submitter, name: str, secondary: str) -> dict:
    deadline = time.monotonic() + 120
    while (description := submit.sm.describe_training_job(TrainingJobName=name))["SecondaryStatus"] != secondary:
        assert time.monotonic() < deadline, description
        time.sleep(0.02)
    return description


def refused(call: object) -> str:
    """The message of the ValidationException that a call gives."""
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def test_an_interrupted_job_goes_on_from_its_checkpoint(submit, server):
    checkpoint = {"S3Uri": f"s3://{submit.bucket}/{submit.unique('checkpoints')}"}
    name = train_on_spot(submit, RESUMES, CheckpointConfig=checkpoint)
    for epoch in (0, 1):
        deadline = time.monotonic() + 120
        while f"ready {epoch}" not in all_logs(submit, name):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        local_sagemaker.interrupt_spot(name, 6, home=server.home)
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    statuses = [step["Status"] for step in description["SecondaryStatusTransitions"]]
    run = ["Starting", "Downloading", "Training"]
    assert statuses == [*run, "Interrupted", *run, "Interrupted", *run, "Uploading", "Completed"]
    assert {"warned in epoch 0", "warned in epoch 1", "epoch 2"} <= set(all_logs(submit, name))
    assert description["BillableTimeInSeconds"] <= description["TrainingTimeInSeconds"]
    steps = description["SecondaryStatusTransitions"]
    assert all(step["EndTime"] <= after["StartTime"] for step, after in itertools.pairwise(steps))


def all_logs(submit: Submitter, name: str) -> list[str]:
    """The lines of all attempts: each has a log stream of its own."""
    group = "/aws/sagemaker/TrainingJobs"
    try:
        streams = submit.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    except submit.logs.exceptions.ResourceNotFoundException:
        return []
    found = []
    for stream in streams:
        events = submit.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        found += [event["message"] for event in events]
    return found


def test_a_job_that_waits_too_long_for_capacity_is_ended(submit, server):
    name = train_on_spot(submit, SLEEP, max_run=60, max_wait=60)
    submit.wait_for_line(name, "ready")
    local_sagemaker.interrupt_spot(name, 3600, home=server.home)
    description = submit.trained(name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    prefix = f"models/{name}/"
    assert submit.s3.list_objects_v2(Bucket=submit.bucket, Prefix=prefix)["KeyCount"] == 0, "its instance is gone"


def test_a_job_that_waits_for_capacity_can_be_stopped(submit, server):
    name = train_on_spot(submit, SLEEP, max_wait=86_400)
    submit.wait_for_line(name, "ready")
    local_sagemaker.interrupt_spot(name, 80_000, home=server.home)
    waiting = await_status(submit, name, "Interrupted")
    assert waiting["TrainingJobStatus"] == "InProgress"
    submit.sm.stop_training_job(TrainingJobName=name)
    assert submit.trained(name)["SecondaryStatus"] == "Stopped"


def test_the_runtime_of_all_attempts_counts(submit, server):
    name = train_on_spot(submit, SLEEP, max_run=4, max_wait=3600)
    submit.wait_for_line(name, "ready")
    local_sagemaker.interrupt_spot(name, 0, home=server.home)
    description = submit.trained(name)
    assert description["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert description["TrainingTimeInSeconds"] >= 4
    assert description["BillableTimeInSeconds"] < description["TrainingTimeInSeconds"]
    assert submit.artifact(description) == {"half.txt": b"x"}


def test_only_a_running_spot_job_is_interrupted(submit, server):
    name = submit.train(HyperParameters=submit.source(train_py=""))
    with pytest.raises(local_sagemaker.LocalSageMakerError, match="does not use spot instances"):
        local_sagemaker.interrupt_spot(name, home=server.home)
    submit.trained(name)
    name = train_on_spot(submit, "")
    submit.trained(name)
    with pytest.raises(local_sagemaker.LocalSageMakerError, match="cannot be interrupted: it is in status Completed"):
        local_sagemaker.interrupt_spot(name, home=server.home)
    with pytest.raises(local_sagemaker.LocalSageMakerError, match="not found"):
        local_sagemaker.interrupt_spot("no-such-job", home=server.home)


def test_a_retry_strategy_runs_a_job_again_after_a_killed_server(tmp_path, client_of, role_arn, unique):
    running = local_sagemaker.start(tmp_path)
    try:
        client = client_of(running)
        client("s3").create_bucket(Bucket="of-its-own")
        submit = Submitter(client, "of-its-own", role_arn, unique)
        strategy = {"MaximumRetryAttempts": 1}
        name = submit.train(HyperParameters=submit.source(train_py=SLEEP), RetryStrategy=strategy)
        submit.wait_for_line(name, "ready")
        kill_9(running.pid)
        running = local_sagemaker.start(tmp_path)
        submit = Submitter(client_of(running), "of-its-own", role_arn, unique)
        again = await_status(submit, name, "Training")
        statuses = [step["Status"] for step in again["SecondaryStatusTransitions"]]
        assert statuses == ["Starting", "Downloading", "Training"] * 2
        kill_9(running.pid)
        submit = Submitter(client_of(local_sagemaker.start(tmp_path)), "of-its-own", role_arn, unique)
        reason = submit.trained(name)["FailureReason"]
        assert reason == "InternalServerError: the local SageMaker was stopped while the job ran"
    finally:
        local_sagemaker.stop(tmp_path)


def kill_9(pid: int) -> None:
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    process.wait()


def test_a_script_that_fails_is_not_retried(submit):
    strategy = {"MaximumRetryAttempts": 3}
    name = submit.train(HyperParameters=submit.source(train_py="raise SystemExit(1)"), RetryStrategy=strategy)
    description = submit.trained(name)
    assert [step["Status"] for step in description["SecondaryStatusTransitions"]].count("Training") == 1


def kept_warm(seconds: int) -> dict:
    return {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 7, "KeepAlivePeriodInSeconds": seconds}


def test_a_warm_pool_is_taken_over_by_the_next_job_and_ends_with_its_period(submit):
    source = submit.source(train_py="")
    first = submit.train(HyperParameters=source, ResourceConfig=kept_warm(3600))
    submit.trained(first)
    listed = submit.sm.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"]
    assert first in [summary["TrainingJobName"] for summary in listed]
    second = submit.train(HyperParameters=source, ResourceConfig=kept_warm(3600))
    pool = submit.sm.describe_training_job(TrainingJobName=first)["WarmPoolStatus"]
    assert (pool["Status"], pool["ReusedByJob"]) == ("Reused", second)
    submit.trained(second)
    submit.sm.update_training_job(TrainingJobName=second, ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    assert submit.sm.describe_training_job(TrainingJobName=second)["WarmPoolStatus"]["Status"] == "Terminated"
    assert "no warm pool" in refused(
        lambda: submit.sm.update_training_job(TrainingJobName=second, ResourceConfig={"KeepAlivePeriodInSeconds": 9})
    )


def test_a_job_without_a_network_reaches_nothing(submit, server):
    port = server.url.rpartition(":")[2]
    script = f"""
import socket
for place in (("127.0.0.1", {port}), ("10.0.0.1", 80)):
    try:
        socket.create_connection(place, timeout=3)
        print("reached", place)
    except OSError as error:
        print("no way:", error)
"""
    name = submit.train(HyperParameters=submit.source(train_py=script), EnableNetworkIsolation=True)
    assert submit.trained(name)["TrainingJobStatus"] == "Completed"
    assert len([line for line in submit.log(name) if line.startswith("no way")]) == 2


def test_fast_files_are_read_only_and_have_no_manifest(submit):
    data = submit.put(f"{submit.unique('fast')}/a.csv", "1").removesuffix("a.csv")
    channel = submit.channel("train", data) | {"InputMode": "FastFile"}
    script = "import os, stat; print(oct(stat.S_IMODE(os.stat('/opt/ml/input/data/train/a.csv').st_mode)))"
    name = submit.train(HyperParameters=submit.source(train_py=script), InputDataConfig=[channel])
    submit.trained(name)
    assert submit.log(name) == ["0o444"]
    channel["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    assert "FastFile supports S3DataType S3Prefix only" in refused(lambda: submit.train(InputDataConfig=[channel]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"InputMode": "Pipe"}, "no input mode Pipe"),
        ({"CompressionType": "Gzip"}, "CompressionType Gzip goes with input mode Pipe"),
        ({"RecordWrapperType": "RecordIO"}, "RecordWrapperType RecordIO goes with input mode Pipe"),
    ],
)
def test_channels_that_would_be_read_otherwise_are_refused(submit, changes, words):
    channel = submit.channel("train", submit.put(f"{submit.unique('data')}/a.csv", "1")) | changes
    assert words in refused(lambda: submit.train(InputDataConfig=[channel]))


def test_an_augmented_manifest_is_refused(submit):
    channel = submit.channel("train", submit.put(f"{submit.unique('data')}/a.manifest", "{}"))
    source = channel["DataSource"]["S3DataSource"]
    source |= {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["source-ref"]}
    channel["DataSource"] = {"S3DataSource": source}
    assert "no S3DataType AugmentedManifestFile" in refused(lambda: submit.train(InputDataConfig=[channel]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"StoppingCondition": {"MaxWaitTimeInSeconds": 9}}, "only supported when EnableManagedSpotTraining"),
        ({"EnableManagedSpotTraining": True}, "must be present and be greater than or equal to MaxRuntimeInSeconds"),
        ({"EnableNetworkIsolation": True, "instances": 2}, "with more than one instance is not available"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/../../etc"}}, "must begin with /opt/ml"),
        ({"RemoteDebugConfig": {"EnableRemoteDebug": True}}, "RemoteDebugConfig.EnableRemoteDebug is not available"),
    ],
)
def test_what_cannot_be_had_is_refused(submit, changes, words):
    assert words in refused(lambda: submit.train(**changes))


def test_arguments_need_an_entry_point(submit):
    algorithm = {"TrainingImage": "sagemaker-scikit-learn:1.2-1", "TrainingInputMode": "File"}
    algorithm["ContainerArguments"] = ["--epochs", "3"]
    assert "without a ContainerEntrypoint" in refused(lambda: submit.train(AlgorithmSpecification=algorithm))
    algorithm["ContainerEntrypoint"] = ["echo", "given"]
    name = submit.train(AlgorithmSpecification=algorithm)
    submit.trained(name)
    assert submit.log(name) == ["given --epochs 3"]


def test_tensorboard_events_are_in_s3(submit):
    script = "open('/opt/ml/output/tensorboard/events', 'w').write('x')"
    target = submit.unique("boards")
    output = {"S3OutputPath": f"s3://{submit.bucket}/{target}"}
    name = submit.train(HyperParameters=submit.source(train_py=script), TensorBoardOutputConfig=output)
    assert submit.trained(name)["TrainingJobStatus"] == "Completed"
    key = f"{target}/{name}/tensorboard-output/events"
    assert submit.s3.get_object(Bucket=submit.bucket, Key=key)["Body"].read() == b"x"


def test_a_flood_of_metrics_is_thinned_out_and_its_last_value_is_told(submit, client):
    script = "print('loss=nan')\nfor step in range(20000):\n    print(f'loss={step};')"
    algorithm = {"TrainingImage": SKLEARN, "TrainingInputMode": "File"}
    algorithm["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss=(.*?);?$"}, {"Name": "bad", "Regex": "loss="}]
    name = submit.train(HyperParameters=submit.source(train_py=script), AlgorithmSpecification=algorithm)
    (metric,) = submit.trained(name)["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("loss", 19999)
    found = client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Period=3600,
        Statistics=["SampleCount"],
        Dimensions=[{"Name": "TrainingJobName", "Value": name}],
        StartTime=time.time() - 7200,
        EndTime=time.time() + 7200,
    )["Datapoints"]
    assert 1000 <= sum(point["SampleCount"] for point in found) < 2000


def test_rules_of_debugger_are_told_to_be_not_evaluated(submit):
    rule = {"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluatorImage": "rules:latest"}
    rules = {"DebugRuleConfigurations": [rule], "ProfilerRuleConfigurations": [rule]}
    description = submit.trained(submit.train(HyperParameters=submit.source(train_py=""), **rules))
    assert description["TrainingJobStatus"] == "Completed"
    for kind in ("Debug", "Profiler"):
        (status,) = description[f"{kind}RuleEvaluationStatuses"]
        assert (status["RuleConfigurationName"], status["RuleEvaluationStatus"]) == ("LossNotDecreasing", "Error")
        assert "not available in the local SageMaker" in status["StatusDetails"]


def test_infra_check_and_experiment_are_described(submit):
    submit.sm.create_experiment(ExperimentName="churn")
    experiment = {"ExperimentName": "churn", "TrialComponentDisplayName": "Training"}
    infra = {"EnableInfraCheck": True}
    name = submit.train(HyperParameters=submit.source(train_py=""), ExperimentConfig=experiment, InfraCheckConfig=infra)
    description = submit.trained(name)
    assert json.dumps(description["ExperimentConfig"]) == json.dumps(experiment)
    assert description["InfraCheckConfig"] == infra
