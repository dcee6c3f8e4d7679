"""Log lines shipped to CloudWatch Logs while a job or a worker runs."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.2
_MOST_EVENTS = 10_000
_MOST_BYTES = 1_000_000
LONGEST_EVENT = 250_000
_EVENT_OVERHEAD = 26


class LogWriter:
    """Ships lines to one log stream in batches; the group and the stream are made with the first batch.

    Args:
        server: whose CloudWatch Logs is written to.
        group: the log group, such as `/aws/sagemaker/TrainingJobs`.
        stream: the log stream, such as `my-job/algo-1-1767225600`.
    """

    def __init__(self, server: Server, group: str, stream: str) -> None:
        self._server, self._group, self._stream = server, group, stream
        self._events: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._ship, name=f"logs {stream}", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Adds a line; empty ones are left out, as CloudWatch has no empty events."""
        line = line.rstrip("\r\n")
        if line:
            self._events.put({"timestamp": int(time.time() * 1000), "message": line[:LONGEST_EVENT]})

    def close(self) -> None:
        """Returns when every line can be read in CloudWatch."""
        self._events.put(None)
        self._thread.join()

    def _ship(self) -> None:
        try:
            self._make_stream()
            ended = False
            while not ended:
                batch, ended = self._gather()
                for part in _parts(batch):
                    self._server.client("logs").put_log_events(
                        logGroupName=self._group, logStreamName=self._stream, logEvents=part
                    )
        except (ClientError, BotoCoreError) as error:
            logger.warning("log stream %s %s: %s", self._group, self._stream, error)

    def _gather(self) -> tuple[list[dict], bool]:
        """The events of the next moment, and whether they are the last."""
        batch, event = [], self._events.get()
        deadline = time.monotonic() + _GATHER_SECONDS
        while event is not None:
            batch.append(event)
            try:
                event = self._events.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, False
        return batch, True

    def _make_stream(self) -> None:
        logs = self._server.client("logs")
        calls = (
            (logs.create_log_group, {"logGroupName": self._group}),
            (logs.create_log_stream, {"logGroupName": self._group, "logStreamName": self._stream}),
        )
        for create, arguments in calls:
            try:
                create(**arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                    raise


def _parts(events: list[dict]) -> list[list[dict]]:
    """Events cut into batches that PutLogEvents takes."""
    parts, size = [], _MOST_BYTES
    for event in events:
        bytes_needed = len(event["message"].encode()) + _EVENT_OVERHEAD
        if not parts or size + bytes_needed > _MOST_BYTES or len(parts[-1]) == _MOST_EVENTS:
            parts.append([])
            size = 0
        parts[-1].append(event)
        size += bytes_needed
    return parts
