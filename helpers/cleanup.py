"""Finds and deletes what a lab left behind on SageMaker, the billed things first."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from helpers.session import SageMakerHelper


@dataclass(frozen=True)
class Resource:
    """One thing that a lab made.

    Attributes:
        kind: "endpoint", "training job", "processing job", "transform job", "endpoint config" or "model".
        name: its name.
        billed: whether AWS bills it for as long as it exists.
    """

    kind: str
    name: str
    billed: bool


_RUNNING = {"StatusEquals": "InProgress"}
_LISTINGS = (
    ("endpoint", "list_endpoints", "Endpoints", "EndpointName", {}),
    ("training job", "list_training_jobs", "TrainingJobSummaries", "TrainingJobName", _RUNNING),
    ("processing job", "list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobName", _RUNNING),
    ("transform job", "list_transform_jobs", "TransformJobSummaries", "TransformJobName", _RUNNING),
    ("endpoint config", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", {}),
    ("model", "list_models", "Models", "ModelName", {}),
)
_BILLED = ("endpoint", "training job", "processing job", "transform job")
_DELETIONS = {
    "endpoint": ("delete_endpoint", "EndpointName"),
    "training job": ("stop_training_job", "TrainingJobName"),
    "processing job": ("stop_processing_job", "ProcessingJobName"),
    "transform job": ("stop_transform_job", "TransformJobName"),
    "endpoint config": ("delete_endpoint_config", "EndpointConfigName"),
    "model": ("delete_model", "ModelName"),
}


def find(aws: SageMakerHelper, prefix: str | None = None) -> list[Resource]:
    """Everything on SageMaker whose name begins with `prefix`, the session's own by default; the billed first."""
    prefix = aws.prefix if prefix is None else prefix
    found = []
    for kind, operation, key, name_key, filters in _LISTINGS:
        contains = {"NameContains": prefix} if prefix else {}
        for page in aws.sagemaker.get_paginator(operation).paginate(**contains, **filters):
            names = (summary[name_key] for summary in page[key])
            found.extend(Resource(kind, name, kind in _BILLED) for name in names if name.startswith(prefix))
    return found


def delete(aws: SageMakerHelper, resources: list[Resource], timeout: float = 600) -> None:
    """Delete resources, stop jobs, and wait until the endpoints among them are gone.

    Raises:
        RuntimeError: an endpoint's deletion failed; the message carries SageMaker's FailureReason.
        TimeoutError: an endpoint still exists after `timeout` seconds.
    """
    for resource in resources:
        operation, key = _DELETIONS[resource.kind]
        getattr(aws.sagemaker, operation)(**{key: resource.name})
    _wait_until_gone(aws, {resource.name for resource in resources if resource.kind == "endpoint"}, timeout)


def delete_lab(aws: SageMakerHelper) -> pd.DataFrame:
    """Delete all that this session's lab made: endpoints, jobs in progress, configurations, models, S3 objects.

    Returns:
        One row per deleted thing: kind, name, billed.

    Raises:
        ValueError: the session was opened without a lab.
    """
    import pandas as pd

    if not aws.lab:
        raise ValueError("connect(lab=...) names the lab whose resources are deleted; this session has none")
    resources = find(aws)
    delete(aws, resources)
    rows: list[dict[str, Any]] = [{"kind": r.kind, "name": r.name, "billed": r.billed} for r in resources]
    prefix = f"course/{aws.lab}/"
    if count := _delete_objects(aws, prefix):
        rows.append({"kind": "S3 objects", "name": f"{count} below s3://{aws.bucket}/{prefix}", "billed": True})
    return pd.DataFrame(rows, columns=["kind", "name", "billed"])


def _delete_objects(aws: SageMakerHelper, prefix: str) -> int:
    count = 0
    for page in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=aws.bucket, Prefix=prefix):
        keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
        if keys:
            aws.s3.delete_objects(Bucket=aws.bucket, Delete={"Objects": keys, "Quiet": True})
            count += len(keys)
    return count


def _wait_until_gone(aws: SageMakerHelper, endpoints: set[str], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while endpoints:
        pages = aws.sagemaker.get_paginator("list_endpoints").paginate()
        status = {found["EndpointName"]: found["EndpointStatus"] for page in pages for found in page["Endpoints"]}
        endpoints &= status.keys()
        for name in endpoints:
            if status[name] == "Failed":
                reason = aws.sagemaker.describe_endpoint(EndpointName=name).get("FailureReason", "no reason given")
                raise RuntimeError(f"endpoint {name} was not deleted: {reason}")
        if endpoints and time.monotonic() > deadline:
            raise TimeoutError(f"still not deleted after {timeout:g} s: {', '.join(sorted(endpoints))}")
        if endpoints:
            time.sleep(aws.poll_seconds)
