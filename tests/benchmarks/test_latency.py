"""How much the local SageMaker adds to a request, how fast it starts, and how little it takes when idle."""

import os
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
import xgboost
from timing import ROUNDS, alternately, connection, control_plane, request

from helpers import SageMakerHelper, deployment, local_sagemaker
from helpers.local_sagemaker import unix_sockets
from helpers.local_sagemaker.unix_sockets import UnixConnection

pytestmark = pytest.mark.benchmark
ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"
MEBIBYTE = 2**20


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
    worker_socket = next(unix_sockets.socket_folder(Path(os.environ["LOCAL_SAGEMAKER_HOME"])).glob("*.sock"))
    headers = {"Content-Type": "text/csv"}
    server, worker = connection(own_server.runtime.meta.endpoint_url), closing(UnixConnection(worker_socket, 60))
    with server as to_server, worker as to_worker:
        through = request(to_server, "POST", f"/endpoints/{endpoint}/invocations", ROW, headers)
        pairs = alternately(through, request(to_worker, "POST", "/invocations", ROW, headers))
    # The quickest rounds of both sides: what else the machine does in the meantime can only add.
    invoke, worker = (round(min(side), 3) for side in zip(*pairs, strict=True))
    report(
        "InvokeEndpoint of an XGBoost model by one client, p50 less the worker's p50",
        invoke - worker,
        topic="Invocations",
        bar=2.0,
        unit="ms",
        slack=3,
        through_the_server_ms=invoke,
        worker_alone_ms=worker,
    )


def test_the_server_answers_within_a_second_of_its_start_and_is_small_when_idle(report, tmp_path):
    seconds, resident = [], []
    for number in range(5):
        home = tmp_path / str(number)
        began = time.perf_counter()
        running = local_sagemaker.start(home)
        with connection(running.url) as to_server:
            request(to_server, "POST", "/", b"{}", control_plane("ListEndpoints"))()
            seconds.append(time.perf_counter() - began)
            before = psutil.Process(running.pid).memory_info().rss
            request(to_server, "GET", "/", None, {})()  # S3's ListBuckets: imports moto
            resident.append((before, psutil.Process(running.pid).memory_info().rss))
        local_sagemaker.stop(home)
    report(
        "Cold start to first answered request",
        min(seconds),
        topic="Start and memory",
        bar=1.0,
        unit="s",
        slack=3,
    )
    alone, with_moto = (statistics.median(side) / MEBIBYTE for side in zip(*resident, strict=True))
    common = {"topic": "Start and memory", "bar": 150, "unit": "MiB", "slack": 1.2}
    report("Resident memory of an idle server", alone, **common)
    report("Resident memory of an idle server that has answered for S3", with_moto, **common)


def test_helpers_are_imported_in_three_tenths_of_a_second(report):
    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    pairs = [(seconds("import helpers"), seconds("pass")) for _ in range(ROUNDS)]
    with_helpers, without = (min(side) for side in zip(*pairs, strict=True))
    report(
        "import helpers, more than an empty program",
        with_helpers - without,
        topic="Start and memory",
        bar=0.3,
        unit="s",
        slack=3,
    )
