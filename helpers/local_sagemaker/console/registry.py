"""The model registry: groups, their versions with metrics and approval, and what is deployed from a version."""

from __future__ import annotations

import json
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker import arns, staging
from helpers.local_sagemaker import tags as tags_of
from helpers.local_sagemaker.console import addresses
from helpers.local_sagemaker.console.visits import MissingError, Visit, page

_METRICS_BYTES = 64 * 1024
_MOST_METRICS = 12
_COMPARED = 8  # versions whose metrics a group's page shows
_COMPARED_METRICS = 4


@page("/registry", "registry.html")
def groups(visit: Visit) -> dict:
    """One page of the groups, each with its latest version."""
    found = visit.one_page("ListModelPackageGroups", "ModelPackageGroupSummaryList", {"name": "NameContains"})
    for row in found["rows"]:
        row["latest"] = next(iter(_versions(visit, row["ModelPackageGroupName"], 1)), None)
    return {
        "section": "registry",
        "page": found | {"token": visit.query.get("token")},
        "next_address": lambda token: addresses.to("registry", **found["filters"], token=token),
    }


def _versions(visit: Visit, group: str, most: int) -> list[dict]:
    latest = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": most}
    return visit.read("ListModelPackages", ModelPackageGroupName=group, **latest)["ModelPackageSummaryList"]


@page("/registry/package", "package.html")
def package(visit: Visit) -> dict:
    """One version, or a package that has a name of its own."""
    arn = visit.query.get("arn", "")
    if not arn:
        raise MissingError("The address names no model package.")
    found = visit.require("DescribeModelPackage", ModelPackageName=arn)
    group = found.get("ModelPackageGroupName")
    trail = [("Registry", addresses.to("registry"))]
    if group:
        trail.append((group, addresses.to("registry", group)))
    return {
        "section": "registry",
        "trail": trail,
        "heading": f"{group}, version {found['ModelPackageVersion']}" if group else found["ModelPackageName"],
        "package": found,
        "tags": tags_of.of(visit.server.store, found["ModelPackageArn"]),
        "metrics": metrics(visit, found)[:_MOST_METRICS],
        "deployed": list(deployed_from(visit, found["ModelPackageArn"])),
        "has_lineage": visit.has("QueryLineage"),
    }


@page("/registry/{group}", "group.html")
def group(visit: Visit) -> dict:
    """One group: a page of its versions, the latest first."""
    name = visit.path["group"]
    found = visit.require("DescribeModelPackageGroup", ModelPackageGroupName=name)
    listed = visit.one_page(
        "ListModelPackages",
        "ModelPackageSummaryList",
        {"approval": "ModelApprovalStatus"},
        ModelPackageGroupName=name,
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    served = dict(_packages_of_endpoints(visit))
    columns: list[str] = []
    for position, row in enumerate(listed["rows"]):
        whole = visit.read("DescribeModelPackage", ModelPackageName=row["ModelPackageArn"])
        row["metrics"] = dict(metrics(visit, whole)) if position < _COMPARED else {}
        columns += [metric for metric in row["metrics"] if metric not in columns]
        row["description"] = whole.get("ModelPackageDescription")
        row["endpoints"] = [endpoint for endpoint, packages in served.items() if row["ModelPackageArn"] in packages]
    return {
        "section": "registry",
        "trail": [("Registry", addresses.to("registry"))],
        "group": found,
        "tags": tags_of.of(visit.server.store, found["ModelPackageGroupArn"]),
        "columns": columns[:_COMPARED_METRICS],
        "page": listed | {"token": visit.query.get("token")},
        "next_address": lambda token: addresses.to("registry", name, **listed["filters"], token=token),
    }


def metrics(visit: Visit, package: dict) -> list[tuple[str, float]]:
    """The numbers in a package's reports, such as auc; nothing where a report cannot be read."""
    found: list[tuple[str, float]] = []
    for kind in package.get("ModelMetrics", {}).values():
        for report in kind.values():
            try:
                content = json.loads(_head(visit, report["S3Uri"]))
            except (BotoCoreError, ClientError, staging.StagingError, ValueError, RecursionError):
                continue  # the page links to the report, which says what is wrong with it
            found += _numbers(content, "")
    return found


def _head(visit: Visit, uri: str) -> bytes:
    location = staging.parse(uri)
    request = {"Bucket": location.bucket, "Key": location.key, "Range": f"bytes=0-{_METRICS_BYTES - 1}"}
    return visit.server.client("s3").get_object(**request)["Body"].read()


def _numbers(content: object, name: str) -> Iterator[tuple[str, float]]:
    """The numbers of a report, and those under `value`, as the reports of SageMaker have them."""
    if isinstance(content, bool):
        return
    if isinstance(content, int | float):
        yield name, content
    elif isinstance(content, dict):
        if isinstance(content.get("value"), int | float):
            yield name, content["value"]
            return
        for key, value in content.items():
            yield from _numbers(value, key)


def _packages_of_endpoints(visit: Visit) -> Iterator[tuple[str, set[str]]]:
    """The endpoints, and the ARNs of the packages that their models are made of."""
    models = {record["ModelName"]: _packages_of(record) for record in visit.server.store.list("Model")}
    configs = {record["EndpointConfigName"]: record for record in visit.server.store.list("EndpointConfig")}
    for endpoint in visit.server.store.list("Endpoint"):
        config = configs.get(endpoint["EndpointConfigName"], {})
        named = {spec.get("ModelName") for spec in config.get("ProductionVariants", [])}
        yield endpoint["EndpointName"], set().union(*(models.get(name, set()) for name in named))


def _packages_of(model: dict) -> set[str]:
    containers = [*model.get("Containers", []), model.get("PrimaryContainer", {})]
    named = [each["ModelPackageName"] for each in containers if "ModelPackageName" in each]
    return {name if name.startswith("arn:") else arns.arn("model-package", name) for name in named}


def deployed_from(visit: Visit, package_arn: str) -> Iterator[tuple[str, str]]:
    """The models and endpoints that were made of a package: labels and addresses."""
    for record in visit.server.store.list("Model"):
        if package_arn in _packages_of(record):
            yield f"model {record['ModelName']}", addresses.to("models", record["ModelName"])
    for endpoint, packages in _packages_of_endpoints(visit):
        if package_arn in packages:
            yield f"endpoint {endpoint}", addresses.to("endpoints", endpoint)
