"""Scalable targets of Application Auto Scaling: what of SageMaker can be scaled, and between which bounds."""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import alarms, arns, errors, metrics, scalable_dimensions, tags
from helpers.local_sagemaker.scalable_dimensions import DIMENSIONS

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.metric_summaries import Key
    from helpers.local_sagemaker.state import Store

KIND, POLICY_KIND, ACTION_KIND = "ScalableTarget", "ScalingPolicy", "ScheduledAction"
IDENTITY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
MAX_RESULTS = 50
_SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
_ROLE = (
    f"arn:aws:iam::{arns.ACCOUNT}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


def register_scalable_target(server: Server, request: dict) -> dict:
    """RegisterScalableTarget: a new target, or new bounds of one."""
    check_identity(request)
    name, store = key(request), server.store
    with store.transaction():
        old = store.get(KIND, name)
        if old is None:
            for member in ("MinCapacity", "MaxCapacity"):
                if member not in request:
                    raise errors.validation(f"{member} is required to register a new scalable target.")
        target = _target(old, request)
        _check_bounds(server, target)
        if old is None:
            store.put(KIND, name, target)
            given = request.get("Tags", {})
            tags.add(store, target["ScalableTargetARN"], [{"Key": k, "Value": v} for k, v in given.items()])
        else:
            store.update(KIND, name, **target)
    server.scaling.wake()
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


def _target(old: dict | None, request: dict) -> dict:
    new = {
        **{name: request[name] for name in IDENTITY},
        "RoleARN": _ROLE,
        "ScalableTargetARN": f"arn:aws:application-autoscaling:{arns.REGION}:{arns.ACCOUNT}:scalable-target/"
        f"{secrets.token_hex(18)}",
        "SuspendedState": dict.fromkeys(_SUSPENDED, False),
        "CreationTime": time.time(),
    }
    target = new | (old or {}) | {n: request[n] for n in ("MinCapacity", "MaxCapacity") if n in request}
    target["SuspendedState"] = target["SuspendedState"] | request.get("SuspendedState", {})
    # Whether the capacity is within the bounds is looked at anew.
    return target | {"_BoundsChanged": True}


def _check_bounds(server: Server, target: dict) -> None:
    least, most = target["MinCapacity"], target["MaxCapacity"]
    if least < 0 or most < 0:
        raise errors.validation("Minimum and maximum capacity must not be negative.")
    if least > most:
        raise errors.validation("Maximum capacity cannot be less than minimum capacity.")
    if scalable_dimensions.capacity(server.store, target) is None:
        raise errors.validation(f"SageMaker resource doesn't exist: {target['ResourceId']}")
    dimension = scalable_dimensions.of(target)
    if least == 0 and not dimension.may_be_zero(server.store, dimension.names(target["ResourceId"])):
        raise errors.validation(
            "Minimum capacity must be at least 1: only asynchronous endpoints and inference components scale to zero."
        )


def zero_since(store: Store, metric: Key) -> float:
    """Since when a metric is zero where nothing is reported: since its resource can be scaled, as on AWS."""
    namespace, name, dimensions = metric
    if namespace != metrics.NAMESPACE or name not in metrics.ZERO_WHEN_IDLE:
        return math.inf
    named = dict(dimensions)
    since = (t["CreationTime"] for t in store.list(KIND) if scalable_dimensions.of(t).names(t["ResourceId"]) == named)
    return min(since, default=math.inf)


def check_identity(request: dict) -> None:
    """Holds a target's identity to what can be scaled here.

    Raises:
        AwsError: `ValidationException`.
    """
    dimension = request["ScalableDimension"]
    if request["ServiceNamespace"] != "sagemaker" or dimension not in DIMENSIONS:
        raise errors.validation(
            f"{request['ServiceNamespace']}, {dimension} is not available in the local SageMaker, which scales "
            f"{', '.join(DIMENSIONS)}."
        )
    scalable_dimensions.of(request).names(request["ResourceId"])


def deregister_scalable_target(server: Server, request: dict) -> None:
    """DeregisterScalableTarget: its policies, their alarms and its scheduled actions go with it."""
    if server.store.get(KIND, key(request)) is None:
        raise errors.AwsError("ObjectNotFoundException", f"No scalable target found for {words(request)}")
    _forget(server, request)
    server.alarm_watch.changed()


def _forget(server: Server, target: dict) -> None:
    store = server.store
    with store.transaction():
        stored = store.require(KIND, key(target))
        for policy in store.list(POLICY_KIND):
            if is_same(policy, target):
                alarms.delete_alarms(server, {"AlarmNames": [alarm["AlarmName"] for alarm in policy["Alarms"]]})
                store.delete(POLICY_KIND, policy_key(policy))
        for action in store.list(ACTION_KIND):
            if is_same(action, target):
                store.delete(ACTION_KIND, action_key(action))
        tags.delete(store, stored["ScalableTargetARN"])
        store.delete(KIND, key(target))


def forget(server: Server, **names: str) -> None:
    """Deregisters what belongs to a resource that is deleted, such as `EndpointName="churn"`."""
    for target in server.store.list(KIND):
        if names.items() <= scalable_dimensions.of(target).names(target["ResourceId"]).items():
            _forget(server, target)


def describe_scalable_targets(server: Server, request: dict) -> dict:
    """DescribeScalableTargets."""
    wanted = request.get("ResourceIds")
    found = [
        target
        for target in server.store.list(KIND)
        if is_asked_for(target, request) and (not wanted or target["ResourceId"] in wanted)
    ]
    return page("ScalableTargets", found, request)


def require(store: Store, request: dict) -> dict:
    """The registered target that a request is about.

    Raises:
        AwsError: `ObjectNotFoundException`.
    """
    target = store.get(KIND, key(request))
    if target is None:
        raise errors.AwsError("ObjectNotFoundException", f"No scalable target registered for {words(request)}")
    return target


def key(target: dict) -> str:
    """The name of a target's record."""
    return f"{target['ScalableDimension']} {target['ResourceId']}"


def policy_key(policy: dict) -> str:
    """The name of a policy's record."""
    return f"{key(policy)} {policy['PolicyName']}"


def action_key(action: dict) -> str:
    """The name of a scheduled action's record."""
    return f"{key(action)} {action['ScheduledActionName']}"


def words(request: dict) -> str:
    """A target as AWS's errors name it."""
    return (
        f"service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
        f"scalable dimension: {request['ScalableDimension']}"
    )


def is_same(record: dict, target: dict) -> bool:
    """Whether a record belongs to a target."""
    return all(record[name] == target[name] for name in IDENTITY)


def is_asked_for(record: dict, request: dict) -> bool:
    """Whether a Describe operation's filters let a record through."""
    return all(request.get(name) in (None, record[name]) for name in IDENTITY)


def page(member: str, found: list[dict], request: dict) -> dict:
    """One page of a Describe operation; the token is the position of the next.

    Raises:
        AwsError: `InvalidNextTokenException`.
    """
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise errors.AwsError("InvalidNextTokenException", "The next token is not valid.")
    begin = int(token)
    end = begin + min(request.get("MaxResults", MAX_RESULTS), MAX_RESULTS)
    return {member: found[begin:end]} | ({"NextToken": str(end)} if end < len(found) else {})
