"""What of SageMaker can be scaled, how much of it there is to be, and how that is changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.operations import OPERATIONS

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.state import Store

_SETTLED = ("InService", "Failed", "OutOfService")


@dataclass(frozen=True)
class Capacity:
    """The capacity that something is to have, and whether it can be changed now."""

    number: int
    is_settled: bool


@dataclass(frozen=True)
class Dimension:
    """Something that can be scaled.

    Args:
        words: what AWS calls it in an activity.
        resource: of its ResourceIds; its groups name the members of CloudWatch's dimensions.
        look: its capacity; None when the resource is gone or has no such capacity.
        change: sets it as a client would.
        may_be_zero: whether it may be scaled to zero.
    """

    words: str
    resource: re.Pattern
    look: Callable[[Store, dict[str, str]], Capacity | None]
    change: Callable[[Server, dict[str, str], int], None]
    may_be_zero: Callable[[Store, dict[str, str]], bool]

    def names(self, resource_id: str) -> dict[str, str]:
        """The names in a ResourceId, as CloudWatch's dimensions of the resource's metrics.

        Raises:
            AwsError: `ValidationException`, it is the id of something else.
        """
        match = self.resource.fullmatch(resource_id)
        if match is None:
            raise errors.validation("Unsupported service namespace, resource type or scalable dimension")
        return match.groupdict()


def _variant(store: Store, names: dict[str, str]) -> tuple[dict, bool] | None:
    """A variant's summary in DescribeEndpoint, and whether its endpoint can be changed now."""
    record = store.get("Endpoint", names["EndpointName"]) or {}
    for summary in record.get("ProductionVariants", []):
        if summary["VariantName"] == names["VariantName"]:
            return summary, record["EndpointStatus"] in _SETTLED
    return None


def _serverless(summary: dict) -> dict:
    return summary.get("DesiredServerlessConfig") or summary.get("CurrentServerlessConfig") or {}


def _instances(store: Store, names: dict[str, str]) -> Capacity | None:
    found = _variant(store, names)
    if found is None or _serverless(found[0]):
        return None
    return Capacity(found[0]["DesiredInstanceCount"], found[1])


def _provisioned(store: Store, names: dict[str, str]) -> Capacity | None:
    found = _variant(store, names)
    if found is None or "ProvisionedConcurrency" not in _serverless(found[0]):
        return None
    return Capacity(_serverless(found[0])["ProvisionedConcurrency"], found[1])


def _copies(store: Store, names: dict[str, str]) -> Capacity | None:
    record = store.get("InferenceComponent", names["InferenceComponentName"])
    if record is None:
        return None
    is_settled = record["InferenceComponentStatus"] in _SETTLED
    return Capacity(record["RuntimeConfig"]["DesiredCopyCount"], is_settled)


def _change_variant(server: Server, names: dict[str, str], wish: dict) -> None:
    desired = [{"VariantName": names["VariantName"], **wish}]
    request = {"EndpointName": names["EndpointName"], "DesiredWeightsAndCapacities": desired}
    OPERATIONS["UpdateEndpointWeightsAndCapacities"](server, request)


def _change_copies(server: Server, names: dict[str, str], number: int) -> None:
    OPERATIONS["UpdateInferenceComponentRuntimeConfig"](server, names | {"DesiredRuntimeConfig": {"CopyCount": number}})


def _is_asynchronous(store: Store, names: dict[str, str]) -> bool:
    return "AsyncInferenceConfig" in (store.get("Endpoint", names["EndpointName"]) or {})


_VARIANT = re.compile(r"endpoint/(?P<EndpointName>[^/]+)/variant/(?P<VariantName>[^/]+)")
_COMPONENT = re.compile(r"inference-component/(?P<InferenceComponentName>[^/]+)")

DIMENSIONS = {
    "sagemaker:variant:DesiredInstanceCount": Dimension(
        "instance count",
        _VARIANT,
        _instances,
        lambda server, names, number: _change_variant(server, names, {"DesiredInstanceCount": number}),
        _is_asynchronous,
    ),
    "sagemaker:variant:DesiredProvisionedConcurrency": Dimension(
        "provisioned concurrency",
        _VARIANT,
        _provisioned,
        lambda server, names, number: _change_variant(
            server, names, {"ServerlessUpdateConfig": {"ProvisionedConcurrency": number}}
        ),
        lambda _store, _names: False,
    ),
    "sagemaker:inference-component:DesiredCopyCount": Dimension(
        "copy count", _COMPONENT, _copies, _change_copies, lambda _store, _names: True
    ),
}


def of(target: dict) -> Dimension:
    """The dimension of a scalable target, or of what belongs to it."""
    return DIMENSIONS[target["ScalableDimension"]]


def capacity(store: Store, target: dict) -> Capacity | None:
    """The capacity that a target is to have; None when it is gone."""
    dimension = of(target)
    return dimension.look(store, dimension.names(target["ResourceId"]))


def set_capacity(server: Server, target: dict, number: int) -> None:
    """Changes a target's capacity as a client would.

    Raises:
        AwsError: it cannot be changed now, or not to this.
    """
    dimension = of(target)
    dimension.change(server, dimension.names(target["ResourceId"]), number)
