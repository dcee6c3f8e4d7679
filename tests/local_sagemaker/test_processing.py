"""Processing jobs: configuration, inputs, outputs, messages, failures, stop and timeout."""

import json

import pytest
from botocore.exceptions import ClientError
from submitted_jobs import SKLEARN, Submitter

CODE = "/opt/ml/processing/input/code"
IN, OUT = "/opt/ml/processing/input/data", "/opt/ml/processing/output"


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


def s3_input(name: str, uri: str, path: str) -> dict:
    """A ProcessingInput."""
    s3 = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": s3}


def s3_output(name: str, uri: str, path: str = OUT, mode: str = "EndOfJob") -> dict:
    """A ProcessingOutput."""
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}


def run(submit: Submitter, script: str, *arguments: str, **changes: object) -> str:
    """Submits a job that runs a script; returns its name."""
    code = submit.put(f"{submit.unique('code')}/step.py", script)
    inputs = [s3_input("code", code, CODE), *changes.pop("ProcessingInputs", [])]
    return submit.process(["python3", f"{CODE}/step.py", *arguments], ProcessingInputs=inputs, **changes)


def test_a_script_reads_its_inputs_and_its_outputs_are_uploaded(submit):
    data = submit.put(f"{submit.unique('data')}/raw/a.csv", "1,2\n3,4\n").removesuffix("a.csv")
    target = f"s3://{submit.bucket}/{submit.unique('out')}"
    script = f"""
import json, pathlib, sys
rows = pathlib.Path("{IN}/a.csv").read_text().splitlines()
config = json.load(open("/opt/ml/config/processingjobconfig.json"))
hosts = json.load(open("/opt/ml/config/resourceconfig.json"))
out = pathlib.Path("{OUT}")
(out / "train").mkdir()
(out / "train" / "rows.json").write_text(json.dumps([len(rows), sys.argv[1:], config["ProcessingJobName"], hosts]))
pathlib.Path("/opt/ml/output/message").write_text("2 rows")
"""
    name = run(
        submit,
        script,
        "--split",
        "0.2",
        ProcessingInputs=[s3_input("data", data, IN)],
        ProcessingOutputConfig={"Outputs": [s3_output("result", target)]},
    )
    description = submit.processed(name)
    assert description["ProcessingJobStatus"] == "Completed", description.get("FailureReason")
    assert description["ExitMessage"] == "2 rows"
    assert description["ProcessingStartTime"] <= description["ProcessingEndTime"]
    key = target.removeprefix(f"s3://{submit.bucket}/") + "/train/rows.json"
    written = json.loads(submit.s3.get_object(Bucket=submit.bucket, Key=key)["Body"].read())
    assert written == [2, ["--split", "0.2"], name, {"current_host": "algo-1", "hosts": ["algo-1"]}]


def test_a_script_that_raises_fails_the_job_with_its_last_lines(submit):
    name = run(submit, "print('begin')\nraise KeyError('customer_id')")
    description = submit.processed(name)
    assert description["ProcessingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("AlgorithmError: ")
    assert description["FailureReason"].endswith("KeyError: 'customer_id', exit code: 1")
    assert submit.log(name, "ProcessingJobs")[0] == "begin"


def test_continuous_outputs_are_uploaded_while_the_job_runs(submit):
    target = submit.unique("stream")
    script = f"""
import time
open("{OUT}/first.txt", "w").write("1")
print("ready")
time.sleep(600)
"""
    outputs = [s3_output("stream", f"s3://{submit.bucket}/{target}", mode="Continuous")]
    name = run(submit, script, ProcessingOutputConfig={"Outputs": outputs})
    submit.wait_for_line(name, "ready", "ProcessingJobs")
    waiter = submit.s3.get_waiter("object_exists")
    waiter.wait(Bucket=submit.bucket, Key=f"{target}/first.txt", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert submit.sm.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "InProgress"
    submit.sm.stop_processing_job(ProcessingJobName=name)
    assert submit.processed(name)["ProcessingJobStatus"] == "Stopped"


def test_the_declared_runtime_fails_a_processing_job(submit):
    name = run(submit, "import time; time.sleep(600)", max_seconds=1)
    description = submit.processed(name)
    assert description["ProcessingJobStatus"] == "Failed"
    assert "MaxRuntimeInSeconds (1 s)" in description["FailureReason"]


def test_a_missing_input_fails_the_job(submit):
    name = run(submit, "", ProcessingInputs=[s3_input("data", f"s3://{submit.bucket}/nothing/", IN)])
    reason = submit.processed(name)["FailureReason"]
    assert reason.startswith("ClientError: Failed to download data of input 'data'.")
    assert f"s3://{submit.bucket}/nothing/" in reason


def test_a_missing_output_bucket_fails_the_job(submit):
    outputs = {"Outputs": [s3_output("result", "s3://no-such-bucket-at-all/x")]}
    reason = submit.processed(run(submit, "", ProcessingOutputConfig=outputs))["FailureReason"]
    assert "NoSuchBucket" in reason


def test_an_unknown_image_fails_the_job(submit):
    reason = submit.processed(submit.process(["python3"], image="spark:3"))["FailureReason"]
    assert "Known repositories: sagemaker-xgboost" in reason


def test_a_command_that_does_not_exist_fails_the_job(submit):
    reason = submit.processed(submit.process(["/usr/bin/no-such-program"]))["FailureReason"]
    assert "no-such-program" in reason
    assert reason.endswith("exit code: 127")


def test_a_local_path_outside_the_processing_folder_is_refused(submit):
    with pytest.raises(ClientError) as caught:
        submit.process(["python3"], ProcessingInputs=[s3_input("data", "s3://bucket/x", "/etc")])
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "LocalPath must begin with /opt/ml/processing" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"LocalPath": "/opt/ml/processing/../../../etc"}, "LocalPath must begin with /opt/ml/processing"),
        ({"LocalPath": "/opt/ml/processing-secrets"}, "LocalPath must begin with /opt/ml/processing"),
        ({"S3InputMode": "Pipe"}, "no S3InputMode Pipe"),
        ({"S3CompressionType": "Gzip"}, "S3CompressionType Gzip can only be used with S3InputMode Pipe"),
        ({"S3Uri": "https://example.com/x"}, "neither s3://bucket/key"),
    ],
)
def test_inputs_that_cannot_be_had_are_refused(submit, changes, words):
    one = s3_input("data", "s3://bucket/x", IN)
    one["S3Input"] |= changes
    with pytest.raises(ClientError, match=words):
        submit.process(["python3"], ProcessingInputs=[one])


def test_a_feature_store_output_and_a_dataset_definition_are_refused(submit):
    output = {"OutputName": "features", "FeatureStoreOutput": {"FeatureGroupName": "g"}, "AppManaged": True}
    with pytest.raises(ClientError, match="FeatureStoreOutput is not available"):
        submit.process(["python3"], ProcessingOutputConfig={"Outputs": [output]})
    one = {"InputName": "data", "DatasetDefinition": {"LocalPath": IN}}
    with pytest.raises(ClientError, match="DatasetDefinition is not available"):
        submit.process(["python3"], ProcessingInputs=[one])


def test_two_instances_share_a_sharded_input_and_upload_to_the_same_place(submit):
    prefix, target = submit.unique("shards"), submit.unique("out")
    for index in range(4):
        submit.put(f"{prefix}/part-{index}.csv", str(index))
    script = f"""
import json, os, pathlib
host = json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"]
pathlib.Path("{OUT}", host).write_text(" ".join(sorted(os.listdir("{IN}"))))
"""
    data = s3_input("data", f"s3://{submit.bucket}/{prefix}/", IN)
    data["S3Input"]["S3DataDistributionType"] = "ShardedByS3Key"
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
    name = run(
        submit,
        script,
        ProcessingInputs=[data],
        ProcessingResources={"ClusterConfig": cluster},
        ProcessingOutputConfig={"Outputs": [s3_output("result", f"s3://{submit.bucket}/{target}")]},
    )
    assert submit.processed(name)["ProcessingJobStatus"] == "Completed"
    read = {host: submit.s3.get_object(Bucket=submit.bucket, Key=f"{target}/{host}") for host in ("algo-1", "algo-2")}
    assert {host: answer["Body"].read() for host, answer in read.items()} == {
        "algo-1": b"part-0.csv part-2.csv",
        "algo-2": b"part-1.csv part-3.csv",
    }


def test_what_the_application_manages_is_left_to_it(submit):
    managed = {
        "InputName": "own",
        "AppManaged": True,
        "S3Input": {"S3Uri": "s3://no-bucket/x", "S3DataType": "S3Prefix"},
    }
    output = s3_output("own", "s3://no-bucket/y") | {"AppManaged": True}
    name = run(submit, "", ProcessingInputs=[managed], ProcessingOutputConfig={"Outputs": [output]})
    assert submit.processed(name)["ProcessingJobStatus"] == "Completed"


def test_a_job_without_a_network_reaches_nothing(submit, server):
    script = f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {server.url.rpartition(":")[2]}), timeout=3)
except OSError as error:
    raise SystemExit("no way")
"""
    name = run(submit, script, NetworkConfig={"EnableNetworkIsolation": True})
    assert submit.processed(name)["FailureReason"] == "AlgorithmError: no way, exit code: 1"


def test_the_error_of_a_script_counts_more_than_a_bucket_that_went_away(submit):
    bucket = submit.unique("gone")
    submit.s3.create_bucket(Bucket=bucket)
    script = f"""
import boto3
boto3.client("s3").delete_bucket(Bucket="{bucket}")
open("{OUT}/half.txt", "w").write("x")
raise SystemExit("the data is broken")
"""
    name = run(submit, script, ProcessingOutputConfig={"Outputs": [s3_output("result", f"s3://{bucket}/x")]})
    assert submit.processed(name)["FailureReason"] == "AlgorithmError: the data is broken, exit code: 1"


def test_a_bucket_that_went_away_fails_a_job_that_succeeded(submit):
    bucket = submit.unique("gone")
    submit.s3.create_bucket(Bucket=bucket)
    script = f"import boto3\nboto3.client('s3').delete_bucket(Bucket='{bucket}')\nopen('{OUT}/a', 'w').write('x')"
    name = run(submit, script, ProcessingOutputConfig={"Outputs": [s3_output("result", f"s3://{bucket}/x")]})
    assert "NoSuchBucket" in submit.processed(name)["FailureReason"]


def test_an_entry_point_without_a_name_uses_the_environment_of_the_request(submit):
    name = submit.process(
        ["sh", "-c", "echo flavour=$FLAVOUR in $PROCESSING_JOB_NAME"], Environment={"FLAVOUR": "mild"}
    )
    assert submit.processed(name)["ProcessingJobStatus"] == "Completed"
    assert submit.log(name, "ProcessingJobs") == [f"flavour=mild in {name}"]


def test_listing_finds_a_job_and_describe_tells_the_request(submit):
    name = run(submit, "")
    submit.processed(name)
    (summary,) = submit.sm.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert summary["ProcessingJobStatus"] == "Completed"
    described = submit.sm.describe_processing_job(ProcessingJobName=name)
    assert described["AppSpecification"]["ImageUri"] == SKLEARN
    assert described["ProcessingInputs"][0]["InputName"] == "code"


def test_a_requirement_of_a_source_bundle_that_cannot_be_had_is_named(submit):
    bundle = submit.source(requirements_txt="a-package-of-nobody-1b2c3d==9.9\n")["sagemaker_submit_directory"]
    name = submit.process(["sh", "-c", "true"], ProcessingInputs=[s3_input("code", bundle, CODE)])
    reason = submit.processed(name)["FailureReason"]
    assert "InstallRequirementsError" in reason
    assert "a-package-of-nobody-1b2c3d==9.9" in reason
