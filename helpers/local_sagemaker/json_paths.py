"""JSONPath as batch transform's filters have it: names, indexes, slices and the wildcard.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, reduce
from typing import Any

Step = Callable[[Any], Any]

_NAME = r"\.(?P<name>[^.\[\]'\"*\s]+)"
_KEYS = r"""\[\s*(?P<keys>(?:'[^']*'|"[^"]*")(?:\s*,\s*(?:'[^']*'|"[^"]*"))*)\s*\]"""
_WILDCARD = r"(?P<wildcard>\.\*|\[\s*\*\s*\])"
_PLACE = r"(?:-?\d*:-?\d*|-?\d+)"
_PLACES = rf"\[\s*(?P<places>{_PLACE}(?:\s*,\s*{_PLACE})*)\s*\]"
_STEP = re.compile("|".join((_NAME, _KEYS, _WILDCARD, _PLACES)))


class JsonPathError(ValueError):
    """A path that is not one of the supported kind, or that selects what a document does not have."""


def select(path: str, document: Any) -> Any:
    """What a path selects of a document.

    One name or index gives the value itself; several names give an object of them; several indexes, a slice and the
    wildcard give a list, and what follows in the path is applied to each of its values.

    Raises:
        JsonPathError: the path is not supported, or the document lacks what it names.
    """
    return _select(steps(path), document)


@cache
def steps(path: str) -> tuple[tuple[Step, bool], ...]:
    """The steps of a path, each with whether it gives a list of results; `$` and the empty path have none.

    Raises:
        JsonPathError: the path is not supported.
    """
    if not path:
        return ()
    found, position = [], 1
    while path[0] == "$" and position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            break
        found.append(_step(match))
        position = match.end()
    if path[0] != "$" or position < len(path):
        raise JsonPathError(
            f"{path!r} is not supported: a path begins with $, followed by .name, ['name', ...], [index, ...], "
            "[start:end] or *"
        )
    return tuple(found)


def _select(remaining: tuple[tuple[Step, bool], ...], document: Any) -> Any:
    for number, (step, many) in enumerate(remaining, 1):
        document = step(document)
        if many:
            return [_select(remaining[number:], item) for item in document]
    return document


def _step(match: re.Match) -> tuple[Step, bool]:
    if match["name"]:
        return lambda document: _member(document, match["name"]), False
    if match["keys"]:
        keys = [key[1:-1] for key in re.findall(r"'[^']*'|\"[^\"]*\"", match["keys"])]
        if len(keys) == 1:
            return lambda document: _member(document, keys[0]), False
        return lambda document: {key: _member(document, key) for key in keys}, False
    if match["wildcard"]:
        return _values, True
    places = [place.strip() for place in match["places"].split(",")]
    if len(places) == 1 and ":" not in places[0]:
        return lambda document: _items(document, places[0])[0], False
    return lambda document: reduce(lambda found, place: found + _items(document, place), places, []), True


def _member(document: Any, key: str) -> Any:
    if not isinstance(document, dict) or key not in document:
        raise JsonPathError(f"there is no member {key!r}")
    return document[key]


def _values(document: Any) -> list:
    if isinstance(document, dict):
        return list(document.values())
    return _list(document)


def _items(document: Any, place: str) -> list:
    """The items at an index or in a slice."""
    items = _list(document)
    if ":" in place:
        start, end = (int(bound) if bound else None for bound in place.split(":"))
        return items[start:end]
    try:
        return [items[int(place)]]
    except IndexError:
        raise JsonPathError(f"there is no index {place}, the array has {len(items)} items") from None


def _list(document: Any) -> list:
    if not isinstance(document, list):
        raise JsonPathError("an index is applied to what is not an array")
    return document
