"""Multi-model endpoints for the tests, on a real server."""

import json
import time
from collections.abc import Callable

import deployed
import pytest
from botocore.exceptions import ClientError

MEMORY_MB = "LOCAL_SAGEMAKER_MODEL_MEMORY_MB"

# Answers with its name; touches as many megabytes as its archive says, and writes down when it is loaded.
BOOKKEEPER = """
import json, os, time
from pathlib import Path

def model_fn(model_dir):
    settings = json.loads(Path(model_dir, "settings.json").read_text())
    if "raise" in settings:
        raise OSError(settings["raise"])
    gate = settings.get("gate")
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    ballast = bytearray(b"x" * (settings.get("megabytes", 0) * 2**20))
    import beside
    return settings | {"ballast": ballast, "beside": beside.NAME, "process": os.getpid()}

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(order, model, context):
    if "exit" in order:
        os._exit(3)
    if "raise" in order:
        raise ValueError(order["raise"])
    time.sleep(order.get("sleep", 0))
    target = context.get_request_header(0, "X-Amzn-SageMaker-Target-Model")
    return {key: model[key] for key in ("name", "beside", "process")} | {"target": target}

def output_fn(answer, accept):
    return json.dumps(answer), "application/json"
"""


class MultiModel:
    """A prefix in S3 and the endpoint above it."""

    def __init__(self, client: Callable, bucket: str, name: str) -> None:
        self.sm, self.s3, self.runtime = client("sagemaker"), client("s3"), client("sagemaker-runtime")
        self.bucket, self.name = bucket, name

    def put(self, *targets: str, **settings: object) -> None:
        """Adds models to the prefix."""
        for target in targets:
            files = {
                "settings.json": json.dumps({"name": target} | settings),
                "code/inference.py": BOOKKEEPER,
                "code/beside.py": f"NAME = {target!r}\n",
            }
            self.s3.put_object(Bucket=self.bucket, Key=f"{self.name}/{target}", Body=deployed.archive(files))

    def delete(self, target: str) -> None:
        """Removes a model from the prefix."""
        self.s3.delete_object(Bucket=self.bucket, Key=f"{self.name}/{target}")

    def container(self, environment: dict[str, str] | None = None, **members: object) -> dict:
        """The ContainerDefinition."""
        return {
            "Image": deployed.SKLEARN,
            "Mode": "MultiModel",
            "ModelDataUrl": f"s3://{self.bucket}/{self.name}/",
            "Environment": environment or {},
            **members,
        }

    def deploy(self, environment: dict[str, str] | None = None, count: int = 1, **members: object) -> None:
        """Brings the endpoint into service."""
        self.sm.create_model(
            ModelName=self.name,
            PrimaryContainer=self.container(environment, **members),
            ExecutionRoleArn="arn:aws:iam::111122223333:role/CourseExecutionRole",
        )
        deployed.create_endpoint(self.sm, self.name, [deployed.variant(self.name, count=count)])

    def ask(self, target: str, order: dict | None = None) -> dict:
        """A model's answer."""
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.name, TargetModel=target, Body=json.dumps(order or {}), ContentType="application/json"
        )
        return json.loads(answer["Body"].read())

    def ask_until_ready(self, target: str) -> dict:
        """A model's answer, asked for again while the model is being loaded."""
        deadline = time.monotonic() + 150
        while True:
            try:
                return self.ask(target)
            except self.runtime.exceptions.ModelNotReadyException:
                assert time.monotonic() < deadline

    def refusal(self, target: str | None, order: dict | None = None) -> dict:
        """The error response of an invocation that must fail."""
        members = {"TargetModel": target} if target is not None else {}
        with pytest.raises(ClientError) as caught:
            self.runtime.invoke_endpoint(EndpointName=self.name, Body=json.dumps(order or {}), **members)
        return caught.value.response
