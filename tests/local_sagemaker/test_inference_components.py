"""Inference components: models that share the instances of an endpoint, each with copies of its own."""

import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker import component_hosts
from helpers.local_sagemaker.component_hosts import Placed
from helpers.local_sagemaker.instance_types import Capacity, capacity

PATIENCE_SECONDS = 60
NEEDS = {"NumberOfCpuCoresRequired": 0.5, "MinMemoryRequiredInMb": 1024}


def host(name: str = "AllTraffic", count: int = 1, **members: object) -> dict:
    """A ProductionVariant for inference components: an ml.m5.large has 2 CPUs and 8 GB."""
    return {"VariantName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": count, **members}


def await_status(sm, name: str, status: str = "InService") -> dict:
    """DescribeInferenceComponent once it is no longer on its way; asserts that it has the status."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (component := sm.describe_inference_component(InferenceComponentName=name))["InferenceComponentStatus"] in (
        "Creating",
        "Updating",
        "Deleting",
    ):
        assert time.monotonic() < deadline, component
        time.sleep(0.05)
    assert component["InferenceComponentStatus"] == status, component.get("FailureReason")
    return component


def until(condition: Callable[[], object]) -> None:
    """Returns when a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(sm, name: str) -> bool:
    """Whether a component is deleted."""
    try:
        sm.describe_inference_component(InferenceComponentName=name)
    except ClientError as error:
        assert error.response["Error"]["Message"].startswith("Could not find inference component")
        return True
    return False


@pytest.fixture
def model(sm, s3, bucket, unique):
    """`model()`: a model that answers with its own name."""
    return lambda files=None: deployed.create_model(sm, s3, bucket, unique("model"), files)


@pytest.fixture
def endpoint(sm, unique, role_arn):
    """`endpoint(host())`: the name of an endpoint for components; it goes with all of them."""
    made = []

    def create(*variants: dict) -> str:
        name = unique("shared")
        sm.create_endpoint_config(
            EndpointConfigName=name, ExecutionRoleArn=role_arn, ProductionVariants=list(variants or [host()])
        )
        sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        deployed.await_status(sm, name, "InService")
        return name

    yield create
    for name in made:
        components = sm.list_inference_components(EndpointNameEquals=name)["InferenceComponents"]
        names = [component["InferenceComponentName"] for component in components]
        for component in names:
            sm.delete_inference_component(InferenceComponentName=component)
        until(lambda names=names: all(gone(sm, component) for component in names))
        sm.delete_endpoint(EndpointName=name)


@pytest.fixture
def component(sm, unique, model):
    """`component(endpoint, copies=2)`: the name of a component."""

    def create(
        endpoint_name: str, copies: int = 1, wait: str | None = "InService", needs: dict = NEEDS, **specification
    ) -> str:
        name = unique("component")
        if not specification:
            specification = {"ModelName": model()}
        sm.create_inference_component(
            InferenceComponentName=name,
            EndpointName=endpoint_name,
            VariantName="AllTraffic",
            Specification={**specification, "ComputeResourceRequirements": needs},
            RuntimeConfig={"CopyCount": copies},
        )
        if wait:
            await_status(sm, name, wait)
        return name

    return create


@pytest.fixture
def ask(runtime):
    """`ask(endpoint, component, sleep=1)`: what the model answered."""

    def invoke(name: str, component_name: str | None, **order: object) -> dict:
        named = {"InferenceComponentName": component_name} if component_name else {}
        answer = runtime.invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=json.dumps(order), **named
        )
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        return json.loads(answer["Body"].read())

    return invoke


def test_two_components_share_an_endpoint_and_each_answers_for_itself(endpoint, component, model, ask, sm):
    name, first, second = endpoint(), model(), model()
    one, two = component(name, ModelName=first), component(name, copies=2, ModelName=second)
    assert ask(name, one)["name"] == first
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(name, two, sleep=0.1), range(8)))
    assert {answer["name"] for answer in answers} == {second}
    assert len({answer["worker"] for answer in answers}) == 2
    description = sm.describe_inference_component(InferenceComponentName=two)
    assert description["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert description["Specification"]["ModelName"] == second
    variants = sm.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert variants[0]["CurrentInstanceCount"] == 1
    assert "DeployedImages" not in variants[0]


def test_a_container_can_be_given_instead_of_a_model(endpoint, component, ask, sm, s3, bucket, unique):
    key = f"{unique('own')}/model.tar.gz"
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=deployed.archive({"name.txt": "mine", "code/inference.py": deployed.OBEDIENT}),
    )
    name = endpoint()
    made = component(name, Container={"Image": deployed.SKLEARN, "ArtifactUrl": f"s3://{bucket}/{key}"})
    assert ask(name, made)["name"] == "mine"
    shown = sm.describe_inference_component(InferenceComponentName=made)["Specification"]["Container"]
    assert shown["DeployedImage"]["SpecifiedImage"] == deployed.SKLEARN


def test_the_header_is_required_here_and_refused_elsewhere(endpoint, component, ask, sm, unique, model):
    name = endpoint()
    with pytest.raises(ClientError, match="Inference Component Name header is required") as refused:
        ask(name, None)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match=r"Inference Component nobody of endpoint .* not found"):
        ask(name, "nobody")
    plain = unique("plain")
    deployed.create_endpoint(sm, plain, [deployed.variant(model())])
    with pytest.raises(ClientError, match="Inference Component Name header is not allowed"):
        ask(plain, component(name))
    sm.delete_endpoint(EndpointName=plain)


def test_copies_come_and_go_down_to_none_and_back(endpoint, component, ask, sm):
    name = endpoint()
    made = component(name)

    def scale(copies: int) -> None:
        sm.update_inference_component_runtime_config(
            InferenceComponentName=made, DesiredRuntimeConfig={"CopyCount": copies}
        )
        runtime = await_status(sm, made)["RuntimeConfig"]
        assert runtime == {"DesiredCopyCount": copies, "CurrentCopyCount": copies}

    scale(3)
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda _: ask(name, made, sleep=0.2)["worker"], range(9))
        assert len(set(answers)) == 3
    scale(0)
    with pytest.raises(ClientError, match="Inference Component has no capacity to process this request") as refused:
        ask(name, made)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    scale(1)
    assert ask(name, made)["worker"]


def test_a_component_that_does_not_fit_fails_and_says_so(endpoint, component, sm):
    name = endpoint()
    component(name, needs={"MinMemoryRequiredInMb": 5000})
    failed = component(name, wait="Failed", needs={"MinMemoryRequiredInMb": 5000})
    reason = sm.describe_inference_component(InferenceComponentName=failed)["FailureReason"]
    assert reason.startswith("CapacityError: Not enough hardware resources on the instances")
    with pytest.raises(ClientError, match=r"Not enough hardware resources on ml\.m5\.large") as refused:
        component(name, needs={"MinMemoryRequiredInMb": 9000})
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_managed_scaling_brings_instances_for_copies_and_takes_them_back(endpoint, component, sm):
    name = endpoint(host(ManagedInstanceScaling={"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}))
    made = component(name, copies=2, needs={"MinMemoryRequiredInMb": 5000})

    def instances() -> int:
        return sm.describe_endpoint(EndpointName=name)["ProductionVariants"][0]["CurrentInstanceCount"]

    assert instances() == 2
    sm.update_inference_component_runtime_config(InferenceComponentName=made, DesiredRuntimeConfig={"CopyCount": 3})
    settled = await_status(sm, made)
    assert settled["RuntimeConfig"] == {"DesiredCopyCount": 3, "CurrentCopyCount": 2}
    assert settled["FailureReason"].startswith("CapacityError")
    sm.update_inference_component_runtime_config(InferenceComponentName=made, DesiredRuntimeConfig={"CopyCount": 1})
    await_status(sm, made)
    assert instances() == 1


def test_a_broken_model_fails_the_component_and_not_the_endpoint(endpoint, component, model, sm):
    name = endpoint()
    broken = component(name, wait="Failed", ModelName=model({"code/inference.py": "raise RuntimeError('no model')"}))
    reason = sm.describe_inference_component(InferenceComponentName=broken)["FailureReason"]
    assert "did not pass the ping health check" in reason
    assert "RuntimeError: no model" in reason
    assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    assert component(name)


def test_an_update_replaces_the_model_and_loses_no_request(endpoint, component, model, ask, sm):
    name, second = endpoint(), model()
    made = component(name, copies=2)
    ended = threading.Event()

    def go_on() -> list[str]:
        names = []
        while not ended.is_set():
            names.append(ask(name, made)["name"])
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
    assert {ask(name, made)["name"] for _ in range(4)} == {second}


def test_an_update_to_a_broken_model_keeps_the_copies(endpoint, component, model, ask, sm):
    name, good = endpoint(), model()
    made = component(name, ModelName=good)
    broken = model({"code/inference.py": "raise RuntimeError('no model')"})
    sm.update_inference_component(
        InferenceComponentName=made,
        Specification={"ModelName": broken, "ComputeResourceRequirements": NEEDS},
        RuntimeConfig={"CopyCount": 1},
    )
    settled = await_status(sm, made)
    assert "RuntimeError: no model" in settled["FailureReason"]
    assert settled["Specification"]["ModelName"] == good
    assert ask(name, made)["name"] == good


def test_an_alarm_in_the_middle_of_an_update_brings_the_copies_back(
    endpoint, component, model, ask, sm, client, unique
):
    name, old, alarm = endpoint(), model(), unique("alarm")
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
    made = component(name, copies=2, ModelName=old)
    policy = {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 0}
    sm.update_inference_component(
        InferenceComponentName=made,
        Specification={"ModelName": model(), "ComputeResourceRequirements": NEEDS},
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
        answers = list(pool.map(lambda _: ask(name, made, sleep=0.1), range(6)))
    assert {answer["name"] for answer in answers} == {old}
    assert len({answer["worker"] for answer in answers}) == 2


def test_an_endpoint_goes_after_its_components(endpoint, component, sm):
    name = endpoint()
    made = component(name)
    with pytest.raises(ClientError, match=f"hosts inference components: delete them first .{made}"):
        sm.delete_endpoint(EndpointName=name)
    sm.delete_inference_component(InferenceComponentName=made)
    until(lambda: gone(sm, made))
    listed = sm.list_inference_components(EndpointNameEquals=name)["InferenceComponents"]
    assert listed == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RuntimeConfig": {"CopyCount": 0}}, "copy count must be an integer larger than 0"),
        ({"VariantName": "nobody"}, "Could not find production variant nobody"),
        ({"Specification": {"ComputeResourceRequirements": NEEDS}}, "Provide either ModelName or Container"),
        ({"Specification": {"ModelName": "x"}}, "ComputeResourceRequirements is required"),
        ({"Specification": {"BaseInferenceComponentName": "x"}}, "BaseInferenceComponentName .* not available"),
        ({"EndpointName": "nobody"}, "Could not find endpoint"),
    ],
)
def test_a_component_that_cannot_be_had_is_refused(endpoint, model, sm, unique, changes, message):
    request = {
        "InferenceComponentName": unique("no"),
        "EndpointName": endpoint(),
        "Specification": {"ModelName": model(), "ComputeResourceRequirements": NEEDS},
    }
    with pytest.raises(ClientError, match=message):
        sm.create_inference_component(**request | changes)


def test_configurations_that_aws_refuses_are_refused(sm, unique, role_arn, model):
    def refused(message: str, *variants: dict, **members: object) -> None:
        with pytest.raises(ClientError, match=message):
            sm.create_endpoint_config(EndpointConfigName=unique("no"), ProductionVariants=list(variants), **members)

    scaling = {"Status": "ENABLED", "MinInstanceCount": 3, "MaxInstanceCount": 2}
    refused("ExecutionRoleArn is required for inference component endpoints", host())
    refused("Either all .* or none", host("a"), deployed.variant(model(), "b"), ExecutionRoleArn=role_arn)
    refused("MinInstanceCount 3 .* MaxInstanceCount 2", host(ManagedInstanceScaling=scaling), ExecutionRoleArn=role_arn)
    refused(
        "ManagedInstanceScaling is only supported for inference component endpoints",
        deployed.variant(model(), ManagedInstanceScaling=scaling),
    )
    refused(
        "RoutingStrategy KV_AWARE is not available",
        deployed.variant(model(), RoutingConfig={"RoutingStrategy": "KV_AWARE"}),
    )


def test_random_routing_reaches_every_instance(sm, unique, model, runtime):
    name = unique("random")
    routing = {"RoutingStrategy": "RANDOM"}
    deployed.create_endpoint(sm, name, [deployed.variant(model(), count=2, RoutingConfig=routing)])
    assert sm.describe_endpoint(EndpointName=name)["ProductionVariants"][0]["RoutingConfig"] == routing

    def worker() -> str:
        answer = runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=b"{}")
        return json.loads(answer["Body"].read())["worker"]

    order = [worker() for _ in range(40)]
    assert len(set(order)) == 2
    assert any(one == other for one, other in itertools.pairwise(order)), "the least busy would alternate"
    sm.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize(("strategy", "place"), [(component_hosts.SPREAD, 1), (component_hosts.BINPACK, 0)])
def test_a_copy_is_placed_by_the_strategy(strategy, place):
    spec = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    needs = Capacity(0.5, 1024, 0)
    assert component_hosts.place(spec, [Placed(0, needs)], needs, strategy) == place
    assert component_hosts.place(spec, [Placed(0, needs)] * 4, needs, strategy) == 1
    assert component_hosts.place(spec, [Placed(0, needs), Placed(1, needs)] * 4, needs, strategy) is None


def test_capacities_are_those_of_ec2():
    assert capacity("ml.m5.large") == Capacity(2, 8192, 0)
    assert capacity("ml.g5.12xlarge").accelerators == 4
    assert capacity("ml.inf2.xlarge").accelerators == 1
    assert capacity("ml.unheard-of.large").holds(Capacity(1000, 1e9, 1000))


def test_killed_and_started_again_components_serve_and_leave_no_process(tmp_path, client_of, unique):
    running = local_sagemaker.start(tmp_path / "home")
    try:
        client, name = client_of(running), unique("shared")
        sm, s3 = client("sagemaker"), client("s3")
        s3.create_bucket(Bucket="mine")
        role = "arn:aws:iam::111122223333:role/CourseExecutionRole"
        sm.create_endpoint_config(EndpointConfigName=name, ExecutionRoleArn=role, ProductionVariants=[host()])
        sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        deployed.await_status(sm, name, "InService")

        def create(component_name: str, megabytes: int) -> None:
            made = deployed.create_model(sm, s3, "mine", component_name)
            sm.create_inference_component(
                InferenceComponentName=component_name,
                EndpointName=name,
                Specification={
                    "ModelName": made,
                    "ComputeResourceRequirements": {"MinMemoryRequiredInMb": megabytes},
                },
                RuntimeConfig={"CopyCount": 1},
            )

        create("first", 3000)
        await_status(sm, "first")
        more = {"CopyCount": 3}  # an ml.m5.large has room for two
        sm.update_inference_component_runtime_config(InferenceComponentName="first", DesiredRuntimeConfig=more)
        placed = await_status(sm, "first")["RuntimeConfig"]
        assert placed["CurrentCopyCount"] == 2
        create("second", 1024)  # is on its way when the server ends
        family = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, 9)
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        assert not alive
        client = client_of(local_sagemaker.start(tmp_path / "home"))
        for component_name in ("first", "second"):
            await_status(client("sagemaker"), component_name)
            answer = client("sagemaker-runtime").invoke_endpoint(
                EndpointName=name,
                InferenceComponentName=component_name,
                ContentType="application/json",
                Body=b"{}",
            )
            assert json.loads(answer["Body"].read())["name"] == component_name
        again = client("sagemaker").describe_inference_component(InferenceComponentName="first")
        assert again["RuntimeConfig"] == placed
    finally:
        local_sagemaker.stop(tmp_path / "home")


def test_copies_scale_from_none_by_invocations_that_found_none(endpoint, component, ask, sm, client):
    scaling, name = client("application-autoscaling"), endpoint()
    made = component(name)
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"inference-component/{made}",
        "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=0)
    until(lambda: await_status(sm, made)["RuntimeConfig"]["CurrentCopyCount"] == 0)
    scaling.register_scalable_target(**target, MaxCapacity=2)
    policy = scaling.put_scaling_policy(
        **target,
        PolicyName="from-none",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    client("cloudwatch").put_metric_alarm(
        AlarmName=made,
        AlarmActions=[policy["PolicyARN"]],
        MetricName="NoCapacityInvocationFailures",
        Namespace="AWS/SageMaker",
        Statistic="Maximum",
        Dimensions=[{"Name": "InferenceComponentName", "Value": made}],
        Period=30,
        EvaluationPeriods=1,
        DatapointsToAlarm=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
    )
    with pytest.raises(ClientError, match="no capacity"):
        ask(name, made)
    until(lambda: await_status(sm, made)["RuntimeConfig"]["CurrentCopyCount"] > 0)
    assert ask(name, made)["worker"]
    tracking = scaling.put_scaling_policy(
        **target,
        PolicyName="tracking",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"},
        },
    )
    assert tracking["Alarms"][0]["AlarmName"].startswith(f"TargetTracking-inference-component/{made}-AlarmHigh-")
    sm.delete_inference_component(InferenceComponentName=made)
    until(lambda: gone(sm, made))
    assert not scaling.describe_scaling_policies(**target)["ScalingPolicies"]
