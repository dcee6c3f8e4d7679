"""The cache of step results: what a result depends on, how old it may be, and where one is found."""

from __future__ import annotations

import hashlib
import json
import re
import time

from helpers.local_sagemaker.pipelines.expressions import ExpressionError
from helpers.local_sagemaker.pipelines.resources import RESOURCES

_DAY = 86_400
_BESIDE_ARGUMENTS = (
    *("FunctionArn", "SqsQueueUrl", "OutputParameters", "CheckType", "SkipCheck", "RegisterNewBaseline"),
    *("ModelPackageGroupName", "ModelName", "SuppliedBaselineStatistics", "SuppliedBaselineConstraints"),
)
# ISO 8601 and the looser ways in which AWS writes it, such as p30d, T12H and 30dT5h.
_DURATION = re.compile(
    r"P?(?=[\dT])(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?",
    re.IGNORECASE,
)
_SECONDS = (365 * _DAY, 30 * _DAY, 7 * _DAY, _DAY, 3600, 60, 1)


def check(config: object, where: str) -> None:
    """Refuses a malformed CacheConfig.

    Raises:
        ExpressionError: says where.
    """
    if not isinstance(config, dict) or not config.keys() <= {"Enabled", "ExpireAfter"}:
        raise ExpressionError(f"{where}: Enabled and ExpireAfter are known, got {config!r}")
    if not isinstance(config.get("Enabled"), bool):
        raise ExpressionError(f"{where}.Enabled: true or false is needed")
    if "ExpireAfter" in config:
        seconds(config["ExpireAfter"], f"{where}.ExpireAfter")


def seconds(duration: object, where: str = "ExpireAfter") -> int:
    """A duration of ISO 8601 in seconds; a year has 365 days and a month 30.

    Raises:
        ExpressionError: it is none.
    """
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if match is None:
        raise ExpressionError(f"{where}: {duration!r} is no duration of ISO 8601 such as P30D or PT1H")
    return sum(int(count or 0) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True))


def key(kind: str, body: dict, arguments: dict) -> str:
    """A digest of what the result of a step depends on.

    Args:
        kind: the step's type.
        body: the step, with resolved values.
        arguments: of its request, resolved.
    """
    resource = RESOURCES.get(kind)
    counted = {name: _at(arguments, name) for name in resource.cached} if resource else arguments
    parts = [counted, {name: body.get(name) for name in _BESIDE_ARGUMENTS}]
    return hashlib.sha256(json.dumps([kind, parts], sort_keys=True).encode()).hexdigest()


def _at(arguments: dict, way: str) -> object:
    value: object = arguments
    for name in way.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def latest(records: list[dict], digest: str, config: dict) -> dict | None:
    """The latest step that ran, succeeded, depends on the same and is not too old; None where there is none.

    Args:
        records: steps of this name in the pipeline's executions.
        digest: see `key`.
        config: the step's CacheConfig.
    """
    age = seconds(config["ExpireAfter"]) if "ExpireAfter" in config else float("inf")
    ran = [
        record
        for record in records
        if record["StepStatus"] == "Succeeded"
        and record.get("_cache_key") == digest
        and not record.keys() & {"CacheHitResult", "SelectiveExecutionResult"}
        and record["EndTime"] > time.time() - age
    ]
    return max(ran, key=lambda record: record["EndTime"], default=None)
