"""InvokeEndpointAsync: acknowledges a request that is on disk, and says where its answer will lie."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING

from aiohttp import web

from helpers.local_sagemaker import errors, invoke, model, staging
from helpers.local_sagemaker.invoke import InvocationError
from helpers.local_sagemaker.operations import rest_operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

RUNTIME = "sagemaker-runtime"
DEFAULT_TTL_SECONDS = 21_600
_KEPT = ("InputLocation", "ContentType", "Accept", "CustomAttributes", "InvocationTimeoutSeconds")


@rest_operation("InvokeEndpointAsync")
async def invoke_endpoint_async(server: Server, request: web.Request) -> web.Response:
    try:
        invoke.require_endpoint(server, request.match_info["EndpointName"])
        members = _members(request)
        body = await invoke.read_body(request, model.service(RUNTIME)["shapes"]["AsyncBodyBlob"]["max"])
        accept = asyncio.get_running_loop().run_in_executor(server.threads, _accept, server, members, body)
        details = await accept
    except InvocationError as error:
        return invoke.refusal(error)
    headers = {
        "X-Amzn-SageMaker-OutputLocation": details.get("OutputLocation"),
        "X-Amzn-SageMaker-FailureLocation": details.get("FailureLocation"),
    }
    return web.Response(
        status=202,
        body=json.dumps({"InferenceId": details["InferenceId"]}, separators=(",", ":")).encode(),
        headers={name: value for name, value in headers.items() if value}
        | {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())},
    )


def _members(request: web.Request) -> dict:
    """The request's members but the body, by the names and the constraints of botocore's model."""
    shapes = model.service(RUNTIME)["shapes"]
    members: dict = dict(request.match_info)
    for name, member in shapes["InvokeEndpointAsyncInput"]["members"].items():
        if member.get("location") == "header" and member["locationName"] in request.headers:
            value = request.headers[member["locationName"]]
            is_number = shapes[member["shape"]]["type"] == "integer" and value.isdecimal()
            members[name] = int(value) if is_number else value
    try:
        return model.validate("InvokeEndpointAsyncInput", members, RUNTIME)
    except errors.AwsError as error:
        raise _refused(error.message) from error


def _accept(server: Server, members: dict, body: bytes) -> dict:
    """Puts a request into the queue of its endpoint; what is settled with that."""
    if bool(body) == ("InputLocation" in members):
        raise _refused("Body and InputLocation are mutually exclusive. Provide exactly one of them.")
    try:
        if "InputLocation" in members:
            staging.parse(members["InputLocation"])
    except staging.StagingError as error:
        raise _refused(f"InputLocation: {error}.") from error
    endpoint = members["EndpointName"]
    with server.store.transaction():
        record = server.store.get("Endpoint", endpoint)
        if record is None or record["EndpointStatus"] in ("Creating", "Deleting", "Failed"):
            raise _refused(f"Endpoint {endpoint} of account {server.account} not found.")
        if "AsyncInferenceConfig" not in record:
            raise _refused(
                f"Endpoint {endpoint} of account {server.account} has no AsyncInferenceConfig: it can only receive "
                "synchronous invocations, by InvokeEndpoint."
            )
        details = _details(members, record["AsyncInferenceConfig"]["OutputConfig"])
        ttl = members.get("RequestTTLSeconds", DEFAULT_TTL_SECONDS)
        server.async_inference.accept(endpoint, details, body or None, ttl)
    return details


def _details(members: dict, output: dict) -> dict:
    stem = members.get("Filename") or str(uuid.uuid4())
    names = {
        "OutputLocation": (output.get("S3OutputPath"), members.get("Filename") or f"{stem}.out"),
        "FailureLocation": (output.get("S3FailurePath"), f"{stem}-error.out"),
    }
    details = {name: members[name] for name in _KEPT if name in members}
    details["InferenceId"] = members.get("InferenceId") or str(uuid.uuid4())
    for location, (path, name) in names.items():
        if path:
            extension = members.get("S3OutputPathExtension", "").strip("/")
            details[location] = str(staging.parse(path).below(*filter(None, (extension, name))))
    return details | {name: output[name] for name in ("KmsKeyId", "NotificationConfig") if name in output}


def _refused(message: str) -> InvocationError:
    return InvocationError("ValidationError", message, 400)
