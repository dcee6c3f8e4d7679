"""Serverless endpoints: processes come with requests and go when they are idle, within the limits of the variant."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker import Running

PATIENCE_SECONDS = 60
# Idle environments of this module's server go after one second, not after the ten of the default speed-up.
SPEEDUP = "600"

# Loads as slowly and takes as much memory as its environment says; answers with its name.
SLOW = """
import json, os, time
from pathlib import Path

ENVIRONMENT = os.urandom(4).hex()

def model_fn(model_dir):
    print("loading the model")
    time.sleep(float(os.environ.get("LOADING", "0")))
    if Path(os.environ.get("BROKEN", "nowhere")).exists():
        raise RuntimeError("no such model")
    return bytearray(int(os.environ.get("MEGABYTES", "0")) * 2**20)

def input_fn(data, content_type):
    return json.loads(data) if content_type == "application/json" else {"bytes": len(data)}

def predict_fn(order, model):
    while "until" in order and not Path(order["until"]).exists():
        time.sleep(0.01)
    if "exit" in order:
        os._exit(order["exit"])
    filled = b"x" * (order.get("megabytes", 0) * 2**20)
    time.sleep(order.get("sleep", 0))
    return {"environment": ENVIRONMENT, "bytes": order.get("bytes")}

def output_fn(answer, accept):
    return json.dumps(answer), "application/json"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """A server on which idle environments go soon."""
    home = tmp_path_factory.mktemp("serverless")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SAGEMAKER_SPEEDUP", SPEEDUP)
        yield local_sagemaker.start(home)
    local_sagemaker.stop(home)


@pytest.fixture(scope="module")
def client(server, client_of):
    """Clients of this module's server."""
    return client_of(server)


@pytest.fixture(scope="module")
def sm(client):
    """The control plane."""
    return client("sagemaker")


@pytest.fixture(scope="module")
def bucket(client) -> str:
    """A bucket that exists."""
    client("s3").create_bucket(Bucket="serverless-tests")
    return "serverless-tests"


@pytest.fixture
def model(client, bucket, unique) -> Callable[..., str]:
    """`model(LOADING="1")`: a model that loads for a second."""

    def create(**environment: str) -> str:
        files = {"code/inference.py": SLOW}
        return deployed.create_model(
            client("sagemaker"), client("s3"), bucket, unique("model"), files, environment=environment
        )

    return create


@pytest.fixture
def deploy(sm, unique, model) -> Callable[..., str]:
    """`deploy(MaxConcurrency=2)`: the name of a serverless endpoint."""
    made = []

    def create(model_name: str | None = None, wait: str | None = "InService", **config: int) -> str:
        name = unique("serverless")
        made.append(name)
        deployed.create_endpoint(sm, name, [deployed.serverless(model_name or model(), **config)], wait)
        return name

    yield create
    for name in made:
        sm.delete_endpoint(EndpointName=name)


@pytest.fixture
def ask(client) -> Callable[..., dict]:
    """`ask(endpoint, sleep=1)`: what the model answered."""

    def invoke(name: str, **order: object) -> dict:
        answer = client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=json.dumps(order)
        )
        return json.loads(answer["Body"].read())

    return invoke


@pytest.fixture
def environments(server) -> Callable[[str], set[str]]:
    """`environments(endpoint)`: those that run, by their sockets."""
    return lambda name: set(serving(server, name).values())


def serving(server: Running, name: str) -> dict[psutil.Process, str]:
    """The processes that serve an endpoint, with what wraps them, and the socket of each."""
    folder = str(server.home / "endpoints" / name)
    found = {}
    for process in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended while it was looked at
            command = process.cmdline()
            if "--socket" in command and process.environ().get("HOME", "").startswith(folder):
                found[process] = command[-1]
    return found


def until(condition: Callable[[], object]) -> None:
    """Returns when a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_scales_to_zero_and_comes_back_with_a_request(deploy, ask, environments, sm):
    name = deploy()
    summary = sm.describe_endpoint(EndpointName=name)["ProductionVariants"][0]
    assert summary["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
    assert summary["CurrentInstanceCount"] == 0
    first = ask(name)["environment"]
    assert ask(name)["environment"] == first, "a warm environment is used again"
    until(lambda: not environments(name))
    assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    assert ask(name)["environment"] != first
    assert environments(name)


def test_concurrent_requests_have_an_environment_each_and_more_are_throttled(deploy, ask, environments, tmp_path):
    name = deploy(MaxConcurrency=2)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, name, until=str(tmp_path / "go")) for _ in range(2)]
        until(lambda: len(environments(name)) >= 2)
        with pytest.raises(ClientError) as throttled:
            until(lambda: ask(name) is None)
        (tmp_path / "go").touch()
        answers = [future.result()["environment"] for future in asked]
    assert throttled.value.response["Error"]["Code"] == "ThrottlingException"
    assert throttled.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert len(set(answers)) == 2
    assert ask(name)["environment"] in answers


def test_a_broken_model_fails_the_endpoint(deploy, model, sm):
    name = deploy(model(BROKEN="/"), wait="Failed")
    reason = sm.describe_endpoint(EndpointName=name)["FailureReason"]
    assert reason.startswith("Unable to successfully stand up your model within the allotted 180 second timeout.")
    assert "no such model" in reason


def test_a_cold_start_that_fails_is_a_model_error_and_the_next_request_tries_anew(
    deploy, model, ask, environments, tmp_path
):
    name = deploy(model(BROKEN=str(tmp_path / "broken")))
    until(lambda: not environments(name))
    (tmp_path / "broken").touch()
    with pytest.raises(ClientError, match="RuntimeError: no such model") as failed:
        ask(name)
    assert failed.value.response["Error"]["Code"] == "ModelError"
    assert failed.value.response["OriginalStatusCode"] == 0
    (tmp_path / "broken").unlink()
    assert ask(name)["environment"]


def test_a_request_that_needs_more_memory_than_the_variant_has_fails(deploy, ask):
    name = deploy(MemorySizeInMB=1024)
    first = ask(name, megabytes=256)["environment"]
    with pytest.raises(ClientError) as failed:
        ask(name, megabytes=1300, sleep=30)
    error = failed.value.response
    assert error["Error"]["Code"] == "ModelError"
    assert error["OriginalMessage"] == "The container used more than its 1024 MB of memory and was ended."
    assert ask(name)["environment"] != first


def test_a_model_that_needs_more_memory_than_the_variant_has_fails_the_endpoint(deploy, model, sm):
    name = deploy(model(MEGABYTES="1300", LOADING="0"), wait="Failed")
    assert "more than its 1024 MB of memory" in sm.describe_endpoint(EndpointName=name)["FailureReason"]


def test_an_environment_that_dies_is_not_used_again(deploy, ask):
    name = deploy()
    first = ask(name)["environment"]
    with pytest.raises(ClientError) as failed:
        ask(name, exit=3)
    assert failed.value.response["Error"]["Code"] == "ModelError"
    assert ask(name)["environment"] != first


def test_a_payload_above_four_megabytes_is_refused(deploy, client):
    name = deploy()
    runtime = client("sagemaker-runtime")
    longest = runtime.invoke_endpoint(EndpointName=name, ContentType="text/plain", Body=b"x" * 4 * 2**20)
    assert json.loads(longest["Body"].read())["bytes"] == 4 * 2**20
    with pytest.raises(ClientError, match="Member must have length less than or equal to 4194304") as refused:
        runtime.invoke_endpoint(EndpointName=name, Body=b"x" * (4 * 2**20 + 1))
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_provisioned_concurrency_keeps_that_many(deploy, ask, environments, sm):
    name = deploy(ProvisionedConcurrency=1, MaxConcurrency=3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ask(name, sleep=0.5), range(3)))
    until(lambda: len(environments(name)) == 1)
    kept = environments(name)
    time.sleep(2)  # twice the idle time
    assert environments(name) == kept

    update = {"ServerlessUpdateConfig": {"ProvisionedConcurrency": 2, "MaxConcurrency": 4}}
    sm.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", **update}]
    )
    summary = deployed.await_status(sm, name, "InService")["ProductionVariants"][0]
    assert summary["CurrentServerlessConfig"] == {
        "MemorySizeInMB": 1024,
        "MaxConcurrency": 4,
        "ProvisionedConcurrency": 2,
    }
    assert len(environments(name)) == 2
    with pytest.raises(ClientError, match="ProvisionedConcurrency 5 must be less than or equal to MaxConcurrency 4"):
        sm.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 5}}
            ],
        )


def test_no_request_is_lost_while_environments_go(deploy, ask, environments):
    """Requests as far apart as the idle time: each may meet an environment that is about to go."""
    name = deploy()
    idle_seconds = 600 / float(SPEEDUP)
    answers = []
    for later in (-0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25):
        time.sleep(idle_seconds + later)
        answers.append(ask(name)["environment"])
    until(lambda: not environments(name))
    assert ask(name)["environment"] not in answers


def test_metrics_tell_of_cold_starts_and_concurrency(deploy, model, ask, environments, client):
    name = deploy(model(LOADING="0.3"))
    until(lambda: not environments(name))
    ask(name)

    def statistics(metric: str, namespace: str = "AWS/SageMaker") -> dict | None:
        now = datetime.now(UTC)
        found = client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["Maximum", "SampleCount"],
        )["Datapoints"]
        return found[0] if found else None

    until(lambda: statistics("ModelSetupTime"))
    setup = statistics("ModelSetupTime")
    assert setup["SampleCount"] == 1
    assert setup["Maximum"] > 300_000
    assert setup["Unit"] == "Microseconds"
    assert statistics("OverheadLatency")["Maximum"] >= setup["Maximum"]
    assert statistics("ServerlessConcurrentExecutionsUtilization")["Maximum"] == 0.5
    assert statistics("Invocations")["SampleCount"] == 1


def test_a_serverless_endpoint_becomes_one_with_instances_and_not_the_other_way(deploy, model, sm, ask, unique):
    name, config = deploy(), unique("instances")
    sm.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[deployed.variant(model())])
    sm.update_endpoint(EndpointName=name, EndpointConfigName=config)
    summary = deployed.await_status(sm, name, "InService")["ProductionVariants"][0]
    assert "CurrentServerlessConfig" not in summary
    assert summary["CurrentInstanceCount"] == 1
    assert ask(name)
    with pytest.raises(ClientError, match="Cannot update the instance-based endpoint"):
        sm.update_endpoint(EndpointName=name, EndpointConfigName=name)
    with pytest.raises(ClientError, match="ServerlessUpdateConfig is not supported for the instance-based"):
        sm.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 5}}
            ],
        )


def test_updates_between_serverless_configurations_lose_no_request(deploy, model, sm, ask, unique):
    name, config = deploy(), unique("next")
    sm.create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[deployed.serverless(model(), MaxConcurrency=3, MemorySizeInMB=2048)],
    )
    ended = threading.Event()

    def go_on() -> int:
        asked = 0
        while not ended.is_set():
            ask(name)
            asked += 1
        return asked

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(go_on)
        sm.update_endpoint(EndpointName=name, EndpointConfigName=config)
        summary = deployed.await_status(sm, name, "InService")["ProductionVariants"][0]
        ended.set()
        assert asking.result() > 0
    assert summary["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048


def test_a_request_in_its_cold_start_is_answered_when_the_endpoint_is_deleted(
    sm, client, model, ask, unique, environments
):
    name = unique("deleted")
    deployed.create_endpoint(sm, name, [deployed.serverless(model(LOADING="1"))])
    until(lambda: not environments(name))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, name)
        until(lambda: environments(name))
        sm.delete_endpoint(EndpointName=name)
        assert asking.result()["environment"]
    until(lambda: not environments(name))
    with pytest.raises(ClientError, match=f"Endpoint {name} of account .* not found"):
        ask(name)


def test_killed_and_started_again_it_serves_and_leaves_no_process(tmp_path, client_of, unique, monkeypatch):
    monkeypatch.setenv("LOCAL_SAGEMAKER_SPEEDUP", SPEEDUP)
    running = local_sagemaker.start(tmp_path / "home")
    try:
        client, name = client_of(running), unique("serverless")
        sm, s3 = client("sagemaker"), client("s3")
        s3.create_bucket(Bucket="mine")
        made = deployed.create_model(sm, s3, "mine", name)
        deployed.create_endpoint(sm, name, [deployed.serverless(made, ProvisionedConcurrency=1)])
        workers = serving(running, name)
        assert workers
        os.kill(running.pid, 9)
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
        assert not alive
        running = local_sagemaker.start(tmp_path / "home", port=None)
        client = client_of(running)
        answer = client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=b"{}"
        )
        assert json.loads(answer["Body"].read())["name"] == name
        config = client("sagemaker").describe_endpoint(EndpointName=name)["ProductionVariants"][0]
        assert config["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 1
    finally:
        local_sagemaker.stop(tmp_path / "home")
