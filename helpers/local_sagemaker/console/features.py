"""The Feature Store: its groups, and one group with its features and its stores."""

from __future__ import annotations

from helpers.local_sagemaker import tags as tags_of
from helpers.local_sagemaker.console import addresses
from helpers.local_sagemaker.console.visits import Visit, page


@page("/features", "features.html")
def groups(visit: Visit) -> dict:
    """One page of the feature groups."""
    found = visit.one_page("ListFeatureGroups", "FeatureGroupSummaries", {"name": "NameContains"})
    return {
        "section": "features",
        "page": found | {"token": visit.query.get("token")},
        "next_address": lambda token: addresses.to("features", **found["filters"], token=token),
    }


@page("/features/{name}", "feature_group.html")
def group(visit: Visit) -> dict:
    """One feature group."""
    found = visit.require("DescribeFeatureGroup", FeatureGroupName=visit.path["name"])
    roles = {found["RecordIdentifierFeatureName"]: "record identifier", found["EventTimeFeatureName"]: "event time"}
    offline = found.get("OfflineStoreConfig", {}).get("S3StorageConfig", {})
    return {
        "section": "features",
        "trail": [("Features", addresses.to("features"))],
        "group": found,
        "tags": tags_of.of(visit.server.store, found["FeatureGroupArn"]),
        "features": [each | {"role": roles.get(each["FeatureName"], "")} for each in found["FeatureDefinitions"]],
        "offline": offline.get("ResolvedOutputS3Uri") or offline.get("S3Uri"),
        "is_online": found.get("OnlineStoreConfig", {}).get("EnableOnlineStore", False),
        "has_lineage": visit.has("QueryLineage"),
    }
