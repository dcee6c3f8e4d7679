"""Updates of inference components, and of the endpoints that host them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import deployed
import pytest
from botocore.exceptions import ClientError
from hosting import NEEDS, Hosted, await_status, host


@pytest.fixture
def hosted(client, bucket, role_arn, unique):
    """Endpoints for components."""
    made = Hosted(client, bucket, role_arn, unique)
    yield made
    made.clear()


def test_an_update_replaces_the_model_and_loses_no_request(hosted, sm):
    name, second = hosted.endpoint(), hosted.model()
    made = hosted.component(name, copies=2)
    ended = threading.Event()

    def go_on() -> list[str]:
        names = []
        while not ended.is_set():
            names.append(hosted.ask(name, made)["name"])
        return names

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(go_on) for _ in range(2)]
        sm.update_inference_component(
            InferenceComponentName=made,
            Specification={"ModelName": second, "ComputeResourceRequirements": NEEDS},
            DeploymentConfig={
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
                    "WaitIntervalInSeconds": 1,
                }
            },
        )
        assert await_status(sm, made)["Specification"]["ModelName"] == second
        ended.set()
        assert all(future.result() for future in asking)
    assert {hosted.ask(name, made)["name"] for _ in range(4)} == {second}


def test_an_update_to_a_broken_model_keeps_the_copies(hosted, sm):
    name, good = hosted.endpoint(), hosted.model()
    made = hosted.component(name, ModelName=good)
    broken = hosted.model({"code/inference.py": "raise RuntimeError('no model')"})
    sm.update_inference_component(
        InferenceComponentName=made,
        Specification={"ModelName": broken, "ComputeResourceRequirements": NEEDS},
        RuntimeConfig={"CopyCount": 1},
    )
    settled = await_status(sm, made)
    assert "RuntimeError: no model" in settled["FailureReason"]
    assert settled["Specification"]["ModelName"] == good
    assert hosted.ask(name, made)["name"] == good


def test_an_alarm_in_the_middle_of_an_update_brings_the_copies_back(hosted, sm, client, unique):
    name, old, alarm = hosted.endpoint(), hosted.model(), unique("alarm")
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="Course",
        MetricName=alarm,
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="the new model is worse")
    made = hosted.component(name, copies=2, ModelName=old)
    policy = {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 0}
    sm.update_inference_component(
        InferenceComponentName=made,
        Specification={"ModelName": hosted.model(), "ComputeResourceRequirements": NEEDS},
        DeploymentConfig={
            "RollingUpdatePolicy": policy,
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
        },
    )
    settled = await_status(sm, made)
    assert alarm in settled["FailureReason"]
    assert settled["Specification"]["ModelName"] == old
    assert settled["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: hosted.ask(name, made, sleep=0.1), range(6)))
    assert {answer["name"] for answer in answers} == {old}
    assert len({answer["worker"] for answer in answers}) == 2


def test_an_update_that_takes_too_long_brings_the_copies_back_batch_by_batch(hosted, sm):
    name, old = hosted.endpoint(), hosted.model()
    made = hosted.component(name, copies=3, ModelName=old)
    one = {"Type": "COPY_COUNT", "Value": 1}
    policy = {"MaximumBatchSize": one, "RollbackMaximumBatchSize": one, "WaitIntervalInSeconds": 300}
    sm.update_inference_component(
        InferenceComponentName=made,
        Specification={"ModelName": hosted.model(), "ComputeResourceRequirements": NEEDS},
        DeploymentConfig={"RollingUpdatePolicy": policy | {"MaximumExecutionTimeoutInSeconds": 600}},
    )
    settled = await_status(sm, made)
    assert settled["FailureReason"].startswith("The update did not complete within 600 seconds")
    assert settled["Specification"]["ModelName"] == old
    assert settled["RuntimeConfig"] == {"DesiredCopyCount": 3, "CurrentCopyCount": 3}
    assert {hosted.ask(name, made)["name"] for _ in range(6)} == {old}


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"MaximumExecutionTimeoutInSeconds": 600}, "must be larger than the total waiting time"),
        ({"RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 101}}, "must not be greater than 100"),
    ],
)
def test_a_rolling_policy_that_cannot_be_carried_out_is_refused(hosted, sm, policy, message):
    made = hosted.component(hosted.endpoint())
    given = {"MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1}, "WaitIntervalInSeconds": 600} | policy
    with pytest.raises(ClientError, match=message):
        sm.update_inference_component(
            InferenceComponentName=made,
            Specification={"ModelName": hosted.model(), "ComputeResourceRequirements": NEEDS},
            DeploymentConfig={"RollingUpdatePolicy": given},
        )


def test_an_endpoint_of_components_is_updated_under_them(hosted, sm):
    name = hosted.endpoint()
    made = hosted.component(name)
    wider = hosted.config(host(count=2))
    sm.update_endpoint(EndpointName=name, EndpointConfigName=wider)
    updated = deployed.await_status(sm, name, "InService")
    assert (updated["EndpointConfigName"], updated.get("FailureReason")) == (wider, None)
    assert updated["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert hosted.ask(name, made)["worker"]
