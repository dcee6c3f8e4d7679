"""How much the local SageMaker adds to a request, and how fast it starts."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
import numpy as np
import pytest
import xgboost

from helpers import SageMakerHelper, deployment, local_sagemaker
from helpers.local_sagemaker import workers
from helpers.local_sagemaker.workers import UnixConnection

pytestmark = pytest.mark.benchmark
ROUNDS, CALLS = 7, 200
ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"
SIGNED = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature=0"


def p50(call: Callable[[], None]) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def poster(connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict) -> Callable[[], None]:
    """A call that posts on a kept-alive connection and reads the answer."""

    def call() -> None:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content

    return call


@contextmanager
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connected:
        yield connected


@pytest.fixture(scope="module")
def endpoint(own_server: SageMakerHelper, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An endpoint with a built-in XGBoost model on one instance."""
    folder = tmp_path_factory.mktemp("model")
    rows = np.random.default_rng(0).random((2000, 8), dtype=np.float32)
    model = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows, rows[:, 0] > 0.5), 50)
    (folder / "xgboost-model").write_bytes(model.save_raw("ubj"))
    archive = deployment.package_model(folder, None, folder.parent / "model.tar.gz")
    name, data = own_server.name("latency"), own_server.upload(archive, "latency/")
    one_thread = {"OMP_NUM_THREADS": "1"}
    return deployment.deploy_realtime(own_server, name, own_server.image("xgboost"), data, one_thread)


def test_invoke_endpoint_adds_at_most_two_milliseconds_to_the_worker(endpoint, own_server, report):
    worker_socket = next(workers.socket_folder(Path(os.environ["LOCAL_SAGEMAKER_HOME"])).glob("*.sock"))
    headers = {"Content-Type": "text/csv"}
    server, worker = connection(own_server.runtime.meta.endpoint_url), closing(UnixConnection(worker_socket, 60))
    with server as to_server, worker as to_worker:
        through = poster(to_server, f"/endpoints/{endpoint}/invocations", ROW, headers)
        direct = poster(to_worker, "/invocations", ROW, headers)
        p50(direct), p50(through)
        pairs = [(p50(through), p50(direct)) for _ in range(ROUNDS)]
    added = statistics.median(invoke - worker for invoke, worker in pairs) * 1e3
    invoke, worker = (round(statistics.median(side) * 1e3, 3) for side in zip(*pairs, strict=True))
    report("InvokeEndpoint p50 - worker p50", added, bar=2.0, unit="ms", slack=3, invoke_p50=invoke, worker_p50=worker)


def test_describe_endpoint_answers_within_the_bar_and_sooner_than_moto(endpoint, own_server, report, tmp_path):
    headers = {
        "X-Amz-Target": "SageMaker.DescribeEndpoint",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": SIGNED,
    }
    body = json.dumps({"EndpointName": endpoint}).encode()
    with (
        moto_server(endpoint, tmp_path / "moto.log") as moto_url,
        connection(moto_url) as to_moto,
        connection(own_server.sagemaker.meta.endpoint_url) as to_ours,
    ):
        ours, motos = (poster(each, "/", body, headers) for each in (to_ours, to_moto))
        p50(ours), p50(motos)
        pairs = [(p50(ours), p50(motos)) for _ in range(ROUNDS)]
    ratio = round(statistics.median(our / their for our, their in pairs), 2)
    our, their = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
    report("DescribeEndpoint p50", our, bar=1.5, unit="ms", slack=3, moto_p50=round(their, 3), ratio=ratio)


def test_the_server_answers_within_a_second_of_its_start(report, tmp_path):
    headers = {"X-Amz-Target": "SageMaker.ListEndpoints", "Content-Type": "application/x-amz-json-1.1"}
    seconds = []
    for number in range(5):
        home = tmp_path / str(number)
        began = time.perf_counter()
        running = local_sagemaker.start(home)
        with connection(running.url) as to_server:
            poster(to_server, "/", b"{}", headers)()
        seconds.append(time.perf_counter() - began)
        local_sagemaker.stop(home)
    report("Cold start to first answered request", statistics.median(seconds), bar=1.0, unit="s", slack=3)


@contextmanager
def moto_server(endpoint: str, log: Path) -> Iterator[str]:
    """moto's own server in a process of its own, with an endpoint of this name; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        _await_port(port)
        sagemaker = boto3.client("sagemaker", endpoint_url=url, region_name="us-east-1")
        variant = {"VariantName": "a", "ModelName": endpoint, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        role = "arn:aws:iam::123456789012:role/benchmark"
        container = {"Image": "xgboost:3", "ModelDataUrl": "s3://benchmark/model.tar.gz"}
        sagemaker.create_model(ModelName=endpoint, PrimaryContainer=container, ExecutionRoleArn=role)
        sagemaker.create_endpoint_config(EndpointConfigName=endpoint, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
        yield url
    finally:
        process.terminate()
        process.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")
