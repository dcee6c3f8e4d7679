"""The server: one asyncio process that answers SageMaker itself and hands every other service to moto."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from helpers.local_sagemaker import (
    alarm_watch,
    arns,
    async_inference,
    async_invoke,
    async_metrics,
    component_fleet,
    data_capture,
    endpoint_configs,
    endpoints,
    fleet,
    inference_components,
    instance_metrics,
    invoke,
    job_runner,
    memory_limits,
    metrics,
    models,
    own_containers,
    processing,
    response_stream,
    scaling,
    serverless,
    state_changes,
    tags,
    training,
    transform,
    warm_pools,
)
from helpers.local_sagemaker.athena import queries
from helpers.local_sagemaker.events import bus, timetable
from helpers.local_sagemaker.experiments import experiments, run_metrics, trial_components, trials
from helpers.local_sagemaker.feature_store import feature_groups, feature_metadata, feature_records, offline_store
from helpers.local_sagemaker.front import Front
from helpers.local_sagemaker.lineage import (
    actions,
    artifacts,
    associations,
    contexts,
    lineage_groups,
    query_lineage,
    recording,
)
from helpers.local_sagemaker.log_events import LogEvents
from helpers.local_sagemaker.metric_data import MetricData
from helpers.local_sagemaker.monitoring import job_definitions, monitoring_executions, monitoring_schedules
from helpers.local_sagemaker.pipelines import engine, executions, pipelines
from helpers.local_sagemaker.registry import card_exports, model_cards, package_groups, packages
from helpers.local_sagemaker.search import search
from helpers.local_sagemaker.state import Store
from helpers.local_sagemaker.tuning import tuner, tuning_jobs

if TYPE_CHECKING:
    from helpers.local_sagemaker.aws import Aws

KEEPALIVE_SECONDS = 3600
SHUTDOWN_SECONDS = 1
MAX_HEADER_BYTES = 64 * 1024
CONTROL_PLANE_THREADS = 8

# Importing them registers their operations.
OPERATION_MODULES = (
    card_exports,
    model_cards,
    actions,
    artifacts,
    associations,
    async_invoke,
    contexts,
    endpoint_configs,
    endpoints,
    executions,
    experiments,
    feature_groups,
    feature_metadata,
    feature_records,
    inference_components,
    invoke,
    job_definitions,
    lineage_groups,
    models,
    monitoring_executions,
    monitoring_schedules,
    package_groups,
    packages,
    pipelines,
    processing,
    query_lineage,
    response_stream,
    run_metrics,
    search,
    tags,
    training,
    transform,
    trial_components,
    trials,
    tuning_jobs,
    warm_pools,
)
# In the order of their starts; they stop in the reverse.
_WITH_LIFE_CYCLE = (
    state_changes,
    recording,
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
    offline_store,
    queries,
    monitoring_executions,
    bus,
    timetable,
)


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
    monitoring: monitoring_executions.Monitoring
    memory_watch: memory_limits.MemoryWatch
    scale_down: serverless.ScaleDown
    components: component_fleet.ComponentFleet
    pipelines: engine.Engine
    tuners: tuner.Tuners
    features: offline_store.FeatureStore
    athena: queries.Athena

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
    server.alarm_watch.begin()
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
