"""What a batch transform job does: its workers started, each object of the input sent through the model, and uploaded.

An object whose record fails is named and gets no output; the others are still transformed, as on AWS.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import aiohttp

from helpers.local_sagemaker import (
    channels,
    containers,
    errors,
    invocations,
    model_data,
    overlays,
    staging,
    unix_sockets,
)
from helpers.local_sagemaker.containers import WorkerError
from helpers.local_sagemaker.failures import last_error
from helpers.local_sagemaker.jobs import SERVER_STOPPED, Job, JobError, jobs_folder
from helpers.local_sagemaker.logs import LogWriter
from helpers.local_sagemaker.transform_records import MEGABYTE, RecordError, Records
from helpers.local_sagemaker.workers import Worker, WorkerPlan

LOG_GROUP = "/aws/sagemaker/TransformJobs"
DEFAULT_MAX_PAYLOAD_IN_MB = 6
MODEL = "_Model"
_STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}
_DEFAULT_TIMEOUT_SECONDS, _DEFAULT_RETRIES, _RETRY_SECONDS = 600, 3, 0.1
_LONGEST_MESSAGE = 300


class _StoppedError(Exception):
    """The job is being ended: what is under way is dropped."""


def execute(job: Job, record: dict) -> None:
    """Transforms the whole input; returns early when the job is cut short.

    Raises:
        JobError: the model does not serve, or an object could not be transformed; it is named.
        StagingError: the input or the output's bucket is missing.
    """
    server = job.server
    target = staging.parse(record["TransformOutput"]["S3OutputPath"])
    staging.require_bucket(server, target, "Failed to upload data")
    source = record["TransformInput"]["DataSource"]["S3DataSource"]
    location, keys = channels.objects(server, source["S3Uri"], source["S3DataType"])
    run = _Run(job, record)
    try:
        run.start_workers()
        run.transform(location, keys, target)
    except _StoppedError:
        return
    finally:
        run.end()


class _Run:
    """The workers of a job, and what is sent to them."""

    def __init__(self, job: Job, record: dict) -> None:
        self._job, self._record = job, record
        self._concurrent = record.get("MaxConcurrentTransforms") or 1
        self._strategy = record.get("BatchStrategy", "MultiRecord")
        self._megabytes = record.get("MaxPayloadInMB", DEFAULT_MAX_PAYLOAD_IN_MB)
        self._records = Records(record, self._strategy, self._megabytes * MEGABYTE)
        source, target = record["TransformInput"], record["TransformOutput"]
        self._headers = {"Content-Type": source.get("ContentType"), "Accept": target.get("Accept")}
        self._headers = {name: value for name, value in self._headers.items() if value}
        client = record.get("ModelClientConfig", {})
        self._timeout = client.get("InvocationsTimeoutInSeconds", _DEFAULT_TIMEOUT_SECONDS)
        self._retries = client.get("InvocationsMaxRetries", _DEFAULT_RETRIES)
        self._workers: list[Worker] = []
        self._data_log: LogWriter | None = None
        self._failures: list[str] = []
        self._aborted = threading.Event()

    def start_workers(self) -> None:
        """Starts a worker for each instance and returns when all serve.

        Raises:
            JobError: one does not.
        """
        count = self._record["TransformResources"]["InstanceCount"]
        plan = self._plan()
        self._workers = [Worker(plan) for _ in range(count)]
        self._job.at_cut(self._stop_workers)
        for worker in self._workers:
            try:
                worker.started.result()
            except WorkerError as error:
                self._continue()
                who = "The model" if error.container == model_data.PRIMARY else f"The model's {error.container}"
                raise JobError(
                    f"AlgorithmError: See job logs for more information. {who} did not pass the ping health check: "
                    f"{last_error(str(error).splitlines())}"
                ) from error

    def _plan(self) -> WorkerPlan:
        job = self._job
        server, model = job.server, self._record[MODEL]
        environment = {
            **self._record.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_BATCH_STRATEGY": _STRATEGIES[self._strategy],
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(self._megabytes),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(self._concurrent),
        }
        defined = [c | {"Environment": c.get("Environment", {}) | environment} for c in model["Containers"]]
        try:
            plans = model_data.stage(server, model | {"Containers": defined}, job.folder / "model")
        except errors.AwsError as error:
            raise JobError(f"ClientError: {error.message}") from error
        except overlays.RequirementsError as error:
            raise JobError(f"AlgorithmError: InstallRequirementsError: {error}") from error
        return WorkerPlan(
            containers=plans,
            sockets=unix_sockets.socket_folder(jobs_folder(server)),
            startup_seconds=containers.STARTUP_SECONDS,
            open_log=self._log,
        )

    def _log(self, stream: str) -> LogWriter:
        """The log stream of an instance, or of a container or the data log below it."""
        instance, slash, below = stream.partition("/")
        name = f"{self._job.name}/{instance}-{time.time():.0f}{slash}{below}"
        return LogWriter(self._job.server, LOG_GROUP, name)

    def transform(self, location: staging.Location, keys: list[str], target: staging.Location) -> None:
        """Sends every object through the model; each instance has its share of them.

        Raises:
            JobError: an object failed.
        """
        self._data_log = self._log(f"{self._workers[0].instance}/data-log")
        self._tell(
            f"MaxConcurrentTransforms={self._concurrent}, MaxPayloadInMB={self._megabytes}, "
            f"BatchStrategy={_STRATEGIES[self._strategy]}"
        )
        places = [staging.Location(location.bucket, key) for key in keys]
        outputs = [target.below(f"{name}.out") for name in staging.names(location, keys)]
        with contextlib.ExitStack() as stack:
            # Those that ask are closed last: the others hand them work until they end.
            asking, working = (
                [stack.enter_context(ThreadPoolExecutor(self._concurrent)) for _ in self._workers] for _ in range(2)
            )
            futures = []
            for number, (place, output) in enumerate(zip(places, outputs, strict=True)):
                index = number % len(self._workers)
                path = self._job.folder / f"object-{number}"
                transform = partial(self._transform_object, self._workers[index], asking[index])
                futures.append(working[index].submit(transform, place, output, path))
        for future in futures:
            self._raise_unless_stopped(future)
        if self._job.cut:
            raise _StoppedError
        if self._failures:
            raise JobError("\n".join(sorted(self._failures)))

    def _transform_object(
        self,
        worker: Worker,
        requests: ThreadPoolExecutor,
        place: staging.Location,
        output: staging.Location,
        path: Path,
    ) -> None:
        """Writes one object's output, or notes why there is none; `path` is a file to work with."""
        written = path.with_suffix(".out")
        try:
            self._continue()
            staging.download_file(self._job.server, place, path)
            with written.open("wb") as file:
                for part in self._parts(worker, requests, path):
                    file.write(part)
            self._continue()
            staging.upload_file(self._job.server, written, output)
        except RecordError as error:
            name = f"{place.bucket}/{place.key}"
            self._tell(f"{name}: {error}")
            self._failures.append(f"{error.side}: See job logs for more information. {name}: {error}")
        except BaseException:
            self._aborted.set()
            raise
        finally:
            path.unlink(missing_ok=True)
            written.unlink(missing_ok=True)

    def _parts(self, worker: Worker, requests: ThreadPoolExecutor, path: Path) -> Iterator[bytes]:
        """The output of a file, request by request in the order of its records; some requests run ahead."""
        waiting: deque[Future[bytes]] = deque()
        try:
            for records in self._records.requests(path):
                self._continue()
                waiting.append(requests.submit(self._part, worker, records))
                if len(waiting) > self._concurrent:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _part(self, worker: Worker, records: list[bytes]) -> bytes:
        payload = self._records.payload(records)
        for attempt in range(self._retries + 1):
            self._continue()
            status, content_type, answer = self._ask(worker, payload)
            if status and status < 500:
                break
            if attempt < self._retries:
                time.sleep(_RETRY_SECONDS * 2**attempt)
        if not 200 <= status < 300:
            message = " ".join(answer.decode(errors="replace").split())[-_LONGEST_MESSAGE:]
            side = "ClientError" if 400 <= status < 500 else "AlgorithmError"
            raise RecordError(f"Bad HTTP status received from algorithm: {status or 'none'}. {message}", side)
        return self._records.output(records, answer, content_type)

    def _ask(self, worker: Worker, payload: bytes) -> tuple[int, str, bytes]:
        """Status, media type and body of an answer; the status is 0 when there was none in time.

        Raises:
            JobError: the model's process is gone.
        """
        asking = invocations.ask_pipeline(worker.containers, payload, self._headers, self._timeout, None)
        try:
            answer = self._on_loop(asking)
        except aiohttp.ClientConnectorError as error:
            self._raise_ended(error)
        if answer.status == 0 and not answer.container.ready:
            self._raise_ended(answer.body.decode())
        return answer.status, answer.headers.get("Content-Type", ""), answer.body

    def _on_loop(self, awaitable: Coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._job.server.loop).result()

    def _raise_ended(self, reason: object) -> NoReturn:
        self._continue()
        raise JobError(
            "AlgorithmError: See job logs for more information. Unable to get response from algorithm: its process "
            f"ended while it was asked ({reason})"
        )

    def _continue(self) -> None:
        if self._job.cut or self._aborted.is_set():
            raise _StoppedError

    def _raise_unless_stopped(self, future: Future) -> None:
        """The first real failure counts; the objects that it stopped are passed over."""
        error = future.exception()
        if error and not isinstance(error, _StoppedError):
            raise error

    def _tell(self, text: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        self._data_log.write(f"{now}:[sagemaker logs]: {text}")

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.stop()

    def end(self) -> None:
        """Stops the workers; when it returns, what they printed is in CloudWatch Logs, unless the server goes away."""
        self._stop_workers()
        for worker in self._workers:
            self._on_loop(worker.close())
        if self._job.cut != SERVER_STOPPED:
            for worker in self._workers:
                worker.join()
            if self._data_log:
                self._data_log.close()
