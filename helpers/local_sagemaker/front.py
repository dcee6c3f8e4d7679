"""The HTTP front: routes what comes in to SageMaker's control plane, to an endpoint, or to the other services."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import psutil
from aiohttp import web

from helpers.local_sagemaker import auto_scaling, disk_space, errors, members, model, routes, spot
from helpers.local_sagemaker.athena import athena_api
from helpers.local_sagemaker.console import front as console
from helpers.local_sagemaker.operations import OPERATIONS, RestHandler

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

LARGEST_REQUEST = 16 * 1024 * 1024
# S3's own bound on a PUT, where the machine has the memory for it: larger objects come in parts.
LARGEST_BODY = min(5 * 1024**3, psutil.virtual_memory().total // 16)
_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_S3_HOST = re.compile(r"([a-z0-9.-]+\.)?s3([.-][a-z0-9-]+)?\.amazonaws\.com(:\d+)?", re.IGNORECASE)


class Front:
    """Routes a request to SageMaker's control plane, to an endpoint, or to the other services."""

    server: Server

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_get("/_local/health", self.health)
        application.router.add_post("/_local/training-jobs/{name}/interruption", self.interrupt)
        for method, path, handler in routes.routes():
            application.router.add_route(method, path, self.rest(handler))
        for path, handler in console.routes():
            application.router.add_get(path, self.console(handler))
        application.router.add_route("*", "/{path:.*}", self.dispatch)
        return application

    async def health(self, request: web.Request) -> web.Response:
        """Answers whose server this is, without touching anything."""
        refuse_strangers(request)
        return web.json_response({"pid": os.getpid(), "home": str(self.server.home)})

    async def interrupt(self, request: web.Request) -> web.Response:
        """Takes the instances of a spot training job away."""
        refuse_strangers(request)
        name, body = request.match_info["name"], await request.read()
        return await self.respond("The interruption", spot.answer, self.server, name, body)

    def rest(self, handler: RestHandler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """An operation that has a path of its own, such as InvokeEndpoint."""

        async def answer(request: web.Request) -> web.StreamResponse:
            refuse_strangers(request)
            return await handler(self.server, request)

        return answer

    def console(self, handler: RestHandler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A page of the console, unless the request is one of S3's for a bucket of that name."""
        page = self.rest(handler)

        async def answer(request: web.Request) -> web.StreamResponse:
            is_page = console.is_for_console(request) and not _S3_HOST.fullmatch(request.headers.get("Host", ""))
            return await (page(request) if is_page else self.dispatch(request))

        return answer

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Everything else."""
        refuse_strangers(request)
        is_object = "X-Amz-Target" not in request.headers
        try:
            if (request.content_length or 0) > (LARGEST_BODY if is_object else LARGEST_REQUEST):
                raise web.HTTPRequestEntityTooLarge(LARGEST_BODY, request.content_length)
            return await self.route(request)
        except web.HTTPRequestEntityTooLarge:
            from helpers.local_sagemaker.aws import refusal

            message = "Your proposed upload exceeds the maximum allowed size on this machine."
            return refusal(request, errors.AwsError("EntityTooLarge", message))

    async def route(self, request: web.Request) -> web.StreamResponse:
        """A request of the JSON protocol to SageMaker, to auto scaling or to Athena; or one to another service."""
        target = request.headers.get("X-Amz-Target", "")
        if target.startswith("SageMaker."):
            return await self.control_plane(target.removeprefix("SageMaker."), await request.read())
        if target.startswith(auto_scaling.TARGET_PREFIX):
            operation, body = target.removeprefix(auto_scaling.TARGET_PREFIX), await request.read()
            return await self.respond(operation, auto_scaling.answer, self.server, operation, body)
        operation = target.removeprefix(athena_api.TARGET_PREFIX)
        if operation != target and operation in athena_api.OPERATIONS:
            return await self.respond(operation, athena_api.answer, self.server, operation, await request.read())
        return await self.server.aws.handle(request)

    async def control_plane(self, operation: str, body: bytes) -> web.Response:
        """One operation of the JSON 1.1 protocol."""
        return await self.respond(operation, self.answer, operation, body)

    async def respond(self, operation: str, answer: Callable[..., bytes], *arguments: object) -> web.Response:
        """What `answer` gives in a thread, or its error."""
        loop = asyncio.get_running_loop()
        try:
            status, body = 200, await loop.run_in_executor(self.server.threads, answer, *arguments)
        except errors.AwsError as error:
            status, body = error.status, errors.json_body(error)
        except Exception as error:
            logger.exception("%s failed", operation)
            if disk_space.is_full(error):
                full = disk_space.insufficient(self.server.home)
                return web.Response(
                    status=full.status, body=errors.json_body(full), content_type=errors.JSON_CONTENT_TYPE
                )
            message = f"{operation} failed inside the local SageMaker: see server.log in {self.server.home}."
            status, body = 500, errors.json_body(errors.AwsError("InternalFailure", message, 500))
        headers = {"x-amzn-RequestId": str(uuid.uuid4()), "Content-Type": errors.JSON_CONTENT_TYPE}
        return web.Response(status=status, body=body, headers=headers)

    def answer(self, operation: str, body: bytes) -> bytes:
        """The response's body.

        Raises:
            AwsError: what the client did wrong.
        """
        if not model.is_operation(operation):
            raise errors.AwsError("UnknownOperationException", f"Unknown operation {operation}.")
        if operation not in OPERATIONS:
            raise errors.validation(f"{operation} is not available in the local SageMaker.")
        request = model.parse(operation, body)
        members.check(operation, request)
        return model.serialize(operation, OPERATIONS[operation](self.server, request))


def refuse_strangers(request: web.BaseRequest) -> None:
    """Keeps web pages out: a browser may reach 127.0.0.1 for any site that it has open.

    Raises:
        HTTPForbidden: the Host is not this machine's (DNS rebinding), the call comes from another origin, or would
            become a WebSocket.
    """
    if request.headers.get("Upgrade", "").lower() == "websocket":
        raise web.HTTPForbidden(text="The local SageMaker has no WebSockets.")
    host = request.headers.get("Host", "")
    if not (_LOOPBACK_HOST.fullmatch(host) or _S3_HOST.fullmatch(host)):
        raise web.HTTPForbidden(text=f"The local SageMaker does not answer for the host {host!r}.")
    origin = request.headers.get("Origin")
    if (origin and origin != f"http://{host}") or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise web.HTTPForbidden(text="The local SageMaker does not answer web pages of another origin.")
