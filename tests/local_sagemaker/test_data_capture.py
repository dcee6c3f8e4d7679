"""Data capture: what endpoints were asked and answered, in S3, on a real server with real workers."""

import base64
import json
import re
import threading
import time
from datetime import UTC, datetime

import deployed
import pytest
from botocore.exceptions import ClientError
from scipy.stats import binomtest

from helpers import local_sagemaker
from helpers.local_sagemaker import data_capture

# Answers what it was asked, with the content type that the request asks for.
ECHO = """
def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return data

def predict_fn(data, model, context):
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "answered")
    return data

def output_fn(data, accept):
    return data, accept
"""
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def echo(sm, s3, bucket) -> str:
    """A model that answers its request."""
    return deployed.create_model(sm, s3, bucket, "capture-echo", {"code/inference.py": ECHO})


@pytest.fixture
def deploy(sm, bucket, echo):
    """`deploy(name, CaptureOptions=...)`: an endpoint of the echo that captures into the test's bucket."""
    made = []

    def create(name: str, variants: tuple[str, ...] = ("AllTraffic",), **members) -> dict:
        create_config(sm, name, [deployed.variant(echo, variant) for variant in variants], config(bucket, **members))
        sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        return deployed.await_status(sm, name, "InService")

    yield create
    for name in made:
        sm.delete_endpoint(EndpointName=name)


def config(bucket: str, **members) -> dict:
    """A DataCaptureConfig that captures everything."""
    everything = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{bucket}/captured/",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv", "application/x-table"],
            "JsonContentTypes": ["application/json"],
        },
    }
    return {name: value for name, value in (everything | members).items() if value is not None}


def create_config(sm, name: str, variants: list[dict], capture: dict | None) -> str:
    """An endpoint configuration, with data capture or without."""
    members = {"DataCaptureConfig": capture} if capture else {}
    sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **members)
    return name


def ask(runtime, endpoint: str, body: bytes, content_type: str = "text/csv", **members) -> dict:
    """The response to a request whose answer is the request."""
    response = runtime.invoke_endpoint(
        EndpointName=endpoint, Body=body, ContentType=content_type, Accept=content_type, **members
    )
    assert response["Body"].read() == body
    return response


def captured(s3, bucket: str, endpoint: str) -> dict[str, list[dict]]:
    """The lines that are in S3 now, by key."""
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"captured/{endpoint}/").get("Contents", [])
    contents = {entry["Key"]: s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed}
    assert all(content.endswith(b"\n") for content in contents.values())
    return {key: [json.loads(line) for line in content.splitlines()] for key, content in contents.items()}


def await_lines(s3, bucket: str, endpoint: str, count: int) -> list[dict]:
    """The captured lines once there are `count`; asserts that there are no more."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        lines = [line for together in captured(s3, bucket, endpoint).values() for line in together]
        if len(lines) >= count or time.monotonic() > deadline:
            assert len(lines) == count
            return lines
        time.sleep(0.1)


def test_a_captured_line_has_the_request_the_answer_and_the_event(runtime, s3, bucket, unique, deploy):
    name = unique("capture")
    deploy(name)
    before = datetime.now(UTC).replace(microsecond=0)
    ask(runtime, name, b"1,2.5\n", InferenceId="id-7", CustomAttributes="asked")
    [line] = await_lines(s3, bucket, name, 1)
    event_id = line["eventMetadata"].pop("eventId")
    moment = line["eventMetadata"].pop("inferenceTime")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event_id)
    at = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= at <= datetime.now(UTC)
    side = {"observedContentType": "text/csv", "data": "1,2.5\n", "encoding": "CSV"}
    assert line == {
        "captureData": {"endpointInput": side | {"mode": "INPUT"}, "endpointOutput": side | {"mode": "OUTPUT"}},
        "eventMetadata": {"inferenceId": "id-7", "customAttributes": ["asked", "answered"]},
        "eventVersion": "0",
    }
    [key] = captured(s3, bucket, name)
    assert re.fullmatch(rf"captured/{name}/AllTraffic/{at:%Y/%m/%d/%H}/\d\d-\d\d-\d\d\d-[0-9a-f-]+\.jsonl", key)


def test_data_is_encoded_by_its_content_type(runtime, s3, bucket, unique, deploy):
    name = unique("capture")
    deploy(name)
    given = {
        b'{"a": "\xc3\xa4"}': ("application/json", "JSON", '{"a": "ä"}'),
        b"1,2": ("text/csv; charset=utf-8", "CSV", "1,2"),
        b"1:2": ("text/x-libsvm", "BASE64", base64.b64encode(b"1:2").decode()),
        b"\xff,1": ("application/x-table", "BASE64", base64.b64encode(b"\xff,1").decode()),
    }
    for body, (content_type, _, _) in given.items():
        ask(runtime, name, body, content_type)
    inputs = [line["captureData"]["endpointInput"] for line in await_lines(s3, bucket, name, len(given))]
    assert [(side["observedContentType"], side["encoding"], side["data"]) for side in inputs] == list(given.values())


@pytest.mark.parametrize(
    ("modes", "sides"),
    [
        (["Input"], {"endpointInput"}),
        (["Output"], {"endpointOutput"}),
        (["InputAndOutput"], {"endpointInput", "endpointOutput"}),
    ],
)
def test_the_sides_that_are_asked_for_are_captured_in_base64_unless_told_otherwise(
    runtime, s3, bucket, unique, deploy, modes, sides
):
    name = unique("capture")
    deploy(name, CaptureOptions=[{"CaptureMode": mode} for mode in modes], CaptureContentTypeHeader=None)
    ask(runtime, name, b"1,2")
    [line] = await_lines(s3, bucket, name, 1)
    assert set(line["captureData"]) == sides
    assert {side["encoding"] for side in line["captureData"].values()} == {"BASE64"}


def test_the_sampling_percentage_is_honoured_by_every_variant(runtime, sm, s3, bucket, unique, deploy):
    name, calls = unique("capture"), 400
    deploy(name, variants=("first", "second"), InitialSamplingPercentage=25)
    by_variant = {"first": 0, "second": 0}
    for _ in range(calls):
        by_variant[ask(runtime, name, b"1")["InvokedProductionVariant"]] += 1
    sm.create_endpoint_config(
        EndpointConfigName=f"{name}-off", ProductionVariants=[deployed.variant("capture-echo", "first")]
    )
    sm.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-off")
    deployed.await_status(sm, name, "InService")
    time.sleep(3 * data_capture.FLUSH_SECONDS)
    found = captured(s3, bucket, name)
    for variant, asked in by_variant.items():
        lines = sum(len(together) for key, together in found.items() if f"/{variant}/" in key)
        assert binomtest(lines, asked, 0.25).pvalue > 1e-4, (variant, lines, asked)


def test_errors_of_the_model_are_not_captured(sm, runtime, s3, bucket, unique):
    name = unique("capture")
    model = deployed.create_model(sm, s3, bucket, name)
    create_config(sm, name, [deployed.variant(model)], config(bucket))
    sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
    deployed.await_status(sm, name, "InService")
    with pytest.raises(ClientError, match="ModelError"):
        runtime.invoke_endpoint(EndpointName=name, Body=b'{"raise": "no"}', ContentType="application/json")
    runtime.invoke_endpoint(EndpointName=name, Body=b"{}", ContentType="application/json")
    sm.delete_endpoint(EndpointName=name)
    [line] = await_lines(s3, bucket, name, 1)
    assert line["captureData"]["endpointInput"]["data"] == "{}"


def test_an_update_turns_capture_off_and_on_and_an_endpoint_says_so(sm, runtime, s3, bucket, unique, echo, deploy):
    name = unique("capture")
    summary = {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{bucket}/captured/",
        "KmsKeyId": "",
    }
    assert deploy(name)["DataCaptureConfig"] == summary
    ask(runtime, name, b"captured")

    def update(suffix: str, capture: dict | None, **members) -> dict:
        to = create_config(sm, f"{name}-{suffix}", [deployed.variant(echo)], capture)
        sm.update_endpoint(EndpointName=name, EndpointConfigName=to, **members)
        endpoint = deployed.await_status(sm, name, "InService")
        ask(runtime, name, suffix.encode())
        return endpoint.get("DataCaptureConfig")

    stopped = summary | {"EnableCapture": False, "CaptureStatus": "Stopped"}
    assert update("off", config(bucket, EnableCapture=False)) == stopped
    assert update("retained", config(bucket), RetainAllVariantProperties=True) == stopped
    excluded = [{"VariantPropertyType": "DataCaptureConfig"}]
    again = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": excluded}
    assert update("on", config(bucket), **again) == summary
    assert update("gone", None) is None
    lines = await_lines(s3, bucket, name, 2)
    assert [line["captureData"]["endpointInput"]["data"] for line in lines] == ["captured", "on"]


def test_what_was_answered_is_in_s3_when_an_endpoint_is_gone_and_after_a_restart(tmp_path, client_of):
    first = local_sagemaker.start(tmp_path)
    try:
        sm, s3, runtime = (client_of(first)(service) for service in ("sagemaker", "s3", "sagemaker-runtime"))
        s3.create_bucket(Bucket="kept")
        deployed.create_model(sm, s3, "kept", "echo", {"code/inference.py": ECHO})
        for name in ("gone", "left"):
            create_config(sm, name, [deployed.variant("echo")], config("kept"))
            sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
            deployed.await_status(sm, name, "InService")
        ask(runtime, "gone", b"gone")
        sm.delete_endpoint(EndpointName="gone")
        while sm.list_endpoints(NameContains="gone")["Endpoints"]:
            time.sleep(0.01)
        assert len(captured(s3, "kept", "gone")) == 1
        for number in range(50):
            ask(runtime, "left", str(number).encode())
        local_sagemaker.stop(tmp_path)
        second = local_sagemaker.start(tmp_path)
        s3, runtime = (client_of(second)(service) for service in ("s3", "sagemaker-runtime"))
        lines = await_lines(s3, "kept", "left", 50)
        assert sorted(int(line["captureData"]["endpointInput"]["data"]) for line in lines) == list(range(50))
        ask(runtime, "left", b"50")
        await_lines(s3, "kept", "left", 51)
    finally:
        local_sagemaker.stop(tmp_path)


def test_a_destination_that_is_no_place_in_s3_is_refused(sm, bucket, unique, echo):
    elsewhere = config(bucket, DestinationS3Uri="https://example.org/here")
    with pytest.raises(ClientError, match="DestinationS3Uri: The S3 URI is not valid"):
        create_config(sm, unique("capture"), [deployed.variant(echo)], elsewhere)


def test_a_bucket_that_does_not_exist_does_not_touch_the_answers(runtime, unique, deploy):
    name = unique("capture")
    deploy(name, DestinationS3Uri=f"s3://{unique('nowhere')}/here")
    for _ in range(2):
        ask(runtime, name, b"1,2")


class SlowS3:
    """Takes an object when it may; stands for the server and its S3."""

    def __init__(self):
        self.asked, self.may = threading.Event(), threading.Event()
        self.lines = []

    def client(self, service: str) -> "SlowS3":
        return self

    def put_object(self, Body: bytes, **_: str) -> None:
        self.asked.set()
        self.may.wait()
        self.lines += [json.loads(line)["captureData"]["endpointInput"]["data"] for line in Body.splitlines()]


def test_what_does_not_fit_in_memory_is_left_out_and_said(monkeypatch, caplog, bucket):
    monkeypatch.setattr(data_capture, "MAX_BUFFERED_BYTES", 3 * (data_capture.RECORD_BYTES + 2))
    monkeypatch.setattr(data_capture, "FLUSH_SECONDS", 0.01)
    slow = SlowS3()
    how, records = data_capture.capture(config(bucket), "endpoint", "variant"), data_capture.DataCapture(slow)
    headers = {"Content-Type": "text/csv"}
    records.record(how, headers, b"0", headers, b"0")
    slow.asked.wait()
    for number in range(1, 6):
        records.record(how, headers, str(number).encode(), headers, b"0")
    slow.may.set()
    records.stop()
    assert slow.lines == ["0", "1", "2", "3"]
    assert "left out 2 invocations" in caplog.text
