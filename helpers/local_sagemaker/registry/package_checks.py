"""What CreateModelPackage and UpdateModelPackage check beyond shapes: names, containers, images and data in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import errors, images, staging
from helpers.local_sagemaker.registry import card_content

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

MAX_SPECIFICATIONS = 15
MAX_PROPERTIES = 50


def check_names(request: dict) -> None:
    """Checks that a new package has a group or a name, and what goes with neither of them.

    Raises:
        AwsError: `ValidationException`.
    """
    if "ModelPackageName" in request and "ModelPackageGroupName" in request:
        raise errors.validation(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to "
            "use."
        )
    if "ModelPackageName" not in request and "ModelPackageGroupName" not in request:
        raise errors.validation("Missing ARN.")
    if "SourceUri" not in request and "InferenceSpecification" not in request:
        raise errors.validation("One of InferenceSpecification and SourceUri is required to create a model package.")
    check_additional_specifications(request.get("AdditionalInferenceSpecifications", []))
    check_customer_metadata(request.get("CustomerMetadataProperties", {}))
    check_contents(request)


def check_contents(request: dict) -> None:
    """Checks what both a new package and an update may bring.

    Raises:
        AwsError: `ValidationException`.
    """
    if "SourceUri" in request and "InferenceSpecification" in request:
        raise errors.validation("SourceUri and InferenceSpecification cannot be specified at the same time.")
    if "ModelCard" in request:
        card_content.parse(request["ModelCard"].get("ModelCardContent", "{}"))


def check_unversioned(request: dict) -> None:
    """Checks what a package without a group must have, and may not.

    Raises:
        AwsError: `ValidationException`.
    """
    if "SourceUri" in request:
        raise errors.validation("SourceUri cannot be specified when using non-versioned ModelPackages")
    specification = request["InferenceSpecification"]
    for name in ("SupportedTransformInstanceTypes", "SupportedRealtimeInferenceInstanceTypes"):
        if name not in specification:
            raise errors.validation(f"{name} is required for non-versioned ModelPackages")
    for name, words in (("Environment", "Environment variable map"), ("ModelDataSource", "ModelDataSource")):
        if any(name in container for container in specification["Containers"]):
            raise errors.validation(f"{words} cannot be specified when using non-versioned ModelPackages")


def check_additional_specifications(specifications: list[dict]) -> None:
    """Checks the AdditionalInferenceSpecifications of a package: they have names of their own.

    Raises:
        AwsError: `ValidationException`.
    """
    names = [specification["Name"] for specification in specifications]
    if len(set(names)) < len(names):
        raise errors.validation(f"AdditionalInferenceSpecifications must have unique names, got {', '.join(names)}.")
    if len(names) > MAX_SPECIFICATIONS:
        raise errors.validation(f"A model package has at most {MAX_SPECIFICATIONS} AdditionalInferenceSpecifications.")


def check_customer_metadata(properties: dict[str, str]) -> None:
    """Checks the CustomerMetadataProperties of a package.

    Raises:
        AwsError: `ValidationException`; there are too many.
    """
    if len(properties) > MAX_PROPERTIES:
        raise errors.validation(f"A model package has at most {MAX_PROPERTIES} CustomerMetadataProperties.")


def check_containers(server: Server, request: dict) -> None:
    """Checks that images are known and that model data is in S3; writes the ETags of the data into the containers.

    Args:
        server: the server.
        request: of CreateModelPackage or UpdateModelPackage.

    Raises:
        AwsError: `ValidationException`.
    """
    specifications = [
        *([request["InferenceSpecification"]] if "InferenceSpecification" in request else []),
        *request.get("AdditionalInferenceSpecifications", []),
        *request.get("AdditionalInferenceSpecificationsToAdd", []),
    ]
    for specification in specifications:
        for container in specification["Containers"]:
            _check_container(server, container)


def _check_container(server: Server, container: dict) -> None:
    if "Image" not in container:
        raise errors.validation("Each container of an inference specification must have an Image.")
    images.runtime_for(container["Image"])
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise errors.validation("Each container may have ModelDataUrl or ModelDataSource, and not both.")
    if "ModelDataUrl" in container:
        etag = _etag(server, container["ModelDataUrl"])
        if container.get("ModelDataETag", etag) != etag:
            raise errors.validation(f"ModelDataETag does not match the ETag of {container['ModelDataUrl']}, {etag}.")
        container["ModelDataETag"] = etag
    sources = [container["ModelDataSource"]] if "ModelDataSource" in container else []
    for source in [*sources, *container.get("AdditionalModelDataSources", [])]:
        _check_source(server, source["S3DataSource"])


def _check_source(server: Server, source: dict) -> None:
    if source["S3DataType"] == "S3Object":
        _etag(server, source["S3Uri"])
        return
    try:
        found = staging.has_objects(server, staging.parse(source["S3Uri"]))
    except staging.StagingError as error:
        raise errors.validation(str(error)) from error
    if not found:
        raise errors.validation(f"Could not find model data at {source['S3Uri']}.")


def _etag(server: Server, uri: str) -> str:
    """The ETag of an object."""
    try:
        location = staging.parse(uri)
        return server.client("s3").head_object(Bucket=location.bucket, Key=location.key)["ETag"].strip('"')
    except staging.StagingError as error:
        raise errors.validation(str(error)) from error
    except ClientError as error:
        raise errors.validation(f"Could not find model data at {uri}.") from error
