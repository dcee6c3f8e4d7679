"""Conditions of a Condition step: checked when a pipeline is made, and evaluated while it runs."""

from __future__ import annotations

import operator

from helpers.local_sagemaker.pipelines.expressions import ExpressionError

_COMPARISONS = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_MEMBERS = {
    **dict.fromkeys(_COMPARISONS, ("LeftValue", "RightValue")),
    "In": ("QueryValue", "Values"),
    "Not": ("Condition",),
    "Or": ("Conditions",),
}


def check(conditions: object, where: str) -> None:
    """Refuses a list of conditions of which one is none.

    Raises:
        ExpressionError: says where.
    """
    if not isinstance(conditions, list) or not conditions:
        raise ExpressionError(f"{where}: a list of conditions is needed")
    for index, condition in enumerate(conditions):
        _check(condition, f"{where}[{index}]")


def _check(condition: object, where: str) -> None:
    kind = condition.get("Type") if isinstance(condition, dict) else None
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise ExpressionError(f"{where}: the condition {kind!r} is not known; known are {', '.join(_MEMBERS)}")
    if {*condition} != {"Type", *_MEMBERS[kind]}:
        raise ExpressionError(f"{where}: {kind} takes {' and '.join(_MEMBERS[kind])}")
    if kind == "In" and not isinstance(condition["Values"], list):
        raise ExpressionError(f"{where}.Values: a list is needed")
    if kind == "Not":
        _check(condition["Condition"], f"{where}.Condition")
    if kind == "Or":
        check(condition["Conditions"], f"{where}.Conditions")


def are_true(conditions: list[dict]) -> bool:
    """Whether all conditions hold; their values are resolved.

    Raises:
        ExpressionError: two values cannot be compared.
    """
    return all(map(_is_true, conditions))


def _is_true(condition: dict) -> bool:
    kind = condition["Type"]
    if kind == "Not":
        return not _is_true(condition["Condition"])
    if kind == "Or":
        return any(map(_is_true, condition["Conditions"]))
    if kind == "In":
        return any(_compare("Equals", condition["QueryValue"], value) for value in condition["Values"])
    return _compare(kind, condition["LeftValue"], condition["RightValue"])


def _compare(kind: str, left: object, right: object) -> bool:
    left, right = _alike(left, right), _alike(right, left)
    try:
        return _COMPARISONS[kind](left, right)
    except TypeError:
        raise ExpressionError(f"{kind} cannot compare {left!r} with {right!r}") from None


def _alike(value: object, other: object) -> object:
    """A text that stands for a number or a truth value, where it is compared with one: outputs of steps are texts."""
    if not isinstance(value, str) or isinstance(other, str):
        return value
    if isinstance(other, bool):
        return {"true": True, "false": False}.get(value.lower(), value)
    try:
        return float(value)
    except ValueError:
        return value
