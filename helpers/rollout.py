"""Changes what an endpoint serves while it serves: updates that shift traffic in steps, and weights of variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from helpers.deployment import WAIT_SECONDS, wait_in_service

if TYPE_CHECKING:
    from helpers.session import SageMakerHelper

Shift = Literal["ALL_AT_ONCE", "CANARY", "LINEAR", "ROLLING"]


def update_endpoint(
    aws: SageMakerHelper,
    endpoint: str,
    endpoint_config: str,
    shift: Shift = "ALL_AT_ONCE",
    percent: int = 10,
    bake_seconds: int = 300,
    alarms: Sequence[str] = (),
    timeout: float = WAIT_SECONDS,
) -> dict[str, Any]:
    """Bring another endpoint configuration into service, and wait until it has all the traffic.

    The old fleet serves until the new one has taken over, and takes all traffic back when an alarm goes off.

    Args:
        aws: the lab's session.
        endpoint: name of an endpoint in service.
        endpoint_config: name of the configuration that it shall serve.
        shift: CANARY gives the new fleet `percent` of the traffic first and then the rest, LINEAR gives it `percent`
            more in each step, ROLLING replaces `percent` of the instances in each step.
        percent: at most 50 for CANARY, 10 to 50 for LINEAR, 5 to 50 for ROLLING; ALL_AT_ONCE needs none.
        bake_seconds: how long the alarms are watched after each step, at most 3600.
        alarms: names of at most 10 CloudWatch alarms that roll the update back.
        timeout: seconds to wait.

    Returns:
        The last answer of DescribeEndpoint.

    Raises:
        RuntimeError: the update was rolled back; the message carries SageMaker's FailureReason.
        TimeoutError: it was under way after `timeout` seconds.
    """
    config = deployment_config(shift, percent, bake_seconds, alarms)
    aws.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint_config, DeploymentConfig=config)
    described = wait_in_service(aws, endpoint, timeout)
    if described["EndpointConfigName"] != endpoint_config:
        reason = described.get("FailureReason", "no reason given")
        raise RuntimeError(f"{endpoint} was rolled back to {described['EndpointConfigName']}: {reason}")
    return described


def deployment_config(
    shift: Shift, percent: int = 10, bake_seconds: int = 300, alarms: Sequence[str] = ()
) -> dict[str, Any]:
    """The DeploymentConfig of UpdateEndpoint; see `update_endpoint` for its parts."""
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    if shift == "ROLLING":
        config = {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": bake_seconds}}
    else:
        routing = {"Type": shift, "WaitIntervalInSeconds": bake_seconds}
        sizes = {"CANARY": {"CanarySize": size}, "LINEAR": {"LinearStepSize": size}}.get(shift, {})
        policy = {"TrafficRoutingConfiguration": routing | sizes, "TerminationWaitInSeconds": bake_seconds}
        config = {"BlueGreenUpdatePolicy": policy}
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return config


def shift_traffic(
    aws: SageMakerHelper, endpoint: str, weights: Mapping[str, float], timeout: float = WAIT_SECONDS
) -> dict[str, float]:
    """Give the variants of an endpoint new weights, and wait until they are in force.

    A variant's share of the traffic is its weight over the sum of all weights.

    Args:
        aws: the lab's session.
        endpoint: name of an endpoint in service.
        weights: by the variant's name; variants that are left out keep theirs.
        timeout: seconds to wait.

    Returns:
        The share of the traffic of each variant.

    Raises:
        TimeoutError: the endpoint was still changing after `timeout` seconds.
    """
    desired = [{"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()]
    aws.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=desired)
    variants = wait_in_service(aws, endpoint, timeout)["ProductionVariants"]
    total = sum(variant["CurrentWeight"] for variant in variants)
    return {variant["VariantName"]: variant["CurrentWeight"] / total for variant in variants}
