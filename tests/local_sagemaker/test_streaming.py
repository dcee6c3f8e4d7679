"""InvokeEndpointWithResponseStream: what unmodified boto3 sees of an answer while the model still makes it."""

import contextlib
import json

import deployed
import pytest
from botocore.exceptions import ClientError, EventStreamError

# Counts up as the request says, and does what else it says in between.
COUNTING = """
import json, os, time
from pathlib import Path

def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(order, model, context):
    if "custom" in order:
        context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", order["custom"])
    if "refuse" in order:
        raise ValueError(order["refuse"])
    return count(order)

def count(order):
    try:
        for number in range(order.get("count", 3)):
            while number and "after" in order and not Path(order["after"]).exists():
                time.sleep(0.01)
            if number == order.get("raise_at"):
                raise ValueError("no number comes after this one")
            if number == order.get("exit_at"):
                os._exit(3)
            if number == order.get("stall_at"):
                time.sleep(60)
            yield "x" * order.get("size", 0) + str(number) + "\\n"
    finally:
        if "closed" in order:
            Path(order["closed"]).touch()

def output_fn(prediction, accept):
    return prediction, accept
"""

BY_PIECE = """
def model_fn(model_dir):
    return None

def predict_fn(rows, model):
    return iter([b"raw ", "text ", [1, 2]])
"""

BY_TRANSFORM = """
def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    return (word for word in data.split()), "text/words"
"""

# A user's own container: HTTP's chunks are all that it knows of streaming.
SERVE = """#!/usr/bin/env python3
import http.server, json, os, time
from pathlib import Path

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/numbers")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(3):
            while number and not Path(order["after"]).exists():
                time.sleep(0.01)
            self.wfile.write(b"2\\r\\n%d\\n\\r\\n" % number)
        self.wfile.write(b"0\\r\\n\\r\\n")

port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def endpoint(sm, s3, bucket):
    """Variants that stream, from each handler function and from a user's own container, and one that does not."""
    scripts = {"counting": COUNTING, "pieces": BY_PIECE, "words": BY_TRANSFORM, "plain": deployed.OBEDIENT}
    for name, script in scripts.items():
        files = {"code/inference.py": script, "name.txt": name}
        environment = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "2"}
        deployed.create_model(sm, s3, bucket, f"stream-{name}", files, environment=environment)
    deployed.create_model(sm, s3, bucket, "stream-own", {"code/serve": SERVE}, image="local/mine")
    deployed.create_endpoint(sm, "stream", [deployed.variant(f"stream-{name}", name) for name in (*scripts, "own")])
    yield "stream"
    sm.delete_endpoint(EndpointName="stream")


@pytest.fixture
def ask(runtime, endpoint):
    """`ask(variant, order)`: a response whose Body is the stream of events, closed in the end."""
    with contextlib.ExitStack() as stack:

        def call(variant: str, order: dict | None = None, **members) -> dict:
            request = {"EndpointName": endpoint, "TargetVariant": variant, "ContentType": "application/json"}
            request |= {"Body": json.dumps(order or {})} | members
            response = runtime.invoke_endpoint_with_response_stream(**request)
            stack.callback(response["Body"].close)
            return response

        yield call


def parts(response: dict) -> list[bytes]:
    """The payload parts of a response."""
    return [event["PayloadPart"]["Bytes"] for event in response["Body"]]


@pytest.mark.parametrize("variant", ["counting", "own"])
def test_the_client_has_the_first_part_while_the_model_still_waits_for_the_client(ask, tmp_path, variant):
    acknowledged = tmp_path / "acknowledged"
    events = iter(ask(variant, {"after": str(acknowledged)})["Body"])
    assert next(events) == {"PayloadPart": {"Bytes": b"0\n"}}
    acknowledged.touch()
    assert b"".join(event["PayloadPart"]["Bytes"] for event in events) == b"1\n2\n"


def test_a_streamed_response_has_the_headers_of_its_model(ask):
    members = {"Accept": "text/numbers", "CustomAttributes": "trace=6", "InferenceId": "id-1"}
    response = ask("counting", {"custom": "trace=7"}, **members)
    assert response["ContentType"] == "text/numbers"
    assert response["InvokedProductionVariant"] == "counting"
    assert response["CustomAttributes"] == "trace=7"
    assert b"".join(parts(response)) == b"0\n1\n2\n"


def test_pieces_of_a_prediction_are_encoded_one_by_one(ask):
    assert b"".join(parts(ask("pieces", Body="[]"))) == b"raw text [1, 2]"


def test_a_transform_fn_may_stream(ask):
    response = ask("words", Body="one two three", ContentType="text/plain")
    assert (response["ContentType"], b"".join(parts(response))) == ("text/words", b"onetwothree")


def test_a_plain_answer_comes_in_parts(ask):
    order = {"text": "y" * 2_000_000}
    received = parts(ask("plain", order))
    assert len(received) > 1
    assert json.loads(b"".join(received))["order"] == order


def test_an_empty_answer_has_no_parts(ask):
    assert parts(ask("counting", {"count": 0})) == []


def test_a_long_stream_arrives_whole(ask):
    lines = b"".join(parts(ask("counting", {"count": 200, "size": 100_000}))).splitlines()
    assert lines == [b"x" * 100_000 + str(number).encode() for number in range(200)]


def test_streams_reach_invoke_endpoint_whole(runtime, endpoint):
    request = {"EndpointName": endpoint, "TargetVariant": "counting", "ContentType": "application/json"}
    assert runtime.invoke_endpoint(Body=b'{"count": 50}', **request)["Body"].read().split()[-1] == b"49"


@pytest.mark.parametrize("accident", ["raise_at", "exit_at"])
def test_an_error_in_mid_stream_comes_as_a_model_stream_error_after_what_was_sent(ask, accident, tmp_path):
    received = tmp_path / "received"
    events = iter(ask("counting", {accident: 1, "count": 5, "after": str(received)})["Body"])
    assert next(events) == {"PayloadPart": {"Bytes": b"0\n"}}
    received.touch()
    with pytest.raises(EventStreamError, match="was reset or closed") as caught:
        next(events)
    assert caught.value.response["Error"]["Code"] == "ModelStreamError"
    assert b"".join(parts(ask("counting"))) == b"0\n1\n2\n", "the endpoint serves on"


def test_a_model_that_stalls_in_mid_stream_is_a_model_stream_error(ask, sm, s3, bucket, unique):
    name = unique("stall")
    files = {"code/inference.py": COUNTING}
    deployed.create_model(sm, s3, bucket, name, files, environment={"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"})
    deployed.create_endpoint(sm, name, [deployed.variant(name, name)])
    events = iter(ask(name, {"stall_at": 1}, EndpointName=name)["Body"])
    assert next(events) == {"PayloadPart": {"Bytes": b"0\n"}}
    with pytest.raises(EventStreamError, match="timed out while waiting for a response"):
        next(events)
    sm.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize("order", [{"refuse": "no such number"}, {"raise_at": 0}])
def test_an_error_before_the_first_part_is_a_model_error(ask, order):
    with pytest.raises(ClientError) as caught:
        ask("counting", order)
    error = caught.value.response
    assert error["Error"]["Code"] == "ModelError" and error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["OriginalStatusCode"] == 500 and "Traceback" in error["OriginalMessage"]


def test_a_client_that_goes_away_ends_the_generator(ask, tmp_path):
    closed = tmp_path / "closed"
    response = ask("counting", {"count": 10**9, "size": 10_000, "closed": str(closed)})
    next(iter(response["Body"]))
    response["Body"].close()
    assert deployed.becomes_true(closed.exists)
    assert b"".join(parts(ask("counting"))) == b"0\n1\n2\n", "the endpoint serves on"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"EndpointName": "no-such"}, "Endpoint no-such of account 111122223333 not found."),
        ({"TargetVariant": "ten"}, "Variant ten of endpoint stream not found."),
        ({"Body": b"x" * 6_291_457}, "less than or equal to 6291456"),
    ],
)
def test_a_faulty_request_is_refused_before_the_stream(runtime, endpoint, members, words):
    request = {"EndpointName": endpoint, "TargetVariant": "plain", "Body": b"{}"} | members
    with pytest.raises(ClientError, match=words) as caught:
        runtime.invoke_endpoint_with_response_stream(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_cloudwatch_has_the_latency_of_the_first_part_and_errors_in_mid_stream(ask, client):
    with pytest.raises(EventStreamError):
        parts(ask("counting", {"raise_at": 1}))
    dimensions = [{"Name": "EndpointName", "Value": "stream"}, {"Name": "VariantName", "Value": "counting"}]
    found = deployed.statistics_of(client("cloudwatch"), "MidStreamErrors", dimensions, at_least=1)
    assert found["Sum"] >= 1
    assert deployed.statistics_of(client("cloudwatch"), "FirstChunkLatency", dimensions, at_least=1)["Average"] > 0
