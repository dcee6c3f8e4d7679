"""Inference components: models that share the instances of an endpoint, each with copies of its own."""

import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError
from hosting import NEEDS, PATIENCE_SECONDS, Hosted, await_status, gone, host, until

from helpers import local_sagemaker
from helpers.local_sagemaker import component_hosts
from helpers.local_sagemaker.component_hosts import Placed
from helpers.local_sagemaker.instance_types import Capacity, capacity


@pytest.fixture
def hosted(client, bucket, role_arn, unique):
    """Endpoints for components."""
    made = Hosted(client, bucket, role_arn, unique)
    yield made
    made.clear()


def test_two_components_share_an_endpoint_and_each_answers_for_itself(hosted, sm):
    name, first, second = hosted.endpoint(), hosted.model(), hosted.model()
    one, two = hosted.component(name, ModelName=first), hosted.component(name, copies=2, ModelName=second)
    assert hosted.ask(name, one)["name"] == first
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: hosted.ask(name, two, sleep=0.1), range(8)))
    assert {answer["name"] for answer in answers} == {second}
    assert len({answer["worker"] for answer in answers}) == 2
    description = sm.describe_inference_component(InferenceComponentName=two)
    assert description["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert description["Specification"]["ModelName"] == second
    variants = sm.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert variants[0]["CurrentInstanceCount"] == 1
    assert "DeployedImages" not in variants[0]


def test_a_container_can_be_given_instead_of_a_model(hosted, sm, s3, bucket, unique):
    key = f"{unique('own')}/model.tar.gz"
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=deployed.archive({"name.txt": "mine", "code/inference.py": deployed.OBEDIENT}),
    )
    name = hosted.endpoint()
    made = hosted.component(name, Container={"Image": deployed.SKLEARN, "ArtifactUrl": f"s3://{bucket}/{key}"})
    assert hosted.ask(name, made)["name"] == "mine"
    shown = sm.describe_inference_component(InferenceComponentName=made)["Specification"]["Container"]
    assert shown["DeployedImage"]["SpecifiedImage"] == deployed.SKLEARN


def test_the_header_is_required_here_and_refused_elsewhere(hosted, sm, unique):
    name = hosted.endpoint()
    with pytest.raises(ClientError, match="Inference Component Name header is required") as refused:
        hosted.ask(name, None)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match=r"Inference Component nobody of endpoint .* not found"):
        hosted.ask(name, "nobody")
    plain = unique("plain")
    deployed.create_endpoint(sm, plain, [deployed.variant(hosted.model())])
    with pytest.raises(ClientError, match="Inference Component Name header is not allowed"):
        hosted.ask(plain, hosted.component(name))
    sm.delete_endpoint(EndpointName=plain)


def test_copies_come_and_go_down_to_none_and_back(hosted, sm):
    name = hosted.endpoint()
    made = hosted.component(name)

    def scale(copies: int) -> None:
        sm.update_inference_component_runtime_config(
            InferenceComponentName=made, DesiredRuntimeConfig={"CopyCount": copies}
        )
        runtime = await_status(sm, made)["RuntimeConfig"]
        assert runtime == {"DesiredCopyCount": copies, "CurrentCopyCount": copies}

    scale(3)
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda _: hosted.ask(name, made, sleep=0.2)["worker"], range(9))
        assert len(set(answers)) == 3
    scale(0)
    with pytest.raises(ClientError, match="Inference Component has no capacity to process this request") as refused:
        hosted.ask(name, made)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    scale(1)
    assert hosted.ask(name, made)["worker"]


def test_a_component_that_does_not_fit_fails_and_says_so(hosted, sm):
    name = hosted.endpoint()
    hosted.component(name, needs={"MinMemoryRequiredInMb": 5000})
    failed = hosted.component(name, wait="Failed", needs={"MinMemoryRequiredInMb": 5000})
    reason = sm.describe_inference_component(InferenceComponentName=failed)["FailureReason"]
    assert reason.startswith("CapacityError: Not enough hardware resources on the instances")
    with pytest.raises(ClientError, match=r"Not enough hardware resources on ml\.m5\.large") as refused:
        hosted.component(name, needs={"MinMemoryRequiredInMb": 9000})
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_managed_scaling_brings_instances_for_copies_and_takes_them_back(hosted, sm):
    name = hosted.endpoint(
        host(ManagedInstanceScaling={"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2})
    )
    made = hosted.component(name, copies=2, needs={"MinMemoryRequiredInMb": 5000})

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


def test_a_broken_model_fails_the_component_and_not_the_endpoint(hosted, sm):
    name = hosted.endpoint()
    broken = hosted.component(
        name, wait="Failed", ModelName=hosted.model({"code/inference.py": "raise RuntimeError('no model')"})
    )
    reason = sm.describe_inference_component(InferenceComponentName=broken)["FailureReason"]
    assert "did not pass the ping health check" in reason
    assert "RuntimeError: no model" in reason
    assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    assert hosted.component(name)


def test_an_endpoint_goes_after_its_components(hosted, sm):
    name = hosted.endpoint()
    made = hosted.component(name)
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
def test_a_component_that_cannot_be_had_is_refused(hosted, sm, unique, changes, message):
    request = {
        "InferenceComponentName": unique("no"),
        "EndpointName": hosted.endpoint(),
        "Specification": {"ModelName": hosted.model(), "ComputeResourceRequirements": NEEDS},
    }
    with pytest.raises(ClientError, match=message):
        sm.create_inference_component(**request | changes)


def test_configurations_that_aws_refuses_are_refused(hosted, sm, unique, role_arn):
    def refused(message: str, *variants: dict, **members: object) -> None:
        with pytest.raises(ClientError, match=message):
            sm.create_endpoint_config(EndpointConfigName=unique("no"), ProductionVariants=list(variants), **members)

    scaling = {"Status": "ENABLED", "MinInstanceCount": 3, "MaxInstanceCount": 2}
    refused("ExecutionRoleArn is required for inference component endpoints", host())
    refused("Either all .* or none", host("a"), deployed.variant(hosted.model(), "b"), ExecutionRoleArn=role_arn)
    refused("MinInstanceCount 3 .* MaxInstanceCount 2", host(ManagedInstanceScaling=scaling), ExecutionRoleArn=role_arn)
    refused(
        "ManagedInstanceScaling is only supported for inference component endpoints",
        deployed.variant(hosted.model(), ManagedInstanceScaling=scaling),
    )
    refused(
        "RoutingStrategy KV_AWARE is not available",
        deployed.variant(hosted.model(), RoutingConfig={"RoutingStrategy": "KV_AWARE"}),
    )


def test_random_routing_reaches_every_instance(hosted, sm, unique, runtime):
    name = unique("random")
    routing = {"RoutingStrategy": "RANDOM"}
    deployed.create_endpoint(sm, name, [deployed.variant(hosted.model(), count=2, RoutingConfig=routing)])
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


def test_copies_scale_from_none_by_invocations_that_found_none(hosted, sm, client):
    scaling, name = client("application-autoscaling"), hosted.endpoint()
    made = hosted.component(name)
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
        hosted.ask(name, made)
    until(lambda: await_status(sm, made)["RuntimeConfig"]["CurrentCopyCount"] > 0)
    assert hosted.ask(name, made)["worker"]
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
