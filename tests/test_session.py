import subprocess
import sys

import boto3
import pytest

from helpers import connect, session


def test_importing_helpers_loads_no_heavy_package():
    code = "import sys, helpers; print(sys.modules.keys() & {'boto3', 'pandas', 'sagemaker', 'moto', 'aiohttp'})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "set()"


def test_connect_starts_a_local_sagemaker_that_any_boto3_client_reaches(aws):
    assert aws.backend == "local"
    assert boto3.client("sagemaker").meta.endpoint_url.startswith("http://127.0.0.1:")
    assert boto3.client("sagemaker").list_models()["Models"] == aws.sagemaker.list_models()["Models"]


def test_role_and_bucket_exist(aws):
    assert aws.role == f"arn:aws:iam::{aws.account}:role/CourseExecutionRole"
    assert aws.bucket == f"sagemaker-{aws.region}-{aws.account}"


def test_an_uploaded_file_comes_back_as_it_was(aws, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1,2\n")
    uri = aws.upload(tmp_path / "a.csv", "data")
    assert uri == f"s3://{aws.bucket}/course/session/data/a.csv"
    assert aws.download(uri, tmp_path / "back.csv").read_bytes() == b"1,2\n"


def test_an_uploaded_folder_comes_back_as_it_was(aws, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/b.txt").write_text("b")
    uri = aws.upload(tmp_path / "in", "folder")
    assert (aws.download(uri, tmp_path / "out") / "deep/b.txt").read_text() == "b"


def test_a_missing_file_or_object_is_named(aws, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        aws.upload(tmp_path / "nothing.csv", "data")
    with pytest.raises(FileNotFoundError, match="no/such/key"):
        aws.download(f"s3://{aws.bucket}/no/such/key", tmp_path / "x")


def test_names_carry_the_lab_and_differ(aws):
    first, second = aws.name("xgb"), aws.name("xgb")
    assert first.startswith("course-session-xgb-")
    assert first != second
    with pytest.raises(ValueError, match="63"):
        aws.name("x" * 60)


def test_an_unknown_backend_or_scale_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_BACKEND", "azure")
    with pytest.raises(ValueError, match="COURSE_BACKEND='azure'"):
        connect()
    monkeypatch.delenv("COURSE_BACKEND")
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(ValueError, match="COURSE_SCALE='huge'"):
        connect()


def test_on_aws_the_environment_is_left_alone(monkeypatch):
    monkeypatch.setenv("COURSE_BACKEND", "aws")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_REGION", raising=False)
    session = connect(lab="fraud")
    assert (session.backend, session.region) == ("aws", "eu-west-1")
    assert session.sagemaker.meta.endpoint_url == "https://api.sagemaker.eu-west-1.amazonaws.com"


def test_the_sdk_session_uses_the_courses_bucket(aws):
    sdk = aws.sdk_session()
    assert sdk.default_bucket() == aws.bucket
    assert sdk.boto_region_name == aws.region


@pytest.mark.parametrize("scope", ["training", "inference"])
@pytest.mark.parametrize("framework", session.CONTAINER_VERSIONS)
def test_every_container_of_the_course_is_one_that_aws_publishes(framework, scope):
    uri = session._image_uri(framework, "us-east-1", scope)
    assert session.CONTAINER_VERSIONS[framework] in uri
    if framework in ("pytorch", "huggingface"):
        assert f"-{scope}:" in uri
