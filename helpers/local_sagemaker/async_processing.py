"""One asynchronous request processed: its input fetched, the model asked, the answer put into S3, and SNS told.

A payload may have a gigabyte: it goes through files, never as a whole through memory.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker import async_notifications, invocations, invoke, staging
from helpers.local_sagemaker.invocations import BrokenOffError

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.async_queue import AsyncRequest
    from helpers.local_sagemaker.deployments import Variant
    from helpers.local_sagemaker.workers import Worker

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PAYLOAD_BYTES = 2**30
MAX_BYTES_AT_ONCE = 8 * 2**20  # larger answers are uploaded in parts
MAX_CAPTURED_BYTES = 6_291_456
DEFAULT_TIMEOUT_SECONDS = 900


class PutBackError(Exception):
    """The instance went away before it had answered: the request stays in the queue."""


class FailedError(Exception):
    """A request that fails, as the error topic hears it.

    Args:
        reason: worded as AWS words it.
        content_type: of what the model answered.
        metric: a metric that counts this kind of failure, besides InvocationFailures.
        has_response: the model's answer is the failure's content.
    """

    def __init__(
        self, reason: str, metric: str | None = None, content_type: str = "text/plain", has_response: bool = False
    ) -> None:
        super().__init__(reason)
        self.metric = metric
        self.content_type = content_type
        self.has_response = has_response


@dataclass(frozen=True)
class _Input:
    """The payload, and the media type that it has in S3."""

    path: Path
    content_type: str | None


class Processing:
    """One request on its way.

    Args:
        server: the server.
        request: what is processed.
        variant: who processes it.
        threads: for what would block the event loop.
    """

    def __init__(self, server: Server, request: AsyncRequest, variant: Variant, threads: Executor) -> None:
        self._server, self._request, self._variant, self._threads = server, request, variant, threads
        self._began = time.time()
        folder = work_folder(server)
        self._input, self._output = folder / f"{request.id}.in", folder / f"{request.id}.out"

    async def run(self, worker: Worker) -> None:
        """Processes the request; when it returns, the outcome is in S3.

        Raises:
            PutBackError: the worker went away, and the request has to be tried again.
        """
        try:
            try:
                failure, content_type = None, await self._answer(worker)
            except FailedError as error:
                failure, content_type = error, error.content_type
            await self._in_thread(self._finish, failure, content_type)
        finally:
            await asyncio.shield(self._in_thread(self._clean_up))

    async def expire(self) -> None:
        """Fails the request, which has waited too long."""
        reason = "ClientError: The request expired: it was in the queue for longer than its RequestTTLSeconds."
        try:
            await self._in_thread(self._finish, FailedError(reason, "ExpiredRequests"), "text/plain")
        finally:
            await asyncio.shield(self._in_thread(self._clean_up))

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _answer(self, worker: Worker) -> str:
        """Writes what the model answers to a file; its media type.

        Raises:
            FailedError: the input is missing, or the model did not answer, or with an error.
            PutBackError: the worker went away.
        """
        details = self._request.details
        stored = await self._in_thread(self._fetch)
        headers = {
            "Content-Type": details.get("ContentType") or stored.content_type,
            "Accept": details.get("Accept"),
            invoke.CUSTOM_ATTRIBUTES: details.get("CustomAttributes"),
            f"{invoke.PREFIX}Inference-Id": details["InferenceId"],
        }
        headers = {name: value for name, value in headers.items() if value}
        asked = time.perf_counter()
        status, content_type = await self._ask(worker, stored.path, headers)
        self._add_metrics("Microseconds", ModelLatency=(time.perf_counter() - asked) * 1e6)
        failed_server_side = status >= 500 or status == 0
        self._add_metrics("None", Invocation4XXErrors=400 <= status < 500, Invocation5XXErrors=failed_server_side)
        if failed_server_side or status >= 400:
            side = "server" if failed_server_side else "client"
            raise FailedError(
                f"ClientError: Received {side} error ({status}) from model. See the SageMaker Endpoint logs in your "
                "account for more information.",
                content_type=content_type,
                has_response=bool(self._output.stat().st_size),
            )
        await self._in_thread(self._capture, headers, content_type)
        return content_type

    async def _ask(self, worker: Worker, payload: Path, headers: dict[str, str]) -> tuple[int, str]:
        """Status and media type of the answer, whose body goes to the output file; the status is 0 without one."""
        if worker.is_stopped:  # while the payload was fetched
            raise PutBackError
        seconds = self._request.details.get("InvocationTimeoutSeconds", DEFAULT_TIMEOUT_SECONDS)
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            with payload.open("rb") as body, self._output.open("wb") as output:
                async with invocations.opened(worker, body, headers, timeout) as answer:
                    async for chunk in invocations.chunks(worker.containers[-1], answer):
                        output.write(chunk)
                    return answer.status, answer.headers.get("Content-Type", "application/octet-stream")
        except aiohttp.ClientConnectorError:
            raise PutBackError from None
        except BrokenOffError as error:
            if worker.is_stopped:
                raise PutBackError from error
            self._output.write_text(str(error))
            return error.status, "text/plain"

    def _fetch(self) -> _Input:
        """Brings the payload to the input file.

        Raises:
            FailedError: it is not there, or larger than a payload may be.
        """
        self._input.parent.mkdir(exist_ok=True)
        if self._request.body is not None:
            self._input.write_bytes(self._request.body)
            return _Input(self._input, None)
        location = staging.parse(self._request.details["InputLocation"])
        began = time.perf_counter()
        try:
            stored = self._server.client("s3").get_object(Bucket=location.bucket, Key=location.key)
            if stored["ContentLength"] > MAX_PAYLOAD_BYTES:
                size = stored["ContentLength"]
                raise FailedError(
                    f"ClientError: The payload {location} has {size} bytes, more than {MAX_PAYLOAD_BYTES}."
                )
            with self._input.open("wb") as file:
                shutil.copyfileobj(stored["Body"], file, 1 << 20)
        except (ClientError, BotoCoreError) as error:
            reason = f"ClientError: Failed to download the request payload {location}: {error}"
            raise FailedError(reason, "RequestDownloadFailures") from error
        self._add_metrics("Microseconds", RequestDownloadLatency=(time.perf_counter() - began) * 1e6)
        return _Input(self._input, stored.get("ContentType"))

    def _capture(self, headers: dict[str, str], content_type: str) -> None:
        capture = self._variant.capture
        if capture is None or max(path.stat().st_size for path in (self._input, self._output)) > MAX_CAPTURED_BYTES:
            return
        answered = {"Content-Type": content_type}
        request, response = self._input.read_bytes(), self._output.read_bytes()
        self._server.data_capture.record(capture, headers, request, answered, response)

    def _finish(self, failure: FailedError | None, content_type: str) -> None:
        """Puts the outcome into S3, tells SNS, and forgets the request: in this order, so that nothing gets lost."""
        if failure is None:
            try:
                self._upload("OutputLocation", content_type)
            except FailedError as error:
                failure = error
        if failure is not None:
            self._write_failure(failure)
        try:
            reason = None if failure is None else str(failure)
            async_notifications.publish(self._server, self._request, reason, content_type, self._small_output())
        except (ClientError, BotoCoreError):
            logger.warning("endpoint %s: no notification", self._request.endpoint, exc_info=True)
            self._add_metrics("Count", NotificationFailures=1)
        self._server.async_inference.queue.remove(self._request)
        self._count(failure)

    def _write_failure(self, failure: FailedError) -> None:
        if not failure.has_response:
            self._output.parent.mkdir(exist_ok=True)
            self._output.write_text(str(failure))
        try:
            self._upload("FailureLocation", failure.content_type)
        except FailedError as error:
            logger.warning("endpoint %s: %s", self._request.endpoint, error)

    def _upload(self, where: str, content_type: str) -> None:
        details = self._request.details
        if where not in details:
            return
        from boto3.exceptions import S3UploadFailedError

        location = staging.parse(details[where])
        options = {"ContentType": content_type}
        if "KmsKeyId" in details:
            options |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": details["KmsKeyId"]}
        began = time.perf_counter()
        try:
            client = self._server.client("s3")
            if self._output.stat().st_size <= MAX_BYTES_AT_ONCE:
                body = self._output.read_bytes()
                client.put_object(Bucket=location.bucket, Key=location.key, Body=body, **options)
            else:
                client.upload_file(str(self._output), location.bucket, location.key, ExtraArgs=options)
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            reason = f"ClientError: Failed to upload the response to {location}: {error}"
            raise FailedError(reason, "ResponseUploadFailures") from error
        self._add_metrics("Microseconds", ResponseUploadLatency=(time.perf_counter() - began) * 1e6)

    def _small_output(self) -> bytes | None:
        if self._output.stat().st_size > async_notifications.MAX_INCLUDED_BYTES:
            return None
        return self._output.read_bytes()

    def _count(self, failure: FailedError | None) -> None:
        counts = {"InvocationsProcessed": 1, "InvocationFailures": failure is not None}
        if failure is not None and failure.metric:
            counts[failure.metric] = 1
        self._add_metrics("Count", **counts)
        waited, lasted = self._began - self._request.received, time.time() - self._request.received
        self._add_metrics("Milliseconds", TimeInBacklog=waited * 1e3, TotalProcessingTime=lasted * 1e3)

    def _add_metrics(self, unit: str, **values: float) -> None:
        self._variant.add_metrics(unit, **values)

    def _clean_up(self) -> None:
        self._input.unlink(missing_ok=True)
        self._output.unlink(missing_ok=True)


def work_folder(server: Server) -> Path:
    """Where payloads lie while they are under way."""
    return server.home / "async"
