"""Scaling policies, and the alarms that target tracking makes for itself."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from helpers.local_sagemaker import alarms, arns, errors, scalable_dimensions, scalable_targets, scaling_steps
from helpers.local_sagemaker.scalable_targets import POLICY_KIND

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.state import Store

HIGH_PERIODS, LOW_PERIODS = 3, 15
LOW_FRACTION = 0.9  # of the target: below it capacity may be taken away
DEFAULT_COOLDOWN = 300
_KIND_OF_METRIC = {"variant": "SageMakerVariant", "inference-component": "SageMakerInferenceComponent"}
STEP, TRACKING = "StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration"
_CONFIGURATIONS = {"StepScaling": STEP, "TargetTrackingScaling": TRACKING}
# Metric, statistic and period of SageMaker's predefined metrics.
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum", 60),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": ("ConcurrentRequestsPerModel", "Average", 10),
    "SageMakerInferenceComponentInvocationsPerCopy": ("InvocationsPerCopy", "Sum", 60),
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": ("ConcurrentRequestsPerCopy", "Average", 10),
    "SageMakerVariantProvisionedConcurrencyUtilization": ("ServerlessProvisionedConcurrencyUtilization", "Maximum", 60),
}


def put_scaling_policy(server: Server, request: dict) -> dict:
    """PutScalingPolicy: a new policy, or other members of one."""
    scalable_targets.check_identity(request)
    store = server.store
    with store.transaction():
        scalable_targets.require(store, request)
        name = scalable_targets.policy_key(request)
        old = store.get(POLICY_KIND, name)
        policy = _policy(old, request)
        for alarm in (old or {}).get("Alarms", []):
            alarms.delete_alarms(server, {"AlarmNames": [alarm["AlarmName"]]})
        policy["Alarms"] = []
        if policy["PolicyType"] == "TargetTrackingScaling":
            policy["Alarms"] = [_put_alarm(server, policy, is_high) for is_high in (True, False)]
        if old is not None:
            store.delete(POLICY_KIND, name)
        store.put(POLICY_KIND, name, policy)
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}


def _policy(old: dict | None, request: dict) -> dict:
    kind = request.get("PolicyType", (old or {}).get("PolicyType", "StepScaling"))
    if kind not in _CONFIGURATIONS:
        raise errors.validation(f"The policy type {kind} is not available in the local SageMaker.")
    if old is not None and kind != old["PolicyType"]:
        raise errors.validation("You cannot change the type of a scaling policy.")
    member = _CONFIGURATIONS[kind]
    configuration = request.get(member, (old or {}).get(member))
    if configuration is None:
        raise errors.validation(f"{member} is required for a policy of type {kind}.")
    scaling_steps.check(configuration) if kind == "StepScaling" else check_tracking(configuration, request)
    if any(configuration.get(name, 0) < 0 for name in ("Cooldown", "ScaleInCooldown", "ScaleOutCooldown")):
        raise errors.validation("A cooldown must not be negative.")
    resource = f"resource/sagemaker/{request['ResourceId']}:policyName/{request['PolicyName']}"
    policy_arn = f"arn:aws:autoscaling:{arns.REGION}:{arns.ACCOUNT}:scalingPolicy:{uuid.uuid4()}:{resource}"
    return {
        **{name: request[name] for name in (*scalable_targets.IDENTITY, "PolicyName")},
        "PolicyARN": old["PolicyARN"] if old else policy_arn,
        "PolicyType": kind,
        "CreationTime": old["CreationTime"] if old else time.time(),
        member: configuration,
    }


def check_tracking(configuration: dict, request: dict) -> None:
    """Holds a target tracking policy to what can be tracked.

    Raises:
        AwsError: `ValidationException`.
    """
    if configuration["TargetValue"] <= 0:
        raise errors.validation("TargetValue must be greater than 0.")
    if ("PredefinedMetricSpecification" in configuration) == ("CustomizedMetricSpecification" in configuration):
        raise errors.validation("You must specify exactly one of a predefined and a customized metric specification.")
    predefined = configuration.get("PredefinedMetricSpecification")
    known = [name for name in PREDEFINED if _KIND_OF_METRIC[request["ScalableDimension"].split(":")[1]] in name]
    if predefined and predefined["PredefinedMetricType"] not in known:
        raise errors.validation(
            f"The metric {predefined['PredefinedMetricType']} is not available in the local SageMaker for "
            f"{request['ScalableDimension']}: it knows {', '.join(known)}."
        )
    custom = configuration.get("CustomizedMetricSpecification", {"Metrics": []})
    if "Metrics" not in custom and not {"MetricName", "Namespace", "Statistic"} <= custom.keys():
        raise errors.validation("A customized metric needs a MetricName, a Namespace and a Statistic, or Metrics.")


def _put_alarm(server: Server, policy: dict, is_high: bool) -> dict:
    """Puts the alarm that takes capacity up or down."""
    configuration = policy[TRACKING]
    word = "High" if is_high else "Low"
    name = f"TargetTracking-{policy['ResourceId']}-Alarm{word}-{uuid.uuid4()}"
    alarms.put_metric_alarm(
        server,
        {
            "AlarmName": name,
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
            "AlarmActions": [f"{policy['PolicyARN']}:createdBy/{uuid.uuid4()}"],
            "EvaluationPeriods": HIGH_PERIODS if is_high else LOW_PERIODS,
            "ComparisonOperator": "GreaterThanThreshold" if is_high else "LessThanThreshold",
            "Threshold": configuration["TargetValue"] * (1 if is_high else LOW_FRACTION),
            **_metric(policy),
        },
    )
    return {"AlarmName": name, "AlarmARN": alarms.arn(name)}


def _metric(policy: dict) -> dict:
    """The metric of a target tracking policy in the members of PutMetricAlarm."""
    configuration = policy[TRACKING]
    if predefined := configuration.get("PredefinedMetricSpecification"):
        names = scalable_dimensions.of(policy).names(policy["ResourceId"])
        name, statistic, period = PREDEFINED[predefined["PredefinedMetricType"]]
        dimensions = [{"Name": key, "Value": value} for key, value in names.items()]
        metric = {"MetricName": name, "Namespace": "AWS/SageMaker", "Dimensions": dimensions, "Statistic": statistic}
        return metric | {"Period": period}
    custom = configuration["CustomizedMetricSpecification"]
    if "Metrics" not in custom:
        return {"Period": 60, **custom}
    queries = [dict(query) for query in custom["Metrics"]]
    for query in queries:
        if "MetricStat" in query:
            query["MetricStat"] = query["MetricStat"] | {"Period": 60}
    return {"Metrics": queries}


def delete_scaling_policy(server: Server, request: dict) -> None:
    """DeleteScalingPolicy, with the alarms that it made."""
    name, store = scalable_targets.policy_key(request), server.store
    with store.transaction():
        policy = store.get(POLICY_KIND, name)
        if policy is None:
            words = f"{scalable_targets.words(request)}, policy name: {request['PolicyName']}"
            raise errors.AwsError("ObjectNotFoundException", f"No scaling policy found for {words}")
        alarms.delete_alarms(server, {"AlarmNames": [alarm["AlarmName"] for alarm in policy["Alarms"]]})
        store.delete(POLICY_KIND, name)


def describe_scaling_policies(server: Server, request: dict) -> dict:
    """DescribeScalingPolicies; a step policy's alarms are those whose action it is."""
    names = request.get("PolicyNames")
    found = [
        policy
        for policy in server.store.list(POLICY_KIND)
        if scalable_targets.is_asked_for(policy, request) and (not names or policy["PolicyName"] in names)
    ]
    metric_alarms = server.store.list("MetricAlarm") if found else []
    for policy in found:
        policy["Alarms"] = [
            {"AlarmName": alarm["AlarmName"], "AlarmARN": alarm["AlarmArn"]}
            for alarm in metric_alarms
            if any(action.startswith(policy["PolicyARN"]) for action in alarm["AlarmActions"])
        ]
    return scalable_targets.page("ScalingPolicies", found, request)


def of_action(store: Store, action: str) -> dict | None:
    """The policy that an alarm's action names, None when there is none."""
    policies = store.list(POLICY_KIND)
    return next((policy for policy in policies if action.partition(":createdBy/")[0] == policy["PolicyARN"]), None)
