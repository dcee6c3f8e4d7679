"""Answers that the tests of scaling_requests must tell apart."""

import copy


def _requests(endpoint, max_instances, target_value):
    place = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    dimensions = [{"Name": "EndpointName", "Value": endpoint}]
    return {
        "target": {**place, "MinCapacity": 0, "MaxCapacity": max_instances},
        "tracking": {
            **place,
            "PolicyName": "backlog",
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": float(target_value),
                "CustomizedMetricSpecification": {
                    "MetricName": "ApproximateBacklogSizePerInstance",
                    "Namespace": "AWS/SageMaker",
                    "Dimensions": dimensions,
                    "Statistic": "Average",
                },
                "ScaleInCooldown": 120,
                "ScaleOutCooldown": 60,
            },
        },
        "step": {
            **place,
            "PolicyName": "wake",
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ExactCapacity",
                "MetricAggregationType": "Maximum",
                "Cooldown": 300,
                "StepAdjustments": [
                    {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
                ],
            },
        },
        "alarm": {
            "AlarmName": f"wake-{endpoint}",
            "Namespace": "AWS/SageMaker",
            "MetricName": "HasBacklogWithoutCapacity",
            "Dimensions": dimensions,
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "Threshold": 0.5,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        },
    }


def _left(seconds, provisioning, slo):
    left = slo - 2 * provisioning - 300
    if left < seconds:
        raise ValueError("the deadline cannot be met")
    return left


def _right(
    endpoint, max_instances, seconds_per_request, provisioning_seconds, slo_seconds
):
    left = _left(seconds_per_request, provisioning_seconds, slo_seconds)
    return _requests(endpoint, max_instances, left / seconds_per_request)


def right_with_some_reserve(
    endpoint, max_instances, seconds_per_request, provisioning_seconds, slo_seconds
):
    # a tenth less than what is left, exact capacity, another statistic
    left = _left(seconds_per_request, provisioning_seconds, slo_seconds)
    return _requests(endpoint, max_instances, 0.9 * left / seconds_per_request)


def wrong_one_stays_awake(*given, **named):
    # a minimum of one instance
    found = _right(*given, **named)
    found["target"]["MinCapacity"] = 1
    return found


def wrong_target_of_the_documentation(
    endpoint, max_instances, seconds_per_request, provisioning_seconds, slo_seconds
):
    # 5 requests per instance, whatever a request takes
    _left(seconds_per_request, provisioning_seconds, slo_seconds)
    return _requests(endpoint, max_instances, 5)


def wrong_whole_deadline(
    endpoint, max_instances, seconds_per_request, provisioning_seconds, slo_seconds
):
    # starts and alarms take no time
    _left(seconds_per_request, provisioning_seconds, slo_seconds)
    return _requests(endpoint, max_instances, 2 * slo_seconds / seconds_per_request)


def wrong_wakes_on_backlog_per_instance(*given, **named):
    # the metric does not exist without an instance
    found = _right(*given, **named)
    found["alarm"]["MetricName"] = "ApproximateBacklogSizePerInstance"
    return found


def wrong_waits_ten_minutes(*given, **named):
    # ten periods until the alarm
    found = _right(*given, **named)
    found["alarm"] |= {"EvaluationPeriods": 10, "DatapointsToAlarm": 10}
    return found


def wrong_cools_for_an_hour(*given, **named):
    # an hour of idle instances after each burst
    found = _right(*given, **named)
    tracking = found["tracking"]["TargetTrackingScalingPolicyConfiguration"]
    tracking["ScaleInCooldown"] = 3600
    return found


def wrong_dimension_of_the_variant(*given, **named):
    # queue metrics have the endpoint's name alone: this alarm sees no data
    found = _right(*given, **named)
    alarm = copy.deepcopy(found["alarm"])
    alarm["Dimensions"].append({"Name": "VariantName", "Value": "AllTraffic"})
    return found | {"alarm": alarm}


def wrong_everything_at_once(*given, **named):
    # the alarm starts the whole quota for one request
    found = _right(*given, **named)
    step = found["step"]["StepScalingPolicyConfiguration"]
    step["StepAdjustments"][0]["ScalingAdjustment"] = 100
    return found


def wrong_never_sleeps(*given, **named):
    # scale-in is switched off
    found = _right(*given, **named)
    found["tracking"]["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] = (
        True
    )
    return found


def wrong_unknown_word(*given, **named):
    # AWS knows no such adjustment
    found = _right(*given, **named)
    found["step"]["StepScalingPolicyConfiguration"]["AdjustmentType"] = "AddCapacity"
    return found


def wrong_promises_anything(
    endpoint, max_instances, seconds_per_request, provisioning_seconds, slo_seconds
):
    # a deadline that cannot be met is accepted
    left = max(slo_seconds - 2 * provisioning_seconds - 300, seconds_per_request)
    return _requests(endpoint, max_instances, left / seconds_per_request)
