"""The HTTP front: one asyncio process that answers SageMaker itself and hands every other service to moto."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import shutil
import signal
import threading
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from aiohttp import web

from helpers.local_sagemaker import (
    alarm_watch,
    arns,
    async_inference,
    async_invoke,
    async_metrics,
    auto_scaling,
    component_fleet,
    data_capture,
    disk_space,
    endpoint_configs,
    endpoints,
    errors,
    fleet,
    inference_components,
    instance_metrics,
    invoke,
    job_runner,
    members,
    memory_limits,
    metrics,
    model,
    models,
    own_containers,
    processing,
    response_stream,
    routes,
    scaling,
    serverless,
    spot,
    state_changes,
    tags,
    training,
    transform,
    warm_pools,
)
from helpers.local_sagemaker.console import front as console
from helpers.local_sagemaker.events import bus, timetable
from helpers.local_sagemaker.lineage import actions, artifacts, associations, contexts, lineage_groups, query_lineage
from helpers.local_sagemaker.log_events import LogEvents
from helpers.local_sagemaker.metric_data import MetricData
from helpers.local_sagemaker.operations import OPERATIONS, RestHandler
from helpers.local_sagemaker.pipelines import engine, executions, pipelines
from helpers.local_sagemaker.registry import package_groups, packages
from helpers.local_sagemaker.state import Store
from helpers.local_sagemaker.tuning import tuner, tuning_jobs

if TYPE_CHECKING:
    from helpers.local_sagemaker.aws import Aws

logger = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 3600
SHUTDOWN_SECONDS = 1
MAX_HEADER_BYTES = 64 * 1024
CONTROL_PLANE_THREADS = 8
LARGEST_REQUEST = 16 * 1024 * 1024
# S3's own bound on a PUT, where the machine has the memory for it: larger objects come in parts.
LARGEST_BODY = min(5 * 1024**3, psutil.virtual_memory().total // 16)

# Importing them registers their operations.
OPERATION_MODULES = (
    actions,
    artifacts,
    associations,
    async_invoke,
    contexts,
    endpoint_configs,
    endpoints,
    executions,
    inference_components,
    invoke,
    lineage_groups,
    models,
    package_groups,
    packages,
    pipelines,
    processing,
    query_lineage,
    response_stream,
    tags,
    training,
    transform,
    tuning_jobs,
    warm_pools,
)
# In the order of their starts; they stop in the reverse.
_WITH_LIFE_CYCLE = (
    state_changes,
    bus,
    timetable,
    alarm_watch,
    metrics,
    data_capture,
    job_runner,
    memory_limits,
    serverless,
    async_inference,
    component_fleet,
    fleet,
    instance_metrics,
    async_metrics,
    scaling,
    engine,
    tuner,
)

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_S3_HOST = re.compile(r"([a-z0-9.-]+\.)?s3([.-][a-z0-9-]+)?\.amazonaws\.com(:\d+)?", re.IGNORECASE)


class Server:
    """What the handlers share: made once per process, on its event loop.

    Args:
        home: folder of the state, the artifacts and the logs.
        port: of 127.0.0.1, for the URL.
    """

    region = arns.REGION
    account = arns.ACCOUNT

    state_changes: state_changes.StateChanges
    event_buses: bus.EventBuses
    timetable: timetable.Timetable
    alarm_watch: alarm_watch.AlarmWatch
    scaling: scaling.Scaling
    jobs: job_runner.JobRunner
    fleet: fleet.Fleet
    async_inference: async_inference.AsyncInference
    async_metrics: async_metrics.AsyncMetrics
    invocation_metrics: metrics.InvocationMetrics
    data_capture: data_capture.DataCapture
    instance_metrics: instance_metrics.InstanceMetrics
    memory_watch: memory_limits.MemoryWatch
    scale_down: serverless.ScaleDown
    components: component_fleet.ComponentFleet
    pipelines: engine.Engine
    tuners: tuner.Tuners

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.loop = asyncio.get_running_loop()
        self.url = f"http://127.0.0.1:{port}"
        self.speedup = float(os.environ.get("LOCAL_SAGEMAKER_SPEEDUP", "60"))
        self.store = Store(home / "state.db")
        self.metric_data = MetricData(home / "metrics.db")
        self.log_events = LogEvents(home / "logs.db")
        self.threads = ThreadPoolExecutor(CONTROL_PLANE_THREADS, thread_name_prefix="control-plane")
        self._clients: dict[str, object] = {}
        self._clients_lock = threading.Lock()

    def arn(self, resource: str, name: str) -> str:
        """The ARN of a SageMaker resource, such as `server.arn("training-job", "xgb")`."""
        return arns.arn(resource, name)

    def add_tags(self, arn: str, new_tags: list[dict]) -> None:
        """Tags a resource; `new_tags` is as in a request's Tags."""
        tags.add(self.store, arn, new_tags)

    def delete_tags(self, arn: str) -> None:
        """Removes all tags of a resource."""
        tags.delete(self.store, arn)

    def client(self, service: str) -> object:
        """A boto3 client of this server itself; thread-safe and shared."""
        with self._clients_lock:
            if service not in self._clients:
                self._clients[service] = self._boto_session.client(
                    service, endpoint_url=self.url, config=self._client_config
                )
                gc.freeze()  # botocore's model of the service is large, and stays
            return self._clients[service]

    @cached_property
    def _client_config(self) -> object:
        from botocore.config import Config

        # Jobs share a client, and the first answer may wait for the journal to be replayed.
        return Config(max_pool_connections=32, read_timeout=300)

    @cached_property
    def _boto_session(self) -> object:
        import boto3

        return boto3.Session(arns.ACCESS_KEY, arns.ACCESS_KEY, region_name=self.region)

    @cached_property
    def aws(self) -> Aws:
        """Every service but SageMaker: moto, imported at the first call."""
        from helpers.local_sagemaker.aws import Aws

        return Aws(self)


class PortError(Exception):
    """The server cannot listen on its port; the message says why."""


async def serve(home: Path, port: int, ready: Callable[[int], None]) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        home: folder of the state.
        port: of 127.0.0.1; 0 picks a free one.
        ready: called with the port when the server answers.

    Raises:
        PortError: the port is taken.
        OSError: the home cannot be written.
        sqlite3.DatabaseError: the state cannot be opened.
    """
    front = Front()
    runner = web.AppRunner(
        front.application(),
        access_log=None,
        auto_decompress=False,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    except OSError as error:
        raise PortError(f"Cannot listen on 127.0.0.1:{port}: {error.strerror}.") from error
    socket = own_containers.server_socket(home)
    socket.unlink(missing_ok=True)
    await web.UnixSite(runner, str(socket), backlog=1024).start()
    server = front.server = Server(home, runner.addresses[0][1])
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    for module in _WITH_LIFE_CYCLE:
        module.start(server)
    ready(runner.addresses[0][1])
    await stopped.wait()
    # The front still answers: what ends now ships its last logs and metrics through it.
    for module in reversed(_WITH_LIFE_CYCLE):
        await loop.run_in_executor(None, module.stop, server)
    await runner.cleanup()
    shutil.rmtree(socket.parent, ignore_errors=True)
    server.threads.shutdown()
    server.metric_data.close()
    server.log_events.close()
    server.store.close()


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
        """A request of the JSON protocol to SageMaker or to auto scaling; or one to another service."""
        target = request.headers.get("X-Amz-Target", "")
        if target.startswith("SageMaker."):
            return await self.control_plane(target.removeprefix("SageMaker."), await request.read())
        if target.startswith(auto_scaling.TARGET_PREFIX):
            operation, body = target.removeprefix(auto_scaling.TARGET_PREFIX), await request.read()
            return await self.respond(operation, auto_scaling.answer, self.server, operation, body)
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
