"""Application Auto Scaling, for SageMaker's resources: its operations and their protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    errors,
    model,
    scalable_targets,
    scaling_activities,
    scaling_policies,
    scheduled_actions,
    tags,
)

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SERVICE = "application-autoscaling"
TARGET_PREFIX = "AnyScaleFrontendService."


def answer(server: Server, operation: str, body: bytes) -> bytes:
    """The body of a response.

    Raises:
        AwsError: what the client did wrong.
    """
    if operation not in model.service(SERVICE)["operations"]:
        raise errors.AwsError("UnknownOperationException", f"Unknown operation {operation}.")
    if operation not in OPERATIONS:
        raise errors.validation(f"{operation} is not available in the local SageMaker.")
    request = model.parse(operation, body, SERVICE)
    return model.serialize(operation, OPERATIONS[operation](server, request), SERVICE)


def _require_target(server: Server, request: dict) -> str:
    arn = request["ResourceARN"]
    if not any(target["ScalableTargetARN"] == arn for target in server.store.list(scalable_targets.KIND)):
        raise errors.AwsError("ResourceNotFoundException", f"The resource {arn} does not exist.")
    return arn


def tag_resource(server: Server, request: dict) -> None:
    """TagResource."""
    pairs = [{"Key": key, "Value": value} for key, value in request["Tags"].items()]
    tags.add(server.store, _require_target(server, request), pairs)


def untag_resource(server: Server, request: dict) -> None:
    """UntagResource."""
    tags.delete(server.store, _require_target(server, request), request["TagKeys"])


def list_tags_for_resource(server: Server, request: dict) -> dict:
    """ListTagsForResource."""
    return {"Tags": {tag["Key"]: tag["Value"] for tag in tags.of(server.store, _require_target(server, request))}}


OPERATIONS: dict[str, Callable[[Server, dict], dict | None]] = {
    "RegisterScalableTarget": scalable_targets.register_scalable_target,
    "DeregisterScalableTarget": scalable_targets.deregister_scalable_target,
    "DescribeScalableTargets": scalable_targets.describe_scalable_targets,
    "PutScalingPolicy": scaling_policies.put_scaling_policy,
    "DeleteScalingPolicy": scaling_policies.delete_scaling_policy,
    "DescribeScalingPolicies": scaling_policies.describe_scaling_policies,
    "PutScheduledAction": scheduled_actions.put_scheduled_action,
    "DeleteScheduledAction": scheduled_actions.delete_scheduled_action,
    "DescribeScheduledActions": scheduled_actions.describe_scheduled_actions,
    "DescribeScalingActivities": scaling_activities.describe_scaling_activities,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags_for_resource,
}
