"""Times requests over kept-alive connections, with as little of a client as there can be."""

import http.client
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

ROUNDS, CALLS = 7, 200
Call = Callable[[], None]


def p50(call: Call, calls: int = CALLS) -> float:
    """Median milliseconds of a call."""
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


def alternately(one: Call, other: Call, rounds: int = ROUNDS, calls: int = CALLS) -> list[tuple[float, float]]:
    """The medians of two calls in turns, so that what else the machine does hits both."""
    p50(one, calls), p50(other, calls)
    return [(p50(one, calls), p50(other, calls)) for _ in range(rounds)]


@contextmanager
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connected:
        yield connected


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Call:
    """A call that asks on a kept-alive connection and reads the answer."""

    def call() -> None:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status in (200, 204), content

    return call


def signed(service: str) -> dict[str, str]:
    """The header that names a service."""
    scope = f"local/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


def control_plane(operation: str) -> dict[str, str]:
    """The headers of a SageMaker operation."""
    target = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    return target | signed("sagemaker")
