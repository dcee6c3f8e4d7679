"""Shadow variants: they get copies of what production gets, and nobody notices what they do with them."""

import json
import time
from datetime import UTC, datetime, timedelta

import deployed
import pytest
from botocore.exceptions import ClientError
from scipy.stats import binomtest

# Keeps what it is asked in a file of the test's, and then does as it is told.
DIARY = """
import json, os, time
from pathlib import Path

def model_fn(model_dir):
    return Path(model_dir, "name.txt").read_text()

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(order, name, context):
    with open(os.environ["DIARY"], "a") as diary:
        diary.write(json.dumps(order) + "\\n")
    time.sleep(float(os.environ.get("SLEEP", "0")))
    if "FAIL" in os.environ:
        raise ValueError("the shadow fails")
    return {"name": name}

def output_fn(answer, accept):
    return json.dumps(answer), "application/json"
"""
PATIENCE_SECONDS = 30


@pytest.fixture
def production(sm, s3, bucket, unique) -> str:
    """A model that answers with its own name."""
    return deployed.create_model(sm, s3, bucket, unique("production"))


@pytest.fixture
def diary(tmp_path):
    """What the shadow was asked: `diary()` gives the orders."""
    path = tmp_path / "diary.jsonl"
    path.touch()
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def shadow(sm, s3, bucket, unique, tmp_path, diary):
    """`shadow(FAIL="1")`: a model that keeps a diary, with these variables."""

    def create(**environment: str) -> str:
        name = unique("shadow")
        files = {"name.txt": name, "code/inference.py": DIARY}
        return deployed.create_model(
            sm, s3, bucket, name, files, environment={"DIARY": str(tmp_path / "diary.jsonl"), **environment}
        )

    return create


@pytest.fixture
def deploy(sm, unique, production):
    """`deploy(shadow(), weight=0.5)`: the name of an endpoint of variants `production` and `shadow`."""
    made = []

    def create(model: str, weight: float = 1.0, **members) -> str:
        name = unique("shadowed")
        sm.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[deployed.variant(production, "production")],
            ShadowProductionVariants=[deployed.variant(model, "shadow", weight=weight)],
            **members,
        )
        sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        deployed.await_status(sm, name, "InService")
        return name

    yield create
    for name in made:
        sm.delete_endpoint(EndpointName=name)


@pytest.fixture
def ask(runtime):
    """`ask(endpoint, {"number": 1})`: the response, its body parsed."""

    def call(endpoint: str, order: dict, **members) -> dict:
        response = runtime.invoke_endpoint(
            EndpointName=endpoint, Body=json.dumps(order), ContentType="application/json", **members
        )
        return response | {"Body": json.loads(response["Body"].read())}

    return call


def eventually(value, wanted) -> None:
    """Asserts that `value()` becomes what is wanted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := value()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == wanted


def test_a_shadow_receives_what_production_receives_and_only_production_answers(ask, deploy, shadow, diary, production):
    name = deploy(shadow())
    responses = [ask(name, {"number": number}) for number in range(40)]
    assert {response["InvokedProductionVariant"] for response in responses} == {"production"}
    assert {response["Body"]["name"] for response in responses} == {production}
    eventually(lambda: sorted(order["number"] for order in diary()), list(range(40)))


def test_what_production_fails_on_is_copied_too(runtime, ask, deploy, shadow, diary):
    name = deploy(shadow())
    with pytest.raises(ClientError, match="ModelError"):
        ask(name, {"status": 422})
    eventually(diary, [{"status": 422}])


def test_the_copied_share_is_the_shadows_weight_over_productions(sm, ask, deploy, shadow, diary):
    name, calls = deploy(shadow(), weight=0.25), 200
    for _ in range(calls):
        ask(name, {})
    sm.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "shadow", "DesiredWeight": 0.0}]
    )
    changed = deployed.await_status(sm, name, "InService")
    assert [summary["CurrentWeight"] for summary in changed["ShadowProductionVariants"]] == [0.0]
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        ask(name, {"too": "late"})
    assert binomtest(len(diary()), calls, 0.25).pvalue > 1e-4
    assert {"too": "late"} not in diary()


@pytest.mark.parametrize("trouble", [{"FAIL": "1"}, {"SLEEP": "3"}])
def test_trouble_of_the_shadow_does_not_reach_the_client(ask, deploy, shadow, diary, trouble):
    name = deploy(shadow(**trouble))
    began = time.monotonic()
    for number in range(10):
        assert ask(name, {"number": number})["InvokedProductionVariant"] == "production"
    if "SLEEP" in trouble:
        assert time.monotonic() - began < 10 * float(trouble["SLEEP"])
    eventually(lambda: len(diary()) > 0, True)


def test_cloudwatch_tells_the_shadow_from_production(ask, client, deploy, shadow):
    name = deploy(shadow(FAIL="1"))
    for _ in range(5):
        ask(name, {})

    def total(variant: str, metric: str) -> float:
        now = datetime.now(UTC)
        points = client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    eventually(lambda: [total(variant, "Invocations") for variant in ("production", "shadow")], [5, 5])
    assert [total(variant, "Invocation5XXErrors") for variant in ("production", "shadow")] == [0, 5]


def test_both_variants_are_captured_each_in_its_own_folder(ask, s3, bucket, deploy, shadow, production):
    model = shadow()
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{bucket}/shadowed",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    name = deploy(model, DataCaptureConfig=capture)
    ask(name, {}, InferenceId="one")

    def answers() -> dict[str, str]:
        found = {}
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"shadowed/{name}/").get("Contents", []):
            line = json.loads(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
            assert line["eventMetadata"]["inferenceId"] == "one"
            answer = json.loads(line["captureData"]["endpointOutput"]["data"])
            found[entry["Key"].split("/")[2]] = answer["name"]
        return found

    eventually(answers, {"production": production, "shadow": model})


def test_an_endpoint_and_its_configuration_describe_the_shadow(sm, runtime, deploy, shadow):
    model = shadow()
    name = deploy(model, weight=0.5)
    described = sm.describe_endpoint(EndpointName=name)
    assert [summary["VariantName"] for summary in described["ProductionVariants"]] == ["production"]
    [summary] = described["ShadowProductionVariants"]
    assert (summary["VariantName"], summary["CurrentWeight"], summary["CurrentInstanceCount"]) == ("shadow", 0.5, 1)
    config = sm.describe_endpoint_config(EndpointConfigName=name)
    assert config["ShadowProductionVariants"] == [deployed.variant(model, "shadow", weight=0.5)]
    with pytest.raises(ClientError, match=r"Variant shadow of endpoint .* not found"):
        runtime.invoke_endpoint(EndpointName=name, Body=b"{}", TargetVariant="shadow")


def test_an_update_takes_the_shadow_out(sm, ask, unique, deploy, shadow, production, diary):
    name = deploy(shadow())
    without = unique("without")
    sm.create_endpoint_config(
        EndpointConfigName=without, ProductionVariants=[deployed.variant(production, "production")]
    )
    sm.update_endpoint(EndpointName=name, EndpointConfigName=without)
    assert "ShadowProductionVariants" not in deployed.await_status(sm, name, "InService")
    ask(name, {})
    assert diary() == []


def test_a_shadow_stands_behind_one_production_variant(sm, unique, production):
    with pytest.raises(ClientError, match="one production variant and one shadow variant, got 2 and 1"):
        sm.create_endpoint_config(
            EndpointConfigName=unique("config"),
            ProductionVariants=[deployed.variant(production, "a"), deployed.variant(production, "b")],
            ShadowProductionVariants=[deployed.variant(production, "c")],
        )
    with pytest.raises(ClientError, match="must be unique"):
        sm.create_endpoint_config(
            EndpointConfigName=unique("config"),
            ProductionVariants=[deployed.variant(production, "same")],
            ShadowProductionVariants=[deployed.variant(production, "same")],
        )
