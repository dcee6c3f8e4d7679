"""Event patterns: which events a rule chooses.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from helpers.local_sagemaker.errors import AwsError

_COMPARISONS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}
_MISSING = object()
_OR = "$or"


def parse(text: str) -> dict:
    """A pattern that is valid.

    Raises:
        AwsError: `InvalidEventPatternException`; it says what is wrong.
    """
    try:
        pattern = json.loads(text)
    except ValueError as error:
        raise _invalid(f"it is not JSON: {error}") from None
    if not isinstance(pattern, dict) or not pattern:
        raise _invalid("Event pattern must be a JSON object with a field")
    _check(pattern)
    return pattern


def matches(pattern: dict, event: Any) -> bool:
    """Whether an event has, in each field of the pattern, one of the values that the pattern allows.

    Args:
        pattern: what `parse` gave.
        event: the event, or an object inside of it; of a list, one element must match.
    """
    if isinstance(event, list):
        return any(matches(pattern, element) for element in event)
    inside = event if isinstance(event, dict) else {}
    return all(_field_matches(name, allowed, inside) for name, allowed in pattern.items())


def _field_matches(name: str, allowed: Any, inside: dict) -> bool:
    if name == _OR:
        return any(matches(each, inside) for each in allowed)
    value = inside.get(name, _MISSING)
    if isinstance(allowed, dict):
        return matches(allowed, value)
    return any(_allows(condition, found) for condition in allowed for found in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    """What a field holds; nothing where it is missing or is an object."""
    if isinstance(value, list) and value:
        yield from (each for each in value if not isinstance(each, dict))
    else:
        yield _MISSING if isinstance(value, dict) else value


def _allows(condition: Any, value: Any) -> bool:
    if not isinstance(condition, dict):
        return value is not _MISSING and _is_same(condition, value)
    (name, argument), *_ = condition.items()
    if name == "exists":
        return (value is not _MISSING) == argument
    return value is not _MISSING and _OPERATORS[name](argument, value)


def _is_same(one: Any, other: Any) -> bool:
    """Equality, without Python's 1 == True."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _prefix(argument: Any, value: Any) -> bool:
    return _of_text(argument, value, str.startswith)


def _suffix(argument: Any, value: Any) -> bool:
    return _of_text(argument, value, str.endswith)


def _equals_ignoring_case(argument: str, value: Any) -> bool:
    return isinstance(value, str) and value.casefold() == argument.casefold()


def _of_text(argument: Any, value: Any, holds: Callable[[str, str], bool]) -> bool:
    if not isinstance(value, str):
        return False
    if isinstance(argument, dict):
        return holds(value.casefold(), argument["equals-ignore-case"].casefold())
    return holds(value, argument)


def _wildcard(argument: str, value: Any) -> bool:
    parts = re.findall(r"\\[*\\]|\*|[^*\\]+|\\", argument)
    expression = "".join(".*" if part == "*" else re.escape(re.sub(r"^\\(?=[*\\])", "", part)) for part in parts)
    return isinstance(value, str) and re.fullmatch(expression, value, re.DOTALL) is not None


def _numeric(argument: list, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return all(_COMPARISONS[sign](value, bound) for sign, bound in zip(argument[::2], argument[1::2], strict=True))


def _cidr(argument: str, value: Any) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(argument, strict=False)
    except ValueError:
        return False


def _anything_but(argument: Any, value: Any) -> bool:
    if not isinstance(argument, dict):
        return not any(_is_same(each, value) for each in (argument if isinstance(argument, list) else [argument]))
    (name, excluded), *_ = argument.items()
    texts = excluded if isinstance(excluded, list) else [excluded]
    return not any(_OPERATORS[name](text, value) for text in texts)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignoring_case,
    "wildcard": _wildcard,
    "numeric": _numeric,
    "cidr": _cidr,
    "anything-but": _anything_but,
}
_IN_ANYTHING_BUT = ("prefix", "suffix", "equals-ignore-case", "wildcard")


def _check(pattern: Any) -> None:
    for name, allowed in pattern.items():
        if name == _OR and isinstance(allowed, list):
            if not allowed or not all(isinstance(each, dict) and each for each in allowed):
                raise _invalid("$or must be a list of objects")
            for each in allowed:
                _check(each)
        elif isinstance(allowed, dict):
            if not allowed:
                raise _invalid("Empty objects are not allowed")
            _check(allowed)
        elif not isinstance(allowed, list):
            raise _invalid(f'"{name}" must be an object or an array')
        elif not allowed:
            raise _invalid("Empty arrays are not allowed")
        else:
            for condition in allowed:
                _check_condition(condition)


def _check_condition(condition: Any) -> None:
    if isinstance(condition, list):
        raise _invalid("Match value must be String, number, true, false, or null")
    if not isinstance(condition, dict):
        return
    if len(condition) != 1:
        raise _invalid("Only one key allowed in match expression")
    ((name, argument),) = condition.items()
    if name not in ("exists", *_OPERATORS):
        raise _invalid(f"Unrecognized match type {name}")
    if not _is_argument(name, argument):
        raise _invalid(f"Invalid value for the match type {name}: {json.dumps(argument)}")


def _is_argument(name: str, argument: Any) -> bool:
    if name == "exists":
        return isinstance(argument, bool)
    if name == "numeric":
        return (
            isinstance(argument, list)
            and len(argument) in (2, 4)
            and all(sign in _COMPARISONS for sign in argument[::2])
            and all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in argument[1::2])
        )
    if name == "anything-but":
        return _is_excluded(argument)
    if name in ("prefix", "suffix") and isinstance(argument, dict):
        return argument.keys() == {"equals-ignore-case"} and isinstance(argument["equals-ignore-case"], str)
    return isinstance(argument, str)


def _is_excluded(argument: Any) -> bool:
    if isinstance(argument, dict):
        ((name, excluded),) = argument.items() if len(argument) == 1 else (("", None),)
        texts = excluded if isinstance(excluded, list) else [excluded]
        return name in _IN_ANYTHING_BUT and bool(texts) and all(isinstance(text, str) for text in texts)
    values = argument if isinstance(argument, list) else [argument]
    return bool(values) and all(isinstance(value, str | int | float) for value in values)


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")
