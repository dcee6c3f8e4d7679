"""Multi-model endpoints: models are loaded when they are asked for, and unloaded for others, on a real server."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError
from multi_models import MEMORY_MB, MultiModel

from helpers import local_sagemaker
from helpers.local_sagemaker import instance_metrics


@pytest.fixture
def models(client, bucket, unique) -> Iterator[MultiModel]:
    """A prefix of its own on the session's server."""
    made = MultiModel(client, bucket, unique("models"))
    yield made
    if made.sm.list_endpoints(NameContains=made.name)["Endpoints"]:
        made.sm.delete_endpoint(EndpointName=made.name)


def model_processes(server_pid: int, endpoint: str) -> set[int]:
    """The processes of an endpoint's models: the children of that which forks them, the server's child."""
    parents = {}
    for process in psutil.Process(server_pid).children(recursive=True):
        try:
            if "serve_models" in " ".join(process.cmdline()[1:3]) and endpoint in process.environ().get("HOME", ""):
                parents[process.pid] = process.ppid()
        except psutil.Error:
            continue
    return {pid for pid, parent in parents.items() if parents.get(parent) in parents}


def test_twenty_models_with_memory_for_five_are_all_served_and_never_more_than_five_are_loaded(server, models):
    targets = [f"{number:02}.tar.gz" for number in range(20)]
    models.put(*targets, megabytes=48)
    models.deploy({MEMORY_MB: str(6 * 48 - 1)})
    counts, stop = [], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            counts.append(len(model_processes(server.pid, models.name)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert [models.ask(target)["name"] for target in targets] == targets
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(models.ask, targets))
    finally:
        stop.set()
        watcher.join()
    assert [answer["beside"] for answer in answers] == targets
    assert 4 <= max(counts) <= 5, counts


def test_a_loaded_model_answers_from_the_same_process_and_knows_its_target(models):
    models.put("a.tar.gz", "team/b.tar.gz")
    models.deploy()
    first, again, other = models.ask("a.tar.gz"), models.ask("a.tar.gz"), models.ask("team/b.tar.gz")
    assert first == again and first["target"] == first["name"] == "a.tar.gz"
    assert other["name"] == other["beside"] == "team/b.tar.gz" and other["process"] != first["process"]


def test_models_come_and_go_while_the_endpoint_lives(models):
    models.put("old.tar.gz")
    models.deploy()
    assert models.ask("old.tar.gz")["name"] == "old.tar.gz"
    models.put("new.tar.gz")
    assert models.ask("new.tar.gz")["name"] == "new.tar.gz"
    models.delete("old.tar.gz")
    assert models.ask("old.tar.gz")["name"] == "old.tar.gz", "what is loaded goes on to answer"
    error = models.refusal("gone.tar.gz")
    assert error["Error"]["Code"] == "ValidationError" and error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["Error"]["Message"].startswith(
        f"Failed to download model data(bucket: {models.bucket}, key: {models.name}/gone.tar.gz). Please ensure that "
        "there is an object located at the URL and that the role passed to CreateModel has permissions to download"
    )
    models.put("gone.tar.gz")
    assert models.ask("gone.tar.gz")["name"] == "gone.tar.gz"


@pytest.mark.parametrize("target", ["../other/a.tar.gz", "/a.tar.gz", "x/../../a.tar.gz", "a//b.tar.gz", "./a.tar.gz"])
def test_a_target_that_leads_out_of_the_prefix_is_refused(shared, target):
    error = shared.refusal(target)
    assert error["Error"]["Code"] == "ValidationError" and "Invalid target model" in error["Error"]["Message"]


@pytest.fixture(scope="module")
def shared(client, bucket) -> Iterator[MultiModel]:
    """An endpoint with the models a and b, for tests that leave it as it is."""
    made = MultiModel(client, bucket, "shared-models")
    made.put("a.tar.gz", "b.tar.gz")
    made.deploy()
    yield made
    made.sm.delete_endpoint(EndpointName=made.name)


def test_a_request_without_a_target_model_is_refused(shared):
    error = shared.refusal(None)
    assert error["Error"]["Code"] == "ValidationError" and "missing a target model header" in error["Error"]["Message"]


def test_what_is_no_archive_is_refused(shared):
    shared.s3.put_object(Bucket=shared.bucket, Key=f"{shared.name}/text.tar.gz", Body=b"not an archive")
    error = shared.refusal("text.tar.gz")
    assert error["Error"]["Code"] == "ValidationError" and "text.tar.gz" in error["Error"]["Message"]


def test_a_model_that_does_not_load_is_a_model_error_with_its_reason_and_the_others_serve_on(shared):
    shared.put("broken.tar.gz", **{"raise": "the weights are cut off"})
    for _ in range(2):
        error = shared.refusal("broken.tar.gz")
        assert error["Error"]["Code"] == "ModelError" and error["OriginalStatusCode"] == 500
        assert "the weights are cut off" in error["OriginalMessage"]
    assert shared.ask("a.tar.gz")["name"] == "a.tar.gz"


def test_a_script_that_raises_is_a_model_error_with_its_traceback(shared):
    error = shared.refusal("a.tar.gz", {"raise": "no such card"})
    assert error["Error"]["Code"] == "ModelError" and "no such card" in error["OriginalMessage"]
    assert "predict_fn" in error["OriginalMessage"] and "from primary" in error["Error"]["Message"]


def test_a_model_whose_process_ends_is_loaded_again(shared):
    before = shared.ask("b.tar.gz")["process"]
    neighbour = shared.ask("a.tar.gz")["process"]
    assert shared.refusal("b.tar.gz", {"exit": True})["OriginalStatusCode"] == 500
    assert shared.ask("b.tar.gz")["process"] != before
    assert shared.ask("a.tar.gz")["process"] == neighbour


def test_many_clients_load_a_model_once(models):
    models.put("a.tar.gz", "b.tar.gz")
    models.deploy()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(models.ask, ["a.tar.gz", "b.tar.gz"] * 20))
    assert len({answer["process"] for answer in answers}) == 2
    assert [answer["name"] for answer in answers] == ["a.tar.gz", "b.tar.gz"] * 20


def test_a_model_that_loads_slowly_is_429_when_time_is_up_and_holds_up_no_other(models, tmp_path):
    gate = tmp_path / "open"
    models.put("slow.tar.gz", gate=str(gate))
    models.put("quick.tar.gz")
    models.deploy({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"})
    process = models.ask_until_ready("quick.tar.gz")["process"]
    error = models.refusal("slow.tar.gz")
    assert error["Error"]["Code"] == "ModelNotReadyException" and error["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert models.ask_until_ready("quick.tar.gz")["process"] == process
    gate.touch()
    assert models.ask_until_ready("slow.tar.gz")["name"] == "slow.tar.gz"


def test_a_model_larger_than_the_memory_is_a_model_error_with_507(models):
    models.put("large.tar.gz", megabytes=64)
    models.put("small.tar.gz", megabytes=1)
    models.deploy({MEMORY_MB: "60"})
    assert models.ask("small.tar.gz")["name"] == "small.tar.gz"
    error = models.refusal("large.tar.gz")
    assert error["OriginalStatusCode"] == 507 and "Insufficient memory" in error["OriginalMessage"]
    assert models.ask("small.tar.gz")["name"] == "small.tar.gz"


def test_without_caching_a_model_goes_from_memory_and_disk_when_it_has_answered(server, models):
    models.put("a.tar.gz")
    models.deploy(MultiModelConfig={"ModelCacheSetting": "Disabled"})
    first = models.ask("a.tar.gz")["process"]
    deadline = time.monotonic() + 150
    while model_processes(server.pid, models.name):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert models.ask("a.tar.gz")["process"] != first
    models.delete("a.tar.gz")
    while model_processes(server.pid, models.name):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert models.refusal("a.tar.gz")["Error"]["Code"] == "ValidationError"


def test_with_caching_a_model_that_was_unloaded_comes_back_from_disk(models):
    models.put("a.tar.gz", "b.tar.gz", megabytes=32)
    models.deploy({MEMORY_MB: "60"})
    assert models.ask("a.tar.gz")["name"] == "a.tar.gz"
    models.delete("a.tar.gz")
    assert models.ask("b.tar.gz")["name"] == "b.tar.gz"
    assert models.ask("a.tar.gz")["name"] == "a.tar.gz"


def test_each_model_stays_with_its_instance_and_a_busy_one_is_helped(models):
    targets = [f"{number}.tar.gz" for number in range(4)]
    models.put(*targets)
    models.deploy(count=2)
    rounds = [[models.ask(target)["process"] for target in targets] for _ in range(3)]
    assert rounds[0] == rounds[1] == rounds[2]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: models.ask(targets[0], {"sleep": 0.3}), range(12)))
    assert len({answer["process"] for answer in answers}) == 2


def test_cloudwatch_knows_how_models_were_loaded(client, models):
    models.put("a.tar.gz", "b.tar.gz", megabytes=32)
    models.deploy({MEMORY_MB: "60"})
    for target in ("a.tar.gz", "a.tar.gz", "a.tar.gz", "b.tar.gz"):
        models.ask(target)

    def statistics(metric: str, namespace: str = "AWS/SageMaker") -> dict:
        names = {"EndpointName": models.name, "VariantName": "AllTraffic"}
        now = datetime.now(UTC)
        points = client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=["Sum", "Average", "SampleCount", "Maximum"],
        )["Datapoints"]
        return points[0] if points else {"SampleCount": 0}

    deadline = time.monotonic() + 120
    counts = {"ModelCacheHit": 4, "ModelUnloadingTime": 1}
    counts |= dict.fromkeys(("ModelLoadingWaitTime", "ModelDownloadingTime", "ModelLoadingTime"), 2)
    while {metric: statistics(metric)["SampleCount"] for metric in counts} != counts:
        assert time.monotonic() < deadline, {metric: statistics(metric) for metric in counts}
        time.sleep(0.2)
    assert statistics("ModelCacheHit")["Average"] == 0.5
    assert statistics("ModelLoadingTime")["Unit"] == "Microseconds"
    # The first sample may be from before the first model.
    while (counted := statistics("LoadedModelCount", instance_metrics.NAMESPACE)).get("Maximum", 0) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert counted["Maximum"] == 1


def test_an_update_to_a_model_of_one_archive_and_back(models, unique):
    models.put("a.tar.gz")
    models.deploy()
    assert models.ask("a.tar.gz")["name"] == "a.tar.gz"
    single = deployed.create_model(models.sm, models.s3, models.bucket, unique("single"))
    models.sm.create_endpoint_config(EndpointConfigName=single, ProductionVariants=[deployed.variant(single)])
    models.sm.update_endpoint(EndpointName=models.name, EndpointConfigName=single)
    deployed.await_status(models.sm, models.name, "InService")
    error = models.refusal("a.tar.gz")
    assert error["Error"]["Message"] == (
        f"Endpoint {models.name} is not a multi-model endpoint and does not support target model header."
    )
    models.sm.update_endpoint(EndpointName=models.name, EndpointConfigName=models.name)
    deployed.await_status(models.sm, models.name, "InService")
    assert models.ask("a.tar.gz")["name"] == "a.tar.gz"


def test_a_multi_model_endpoint_serves_again_after_the_server_was_killed(tmp_path, client_of):
    home = tmp_path / "home"
    running = local_sagemaker.start(home)
    try:
        client = client_of(running)
        client("s3").create_bucket(Bucket="kept")
        models = MultiModel(client, "kept", "kept")
        models.put("a.tar.gz", "b.tar.gz")
        models.deploy()
        models.ask("a.tar.gz")
        family = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "models outlive their server"
        models = MultiModel(client_of(local_sagemaker.start(home)), "kept", "kept")
        assert [models.ask(target)["name"] for target in ("b.tar.gz", "a.tar.gz")] == ["b.tar.gz", "a.tar.gz"]
    finally:
        local_sagemaker.stop(home)


def test_models_are_served_where_nothing_can_be_bound(tmp_path, client_of, monkeypatch):
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", "rewrite")
    home = tmp_path / "home"
    script = """
from pathlib import Path
def model_fn(model_dir): return sorted(str(path) for path in Path("/opt/ml/models").glob("*/model/name.txt"))
def transform_fn(model, data, content_type, accept): return "\\n".join(Path(path).read_text() for path in model)
"""
    try:
        client = client_of(local_sagemaker.start(home))
        client("s3").create_bucket(Bucket="rewritten")
        models = MultiModel(client, "rewritten", "rewritten")
        files = {"name.txt": "found", "code/inference.py": script}
        models.s3.put_object(Bucket="rewritten", Key="rewritten/a.tar.gz", Body=deployed.archive(files))
        models.deploy()
        answer = models.runtime.invoke_endpoint(EndpointName="rewritten", TargetModel="a.tar.gz", Body=b"x")
        assert answer["Body"].read() == b"found"
    finally:
        local_sagemaker.stop(home)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ModelDataUrl": None}, "ModelDataUrl is required"),
        ({"Mode": "SingleModel", "MultiModelConfig": {"ModelCacheSetting": "Enabled"}}, "MultiModelConfig is only"),
    ],
)
def test_models_that_make_no_sense_are_refused(shared, unique, members, message):
    container = {name: value for name, value in (shared.container() | members).items() if value is not None}
    with pytest.raises(ClientError, match=message):
        shared.sm.create_model(
            ModelName=unique("refused"),
            PrimaryContainer=container,
            ExecutionRoleArn="arn:aws:iam::111122223333:role/CourseExecutionRole",
        )
