"""An asynchronous endpoint without an instance gets one by its backlog, and gives it back: AWS's own two policies."""

import json

import asynchronous
import deployed

METRIC = {"Namespace": "AWS/SageMaker", "Statistic": "Average"}


def put_policies(scaling, cloudwatch, endpoint: str) -> None:
    """Target tracking for one instance and more, and a step from none to one, as in AWS's notebook."""
    resource = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    dimensions = [{"Name": "EndpointName", "Value": endpoint}]
    scaling.register_scalable_target(**resource, MinCapacity=0, MaxCapacity=2)
    scaling.put_scaling_policy(
        **resource,
        PolicyName="Invocations-ScalingPolicy",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 5.0,
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Dimensions": dimensions,
                **METRIC,
            },
            "ScaleInCooldown": 60,
            "ScaleOutCooldown": 60,
        },
    )
    step = scaling.put_scaling_policy(
        **resource,
        PolicyName="HasBacklogWithoutCapacity-ScalingPolicy",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    cloudwatch.put_metric_alarm(
        AlarmName=f"{endpoint}-backlog",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=dimensions,
        **METRIC,
        Period=60,
        EvaluationPeriods=2,
        DatapointsToAlarm=2,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
        AlarmActions=[step["PolicyARN"]],
    )


def test_an_asynchronous_endpoint_scales_from_none_to_one_and_back_by_its_backlog(
    sm, s3, bucket, client, runtime, unique
):
    name, outcomes = unique("async-scaled"), asynchronous.Outcomes(s3, bucket)
    deployed.create_model(sm, s3, bucket, name)
    asynchronous.create_endpoint(sm, name, asynchronous.config(bucket), name)
    asynchronous.rescale(sm, name, 0)
    put_policies(client("application-autoscaling"), client("cloudwatch"), name)

    def instances() -> int:
        return sm.describe_endpoint(EndpointName=name)["ProductionVariants"][0]["CurrentInstanceCount"]

    assert instances() == 0
    requests = [
        runtime.invoke_endpoint_async(EndpointName=name, Body=json.dumps({"n": n}), ContentType="application/json")
        for n in range(3)
    ]
    assert deployed.becomes_true(lambda: instances() == 1), "a backlog without capacity brings the first instance"
    for request in requests:
        outcomes.wait(request["OutputLocation"])
    assert deployed.becomes_true(lambda: instances() == 0), "an empty queue takes the last instance away"
    found = client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{name}/variant/AllTraffic"
    )["ScalingActivities"]
    assert [activity["Description"] for activity in reversed(found)] == [
        "Setting desired instance count to 1.",
        "Setting desired instance count to 0.",
    ]
    assert f"alarm {name}-backlog in state ALARM" in found[-1]["Cause"]
    deployed.await_status(sm, name, "InService")
    sm.delete_endpoint(EndpointName=name)
    client("cloudwatch").delete_alarms(AlarmNames=[f"{name}-backlog"])
