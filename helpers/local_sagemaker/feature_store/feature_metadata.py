"""What people write about a feature: a description and parameters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.feature_store import feature_groups
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

MAX_PARAMETERS = 25
_METADATA = "_Metadata"  # of all features, in the record of their group


@operation("DescribeFeatureMetadata", stores=True)
def describe_feature_metadata(server: Server, request: dict) -> dict:
    return told(*_require(server, request))


def told(group: dict, definition: dict) -> dict:
    """What is told of a feature, by the record of its group and one of its FeatureDefinitions."""
    metadata = group.get(_METADATA, {}).get(definition["FeatureName"], {})
    times = {"CreationTime": group["CreationTime"], "LastModifiedTime": group["CreationTime"]}
    parameters = [{"Key": key, "Value": value} for key, value in metadata.get("Parameters", {}).items()]
    return {
        **times,
        **definition,
        **metadata,
        "Parameters": parameters or None,
        "FeatureGroupArn": group["FeatureGroupArn"],
        "FeatureGroupName": group["FeatureGroupName"],
    }


@operation("UpdateFeatureMetadata", stores=True)
def update_feature_metadata(server: Server, request: dict) -> None:
    with server.store.transaction():
        group, definition = _require(server, request)
        described = group.get(_METADATA, {})
        metadata = described.get(definition["FeatureName"], {})
        added = {each["Key"]: each.get("Value", "") for each in request.get("ParameterAdditions", ())}
        parameters = metadata.get("Parameters", {}) | added
        for key in request.get("ParameterRemovals", ()):
            parameters.pop(key, None)
        if len(parameters) > MAX_PARAMETERS:
            raise errors.validation(f"A feature may have {MAX_PARAMETERS} parameters.")
        text = {"Description": request["Description"]} if "Description" in request else {}
        described[definition["FeatureName"]] = (
            metadata | text | {"Parameters": parameters, "LastModifiedTime": time.time()}
        )
        server.store.update(feature_groups.KIND, group["FeatureGroupName"], **{_METADATA: described})


def _require(server: Server, request: dict) -> tuple[dict, dict]:
    """The group, and the definition of the feature."""
    group, name = feature_groups.require(server, request["FeatureGroupName"]), request["FeatureName"]
    found = (each for each in group["FeatureDefinitions"] if each["FeatureName"] == name)
    if definition := next(found, None):
        return group, definition
    raise errors.resource_not_found(
        f"Resource Not Found: FeatureGroup {group['FeatureGroupName']} has no feature with name {name}"
    )
