import io
import tarfile
import time

import pytest

from helpers import cleanup, costs, deployment

INFERENCE = """
import json


def model_fn(model_dir):
    with open(model_dir + "/weight.json") as file:
        return json.load(file)


def input_fn(body, content_type):
    return float(body)


def predict_fn(value, model):
    return value * model


def output_fn(value, accept):
    return json.dumps(value)
"""


@pytest.fixture
def parts(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weight.json").write_text("3.0")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text(INFERENCE)
    return tmp_path


def test_equal_files_pack_to_equal_bytes(parts):
    first = deployment.package_model(parts / "model", parts / "code", parts / "a/model.tar.gz").read_bytes()
    (parts / "model/weight.json").touch()
    second = deployment.package_model(parts / "model", parts / "code", parts / "b/model.tar.gz").read_bytes()
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert sorted(archive.getnames()) == ["code/inference.py", "weight.json"]


def test_a_training_jobs_archive_gains_the_code(parts):
    plain = deployment.package_model(parts / "model", None, parts / "plain.tar.gz")
    packed = deployment.package_model(plain, parts / "code", parts / "packed.tar.gz")
    with tarfile.open(packed) as archive:
        assert sorted(archive.getnames()) == ["code/inference.py", "weight.json"]


def test_a_code_folder_without_inference_is_named(parts):
    with pytest.raises(FileNotFoundError, match=r"inference\.py"):
        deployment.package_model(parts / "model", parts / "model", parts / "x.tar.gz")


def test_a_model_is_deployed_answers_and_is_deleted_with_all_it_needed(aws, parts):
    archive = deployment.package_model(parts / "model", parts / "code", parts / "model.tar.gz")
    environment = {"SAGEMAKER_PROGRAM": "inference.py"}
    uri = aws.upload(archive, "model")
    endpoint = deployment.deploy_realtime(aws, aws.name("triple"), aws.image("sklearn"), uri, environment)
    assert deployment.invoke(aws, endpoint, "2", content_type="text/plain") == b"6.0"
    assert {r.kind for r in cleanup.find(aws)} == {"endpoint", "endpoint config", "model"}
    deleted = cleanup.delete_lab(aws)
    assert set(deleted["kind"]) == {"endpoint", "endpoint config", "model", "S3 objects"}
    assert cleanup.find(aws) == []


def test_a_model_that_cannot_load_fails_with_its_own_error(aws, parts):
    (parts / "model/weight.json").unlink()
    archive = deployment.package_model(parts / "model", parts / "code", parts / "model.tar.gz")
    with pytest.raises(RuntimeError, match=r"weight\.json"):
        deployment.deploy_realtime(aws, aws.name("broken"), aws.image("sklearn"), aws.upload(archive, "model"))
    cleanup.delete_lab(aws)


def test_an_asynchronous_endpoint_answers_in_s3_and_is_priced_and_deleted_like_any_other(aws, parts):
    archive = deployment.package_model(parts / "model", parts / "code", parts / "model.tar.gz")
    topic = aws.client("sns").create_topic(Name="deployment-errors")["TopicArn"]
    name, uri = aws.name("later"), aws.upload(archive, "model")
    endpoint = deployment.deploy_async(aws, name, aws.image("sklearn"), uri, concurrent=2, error_topic=topic)
    output = aws.sagemaker.describe_endpoint(EndpointName=endpoint)["AsyncInferenceConfig"]["OutputConfig"]
    assert output["NotificationConfig"] == {"ErrorTopic": topic}
    assert deployment.invoke_async(aws, endpoint, "2", content_type="text/plain") == b"6.0"
    with pytest.raises(RuntimeError, match="could not convert string to float"):
        deployment.invoke_async(aws, endpoint, "two", content_type="text/plain")
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}]
    aws.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=desired)
    deployment.wait_in_service(aws, endpoint)
    with pytest.raises(TimeoutError, match="nothing lies at s3://"):
        deployment.invoke_async(aws, endpoint, "3", content_type="text/plain", timeout=0)
    assert cleanup.Resource("endpoint", endpoint, billed=True) in cleanup.find(aws)
    priced = costs.estimate(aws.ledger)
    assert list(priced[priced["name"] == f"{endpoint}/AllTraffic"]["instances"]) == [1, 0]
    cleanup.delete_lab(aws)
    assert cleanup.find(aws) == []


BY_LINE = """
def model_fn(model_dir):
    return 3.0


def input_fn(body, content_type):
    return [float(line) for line in body.splitlines()]


def predict_fn(values, model):
    return [value * model for value in values]
"""


@pytest.fixture
def model(aws, parts):
    (parts / "code/inference.py").write_text(BY_LINE)
    archive = deployment.package_model(parts / "model", parts / "code", parts / "model.tar.gz")
    name = aws.name("by-line")
    container = {"Image": aws.image("sklearn"), "ModelDataUrl": aws.upload(archive, "model")}
    aws.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=aws.role)
    yield name
    cleanup.delete_lab(aws)


def test_batch_transform_writes_one_line_for_each_and_is_priced(aws, model, tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/a.csv").write_text("card-1,2\ncard-2,5\n")
    processing = {"InputFilter": "$[1]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    job, rows = aws.name("score"), aws.upload(tmp_path / "rows", "rows")
    output = f"s3://{aws.bucket}/course/{aws.lab}/scores"
    done = deployment.batch_transform(aws, job, model, rows, output, data_processing=processing)
    assert done["TransformJobStatus"] == "Completed"
    body = aws.s3.get_object(Bucket=aws.bucket, Key=f"course/{aws.lab}/scores/a.csv.out")["Body"].read()
    assert body == b"card-1,6.0\ncard-2,15.0\n"
    priced = costs.estimate(aws.ledger)
    (row,) = priced[priced["name"] == job].to_dict("records")
    assert row["kind"] == "transform job"
    assert row["hours"] > 0


def test_a_batch_transform_that_fails_names_the_file(aws, model, tmp_path):
    (tmp_path / "bad.csv").write_text("2\nnone\n")
    uri = aws.upload(tmp_path / "bad.csv", "bad")
    options = {"ModelClientConfig": {"InvocationsMaxRetries": 0}}
    with pytest.raises(RuntimeError, match=r"TransformJobStatus is Failed: .*bad\.csv"):
        deployment.batch_transform(aws, aws.name("bad"), model, uri, f"s3://{aws.bucket}/out", **options)


def test_cleanup_stops_a_transform_job_in_progress(aws, model, parts):
    (parts / "code/inference.py").write_text("import time\ndef model_fn(model_dir):\n    time.sleep(600)\n")
    archive = deployment.package_model(parts / "model", parts / "code", parts / "slow.tar.gz")
    uri, slow = aws.upload(archive, "slow"), aws.name("slow")
    container = {"Image": aws.image("sklearn"), "ModelDataUrl": uri}
    aws.sagemaker.create_model(ModelName=slow, PrimaryContainer=container, ExecutionRoleArn=aws.role)
    with pytest.raises(TimeoutError, match="TransformJobStatus is still InProgress"):
        deployment.batch_transform(aws, slow, slow, uri, f"s3://{aws.bucket}/out", timeout=0)
    assert cleanup.Resource("transform job", slow, billed=True) in cleanup.find(aws)
    cleanup.delete_lab(aws)
    while (job := aws.sagemaker.describe_transform_job(TransformJobName=slow))["TransformJobStatus"] == "Stopping":
        time.sleep(aws.poll_seconds)
    assert job["TransformJobStatus"] == "Stopped"


def test_cleanup_leaves_other_labs_alone(aws):
    aws.sagemaker.create_model(
        ModelName="course-deploymentx-other",
        ExecutionRoleArn=aws.role,
        PrimaryContainer={"Image": aws.image("sklearn")},
    )
    assert "course-deploymentx-other" not in {r.name for r in cleanup.find(aws)}
