"""The same requests to the local SageMaker and to moto's own server, in turns."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import boto3
import pytest
from botocore.client import BaseClient
from timing import Call, alternately, connection, control_plane, request, signed

from helpers import SageMakerHelper

pytestmark = pytest.mark.benchmark
ROUNDS, CALLS = 5, 60
BUCKET, OBJECTS, TRAINING_JOBS = "against-moto", 100, 5
SMALL, LARGE = b"x" * 1000, b"x" * 2**20
ROLE = "arn:aws:iam::111122223333:role/CourseExecutionRole"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"

READS = {
    "DescribeEndpoint": {"EndpointName": "e"},
    "DescribeEndpointConfig": {"EndpointConfigName": "c"},
    "DescribeModel": {"ModelName": "m"},
    "DescribeTrainingJob": {"TrainingJobName": "t0"},
    "ListEndpoints": {},
    "ListModels": {},
    "ListTrainingJobs": {},
    "ListTags": {"ResourceArn": "arn:aws:sagemaker:us-east-1:111122223333:model/m"},
}
OBJECT_CALLS = {
    "PutObject, 1 kB": ("PUT", f"/{BUCKET}/put/small", SMALL),
    "GetObject, 1 kB": ("GET", f"/{BUCKET}/small", None),
    "HeadObject": ("HEAD", f"/{BUCKET}/small", None),
    "PutObject, 1 MiB": ("PUT", f"/{BUCKET}/put/large", LARGE),
    "GetObject, 1 MiB": ("GET", f"/{BUCKET}/large", None),
    f"ListObjectsV2, {OBJECTS} keys": ("GET", f"/{BUCKET}?list-type=2&prefix=list/", None),
    "DeleteObject": ("DELETE", f"/{BUCKET}/nothing", None),
}


@pytest.fixture(scope="module")
def both(own_server: SageMakerHelper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HTTPConnection, ...]]:
    """Connections to the local SageMaker and to moto's server, which hold the same."""
    ours = own_server.sagemaker.meta.endpoint_url
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    theirs = f"http://127.0.0.1:{port}"
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(argv, stdout=log, stderr=log, env={"MOTO_ACCOUNT_ID": "111122223333"})
    try:
        _await_port(port)
        for url in (ours, theirs):
            _fill(url)
        with connection(ours) as to_ours, connection(theirs) as to_theirs:
            yield to_ours, to_theirs
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("operation", READS)
def test_sagemaker_reads_are_at_least_twice_as_fast(both, report, operation):
    body = json.dumps(READS[operation]).encode()
    ours, theirs = (request(each, "POST", "/", body, control_plane(operation)) for each in both)
    ratio, our, their = _compared(ours, theirs)
    report(
        f"{operation}, times as fast as moto",
        1 / ratio,
        topic="Control plane",
        bar=2,
        unit="x",
        slack=1.5,
        at_least=True,
        local_ms=our,
        moto_ms=their,
    )
    if operation == "DescribeEndpoint":
        report("DescribeEndpoint, p50", our, topic="Control plane", bar=1.5, unit="ms", slack=3)


@pytest.mark.parametrize("name", OBJECT_CALLS)
def test_s3_is_no_slower(both, report, name):
    method, path, body = OBJECT_CALLS[name]
    headers = signed("s3") | {"Content-Type": "application/octet-stream"}
    ours, theirs = (request(each, method, path, body, headers) for each in both)
    ratio, our, their = _compared(ours, theirs)
    report(f"{name}, of moto's time", ratio, topic="S3", bar=1, unit="x", slack=2.5, local_ms=our, moto_ms=their)


def _compared(ours: Call, theirs: Call) -> tuple[float, float, float]:
    """The ratio of the medians, and both in milliseconds.

    The quickest rounds of both sides count: what else the machine does in the meantime can only add.
    """
    our, their = (min(side) for side in zip(*alternately(ours, theirs, ROUNDS, CALLS), strict=True))
    return our / their, round(our, 3), round(their, 3)


def _fill(url: str) -> None:
    """What the requests are about."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    s3, sagemaker = (boto3.client(service, endpoint_url=url, **keys) for service in ("s3", "sagemaker"))
    s3.create_bucket(Bucket=BUCKET)
    bodies = {"small": SMALL, "large": LARGE} | {f"list/{number}": b"x" for number in range(OBJECTS)}
    for key, body in bodies.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/small"}
    tags = [{"Key": "team", "Value": "risk"}]
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags)
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")  # fails here, as its model cannot be unpacked
    for number in range(TRAINING_JOBS):
        _train(sagemaker, f"t{number}")
    for number in range(TRAINING_JOBS):
        while sagemaker.describe_training_job(TrainingJobName=f"t{number}")["TrainingJobStatus"] == "InProgress":
            time.sleep(0.05)
    while sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Creating":
        time.sleep(0.05)


def _train(sagemaker: BaseClient, name: str) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/list/"}
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File", "ContainerEntrypoint": ["true"]},
        RoleArn=ROLE,
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"max_depth": "5"},
    )


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "moto's server does not listen"
            time.sleep(0.05)
