"""Filters, order and pages of the List operations."""

import base64
import binascii
import json
import operator
from collections.abc import Iterable

from helpers.local_sagemaker import errors

MAX_RESULTS = 100
# Some operations call the filters of the creation time CreatedAfter and CreatedBefore.
_TIME_FILTERS = (("CreationTime",) * 2, ("CreationTime", "Created"), ("LastModifiedTime",) * 2)


def page(
    records: Iterable[dict],
    request: dict,
    name_field: str,
    status_field: str | None = None,
    default_order: str = "Descending",
) -> tuple[list[dict], str | None]:
    """One page of a List operation, and the token of the next (None after the last).

    Honours the members of the request that it has: NameContains, StatusEquals, CreationTimeAfter and -Before (or
    CreatedAfter and -Before), LastModifiedTimeAfter and -Before, SortBy (Name, CreationTime, LastModifiedTime, Status),
    SortOrder, MaxResults, NextToken. The pages stay right when resources come and go between two calls.

    Args:
        records: whole records; the members that the summary shape lacks are dropped when the response is written.
        request: the validated request.
        name_field: the record's name member, such as `ModelName`.
        status_field: the record's status member, such as `EndpointStatus`.
        default_order: the operation's default SortOrder.

    Raises:
        AwsError: the NextToken is not one of this listing.
    """
    sort_by = request.get("SortBy", "CreationTime")
    order = request.get("SortOrder", default_order)
    sort_field = {"Name": name_field, "Status": status_field or name_field}.get(sort_by, sort_by)

    def position(record: dict) -> list:
        return [record.get(sort_field, 0 if sort_field.endswith("Time") else ""), record[name_field]]

    found = [record for record in records if _matches(record, request, name_field, status_field)]
    found.sort(key=position, reverse=order == "Descending")
    if "NextToken" in request:
        last = decode_token(request["NextToken"], [sort_by, order])
        is_later = operator.lt if order == "Descending" else operator.gt
        found = [record for record in found if is_later(position(record), last)]
    size = int(request.get("MaxResults") or MAX_RESULTS)
    token = encode_token([sort_by, order], position(found[size - 1])) if len(found) > size else None
    return found[:size], token


def response(member: str, records: list[dict], token: str | None) -> dict:
    """The body of a List operation, such as `response("Models", *page(...))`."""
    return {member: records} | ({"NextToken": token} if token else {})


def _matches(record: dict, request: dict, name_field: str, status_field: str | None) -> bool:
    if request.get("NameContains", "").lower() not in record[name_field].lower():
        return False
    if status_field and request.get("StatusEquals", record.get(status_field)) != record.get(status_field):
        return False
    for time_field, prefix in _TIME_FILTERS:
        time = record.get(time_field, 0)
        if not request.get(f"{prefix}After", time - 1) < time < request.get(f"{prefix}Before", time + 1):
            return False
    return True


def encode_token(listing: list, last: list) -> str:
    """A NextToken: what is listed in which order, and the position after which the next page begins."""
    return base64.urlsafe_b64encode(json.dumps([listing, last]).encode()).decode()


def decode_token(token: str, listing: list) -> list:
    """The position in a NextToken.

    Raises:
        AwsError: it is no token, or one of another listing.
    """
    try:
        token_listing, last = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        raise errors.validation("Invalid NextToken.") from None
    if token_listing != listing:
        raise errors.validation("Invalid NextToken: it belongs to a listing in another order.")
    return last
