"""Endpoints whose variants have no model of their own: instances with room for copies of inference components."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, instance_types
from helpers.local_sagemaker.containers import STARTUP_SECONDS
from helpers.local_sagemaker.errors import InvocationError
from helpers.local_sagemaker.instance_types import Capacity
from helpers.local_sagemaker.invocations import INFERENCE_COMPONENT

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.workers import Worker

SPREAD, BINPACK = "SPREAD", "BINPACK"
_STRATEGIES = ("LEAST_OUTSTANDING_REQUESTS", "RANDOM")
_REQUIRED = ("InstanceType", "InitialInstanceCount")


class HostVariant:
    """A production variant that inference components are deployed to; it answers no invocation itself.

    Args:
        endpoint: its endpoint.
        spec: one entry of a plan, see `plan`.
    """

    max_body_bytes = 6_291_456
    memory_bytes: int | None = None
    instance_metrics = ("CPUUtilization", "MemoryUtilization")
    capture = None
    component = None
    direct = False
    is_multi_model = False
    containers: tuple[str, ...] = ()

    def __init__(self, server: Server, endpoint: str, spec: dict) -> None:
        self.endpoint = endpoint
        self.name: str = spec["VariantName"]
        self.weight: float = spec["Weight"]
        self.spec = spec
        self._server = server

    @property
    def workers(self) -> list[Worker]:
        """The copies of all components, for the metrics of the instances."""
        hosted = self._server.components.serving.get(self.endpoint, {})
        return [worker for component in list(hosted.values()) for worker in component.workers]

    def begin(self, count: int) -> list[Worker]:
        """Nothing: instances without a component run no process."""
        return []

    def require_started(self, added: list[Worker]) -> None:
        """Nothing."""

    def admit(self, added: list[Worker]) -> None:
        """Nothing."""

    def shrink(self, count: int) -> list[Worker]:
        """Nothing."""
        return []

    def close(self) -> list[Worker]:
        """Nothing: an endpoint is deleted after its components."""
        return []


def is_host(variant: Mapping) -> bool:
    """Whether a production variant, or an entry of a plan, is for inference components."""
    return "ModelName" not in variant and "Model" not in variant and "ServerlessConfig" not in variant


def check(request: dict) -> None:
    """Checks the variants of a CreateEndpointConfig, of which at least one is for inference components.

    Raises:
        AwsError: `ValidationException`; something is missing, or cannot be together.
    """
    variants = request["ProductionVariants"]
    if not all(is_host(variant) for variant in variants):
        raise errors.validation("Either all production variants must have ModelName, or none of them.")
    for member in ("AsyncInferenceConfig", "DataCaptureConfig"):
        if member in request:
            raise errors.validation(
                f"{member} of an inference component endpoint is not available in the local SageMaker."
            )
    if request.get("ShadowProductionVariants"):
        raise errors.validation("ShadowProductionVariants are not supported for inference component endpoints.")
    if "ExecutionRoleArn" not in request:
        raise errors.validation(
            "ExecutionRoleArn is required for inference component endpoints, whose production variants have no "
            "ModelName."
        )
    for variant in variants:
        name = variant["VariantName"]
        for member in _REQUIRED:
            if member not in variant:
                raise errors.validation(f"Production variant {name} must have {member}.")
        scaling = variant.get("ManagedInstanceScaling", {})
        if scaling.get("MinInstanceCount", 0) > scaling.get("MaxInstanceCount", float("inf")):
            raise errors.validation(
                f"MinInstanceCount {scaling['MinInstanceCount']} of production variant {name} must be less than or "
                f"equal to MaxInstanceCount {scaling['MaxInstanceCount']}."
            )


def check_routing(variant: dict) -> None:
    """Checks how a variant distributes its requests.

    Raises:
        AwsError: `ValidationException`; it is a way that is not to be had here.
    """
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy", _STRATEGIES[0])
    if strategy not in _STRATEGIES:
        raise errors.validation(f"RoutingStrategy {strategy} is not available in the local SageMaker.")


def plan(variant: dict, config: dict) -> dict:
    """The entry of a plan for a variant that hosts components."""
    scaling = variant.get("ManagedInstanceScaling", {})
    spec = {
        "VariantName": variant["VariantName"],
        "Weight": variant["InitialVariantWeight"],
        "InstanceCount": variant["InitialInstanceCount"],
        "InstanceType": variant["InstanceType"],
        "NetworkIsolation": config["EnableNetworkIsolation"],
        "Routing": variant.get("RoutingConfig", {}).get("RoutingStrategy"),
        "StartupSeconds": variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS),
        "DownloadSeconds": variant.get("ModelDataDownloadTimeoutInSeconds"),
    }
    if scaling:
        spec["ManagedInstanceScaling"] = scaling
    return spec


def check_update(endpoint_arn: str, now: list[dict], then: list[dict], components: list[dict]) -> None:
    """Checks that an endpoint's update leaves a place to its components.

    Raises:
        AwsError: `ValidationException`; it is of another kind, or a variant that hosts components goes.
    """
    if is_host(now[0]) != is_host(then[0]):
        raise errors.validation(
            f'Cannot update endpoint "{endpoint_arn}": its production variants are '
            f"{'' if is_host(now[0]) else 'not '}for inference components, those of the new configuration are "
            f"{'' if is_host(then[0]) else 'not '}."
        )
    names = {spec["VariantName"] for spec in then}
    if lost := sorted(c["InferenceComponentName"] for c in components if c["VariantName"] not in names):
        raise errors.validation(
            f'Cannot update endpoint "{endpoint_arn}": the new configuration lacks the production variants of the '
            f"inference components {', '.join(lost)}."
        )


def most_instances(spec: dict) -> int:
    """How many instances a variant may have."""
    scaling = spec.get("ManagedInstanceScaling", {})
    if scaling.get("Status") == "ENABLED":
        return max(scaling.get("MaxInstanceCount", spec["InstanceCount"]), spec["InstanceCount"])
    return spec["InstanceCount"]


def instances(spec: dict, used: int) -> int:
    """How many instances a variant has when copies are placed on the first `used` of them."""
    scaling = spec.get("ManagedInstanceScaling", {})
    if scaling.get("Status") == "ENABLED":
        return max(scaling.get("MinInstanceCount", spec["InstanceCount"]), used)
    return spec["InstanceCount"]


@dataclass(frozen=True)
class Placed:
    """A copy's place: which instance of the variant, and what it takes there."""

    instance: int
    needs: Capacity


def place(spec: dict, placed: Iterable[Placed], needs: Capacity, strategy: str) -> int | None:
    """The instance for another copy, None when no instance has room.

    Args:
        spec: the variant's entry of a plan.
        placed: the copies that are there.
        needs: of the new one.
        strategy: SPREAD takes the emptiest instance, BINPACK the fullest.
    """
    whole = instance_types.capacity(spec["InstanceType"])
    placed = list(placed)
    used = max((copy.instance + 1 for copy in placed), default=0)
    free = [whole] * most_instances(spec)
    for copy in placed:
        if copy.instance < len(free):
            free[copy.instance] = free[copy.instance].without(copy.needs)
    running = range(instances(spec, used))
    candidates = [index for index in running if index < len(free) and free[index].holds(needs)]
    if candidates:
        fullness = [sum(copy.instance == index for copy in placed) for index in range(len(free))]
        rank = {SPREAD: lambda index: (fullness[index], index), BINPACK: lambda index: (-fullness[index], index)}
        return min(candidates, key=rank[strategy])
    return next((index for index in range(len(running), len(free)) if free[index].holds(needs)), None)


def component_of(hosts: bool, headers: Mapping[str, str]) -> str | None:
    """The inference component that a request names; None for an endpoint that hosts none.

    Raises:
        InvocationError: it names none and must, or names one and must not.
    """
    name = headers.get(INFERENCE_COMPONENT)
    if hosts and name is None:
        raise InvocationError(
            "ValidationError",
            "Inference Component Name header is required for endpoints to which you plan to deploy inference "
            "components. Please include Inference Component Name header or consider using SageMaker models.",
            400,
            ErrorCode="INFERENCE_COMPONENT_NAME_MISSING",
        )
    if not hosts and name is not None:
        raise InvocationError(
            "ValidationError",
            "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy inference "
            "components. Please remove the Inference Component Name header and try again.",
            400,
        )
    return name
