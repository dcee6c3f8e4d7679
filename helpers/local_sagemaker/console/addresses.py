"""Where the console shows what: addresses of pages by name, by ARN and by S3 URI."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

ROOT = "/console"
JOB_KINDS = ("training", "processing", "transform", "tuning")
_PAGES_OF_ARNS = {
    "endpoint": "endpoints",
    "training-job": "jobs/training",
    "processing-job": "jobs/processing",
    "transform-job": "jobs/transform",
    "hyper-parameter-tuning-job": "jobs/tuning",
    "pipeline": "pipelines",
    "model-package-group": "registry",
    "model": "models",
    "monitoring-schedule": "monitoring",
    "feature-group": "features",
}


def to(*parts: str, **query: object) -> str:
    """The address of a page: `to("endpoints", name)`, `to("s3", bucket, prefix=prefix)`; None is left out."""
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return "/".join((ROOT, *(quote(str(part), safe="") for part in parts))) + (f"?{urlencode(asked)}" if asked else "")


def of_uri(uri: object) -> str | None:
    """The S3 page of an `s3://` URI, or None for anything else."""
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]+)/?(.*)", uri, re.DOTALL) if isinstance(uri, str) else None
    return to("s3", match[1], prefix=match[2]) if match else None


def of_arn(arn: object) -> str | None:
    """The page of what an ARN of SageMaker or CloudWatch names, or None where there is none."""
    parts = arn.split(":", 5) if isinstance(arn, str) else []
    if len(parts) != 6:
        return None
    if parts[2] == "cloudwatch" and parts[5].startswith("alarm:"):
        return to("alarms", "alarm", name=parts[5].removeprefix("alarm:"))
    kind, _, name = parts[5].partition("/")
    if kind == "pipeline" and "/execution/" in name:
        pipeline, _, execution = name.partition("/execution/")
        return to("pipelines", pipeline, execution)
    if kind == "model-package":
        return to("registry", "package", arn=arn)
    return to(*_PAGES_OF_ARNS[kind].split("/"), name) if kind in _PAGES_OF_ARNS else None
