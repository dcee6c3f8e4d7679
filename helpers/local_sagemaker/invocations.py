"""One invocation of a worker: the request to its process, and what may come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from helpers.local_sagemaker.deployments import Variant
    from helpers.local_sagemaker.workers import Worker

INVOCATIONS = "http://worker/invocations"
TIMED_OUT = (
    b"Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    b"each container in Amazon CloudWatch, resolve the issue, and try again."
)

Answer = tuple[int, Mapping[str, str], bytes]  # status (0 when the container did not answer), headers, body


async def ask(variant: Variant, worker: Worker, body: bytes, headers: Mapping[str, str]) -> Answer:
    """What a worker answers, within its variant's time.

    Raises:
        ClientConnectorError: the process has ended, and nothing was sent to it.
    """
    worker.in_flight += 1
    worker.served += 1
    timeout = aiohttp.ClientTimeout(total=variant.timeout)
    try:
        async with worker.session.post(INVOCATIONS, data=body, headers=headers, timeout=timeout) as answer:
            return answer.status, answer.headers, await answer.read()
    except TimeoutError:
        return 0, {}, TIMED_OUT
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ClientError as error:
        worker.suspect()
        return 0, {}, f"The container closed the connection before it answered: {error}".encode()
    finally:
        worker.in_flight -= 1
