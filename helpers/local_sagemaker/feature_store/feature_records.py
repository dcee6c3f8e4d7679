"""The operations of `sagemaker-featurestore-runtime`: records are put, read and deleted."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from aiohttp import web

from helpers.local_sagemaker import errors, invoke, model
from helpers.local_sagemaker.errors import InvocationError
from helpers.local_sagemaker.feature_store import feature_groups, values
from helpers.local_sagemaker.feature_store.feature_data import OFFLINE, ONLINE, Version
from helpers.local_sagemaker.operations import rest_operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SERVICE = "sagemaker-featurestore-runtime"
_LONGEST_BODY = 16 * 2**20
_STATUSES = {"ResourceNotFound": 404, "ConflictException": 409}
_PAGE = 100  # of ListRecords
_UPDATABLE = ("Standard_V2", "InMemory")
Handler = Callable[["Server", dict], dict | None]


def _answers(name: str) -> Callable[[Handler], Handler]:
    """Registers a handler that gets the request's members, in a thread, and returns the response's.

    It raises `AwsError` for what the client did wrong.
    """

    def register(handler: Handler) -> Handler:
        @rest_operation(name)
        async def answer(server: Server, request: web.Request) -> web.Response:
            try:
                body = await invoke.read_body(request, _LONGEST_BODY)
                members = _members(name, request, body)
                run = asyncio.get_running_loop().run_in_executor
                response = await run(server.threads, handler, server, members)
            except InvocationError as error:
                return invoke.refusal(error)
            except errors.AwsError as error:
                return invoke.refusal(_as_of_runtime(error))
            headers = {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())}
            return web.Response(body=model.serialize(name, response, SERVICE), headers=headers)

        return handler

    return register


def _as_of_runtime(error: errors.AwsError) -> InvocationError:
    """The runtime API's own words for an error."""
    code = error.code if error.code in _STATUSES else "ValidationError"
    return InvocationError(code, error.message, _STATUSES.get(code, 400))


def _members(name: str, request: web.Request, body: bytes) -> dict:
    """The members of a request, from where botocore's model says that they are.

    Raises:
        AwsError: they break a constraint.
    """
    shapes = model.service(SERVICE)["shapes"]
    shape_name = model.service(SERVICE)["operations"][name]["input"]["shape"]
    try:
        members = dict(json.loads(body)) if body else {}
    except (ValueError, TypeError, RecursionError):
        raise errors.validation("The request body is not JSON.") from None
    for member, told in shapes[shape_name]["members"].items():
        wire = told.get("locationName", member)
        if told.get("location") == "uri":
            members[member] = request.match_info[wire]
        elif told.get("location") == "querystring" and wire in request.query:
            given = request.query.getall(wire)
            members[member] = given if shapes[told["shape"]]["type"] == "list" else given[0]
    return model.validate(shape_name, members, SERVICE)


@_answers("PutRecord")
def put_record(server: Server, request: dict) -> None:
    """Writes a version of a record to the stores that the group has, or to those that are named."""
    with server.store.transaction():  # a group is not deleted meanwhile
        group = _require_group(server, request["FeatureGroupName"])
        record = values.check(group, request["Record"])
        moment = values.event_time(group, record[group["EventTimeFeatureName"]])
        ttl = request.get("TtlDuration") or group.get("OnlineStoreConfig", {}).get("TtlDuration")
        identifier = record[group["RecordIdentifierFeatureName"]]
        version = Version(identifier, moment, record, expires=values.expiry(moment, ttl))
        server.features.data.put(group["FeatureGroupName"], version, _stores(group, request))


@_answers("BatchWriteRecord")
def batch_write_record(server: Server, request: dict) -> dict:
    """Writes records to several groups; those that cannot be written are told as errors."""
    failures = []
    for entry in request["Entries"]:
        ttl = {"TtlDuration": request["TtlDuration"]} if "TtlDuration" in request else {}
        try:
            put_record(server, ttl | entry)
        except errors.AwsError as error:
            code = _as_of_runtime(error).code
            failures.append({"Entry": entry, "ErrorCode": code, "ErrorMessage": error.message})
    return {"Errors": failures, "UnprocessedEntries": []}


@_answers("UpdateRecord")
def update_record(server: Server, request: dict) -> None:
    """Changes some features of a record that is there; its event time and its time to live stay, unless given.

    Raises:
        AwsError: `ResourceNotFound`, there is no such record; `ConflictException`, it has a later event time;
            `ValidationException`.
    """
    identifier = request["RecordIdentifierValueAsString"]
    with server.store.transaction():
        group = _require_online(server, request["FeatureGroupName"])
        name, time_feature = group["FeatureGroupName"], group["EventTimeFeatureName"]
        if group["OnlineStoreConfig"].get("StorageType") not in _UPDATABLE:
            raise errors.validation(f"UpdateRecord needs an OnlineStore of the StorageType {' or '.join(_UPDATABLE)}.")
        before = server.features.data.get(name, identifier)
        if before is None:
            raise errors.resource_not_found(f"FeatureGroup {name} has no record {identifier}.")
        given = {feature["FeatureName"]: feature for feature in request["Features"]}
        if "TtlDuration" in request and time_feature not in given:
            raise errors.validation(f"TtlDuration needs the EventTime feature {time_feature} in the request.")
        record = values.check(group, [*_features(before.values, without=given), *request["Features"]])
        moment = values.event_time(group, record[time_feature])
        if record[group["RecordIdentifierFeatureName"]] != identifier:
            raise errors.validation("The record identifier of a record cannot be changed.")
        if moment < before.event_time:
            raise errors.AwsError("ConflictException", "The EventTime is older than that of the record.")
        expires = before.expires and before.expires + moment - before.event_time
        if "TtlDuration" in request:
            expires = values.expiry(moment, request["TtlDuration"])
        server.features.data.put(name, Version(identifier, moment, record, expires), _stores(group, request))


@_answers("ListRecords")
def list_records(server: Server, request: dict) -> dict:
    """One page of the identifiers of a group's records."""
    group = _require_online(server, request["FeatureGroupName"])
    size, deleted = request.get("MaxResults", _PAGE), request.get("IncludeSoftDeletedRecords", False)
    found = server.features.data.identifiers(group["FeatureGroupName"], request.get("NextToken"), size + 1, deleted)
    more = {"NextToken": found[size - 1]} if len(found) > size else {}
    return {"RecordIdentifiers": found[:size]} | more


@_answers("DeleteRecord")
def delete_record(server: Server, request: dict) -> None:
    """Marks a record as deleted at an event time; HardDelete leaves nothing of it in the online store."""
    identifier, event_time = request["RecordIdentifierValueAsString"], request["EventTime"]
    hard = request.get("DeletionMode") == "HardDelete"
    with server.store.transaction():
        group = _require_group(server, request["FeatureGroupName"])
        named = {group["RecordIdentifierFeatureName"]: identifier, group["EventTimeFeatureName"]: event_time}
        marker = values.check(group, [{"FeatureName": name, "ValueAsString": text} for name, text in named.items()])
        version = Version(identifier, values.event_time(group, event_time), marker, deleted=True)
        server.features.data.put(group["FeatureGroupName"], version, _stores(group, request), hard)


@_answers("GetRecord")
def get_record(server: Server, request: dict) -> dict:
    """The latest version in the online store; nothing where there is none."""
    group = _require_online(server, request["FeatureGroupName"])
    names = _require_features(group, request.get("FeatureNames"))
    return _found(server, group, request["RecordIdentifierValueAsString"], names, request)


@_answers("BatchGetRecord")
def batch_get_record(server: Server, request: dict) -> dict:
    """Records of several groups; those that do not exist are left out, and groups that do not are told as errors."""
    records, failures = [], []
    for asked in request["Identifiers"]:
        for identifier in dict.fromkeys(asked["RecordIdentifiersValueAsString"]):
            told = {"FeatureGroupName": asked["FeatureGroupName"], "RecordIdentifierValueAsString": identifier}
            try:
                group = _require_online(server, asked["FeatureGroupName"])
                names = _require_features(group, asked.get("FeatureNames"))
            except errors.AwsError as error:
                worded = _as_of_runtime(error)
                failures.append(told | {"ErrorCode": worded.code, "ErrorMessage": error.message})
                continue
            if found := _found(server, group, identifier, names, request):
                records.append(told | found)
    return {"Records": records, "Errors": failures, "UnprocessedIdentifiers": []}


def _found(server: Server, group: dict, identifier: str, names: set[str], request: dict) -> dict:
    version = server.features.data.get(group["FeatureGroupName"], identifier)
    if version is None:
        return {}
    record = _features({name: value for name, value in version.values.items() if name in names})
    expires = version.expires if request.get("ExpirationTimeResponse") == "Enabled" else None
    return {"Record": record} | ({} if expires is None else {"ExpiresAt": values.iso(expires)})


def _features(record: dict[str, values.Value], without: Container[str] = ()) -> list[dict]:
    """The values of a record as the API has them."""
    return [
        {"FeatureName": name, "ValueAsStringList" if isinstance(value, list) else "ValueAsString": value}
        for name, value in record.items()
        if name not in without
    ]


def _require_group(server: Server, name: str) -> dict:
    group = feature_groups.require(server, name)
    if group["FeatureGroupStatus"] != "Created":
        raise errors.validation(
            f"FeatureGroup {group['FeatureGroupName']} is in status {group['FeatureGroupStatus']}, and must be Created."
        )
    return group


def _require_online(server: Server, name: str) -> dict:
    group = _require_group(server, name)
    if ONLINE not in feature_groups.stores(group):
        raise errors.validation(f"FeatureGroup {group['FeatureGroupName']} has no OnlineStore.")
    return group


def _require_features(group: dict, asked: list[str] | None) -> set[str]:
    names = {definition["FeatureName"] for definition in group["FeatureDefinitions"]}
    if unknown := [name for name in asked or () if name not in names]:
        raise errors.validation(f"FeatureNames {unknown} do not exist in FeatureGroup {group['FeatureGroupName']}.")
    return set(asked or names)


def _stores(group: dict, request: dict) -> list[str]:
    """The stores that are written."""
    there = feature_groups.stores(group)
    asked = request.get("TargetStores", there)
    if missing := [store for store in asked if store not in there]:
        raise errors.validation(f"FeatureGroup {group['FeatureGroupName']} has no {' and no '.join(missing)}.")
    if "TtlDuration" in request and ONLINE not in asked:
        raise errors.validation(f"TtlDuration goes with the {ONLINE}, and not with the {OFFLINE} alone.")
    return asked
