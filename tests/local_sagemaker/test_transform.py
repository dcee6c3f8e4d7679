"""Batch transform: splitting, order, filters, joins, failures, stop, restart, and the SDK's Transformer."""

import gzip
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import xgboost
from botocore.exceptions import ClientError
from deployed import XGBOOST
from submitted_transforms import Transforms

from helpers import local_sagemaker

ENVIRONMENT = """
import json, os
def model_fn(model_dir):
    return {key: value for key, value in os.environ.items() if key.startswith(("SAGEMAKER_", "FLAVOUR"))}
def transform_fn(model, data, content_type, accept):
    return json.dumps(model), accept
"""

TRANSFORMER = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.transformer import Transformer

model, data = sys.argv[1:3]
session = Session()
transformer = Transformer(
    model_name=model, instance_count=1, instance_type="ml.m5.large", strategy="MultiRecord", assemble_with="Line",
    accept="text/csv", max_concurrent_transforms=2, max_payload=1, sagemaker_session=session,
    tags=[{"Key": "lab", "Value": "fraud"}],
)
transformer.transform(
    data, content_type="text/csv", split_type="Line", input_filter="$[1:]", join_source="Input",
    output_filter="$[0,-1]", wait=True, logs=True,
)
job = transformer.latest_transform_job
attached = Transformer.attach(job.transform_job_name, sagemaker_session=session)
print(json.dumps({
    "status": job.transform_job_status, "output": transformer.output_path, "model": attached.model_name,
    "max_payload": attached.max_payload,
}))
"""


@pytest.fixture
def transforms(client, bucket, unique) -> Transforms:
    """Jobs on the session's server."""
    return Transforms(client, bucket, unique)


def test_every_object_gets_its_output_in_the_order_of_its_lines(transforms):
    data = transforms.put(a_csv="1,x\n2,x\n3,x\n", b_csv="4\n5")
    name = transforms.submit(data, BatchStrategy="SingleRecord", MaxConcurrentTransforms=3, instances=2)
    assert transforms.completed(name) == {"a.csv.out": "10.0\n20.0\n30.0\n", "b.csv.out": "40.0\n50.0\n"}
    log = transforms.log(name)
    assert log.count("rows 1") == 5
    assert any(
        line.endswith("MaxConcurrentTransforms=3, MaxPayloadInMB=6, BatchStrategy=SINGLE_RECORD") for line in log
    )


def test_multi_record_fills_a_request_up_to_the_payload(transforms):
    row = "1," + "x" * 299_998
    name = transforms.submit(transforms.put(a_csv=f"{row}\n" * 7), MaxPayloadInMB=1, BatchStrategy="MultiRecord")
    assert transforms.completed(name)["a.csv.out"] == "10.0\n" * 7
    assert [line for line in transforms.log(name) if line.startswith("rows")] == ["rows 3", "rows 3", "rows 1"]


def test_gzip_is_unpacked_and_a_whole_object_is_one_request(transforms):
    data = transforms.put(a_csv_gz=gzip.compress(b"1\n2\n"))
    source = {"CompressionType": "Gzip", "SplitType": "None"}
    name = transforms.submit(data, source=source, target={"AssembleWith": "None"})
    assert transforms.completed(name) == {"a.csv.gz.out": "10.0\n20.0"}


def test_a_manifest_names_the_objects(transforms):
    data = transforms.put(a_csv="1\n", b_csv="2\n", manifest_json="")
    location = data.removeprefix(f"s3://{transforms.bucket}/")
    manifest = json.dumps([{"prefix": data}, "b.csv"])
    transforms.s3.put_object(Bucket=transforms.bucket, Key=f"{location}manifest.json", Body=manifest)
    s3_source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"{data}manifest.json"}}
    assert transforms.completed(transforms.submit(data, source={"DataSource": s3_source})) == {"b.csv.out": "20.0\n"}


def test_csv_is_filtered_joined_and_filtered_again(transforms):
    data = transforms.put(a_csv='id-1,1,"a,b"\nid-2,2,c\n')
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,2,-1]"}
    name = transforms.submit(data, DataProcessing=processing)
    assert transforms.completed(name)["a.csv.out"] == 'id-1,"a,b",10.0\nid-2,c,20.0\n'


def test_json_lines_are_filtered_and_joined(transforms):
    data = transforms.put(a_jsonl='{"id": 7, "features": {"amount": 2}}\n{"id": 8, "features": {"amount": 3}}\n')
    processing = {
        "InputFilter": "$.features",
        "JoinSource": "Input",
        "OutputFilter": "$['id','SageMakerOutput']",
    }
    name = transforms.submit(data, content_type="application/jsonlines", DataProcessing=processing)
    lines = transforms.completed(name)["a.jsonl.out"].splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 7, "SageMakerOutput": {"score": 20}},
        {"id": 8, "SageMakerOutput": {"score": 30}},
    ]


def test_the_container_knows_that_it_runs_a_batch(transforms):
    model = transforms.model(ENVIRONMENT, environment={"FLAVOUR": "mild", "FLAVOUR_2": "salt"})
    name = transforms.submit(
        transforms.put(a_txt="x"), model, Environment={"FLAVOUR": "hot"}, MaxConcurrentTransforms=2, MaxPayloadInMB=3
    )
    told = json.loads(transforms.completed(name)["a.txt.out"])
    assert (told["FLAVOUR"], told["FLAVOUR_2"]) == ("hot", "salt")
    assert told["SAGEMAKER_BATCH"] == "true"
    assert told["SAGEMAKER_BATCH_STRATEGY"] == "MULTI_RECORD"
    assert told["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "3"
    assert told["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "2"


def test_a_record_that_fails_names_its_file_and_the_other_files_are_transformed(transforms):
    data = transforms.put(a_csv="1\n", b_csv="2\noops\n", c_csv="3\n")
    name = transforms.submit(data, ModelClientConfig={"InvocationsMaxRetries": 0})
    job = transforms.ended(name)
    assert job["TransformJobStatus"] == "Failed"
    place = f"{data.removeprefix('s3://')}b.csv"
    assert job["FailureReason"].startswith(f"AlgorithmError: See job logs for more information. {place}: Bad HTTP")
    assert "could not convert string to float: 'oops'" in job["FailureReason"]
    assert transforms.outputs(name) == {"a.csv.out": "10.0\n", "c.csv.out": "30.0\n"}
    assert any(f"[sagemaker logs]: {place}: Bad HTTP status received" in line for line in transforms.log(name))


def test_a_record_longer_than_the_payload_fails_its_file(transforms):
    job = transforms.ended(transforms.submit(transforms.put(a_csv="1," + "x" * 1_048_576), MaxPayloadInMB=1))
    assert "a.csv: Too much data for max payload size" in job["FailureReason"]


def test_a_filter_that_does_not_apply_fails_its_file(transforms):
    name = transforms.submit(transforms.put(a_csv="1,2\n"), DataProcessing={"InputFilter": "$[5]"})
    assert "a.csv: InputFilter $[5] does not apply to a record" in transforms.ended(name)["FailureReason"]


def test_a_model_whose_process_ends_fails_the_job(transforms):
    reason = transforms.ended(transforms.submit(transforms.put(a_csv="exit\n")))["FailureReason"]
    assert reason.startswith("AlgorithmError: ")
    assert "Unable to get response from algorithm" in reason


def test_a_model_that_does_not_load_fails_the_job(transforms):
    model = transforms.model("def model_fn(model_dir):\n    raise KeyError('weights')")
    job = transforms.ended(transforms.submit(transforms.put(a_csv="1\n"), model))
    assert job["TransformJobStatus"] == "Failed"
    assert "KeyError: 'weights'" in job["FailureReason"]


def test_missing_input_and_a_missing_bucket_fail_the_job(transforms):
    model = transforms.model()
    nothing = f"s3://{transforms.bucket}/nothing-here/"
    reason = transforms.ended(transforms.submit(nothing, model))["FailureReason"]
    assert reason.startswith(f'ClientError: No S3 objects found under S3 URL "{nothing}"')
    target = {"S3OutputPath": "s3://no-such-bucket-at-all/x"}
    reason = transforms.ended(transforms.submit(nothing, model, target=target))["FailureReason"]
    assert "NoSuchBucket" in reason


def test_an_object_that_is_no_gzip_file_fails(transforms):
    name = transforms.submit(transforms.put(a_csv="1\n"), source={"CompressionType": "Gzip"})
    assert "a.csv: CompressionType is Gzip, and the object cannot be" in transforms.ended(name)["FailureReason"]


def test_the_built_in_xgboost_scores_line_by_line_and_refuses_other_types(transforms):
    rows = np.arange(20.0).reshape(10, 2)
    booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(rows, label=rows[:, 0]), num_boost_round=2)
    model = transforms.model(files={"xgboost-model": bytes(booster.save_raw())}, image=XGBOOST)
    data = transforms.put(a_csv="id-1,0,1\nid-2,18,19\n")
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    name = transforms.submit(data, model, target={"AssembleWith": "Line"}, DataProcessing=processing)
    scores = [line.split(",") for line in transforms.completed(name)["a.csv.out"].splitlines()]
    assert [key for key, _ in scores] == ["id-1", "id-2"]
    want = booster.predict(xgboost.DMatrix(rows[[0, -1]]))
    assert [float(score) for _, score in scores] == pytest.approx(want.tolist())
    reason = transforms.ended(transforms.submit(data, model, content_type="image/png"))["FailureReason"]
    assert reason.startswith("ClientError: ")
    assert "Bad HTTP status received from algorithm: 415" in reason


def test_a_stopped_job_ends_as_stopped(transforms):
    name = transforms.submit(transforms.put(a_csv="sleep\n"))
    transforms.wait_for_line(name, "rows 1")
    job = transforms.sm.describe_transform_job(TransformJobName=name)
    assert job["TransformJobStatus"] == "InProgress"
    transforms.sm.stop_transform_job(TransformJobName=name)
    job = transforms.ended(name)
    assert job["TransformJobStatus"] == "Stopped"
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    assert transforms.outputs(name) == {}
    with pytest.raises(ClientError, match="the transform job is in status Stopped"):
        transforms.sm.stop_transform_job(TransformJobName=name)


@pytest.mark.parametrize("kill", [False, True])
def test_a_job_that_the_server_left_behind_is_failed_on_restart(tmp_path, client_of, unique, kill):
    running = local_sagemaker.start(tmp_path)
    client = client_of(running)
    client("s3").create_bucket(Bucket="restarted")
    transforms = Transforms(client, "restarted", unique)
    name = transforms.submit(transforms.put(a_csv="sleep\n"))
    transforms.wait_for_line(name, "rows 1")
    if kill:
        os.kill(running.pid, signal.SIGKILL)
    else:
        local_sagemaker.stop(tmp_path)
    try:
        transforms = Transforms(client_of(local_sagemaker.start(tmp_path)), "restarted", unique)
        job = transforms.ended(name)
        assert job["TransformJobStatus"] == "Failed"
        assert "the local SageMaker was stopped while the job ran" in job["FailureReason"]
    finally:
        local_sagemaker.stop(tmp_path)


def test_a_job_is_listed_and_has_its_tags(transforms):
    model = transforms.model()
    tags = [{"Key": "lab", "Value": "fraud"}]
    name = transforms.submit(transforms.put(a_csv="1\n"), model, Tags=tags)
    transforms.completed(name)
    (summary,) = transforms.sm.list_transform_jobs(NameContains=name, StatusEquals="Completed")["TransformJobSummaries"]
    assert transforms.sm.list_tags(ResourceArn=summary["TransformJobArn"])["Tags"] == tags
    described = transforms.sm.describe_transform_job(TransformJobName=name)
    assert described["ModelName"] == model
    assert described["TransformOutput"]["Accept"] == "text/csv"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": {"SplitType": "RecordIO"}}, "SplitType RecordIO is not available"),
        ({"source": {"SplitType": "TFRecord"}}, "SplitType TFRecord is not available"),
        ({"DataProcessing": {"InputFilter": "$..name"}}, "Invalid InputFilter"),
        ({"DataProcessing": {"JoinSource": "Input"}, "content_type": "image/png"}, "DataProcessing needs a Content"),
        (
            {"DataProcessing": {"JoinSource": "Input"}, "target": {"Accept": "application/json"}},
            "joins CSV with CSV and JSON with JSON",
        ),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must not exceed 100 MB"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/x"}}, "DataCaptureConfig"),
        ({"model": "no-such-model"}, 'Could not find model ".*:model/no-such-model"'),
    ],
)
def test_what_cannot_run_is_refused(transforms, changes, words):
    changes = {"model": None} | changes
    with pytest.raises(ClientError, match=words) as caught:
        transforms.submit("s3://bucket/x", **changes)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_name_is_used_once(transforms):
    model, data = transforms.model(), transforms.put(a_csv="1\n")
    name = transforms.submit(data, model)
    with pytest.raises(ClientError, match="ResourceInUse"):
        transforms.submit(data, model, TransformJobName=name)
    transforms.completed(name)


def test_the_sdks_transformer_waits_streams_logs_and_attaches(transforms, server):
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}
    model = transforms.model()
    done = subprocess.run(
        [sys.executable, "-c", TRANSFORMER, model, transforms.put(a_csv="card-1,1\ncard-2,2\n")],
        env=inherited | local_sagemaker.environment(server),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert (result["status"], result["model"], result["max_payload"]) == ("Completed", model, 1)
    assert "rows 2" in done.stdout + done.stderr
    bucket, _, key = result["output"].removeprefix("s3://").partition("/")
    body = transforms.s3.get_object(Bucket=bucket, Key=f"{key}/a.csv.out")["Body"].read()
    assert body == b"card-1,10.0\ncard-2,20.0\n"
