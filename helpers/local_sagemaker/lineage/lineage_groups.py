"""Lineage groups: an account has one, and all entities are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, listing
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


@operation("DescribeLineageGroup")
def describe_lineage_group(server: Server, request: dict) -> dict:
    """The account's own group."""
    group = _group(server)
    if request["LineageGroupName"] != group["LineageGroupName"]:
        arn = server.arn("lineage-group", request["LineageGroupName"])
        raise errors.resource_not_found(f"Lineage group '{arn}' does not exist.")
    return group


@operation("ListLineageGroups")
def list_lineage_groups(server: Server, request: dict) -> dict:
    """One page of one summary."""
    return listing.response("LineageGroupSummaries", *listing.page([_group(server)], request, "LineageGroupName"))


def _group(server: Server) -> dict:
    # It was there before the first entity: the account is as old as its home.
    born = server.home.stat().st_ctime
    return {
        "LineageGroupName": entities.DEFAULT_GROUP,
        "LineageGroupArn": server.arn("lineage-group", entities.DEFAULT_GROUP),
        "CreationTime": born,
        "LastModifiedTime": born,
    }
