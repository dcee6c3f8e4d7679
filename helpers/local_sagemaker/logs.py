"""Log lines shipped to CloudWatch Logs while a job or a worker runs."""

from __future__ import annotations

import collections
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
LONGEST_TAIL = 4000  # of a line that is kept to tell why a process ended
_MOST_WAITING = 20_000  # lines; then the process waits with its output
# A log may grow by so much at once, and then by so much a second; an endless one fills neither memory nor disk.
_BURST_BYTES, _BYTES_A_SECOND = 64e6, 64e3
_COST_OF_EVENT = 200
_LAST_LINES = 100
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
        self._events: queue.Queue[dict | None] = queue.Queue(_MOST_WAITING)
        self._allowance, self._allowed_at = _BURST_BYTES, time.monotonic()
        self._left_out = 0
        self._last: collections.deque[dict] = collections.deque(maxlen=_LAST_LINES)
        self._thread = threading.Thread(target=self._ship, name=f"logs {stream}", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Adds a line; empty ones are left out, as CloudWatch has no empty events. Waits when too many wait already."""
        line = line.rstrip("\r\n")
        if line:
            self._events.put({"timestamp": int(time.time() * 1000), "message": line[:LONGEST_EVENT]})

    def close(self) -> None:
        """Returns when every line can be read in CloudWatch."""
        self._events.put(None)
        self._thread.join()

    def _ship(self) -> None:
        made, ended = False, False
        while not ended:
            batch, ended = self._gather()
            try:
                if not made:
                    self._make_stream()
                    made = True
                for part in _parts(self._allowed(batch, ended)):
                    self._server.client("logs").put_log_events(
                        logGroupName=self._group, logStreamName=self._stream, logEvents=part
                    )
            except (ClientError, BotoCoreError) as error:
                logger.warning("log stream %s %s lost %d lines: %s", self._group, self._stream, len(batch), error)

    def _allowed(self, batch: list[dict], ended: bool) -> list[dict]:
        """The events that are shipped: all but those of a log that grows too fast, and of those the last."""
        now = time.monotonic()
        grown = (now - self._allowed_at) * _BYTES_A_SECOND
        self._allowance, self._allowed_at = min(self._allowance + grown, _BURST_BYTES), now
        shipped = []
        for event in batch:
            cost = len(event["message"]) + _COST_OF_EVENT
            if cost > self._allowance:
                self._left_out += 1
                self._last.append(event)
                continue
            if self._left_out:
                shipped += self._told()
            self._allowance -= cost
            shipped.append(event)
        return shipped + self._told() if ended and self._left_out else shipped

    def _told(self) -> list[dict]:
        """Says how many lines were left out, and adds the last of them."""
        last, count = list(self._last), self._left_out - len(self._last)
        self._last.clear()
        self._left_out = 0
        text = f"[local SageMaker] {count} lines are left out here: the log grew too fast."
        return [{"timestamp": last[0]["timestamp"], "message": text}, *last]

    def _gather(self) -> tuple[list[dict], bool]:
        """The events of the next moment, and whether they are the last."""
        batch, event = [], self._events.get()
        deadline = time.monotonic() + _GATHER_SECONDS
        while event is not None:
            batch.append(event)
            if len(batch) == _MOST_EVENTS:
                return batch, False
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
