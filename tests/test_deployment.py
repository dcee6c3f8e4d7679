import io
import tarfile

import pytest

from helpers import cleanup, deployment

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


def test_cleanup_leaves_other_labs_alone(aws):
    aws.sagemaker.create_model(
        ModelName="course-deploymentx-other",
        ExecutionRoleArn=aws.role,
        PrimaryContainer={"Image": aws.image("sklearn")},
    )
    assert "course-deploymentx-other" not in {r.name for r in cleanup.find(aws)}
