"""The operations Search and GetSearchSuggestions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from helpers.local_sagemaker import listing, model
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.search import expressions, properties, records

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

DEFAULT_PAGE = 10
MOST_SUGGESTIONS = 100
_SUGGESTED = ("Tags", "Metrics", "HyperParameters", "Parameters")


@operation("Search")
def search(server: Server, request: dict) -> dict:
    """One page of the records that satisfy an expression, and how many there are."""
    resource = request["Resource"]
    test = expressions.test_of(resource, request["SearchExpression"]) if "SearchExpression" in request else None
    sort_by, order = request.get("SortBy"), request.get("SortOrder", "Descending")
    if sort_by is not None:
        properties.require_type(resource, sort_by)
    # Nothing is shared with this account by others.
    every = [] if request.get("CrossAccountFilterOption") == "CrossAccount" else records.of(server, resource)
    found = []
    for record in every:
        view = records.searched(record)
        if _is_visible(view, request.get("VisibilityConditions", [])) and (test is None or test(view)):
            found.append((_position(view, sort_by or "LastModifiedTime"), record))
    found.sort(key=lambda pair: pair[0], reverse=order == "Descending")
    page, token = _page(found, request, order)
    member = properties.member_of(resource)
    return {
        "Results": [{member: record} for _, record in page],
        "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
        "NextToken": token,
    }


def _is_visible(view: dict, conditions: list[dict]) -> bool:
    """A tag that a condition names must have its value, where there is such a tag."""
    return all(
        condition.get("Value") in found
        for condition in conditions
        if (found := properties.values(view, condition.get("Key", "")))
    )


def _position(view: dict, sort_by: str) -> list:
    """Where a record stands: what lacks the property comes first, then numbers and times, then text."""
    found = properties.values(view, sort_by)
    value = found[0] if found else None
    number = None if value is None else properties.number(value)
    rank = [0, 0, ""] if value is None else [1, number, ""] if number is not None else [2, 0, str(value)]
    return [*rank, _identity(view)]


def _identity(view: dict) -> str:
    return json.dumps(
        sorted((name, value) for name, value in view.items() if name.endswith("Arn") or name == "PipelineVersionId")
    )


def _page(found: list[tuple[list, dict]], request: dict, order: str) -> tuple[list[tuple[list, dict]], str | None]:
    asked = {name: value for name, value in request.items() if name not in ("MaxResults", "NextToken")}
    if "NextToken" in request:
        last = listing.decode_token(request["NextToken"], [asked])
        found = [pair for pair in found if (pair[0] < last if order == "Descending" else pair[0] > last)]
    size = int(request.get("MaxResults") or DEFAULT_PAGE)
    token = listing.encode_token([asked], found[size - 1][0]) if len(found) > size else None
    return found[:size], token


@operation("GetSearchSuggestions")
def get_search_suggestions(server: Server, request: dict) -> dict:
    """Names of properties that begin with a hint: those of the resource, and those that its records really have."""
    hint = request.get("SuggestionQuery", {}).get("PropertyNameQuery", {}).get("PropertyNameHint", "").lower()
    names = sorted(name for name in {*_names(server, request["Resource"])} if name.lower().startswith(hint))
    return {"PropertyNameSuggestions": [{"PropertyName": name} for name in names[:MOST_SUGGESTIONS]]}


def _names(server: Server, resource: str) -> Iterator[str]:
    shapes = model.service()["shapes"]
    if record := shapes["SearchRecord"]["members"].get(properties.member_of(resource)):
        yield from shapes[record["shape"]]["members"]
    for found in records.of(server, resource):
        view = records.searched(found)
        for member in _SUGGESTED:
            yield from (f"{member}.{key}" for key in view.get(member, {}))
