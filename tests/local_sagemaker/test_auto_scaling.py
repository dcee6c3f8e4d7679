"""Application Auto Scaling: real worker counts that follow real metrics, alarms and schedules."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from deployed import create_endpoint, create_model, variant

from helpers import local_sagemaker
from helpers.local_sagemaker import Running

TIMEOUT = 60
COUNT = "sagemaker:variant:DesiredInstanceCount"
MINUTE = 60


@pytest.fixture(scope="session")
def scaling(client: Callable[..., BaseClient]) -> BaseClient:
    """Application Auto Scaling."""
    return client("application-autoscaling")


@pytest.fixture(scope="session")
def cloudwatch(client: Callable[..., BaseClient]) -> BaseClient:
    """CloudWatch."""
    return client("cloudwatch")


@pytest.fixture(scope="module")
def model_name(sm: BaseClient, s3: BaseClient, bucket: str) -> str:
    """A model that does what it is told."""
    return create_model(sm, s3, bucket, "scaled-model")


@pytest.fixture
def endpoint(sm: BaseClient, model_name: str, unique: Callable[[str], str]) -> Iterator[str]:
    """An endpoint of one instance."""
    name = unique("scaled")
    create_endpoint(sm, name, [variant(model_name)])
    yield name
    if name in [found["EndpointName"] for found in sm.list_endpoints(NameContains=name)["Endpoints"]]:
        await_instances(sm, name)
        sm.delete_endpoint(EndpointName=name)


def target(endpoint: str) -> dict:
    """What identifies the scalable target of an endpoint."""
    resource = f"endpoint/{endpoint}/variant/AllTraffic"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": COUNT}


def await_instances(sm: BaseClient, endpoint: str, number: int | None = None) -> int:
    """The number of instances, once the endpoint is in service with the wanted one."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        found = sm.describe_endpoint(EndpointName=endpoint)
        count = found["ProductionVariants"][0]["CurrentInstanceCount"]
        if found["EndpointStatus"] == "InService" and number in (None, count):
            return count
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def await_activity(scaling: BaseClient, endpoint: str, **members: object) -> dict:
    """The latest scaling activity, once it has these members."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        found = scaling.describe_scaling_activities(**target(endpoint))["ScalingActivities"]
        if found and all(found[0].get(name) == value for name, value in members.items()):
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@contextmanager
def traffic(runtime: BaseClient, endpoint: str, clients: int, body: bytes = b"{}") -> Iterator[None]:
    """Clients that invoke an endpoint, each one at most ten times a second; none may fail."""
    over = threading.Event()

    def invoke() -> None:
        while not over.wait(0.1):
            runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType="application/json")

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(invoke) for _ in range(clients)]
        try:
            yield
        finally:
            over.set()
    for client in running:
        client.result()


def test_target_tracking_follows_the_traffic_out_and_in(
    sm: BaseClient, runtime: BaseClient, scaling: BaseClient, cloudwatch: BaseClient, endpoint: str
) -> None:
    registered = scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=2)
    put = scaling.put_scaling_policy(
        **target(endpoint),
        PolicyName="tracking",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0 * MINUTE,  # one a second
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": MINUTE,
            "ScaleOutCooldown": MINUTE,
        },
    )
    prefixes = [f"TargetTracking-endpoint/{endpoint}/variant/AllTraffic-Alarm{word}-" for word in ("High", "Low")]
    names = [alarm["AlarmName"] for alarm in put["Alarms"]]
    assert all(name.startswith(prefix) for name, prefix in zip(names, prefixes, strict=True))
    with traffic(runtime, endpoint, clients=1):
        await_instances(sm, endpoint, 2)
    activity = await_activity(scaling, endpoint, StatusCode="Successful")
    assert activity["Cause"] == f"monitor alarm {names[0]} in state ALARM triggered policy tracking"
    assert activity["Description"] == "Setting desired instance count to 2."
    assert activity["StatusMessage"] == (
        "Successfully set desired instance count to 2. Change successfully fulfilled by sagemaker."
    )
    await_instances(sm, endpoint, 1)
    assert f"{names[1]} in state ALARM" in await_activity(scaling, endpoint, StatusCode="Successful")["Cause"]
    # What belongs to the endpoint goes with it.
    sm.delete_endpoint(EndpointName=endpoint)
    deadline = time.monotonic() + TIMEOUT
    while scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target(endpoint)["ResourceId"]])[
        "ScalableTargets"
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not scaling.describe_scaling_policies(**target(endpoint))["ScalingPolicies"]
    assert not cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    with pytest.raises(ClientError, match="does not exist"):
        scaling.list_tags_for_resource(ResourceARN=registered["ScalableTargetARN"])


def test_a_rate_is_real_whatever_the_speedup(
    runtime: BaseClient, cloudwatch: BaseClient, endpoint: str, unique: Callable[[str], str]
) -> None:
    """A client that sends at most ten requests a second sends at most 600 a minute."""
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]
    wanted = {unique("busy"): (1.0 * MINUTE, "ALARM"), unique("idle"): (20.0 * MINUTE, "OK")}
    for name, (threshold, _) in wanted.items():
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            MetricName="InvocationsPerInstance",
            Namespace="AWS/SageMaker",
            Dimensions=dimensions,
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=2,
            ComparisonOperator="GreaterThanThreshold",
            Threshold=threshold,
        )
    with traffic(runtime, endpoint, clients=1):
        for name, (_, state) in wanted.items():
            deadline = time.monotonic() + TIMEOUT
            while (found := cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0])["StateValue"] != state:
                assert time.monotonic() < deadline, found
                time.sleep(0.1)


def test_concurrency_is_tracked_at_high_resolution(
    sm: BaseClient, runtime: BaseClient, scaling: BaseClient, endpoint: str
) -> None:
    scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=2)
    predefined = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    scaling.put_scaling_policy(
        **target(endpoint),
        PolicyName="concurrency",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": predefined},
        },
    )
    with traffic(runtime, endpoint, clients=3, body=b'{"sleep": 1}'):
        await_instances(sm, endpoint, 2)


def test_a_step_policy_goes_as_far_as_the_alarm_is_exceeded(
    sm: BaseClient, scaling: BaseClient, cloudwatch: BaseClient, endpoint: str, unique: Callable[[str], str]
) -> None:
    scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=3)
    policy = scaling.put_scaling_policy(
        **target(endpoint),
        PolicyName="steps",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": 10 * MINUTE,
            "StepAdjustments": [
                {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
                {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 2},
            ],
        },
    )["PolicyARN"]
    name = unique("backlog")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName=name,
        Namespace="course",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=5,
        TreatMissingData="notBreaching",
        AlarmActions=[policy],
    )
    (described,) = scaling.describe_scaling_policies(**target(endpoint))["ScalingPolicies"]
    assert [alarm["AlarmName"] for alarm in described["Alarms"]] == [name]
    cloudwatch.put_metric_data(Namespace="course", MetricData=[{"MetricName": name, "Value": 20}])
    await_instances(sm, endpoint, 3)
    cause = f"monitor alarm {name} in state ALARM triggered policy steps"
    assert await_activity(scaling, endpoint, StatusCode="Successful")["Cause"] == cause
    items = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="Action")["AlarmHistoryItems"]
    assert items[0]["HistorySummary"] == f"Successfully executed action {policy}"


def test_what_is_not_scaled_is_told_when_asked_for(
    scaling: BaseClient, cloudwatch: BaseClient, endpoint: str, unique: Callable[[str], str]
) -> None:
    scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=1)
    policy = scaling.put_scaling_policy(
        **target(endpoint),
        PolicyName="steps",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )["PolicyARN"]
    name = unique("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName=name,
        Namespace="course",
        Statistic="Average",
        Period=3600,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=5,
        AlarmActions=[policy],
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    deadline = time.monotonic() + TIMEOUT
    asked = target(endpoint) | {"IncludeNotScaledActivities": True}
    while not (found := scaling.describe_scaling_activities(**asked)["ScalingActivities"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found[0]["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 1}]
    assert not scaling.describe_scaling_activities(**target(endpoint))["ScalingActivities"]


def test_scheduled_actions_change_the_bounds_and_the_instances_follow(
    sm: BaseClient, scaling: BaseClient, endpoint: str
) -> None:
    scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=1)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    scaling.put_scheduled_action(
        **target(endpoint),
        ScheduledActionName="morning",
        Schedule=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 2},
    )
    (described,) = scaling.describe_scheduled_actions(**target(endpoint))["ScheduledActions"]
    assert described["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 2}
    await_instances(sm, endpoint, 2)
    found = scaling.describe_scaling_activities(**target(endpoint))["ScalingActivities"]
    assert [activity["Cause"] for activity in found] == [
        "minimum capacity was set to 2",
        "scheduled action name morning was triggered",
    ]
    # Every minute, so every second here.
    scaling.put_scheduled_action(
        **target(endpoint),
        ScheduledActionName="often",
        Schedule="rate(1 minute)",
        ScalableTargetAction={"MinCapacity": 1, "MaxCapacity": 1},
    )
    await_instances(sm, endpoint, 1)
    scaling.delete_scheduled_action(**target(endpoint), ScheduledActionName="often")
    with pytest.raises(ClientError, match="No scheduled action found"):
        scaling.delete_scheduled_action(**target(endpoint), ScheduledActionName="often")


def test_a_kill_loses_no_target_and_scaling_goes_on(
    tmp_path: Path, client_of: Callable[[Running], Callable[..., BaseClient]]
) -> None:
    running = local_sagemaker.start(tmp_path)
    try:
        client = client_of(running)
        client("s3").create_bucket(Bucket="scaled")
        create_model(client("sagemaker"), client("s3"), "scaled", "m")
        create_endpoint(client("sagemaker"), "e", [variant("m")])
        scaling = client("application-autoscaling")
        scaling.register_scalable_target(**target("e"), MinCapacity=1, MaxCapacity=2)
        soon = datetime.now(UTC) + timedelta(seconds=3)
        scaling.put_scheduled_action(
            **target("e"),
            ScheduledActionName="later",
            Schedule=f"at({soon:%Y-%m-%dT%H:%M:%S})",
            ScalableTargetAction={"MinCapacity": 2},
        )
        os.kill(running.pid, signal.SIGKILL)
        running = local_sagemaker.start(tmp_path)
        await_instances(client_of(running)("sagemaker"), "e", 2)
    finally:
        local_sagemaker.stop(tmp_path)


def test_suspended_scaling_does_nothing_until_it_is_resumed(
    sm: BaseClient, scaling: BaseClient, cloudwatch: BaseClient, endpoint: str, unique: Callable[[str], str]
) -> None:
    suspended = {"DynamicScalingOutSuspended": True}
    scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=2, SuspendedState=suspended)
    policy = scaling.put_scaling_policy(
        **target(endpoint),
        PolicyName="exact",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ExactCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 2}],
        },
    )["PolicyARN"]
    name = unique("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName=name,
        Namespace="course",
        Statistic="Maximum",
        Period=3600,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=5,
        AlarmActions=[policy],
    )
    cloudwatch.put_metric_data(Namespace="course", MetricData=[{"MetricName": name, "Value": 9}])
    deadline = time.monotonic() + TIMEOUT
    while not cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="Action")["AlarmHistoryItems"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not scaling.describe_scaling_activities(**target(endpoint))["ScalingActivities"]
    scaling.register_scalable_target(**target(endpoint), SuspendedState={"DynamicScalingOutSuspended": False})
    # An alarm repeats its scaling actions for as long as it stays in ALARM.
    await_instances(sm, endpoint, 2)


@pytest.mark.parametrize(
    ("operation", "members", "code", "message"),
    [
        ("register_scalable_target", {"MinCapacity": 1}, "ValidationException", "MaxCapacity is required"),
        ("register_scalable_target", {"MinCapacity": 3, "MaxCapacity": 1}, "ValidationException", "cannot be less"),
        ("register_scalable_target", {"MinCapacity": 0, "MaxCapacity": 1}, "ValidationException", "asynchronous"),
        ("deregister_scalable_target", {}, "ObjectNotFoundException", "No scalable target found for service namespace"),
        (
            "put_scheduled_action",
            {"ScheduledActionName": "a", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 1}},
            "ObjectNotFoundException",
            "No scalable target registered for service namespace: sagemaker, resource ID: endpoint/",
        ),
        ("delete_scaling_policy", {"PolicyName": "p"}, "ObjectNotFoundException", "No scaling policy found for"),
    ],
)
def test_bad_requests_are_refused(
    scaling: BaseClient, endpoint: str, operation: str, members: dict, code: str, message: str
) -> None:
    with pytest.raises(ClientError, match=message) as raised:
        getattr(scaling, operation)(**target(endpoint), **members)
    assert raised.value.response["Error"]["Code"] == code


def test_only_variants_that_exist_can_be_scaled(scaling: BaseClient) -> None:
    with pytest.raises(ClientError, match="SageMaker resource doesn't exist"):
        scaling.register_scalable_target(**target("nowhere"), MinCapacity=1, MaxCapacity=2)
    with pytest.raises(ClientError, match="not available in the local SageMaker"):
        scaling.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId="service/a/b",
            ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=1,
            MaxCapacity=2,
        )
