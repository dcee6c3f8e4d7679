"""Parameters of a pipeline: as its definition declares them, and the values that an execution gets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.pipelines.expressions import ExpressionError, text_of

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_TYPES = {"String": str, "Integer": int, "Float": (int, float), "Boolean": bool}
_TRUTH = {"true": True, "false": False}
_MOST = 200


@dataclass(frozen=True)
class Parameter:
    """A declared parameter; one without a default must be given to each execution."""

    name: str
    type: str
    default: str | int | float | bool | None = None
    allowed: tuple[str, ...] = ()


def declared(items: object) -> dict[str, Parameter]:
    """The parameters of a definition, by name.

    Raises:
        ExpressionError: one is malformed.
    """
    if not isinstance(items, list) or len(items) > _MOST:
        raise ExpressionError(f"Parameters: a list of at most {_MOST} parameters is needed")
    found: dict[str, Parameter] = {}
    for index, item in enumerate(items):
        parameter = _declared(item, f"Parameters[{index}]")
        if parameter.name in found:
            raise ExpressionError(f"Parameters[{index}]: the name {parameter.name!r} is used twice")
        found[parameter.name] = parameter
    return found


def _declared(item: object, where: str) -> Parameter:
    if not isinstance(item, dict) or not item.keys() <= {"Name", "Type", "DefaultValue", "EnumValues"}:
        raise ExpressionError(f"{where}: a parameter has Name, Type, DefaultValue and EnumValues, got {item!r}")
    name, kind, default = item.get("Name"), item.get("Type"), item.get("DefaultValue")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ExpressionError(f"{where}: {name!r} is no name of a parameter")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ExpressionError(f"{where}: {name} has the type {kind!r}; known are {', '.join(_TYPES)}")
    allowed = item.get("EnumValues") or []
    are_texts = isinstance(allowed, list) and all(isinstance(value, str) for value in allowed)
    if allowed and (kind != "String" or not are_texts):
        raise ExpressionError(f"{where}: EnumValues of {name} are for texts only")
    if default is not None and not _is_of(default, kind):
        raise ExpressionError(f"{where}: the default {default!r} of {name} is no {kind}")
    if default is not None and allowed and default not in allowed:
        raise ExpressionError(f"{where}: the default {default!r} of {name} is none of {', '.join(allowed)}")
    return Parameter(name, kind, default, tuple(allowed))


def _is_of(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "Boolean" or not isinstance(value, bool))


def values(parameters: dict[str, Parameter], given: list[dict]) -> dict[str, str | int | float | bool]:
    """The value of every parameter in an execution.

    Args:
        parameters: as declared.
        given: PipelineParameters of the request, texts by name.

    Raises:
        AwsError: `ValidationException`; a name is not declared, a value is missing or not of the type.
    """
    texts = {item["Name"]: item["Value"] for item in given}
    if unknown := [name for name in texts if name not in parameters]:
        raise errors.validation(f"Unknown parameters: [{', '.join(unknown)}]. The pipeline does not declare them.")
    missing = [p.name for p in parameters.values() if p.default is None and p.name not in texts]
    if missing:
        raise errors.validation(f"Parameters [{', '.join(missing)}] must be given: they have no default value.")
    return {p.name: _value(p, texts[p.name]) if p.name in texts else p.default for p in parameters.values()}


def _value(parameter: Parameter, text: str) -> str | int | float | bool:
    if parameter.allowed and text not in parameter.allowed:
        raise errors.validation(
            f"Parameter {parameter.name} must be one of [{', '.join(parameter.allowed)}], got {text!r}."
        )
    try:
        match parameter.type:
            case "Integer":
                return int(text)
            case "Float":
                return float(text)
            case "Boolean":
                return _TRUTH[text.lower()]
    except (ValueError, KeyError):
        raise errors.validation(f"Parameter {parameter.name} must be of type {parameter.type}, got {text!r}.") from None
    return text


def listed(values: dict) -> list[dict]:
    """Names and values as ListPipelineParametersForExecution tells them."""
    return [{"Name": name, "Value": text_of(value)} for name, value in values.items()]
