"""The events of CloudWatch Logs: in a SQLite file of their own, where moto would keep all of them in memory.

Groups and streams are moto's, and the journal tells it of them again. What is written to a stream is kept here and
nowhere else, so that neither memory nor the start of the server depends on how much was logged. A stream keeps what
its group's retention says, and no more than its last 256 MiB.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker.state import Store

if TYPE_CHECKING:
    from moto.logs.models import LogEvent, LogGroup, LogsBackend, LogStream

    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.journal import Call

MOST_BYTES = 256 * 2**20
_DAY_MILLISECONDS = 86_400_000
_MOST_DROPPED = 20_000  # at once: twice what one call can bring
_AT_ONCE = 1000
_IDS = 10**20  # more than there are
_FIRST, _LAST = -1, 2**62

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, arn TEXT NOT NULL, created INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0, ingested INTEGER NOT NULL DEFAULT 0, UNIQUE (arn, created)
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    ingested INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_order ON events (stream, timestamp, id);
"""

# A stream of the same name that is made again is another one.
Key = tuple[str, int]
Event = tuple[int, int, int, str]  # id, timestamp, time of ingestion, message
Position = tuple[int, int]  # timestamp and id


class LogEvents:
    """The events of all streams.

    Args:
        path: of the SQLite file.
        most_bytes: of a stream's messages; the oldest go first.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._store = Store(path, _SCHEMA)
        self._most_bytes = most_bytes
        self._is_told_again = False

    @contextlib.contextmanager
    def told_again(self) -> Iterator[None]:
        """While the journal is told again, what comes is here already."""
        self._is_told_again = True
        try:
            yield
        finally:
            self._is_told_again = False

    def add(self, stream: Key, events: Iterable[tuple[int, int, str]], retention_days: int | None = None) -> None:
        """Adds events, each a timestamp, a time of ingestion and a message; they are on disk when it returns."""
        rows = list(events)
        if self._is_told_again or not rows:
            return
        with self._store.transaction() as connection:
            number = connection.execute(_STREAM, (*stream, rows[-1][1])).fetchone()[0]
            connection.executemany(_ADD, [(number, *row) for row in rows])
            added = sum(len(message.encode()) for *_, message in rows)
            oldest = (time.time() * 1000 - retention_days * _DAY_MILLISECONDS) if retention_days else 0
            kept = connection.execute(_COUNT, (added, number)).fetchone()[0]
            dropped, freed = [], 0
            for row, timestamp, size in connection.execute(_OLDEST, (number, _MOST_DROPPED)):
                if timestamp >= oldest and kept - freed <= self._most_bytes:
                    break
                dropped.append((row,))
                freed += size
            connection.executemany("DELETE FROM events WHERE id = ?", dropped)
            connection.execute("UPDATE streams SET bytes = bytes - ? WHERE id = ?", (freed, number))

    def page(self, stream: Key, after: Position, before: Position, limit: int, from_end: bool = False) -> list[Event]:
        """At most `limit` events between two positions, oldest first: the first ones, or the last."""
        statement = _PAGE.format("DESC" if from_end else "ASC")
        found = self._store.execute(statement, (*stream, *after, *before, limit))
        return found[::-1] if from_end else found

    def all(self, stream: Key, begin: int = _FIRST, end: int = _LAST) -> Iterator[Event]:
        """A stream's events from one timestamp to another, both included, oldest first."""
        after = (begin, _FIRST)
        while found := self.page(stream, after, (end, _LAST), _AT_ONCE):
            yield from found
            after = found[-1][1], found[-1][0]

    def totals(self, stream: Key) -> tuple[int, int, int, int, int] | None:
        """Bytes, calls that brought events, time of the last one, and the first and last timestamp; None of none."""
        found = self._store.execute(_TOTALS, stream)
        return found[0] if found and found[0][3] is not None else None

    def delete(self, stream: Key) -> None:
        """Forgets a stream's events."""
        with self._store.transaction() as connection:
            connection.execute(_DELETE_EVENTS, stream)
            connection.execute("DELETE FROM streams WHERE (arn, created) = (?, ?)", stream)

    def close(self) -> None:
        """Closes the file."""
        self._store.close()


_STREAM = """
INSERT INTO streams (arn, created, ingested, calls) VALUES (?, ?, ?, 1)
ON CONFLICT DO UPDATE SET ingested = excluded.ingested, calls = calls + 1 RETURNING id
"""
_ADD = "INSERT INTO events (stream, timestamp, ingested, message) VALUES (?, ?, ?, ?)"
_COUNT = "UPDATE streams SET bytes = bytes + ? WHERE id = ? RETURNING bytes"
_OLDEST = """
SELECT id, timestamp, LENGTH(CAST(message AS BLOB)) FROM events WHERE stream = ? ORDER BY timestamp, id LIMIT ?
"""
_DELETE_EVENTS = "DELETE FROM events WHERE stream IN (SELECT id FROM streams WHERE (arn, created) = (?, ?))"
_PAGE = """
SELECT id, timestamp, ingested, message FROM events
WHERE stream = (SELECT id FROM streams WHERE (arn, created) = (?, ?))
AND (timestamp, id) > (?, ?) AND (timestamp, id) < (?, ?) ORDER BY timestamp {0}, id {0} LIMIT ?
"""
_TOTALS = """
SELECT bytes, calls, ingested, (SELECT MIN(timestamp) FROM events WHERE stream = streams.id),
(SELECT MAX(timestamp) FROM events WHERE stream = streams.id) FROM streams WHERE (arn, created) = (?, ?)
"""


class _EventsOfStream:
    """What moto takes for the list of a stream's events."""

    def __init__(self, kept: LogEvents, stream: LogStream) -> None:
        self._kept, self._stream = kept, stream

    def __iter__(self) -> Iterator[LogEvent]:
        from moto.logs.models import LogEvent

        for number, timestamp, ingested, message in self._kept.all(_key(self._stream)):
            event = LogEvent(ingested, {"timestamp": timestamp, "message": message})
            event.event_id = number
            yield event

    def __bool__(self) -> bool:
        return self._kept.totals(_key(self._stream)) is not None

    def __iadd__(self, events: list[LogEvent]) -> _EventsOfStream:
        # JSON can spell half a surrogate pair, which no file can hold.
        rows = [
            (each.timestamp, each.ingestion_time, each.message.encode(errors="replace").decode()) for each in events
        ]
        self._kept.add(_key(self._stream), rows, self._stream.log_group.retention_in_days)
        return self


def _key(stream: LogStream) -> Key:
    return stream.arn, round(stream.creation_time.replace(tzinfo=UTC).timestamp() * 1e6)


@functools.cache
def install(server: Server) -> None:
    """Puts the events of moto's streams here."""
    from moto.logs.models import LogGroup, LogsBackend, LogStream

    kept = server.log_events
    told_delete_stream, told_delete_group = LogGroup.delete_log_stream, LogsBackend.delete_log_group

    def _update(self: LogStream) -> None:
        if totals := kept.totals(_key(self)):
            self.stored_bytes, self.upload_sequence_token, ingested, *bounds = totals
            self.last_ingestion_time = datetime.fromtimestamp(ingested / 1000, UTC).replace(tzinfo=None)
            self.first_event_timestamp, self.last_event_timestamp = bounds

    def get_log_events(self: LogStream, *asked: object) -> tuple[list[dict], str, str]:
        return _get_log_events(kept, self, *asked)

    def filter_log_events(self: LogStream, *asked: object) -> list[dict]:
        return _filter_log_events(kept, self, *asked)

    def delete_log_stream(self: LogGroup, log_stream_name: str) -> None:
        stream = self.streams.get(log_stream_name)
        told_delete_stream(self, log_stream_name)
        kept.delete(_key(stream))

    def delete_log_group(self: LogsBackend, log_group_name: str) -> None:
        group = self.groups.get(log_group_name)
        told_delete_group(self, log_group_name)
        for stream in group.streams.values():
            kept.delete(_key(stream))

    LogStream.events = property(lambda self: _EventsOfStream(kept, self), lambda self, events: None)
    LogStream._update = _update
    LogStream.get_log_events, LogStream.filter_log_events = get_log_events, filter_log_events
    LogGroup.delete_log_stream, LogsBackend.delete_log_group = delete_log_stream, delete_log_group


def _get_log_events(
    kept: LogEvents,
    stream: LogStream,
    start_time: int | None,
    end_time: int | None,
    limit: int | None,
    next_token: str | None,
    start_from_head: bool,
) -> tuple[list[dict], str, str]:
    """GetLogEvents: a page, and the tokens of the pages before and after it."""
    after = (start_time or 0, _FIRST)
    before = (end_time, _FIRST) if end_time else (_LAST, _LAST)
    from_end = not start_from_head
    direction, position = _read_token(next_token)
    if direction == "f":
        after, from_end = max(after, position), False
    elif direction == "b":
        before, from_end = min(before, position), True
    found = kept.page(_key(stream), after, before, limit or 10_000, from_end)
    first, last = ((found[0][1], found[0][0]), (found[-1][1], found[-1][0])) if found else (position, position)
    events = [
        {"ingestionTime": ingested, "message": message, "timestamp": timestamp}
        for _, timestamp, ingested, message in found
    ]
    return events, _token("b", first), _token("f", last)


def _filter_log_events(
    kept: LogEvents, stream: LogStream, start_time: int | None, end_time: int | None, pattern: str | None
) -> list[dict]:
    """FilterLogEvents: those of one stream."""
    from moto.logs.utils import EventMessageFilter

    matches = EventMessageFilter(pattern).matches
    return [
        {
            "eventId": str(number),
            "ingestionTime": ingested,
            "message": message,
            "timestamp": timestamp,
            "logStreamName": stream.log_stream_name,
        }
        for number, timestamp, ingested, message in kept.all(_key(stream), start_time or _FIRST, end_time or _LAST)
        if matches(message)
    ]


def _token(direction: str, position: Position) -> str:
    timestamp, number = position
    return f"{direction}/{timestamp * _IDS + number:056d}"


def _read_token(token: str | None) -> tuple[str, Position]:
    from moto.logs.exceptions import InvalidParameterException

    if token is None:
        return "", (0, 0)
    direction, _, digits = token.partition("/")
    if direction not in ("f", "b") or not digits.isdecimal():
        raise InvalidParameterException("The specified nextToken is invalid.")
    return direction, divmod(int(digits), _IDS)


def is_kept(call: Call) -> bool:
    """Whether all that a call changes is here, so that the journal does without it."""
    if (call.service, call.operation) != ("logs", "PutLogEvents"):
        return False
    from moto.logs.models import logs_backends

    # What a subscription passes on is kept by another service.
    backends = [region for account in logs_backends.values() for region in account.values()]
    return not any(group.subscription_filters for backend in backends for group in backend.groups.values())
