"""The operations of feature groups."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds, listing, permissions, staging
from helpers.local_sagemaker.feature_store import glue_tables
from helpers.local_sagemaker.feature_store.feature_data import OFFLINE, ONLINE
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register(
    "FeatureGroup",
    "feature-group",
    taken=(
        kinds.IN_USE,
        "Resource Already Exists: FeatureGroup with name {name} already exists. Choose a different name.",
    ),
    missing=(kinds.NOT_FOUND, "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name}"),
)
MAX_FEATURES = 2500
# Columns that the offline store adds.
_RESERVED = ("is_deleted", "write_time", "api_invocation_time")
_TOLD = (
    *("FeatureGroupName", "RecordIdentifierFeatureName", "EventTimeFeatureName", "FeatureDefinitions", "RoleArn"),
    *("OnlineStoreConfig", "Description"),
)
_NAME, _STATUS = "FeatureGroupName", "FeatureGroupStatus"


def require(server: Server, name_or_arn: str) -> dict:
    """The record of a feature group.

    Raises:
        AwsError: `ResourceNotFound`.
    """
    return server.store.require(KIND, name_or_arn.rpartition("/")[2])


def stores(group: dict) -> list[str]:
    """The stores that a group has."""
    online = group.get("OnlineStoreConfig", {}).get("EnableOnlineStore", False)
    return [ONLINE] * online + [OFFLINE] * ("OfflineStoreConfig" in group)


@operation("CreateFeatureGroup")
def create_feature_group(server: Server, request: dict) -> dict:
    """Checks the request; the group is Created when its bucket and its table are known to exist."""
    name, now = request[_NAME], time.time()
    _check_definitions(request["FeatureDefinitions"], request)
    _check_named(request)
    arn = server.arn("feature-group", name)
    record = {member: request[member] for member in _TOLD if member in request} | {
        "FeatureGroupArn": arn,
        _STATUS: "Creating",
        "CreationTime": now,
        "ThroughputConfig": request.get("ThroughputConfig", {"ThroughputMode": "OnDemand"}),
        **_stored_offline(server, request, now),
    }
    if not stores(record):
        raise errors.validation("At least one of OnlineStoreConfig and OfflineStoreConfig must enable a store.")
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    server.features.wake()
    return {"FeatureGroupArn": arn}


def _check_definitions(definitions: list[dict], group: dict) -> None:
    """Checks definitions that come to a group, against its own."""
    names = [definition["FeatureName"] for definition in definitions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise errors.validation(f"FeatureDefinitions has more than one feature of the name {twice}.")
    if reserved := [name for name in names if name.lower() in _RESERVED]:
        raise errors.validation(f"FeatureDefinitions has reserved feature names: {reserved}.")
    in_memory = group.get("OnlineStoreConfig", {}).get("StorageType") == "InMemory"
    for definition in definitions:
        if "CollectionType" in definition and not in_memory:
            raise errors.validation(
                "CollectionType is only supported where the StorageType of the OnlineStore is InMemory."
            )
        vector = definition.get("CollectionType") == "Vector"
        if vector != ("VectorConfig" in definition.get("CollectionConfig", {})):
            raise errors.validation(
                "CollectionConfig.VectorConfig goes with the CollectionType Vector, which needs it."
            )
        if vector and definition["FeatureType"] != "Fractional":
            raise errors.validation("The elements of a Vector must have the FeatureType Fractional.")
    vectors = [each for each in definitions if each.get("CollectionType") == "Vector"]
    if len(vectors) > 1:
        raise errors.validation("A feature group may have one Vector only.")


def _check_named(request: dict) -> None:
    """Checks the features that identify a record."""
    definitions = {definition["FeatureName"]: definition for definition in request["FeatureDefinitions"]}
    for member, types in (
        ("RecordIdentifierFeatureName", ("Integral", "Fractional", "String")),
        ("EventTimeFeatureName", ("Fractional", "String")),
    ):
        definition = definitions.get(request[member])
        if definition is None:
            raise errors.validation(f"{member} {request[member]} is not in FeatureDefinitions.")
        if "CollectionType" in definition or definition["FeatureType"] not in types:
            raise errors.validation(f"The feature of {member} must be one value of type {' or '.join(types)}.")
    if request["RecordIdentifierFeatureName"] == request["EventTimeFeatureName"]:
        raise errors.validation("RecordIdentifierFeatureName and EventTimeFeatureName must be two features.")


def _stored_offline(server: Server, request: dict, now: float) -> dict:
    """The members of the record that tell of the offline store."""
    config = request.get("OfflineStoreConfig")
    if "RoleArn" in request:
        permissions.require_role(server, request["RoleArn"])
    if config is None:
        return {}
    if "RoleArn" not in request:
        raise errors.validation("RoleArn is required where an OfflineStoreConfig is given.")
    if config.get("TableFormat") == "Iceberg":
        raise errors.validation("The TableFormat Iceberg is not available in the local SageMaker: leave it out.")
    name, epoch = request[_NAME], int(now)
    try:
        place = staging.parse(config["S3StorageConfig"]["S3Uri"])
    except staging.StagingError as error:
        raise errors.validation(str(error)) from error
    folder = place.below(server.account, "sagemaker", server.region, "offline-store", f"{name}-{epoch}", "data")
    storage = config["S3StorageConfig"] | {"ResolvedOutputS3Uri": str(folder)}
    described = config | {"S3StorageConfig": storage}
    described.setdefault("DisableGlueTableCreation", False)
    if not described["DisableGlueTableCreation"]:
        described.setdefault("DataCatalogConfig", glue_tables.default_config(name, epoch))
    return {"OfflineStoreConfig": described, "OfflineStoreStatus": {"Status": "Active"}}


@operation("DescribeFeatureGroup")
def describe_feature_group(server: Server, request: dict) -> dict:
    """The whole record. All definitions fit on one page, so that the NextToken is empty."""
    record = require(server, request[_NAME]) | {"NextToken": ""}
    if ONLINE in stores(record):
        record["OnlineStoreTotalSizeBytes"] = server.features.data.size(record[_NAME])
    return record


@operation("UpdateFeatureGroup")
def update_feature_group(server: Server, request: dict) -> dict:
    """Adds features, or changes the time to live of what is written from now on."""
    with server.store.transaction():
        record = require(server, request[_NAME])
        if record[_STATUS] != "Created":
            raise errors.validation(
                f"FeatureGroup {record[_NAME]} is in status {record[_STATUS]}, and must be Created."
            )
        changes = _changes(record, request)
        record = server.store.update(KIND, record[_NAME], **changes, LastUpdateStatus={"Status": "Successful"})
    if "FeatureAdditions" in request:
        glue_tables.update(server, record)
    return {"FeatureGroupArn": record["FeatureGroupArn"]}


def _changes(record: dict, request: dict) -> dict:
    changes: dict = {}
    if "FeatureAdditions" in request:
        definitions = record["FeatureDefinitions"] + request["FeatureAdditions"]
        if len(definitions) > MAX_FEATURES:
            raise errors.limit_exceeded(f"A feature group may have {MAX_FEATURES} features.")
        _check_definitions(definitions, record)
        changes["FeatureDefinitions"] = definitions
    if config := request.get("OnlineStoreConfig"):
        if ONLINE not in stores(record):
            raise errors.validation(f"FeatureGroup {record[_NAME]} has no {ONLINE}.")
        tiers = {
            kind: each.get("StorageType", "Standard")
            for kind, each in (("old", record["OnlineStoreConfig"]), ("new", config))
        }
        if "StorageType" in config and "InMemory" in tiers.values() and tiers["old"] != tiers["new"]:
            raise errors.validation("The StorageType InMemory cannot be changed, and not be changed to.")
        changes["OnlineStoreConfig"] = record["OnlineStoreConfig"] | config
    if "ThroughputConfig" in request:
        changes["ThroughputConfig"] = record["ThroughputConfig"] | request["ThroughputConfig"]
    if not changes:
        raise errors.validation("UpdateFeatureGroup needs FeatureAdditions, OnlineStoreConfig or ThroughputConfig.")
    return changes


@operation("DeleteFeatureGroup")
def delete_feature_group(server: Server, request: dict) -> None:
    """Forgets a group and its online store; what is in its offline store, or on the way to it, stays."""
    with server.store.transaction():
        record = require(server, request[_NAME])
        if record[_STATUS] in ("Creating", "Deleting"):
            raise errors.validation(f"FeatureGroup {record[_NAME]} is in status {record[_STATUS]}.")
        server.store.update(KIND, record[_NAME], **{_STATUS: "Deleting"})
    server.features.wake()


@operation("ListFeatureGroups")
def list_feature_groups(server: Server, request: dict) -> dict:
    """One page of summaries."""
    records = [
        record | {"_Offline": record.get("OfflineStoreStatus", {}).get("Status", "Disabled")}
        for record in server.store.list(KIND)
        if request.get("FeatureGroupStatusEquals", record[_STATUS]) == record[_STATUS]
    ]
    wanted = request.get("OfflineStoreStatusEquals")
    found = [record for record in records if wanted in (None, record["_Offline"])]
    if request.get("SortBy") == "OfflineStoreStatus":
        request = request | {"SortBy": "_Offline"}
    return listing.response("FeatureGroupSummaries", *listing.page(found, request, _NAME, _STATUS))
