"""InvokeEndpointWithResponseStream: passes on what a container sends, part by part as it sends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from helpers.local_sagemaker import containers, event_stream, invocations, invoke
from helpers.local_sagemaker.invocations import BrokenOffError
from helpers.local_sagemaker.invoke import InvocationError
from helpers.local_sagemaker.operations import rest_operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.containers import Container
    from helpers.local_sagemaker.deployments import Variant
    from helpers.local_sagemaker.workers import Worker

logger = logging.getLogger(__name__)

STREAM_SECONDS = 480.0  # a whole response; between two parts the variant's own timeout counts
MAX_CAPTURED_BYTES = 6_291_456
CONTENT_TYPE = f"{invoke.PREFIX}Content-Type"
ACCEPT = f"{invoke.PREFIX}Accept"


@rest_operation("InvokeEndpointWithResponseStream")
async def invoke_endpoint_with_response_stream(server: Server, request: web.Request) -> web.StreamResponse:
    try:
        return await _invoke(server, request, request.match_info["EndpointName"])
    except InvocationError as error:
        return invoke.refusal(error)


async def _invoke(server: Server, request: web.Request, endpoint: str) -> web.StreamResponse:
    began = time.perf_counter()
    invoke.require_endpoint(server, endpoint)
    headers = invoke.forwarded_headers(request)
    headers.pop("Accept", None)  # that of the stream, which some SDKs send
    if ACCEPT in request.headers:
        headers["Accept"] = request.headers[ACCEPT]
    body = await invoke.read_body(request, invoke.longest_body(server, endpoint))
    target = request.headers.get(f"{invoke.PREFIX}Target-Variant")
    deadline = time.monotonic() + invoke.READY_SECONDS
    shadowed = False
    while True:
        deployment, variant, worker = await invoke.choose(server, endpoint, target, deadline, headers)
        if deployment.shadow is not None and not shadowed:
            deployment.shadow.copy(server, body, headers)
            shadowed = True
        container = worker.container(headers.get(invocations.TARGET_CONTAINER))
        exchange = _Exchange(server, request, variant, worker, container, began)
        try:
            return await exchange.run(headers, body)
        except aiohttp.ClientConnectorError:  # the process has just ended, and nothing was sent to it
            await asyncio.sleep(containers.PING_SECONDS)
        finally:
            variant.release(worker, answered=exchange.complete)


class _Exchange:
    """One request to a worker, and the answer of one of its containers on the way to the client."""

    def __init__(
        self,
        server: Server,
        request: web.Request,
        variant: Variant,
        worker: Worker,
        container: Container,
        began: float,
    ) -> None:
        self._server, self._request = server, request
        self._variant, self._worker, self._container = variant, worker, container
        self._began, self._asked = began, time.perf_counter()
        self._captured = bytearray()
        self.complete = False  # whether the worker's answer was read to its end

    async def run(self, headers: dict[str, str], body: bytes) -> web.StreamResponse:
        """The response, once all of it is sent.

        Raises:
            InvocationError: the container answered with an error, or did not begin to answer.
            ClientConnectorError: the process has ended, and nothing was sent to it.
        """
        timeout = aiohttp.ClientTimeout(total=STREAM_SECONDS, sock_read=self._variant.timeout)
        try:
            async with invocations.opened(self._worker, body, headers, timeout) as answer:
                if answer.status >= 400:
                    message = b"".join([chunk async for chunk in invocations.chunks(self._container, answer)])
                    self.complete = True
                    raise self._model_error(self._container, answer.status, message.decode(errors="replace"))
                response = await self._pass_on(answer)
                self.complete = answer.content.at_eof()
                self._record(answer.status)
        except BrokenOffError as error:
            raise self._model_error(error.container, error.status, str(error)) from error
        if self._variant.capture is not None and len(self._captured) <= MAX_CAPTURED_BYTES:
            captured = (headers, body, answer.headers, bytes(self._captured))
            self._server.data_capture.record(self._variant.capture, *captured)
        return response

    async def _pass_on(self, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = invoke.response_headers(self._variant, answer.headers)
        headers |= {CONTENT_TYPE: headers["Content-Type"], "Content-Type": event_stream.CONTENT_TYPE}
        response = web.StreamResponse(headers=headers)
        # When the client has gone, the answer is left unread: that tells the container.
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(self._request)
            async with contextlib.aclosing(self._frames(answer)) as frames:
                async for frame in frames:
                    await response.write(frame)
            await response.write_eof()
        return response

    async def _frames(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        is_first = True
        try:
            async for chunk in invocations.chunks(self._container, answer):
                if is_first:
                    self._add_latencies()
                is_first = False
                if self._variant.capture is not None and len(self._captured) <= MAX_CAPTURED_BYTES:
                    self._captured += chunk
                yield event_stream.event("PayloadPart", chunk)
        except BrokenOffError as error:
            self._add_metrics("None", MidStreamErrors=1)
            yield event_stream.exception("ModelStreamError", _stream_error(error))
        except Exception:
            logger.exception("a response of endpoint %s broke off", self._variant.endpoint)
            self._add_metrics("None", MidStreamErrors=1)
            failure = {"Message": "The local SageMaker failed: see its log."}
            yield event_stream.exception("InternalStreamFailure", failure)

    def _add_latencies(self) -> None:
        now = time.perf_counter()
        self._add_metrics(
            "Microseconds",
            FirstChunkLatency=(now - self._began) * 1e6,
            FirstChunkModelLatency=(now - self._asked) * 1e6,
            FirstChunkOverheadLatency=(self._asked - self._began) * 1e6,
        )

    def _model_error(self, container: Container, status: int, message: str) -> InvocationError:
        self._record(status)
        return invoke.model_error(self._server, self._variant, container, status, message)

    def _record(self, status: int) -> None:
        model_seconds, overhead_seconds = time.perf_counter() - self._asked, self._asked - self._began
        record = self._server.invocation_metrics.record
        record(self._variant, status, model_seconds, overhead_seconds)

    def _add_metrics(self, unit: str, **values: float) -> None:
        self._variant.add_metrics(unit, **values)


def _stream_error(error: BrokenOffError) -> dict[str, str]:
    if error.timed_out:
        return {"ErrorCode": "ModelInvocationTimeExceeded", "Message": str(error)}
    return {
        "ErrorCode": "StreamBroken",
        "Message": "The Transmission Control Protocol (TCP) connection between the client and the model was reset or "
        "closed.",
    }
