"""Models and endpoints for the tests: what a user would do with boto3."""

import io
import tarfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from botocore.client import BaseClient

REGISTRY = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
SKLEARN = f"{REGISTRY}/sagemaker-scikit-learn:1.2-1-cpu-py3"
XGBOOST = f"{REGISTRY}/sagemaker-xgboost:1.7-1"

# Answers with its name, or does what the request says; name.txt tells one model from another.
OBEDIENT = """
import json, os, time
from pathlib import Path

WORKER = os.urandom(4).hex()

def model_fn(model_dir):
    print("loading the model")
    return Path(model_dir, "name.txt").read_text()

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(order, name, context):
    if "raise" in order:
        raise ValueError(order["raise"])
    if "exit" in order:
        os._exit(order["exit"])
    if "sleep" in order:
        time.sleep(order["sleep"])
    if "status" in order:
        context.set_response_status(order["status"])
    if "custom" in order:
        context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", order["custom"])
    if "headers" in order:
        return {key.lower(): value for key, value in context.get_all_request_header(0).items()}
    return {"name": name, "worker": WORKER, "order": order}

def output_fn(answer, accept):
    return json.dumps(answer), "application/json"
"""


def archive(files: dict[str, str | bytes]) -> bytes:
    """A `model.tar.gz`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def create_model(
    sm: BaseClient,
    s3: BaseClient,
    bucket: str,
    name: str,
    files: dict[str, str | bytes] | None = None,
    image: str = SKLEARN,
    environment: dict[str, str] | None = None,
) -> str:
    """A model of these files; by default one that answers with its own name."""
    files = {"name.txt": name, "code/inference.py": OBEDIENT} if files is None else files
    s3.put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=archive(files))
    container = {"Image": image, "ModelDataUrl": f"s3://{bucket}/{name}/model.tar.gz", "Environment": environment or {}}
    sm.create_model(
        ModelName=name,
        PrimaryContainer=container,
        ExecutionRoleArn="arn:aws:iam::111122223333:role/CourseExecutionRole",
    )
    return name


def variant(model: str, name: str = "AllTraffic", weight: float = 1.0, count: int = 1, **members: object) -> dict:
    """A ProductionVariant."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
        **members,
    }


def serverless(model: str, name: str = "AllTraffic", **config: int) -> dict:
    """A serverless ProductionVariant."""
    return {
        "VariantName": name,
        "ModelName": model,
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2} | config,
    }


def create_endpoint(sm: BaseClient, name: str, variants: Iterable[dict], wait: str | None = "InService") -> dict:
    """An endpoint and its configuration, both called `name`; waits for a status."""
    sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants))
    sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return await_status(sm, name, wait) if wait else sm.describe_endpoint(EndpointName=name)


def await_status(sm: BaseClient, name: str, status: str) -> dict:
    """DescribeEndpoint once the endpoint is no longer on its way; asserts that it has the status."""
    while (endpoint := sm.describe_endpoint(EndpointName=name))["EndpointStatus"] in (
        "Creating",
        "Updating",
        "RollingBack",
        "Deleting",
    ):
        time.sleep(0.05)
    assert endpoint["EndpointStatus"] == status, endpoint.get("FailureReason")
    return endpoint


def becomes_true(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether a condition holds within a while; returns as soon as it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def statistics_of(cloudwatch: BaseClient, metric: str, dimensions: list[dict], at_least: int = 1) -> dict:
    """Statistics of a metric of AWS/SageMaker in the last minutes, once it has so many samples."""

    def statistics() -> dict:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=["Sum", "Average", "SampleCount", "Maximum", "Minimum"],
        )["Datapoints"]
        return points[0] if points else {"SampleCount": 0}

    assert becomes_true(lambda: statistics()["SampleCount"] >= at_least), f"{metric} has {statistics()}"
    return statistics()
