"""Shadow variants: they get a copy of what production is asked, and nobody waits for their answers."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import aiohttp

from helpers.local_sagemaker import invocations
from helpers.local_sagemaker.errors import InvocationError

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.deployments import Variant

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * 2**20  # of copies under way to one variant; a shadow that is slower than production misses the rest
COPY_BYTES = 4096  # what a copy takes besides its body


class Shadow:
    """A shadow variant in service and the copies under way to it; to be used on the event loop only.

    Args:
        variant: the shadow.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.share = 1.0  # of production's requests
        self._copies: set[asyncio.Task] = set()
        self._bytes = 0
        self._missed = False

    def copy(self, server: Server, body: bytes, headers: Mapping[str, str]) -> None:
        """Sends a copy of a request if it is drawn, without waiting for anything."""
        if random.random() >= self.share:
            return
        size = len(body) + COPY_BYTES
        if self._bytes + size > MAX_BYTES:
            if not self._missed:
                logger.warning("shadow variant %s misses requests: it is too slow", self.variant.name)
            self._missed = True
            return
        self._bytes += size
        task = asyncio.get_running_loop().create_task(self._send(server, body, headers, time.perf_counter()))
        self._copies.add(task)
        task.add_done_callback(lambda done: self._end(done, size))

    def _end(self, done: asyncio.Task, size: int) -> None:
        self._copies.discard(done)
        self._bytes -= size
        if not done.cancelled() and (error := done.exception()):
            logger.error("shadow variant %s missed a request", self.variant.name, exc_info=error)

    async def _send(self, server: Server, body: bytes, headers: Mapping[str, str], began: float) -> None:
        worker = await self.variant.claim(headers)
        if worker is None:
            return
        asked = time.perf_counter()
        try:
            status, answer_headers, answer, _ = await invocations.ask(self.variant, worker, body, headers)
        except InvocationError:  # a multi-model shadow that does not have the model of production
            return
        except aiohttp.ClientConnectorError:
            status, answer_headers, answer = 0, {}, b""
        server.invocation_metrics.record(self.variant, status, time.perf_counter() - asked, asked - began)
        if self.variant.capture is not None and 200 <= status < 300:
            server.data_capture.record(self.variant.capture, headers, body, answer_headers, answer)
