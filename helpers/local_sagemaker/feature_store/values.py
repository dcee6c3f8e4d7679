"""What a record may hold: types, collections, event times and times to live.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-quotas.html (types, formats of event times),
https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-collection-types.html,
https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-time-to-live.html
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from helpers.local_sagemaker import errors

Value = str | list[str]
_ISO_8601 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_SECONDS = {"Seconds": 1, "Minutes": 60, "Hours": 3600, "Days": 86_400, "Weeks": 604_800}
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1


def check(group: dict, features: list[dict]) -> dict[str, Value]:
    """The values of a record by feature, in the order of the group's definitions.

    Args:
        group: the feature group's record.
        features: a `Record` of PutRecord.

    Raises:
        AwsError: `ValidationException`; a feature is unknown, given twice or of another type, or one that every record
            needs is missing.
    """
    definitions = {definition["FeatureName"]: definition for definition in group["FeatureDefinitions"]}
    values: dict[str, Value] = {}
    for feature in features:
        name = feature["FeatureName"]
        if name not in definitions:
            raise errors.validation(f"FeatureName {name} does not exist in FeatureGroup {group['FeatureGroupName']}.")
        if name in values:
            raise errors.validation(f"FeatureName {name} is given twice in the record.")
        values[name] = _value(definitions[name], feature)
    for needed in (group["RecordIdentifierFeatureName"], group["EventTimeFeatureName"]):
        if not values.get(needed):
            raise errors.validation(f"Missing required feature value: {needed}")
    event_time(group, values[group["EventTimeFeatureName"]])
    return {name: values[name] for name in definitions if name in values}


def _value(definition: dict, feature: dict) -> Value:
    """The value of one feature, which goes with its definition."""
    name, collection = definition["FeatureName"], definition.get("CollectionType")
    if ("ValueAsString" in feature) == ("ValueAsStringList" in feature):
        raise errors.validation(f"FeatureName {name} needs either ValueAsString or ValueAsStringList.")
    if ("ValueAsStringList" in feature) != bool(collection):
        wanted = "ValueAsStringList" if collection else "ValueAsString"
        raise errors.validation(f"FeatureName {name} must have a {wanted}.")
    texts = feature["ValueAsStringList"] if collection else [feature["ValueAsString"]]
    for text in texts:
        if not _has_type(definition["FeatureType"], text):
            raise errors.validation(
                f"Feature value {text!r} of FeatureName {name} is not of its type {definition['FeatureType']}."
            )
    if not collection:
        return texts[0]
    if collection == "Vector" and len(texts) != (size := definition["CollectionConfig"]["VectorConfig"]["Dimension"]):
        raise errors.validation(f"FeatureName {name} is a vector of {size} elements, got {len(texts)}.")
    return list(dict.fromkeys(texts)) if collection == "Set" else texts


def _has_type(kind: str, text: str) -> bool:
    try:
        if kind == "Integral":
            return bool(_INTEGER.fullmatch(text)) and _LEAST_INTEGER <= int(text) <= _MOST_INTEGER
        return kind == "String" or ("_" not in text and not math.isnan(float(text)))
    except ValueError:
        return False


def event_time(group: dict, text: str) -> float:
    """An event time in epoch seconds: Unix time where the feature is Fractional, else ISO-8601.

    Raises:
        AwsError: `ValidationException`; it is in neither form.
    """
    name = group["EventTimeFeatureName"]
    kind = next(each["FeatureType"] for each in group["FeatureDefinitions"] if each["FeatureName"] == name)
    try:
        if kind == "Fractional":
            return datetime.fromtimestamp(float(text), UTC).timestamp()
        if _ISO_8601.fullmatch(text):
            return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        pass  # as for a text in another form
    form = "Unix time in seconds" if kind == "Fractional" else "ISO-8601, such as 2026-01-31T23:59:59Z"
    raise errors.validation(f"EventTime feature {name} must be in the form {form}, got {text!r}.")


def expiry(moment: float, ttl: dict | None) -> float | None:
    """When a record of an event time expires, in epoch seconds; None without a TtlDuration."""
    return moment + ttl["Value"] * _SECONDS[ttl["Unit"]] if ttl else None


def iso(moment: float) -> str:
    """Epoch seconds in ISO-8601."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
