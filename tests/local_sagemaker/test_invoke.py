"""InvokeEndpoint: routing, headers, errors and metrics, on a real server with real workers."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import deployed
import pytest
from botocore.exceptions import ClientError
from scipy.stats import binomtest

CALLS = 1200


@pytest.fixture(scope="module")
def endpoint(sm, s3, bucket):
    """Variants `nine` and `one` of different models at weights 9:1; `nine` has two instances."""
    models = [deployed.create_model(sm, s3, bucket, f"invoke-{name}") for name in ("nine", "one")]
    variants = [
        deployed.variant(models[0], "nine", weight=9.0, count=2),
        deployed.variant(models[1], "one", weight=1.0),
    ]
    deployed.create_endpoint(sm, "invoke", variants)
    yield "invoke"
    sm.delete_endpoint(EndpointName="invoke")


@pytest.fixture
def ask(runtime, endpoint):
    """`ask({"sleep": 1})`: the response of the obedient model, its body parsed."""

    def call(order: dict | None = None, **members) -> dict:
        request = {"Body": json.dumps(order or {}), "ContentType": "application/json"} | members
        response = runtime.invoke_endpoint(EndpointName=endpoint, **request)
        return response | {"Body": json.loads(response["Body"].read())}

    return call


@pytest.fixture
def refusal(ask):
    """The error response of an invocation that must fail."""

    def call(order: dict | None = None, **members) -> dict:
        with pytest.raises(ClientError) as caught:
            ask(order, **members)
        return caught.value.response

    return call


def test_traffic_splits_by_weight(ask):
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: ask(), range(CALLS)))
    by_variant = Counter(response["InvokedProductionVariant"] for response in responses)
    assert set(by_variant) == {"nine", "one"}
    assert binomtest(by_variant["one"], CALLS, 0.1).pvalue > 1e-4, by_variant
    assert all(r["Body"]["name"] == f"invoke-{r['InvokedProductionVariant']}" for r in responses)
    workers = Counter(r["Body"]["worker"] for r in responses if r["InvokedProductionVariant"] == "nine")
    assert len(workers) == 2 and min(workers.values()) > by_variant["nine"] / 4


def test_fifty_clients_at_once_are_all_answered(ask):
    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(lambda number: ask({"sleep": 0.02, "number": number}), range(100)))
    assert [response["Body"]["order"]["number"] for response in responses] == list(range(100))


@pytest.mark.parametrize("variant", ["nine", "one"])
def test_a_target_variant_takes_the_request(ask, variant):
    assert {ask(TargetVariant=variant)["InvokedProductionVariant"] for _ in range(10)} == {variant}


def test_an_unknown_target_variant_is_a_validation_error(refusal):
    error = refusal(TargetVariant="ten")
    assert error["Error"] == {"Code": "ValidationError", "Message": "Variant ten of endpoint invoke not found."}
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_the_container_sees_the_clients_headers_and_the_client_the_containers(ask):
    response = ask({"headers": True, "custom": "trace=7"}, CustomAttributes="trace=6", InferenceId="id-1", Accept="x/y")
    seen = response["Body"]
    assert seen["content-type"] == "application/json" and seen["accept"] == "x/y"
    assert seen["x-amzn-sagemaker-custom-attributes"] == "trace=6"
    assert seen["x-amzn-sagemaker-inference-id"] == "id-1"
    assert response["CustomAttributes"] == "trace=7" and response["ContentType"] == "application/json"
    assert "accept" not in ask({"headers": True})["Body"]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"TargetModel": "a.tar.gz"}, "does not support target model header"),
        ({"TargetContainerHostname": "first"}, "does not support target container hostname header"),
        ({"InferenceComponentName": "c"}, "Inference Component Name header is not allowed"),
    ],
)
def test_headers_of_other_kinds_of_endpoints_are_refused(refusal, member, message):
    error = refusal(**member)
    assert error["Error"]["Code"] == "ValidationError" and message in error["Error"]["Message"]


def test_a_script_that_raises_is_a_model_error_with_its_traceback(refusal):
    error = refusal({"raise": "no such card"}, TargetVariant="one")
    assert error["Error"]["Code"] == "ModelError" and error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["Error"]["Message"].startswith('Received server error (500) from primary with message "no such card')
    assert "logEventViewer:group=/aws/sagemaker/Endpoints/invoke in account 111122223333" in error["Error"]["Message"]
    assert error["OriginalStatusCode"] == 500
    assert error["OriginalMessage"].startswith("no such card\nTraceback") and "predict_fn" in error["OriginalMessage"]
    prefix = "arn:aws:logs:us-east-1:111122223333:log-group:/aws/sagemaker/Endpoints/invoke:log-stream:one/i-"
    assert error["LogStreamArn"].startswith(prefix)


def test_a_container_that_answers_4xx_is_a_model_error_of_the_client(refusal):
    error = refusal({"status": 422})
    assert (
        error["OriginalStatusCode"] == 422 and "Received client error (422) from primary" in error["Error"]["Message"]
    )


def test_a_body_of_6291456_bytes_is_taken_and_one_byte_more_is_refused(ask, refusal):
    longest = 6_291_456
    order = json.dumps({"headers": True})
    assert ask(Body=order + " " * (longest - len(order)))["Body"]["content-length"] == str(longest)
    error = refusal(Body=order + " " * (longest - len(order) + 1))
    assert error["Error"]["Code"] == "ValidationError" and "less than or equal to 6291456" in error["Error"]["Message"]


def test_a_container_that_does_not_answer_in_time_is_a_model_error(sm, s3, runtime, bucket, unique):
    name = unique("timeout")
    deployed.create_model(sm, s3, bucket, name, environment={"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"})
    deployed.create_endpoint(sm, name, [deployed.variant(name)])
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName=name, Body=b'{"sleep": 3}', ContentType="application/json")
    error = caught.value.response
    assert error["OriginalStatusCode"] == 0
    assert "timed out while waiting for a response from container primary" in error["OriginalMessage"]
    sm.delete_endpoint(EndpointName=name)


def test_cloudwatch_counts_invocations_errors_and_latencies(ask, refusal, client, sm, s3, bucket, runtime, unique):
    name = unique("metrics")
    deployed.create_model(sm, s3, bucket, name)
    deployed.create_endpoint(sm, name, [deployed.variant(name, "only")])
    for order in (*[{"sleep": 0.05}] * 3, {"status": 404}, {"raise": "x"}):
        try:
            runtime.invoke_endpoint(EndpointName=name, Body=json.dumps(order), ContentType="application/json")
        except ClientError:
            assert "sleep" not in order
    cloudwatch = client("cloudwatch")
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "only"}]

    def statistics(metric: str) -> dict:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=["Sum", "Average", "SampleCount", "Maximum"],
        )["Datapoints"]
        return points[0] if points else {"SampleCount": 0}

    deadline = time.monotonic() + 30
    while statistics("Invocations")["SampleCount"] < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert statistics("Invocations")["Sum"] == 5
    assert statistics("Invocation4XXErrors")["Average"] == pytest.approx(0.2)
    assert statistics("Invocation5XXErrors")["Sum"] == 1
    latency = statistics("ModelLatency")
    assert latency["SampleCount"] == 5 and latency["Maximum"] > 50_000 and latency["Unit"] == "Microseconds"
    assert 0 < statistics("OverheadLatency")["Average"] < 1_000_000
    sm.delete_endpoint(EndpointName=name)
