"""Versions of a model in a package group: registered, approved, rejected, listed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

    from helpers.session import SageMakerHelper

Approval = Literal["PendingManualApproval", "Approved", "Rejected"]
_COLUMNS = ["version", "status", "created", "comment", "model_data", "arn"]


def ensure_group(aws: SageMakerHelper, group: str, description: str = "") -> str:
    """Make a model package group if there is none of that name; return its ARN."""
    try:
        found = aws.sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    except aws.sagemaker.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        text = {"ModelPackageGroupDescription": description} if description else {}
        found = aws.sagemaker.create_model_package_group(ModelPackageGroupName=group, **text)
    return found["ModelPackageGroupArn"]


def register(
    aws: SageMakerHelper,
    group: str,
    image: str,
    model_data: str,
    metrics: Mapping[str, float] | None = None,
    metadata: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    content_types: Sequence[str] = ("text/csv",),
    status: Approval = "PendingManualApproval",
) -> str:
    """Register a model as the group's next version; return its ARN.

    The metrics are written to S3 and linked as the version's model quality, and copied into its metadata as text, where
    they can be searched.

    Args:
        aws: the lab's session.
        group: name of the group; made if it is missing.
        image: URI of the serving container.
        model_data: S3 URI of the `model.tar.gz`.
        metrics: by name, for example {"average_precision": 0.61}.
        metadata: further text by name, for example the hash of the training data.
        environment: variables for the container.
        content_types: media types that the model reads.
        status: approval to begin with.
    """
    ensure_group(aws, group)
    container = {"Image": image, "ModelDataUrl": model_data, "Environment": dict(environment or {})}
    instance_types = [aws.instance_type("endpoint")]
    specification = {
        "Containers": [container],
        "SupportedContentTypes": list(content_types),
        "SupportedResponseMIMETypes": ["application/json", "text/csv"],
        "SupportedRealtimeInferenceInstanceTypes": instance_types,
        "SupportedTransformInstanceTypes": instance_types,
    }
    texts = {name: f"{value:.6g}" for name, value in (metrics or {}).items()} | dict(metadata or {})
    return aws.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification=specification,
        ModelApprovalStatus=status,
        **({"ModelMetrics": _quality(aws, group, metrics)} if metrics else {}),
        **({"CustomerMetadataProperties": texts} if texts else {}),
    )["ModelPackageArn"]


def approve(aws: SageMakerHelper, version: str, comment: str) -> None:
    """Approve a version, by its ARN; EventBridge tells the change, and a deployment may start from it."""
    _decide(aws, version, "Approved", comment)


def reject(aws: SageMakerHelper, version: str, comment: str) -> None:
    """Reject a version, by its ARN: no model can be created from it."""
    _decide(aws, version, "Rejected", comment)


def versions(aws: SageMakerHelper, group: str, status: Approval | None = None) -> pd.DataFrame:
    """The versions of a group, the newest first.

    Args:
        aws: the lab's session.
        group: the group's name.
        status: only versions of this approval.

    Returns:
        One row per version: version (int), status, created (UTC), comment, model_data (S3 URI), arn, and one column per
        entry of its metadata, as text.
    """
    import pandas as pd

    chosen = {"ModelApprovalStatus": status} if status else {}
    pages = aws.sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group, **chosen)
    rows = []
    for summary in (summary for page in pages for summary in page["ModelPackageSummaryList"]):
        found = aws.sagemaker.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
        row = {
            "version": found["ModelPackageVersion"],
            "status": found["ModelApprovalStatus"],
            "created": pd.Timestamp(found["CreationTime"]).tz_convert("UTC"),
            "comment": found.get("ApprovalDescription", ""),
            "model_data": found["InferenceSpecification"]["Containers"][0].get("ModelDataUrl", ""),
            "arn": found["ModelPackageArn"],
        }
        rows.append(row | found.get("CustomerMetadataProperties", {}))
    further = sorted({column for row in rows for column in row} - set(_COLUMNS))
    table = pd.DataFrame(rows, columns=_COLUMNS + further)
    return table.sort_values("version", ascending=False, ignore_index=True)


def latest_approved(aws: SageMakerHelper, group: str, before: int | None = None) -> str:
    """ARN of the newest approved version of a group, of those below version number `before` if given.

    Raises:
        LookupError: no version of the group is approved.
    """
    approved = versions(aws, group, "Approved")
    if before is not None:
        approved = approved[approved["version"] < before]
    if approved.empty:
        older = "" if before is None else f" below version {before}"
        raise LookupError(f"no approved version in the group {group}{older}")
    return approved["arn"].iloc[0]


def _decide(aws: SageMakerHelper, version: str, status: Approval, comment: str) -> None:
    aws.sagemaker.update_model_package(ModelPackageArn=version, ModelApprovalStatus=status, ApprovalDescription=comment)


def _quality(aws: SageMakerHelper, group: str, metrics: Mapping[str, float]) -> dict:
    """ModelMetrics with the metrics in an object of their own."""
    key = "/".join(filter(None, ("course", aws.lab, "registry", aws.name(group[:20]), "statistics.json")))
    body = json.dumps({"metrics": {name: {"value": value} for name, value in metrics.items()}})
    aws.s3.put_object(Bucket=aws.bucket, Key=key, Body=body.encode(), ContentType="application/json")
    statistics = {"ContentType": "application/json", "S3Uri": f"s3://{aws.bucket}/{key}"}
    return {"ModelQuality": {"Statistics": statistics}}
