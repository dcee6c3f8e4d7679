"""Models that are made of a model package: the containers that a package stands for in CreateModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.registry import packages

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def unpacked(server: Server, given: list[dict]) -> list[dict]:
    """The containers of a CreateModel request, those of its packages in their places.

    Raises:
        AwsError: `ValidationException`; a package is missing, is not approved, or lacks what is asked for.
    """
    return [each for container in given for each in _containers(server, container)]


def _containers(server: Server, container: dict) -> list[dict]:
    if "ModelPackageName" not in container:
        if "InferenceSpecificationName" in container:
            raise errors.validation("InferenceSpecificationName requires a ModelPackageName.")
        return [container]
    both = [name for name in ("Image", "ModelDataUrl", "ModelDataSource") if name in container]
    if both:
        raise errors.validation(f"{' and '.join(both)} cannot be specified together with ModelPackageName.")
    package = packages.require(server, container["ModelPackageName"])
    # A package that is no version needs no approval.
    approval = package.get("ModelApprovalStatus", "Approved")
    if approval != "Approved":
        raise errors.validation(f'Invalid approval status "{approval}" of model package {package["ModelPackageArn"]}')
    found = _specification(package, container.get("InferenceSpecificationName"))["Containers"]
    own = {"ContainerHostname": container["ContainerHostname"]} if "ContainerHostname" in container else {}
    environment = container.get("Environment", {})
    return [
        {name: packed[name] for name in packages.SERVED if name in packed}
        | (own if len(found) == 1 else {})
        | {"Environment": packed.get("Environment", {}) | environment}
        for packed in found
    ]


def _specification(package: dict, name: str | None) -> dict:
    if name is None:
        if "InferenceSpecification" not in package:
            raise errors.validation(f"Model package {package['ModelPackageArn']} has no InferenceSpecification.")
        return package["InferenceSpecification"]
    for specification in package.get("AdditionalInferenceSpecifications", []):
        if specification["Name"] == name:
            return specification
    raise errors.validation(f"Model package {package['ModelPackageArn']} has no inference specification {name}.")
