"""Training jobs in script mode: layout, environment, states, artifacts, failures, stop, timeout, restart."""

import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from submitted_jobs import Submitter

from helpers import local_sagemaker

REPORT = """
import json, os, sys
report = {
    "argv": sys.argv, "cwd": os.getcwd(), "environment": dict(os.environ), "executable": sys.executable,
    "files": sorted(os.path.join(folder, name) for folder, _, names in os.walk("/opt/ml") for name in names),
    "config": {name: json.load(open(f"/opt/ml/input/config/{name}.json"))
               for name in ("hyperparameters", "resourceconfig", "inputdataconfig")},
}
json.dump(report, open(os.path.join(os.environ["SM_MODEL_DIR"], "report.json"), "w"))
"""
SLEEP = """
import os, sys, time
open(os.environ["SM_MODEL_DIR"] + "/half.txt", "w").write("half trained")
print("child of", os.getppid())
print("ready")
time.sleep(600)
"""


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


def refused(call: object) -> tuple[str, str]:
    """Code and message of the error that a call gives."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_script_finds_the_layout_and_the_environment_of_the_training_toolkit(submit):
    data = submit.put(f"{submit.unique('data')}/train/day=1/a.csv", "1,2\n").removesuffix("day=1/a.csv")
    hyperparameters = submit.source(train_py=REPORT) | {
        "max-depth": "3",
        "rate": "0.1",
        "name": '"abc"',
        "x": "raw text",
    }
    name = submit.train(
        HyperParameters=hyperparameters,
        InputDataConfig=[submit.channel("train", data)],
        Environment={"FLAVOUR": "mild"},
    )
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    report = json.loads(submit.artifact(description)["report.json"])
    assert report["argv"] == ["train.py", "--max-depth", "3", "--name", "abc", "--rate", "0.1", "-x", "raw text"]
    assert report["config"]["hyperparameters"] == hyperparameters
    assert report["config"]["resourceconfig"]["hosts"] == ["algo-1"]
    assert report["config"]["inputdataconfig"]["train"]["ContentType"] == "text/csv"
    environment = report["environment"]
    assert json.loads(environment["SM_HPS"]) == {"max-depth": 3, "rate": 0.1, "name": "abc", "x": "raw text"}
    assert environment["SM_HP_RATE"] == "0.1"
    assert environment["SM_USER_ENTRY_POINT"] == "train.py"
    assert environment["SM_MODULE_DIR"] == hyperparameters["sagemaker_submit_directory"]
    assert environment["FLAVOUR"] == "mild"
    assert environment["TRAINING_JOB_NAME"] == name
    root = environment["SM_MODEL_DIR"].removesuffix("/model")
    assert environment["SM_CHANNEL_TRAIN"] == f"{root}/input/data/train"
    assert json.loads(environment["SM_TRAINING_ENV"])["channel_input_dirs"] == {"train": f"{root}/input/data/train"}
    assert report["cwd"] == f"{root}/code"


def test_a_job_carries_no_secret_of_the_host_and_reaches_the_local_sagemaker(submit, server):
    script = "import boto3\nprint([b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])\n" + REPORT
    description = submit.trained(submit.train(HyperParameters=submit.source(train_py=script)))
    environment = json.loads(submit.artifact(description)["report.json"])["environment"]
    assert environment["AWS_ENDPOINT_URL"] == server.url
    assert environment["HOME"] != os.environ.get("HOME")
    leaked = [name for name in os.environ if name in environment and ("KEY" in name or "TOKEN" in name)]
    assert all(environment[name] == "local" for name in leaked), leaked
    assert any(submit.bucket in line for line in submit.log(description["TrainingJobName"]))


def test_a_completed_job_went_through_the_states_of_aws(submit):
    script = "print('accuracy=0.5'); print('accuracy=0.75; done')"
    algorithm = {
        "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}],
    }
    name = submit.train(HyperParameters=submit.source(train_py=script), AlgorithmSpecification=algorithm)
    description = submit.trained(name)
    transitions = description["SecondaryStatusTransitions"]
    assert [step["Status"] for step in transitions] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(step["StartTime"] <= step["EndTime"] for step in transitions)
    assert description["BillableTimeInSeconds"] == description["TrainingTimeInSeconds"] >= 1
    assert description["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"/models/{name}/output/model.tar.gz")
    (metric,) = description["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("accuracy", 0.75)
    assert submit.log(name) == ["accuracy=0.5", "accuracy=0.75; done"]


def test_metrics_of_a_job_are_in_cloudwatch(submit, client):
    algorithm = {
        "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
    }
    name = submit.train(
        HyperParameters=submit.source(train_py="print('loss=1.0')\nprint('loss=0.25')"),
        AlgorithmSpecification=algorithm,
    )
    submit.trained(name)
    found = client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Period=3600,
        Statistics=["Minimum", "SampleCount"],
        Dimensions=[{"Name": "TrainingJobName", "Value": name}],
        StartTime=time.time() - 7200,
        EndTime=time.time() + 7200,
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in found) == 2
    assert min(point["Minimum"] for point in found) == 0.25


def test_a_script_that_raises_fails_the_job_with_its_last_lines(submit):
    script = "import sys\nprint('before', file=sys.stderr)\nraise ValueError('the amount is negative')"
    description = submit.trained(submit.train(HyperParameters=submit.source(train_py=script) | {"lr": "0.1"}))
    reason = description["FailureReason"]
    assert description["TrainingJobStatus"] == description["SecondaryStatus"] == "Failed"
    assert reason.startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage ")
    assert "ValueError: the amount is negative" in reason
    assert 'Command "python3 train.py --lr 0.1"' in reason
    assert description["SecondaryStatusTransitions"][-1]["Status"] == "Failed"


def test_a_failure_reason_fits_its_shape_and_keeps_the_end(submit):
    script = "raise ValueError('x' * 3000 + ' the end')"
    reason = submit.trained(submit.train(HyperParameters=submit.source(train_py=script)))["FailureReason"]
    assert len(reason) <= 1024
    assert "the end" in reason


def test_a_failure_file_of_the_script_is_the_reason(submit):
    script = "open('/opt/ml/output/failure', 'w').write('no fraud in the data'); raise SystemExit(3)"
    reason = submit.trained(submit.train(HyperParameters=submit.source(train_py=script)))["FailureReason"]
    assert reason == "AlgorithmError: no fraud in the data, exit code: 3"


def test_an_entry_point_that_is_not_in_the_source_is_named(submit):
    hyperparameters = submit.source(other_py="") | {"sagemaker_program": "train.py"}
    reason = submit.trained(submit.train(HyperParameters=hyperparameters))["FailureReason"]
    assert "'train.py' is not in the source code" in reason
    assert "other.py" in reason


def test_an_unknown_image_fails_the_job_and_names_the_known_ones(submit):
    description = submit.trained(submit.train(image="111122223333.dkr.ecr.us-east-1.amazonaws.com/prophet:1"))
    assert description["FailureReason"].startswith("ClientError: The image 111122223333.dkr.ecr")
    assert "sagemaker-xgboost" in description["FailureReason"]


def test_a_missing_input_is_refused_as_aws_words_it(submit):
    channel = submit.channel("train", f"s3://{submit.bucket}/nothing/here")
    code, message = refused(lambda: submit.train(InputDataConfig=[channel]))
    assert code == "ValidationException"
    assert message.startswith(f'No S3 objects found under S3 URL "s3://{submit.bucket}/nothing/here"')


def test_a_missing_input_bucket_is_refused(submit):
    channel = submit.channel("train", "s3://no-such-bucket-at-all/data")
    code, message = refused(lambda: submit.train(InputDataConfig=[channel]))
    assert code == "ValidationException"
    assert '"s3:ListBucket" permissions on bucket "no-such-bucket-at-all"' in message


def test_a_missing_output_bucket_fails_the_job_before_it_trains(submit):
    name = submit.train(
        HyperParameters=submit.source(train_py="print('trained')"),
        OutputDataConfig={"S3OutputPath": "s3://no-such-bucket-at-all/models"},
    )
    reason = submit.trained(name)["FailureReason"]
    assert reason.startswith("ClientError: Artifact upload failed:")
    assert "no-such-bucket-at-all" in reason
    assert submit.log(name) == []


def test_a_missing_source_bundle_fails_the_job(submit):
    hyperparameters = {"sagemaker_program": "t.py", "sagemaker_submit_directory": f"s3://{submit.bucket}/none.tar.gz"}
    reason = submit.trained(submit.train(HyperParameters=hyperparameters))["FailureReason"]
    assert reason.startswith("ClientError: ")
    assert "none.tar.gz" in reason


def test_a_role_that_does_not_exist_is_refused(submit):
    code, message = refused(lambda: submit.train(RoleArn="arn:aws:iam::111122223333:role/Nobody"))
    assert code == "ValidationException"
    assert "Could not assume role arn:aws:iam::111122223333:role/Nobody" in message


def test_a_name_is_used_once(submit):
    name = submit.train(HyperParameters=submit.source(train_py=""))
    code, message = refused(lambda: submit.train(TrainingJobName=name))
    assert code == "ResourceInUse"
    assert "must be unique" in message
    submit.trained(name)


def test_stop_ends_the_process_tree_and_keeps_the_artifacts(submit):
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(611)'])\n"
    name = submit.train(HyperParameters=submit.source(train_py=child + SLEEP))
    submit.wait_for_line(name, "ready")
    submit.sm.stop_training_job(TrainingJobName=name)
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == description["SecondaryStatus"] == "Stopped"
    assert submit.artifact(description) == {"half.txt": b"half trained"}
    assert not [process for process in psutil.process_iter() if name in " ".join(_environment(process))]


def _environment(process: psutil.Process) -> list[str]:
    try:
        return [f"{key}={value}" for key, value in process.environ().items()]
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return []


def test_a_script_that_ignores_sigterm_is_killed(submit):
    script = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('not yet'))\n" + SLEEP.replace(
        "time.sleep(600)", "[time.sleep(.1) for _ in range(6000)]"
    )
    name = submit.train(HyperParameters=submit.source(train_py=script))
    submit.wait_for_line(name, "ready")
    submit.sm.stop_training_job(TrainingJobName=name)
    assert submit.trained(name)["TrainingJobStatus"] == "Stopped"
    assert "not yet" in submit.log(name)


def test_a_job_that_ended_cannot_be_stopped(submit):
    name = submit.train(HyperParameters=submit.source(train_py=""))
    submit.trained(name)
    code, message = refused(lambda: submit.sm.stop_training_job(TrainingJobName=name))
    assert (code, "status Completed" in message) == ("ValidationException", True)


def test_the_declared_runtime_ends_a_job(submit):
    name = submit.train(HyperParameters=submit.source(train_py=SLEEP), max_seconds=2)
    description = submit.trained(name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert submit.artifact(description) == {"half.txt": b"half trained"}


def test_logs_can_be_read_while_the_job_runs(submit):
    name = submit.train(HyperParameters=submit.source(train_py=SLEEP))
    submit.wait_for_line(name, "ready")
    assert submit.sm.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
    submit.sm.stop_training_job(TrainingJobName=name)
    submit.trained(name)


def test_checkpoints_go_both_ways(submit):
    script = """
import pathlib
state = pathlib.Path("/opt/ml/checkpoints/epoch.txt")
epoch = int(state.read_text()) if state.exists() else 0
print("epoch", epoch)
state.write_text(str(epoch + 1))
"""
    checkpoint = {"S3Uri": f"s3://{submit.bucket}/{submit.unique('checkpoints')}"}
    for epoch in (0, 1):
        name = submit.train(HyperParameters=submit.source(train_py=script), CheckpointConfig=checkpoint)
        assert submit.trained(name)["TrainingJobStatus"] == "Completed"
        assert submit.log(name) == [f"epoch {epoch}"]


def test_two_instances_share_a_sharded_channel(submit):
    prefix = submit.unique("shards")
    for index in range(4):
        submit.put(f"{prefix}/part-{index}.csv", str(index))
    script = """
import os, socket
names = sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"]))
print(os.environ["SM_CURRENT_HOST"], os.environ["SM_HOSTS"], names)
open(os.environ["SM_MODEL_DIR"] + f"/{os.environ['SM_CURRENT_HOST']}.txt", "w").write(" ".join(names))
"""
    name = submit.train(
        instances=2,
        HyperParameters=submit.source(train_py=script),
        InputDataConfig=[submit.channel("train", f"s3://{submit.bucket}/{prefix}/", sharded=True)],
    )
    description = submit.trained(name)
    assert submit.artifact(description) == {
        "algo-1.txt": b"part-0.csv part-2.csv",
        "algo-2.txt": b"part-1.csv part-3.csv",
    }
    assert submit.log(name, host="algo-2") == ["algo-2 [\"algo-1\", \"algo-2\"] ['part-1.csv', 'part-3.csv']"]


def test_what_a_script_leaves_in_output_data_is_uploaded_apart(submit):
    script = "open('/opt/ml/output/data/predictions.csv', 'w').write('1')"
    description = submit.trained(submit.train(HyperParameters=submit.source(train_py=script)))
    assert submit.artifact(description, "output.tar.gz") == {"predictions.csv": b"1"}


def test_a_manifest_names_the_objects_of_a_channel(submit):
    prefix = submit.unique("listed")
    submit.put(f"{prefix}/a.csv", "1")
    submit.put(f"{prefix}/b.csv", "2")
    manifest = submit.put(f"{prefix}.manifest", json.dumps([{"prefix": f"s3://{submit.bucket}/{prefix}/"}, "b.csv"]))
    channel = submit.channel("train", manifest)
    channel["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    script = "import os; print(os.listdir('/opt/ml/input/data/train'))"
    name = submit.train(HyperParameters=submit.source(train_py=script), InputDataConfig=[channel])
    assert submit.trained(name)["TrainingJobStatus"] == "Completed"
    assert submit.log(name) == ["['b.csv']"]


def test_requirements_are_seen_by_the_job_and_not_by_the_host(submit, tmp_path):
    script = "import pip, sys, pandas\nprint(sys.prefix, pip.__file__ is not None)\n"
    name = submit.train(HyperParameters=submit.source(train_py=script, requirements_txt="pandas\n"))
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description["FailureReason"]
    log = submit.log(name)
    assert any(line.startswith("Requirement already satisfied: pandas") for line in log)
    assert local_sagemaker.__file__.partition("/helpers/")[0] not in log[-1] or ".sagemaker" in log[-1]


def test_a_requirement_that_cannot_be_had_is_named(submit):
    source = submit.source(train_py="print('never')", requirements_txt="a-package-of-nobody-1b2c3d==9.9\n")
    description = submit.trained(submit.train(HyperParameters=source))
    assert "InstallRequirementsError" in description["FailureReason"]
    assert "a-package-of-nobody-1b2c3d==9.9" in description["FailureReason"]


def test_listing_filters_and_deleting_forgets(submit):
    name = submit.train(HyperParameters=submit.source(train_py=""))
    submit.trained(name)
    listed = submit.sm.list_training_jobs(NameContains=name, StatusEquals="Completed")["TrainingJobSummaries"]
    assert submit.sm.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"] == []
    assert [summary["TrainingJobName"] for summary in listed] == [name]
    submit.sm.delete_training_job(TrainingJobName=name)
    assert refused(lambda: submit.sm.describe_training_job(TrainingJobName=name))[0] == "ValidationException"


@pytest.mark.parametrize("way", ["bwrap", "unshare", "rewrite"])
def test_every_way_of_binding_runs_a_job_and_survives_a_killed_server(
    tmp_path, monkeypatch, client_of, role_arn, unique, way
):
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", way)
    running = local_sagemaker.start(tmp_path)
    try:
        submit = _submitter(client_of(running), role_arn, unique)
        name = submit.train(
            HyperParameters=submit.source(train_py="print(open('/opt/ml/input/config/resourceconfig.json').read())")
        )
        description = submit.trained(name)
        if f"{way} cannot bind /opt/ml" in description.get("FailureReason", ""):
            return  # this machine allows no such namespace: the job said so
        assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
        sleeping = submit.train(HyperParameters=submit.source(train_py=SLEEP))
        submit.wait_for_line(sleeping, "ready")
        processes = [
            process for process in psutil.process_iter() if any(sleeping in value for value in _environment(process))
        ]
        assert processes
        os.kill(running.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive, "a killed server leaves no process of its jobs"
        submit = _submitter(client_of(local_sagemaker.start(tmp_path)), role_arn, unique)
        description = submit.trained(sleeping)
        assert description["FailureReason"] == (
            "InternalServerError: the local SageMaker was stopped while the job ran"
        )
        assert submit.trained(name)["TrainingJobStatus"] == "Completed"
    finally:
        local_sagemaker.stop(tmp_path)


def _submitter(client: Callable[..., BaseClient], role_arn: str, unique: Callable[[str], str]) -> Submitter:
    client("s3").create_bucket(Bucket="of-its-own")
    return Submitter(client, "of-its-own", role_arn, unique)
