"""The local SageMaker under load: wrk against a trivial model, and 200 clients that do everything at once."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock

import boto3
import pytest
from botocore.config import Config

from helpers import SageMakerHelper, deployment
from helpers.local_sagemaker import workers

pytestmark = pytest.mark.benchmark
CONNECTIONS, SECONDS, PAIRS = 4, 4, 3
CLIENTS, ROUNDS = 200, 3
_MAKING = Lock()  # boto3 makes clients in one thread at a time

ECHO = """
def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    return data, content_type
"""
SCRIPT = """
wrk.method = "POST"
wrk.body = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"
wrk.headers["Content-Type"] = "text/csv"
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("figures %f %f %f %d\\n", summary.requests * 1e6 / summary.duration,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
# The toolkit as a worker runs it, but for the socket: wrk speaks TCP only.
ALONE = """
import sys
toolkit, model, port = sys.argv[1:]
sys.path.insert(0, toolkit)
from aiohttp import web
from runtimes import serve
web.UnixSite = lambda runner, path: web.TCPSite(runner, "127.0.0.1", int(port))
sys.argv = ["serve", "--socket", f"{model}/socket", "--framework", "sklearn", "--model-dir", model]
serve.main()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that answers what it is asked."""
    folder = tmp_path_factory.mktemp("echo")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(ECHO)
    return folder


@pytest.fixture(scope="module")
def endpoint(own_server: SageMakerHelper, model: Path) -> str:
    """An endpoint with that model on one instance."""
    archive = deployment.package_model(model, None, model.parent / "echo.tar.gz")
    name, data = own_server.name("load"), own_server.upload(archive, "load/")
    return deployment.deploy_realtime(own_server, name, own_server.image("sklearn"), data)


@pytest.fixture(scope="module")
def worker_alone(model: Path) -> Iterator[str]:
    """The URL of a worker with that model and no server in front of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    toolkit = str(Path(workers.__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", ALONE, toolkit, str(model), str(port)])
    deadline = time.monotonic() + 60
    while not _listens(port):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_thousand_invocations_a_second_with_little_overhead(own_server, endpoint, worker_alone, report, tmp_path):
    assert shutil.which("wrk"), "install Debian's package wrk, or brew's"
    script = tmp_path / "post.lua"
    script.write_text(SCRIPT)
    through = f"{own_server.runtime.meta.endpoint_url}/endpoints/{endpoint}/invocations"
    alone = f"{worker_alone}/invocations"
    for url in (through, alone):
        _wrk(url, script, seconds=1)
    pairs = [(_wrk(through, script, SECONDS), _wrk(alone, script, SECONDS)) for _ in range(PAIRS)]
    # The best of each side: what else the machine does in the meantime can only take away.
    rate = max(served[0] for served, _ in pairs)
    (p50, p99), (p50_alone, p99_alone) = (
        [min(run[side][column] for run in pairs) for column in (1, 2)] for side in (0, 1)
    )
    load = {"topic": "Invocations", "connections": CONNECTIONS}
    report(
        "InvokeEndpoint of a trivial model under wrk", rate, bar=1000, unit="per second", slack=3, at_least=True, **load
    )
    for name, bar, ours, its in (("p50", 2, p50, p50_alone), ("p99", 10, p99, p99_alone)):
        report(
            f"Latency under that load, {name} less that of wrk against the worker alone",
            ours - its,
            bar=bar,
            unit="ms",
            slack=4,
            through_the_server_ms=round(ours, 2),
            worker_alone_ms=round(its, 2),
            **load,
        )


def test_two_hundred_clients_at_once_are_all_answered_correctly(own_server, endpoint, report):
    began, barrier = time.perf_counter(), Barrier(CLIENTS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = sum(pool.map(lambda number: _client(own_server, endpoint, barrier, number), range(CLIENTS)))
    report(
        "Requests of 200 concurrent clients, answered correctly",
        answers,
        topic="Load",
        bar=CLIENTS * ROUNDS * 5,
        unit="requests",
        at_least=True,
        wrong=0,
        seconds=round(time.perf_counter() - began, 1),
    )


def _client(aws: SageMakerHelper, endpoint: str, barrier: Barrier, number: int) -> int:
    """What one of many clients does, with connections of its own: writes, reads, lists, describes and invokes."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=300)
    url = aws.runtime.meta.endpoint_url
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    with _MAKING:
        s3, sm, runtime = (
            boto3.client(service, endpoint_url=url, config=config, **keys)
            for service in ("s3", "sagemaker", "sagemaker-runtime")
        )
    barrier.wait()
    for turn in range(ROUNDS):
        name, body = f"client-{number}-{turn}", f"{number},{turn}".encode() * 100
        s3.put_object(Bucket=aws.bucket, Key=f"load/{name}", Body=body)
        assert s3.get_object(Bucket=aws.bucket, Key=f"load/{name}")["Body"].read() == body
        sm.create_model(ModelName=name, PrimaryContainer={"Image": "x", "ModelDataUrl": f"s3://{aws.bucket}/{name}"})
        described = sm.describe_model(ModelName=name)
        assert described["PrimaryContainer"]["ModelDataUrl"] == f"s3://{aws.bucket}/{name}"
        answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType="text/csv")
        assert answer["Body"].read() == body
    return ROUNDS * 5


def _wrk(url: str, script: Path, seconds: int) -> tuple[float, float, float]:
    """Requests per second, and p50 and p99 in milliseconds; every request must have been answered with 2xx."""
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url]
    output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    rate, p50, p99, errors = re.search(r"figures (\S+) (\S+) (\S+) (\d+)", output).groups()
    assert errors == "0", output
    return float(rate), float(p50), float(p99)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
