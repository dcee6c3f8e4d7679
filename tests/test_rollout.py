import json

import pytest
from botocore.exceptions import ClientError

from helpers import cleanup, deployment, rollout

INFERENCE = """
def model_fn(model_dir):
    with open(model_dir + "/name.txt") as file:
        return file.read()


def transform_fn(name, body, content_type, accept):
    return '"' + name + '"'
"""


@pytest.fixture
def config(aws, tmp_path):
    """`config("old")`: a model that answers with this name, and an endpoint configuration for it."""

    def create(answer: str) -> str:
        folder = tmp_path / answer
        (folder / "code").mkdir(parents=True)
        (folder / "model").mkdir()
        (folder / "model/name.txt").write_text(answer)
        (folder / "code/inference.py").write_text(INFERENCE)
        archive = deployment.package_model(folder / "model", folder / "code", folder / "model.tar.gz")
        name = aws.name(answer)
        container = {"Image": aws.image("sklearn"), "ModelDataUrl": aws.upload(archive, answer)}
        aws.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=aws.role)
        aws.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(aws, name, "all")])
        return name

    yield create
    cleanup.delete_lab(aws)


def variant(aws, model: str, name: str, weight: float = 1.0) -> dict:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": aws.instance_type("endpoint"),
        "InitialInstanceCount": 1,
        "InitialVariantWeight": weight,
    }


def answers(aws, endpoint: str, count: int = 20) -> set[str]:
    return {json.loads(deployment.invoke(aws, endpoint, "x", content_type="text/plain")) for _ in range(count)}


@pytest.mark.parametrize("shift", ["ALL_AT_ONCE", "CANARY", "LINEAR", "ROLLING"])
def test_the_deployment_config_is_what_sagemaker_takes(aws, shift):
    config = rollout.deployment_config(shift, 25, 120, ["errors", "latency"])
    assert config["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]}
    assert "AutoRollbackConfiguration" not in rollout.deployment_config(shift)
    # boto3 holds it to the API's model before it sends anything, and nothing of this name exists.
    with pytest.raises(ClientError, match="Could not find endpoint"):
        aws.sagemaker.update_endpoint(EndpointName="no", EndpointConfigName="no", DeploymentConfig=config)


def test_an_endpoint_is_updated_by_a_canary_or_rolled_back_by_an_alarm(aws, config):
    old, new = config("old"), config("new")
    endpoint = aws.name("shifting")
    aws.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=old)
    deployment.wait_in_service(aws, endpoint)
    cloudwatch = aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=endpoint,
        Namespace="Lab",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    cloudwatch.set_alarm_state(AlarmName=endpoint, StateValue="ALARM", StateReason="it is broken")
    with pytest.raises(RuntimeError, match=f"{endpoint} was rolled back to {old}: .*ALARM state: {endpoint}"):
        rollout.update_endpoint(aws, endpoint, new, "CANARY", percent=50, bake_seconds=60, alarms=[endpoint])
    assert answers(aws, endpoint) == {"old"}
    cloudwatch.set_alarm_state(AlarmName=endpoint, StateValue="OK", StateReason="it is repaired")
    described = rollout.update_endpoint(aws, endpoint, new, "CANARY", percent=50, bake_seconds=60, alarms=[endpoint])
    assert described["EndpointConfigName"] == new
    assert answers(aws, endpoint) == {"new"}


def test_traffic_shifts_from_one_variant_to_the_other(aws, config):
    both, endpoint = aws.name("both"), aws.name("two")
    variants = [variant(aws, config("a"), "a"), variant(aws, config("b"), "b", weight=0.0)]
    aws.sagemaker.create_endpoint_config(EndpointConfigName=both, ProductionVariants=variants)
    aws.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=both)
    deployment.wait_in_service(aws, endpoint)
    assert answers(aws, endpoint) == {"a"}
    assert rollout.shift_traffic(aws, endpoint, {"b": 3.0}) == {"a": 0.25, "b": 0.75}
    assert rollout.shift_traffic(aws, endpoint, {"a": 0.0}) == {"a": 0.0, "b": 1.0}
    assert answers(aws, endpoint) == {"b"}
