"""Model package groups: the versions of one model, and who else may use them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns, errors, kinds, listing
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

RESOURCE = "model-package-group"
KIND = kinds.register(
    "ModelPackageGroup",
    RESOURCE,
    taken=(kinds.VALIDATION, "Model Package Group already exists: {arn}"),
    missing=(kinds.VALIDATION, "ModelPackageGroup {arn} does not exist."),
)
# Every caller is a session of the execution role.
USER = {"IamIdentity": {"Arn": f"arn:aws:sts::{arns.ACCOUNT}:assumed-role/{arns.ROLE_NAME}/local"}}


def require(server: Server, name_or_arn: str) -> dict:
    """The record of a group.

    Raises:
        AwsError: `ValidationException`; there is no such group.
    """
    return server.store.require(KIND, arns.name_of(RESOURCE, name_or_arn))


@operation("CreateModelPackageGroup")
def create_model_package_group(server: Server, request: dict) -> dict:
    name = request["ModelPackageGroupName"]
    arn = server.arn(RESOURCE, name)
    record = request | {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": "Completed", "CreatedBy": USER}
    tags = record.pop("Tags", [])
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, tags)
    return {"ModelPackageGroupArn": arn}


@operation("DescribeModelPackageGroup")
def describe_model_package_group(server: Server, request: dict) -> dict:
    return require(server, request["ModelPackageGroupName"])


@operation("ListModelPackageGroups")
def list_model_package_groups(server: Server, request: dict) -> dict:
    # No other account shares a group with this one.
    is_shared = request.get("CrossAccountFilterOption") == "CrossAccount"
    groups = [] if is_shared else server.store.list(KIND)
    page = listing.page(groups, request, "ModelPackageGroupName", default_order="Ascending")
    return listing.response("ModelPackageGroupSummaryList", *page)


@operation("DeleteModelPackageGroup")
def delete_model_package_group(server: Server, request: dict) -> None:
    with server.store.transaction():
        group = require(server, request["ModelPackageGroupName"])
        name = group["ModelPackageGroupName"]
        if server.store.list("ModelPackage", f"{name}/"):
            raise errors.conflict(
                f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted because it contains model "
                "packages: delete them first."
            )
        server.store.delete(KIND, name)


@operation("PutModelPackageGroupPolicy", stores=True)
def put_model_package_group_policy(server: Server, request: dict) -> dict:
    try:
        policy = json.loads(request["ResourcePolicy"])
    except ValueError:
        policy = None
    if not isinstance(policy, dict) or "Statement" not in policy:
        raise errors.validation("Invalid resource policy: it is not a JSON policy document with a Statement.")
    with server.store.transaction():
        group = require(server, request["ModelPackageGroupName"])
        server.store.update(KIND, group["ModelPackageGroupName"], _Policy=request["ResourcePolicy"])
    return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}


@operation("GetModelPackageGroupPolicy", stores=True)
def get_model_package_group_policy(server: Server, request: dict) -> dict:
    return {"ResourcePolicy": _with_policy(server, request)["_Policy"]}


@operation("DeleteModelPackageGroupPolicy", stores=True)
def delete_model_package_group_policy(server: Server, request: dict) -> None:
    with server.store.transaction():
        group = _with_policy(server, request)
        server.store.update(KIND, group["ModelPackageGroupName"], _Policy=None)


def _with_policy(server: Server, request: dict) -> dict:
    group = require(server, request["ModelPackageGroupName"])
    if "_Policy" not in group:
        raise errors.validation(f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
    return group
