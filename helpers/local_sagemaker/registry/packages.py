"""Model packages: versions of a group, and packages that have a name of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns, errors, kinds, listing
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.registry import card_content, package_checks, package_groups

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

RESOURCE = "model-package"
KIND = kinds.register(
    "ModelPackage",
    RESOURCE,
    taken=("ConflictException", "ModelPackage already exists: {arn}"),
    missing=(kinds.VALIDATION, "ModelPackage {arn} does not exist."),
)
# What a container of a package and one of a model have in common, besides its Environment.
SERVED = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "AdditionalModelDataSources")
_SUMMARY = (
    *("ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn", "ModelPackageDescription", "CreationTime"),
    *("InferenceSpecification", "ModelPackageStatus", "ModelApprovalStatus", "ModelPackageRegistrationType"),
)


def require(server: Server, name_or_arn: str) -> dict:
    """The record of a package, by `name`, `group/version` or ARN.

    Raises:
        AwsError: `ValidationException`; there is no such package.
    """
    return server.store.require(KIND, arns.name_of(RESOURCE, name_or_arn))


@operation("CreateModelPackage")
def create_model_package(server: Server, request: dict) -> dict:
    package_checks.check_names(request)
    is_versioned = "ModelPackageGroupName" in request
    if is_versioned:
        group = package_groups.require(server, request["ModelPackageGroupName"])["ModelPackageGroupName"]
        request["ModelPackageGroupName"] = group
    else:
        package_checks.check_unversioned(request)
    request |= _of_source(server, request)
    if "ModelCard" in request:
        request["ModelCard"] = {"ModelCardStatus": "Draft"} | request["ModelCard"]
    if request.get("SkipModelValidation") != "All":
        package_checks.check_containers(server, request)
    record = request | {
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": False,
        "CreatedBy": package_groups.USER,
    }
    tags, token = record.pop("Tags", []), record.pop("ClientToken", None)
    with server.store.transaction():
        if token and (made := _made_with(server, token, record)):
            return {"ModelPackageArn": made["ModelPackageArn"]}
        record = _numbered(server, record) if is_versioned else _named(server, record)
        server.store.put(KIND, _key(record), record | ({"_Token": token} if token else {}))
        server.add_tags(record["ModelPackageArn"], tags)
    return {"ModelPackageArn": record["ModelPackageArn"]}


def _of_source(server: Server, request: dict) -> dict:
    """What a package takes over from the package or the model that its SourceUri names."""
    source = request.get("SourceUri", "")
    if source.startswith(arns.arn(RESOURCE, "")):
        package = require(server, source)
        cloned = ("InferenceSpecification", "AdditionalInferenceSpecifications", "ModelMetrics", "DriftCheckBaselines")
        return {name: package[name] for name in cloned if name in package and name not in request}
    if source.startswith(arns.arn("model", "")):
        model = server.store.require("Model", arns.name_of("model", source))
        given = model["Containers"] if "Containers" in model else [model["PrimaryContainer"]]
        return {"InferenceSpecification": {"Containers": [_packaged(container) for container in given]}}
    return {}


def _packaged(container: dict) -> dict:
    """A model's container as one of a package."""
    if "Image" not in container:
        raise errors.validation("A model that is made of a model package cannot be the source of another.")
    return {name: container[name] for name in (*SERVED, "Environment") if name in container}


def _made_with(server: Server, token: str, record: dict) -> dict | None:
    """The package that an earlier request with the same ClientToken made."""
    group = record.get("ModelPackageGroupName")
    there = versions(server, group) if group else [server.store.get(KIND, record["ModelPackageName"]) or {}]
    return next((package for package in there if package.get("_Token") == token), None)


def versions(server: Server, group: str) -> list[dict]:
    """The records of all versions of a group, by its name."""
    return server.store.list(KIND, f"{group}/")


def _numbered(server: Server, record: dict) -> dict:
    """The next version of a group: the number of one that was deleted is not given again."""
    name = record["ModelPackageGroupName"]
    version = package_groups.require(server, name).get("_LastVersion", 0) + 1
    server.store.update(package_groups.KIND, name, _LastVersion=version)
    arn = server.arn(RESOURCE, f"{name}/{version}")
    approval = record.get("ModelApprovalStatus", "PendingManualApproval")
    return record | {"ModelPackageVersion": version, "ModelPackageArn": arn, "ModelApprovalStatus": approval}


def _named(server: Server, record: dict) -> dict:
    record.pop("ModelApprovalStatus", None)  # only versions are approved
    return record | {"ModelPackageArn": server.arn(RESOURCE, record["ModelPackageName"])}


def _key(record: dict) -> str:
    return record["ModelPackageArn"].removeprefix(arns.arn(RESOURCE, ""))


@operation("DescribeModelPackage")
def describe_model_package(server: Server, request: dict) -> dict:
    record = require(server, request["ModelPackageName"])
    if record["LastModifiedTime"] == record["CreationTime"]:
        del record["LastModifiedTime"]
    if request.get("IncludedData") == "MetadataOnly" and "ModelCard" in record:
        content = record["ModelCard"].get("ModelCardContent", "{}")
        record["ModelCard"]["ModelCardContent"] = card_content.metadata(content)
    return {"ModelPackageName": _key(record)} | record


@operation("BatchDescribeModelPackage")
def batch_describe_model_package(server: Server, request: dict) -> dict:
    summaries, faults = {}, {}
    for arn in request["ModelPackageArnList"]:
        try:
            package = require(server, arn)
            if "ModelPackageVersion" not in package:
                raise errors.validation(f"ModelPackage {arn} is not a version of a model package group.")
            summaries[arn] = {name: package[name] for name in _SUMMARY if name in package}
        except errors.AwsError as error:
            faults[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
    return {"ModelPackageSummaries": summaries, "BatchDescribeModelPackageErrorMap": faults}


@operation("ListModelPackages")
def list_model_packages(server: Server, request: dict) -> dict:
    asked = dict(request)
    contained = asked.pop("NameContains", "").lower()
    group = arns.name_of(package_groups.RESOURCE, asked.get("ModelPackageGroupName", ""))
    found = [
        record | {"_Name": f"{name}/{record.get('ModelPackageVersion', 0):09}"}
        for record in (versions(server, group) if group else server.store.list(KIND))
        if _is_asked_for(record, asked)
        and contained in (name := record.get("ModelPackageGroupName") or record["ModelPackageName"]).lower()
    ]
    page = listing.page(found, asked, "_Name", default_order="Ascending")
    return listing.response("ModelPackageSummaryList", *page)


def _is_asked_for(record: dict, request: dict) -> bool:
    if request.get("ModelApprovalStatus", record.get("ModelApprovalStatus")) != record.get("ModelApprovalStatus"):
        return False
    if "ModelPackageGroupName" in request:
        return True
    kind = "Versioned" if "ModelPackageVersion" in record else "Unversioned"
    return request.get("ModelPackageType", "Unversioned") in (kind, "Both")


@operation("UpdateModelPackage")
def update_model_package(server: Server, request: dict) -> dict:
    package_checks.check_contents(request)
    if require(server, request["ModelPackageArn"]).get("SkipModelValidation") != "All":
        package_checks.check_containers(server, request)
    with server.store.transaction():
        record = require(server, request["ModelPackageArn"])
        changes = {name: request[name] for name in _REPLACED if name in request}
        if "ModelApprovalStatus" in changes and "ModelPackageVersion" not in record:
            raise errors.validation("ModelApprovalStatus can only be updated for versioned model packages.")
        changes |= _changed_metadata(record, request) | _added_specifications(record, request)
        server.store.update(KIND, _key(record), LastModifiedBy=package_groups.USER, **changes)
    return {"ModelPackageArn": record["ModelPackageArn"]}


_REPLACED = (
    *("ModelApprovalStatus", "ApprovalDescription", "ModelPackageRegistrationType", "InferenceSpecification"),
    *("SourceUri", "ModelCard", "ModelLifeCycle"),
)


def _changed_metadata(record: dict, request: dict) -> dict:
    """The CustomerMetadataProperties after an update: None when the last one is removed."""
    removed = request.get("CustomerMetadataPropertiesToRemove", [])
    properties = record.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
    properties = {key: value for key, value in properties.items() if key not in removed}
    package_checks.check_customer_metadata(properties)
    return {"CustomerMetadataProperties": properties or None}


def _added_specifications(record: dict, request: dict) -> dict:
    if "AdditionalInferenceSpecificationsToAdd" not in request:
        return {}
    there = record.get("AdditionalInferenceSpecifications", []) + request["AdditionalInferenceSpecificationsToAdd"]
    package_checks.check_additional_specifications(there)
    return {"AdditionalInferenceSpecifications": there}


@operation("DeleteModelPackage")
def delete_model_package(server: Server, request: dict) -> None:
    server.store.delete(KIND, arns.name_of(RESOURCE, request["ModelPackageName"]))
