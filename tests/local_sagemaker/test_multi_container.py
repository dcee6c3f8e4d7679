"""Models of several containers: inference pipelines, direct invocation, and what a container gets besides its model."""

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError

from helpers import local_sagemaker

ROLE = "arn:aws:iam::111122223333:role/CourseExecutionRole"

# Wraps what it is given in its name, and says what it was told; an order in the payload fails it.
WRAPPER = """
import json, os
from pathlib import Path

def model_fn(model_dir):
    name = Path(model_dir, "name.txt").read_text()
    print("this is", name, flush=True)
    return name

def input_fn(data, content_type):
    return (data if isinstance(data, str) else data.decode()), content_type

def predict_fn(given, name, context):
    text, content_type = given
    if f"raise {name}" in text:
        raise ValueError(f"{name} cannot go on")
    if f"exit {name}" in text:
        os._exit(3)
    return f"{name}({text})[{content_type}|{context.get_request_header(0, 'Accept')}|{os.environ.get('FLAVOUR')}]"

def output_fn(answer, accept):
    return answer, f"text/x-{answer.partition('(')[0]}"
"""


@pytest.fixture
def container(s3, bucket, unique) -> Callable[..., dict]:
    """`container("a")`: a ContainerDefinition of the wrapper called `a`; `members` are added."""

    def define(name: str, code: str = WRAPPER, **members: object) -> dict:
        key = f"{unique('wrapper')}/model.tar.gz"
        s3.put_object(Bucket=bucket, Key=key, Body=deployed.archive({"name.txt": name, "code/inference.py": code}))
        return {"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://{bucket}/{key}", **members}

    return define


@pytest.fixture
def deploy(sm, unique) -> Callable[..., str]:
    """`deploy([container, ...], mode="Direct")`: an endpoint of such a model, deleted when the test ends."""
    made = []

    def create(containers: list[dict], mode: str | None = None, wait: str = "InService", **members: object) -> str:
        name = unique("containers")
        make_model(sm, name, containers, mode, **members)
        made.append(name)
        deployed.create_endpoint(sm, name, [deployed.variant(name)], wait=wait)
        return name

    yield create
    for name in made:
        sm.delete_endpoint(EndpointName=name)


def make_model(sm, name: str, containers: list[dict], mode: str | None = None, **members: object) -> None:
    """A model of these containers."""
    if mode:
        members["InferenceExecutionConfig"] = {"Mode": mode}
    sm.create_model(ModelName=name, Containers=containers, ExecutionRoleArn=ROLE, **members)


def say(runtime, endpoint: str, text: str = "x", **members: object) -> tuple[str, str]:
    """Body and content type of the answer."""
    answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=text, ContentType="text/x-in", **members)
    return answer["Body"].read().decode(), answer["ContentType"]


def refused(runtime, endpoint: str, text: str = "x", **members: object) -> dict:
    """The error response of an invocation that must fail."""
    with pytest.raises(ClientError) as caught:
        say(runtime, endpoint, text, **members)
    return caught.value.response


def test_each_container_is_fed_with_what_the_one_before_answered_and_its_type(runtime, container, deploy):
    containers = [container("a"), container("b", Environment={"FLAVOUR": "sour"}), container("c")]
    endpoint = deploy(containers)
    body, kind = say(runtime, endpoint, Accept="text/x-out")
    assert body == "c(b(a(x)[text/x-in|None|None])[text/x-a|None|sour])[text/x-b|text/x-out|None]"
    assert kind == "text/x-c"


def test_fifteen_containers_make_a_pipeline(runtime, container, deploy):
    one = container("n", code="def model_fn(d): return 0\ndef transform_fn(m, data, c, a): return str(int(data) + 1)\n")
    endpoint = deploy([one] * 15, "Serial")
    answer = runtime.invoke_endpoint(EndpointName=endpoint, Body="0", ContentType="text/csv")
    assert answer["Body"].read() == b"15"


@pytest.mark.parametrize("hostnames", [["container-1", "container-2"], ["prepare", "predict"]])
def test_an_error_names_its_container_and_log(sm, runtime, client, container, deploy, hostnames):
    named = {name: {"ContainerHostname": name} if name in ("prepare", "predict") else {} for name in hostnames}
    endpoint = deploy([container(letter, **named[name]) for letter, name in zip("ab", hostnames, strict=True)])
    error = refused(runtime, endpoint, "raise b")
    assert error["Error"]["Code"] == "ModelError" and error["OriginalStatusCode"] == 500
    message = f'Received server error (500) from {hostnames[1]} with message "b cannot go on'
    assert error["Error"]["Message"].startswith(message)
    group, stream = error["LogStreamArn"].split("log-group:")[1].split(":log-stream:")
    assert stream.startswith("AllTraffic/i-") and stream.endswith(f"/{hostnames[1]}")
    logs, deadline = client("logs"), time.monotonic() + 30
    told: list[str] = []
    while not {"this is b", "ValueError: b cannot go on"} <= set(told):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
        try:
            events = logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        except logs.exceptions.ResourceNotFoundException:
            continue
        told = [event["message"] for event in events]
    assert "this is a" not in told
    assert f"from {hostnames[0]} with" in refused(runtime, endpoint, "raise a")["Error"]["Message"]


def test_a_container_that_does_not_start_fails_the_endpoint_and_is_named(sm, container, deploy):
    endpoint = deploy([container("a"), container("b", code="raise ImportError('half a script')\n")], wait="Failed")
    reason = sm.describe_endpoint(EndpointName=endpoint)["FailureReason"]
    assert reason.startswith("The container-2 for production variant AllTraffic did not pass the ping health check.")
    assert "half a script" in reason


def test_a_deleted_archive_fails_the_endpoint_and_its_container_is_named(sm, s3, bucket, container, deploy):
    second = container("b")
    s3.delete_object(Bucket=bucket, Key=second["ModelDataUrl"].removeprefix(f"s3://{bucket}/"))
    endpoint = deploy([container("a"), second], wait="Failed")
    reason = sm.describe_endpoint(EndpointName=endpoint)["FailureReason"]
    assert f'Failed to download model data for container "container_2" from URL: "{second["ModelDataUrl"]}"' in reason


def test_a_container_that_dies_is_started_again_alone(runtime, container, deploy):
    endpoint = deploy([container("a"), container("b")])
    error = refused(runtime, endpoint, "exit b")
    assert "Received server error (0) from container-2" in error["Error"]["Message"]
    assert say(runtime, endpoint)[0].startswith("b(a(x)")


def test_direct_invocation_asks_the_container_that_the_request_names(runtime, container, deploy):
    containers = [container("a", ContainerHostname="first"), container("b", ContainerHostname="second")]
    endpoint = deploy(containers, "Direct")
    assert say(runtime, endpoint, TargetContainerHostname="second", Accept="text/x-out") == (
        "b(x)[text/x-in|text/x-out|None]",
        "text/x-b",
    )
    assert say(runtime, endpoint, TargetContainerHostname="first")[0] == "a(x)[text/x-in|None|None]"
    error = refused(runtime, endpoint, "raise b", TargetContainerHostname="second")
    assert "Received server error (500) from second" in error["Error"]["Message"]
    missing, unknown = refused(runtime, endpoint), refused(runtime, endpoint, TargetContainerHostname="third")
    assert missing["Error"]["Code"] == unknown["Error"]["Code"] == "ValidationError"
    assert "target container hostname header is missing" in missing["Error"]["Message"]
    assert "Target container hostname third" in unknown["Error"]["Message"]


def test_a_pipeline_streams_what_its_last_container_sends_and_names_the_one_that_fails(runtime, container, deploy):
    endpoint = deploy([container("a"), container("b")])

    def stream(text: str) -> str:
        answer = runtime.invoke_endpoint_with_response_stream(
            EndpointName=endpoint, Body=text, ContentType="text/x-in", Accept="text/x-out"
        )
        return b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode()

    assert stream("x") == "b(a(x)[text/x-in|None|None])[text/x-a|text/x-out|None]"
    for name, number in {"a": 1, "b": 2}.items():
        with pytest.raises(ClientError) as caught:
            stream(f"raise {name}")
        message = f'Received server error (500) from container-{number} with message "{name} cannot go on'
        assert caught.value.response["Error"]["Message"].startswith(message)


def test_a_pipeline_does_not_take_a_target_container(runtime, container, deploy):
    endpoint = deploy([container("a", ContainerHostname="first"), container("b", ContainerHostname="second")])
    error = refused(runtime, endpoint, TargetContainerHostname="first")
    assert error["Error"]["Code"] == "ValidationError" and "not for direct invocation" in error["Error"]["Message"]


@pytest.mark.parametrize(
    ("hostnames", "mode", "message"),
    [
        (["a", None], "Direct", "ContainerHostname is required for each container"),
        (["a", "a"], "Direct", "ContainerHostname must be unique"),
        (["a", "a"], "Serial", "ContainerHostname must be unique"),
        (["a", None], "Serial", "ContainerHostname is required for each container"),
        (["a"], "Direct", "requires more than one container"),
    ],
)
def test_models_that_make_no_sense_are_refused(sm, unique, hostnames, mode, message):
    containers = [{"Image": deployed.SKLEARN} | ({"ContainerHostname": host} if host else {}) for host in hostnames]
    with pytest.raises(ClientError, match=message):
        make_model(sm, unique("refused"), containers, mode)


def test_cloudwatch_knows_each_container(runtime, client, container, deploy):
    containers = [container("a", ContainerHostname="first"), container("b", ContainerHostname="second")]
    pipeline, direct = deploy(containers), deploy(containers, "Direct")
    for _ in range(3):
        say(runtime, pipeline)
    for text in ("x", "raise b"):
        try:
            say(runtime, direct, text, TargetContainerHostname="second")
        except ClientError:
            assert text == "raise b"

    def total(endpoint: str, metric: str, container: str, statistic: str = "Sum") -> float:
        names = {"EndpointName": endpoint, "VariantName": "AllTraffic", "ContainerName": container}
        now = datetime.now(UTC)
        points = client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=[statistic],
        )["Datapoints"]
        return points[0][statistic] if points else 0

    deadline = time.monotonic() + 150
    while (
        total(direct, "Invocations", "second") < 2 or total(pipeline, "ContainerLatency", "second", "SampleCount") < 3
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert total(pipeline, "ContainerLatency", "first", "SampleCount") == 3
    assert total(pipeline, "ContainerLatency", "first") > 0
    assert total(direct, "Invocation5XXErrors", "second") == 1 and total(direct, "Invocation4XXErrors", "second") == 0
    assert total(direct, "ContainerLatency", "second", "SampleCount") == 2
    assert total(direct, "Invocations", "first") == 0


def test_a_pipeline_is_updated_to_a_model_of_one_container_and_back(sm, runtime, container, deploy, unique):
    endpoint, single = deploy([container("a"), container("b")]), unique("single")
    images = sm.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0]["DeployedImages"]
    assert [image["SpecifiedImage"] for image in images] == [deployed.SKLEARN] * 2
    make_model(sm, single, [container("c")])
    sm.create_endpoint_config(EndpointConfigName=single, ProductionVariants=[deployed.variant(single)])
    for config, answer in ((single, "c(x)"), (endpoint, "b(a(x)")):
        sm.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        deployed.await_status(sm, endpoint, "InService")
        assert say(runtime, endpoint)[0].startswith(answer)


def test_a_pipeline_serves_again_after_the_server_was_killed(tmp_path, client_of):
    home = tmp_path / "home"
    running = local_sagemaker.start(home)
    try:
        client = client_of(running)
        sm, s3 = client("sagemaker"), client("s3")
        s3.create_bucket(Bucket="kept")
        for name in "ab":
            files = {"name.txt": name, "code/inference.py": WRAPPER}
            s3.put_object(Bucket="kept", Key=f"{name}.tar.gz", Body=deployed.archive(files))
        containers = [{"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://kept/{name}.tar.gz"} for name in "ab"]
        make_model(sm, "kept", containers)
        deployed.create_endpoint(sm, "kept", [deployed.variant("kept")])
        sm.delete_model(ModelName="kept")
        for name in "ab":
            s3.delete_object(Bucket="kept", Key=f"{name}.tar.gz")
        family = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "containers outlive their server"
        client = client_of(local_sagemaker.start(home))
        assert say(client("sagemaker-runtime"), "kept")[0].startswith("b(a(x)")
    finally:
        local_sagemaker.stop(home)


def test_additional_model_data_and_uncompressed_data_lie_where_aws_puts_them(runtime, s3, bucket, unique, deploy):
    prefix = unique("data")
    script = """
from pathlib import Path
def model_fn(model_dir): return sorted(str(p) for p in Path("/opt/ml").rglob("*.txt"))
def transform_fn(model, data, content_type, accept): return "\\n".join(model)
"""
    for key, body in {"m/code/inference.py": script, "m/a.txt": "", "one/b.txt": "", "one/b.txt.not": ""}.items():
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=body)
    s3.put_object(Bucket=bucket, Key=f"{prefix}/c.tar.gz", Body=deployed.archive({"d/c.txt": ""}))

    def source(key: str, kind: str, compression: str) -> dict:
        uri = f"s3://{bucket}/{prefix}/{key}"
        return {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}}

    more = {"draft": source("c.tar.gz", "S3Object", "Gzip"), "single": source("one/b.txt", "S3Object", "None")}
    container = {
        "Image": deployed.SKLEARN,
        "ModelDataSource": source("m/", "S3Prefix", "None"),
        "AdditionalModelDataSources": [{"ChannelName": name} | data for name, data in more.items()],
    }
    additional = "/opt/ml/additional-model-data-sources"
    body, _ = say(runtime, deploy([container]))
    assert body.split("\n") == [f"{additional}/draft/d/c.txt", f"{additional}/single/b.txt", "/opt/ml/model/a.txt"]


def test_an_isolated_container_reaches_no_network(runtime, container, deploy):
    script = """
import json, os, socket, urllib.request
URL = os.environ["WHERE"]
def reached():
    try:
        return urllib.request.urlopen(URL, timeout=5).status
    except OSError as error:
        return type(error).__name__
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    return json.dumps([reached(), [name for name in os.environ if name.startswith("AWS_")]])
"""
    where = f"{runtime.meta.endpoint_url}/_local/health"
    probe = container("probe", code=script, Environment={"WHERE": where})
    isolated, open_ = (deploy([probe], EnableNetworkIsolation=isolation) for isolation in (True, False))
    assert json.loads(say(runtime, isolated)[0]) == ["URLError", []]
    status, credentials = json.loads(say(runtime, open_)[0])
    assert status == 200 and "AWS_ENDPOINT_URL" in credentials


def test_a_pipeline_runs_in_a_batch_transform_job(sm, client, s3, bucket, container, unique):
    name = unique("pipeline")
    script = "def model_fn(d): return 0\ndef transform_fn(m, data, c, a): return data.replace('x', 'xy')\n"
    make_model(sm, name, [container("a", code=script), container("b", code=script)])
    s3.put_object(Bucket=bucket, Key=f"{name}/in/rows.csv", Body="x1\nx2\n")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/in/"}}
    sm.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://{bucket}/{name}/out", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    deadline = time.monotonic() + 150
    while (job := sm.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job["TransformJobStatus"] == "Completed", job
    body = s3.get_object(Bucket=bucket, Key=f"{name}/out/rows.csv.out")["Body"].read().decode()
    assert body == "xyy1\nxyy2\n"
    streams = client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    assert {stream["logStreamName"].rpartition("/")[2] for stream in streams} == {
        "container-1",
        "container-2",
        "data-log",
    }
