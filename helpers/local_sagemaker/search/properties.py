"""Properties by which resources are searched: which there are, of what type, and their values in a record.

A property is a way through botocore's shape of the search record, such as `InputDataConfig.ChannelName`; the keys of
maps, tags and metrics are part of it: `HyperParameters.eta`, `Tags.lab`, `Metrics.validation:auc`. Case does not count
in the names of members.
"""

from __future__ import annotations

import math
from enum import StrEnum

from helpers.local_sagemaker import errors, model

MODEL = "Model"
_NUMBERS = ("integer", "long", "float", "double")
# What stands for a structure where a single value is asked for.
_VALUES = ("StringValue", "NumberValue", "Last", "Value")


class Type(StrEnum):
    """How the values of a property are compared."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "timestamp"
    SWITCH = "boolean"
    LOOSE = "hyperparameter"  # text that may be a number
    WHOLE = "structure"  # only there or not


def member_of(resource: str) -> str:
    """The member of SearchRecord for a resource of a request; the store has its records under the same kind."""
    return resource.removeprefix("Experiment") or resource


def require_type(resource: str, name: str) -> Type:
    """The type of a resource's property.

    Raises:
        AwsError: there is no such property.
    """
    record = model.service()["shapes"]["SearchRecord"]["members"].get(member_of(resource))
    found = _type(record["shape"], name) if record else None
    if found is None and resource == MODEL:
        found = _type(MODEL, name)
    if found is None:
        raise errors.validation(f"Unknown property name: {name} is not a property of {resource}.")
    return found


def _type(shape_name: str, name: str) -> Type | None:
    first, _, rest = name.partition(".")
    if first.lower() == "tags":
        return Type.TEXT if rest else Type.WHOLE
    if first.lower() == "metrics" and shape_name in ("TrainingJob", "TrialComponent"):
        return Type.NUMBER if rest else Type.WHOLE
    return _below(shape_name, name)


def _below(shape_name: str, name: str) -> Type | None:
    shape = model.service()["shapes"][shape_name]
    kind = shape["type"]
    if kind == "list":
        return _below(shape["member"]["shape"], name)
    if not name:
        return _leaf(kind)
    if kind == "map":
        value = model.service()["shapes"][shape["value"]["shape"]]
        return Type.LOOSE if value["type"] == "string" or "StringValue" in value.get("members", {}) else Type.TEXT
    first, _, rest = name.partition(".")
    for member, of in shape.get("members", {}).items():
        if member.lower() == first.lower():
            return _below(of["shape"], rest)
    return None


def _leaf(kind: str) -> Type:
    if kind in _NUMBERS:
        return Type.NUMBER
    return {"string": Type.TEXT, "timestamp": Type.TIME, "boolean": Type.SWITCH}.get(kind, Type.WHOLE)


def values(record: object, name: str) -> list:
    """The values of a property in a record as `records.searched` makes it, from all lists that the way leads through.

    Of a structure that stands for one value, such as a parameter's, it is that.
    """
    return [
        next((found[member] for member in _VALUES if member in found), found) if isinstance(found, dict) else found
        for found in members(record, name)
    ]


def members(record: object, name: str) -> list:
    """What stands at the end of a way in a record, whatever it is."""
    if isinstance(record, list):
        return [value for item in record for value in members(item, name)]
    if not name:
        return [record]
    if not isinstance(record, dict):
        return []
    # The keys of maps have dots in them.
    ways = ((key, name[len(key) + 1 :]) for key in record if f"{name}.".lower().startswith(f"{key}.".lower()))
    return [value for key, rest in ways for value in members(record[key], rest)]


def number(value: object) -> float | None:
    """The number that a value is or spells, None where it does not."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
