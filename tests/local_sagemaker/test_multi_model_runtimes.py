"""Multi-model endpoints of every local runtime, and inside a pipeline."""

import io
import json
from collections.abc import Iterator

import deployed
import pytest
from botocore.exceptions import ClientError
from multi_models import MultiModel


@pytest.fixture
def models(client, bucket, unique) -> Iterator[MultiModel]:
    """A prefix of its own on the session's server."""
    made = MultiModel(client, bucket, unique("models"))
    yield made
    if made.sm.list_endpoints(NameContains=made.name)["Endpoints"]:
        made.sm.delete_endpoint(EndpointName=made.name)


def test_built_in_xgboost_serves_many_models(models):
    import numpy as np
    import xgboost

    rows = np.random.default_rng(0).random((20, 3), dtype=np.float32)
    expected = {}
    for column in range(3):
        matrix = xgboost.DMatrix(rows, rows[:, column])
        booster = xgboost.train({"max_depth": 2}, matrix, 3)
        archive = deployed.archive({"xgboost-model": bytes(booster.save_raw("ubj"))})
        models.s3.put_object(Bucket=models.bucket, Key=f"{models.name}/{column}.tar.gz", Body=archive)
        expected[f"{column}.tar.gz"] = booster.predict(matrix)
    models.deploy(Image=deployed.XGBOOST)
    body = "\n".join(",".join(map(str, row)) for row in rows)
    for target, scores in expected.items():
        answer = models.runtime.invoke_endpoint(
            EndpointName=models.name, TargetModel=target, Body=body, ContentType="text/csv"
        )
        got = [float(score) for score in answer["Body"].read().decode().split(",")]
        np.testing.assert_allclose(got, scores, rtol=1e-5)


def test_torchscript_models_are_served_without_a_script(models):
    import torch

    for factor in (2.0, 3.0):
        layer = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.constant_(layer.weight, factor)
        packed = io.BytesIO()
        with pytest.deprecated_call():  # PyTorch's containers still serve TorchScript by default
            torch.jit.save(torch.jit.script(layer), packed)
        archive = deployed.archive({"model.pt": packed.getvalue()})
        models.s3.put_object(Bucket=models.bucket, Key=f"{models.name}/{factor}.tar.gz", Body=archive)
    models.deploy(Image=f"{deployed.REGISTRY}/pytorch-inference:2.3-cpu-py311")
    for factor in (2.0, 3.0):
        answer = models.runtime.invoke_endpoint(
            EndpointName=models.name, TargetModel=f"{factor}.tar.gz", Body=b"[[1, 2]]", ContentType="application/json"
        )
        assert json.loads(answer["Body"].read()) == [[3 * factor]]


def test_models_that_share_a_script_in_s3_are_served_by_it(models):
    script = """
from pathlib import Path
def model_fn(model_dir): return Path(model_dir, "name.txt").read_text()
def transform_fn(model, data, content_type, accept): return f"shared {model}"
"""
    source = f"{models.name}-source/sourcedir.tar.gz"
    models.s3.put_object(Bucket=models.bucket, Key=source, Body=deployed.archive({"entry.py": script}))
    for name in "ab":
        archive = deployed.archive({"name.txt": name})
        models.s3.put_object(Bucket=models.bucket, Key=f"{models.name}/{name}.tar.gz", Body=archive)
    submitted = {"SAGEMAKER_PROGRAM": "entry.py", "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{models.bucket}/{source}"}
    models.deploy(submitted)
    for name in "ab":
        answer = models.runtime.invoke_endpoint(EndpointName=models.name, TargetModel=f"{name}.tar.gz", Body=b"x")
        assert answer["Body"].read().decode() == f"shared {name}"


def test_a_multi_model_container_serves_inside_a_pipeline(models):
    models.put("a.tar.gz", "b.tar.gz")
    wrapper = """
import json
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    return json.dumps(json.loads(data) | {"after": content_type}), "application/json"
"""
    key = f"{models.name}-wrapper/model.tar.gz"
    models.s3.put_object(Bucket=models.bucket, Key=key, Body=deployed.archive({"code/inference.py": wrapper}))
    last = {"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://{models.bucket}/{key}"}
    role = "arn:aws:iam::111122223333:role/CourseExecutionRole"
    create = {"ModelName": models.name, "ExecutionRoleArn": role}
    with pytest.raises(ClientError, match="More than one container in MultiModel mode is not supported"):
        models.sm.create_model(Containers=[models.container(), models.container()], **create)
    models.sm.create_model(Containers=[models.container(), last], **create)
    deployed.create_endpoint(models.sm, models.name, [deployed.variant(models.name)])
    for target in ("a.tar.gz", "b.tar.gz"):
        answer = models.ask(target)
        assert answer["name"] == target and answer["after"] == "application/json"
    error = models.refusal("gone.tar.gz")
    assert error["Error"]["Code"] == "ValidationError"
