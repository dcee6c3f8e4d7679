"""How long the console's pages take when the server holds 1,000 jobs and 50 endpoints."""

import copy
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from timing import connection, request

from helpers import SageMakerHelper, deployment, local_sagemaker
from helpers.local_sagemaker.state import Store

pytestmark = pytest.mark.benchmark
JOBS, ENDPOINTS, ROUNDS = 1000, 50, 15
PATIENCE_SECONDS = 240
PAGES = {
    "overview": "",
    "jobs": "/jobs/training",
    "failed jobs": "/jobs/training?status=Failed",
    "a job": "/jobs/training/copy-0500",
    "endpoints": "/endpoints",
    "an endpoint": "/endpoints/idle-07",
    "cost": "/cost",
    "pipelines": "/pipelines",
    "registry": "/registry",
    "alarms": "/alarms",
    "buckets": "/s3",
}


@pytest.fixture(scope="module")
def full_server(own_server: SageMakerHelper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with one real job and 999 copies of its record, and serverless endpoints."""
    home = Path(os.environ["LOCAL_SAGEMAKER_HOME"])
    job = _train(own_server)
    local_sagemaker.stop(home)
    store = Store(home / "state.db")
    with store.transaction():
        for number in range(1, JOBS):
            store.put("TrainingJob", f"copy-{number:04}", _copied(job, f"copy-{number:04}", number))
    store.close()
    local_sagemaker.start(home)
    _deploy(own_server, tmp_path_factory.mktemp("model"))
    yield local_sagemaker.status(home).url


def _train(aws: SageMakerHelper) -> dict:
    aws.sagemaker.create_training_job(
        TrainingJobName="original",
        RoleArn=aws.role,
        AlgorithmSpecification={
            "TrainingImage": "local/trainer",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", "-c", "echo loss=0.5"],
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        OutputDataConfig={"S3OutputPath": f"s3://{aws.bucket}/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    aws.sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="original", WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE_SECONDS}
    )
    store = Store(Path(os.environ["LOCAL_SAGEMAKER_HOME"]) / "state.db")
    record = store.require("TrainingJob", "original")
    store.close()
    return record


def _copied(job: dict, name: str, number: int) -> dict:
    arn = job["TrainingJobArn"].replace("original", name)
    changed = {"TrainingJobName": name, "TrainingJobArn": arn, "CreationTime": job["CreationTime"] + number}
    failed = {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: exit code 1"} if number % 10 == 0 else {}
    return copy.deepcopy(job) | changed | failed


def _deploy(aws: SageMakerHelper, folder: Path) -> None:
    (folder / "model.txt").write_text("a model")
    data = aws.upload(deployment.package_model(folder, None, folder.parent / "model.tar.gz"), "idle/")
    container = {"Image": aws.image("sklearn"), "ModelDataUrl": data}
    aws.sagemaker.create_model(ModelName="idle", ExecutionRoleArn=aws.role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "idle"}
    variant["ServerlessConfig"] = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    for number in range(ENDPOINTS):
        name = f"idle-{number:02}"
        aws.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(aws.sagemaker.list_endpoints(StatusEquals="Creating")["Endpoints"]):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_every_page_answers_within_200_milliseconds_with_1000_jobs_and_50_endpoints(full_server, report):
    medians = {}
    with connection(full_server) as to_server:
        for name, path in PAGES.items():
            call, milliseconds = request(to_server, "GET", f"/console{path}", None, {}), []
            call()
            for _ in range(ROUNDS):
                began = time.perf_counter()
                call()
                milliseconds.append((time.perf_counter() - began) * 1e3)
            medians[name] = round(statistics.median(milliseconds), 1)
    report(
        f"Slowest page of the console with {JOBS:,} jobs and {ENDPOINTS} endpoints, median",
        max(medians.values()),
        topic="Web console",
        bar=200.0,
        unit="ms",
        slack=10,
        **medians,
    )
