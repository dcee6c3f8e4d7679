"""The queues of asynchronous endpoints: nothing acknowledged is lost, whatever becomes of instances and server."""

import json
import os
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import asynchronous
import deployed
import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from helpers import local_sagemaker

# Waits at a meeting point until so many have come; counts its calls in a file.
MEETING = """
import json, os, time
from pathlib import Path

def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(order, model):
    folder = Path(order["folder"])
    (folder / os.urandom(8).hex()).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < order["count"] and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(list(folder.iterdir()))

def output_fn(answer, accept):
    return json.dumps(answer)
"""


class Restartable:
    """A server of its own, with an asynchronous endpoint `queue`."""

    def __init__(self, home, client_of) -> None:
        self.home, self._client_of = home, client_of
        self.start()
        sm, s3 = self.client("sagemaker"), self.client("s3")
        s3.create_bucket(Bucket="queue")
        deployed.create_model(sm, s3, "queue", "queue")
        deployed.create_model(sm, s3, "queue", "meeting", {"code/inference.py": MEETING})
        asynchronous.create_endpoint(sm, "queue", asynchronous.config("queue", 4), "queue")
        asynchronous.create_endpoint(sm, "meeting", asynchronous.config("queue"), "meeting")

    def start(self) -> None:
        self._running = local_sagemaker.start(self.home)
        self.client = self._client_of(self._running)
        self.outcomes = asynchronous.Outcomes(self.client("s3"), "queue")

    def kill_and_restart(self) -> None:
        process = psutil.Process(self._running.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.start()

    def stop_and_restart(self) -> None:
        local_sagemaker.stop(self.home)
        self.start()

    def ask(self, order: dict, endpoint: str = "queue", **members) -> dict:
        """The acknowledgement of a request that brings its payload along."""
        request = {"EndpointName": endpoint, "Body": json.dumps(order), "ContentType": "application/json"} | members
        return self.client("sagemaker-runtime").invoke_endpoint_async(**request)


@pytest.fixture(scope="module")
def server(tmp_path_factory, client_of):
    made = Restartable(tmp_path_factory.mktemp("async-queue"), client_of)
    yield made
    local_sagemaker.stop(made.home)


def test_what_was_acknowledged_is_answered_although_the_server_is_killed_twice(server):
    acknowledged: dict[int, dict] = {}
    numbers, over = iter(range(10_000)), threading.Event()

    def send() -> None:
        while not over.is_set():
            number = next(numbers)
            try:
                acknowledged[number] = server.ask({"number": number, "sleep": 0.01})
            except (BotoCoreError, ClientError):
                over.wait(0.05)  # the server is down, or its endpoint is not yet back

    with ThreadPoolExecutor(3) as pool:
        senders = [pool.submit(send) for _ in range(3)]
        for wanted in (40, 80):
            assert deployed.becomes_true(lambda wanted=wanted: len(acknowledged) >= wanted)
            server.kill_and_restart()
        over.set()
        for sender in senders:
            sender.result()
    for number, request in acknowledged.items():
        answer = server.outcomes.wait(request["OutputLocation"])
        assert json.loads(answer["content"])["order"]["number"] == number


def test_a_request_under_way_is_begun_again_after_the_server_was_stopped(server, tmp_path):
    request = server.ask({"folder": str(tmp_path), "count": 2}, "meeting")
    assert deployed.becomes_true(lambda: len(list(tmp_path.iterdir())) == 1)
    server.stop_and_restart()
    assert server.outcomes.wait(request["OutputLocation"])["content"] == b"2"
    assert server.outcomes.read(request["FailureLocation"]) is None


def test_a_request_that_waits_for_too_long_expires(server):
    sm = server.client("sagemaker")
    asynchronous.rescale(sm, "queue", 0)
    early, late = (server.ask({}, RequestTTLSeconds=seconds) for seconds in (60, 21600))
    local_sagemaker.stop(server.home)
    with sqlite3.connect(server.home / "state.db") as state:  # as if it had been down for some minutes
        state.execute("UPDATE async_requests SET received = received - 600, expires = expires - 600")
    server.start()
    failure = server.outcomes.wait(early["FailureLocation"])
    assert failure["content"].startswith(b"ClientError: The request expired")
    dimensions = [{"Name": "EndpointName", "Value": "queue"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    assert deployed.statistics_of(server.client("cloudwatch"), "ExpiredRequests", dimensions)["Sum"] == 1
    asynchronous.rescale(server.client("sagemaker"), "queue", 1)
    server.outcomes.wait(late["OutputLocation"])


def test_two_hundred_requests_drain(server):
    with ThreadPoolExecutor(16) as pool:
        requests = list(pool.map(lambda number: server.ask({"number": number}), range(200)))
    answers = [server.outcomes.wait(request["OutputLocation"])["content"] for request in requests]
    assert [json.loads(answer)["order"]["number"] for answer in answers] == list(range(200))
    with sqlite3.connect(server.home / "state.db") as state:
        left = lambda: state.execute("SELECT COUNT(*) FROM async_requests").fetchone()[0]  # noqa: E731
        assert deployed.becomes_true(lambda: left() == 0)
    assert deployed.becomes_true(lambda: not list((server.home / "async").iterdir())), "no payload is left behind"


def test_each_instance_takes_a_request_at_a_time(server, tmp_path):
    asynchronous.rescale(server.client("sagemaker"), "meeting", 2)
    requests = [server.ask({"folder": str(tmp_path), "count": 2}, "meeting") for _ in range(2)]
    assert [server.outcomes.wait(request["OutputLocation"])["content"] for request in requests] == [b"2", b"2"]


def test_an_update_of_the_endpoint_loses_no_request(server):
    sm, name = server.client("sagemaker"), "updated"
    asynchronous.create_endpoint(sm, name, asynchronous.config("queue", 2), "queue")
    requests = [server.ask({"number": 0}, name)]
    server.outcomes.wait(requests[0]["OutputLocation"])
    sm.update_endpoint(EndpointName=name, EndpointConfigName="queue")
    while sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating":
        requests.append(server.ask({"number": len(requests), "sleep": 0.02}, name))
    requests.append(server.ask({"number": len(requests)}, name))
    answers = [json.loads(server.outcomes.wait(request["OutputLocation"])["content"]) for request in requests]
    assert [answer["order"]["number"] for answer in answers] == list(range(len(requests)))
    assert not any(server.outcomes.read(request["FailureLocation"]) for request in requests)
    assert answers[0]["worker"] != answers[-1]["worker"], "the next fleet goes on with the queue"
    sm.delete_endpoint(EndpointName=name)


def test_a_queue_waits_for_the_first_instance_and_cloudwatch_shows_it(server):
    sm, cloudwatch = server.client("sagemaker"), server.client("cloudwatch")
    described = asynchronous.rescale(sm, "queue", 0)
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    requests = [server.ask({"number": number}) for number in range(3)]
    dimensions = [{"Name": "EndpointName", "Value": "queue"}]
    assert deployed.becomes_true(
        lambda: deployed.statistics_of(cloudwatch, "HasBacklogWithoutCapacity", dimensions)["Maximum"] == 1
    )
    assert deployed.becomes_true(
        lambda: deployed.statistics_of(cloudwatch, "ApproximateBacklogSize", dimensions)["Maximum"] >= 3
    )
    assert deployed.statistics_of(cloudwatch, "ApproximateAgeOfOldestRequest", dimensions)["Maximum"] > 0
    assert not any(server.outcomes.read(request["OutputLocation"]) for request in requests)
    asynchronous.rescale(sm, "queue", 1)
    for request in requests:
        server.outcomes.wait(request["OutputLocation"])


def test_a_request_under_way_counts_in_the_backlog_of_its_instance(server, tmp_path):
    request = server.ask({"folder": str(tmp_path), "count": 2}, "meeting")
    cloudwatch, dimensions = server.client("cloudwatch"), [{"Name": "EndpointName", "Value": "meeting"}]
    assert deployed.becomes_true(
        lambda: deployed.statistics_of(cloudwatch, "ApproximateBacklogSizePerInstance", dimensions)["Maximum"] > 0
    )
    (tmp_path / "seen").touch()
    assert server.outcomes.wait(request["OutputLocation"])["content"] == b"2"


def test_cloudwatch_counts_what_was_processed(server):
    sm, name = server.client("sagemaker"), "counted"
    asynchronous.create_endpoint(sm, name, asynchronous.config("queue"), "queue")
    stored = server.outcomes.put({"sleep": 0.05})
    runtime = server.client("sagemaker-runtime")
    for location in (stored, stored, "s3://queue/none"):
        runtime.invoke_endpoint_async(EndpointName=name, InputLocation=location)
    server.ask({"raise": "x"}, name)
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def statistics(metric: str, at_least: int = 1) -> dict:
        return deployed.statistics_of(server.client("cloudwatch"), metric, dimensions, at_least)

    assert statistics("InvocationsProcessed", 4)["Sum"] == 4
    assert statistics("InvocationFailures", 4)["Sum"] == 2
    assert statistics("RequestDownloadFailures")["Sum"] == 1
    assert statistics("Invocation5XXErrors", 3)["Sum"] == 1
    assert statistics("ModelLatency", 3)["Maximum"] > 50_000
    assert statistics("RequestDownloadLatency", 2)["Average"] > 0 < statistics("ResponseUploadLatency", 2)["Average"]
    total, waited = statistics("TotalProcessingTime", 4), statistics("TimeInBacklog", 4)
    assert total["Maximum"] > 50 and total["Unit"] == waited["Unit"] == "Milliseconds"
    assert total["Sum"] > waited["Sum"] > 0
    sm.delete_endpoint(EndpointName=name)


def test_a_deleted_endpoint_forgets_its_queue(server, tmp_path):
    sm, name = server.client("sagemaker"), "deleted"
    asynchronous.create_endpoint(sm, name, asynchronous.config("queue"), "meeting")
    requests = [server.ask({"folder": str(tmp_path), "count": 100}, name) for _ in range(3)]
    assert deployed.becomes_true(lambda: len(list(tmp_path.iterdir())) == 1)
    sm.delete_endpoint(EndpointName=name)
    with pytest.raises(ClientError, match="not found"):
        server.ask({}, name)
    assert deployed.becomes_true(lambda: name not in str(sm.list_endpoints()["Endpoints"]))
    sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
    deployed.await_status(sm, name, "InService")
    (tmp_path / "new").mkdir()
    request = server.ask({"folder": str(tmp_path / "new"), "count": 1}, name)
    assert server.outcomes.wait(request["OutputLocation"])["content"] == b"1"
    assert len(list(tmp_path.iterdir())) == 2, "none of the old requests was begun"
    assert not any(server.outcomes.read(old["OutputLocation"]) for old in requests)
    sm.delete_endpoint(EndpointName=name)


def test_payloads_larger_than_those_of_invoke_endpoint_go_through(server):
    padded = json.dumps({"headers": True, "text": ""})[:-2] + "x" * 20_000_000 + '"}'
    server.client("s3").put_object(Bucket="queue", Key="large", Body=padded)
    request = {"EndpointName": "queue", "InputLocation": "s3://queue/large", "ContentType": "application/json"}
    runtime = server.client("sagemaker-runtime")
    accepted = runtime.invoke_endpoint_async(**request)
    seen = json.loads(server.outcomes.wait(accepted["OutputLocation"])["content"])
    assert seen["content-length"] == str(len(padded))
    server.client("s3").put_object(Bucket="queue", Key="echo", Body=padded.replace("headers", "echoed"))
    accepted = runtime.invoke_endpoint_async(**request | {"InputLocation": "s3://queue/echo"})
    assert len(server.outcomes.wait(accepted["OutputLocation"])["content"]) > 20_000_000


def test_an_answer_that_cannot_be_stored_is_a_failure(server):
    sm, name = server.client("sagemaker"), "nowhere"
    config = asynchronous.config("queue", S3OutputPath="s3://no-such-bucket/out")
    asynchronous.create_endpoint(sm, name, config, "queue")
    reason = server.outcomes.wait(server.ask({}, name)["FailureLocation"])["content"]
    assert reason.startswith(b"ClientError: Failed to upload the response to s3://no-such-bucket/out/")
    sm.delete_endpoint(EndpointName=name)


def test_asynchronous_traffic_is_captured(server):
    sm, name = server.client("sagemaker"), "captured"
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://queue/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    asynchronous.create_endpoint(sm, name, asynchronous.config("queue"), "queue", DataCaptureConfig=capture)
    server.ask({"number": 5}, name, InferenceId="id-5")
    s3 = server.client("s3")

    def objects() -> list[dict]:
        return s3.list_objects_v2(Bucket="queue", Prefix=f"captured/{name}/").get("Contents", [])

    assert deployed.becomes_true(objects)
    line = json.loads(s3.get_object(Bucket="queue", Key=objects()[0]["Key"])["Body"].read())
    assert json.loads(line["captureData"]["endpointInput"]["data"]) == {"number": 5}
    assert json.loads(line["captureData"]["endpointOutput"]["data"])["order"] == {"number": 5}
    assert line["eventMetadata"]["inferenceId"] == "id-5"
    sm.delete_endpoint(EndpointName=name)
