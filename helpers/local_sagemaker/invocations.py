"""One invocation of a worker: the request to its process, and what may come back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import IO, TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from helpers.local_sagemaker.deployments import Variant
    from helpers.local_sagemaker.workers import Worker

INVOCATIONS = "http://worker/invocations"
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)

Answer = tuple[int, Mapping[str, str], bytes]  # status (0 when the container did not answer), headers, body


class BrokenOffError(Exception):
    """A container that did not answer, or not to the end; the message says why.

    Args:
        message: in AWS's words.
        timed_out: it took too long; else the connection broke.
    """

    def __init__(self, message: str, timed_out: bool) -> None:
        super().__init__(message)
        self.timed_out = timed_out


async def ask(variant: Variant, worker: Worker, body: bytes, headers: Mapping[str, str]) -> Answer:
    """What a worker answers, within its variant's time.

    Raises:
        ClientConnectorError: the process has ended, and nothing was sent to it.
    """
    try:
        async with opened(worker, body, headers, aiohttp.ClientTimeout(total=variant.timeout)) as answer:
            with _named(worker):
                return answer.status, answer.headers, await answer.read()
    except BrokenOffError as error:
        return 0, {}, str(error).encode()


@contextlib.asynccontextmanager
async def opened(
    worker: Worker, body: bytes | IO[bytes], headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A worker's answer as soon as its status and headers are there; `chunks` reads its body.

    Raises:
        ClientConnectorError: the process has ended, and nothing was sent to it.
        BrokenOffError: the worker did not begin to answer.
    """
    worker.in_flight += 1
    worker.served += 1
    try:
        with _named(worker):
            answer = await worker.session.post(INVOCATIONS, data=body, headers=headers, timeout=timeout)
        async with answer:
            yield answer
    finally:
        worker.in_flight -= 1


async def chunks(worker: Worker, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body of an opened answer, piece by piece as the worker sends it.

    Raises:
        BrokenOffError: the worker did not send all of it.
    """
    with _named(worker):
        async for chunk in answer.content.iter_any():
            yield chunk


@contextlib.contextmanager
def _named(worker: Worker) -> Iterator[None]:
    """Gives what goes wrong with a worker's connection its name in the API."""
    try:
        yield
    except TimeoutError:
        raise BrokenOffError(TIMED_OUT, timed_out=True) from None
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ClientError as error:
        worker.suspect()
        reason = worker.killed_for or f"The container closed the connection before it answered: {error}"
        raise BrokenOffError(reason, timed_out=False) from error
