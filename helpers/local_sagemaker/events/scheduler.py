"""EventBridge Scheduler's operations and their protocol."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from helpers.local_sagemaker import errors, listing, model, tags
from helpers.local_sagemaker.events import schedules
from helpers.local_sagemaker.journal import Call

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SERVICE = "scheduler"


def answer(server: Server, call: Call) -> bytes:
    """The body of a response.

    Raises:
        AwsError: what the client did wrong.
    """
    for name, (method, path) in _paths().items():
        match = path.fullmatch(call.path)
        if match and method == call.method:
            request = model.validate(_input(name), _request(name, call, match), SERVICE)
            return model.serialize(name, OPERATIONS[name](server, request), SERVICE)
    raise errors.AwsError("UnknownOperationException", f"EventBridge Scheduler has no {call.method} {call.path}.")


def _input(operation: str) -> str:
    return model.service(SERVICE)["operations"][operation]["input"]["shape"]


@cache
def _paths() -> dict[str, tuple[str, re.Pattern]]:
    """Method and path of each operation, the members of the path by their names."""
    found = {}
    for name, operation in model.service(SERVICE)["operations"].items():
        path = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation["http"]["requestUri"])
        found[name] = operation["http"]["method"], re.compile(path)
    return found


def _request(operation: str, call: Call, match: re.Match) -> dict:
    """The members of a request, from its path, its query and its body."""
    try:
        request = json.loads(call.body or b"{}")
    except ValueError:
        raise errors.AwsError("SerializationException", "The request body is not JSON.") from None
    shapes, query = model.service(SERVICE)["shapes"], parse_qs(call.url.partition("?")[2])
    for name, member in shapes[_input(operation)]["members"].items():
        place = member.get("locationName", name)
        if member.get("location") == "uri":
            request[name] = unquote(match[place])
        elif member.get("location") == "querystring" and place in query:
            kind = shapes[member["shape"]]["type"]
            request[name] = query[place] if kind == "list" else query[place][0]
            if kind == "integer" and request[name].isdigit():
                request[name] = int(request[name])
    return request


def _list_schedules(server: Server, request: dict) -> dict:
    """ListSchedules."""
    if "GroupName" in request:
        schedules.require_group(server, request["GroupName"])
    found = [
        record
        for record in server.store.list(schedules.KIND)
        if record["Name"].startswith(request.get("NamePrefix", ""))
        and request.get("GroupName", record["GroupName"]) == record["GroupName"]
        and request.get("State", record["State"]) == record["State"]
    ]
    return listing.response("Schedules", *_page(found, request))


def _page(records: list[dict], request: dict) -> tuple[list[dict], str | None]:
    asked = {name: request[name] for name in ("MaxResults", "NextToken") if name in request}
    return listing.page(records, asked | {"SortBy": "Name"}, "_Key", default_order="Ascending")


def _create_schedule_group(server: Server, request: dict) -> dict:
    """CreateScheduleGroup."""
    name, now = request["Name"], time.time()
    arn = schedules.group_arn(name)
    record = {"Name": name, "Arn": arn, "State": "ACTIVE", "CreationDate": now, "LastModificationDate": now}
    with server.store.transaction():
        if name == schedules.DEFAULT_GROUP or server.store.get(schedules.GROUP_KIND, name):
            raise errors.AwsError("ConflictException", f"Schedule group {name} already exists.", 409)
        server.store.put(schedules.GROUP_KIND, name, record | {"_Key": name})
        tags.add(server.store, arn, request.get("Tags", []))
    return {"ScheduleGroupArn": arn}


def _get_schedule_group(server: Server, request: dict) -> dict:
    """GetScheduleGroup."""
    return schedules.require_group(server, request["Name"])


def _delete_schedule_group(server: Server, request: dict) -> None:
    """DeleteScheduleGroup: with its schedules."""
    name = request["Name"]
    if name == schedules.DEFAULT_GROUP:
        raise errors.validation("The default schedule group cannot be deleted.")
    with server.store.transaction():
        group = schedules.require_group(server, name)
        for record in server.store.list(schedules.KIND):
            if record["GroupName"] == name:
                server.store.delete(schedules.KIND, record["_Key"])
        server.store.delete(schedules.GROUP_KIND, name)
        tags.delete(server.store, group["Arn"])


def _list_schedule_groups(server: Server, request: dict) -> dict:
    """ListScheduleGroups."""
    default = schedules.require_group(server, schedules.DEFAULT_GROUP)
    groups = [default, *server.store.list(schedules.GROUP_KIND)]
    found = [group for group in groups if group["Name"].startswith(request.get("NamePrefix", ""))]
    return listing.response("ScheduleGroups", *_page(found, request))


def _tag_resource(server: Server, request: dict) -> None:
    """TagResource."""
    tags.add(server.store, _tagged(server, request), request["Tags"])


def _untag_resource(server: Server, request: dict) -> None:
    """UntagResource."""
    tags.delete(server.store, _tagged(server, request), request["TagKeys"])


def _list_tags_for_resource(server: Server, request: dict) -> dict:
    """ListTagsForResource."""
    return {"Tags": tags.of(server.store, _tagged(server, request))}


def _tagged(server: Server, request: dict) -> str:
    return schedules.require_group(server, request["ResourceArn"].partition(":schedule-group/")[2])["Arn"]


OPERATIONS: dict[str, Callable[[Server, dict], dict | None]] = {
    "CreateSchedule": schedules.create_schedule,
    "CreateScheduleGroup": _create_schedule_group,
    "DeleteSchedule": schedules.delete_schedule,
    "DeleteScheduleGroup": _delete_schedule_group,
    "GetSchedule": schedules.get_schedule,
    "GetScheduleGroup": _get_schedule_group,
    "ListScheduleGroups": _list_schedule_groups,
    "ListSchedules": _list_schedules,
    "ListTagsForResource": _list_tags_for_resource,
    "TagResource": _tag_resource,
    "UntagResource": _untag_resource,
    "UpdateSchedule": schedules.update_schedule,
}
