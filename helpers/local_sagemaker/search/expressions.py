"""Search expressions: filters, nested filters and sub-expressions, checked first and then asked of each record."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.search import properties
from helpers.local_sagemaker.search.properties import Type

Test = Callable[[dict], bool]

MOST_CONDITIONS = 50
_ORDERED: dict[str, Callable[[float, float], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_TEXT_ONLY = ("Contains", "In")
# More than one Contains is allowed on these alone.
_OFTEN_CONTAINED = ("DisplayName", "ExperimentName", "TrialName", "TrialComponentName", "Tags")
_OFTEN_CONTAINED += ("InputArtifacts", "OutputArtifacts")


def test_of(resource: str, expression: dict) -> Test:
    """The question whether a record satisfies a SearchExpression.

    Args:
        resource: of the request.
        expression: its SearchExpression.

    Raises:
        AwsError: it names a property that the resource lacks, compares what cannot be compared, or is too large.
    """
    filters = list(_filters(expression))
    if len(filters) > MOST_CONDITIONS:
        raise errors.validation(f"A search expression can have at most {MOST_CONDITIONS} conditions.")
    contained = [name for name, operator_ in filters if operator_ == "Contains"]
    if sum(name.partition(".")[0] not in _OFTEN_CONTAINED for name in contained) > 1:
        raise errors.validation("'CONTAINS' operator usage limit of 1 exceeded.")
    return _test(resource, expression)


def _filters(expression: dict) -> Iterator[tuple[str, str | None]]:
    for one in expression.get("Filters", []):
        yield one["Name"], one.get("Operator")
    for nested in expression.get("NestedFilters", []):
        for one in nested["Filters"]:
            yield one["Name"], one.get("Operator")
    for inner in expression.get("SubExpressions", []):
        yield from _filters(inner)


def _test(resource: str, expression: dict) -> Test:
    tests = [_filter(resource, one) for one in expression.get("Filters", [])]
    tests += [_nested(resource, one) for one in expression.get("NestedFilters", [])]
    tests += [_test(resource, inner) for inner in expression.get("SubExpressions", [])]
    if not tests:
        raise errors.validation("A search expression needs at least one filter, nested filter or subexpression.")
    together = any if expression.get("Operator") == "Or" else all
    return lambda record: together(test(record) for test in tests)


def _nested(resource: str, nested: dict) -> Test:
    """Whether one item of a list satisfies all filters; their names begin with the list's."""
    name = nested["NestedPropertyName"]
    if properties.require_type(resource, name) is not Type.WHOLE:
        raise errors.validation(f"NestedPropertyName {name} is not a property with properties of its own.")
    tests = []
    for one in nested["Filters"]:
        if not one["Name"].lower().startswith(f"{name}.".lower()):
            raise errors.validation(f"The name of a nested filter must begin with {name}, got {one['Name']}.")
        tests.append(_filter(resource, one, one["Name"][len(name) + 1 :]))
    return lambda record: any(all(test(item) for test in tests) for item in properties.members(record, name))


def _filter(resource: str, one: dict, place: str | None = None) -> Test:
    """Whether a property has a value; `place` is its name in what is asked, where that is not the whole record."""
    name, value = one["Name"], one.get("Value")
    kind, place = properties.require_type(resource, name), place or name
    chosen = one.get("Operator") or ("Exists" if value is None else "Equals")
    if chosen in ("Exists", "NotExists"):
        return lambda record: bool(properties.values(record, place)) is (chosen == "Exists")
    if value is None:
        raise errors.validation(f"The filter of {name} needs a Value for the operator {chosen}.")
    if kind is Type.WHOLE:
        raise errors.validation(f"The property {name} can only be asked for with Exists and NotExists.")
    if chosen in _ORDERED and kind in (Type.TEXT, Type.SWITCH):
        raise errors.validation(f"Operator {chosen} is not supported for the {kind} property {name}.")
    if chosen in _TEXT_ONLY and kind not in (Type.TEXT, Type.LOOSE):
        raise errors.validation(f"Operator {chosen} is not supported for the {kind} property {name}.")
    matches = _comparison(name, kind, "Equals" if chosen == "NotEquals" else chosen, value)
    wanted = chosen != "NotEquals"
    return lambda record: any(map(matches, properties.values(record, place))) is wanted


def _comparison(name: str, kind: Type, chosen: str, wanted: str) -> Callable[[object], bool]:
    if chosen == "In":
        listed = {each.strip() for each in wanted.split(",")}
        return lambda value: str(value) in listed
    if chosen == "Contains":
        return lambda value: wanted in str(value)
    if kind is Type.TEXT:
        return lambda value: value == wanted
    if kind is Type.SWITCH:
        return lambda value: str(value).lower() == wanted.lower()
    if kind is Type.LOOSE:
        return _loose(chosen, wanted)
    bound = _time(name, wanted) if kind is Type.TIME else properties.number(wanted)
    if bound is None:
        raise errors.validation(f"The value of the numerical property {name} must be a number, got {wanted!r}.")
    compare = _ORDERED.get(chosen, operator.eq)
    return lambda value: (found := properties.number(value)) is not None and compare(found, bound)


def _loose(chosen: str, wanted: str) -> Callable[[object], bool]:
    """Hyperparameters are text: a number is compared as one, an integer with what stands before the point."""
    bound = properties.number(wanted)
    whole = bound is not None and "." not in wanted and "e" not in wanted.lower()
    compare = _ORDERED.get(chosen, operator.eq)

    def matches(value: object) -> bool:
        found = properties.number(value)
        if bound is None or found is None:
            return chosen == "Equals" and str(value) == wanted
        return compare(int(found) if whole else found, bound)

    return matches


def _time(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = (
            f"The value of the timestamp property {name} must be of the format YYYY-mm-dd'T'HH:MM:SS, got {text!r}."
        )
        raise errors.validation(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
