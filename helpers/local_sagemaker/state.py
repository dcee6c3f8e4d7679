"""State that survives `kill -9`: one SQLite file, one row per resource."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers.local_sagemaker import kinds

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (arn, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, time REAL NOT NULL, seed INTEGER NOT NULL,
    method TEXT NOT NULL, url TEXT NOT NULL, headers TEXT NOT NULL, body BLOB, body_file TEXT,
    slot TEXT, upload TEXT, upload_over INTEGER NOT NULL DEFAULT 0, copy_source TEXT
);
CREATE INDEX IF NOT EXISTS journal_slot ON journal (slot) WHERE slot IS NOT NULL;
CREATE INDEX IF NOT EXISTS journal_copy_source ON journal (copy_source) WHERE copy_source IS NOT NULL;
CREATE TABLE IF NOT EXISTS alarm_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, alarm TEXT NOT NULL, type TEXT NOT NULL, time REAL NOT NULL,
    kind TEXT NOT NULL, summary TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS alarm_history_alarm ON alarm_history (alarm);
CREATE TABLE IF NOT EXISTS sources (
    uri TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (uri, kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS associations (
    source TEXT NOT NULL, destination TEXT NOT NULL, type TEXT NOT NULL, source_type TEXT NOT NULL,
    destination_type TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (source, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS associations_destination ON associations (destination, source);
CREATE TABLE IF NOT EXISTS trial_parts (
    trial TEXT NOT NULL, component TEXT NOT NULL, PRIMARY KEY (trial, component)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS trial_parts_component ON trial_parts (component);
CREATE TABLE IF NOT EXISTS run_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, component TEXT NOT NULL, metric TEXT NOT NULL, time REAL NOT NULL,
    step INTEGER, value REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS run_metrics_component ON run_metrics (component, metric);
CREATE TABLE IF NOT EXISTS state_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, time REAL NOT NULL,
    before TEXT, after TEXT
);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, bus TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, invocation TEXT NOT NULL, accepted REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS deliveries_lane ON deliveries (lane);
CREATE TABLE IF NOT EXISTS state_change_readers (reader TEXT PRIMARY KEY, passed INTEGER NOT NULL) WITHOUT ROWID;
"""

# A resource comes into another state when one of its members with such a name changes.
STATE_MEMBERS = ("Status", "StateValue", "PendingDeploymentSummary")


class Store:
    """Resources by kind and name, and their tags; every method may be called from any thread.

    A record is the JSON-able body that Describe returns. Keys that begin with `_` are private: kept here, never sent.
    Times are epoch seconds. Kinds are botocore's words, such as TrainingJob: see `kinds`.
    A change is on disk when the method returns.

    Attributes:
        on_change: called when a resource is made, deleted, or comes into another state.

    Args:
        path: of the file.
        schema: what makes its tables, for data of another kind.
    """

    def __init__(self, path: Path, schema: str = SCHEMA) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.RLock()
        self.on_change: Callable[[], None] = lambda: None
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(schema)
        except sqlite3.DatabaseError as error:
            error.add_note(str(path))
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is written at once, or not at all; re-entrant."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already; what stayed open would swallow all that comes after.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def put(self, kind: str, name: str, record: dict) -> dict:
        """Adds a resource; CreationTime and LastModifiedTime are set where the record has none.

        Raises:
            AwsError: the name is taken. Jobs answer `ResourceInUse`; models, endpoints and endpoint configurations
                answer `ValidationException`, "Cannot create already existing ...", as AWS does.
        """
        now = time.time()
        record = {"CreationTime": now, "LastModifiedTime": now} | record
        try:
            with self.transaction() as connection:
                connection.execute("INSERT INTO resources VALUES (?, ?, ?)", (kind, name, json.dumps(record)))
                self._note_change(kind, name, None, record)
        except sqlite3.IntegrityError:
            raise kinds.of(kind).already_exists(name) from None
        return record

    def get(self, kind: str, name: str) -> dict | None:
        """A copy of the record, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT record FROM resources WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def require(self, kind: str, name: str) -> dict:
        """A copy of the record.

        Raises:
            AwsError: there is none; `ValidationException`, worded as AWS words it for this kind.
        """
        record = self.get(kind, name)
        if record is None:
            raise kinds.of(kind).does_not_exist(name)
        return record

    def update(self, kind: str, name: str, **changes: object) -> dict:
        """Changes top-level members at once and sets LastModifiedTime; a value of None removes the member.

        Raises:
            AwsError: there is no such resource.
        """
        with self.transaction() as connection:
            before = self.require(kind, name)
            record = before | {"LastModifiedTime": time.time()} | changes
            record = {key: value for key, value in record.items() if value is not None}
            connection.execute(
                "UPDATE resources SET record = ? WHERE kind = ? AND name = ?", (json.dumps(record), kind, name)
            )
            if _state(before) != _state(record):
                self._note_change(kind, name, before, record)
        return record

    def delete(self, kind: str, name: str) -> None:
        """Removes a resource, and its tags.

        Raises:
            AwsError: there is no such resource.
        """
        with self.transaction() as connection:
            before = self.require(kind, name)
            connection.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))
            connection.execute("DELETE FROM tags WHERE arn = ?", (kinds.of(kind).arn(name),))
            self._note_change(kind, name, before, None)

    def _note_change(self, kind: str, name: str, before: dict | None, after: dict | None) -> None:
        """Writes a change down for those who listen, in the transaction that makes it; see `state_changes`."""
        records = (None if record is None else json.dumps(record) for record in (before, after))
        self._connection.execute(
            "INSERT INTO state_changes (kind, name, time, before, after) VALUES (?, ?, ?, ?, ?)",
            (kind, name, time.time(), *records),
        )
        self.on_change()

    def list(self, kind: str, prefix: str = "") -> list[dict]:
        """Copies of all records of a kind whose names begin with a prefix, in the order of their names."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT record FROM resources WHERE kind = ? AND name >= ? AND name < ? ORDER BY name",
                (kind, prefix, prefix + chr(sys.maxunicode)),
            ).fetchall()
        return [json.loads(record) for (record,) in rows]

    def execute(self, statement: str, parameters: tuple | dict = ()) -> list[tuple]:
        """The rows of one statement, for the tables that are not resources (tags and the journal)."""
        with self._lock:
            return self._connection.execute(statement, parameters).fetchall()

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()


def _state(record: dict) -> dict:
    return {name: value for name, value in record.items() if name.endswith(STATE_MEMBERS)}
