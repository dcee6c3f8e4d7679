"""One invocation of a worker: the requests to its containers, and what may come back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

import aiohttp

if TYPE_CHECKING:
    from helpers.local_sagemaker.containers import Container
    from helpers.local_sagemaker.deployments import Variant
    from helpers.local_sagemaker.workers import Worker

INVOCATIONS = "http://worker/invocations"
CONTENT_TYPE, ACCEPT = "Content-Type", "Accept"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
TARGET_CONTAINER = "X-Amzn-SageMaker-Target-Container-Hostname"
INFERENCE_COMPONENT = "X-Amzn-SageMaker-Inference-Component"


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: of HTTP; 0 when the container did not answer.
        headers: of the answer.
        body: of the answer, or what to say instead of it.
        container: which one answered: of a pipeline the last, or the one that failed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    container: Container

    @property
    def failed(self) -> bool:
        """Whether it is an error."""
        return self.status == 0 or self.status >= 400


class BrokenOffError(Exception):
    """A container that did not answer, or not to the end; the message says why.

    Args:
        message: in AWS's words.
        container: which one.
        timed_out: it took too long; else the connection broke.
        status: of HTTP, when a container before the one that was to answer failed.
    """

    def __init__(self, message: str, container: Container, timed_out: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.container = container
        self.timed_out = timed_out
        self.status = status


async def ask(variant: Variant, worker: Worker, body: bytes, headers: Mapping[str, str]) -> Answer:
    """What a worker answers, within its variant's time.

    Raises:
        InvocationError: a multi-model container has no such model, or not in time.
        ClientConnectorError: the process has ended, and nothing was sent to it.
    """
    worker.in_flight += 1
    worker.served += 1
    try:
        if len(worker.containers) == 1:
            container = worker.containers[0]
            if container.models is not None:
                return await container.models.ask(body, headers, variant.timeout, variant.add_metrics)
            return await ask_container(container, body, headers, variant.timeout)
        containers = worker.containers
        if (target := headers.get(TARGET_CONTAINER)) is not None:
            containers = (worker.container(target),)
        return await ask_pipeline(containers, body, headers, variant.timeout, variant.add_metrics)
    finally:
        worker.in_flight -= 1


async def ask_pipeline(
    containers: Sequence[Container],
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    add_metrics: Callable[..., None] | None,
) -> Answer:
    """Sends a request through containers: each is given what the one before it answered, and of what type it is.

    Only the last is told what the client accepts: what passes between containers is theirs to agree on.

    Args:
        containers: in their order.
        body: for the first.
        headers: for the first.
        timeout: seconds for all of them together.
        add_metrics: told each container's latency; None for containers that none is told of.

    Raises:
        InvocationError: a multi-model container has no such model, or not in time.
        ClientConnectorError: a process has ended, and nothing was sent to it.
    """
    began = time.perf_counter()
    for container in containers:
        asked = time.perf_counter()
        given = headers if container is containers[-1] else _without_accept(headers)
        left = max(timeout - (asked - began), 1e-3)
        if container.models is not None:
            answer = await container.models.ask(body, given, left, add_metrics)
        else:
            answer = await ask_container(container, body, given, left)
        if add_metrics is not None:
            latency = (time.perf_counter() - asked) * 1e6
            add_metrics("Microseconds", container=container.name, ContainerLatency=latency)
        if answer.failed:
            break
        body, headers = answer.body, _passed_on(headers, answer)
    return answer


def _without_accept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != ACCEPT}


def _passed_on(headers: Mapping[str, str], answer: Answer) -> dict[str, str]:
    """The headers for the next container of a pipeline."""
    passed = {**headers, CONTENT_TYPE: answer.headers.get(CONTENT_TYPE, "application/octet-stream")}
    if CUSTOM_ATTRIBUTES in answer.headers:
        passed[CUSTOM_ATTRIBUTES] = answer.headers[CUSTOM_ATTRIBUTES]
    return passed


async def ask_container(
    container: Container, body: bytes, headers: Mapping[str, str], timeout: float, url: str = INVOCATIONS
) -> Answer:
    """What one container answers.

    Raises:
        ClientConnectorError: the process has ended, and nothing was sent to it.
    """
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        with _named(container):
            async with container.session.post(url, data=body, headers=headers, timeout=limit) as answer:
                return Answer(answer.status, answer.headers, await answer.read(), container)
    except BrokenOffError as error:
        return Answer(0, {}, str(error).encode(), container)


@contextlib.asynccontextmanager
async def opened(
    worker: Worker, body: bytes | IO[bytes], headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A worker's answer as soon as its status and headers are there; `chunks` reads its body.

    Of a pipeline, the last container's: those before it have answered whole.

    Raises:
        ClientConnectorError: the process has ended, and nothing was sent to it.
        BrokenOffError: the worker did not begin to answer, or a container before the last one failed.
    """
    container = worker.container(headers.get(TARGET_CONTAINER))
    worker.in_flight += 1
    worker.served += 1
    try:
        if TARGET_CONTAINER not in headers and (before := worker.containers[:-1]):
            seconds = timeout.sock_read or timeout.total
            passed = await ask_pipeline(before, body, _without_accept(headers), seconds, None)
            if passed.failed:
                message = passed.body.decode(errors="replace")
                raise BrokenOffError(message, passed.container, status=passed.status)
            body, headers = passed.body, _passed_on(headers, passed)
        with _named(container):
            answer = await container.session.post(INVOCATIONS, data=body, headers=headers, timeout=timeout)
        async with answer:
            yield answer
    finally:
        worker.in_flight -= 1


async def chunks(container: Container, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body of an opened answer, piece by piece as its container sends it.

    Raises:
        BrokenOffError: the container did not send all of it.
    """
    with _named(container):
        async for chunk in answer.content.iter_any():
            yield chunk


@contextlib.contextmanager
def _named(container: Container) -> Iterator[None]:
    """Gives what goes wrong with a container's connection its name in the API."""
    try:
        yield
    except TimeoutError:
        raise BrokenOffError(
            f"Your invocation timed out while waiting for a response from container {container.name}. Review the "
            "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again.",
            container,
            timed_out=True,
        ) from None
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ClientError as error:
        container.suspect()
        reason = container.killed_for or f"The container closed the connection before it answered: {error}"
        raise BrokenOffError(reason, container) from error
