"""InvokeEndpoint: routes a request to a worker of a variant and passes the answer back.

Everything here runs on the event loop: no thread, no database and no copy of the body on the way.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from helpers.local_sagemaker import component_hosts, containers, invocations
from helpers.local_sagemaker.deployments import Deployment, Variant
from helpers.local_sagemaker.errors import LONGEST_MESSAGE, InvocationError
from helpers.local_sagemaker.invocations import (
    CUSTOM_ATTRIBUTES,
    INFERENCE_COMPONENT,
    TARGET_CONTAINER,
    TARGET_MODEL,
    Answer,
)
from helpers.local_sagemaker.operations import rest_operation
from helpers.local_sagemaker.serverless import ColdStartError, ThrottledError

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.containers import Container
    from helpers.local_sagemaker.workers import Worker

MAX_BODY_BYTES = Variant.max_body_bytes
READY_SECONDS = 30.0  # an invocation waits this long for a worker that is being started again
PREFIX = "X-Amzn-SageMaker-"
FORWARDED = (
    "Content-Type",
    "Accept",
    CUSTOM_ATTRIBUTES,
    f"{PREFIX}Inference-Id",
    TARGET_CONTAINER,
    TARGET_MODEL,
    INFERENCE_COMPONENT,
)
REFUSED = {
    f"{PREFIX}Enable-Explanations": "it is for endpoints with a ClarifyExplainerConfig",
    f"{PREFIX}Session-Id": "it is for endpoints with a stateful model",
}
LONGEST = {CUSTOM_ATTRIBUTES: 1024, TARGET_MODEL: 1024, f"{PREFIX}Inference-Id": 64}


@rest_operation("InvokeEndpoint")
async def invoke_endpoint(server: Server, request: web.Request) -> web.Response:
    try:
        return await _invoke(server, request, request.match_info["EndpointName"])
    except InvocationError as error:
        return refusal(error)


def refusal(error: InvocationError) -> web.Response:
    """The error as it goes over the wire."""
    headers = {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": error.code,
        "x-amzn-RequestId": str(uuid.uuid4()),
    }
    return web.Response(body=json.dumps(error.body).encode(), status=error.status, headers=headers)


async def _invoke(server: Server, request: web.Request, endpoint: str) -> web.Response:
    began = time.perf_counter()
    require_endpoint(server, endpoint)
    headers = forwarded_headers(request)
    body = await read_body(request, longest_body(server, endpoint))
    target = request.headers.get(f"{PREFIX}Target-Variant")
    variant, asked, answer = await _answered(server, endpoint, target, body, headers)
    record = server.invocation_metrics.record
    record(variant, answer.status, time.perf_counter() - asked, asked - began)
    if variant.direct:
        _add_container_metrics(variant, answer, asked - began)
    if answer.failed:
        raise model_error(server, variant, answer.container, answer.status, answer.body.decode(errors="replace"))
    if variant.capture is not None:
        server.data_capture.record(variant.capture, headers, body, answer.headers, answer.body)
    return web.Response(body=answer.body, status=answer.status, headers=response_headers(variant, answer.headers))


def _add_container_metrics(variant: Variant, answer: Answer, overhead_seconds: float) -> None:
    """What CloudWatch says about a container that is invoked directly, besides its latency."""
    counted = {
        "Invocations": 1,
        "Invocation4XXErrors": 400 <= answer.status < 500,
        "Invocation5XXErrors": answer.status >= 500 or answer.status == 0,
    }
    name = answer.container.name
    variant.add_metrics("None", container=name, **counted)
    variant.add_metrics("Microseconds", container=name, OverheadLatency=overhead_seconds * 1e6)


async def _answered(
    server: Server, endpoint: str, target: str | None, body: bytes, headers: dict[str, str]
) -> tuple[Variant, float, Answer]:
    """Which variant answered, since when it was asked, and its answer."""
    deadline = time.monotonic() + READY_SECONDS
    shadowed = False
    while True:
        deployment, variant, worker = await choose(server, endpoint, target, deadline, headers)
        if deployment.shadow is not None and not shadowed:
            deployment.shadow.copy(server, body, headers)
            shadowed = True
        asked, answer = time.perf_counter(), None
        try:
            answer = await invocations.ask(variant, worker, body, headers)
            return variant, asked, answer
        except aiohttp.ClientConnectorError:  # the process has just ended, and nothing was sent to it
            await asyncio.sleep(containers.PING_SECONDS)
        finally:
            variant.release(worker, answered=answer is not None and answer.status != 0)


def require_endpoint(server: Server, endpoint: str) -> None:
    """Raises InvocationError when an endpoint is not in service."""
    if endpoint not in server.fleet.serving and endpoint not in server.fleet.recovering:
        raise InvocationError("ValidationError", f"Endpoint {endpoint} of account {server.account} not found.", 400)


async def choose(
    server: Server, endpoint: str, target: str | None, deadline: float, headers: Mapping[str, str]
) -> tuple[Deployment, Variant, Worker]:
    """A variant and a worker of it, claimed; waits for a worker or a server that is being started again.

    Whoever asks the worker says `variant.release(worker, ...)` afterwards.

    Raises:
        InvocationError: the endpoint, the variant or the container that the headers name is not there, no worker was
            ready before the deadline, or a serverless variant has no room.
    """
    while True:
        if deployment := server.fleet.answering(endpoint, target):
            if deployment.async_config is not None:
                raise InvocationError(
                    "ValidationError",
                    f"Endpoint {endpoint} of account {server.account} has an AsyncInferenceConfig: it can only receive "
                    "asynchronous invocations, by InvokeEndpointAsync.",
                    400,
                )
            variant = _variant(server, deployment, endpoint, target, headers)
            worker = await _claimed(server, variant, headers) if variant else None
            if worker:
                return deployment, variant, worker
        if time.monotonic() > deadline:
            raise InvocationError("ServiceUnavailable", f"No instance of endpoint {endpoint} is ready; try again.", 503)
        await asyncio.sleep(containers.PING_SECONDS)
        require_endpoint(server, endpoint)


async def _claimed(server: Server, variant: Variant, headers: Mapping[str, str]) -> Worker | None:
    began = time.perf_counter()
    if variant.direct or TARGET_CONTAINER in headers:
        _check_target_container(variant, headers.get(TARGET_CONTAINER))
    if variant.is_multi_model != (TARGET_MODEL in headers):
        raise _target_model_error(variant)
    try:
        return await variant.claim(headers)
    except ThrottledError:
        raise InvocationError("ThrottlingException", None, 400) from None  # AWS sends no message here
    except ColdStartError as error:
        server.invocation_metrics.record(variant, 0, 0.0, time.perf_counter() - began)
        raise model_error(server, variant, error.worker.containers[0], 0, str(error)) from error


def longest_body(server: Server, endpoint: str) -> int:
    """Bytes that a request to an endpoint may have."""
    deployment = server.fleet.serving.get(endpoint)
    return deployment.max_body_bytes if deployment else MAX_BODY_BYTES


async def read_body(request: web.Request, longest: int) -> bytes:
    """The request's body; one that is too long is not kept in memory.

    Raises:
        InvocationError: it is longer than `longest` bytes.
    """
    body = b""
    if (request.content_length or 0) <= longest:
        body = await request.read()
        if len(body) <= longest:
            return body
    raise InvocationError(
        "ValidationError",
        "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than "
        f"or equal to {longest}",
        400,
    )


def forwarded_headers(request: web.Request) -> dict[str, str]:
    """The headers that go on to the container.

    Raises:
        InvocationError: one is too long, or is for another kind of endpoint.
    """
    given = request.headers
    for header, purpose in REFUSED.items():
        if header in given:
            raise InvocationError("ValidationError", f"The header {header} is not valid here: {purpose}.", 400)
    forwarded = {header: given[header] for header in FORWARDED if header in given}
    for header, longest in LONGEST.items():
        if len(forwarded.get(header, "")) > longest:
            member = header.removeprefix(PREFIX).replace("-", "")
            raise InvocationError(
                "ValidationError",
                f"1 validation error detected: Value at '{member[0].lower()}{member[1:]}' failed to satisfy "
                f"constraint: Member must have length less than or equal to {longest}",
                400,
            )
    return forwarded


def _variant(
    server: Server, deployment: Deployment, endpoint: str, target: str | None, headers: Mapping[str, str]
) -> Variant | None:
    """The variant or the inference component to ask, None for a component that is on its way back after a restart."""
    if component := component_hosts.component_of(deployment.hosts_components, headers):
        return server.components.find(endpoint, component)
    if target is None:
        return deployment.pick()
    if target not in deployment.variants:
        raise InvocationError("ValidationError", f"Variant {target} of endpoint {endpoint} not found.", 400)
    return deployment.variants[target]


def _check_target_container(variant: Variant, hostname: str | None) -> None:
    """Raises InvocationError when a variant is not invoked directly but shall be, or the other way round."""
    name = variant.endpoint
    if not variant.direct:
        message = f"Endpoint {name} is not for direct invocation and does not support target container hostname header."
    elif hostname is None:
        message = f"Endpoint {name} is for direct invocation: a target container hostname header is missing."
    elif hostname not in variant.containers:
        message = f"Target container hostname {hostname} of endpoint {name} not found."
    else:
        return
    raise InvocationError("ValidationError", message, 400)


def _target_model_error(variant: Variant) -> InvocationError:
    if variant.is_multi_model:
        message = f"Request {uuid.uuid4()} is missing a target model header."
    else:
        message = f"Endpoint {variant.endpoint} is not a multi-model endpoint and does not support target model header."
    return InvocationError("ValidationError", message, 400)


def model_error(server: Server, variant: Variant, container: Container, status: int, message: str) -> InvocationError:
    """What AWS says when a container answers an error, or does not answer (status 0)."""
    side = "client" if 400 <= status < 500 else "server"
    message = message[:LONGEST_MESSAGE]
    shown = message[: LONGEST_MESSAGE - 400]
    group = variant.log_group
    return InvocationError(
        "ModelError",
        f'Received {side} error ({status}) from {container.name} with message "{shown}". See '
        f"https://{server.region}.console.aws.amazon.com/cloudwatch/home?region={server.region}#logEventViewer:"
        f"group={group} in account {server.account} for more information.",
        424,
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn=f"arn:aws:logs:{server.region}:{server.account}:log-group:{group}:log-stream:"
        f"{variant.name}/{container.log}",
    )


def response_headers(variant: Variant, answered: Mapping[str, str]) -> dict[str, str]:
    """What the client sees of a container's headers, and which variant it was."""
    headers = {
        "x-Amzn-Invoked-Production-Variant": variant.name,
        "x-amzn-RequestId": str(uuid.uuid4()),
        "Content-Type": answered.get("Content-Type", "application/octet-stream"),
    }
    if CUSTOM_ATTRIBUTES in answered:
        headers[CUSTOM_ATTRIBUTES] = answered[CUSTOM_ATTRIBUTES]
    return headers
