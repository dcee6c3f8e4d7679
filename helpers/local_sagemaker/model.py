"""Requests and responses by botocore's own model of SageMaker: nothing about a shape is typed by hand."""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path

import botocore

from helpers.local_sagemaker import errors

_JSON_TYPES = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
    "list": list,
    "map": dict,
    "structure": dict,
}
_LONGEST_MATCHED = 65536


@cache
def service(name: str = "sagemaker") -> dict:
    """botocore's model of a service, without its documentation: `operations` and `shapes` by name."""
    versions = sorted((Path(botocore.__file__).parent / "data" / name).iterdir())
    model = json.loads(gzip.decompress((versions[-1] / "service-2.json.gz").read_bytes()))
    for shape in model["shapes"].values():
        shape.pop("documentation", None)
        for member in shape.get("members", {}).values():
            member.pop("documentation", None)
    for operation in model["operations"].values():
        operation.pop("documentation", None)
    return model


def is_operation(name: str) -> bool:
    """Whether SageMaker has an operation of this name."""
    return name in service()["operations"]


def parse(operation: str, body: bytes, service_name: str = "sagemaker") -> dict:
    """The request in a body of the JSON 1.1 protocol, validated; unknown members and nulls are dropped.

    Raises:
        AwsError: `SerializationException` for what is no JSON or has a wrong type; `ValidationException` that lists
            every broken constraint.
    """
    try:
        request = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise errors.AwsError("SerializationException", "The request body is not JSON.") from None
    return validate(service(service_name)["operations"][operation]["input"]["shape"], request, service_name)


def validate(shape_name: str, request: object, service_name: str = "sagemaker") -> dict:
    """The request with what its shape knows.

    Raises:
        AwsError: as in `parse`.
    """
    faults: list[str] = []
    clean = _Validation(service(service_name)["shapes"], faults).visit(shape_name, request, "")
    if faults:
        plural = "s" if len(faults) > 1 else ""
        raise errors.validation(f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}")
    return clean


def serialize(operation: str, response: dict | None, service_name: str = "sagemaker") -> bytes:
    """The body of a response: the members of the output shape, without absent ones and empty structures."""
    output = service(service_name)["operations"][operation].get("output")
    if output is None:
        return b""
    return json.dumps(_prune(service(service_name)["shapes"], output["shape"], response or {})).encode()


def _prune(shapes: dict, shape_name: str, value: object) -> object:
    shape = shapes[shape_name]
    if shape["type"] == "structure":
        members = shape["members"]
        pruned = {
            name: _prune(shapes, members[name]["shape"], member)
            for name, member in value.items()
            if member is not None and name in members
        }
        return {
            name: member
            for name, member in pruned.items()
            if member != {} or shapes[members[name]["shape"]]["type"] != "structure"
        }
    if shape["type"] == "list":
        return [_prune(shapes, shape["member"]["shape"], member) for member in value]
    if shape["type"] == "map":
        return {key: _prune(shapes, shape["value"]["shape"], member) for key, member in value.items()}
    return value


class _Validation:
    """Walks a request along its shape and notes what breaks a constraint, in AWS's words."""

    def __init__(self, shapes: dict, faults: list[str]) -> None:
        self.shapes = shapes
        self.faults = faults

    def visit(self, shape_name: str, value: object, path: str) -> object:
        shape = self.shapes[shape_name]
        _check_type(shape, value)
        faults = _broken(shape, value)
        self.faults += [f"Value {_quoted(shape, value)} at '{path}' failed to satisfy constraint: {f}" for f in faults]
        if shape["type"] == "structure":
            return self._structure(shape, value, path)
        if shape["type"] == "list":
            return self._list(shape, value, path)
        if shape["type"] == "map":
            return self._map(shape, value, path)
        return value

    def _structure(self, shape: dict, value: dict, path: str) -> dict:
        prefix = f"{path}." if path else ""
        self.faults += [
            f"Value null at '{prefix}{_lower_first(name)}' failed to satisfy constraint: Member must not be null"
            for name in shape.get("required", ())
            if value.get(name) is None
        ]
        return {
            name: self.visit(member["shape"], value[name], prefix + _lower_first(name))
            for name, member in shape["members"].items()
            if value.get(name) is not None
        }

    def _list(self, shape: dict, value: list, path: str) -> list:
        member_name = shape["member"]["shape"]
        member = self.shapes[member_name]
        if member["type"] in ("structure", "list", "map"):
            return [self.visit(member_name, item, f"{path}.{i}.member") for i, item in enumerate(value, 1)]
        self._scalars(shape, value, member, value, path, "Member")
        return value

    def _map(self, shape: dict, value: dict, path: str) -> dict:
        self._scalars(shape, value, self.shapes[shape["key"]["shape"]], value, path, "Map keys")
        member_name = shape["value"]["shape"]
        member = self.shapes[member_name]
        if member["type"] in ("structure", "list", "map"):
            return {key: self.visit(member_name, item, f"{path}.{key}.member") for key, item in value.items()}
        self._scalars(shape, value, member, value.values(), path, "Map value")
        return value

    def _scalars(self, shape: dict, whole: object, member: dict, values: object, path: str, what: str) -> None:
        """AWS names the container, not the element, when a scalar inside it breaks a constraint."""
        for value in values:
            _check_type(member, value)
        if any(_broken(member, value) for value in values):
            constraints = ", ".join(_constraints(member))
            self.faults.append(
                f"Value {_quoted(member | shape, whole)} at '{path}' failed to satisfy constraint: "
                f"{what} must satisfy constraint: [{constraints}]"
            )


def _check_type(shape: dict, value: object) -> None:
    kind = shape["type"]
    is_stray_bool = isinstance(value, bool) and kind != "boolean"
    if isinstance(value, _JSON_TYPES[kind]) and not is_stray_bool:
        return
    if isinstance(value, dict | list):
        message = "Start of structure or map found where not expected."
    elif kind in ("structure", "list", "map"):
        message = f"Unexpected field type: expected a {kind}, got {_token(value)}."
    else:
        wanted = "an Integer" if kind == "integer" else f"a {kind.title()}"
        message = f"{_token(value)} can not be converted to {wanted}"
    raise errors.AwsError("SerializationException", message)


def _token(value: object) -> str:
    if value is None:
        return "NULL_VALUE"
    if isinstance(value, bool):
        return f"{value}_VALUE".upper()
    return "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"


def _broken(shape: dict, value: object) -> list[str]:
    """The constraints of one shape that a value breaks, without its members."""
    broken = []
    kind = shape["type"]
    if kind in ("string", "list", "map"):
        size = len(value)
        if size > shape.get("max", math.inf):
            broken.append(f"Member must have length less than or equal to {shape['max']}")
        if size < shape.get("min", 0):
            broken.append(f"Member must have length greater than or equal to {shape['min']}")
    elif kind in ("integer", "long", "float", "double"):
        if value > shape.get("max", math.inf):
            broken.append(f"Member must have value less than or equal to {shape['max']}")
        if value < shape.get("min", -math.inf):
            broken.append(f"Member must have value greater than or equal to {shape['min']}")
    if kind == "string":
        if "pattern" in shape and len(value) <= _LONGEST_MATCHED and not _pattern(shape["pattern"]).fullmatch(value):
            broken.append(f"Member must satisfy regular expression pattern: {shape['pattern']}")
        if "enum" in shape and value not in shape["enum"]:
            broken.append(f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
    return broken


def _constraints(shape: dict) -> list[str]:
    """All constraints of a scalar shape, as AWS lists them for the elements of a list or a map."""
    measure = "length" if shape["type"] == "string" else "value"
    constraints = []
    if "max" in shape:
        constraints.append(f"Member must have {measure} less than or equal to {shape['max']}")
    if "min" in shape:
        constraints.append(f"Member must have {measure} greater than or equal to {shape['min']}")
    if "pattern" in shape:
        constraints.append(f"Member must satisfy regular expression pattern: {shape['pattern']}")
    if "enum" in shape:
        constraints.append(f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
    return constraints


def _quoted(shape: dict, value: object) -> str:
    return "'***'" if shape.get("sensitive") else f"'{_java_string(value)}'"


def _java_string(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_java_string(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_java_string, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


@cache
def _pattern(java: str) -> re.Pattern:
    """A Java regular expression of botocore's model as a Python one."""
    python = re.sub(r"\$\{\d+,\d+\}", "$", java)
    python = python.replace(r"\z", r"\Z")
    python = python.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    return re.compile(_BRACKETED_OR_CLASS.sub(_translate_classes, python))


_CLASS = re.compile(r"\\p\{(\w+)\}")
_BRACKETED_OR_CLASS = re.compile(rf"\[(?:{_CLASS.pattern}|\\.|[^]\\])*\]|{_CLASS.pattern}")


def _translate_classes(match: re.Match) -> str:
    """A bracket expression with its classes written out; a class outside of one becomes one."""
    written_out = _CLASS.sub(lambda found: _character_class(found[1]), match[0])
    return written_out if match[0].startswith("[") else f"[{written_out}]"


@cache
def _character_class(name: str) -> str:
    """The inside of a bracket expression for a `\\p{...}` class: a Unicode category, or one of POSIX's."""
    posix = {"ASCII": r"\x00-\x7F", "Print": r"\x20-\x7E", "Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z", "Digit": "0-9"}
    if name in posix:
        return posix[name]
    points = (point for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point)).startswith(name))
    runs = groupby(enumerate(points), key=lambda pair: pair[1] - pair[0])
    spans = ([point for _, point in run] for _, run in runs)
    return "".join(f"\\U{span[0]:08X}-\\U{span[-1]:08X}" for span in spans)
