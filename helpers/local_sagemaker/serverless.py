"""Serverless variants: an environment per invocation under way, started when it is asked for, gone when it is idle.

An *environment* is a worker that answers one invocation at a time, as on AWS. An invocation takes an idle one, or waits
while a new one loads the model: the cold start. ProvisionedConcurrency of them are never taken away.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from helpers.local_sagemaker import serverless_configs
from helpers.local_sagemaker.deployments import Variant, failure_reason
from helpers.local_sagemaker.workers import Worker

if TYPE_CHECKING:
    from concurrent.futures import Future

    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.workers import WorkerPlan

IDLE_SECONDS = 600.0  # AWS does not say when it takes an idle environment away; this is divided by the speed-up
MAX_BODY_BYTES = 4 * 2**20
_LOOK_SECONDS = 0.2


class ThrottledError(Exception):
    """As many invocations are under way as MaxConcurrency allows."""


class ColdStartError(Exception):
    """An environment did not come to serve; the message ends with the last lines of its log.

    Args:
        message: what was wrong.
        worker: the environment.
    """

    def __init__(self, message: str, worker: Worker) -> None:
        super().__init__(message)
        self.worker = worker


class ServerlessVariant(Variant):
    """A serverless variant in service; `spec` has a ServerlessConfig.

    Invocations claim and release environments on the event loop, `ScaleDown` and the fleet take them away in threads:
    the lock makes each of these steps whole, so that nobody gets an environment that is about to go.
    """

    max_body_bytes = MAX_BODY_BYTES
    instance_metrics = ("MemoryUtilization",)

    def __init__(self, server: Server, endpoint: str, spec: dict, worker_plan: WorkerPlan) -> None:
        add_metrics = partial(server.invocation_metrics.add, endpoint, spec["VariantName"])
        super().__init__(endpoint, spec, worker_plan, add_metrics)
        self._server = server
        self._lock = threading.Lock()
        self._idle: dict[Worker, float] = {}  # since when; the latest is the last
        self._executing = 0
        self._closed = False
        self._stood_up = False

    @property
    def config(self) -> dict:
        """The ServerlessConfig in force."""
        return self.spec["ServerlessConfig"]

    @property
    def provisioned(self) -> int:
        """How many environments are kept."""
        return self.config.get("ProvisionedConcurrency", 0)

    @property
    def memory_bytes(self) -> int:
        """What each environment may use."""
        return self.config["MemorySizeInMB"] * 2**20

    def begin(self, count: int) -> list[Worker]:
        """Starts the environments that are kept, and at first at least one: it shows that the model loads.

        Args:
            count: has no meaning here.
        """
        with self._lock:
            kept = self.provisioned if self._stood_up else max(self.provisioned, 1)
            return [self._environment() for _ in range(kept - len(self.workers))]

    def admit(self, added: list[Worker]) -> None:
        """Waits until environments serve and makes them available.

        Raises:
            DeploymentError: one of them does not serve; all of them are stopped.
        """
        super().admit(added)
        with self._lock:
            self._stood_up = True
            self._idle |= dict.fromkeys(added, time.monotonic())
        self._server.scale_down.watch(self)

    def shrink(self, count: int) -> list[Worker]:
        """Nothing: `ScaleDown` takes away what is not kept."""
        return []

    def close(self) -> list[Worker]:
        """Takes no invocation any more; the environments, still running."""
        with self._lock:
            self._closed = True
            self._idle.clear()
            removed, self.workers = self.workers, []
            return removed

    async def claim(self, headers: Mapping[str, str]) -> Worker | None:
        """An environment for one invocation, None when the variant is out of service; `release` it.

        Raises:
            ThrottledError: MaxConcurrency is reached.
            ColdStartError: a new environment does not serve.
        """
        with self._lock:
            if self._closed:
                return None
            if self._executing >= self.config["MaxConcurrency"]:
                raise ThrottledError
            self._executing += 1
            self._sample_concurrency()
            worker = next((worker for worker in reversed(self._idle) if worker.ready), None)
            if worker is not None:
                del self._idle[worker]
                worker.in_flight += 1
                return worker
            worker = self._environment()
            self.workers = [*self.workers, worker]
            worker.in_flight += 1
        self._server.scale_down.watch(self)
        return await self._cold_start(worker)

    async def _cold_start(self, worker: Worker) -> Worker | None:
        began = time.perf_counter()
        try:
            # Shielded: whoever waits may be cancelled, the future is the worker's.
            await asyncio.shield(asyncio.wrap_future(worker.started))
        except BaseException as error:
            self.release(worker, answered=False)
            if self._closed:
                return None
            if isinstance(error, Exception):
                raise ColdStartError(self.not_serving(error), worker) from error
            raise
        self.add_metrics("Microseconds", ModelSetupTime=(time.perf_counter() - began) * 1e6)
        return worker

    def release(self, worker: Worker, answered: bool) -> None:
        """Makes an environment available again; one that gave no answer goes, because it may still be at work."""
        with self._lock:
            self._executing -= 1
            worker.in_flight -= 1
            if self._closed:
                return
            if answered and worker.ready:
                self._idle[worker] = time.monotonic()
                return
            self.workers = [other for other in self.workers if other is not worker]
            replacement = self._environment() if len(self.workers) < self.provisioned else None
            if replacement:
                self.workers = [*self.workers, replacement]
        self._server.scale_down.end([worker])
        if replacement:
            replacement.started.add_done_callback(lambda started: self._take_in(replacement, started))

    def expired(self, idle_seconds: float) -> list[Worker]:
        """Takes the environments out of service that were idle for so long, but for those that are kept."""
        with self._lock:
            surplus = len(self.workers) - self.provisioned
            if self._closed or surplus <= 0:
                return []
            before = time.monotonic() - idle_seconds
            removed = [worker for worker, since in self._idle.items() if since <= before][:surplus]
            for worker in removed:
                del self._idle[worker]
            self.workers = [worker for worker in self.workers if worker not in removed]
            return removed

    def _take_in(self, worker: Worker, started: Future[None]) -> None:
        """Makes an environment available that took the place of one of those that are kept."""
        with self._lock:
            if started.exception():
                self.workers = [other for other in self.workers if other is not worker]
            elif worker in self.workers:
                self._idle[worker] = time.monotonic()

    def not_serving(self, error: BaseException) -> str:
        """What AWS says of a model that does not load; the error ends with the last lines of its log."""
        return failure_reason(serverless_configs.NOT_STANDING, str(error))

    def _environment(self) -> Worker:
        worker = Worker(self._worker_plan)
        for container in worker.containers:
            self._server.memory_watch.add(container, self.config["MemorySizeInMB"])
        return worker

    def _sample_concurrency(self) -> None:
        utilization = self._executing / self.config["MaxConcurrency"]
        self.add_metrics("None", ServerlessConcurrentExecutionsUtilization=utilization)
        if not self.provisioned:
            return
        spilled = self._executing > self.provisioned
        handled = min(self._executing, self.provisioned)
        prefix = "ServerlessProvisionedConcurrency"
        counts = {f"{prefix}{'SpilloverInvocations' if spilled else 'Invocations'}": 1, f"{prefix}Executions": handled}
        self.add_metrics("Count", **counts)
        self.add_metrics("None", **{f"{prefix}Utilization": handled / self.provisioned})


class ScaleDown:
    """The thread that takes idle environments away; it sleeps while there is none."""

    def __init__(self, server: Server) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_seconds = IDLE_SECONDS / server.speedup
        self._variants: set[ServerlessVariant] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="scale-down")
        self._thread.start()

    def watch(self, variant: ServerlessVariant) -> None:
        """Looks after a variant as long as it has environments."""
        with self._changed:
            self._variants.add(variant)
            self._changed.notify()

    def stop(self) -> None:
        """Stops looking."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._variants)
                self._changed.wait_for(lambda: self._stopped, timeout=_LOOK_SECONDS)
                if self._stopped:
                    return
                self._variants = {variant for variant in self._variants if variant.workers}
                variants = list(self._variants)
            for variant in variants:
                if gone := variant.expired(self._idle_seconds):
                    self.end(gone)

    def end(self, gone: list[Worker]) -> None:
        """Ends environments that are out of service, without waiting for it."""
        threading.Thread(target=self._end, args=(gone,), daemon=True, name="end-environments").start()

    def _end(self, gone: list[Worker]) -> None:
        for worker in gone:
            worker.stop()
            asyncio.run_coroutine_threadsafe(worker.close(), self._loop)


def start(server: Server) -> None:
    """Begins to scale down."""
    server.scale_down = ScaleDown(server)


def stop(server: Server) -> None:
    """Stops scaling down."""
    server.scale_down.stop()
