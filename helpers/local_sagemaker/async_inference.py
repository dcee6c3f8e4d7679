"""Asynchronous endpoints at work: for each, requests are taken from its queue in their order, as instances are free."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from helpers.local_sagemaker import async_configs, async_processing
from helpers.local_sagemaker.async_processing import Processing, PutBackError
from helpers.local_sagemaker.async_queue import AsyncQueue, AsyncRequest

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.deployments import Deployment, Variant
    from helpers.local_sagemaker.workers import Worker

logger = logging.getLogger(__name__)

THREADS = 8
MAX_UNDER_WAY = 200  # of an endpoint, whatever it declares: each takes a connection and two open files
RETRY_SECONDS = 1.0  # after a failure of our own
LOOK_SECONDS = 0.2  # how often a queue that waits looks for an instance, and for requests that expire


class AsyncInference:
    """The queue, and a dispatcher for each endpoint that has something in it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="async-inference")
        self._dispatchers: dict[str, _Dispatcher] = {}
        self.queue = AsyncQueue(server.store)

    def accept(self, endpoint: str, details: dict, body: bytes | None, ttl_seconds: float) -> None:
        """Queues a request and sees to its being processed; called in a thread, within the caller's transaction."""
        self.queue.put(endpoint, details, body, ttl_seconds)
        self._loop.call_soon_threadsafe(self.wake, endpoint)

    def forget(self, endpoint: str) -> None:
        """Drops the requests of an endpoint, those under way too; called in a thread."""
        self.queue.forget(endpoint)
        self._loop.call_soon_threadsafe(self._cancel, endpoint)

    def wake(self, endpoint: str) -> None:
        """Lets the endpoint's dispatcher look into the queue; called on the event loop."""
        if endpoint not in self._dispatchers:
            self._dispatchers[endpoint] = _Dispatcher(self._server, endpoint, self._threads, self._dispatchers)
        self._dispatchers[endpoint].wake()

    def _cancel(self, endpoint: str) -> None:
        if dispatcher := self._dispatchers.pop(endpoint, None):
            dispatcher.cancel()

    def stop(self) -> None:
        """Ends what is under way; it stays in the queue. Called in a thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._threads.shutdown()

    async def _end(self) -> None:
        dispatchers = list(self._dispatchers.values())
        for dispatcher in dispatchers:
            dispatcher.cancel()
        await asyncio.gather(*(dispatcher.ended() for dispatcher in dispatchers))


class _Dispatcher:
    """Hands the requests of one endpoint to its instances; lives on the event loop, as long as there are any."""

    def __init__(
        self, server: Server, endpoint: str, threads: ThreadPoolExecutor, dispatchers: dict[str, _Dispatcher]
    ) -> None:
        self._server, self._endpoint, self._threads = server, endpoint, threads
        self._dispatchers = dispatchers
        self._begun: dict[int, asyncio.Task] = {}
        self._busy: Counter[Worker] = Counter()
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Something has changed: a request came, or an instance is free."""
        self._changed.set()

    def cancel(self) -> None:
        """Ends this, and what is under way."""
        self._task.cancel()
        for task in self._begun.values():
            task.cancel()

    async def ended(self) -> None:
        """Returns when all of it has ended."""
        await asyncio.gather(self._task, *self._begun.values(), return_exceptions=True)

    async def _run(self) -> None:
        is_done = False
        while not is_done:
            try:
                is_done = await self._step()
            except Exception:
                logger.exception("the queue of endpoint %s stands still for a moment", self._endpoint)
                await asyncio.sleep(RETRY_SECONDS)
        self._dispatchers.pop(self._endpoint, None)

    async def _step(self) -> bool:
        """Begins the next request, or waits until there is one or an instance for it; whether all are answered."""
        self._changed.clear()
        deployment = self._server.fleet.answering(self._endpoint)
        free = self._free_instance(deployment)
        request = await self._next(only_expired=free is None) if deployment is not None else None
        if request is not None and request.has_expired:
            await Processing(self._server, request, deployment.pick(), self._threads).expire()
        elif request is not None:
            self._begin(request, *free)
        elif free is None:
            await self._wait(LOOK_SECONDS)
        elif self._begun:
            await self._wait(None)
        else:
            return not self._changed.is_set()
        return False

    def _begin(self, request: AsyncRequest, variant: Variant, worker: Worker) -> None:
        self._busy[worker] += 1
        processing = Processing(self._server, request, variant, self._threads)
        self._begun[request.id] = asyncio.get_running_loop().create_task(self._process(request, processing, worker))

    async def _process(self, request: AsyncRequest, processing: Processing, worker: Worker) -> None:
        try:
            await processing.run(worker)
        except PutBackError:
            logger.info("endpoint %s: a request goes back into the queue, its instance is gone", self._endpoint)
        except Exception:
            logger.exception("endpoint %s: a request goes back into the queue", self._endpoint)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._busy[worker] -= 1
            self._busy = +self._busy
            del self._begun[request.id]
            self.wake()

    async def _next(self, only_expired: bool) -> AsyncRequest | None:
        take = self._server.async_inference.queue.next
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, take, self._endpoint, list(self._begun), only_expired)

    async def _wait(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def _free_instance(self, deployment: Deployment | None) -> tuple[Variant, Worker] | None:
        """The ready instance with the fewest requests, None when each has as many as it may have."""
        if deployment is None or len(self._begun) >= MAX_UNDER_WAY:
            return None
        limit = async_configs.concurrency(deployment.async_config or {})
        variant = deployment.pick()
        free = [worker for worker in variant.workers if worker.ready and self._busy[worker] < limit]
        worker = min(free, key=lambda worker: (self._busy[worker], worker.served), default=None)
        return None if worker is None else (variant, worker)


def start(server: Server) -> None:
    """Goes on with what an earlier run had acknowledged."""
    shutil.rmtree(async_processing.work_folder(server), ignore_errors=True)
    server.async_inference = AsyncInference(server)
    for endpoint in server.async_inference.queue.backlog():
        server.async_inference.wake(endpoint)


def stop(server: Server) -> None:
    """Ends what is under way; it stays in the queue."""
    server.async_inference.stop()
