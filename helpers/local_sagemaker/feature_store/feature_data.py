"""The records of all online stores, and those on their way to the offline stores, in a SQLite file of their own.

A record is in both when PutRecord returns: one transaction writes them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.feature_store.values import Value
from helpers.local_sagemaker.state import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS online (
    feature_group TEXT NOT NULL, identifier TEXT NOT NULL, event_time REAL NOT NULL, expires REAL,
    deleted INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (feature_group, identifier)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS online_expiry ON online (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS on_the_way (
    id INTEGER PRIMARY KEY AUTOINCREMENT, feature_group TEXT NOT NULL, event_time REAL NOT NULL, invoked REAL NOT NULL,
    deleted INTEGER NOT NULL, record TEXT NOT NULL, object TEXT
);
CREATE INDEX IF NOT EXISTS on_the_way_objects ON on_the_way (feature_group, object);
"""
ONLINE, OFFLINE = "OnlineStore", "OfflineStore"


@dataclass(frozen=True)
class Version:
    """One version of a record.

    Attributes:
        identifier: the value of the record identifier.
        event_time: epoch seconds.
        values: by feature.
        expires: epoch seconds, None where it stays.
        deleted: whether it marks a deletion.
    """

    identifier: str
    event_time: float
    values: dict[str, Value]
    expires: float | None = None
    deleted: bool = False


@dataclass(frozen=True)
class OfflineRow:
    """One row of a Parquet file: `invoked` is when the API was called, times are epoch seconds."""

    id: int
    event_time: float
    invoked: float
    deleted: bool
    values: dict[str, Value]


class FeatureData:
    """Records of feature groups; every method may be called from any thread, and what it wrote is on disk.

    Args:
        path: of the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._store = Store(path, _SCHEMA)

    def put(self, group: str, version: Version, stores: Iterable[str], hard: bool = False) -> None:
        """Writes a version to stores; in the online store it replaces no version with a later event time.

        Args:
            group: the feature group.
            version: what is written.
            stores: OnlineStore, OfflineStore or both.
            hard: whether the online store forgets a deleted record altogether.

        Raises:
            AwsError: `ValidationException`; a hard deletion is not later than what is there.
        """
        now, record = time.time(), json.dumps(version.values)
        with self._store.transaction() as connection:
            if ONLINE in stores:
                key = (group, version.identifier)
                connection.execute(
                    "DELETE FROM online WHERE feature_group = ? AND identifier = ? AND expires <= ?", (*key, now)
                )
                if hard:
                    self._delete(key, version.event_time)
                else:
                    row = (*key, version.event_time, version.expires, version.deleted, record)
                    connection.execute(_PUT, row)
            if OFFLINE in stores:
                row = (group, version.event_time, now, version.deleted, record)
                connection.execute(_APPEND, row)

    def _delete(self, key: tuple[str, str], event_time: float) -> None:
        rows = self._store.execute("SELECT event_time FROM online WHERE feature_group = ? AND identifier = ?", key)
        if rows and rows[0][0] >= event_time:
            raise errors.validation("EventTime must be later than the EventTime of the record in the OnlineStore.")
        self._store.execute("DELETE FROM online WHERE feature_group = ? AND identifier = ?", key)

    def get(self, group: str, identifier: str) -> Version | None:
        """The version in the online store, unless it has been deleted or has expired."""
        rows = self._store.execute(
            "SELECT event_time, record, expires FROM online WHERE feature_group = ? AND identifier = ?"
            " AND NOT deleted AND (expires IS NULL OR expires > ?)",
            (group, identifier, time.time()),
        )
        return next((Version(identifier, moment, json.loads(text), ends) for moment, text, ends in rows), None)

    def identifiers(self, group: str, after: str | None, most: int, with_deleted: bool = False) -> list[str]:
        """Identifiers of the records in the online store of a group, in their order, that follow one of them."""
        found = self._store.execute(
            "SELECT identifier FROM online WHERE feature_group = ? AND (? IS NULL OR identifier > ?)"
            " AND (NOT deleted OR ?) AND (expires IS NULL OR expires > ?) ORDER BY identifier LIMIT ?",
            (group, after, after, with_deleted, time.time(), most),
        )
        return [identifier for (identifier,) in found]

    def size(self, group: str) -> int:
        """About how many bytes the online store of a group holds."""
        return self._store.execute(
            "SELECT COALESCE(SUM(LENGTH(record)), 0) FROM online WHERE feature_group = ?", (group,)
        )[0][0]

    def expire(self) -> None:
        """Forgets the records that have expired."""
        self._store.execute("DELETE FROM online WHERE expires <= ?", (time.time(),))

    def drop(self, group: str) -> None:
        """Forgets all records of a group that are here."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM online WHERE feature_group = ?", (group,))
            connection.execute("DELETE FROM on_the_way WHERE feature_group = ?", (group,))

    def groups_on_the_way(self) -> list[str]:
        """The groups with rows that are not in their offline stores."""
        return [name for (name,) in self._store.execute("SELECT DISTINCT feature_group FROM on_the_way")]

    def unplaced(self, group: str, most: int) -> list[tuple[int, float]]:
        """Ids and event times of rows that no object has been chosen for, the oldest first."""
        return self._store.execute(
            "SELECT id, event_time FROM on_the_way WHERE feature_group = ? AND object IS NULL ORDER BY id LIMIT ?",
            (group, most),
        )

    def place(self, objects: dict[str, list[int]]) -> None:
        """Chooses the object that rows will be in: after a kill they are written to the same one again."""
        with self._store.transaction() as connection:
            for key, ids in objects.items():
                connection.executemany("UPDATE on_the_way SET object = ? WHERE id = ?", [(key, each) for each in ids])

    def objects(self, group: str) -> list[str]:
        """The objects that have been chosen and may not have been written."""
        found = self._store.execute(
            "SELECT DISTINCT object FROM on_the_way WHERE feature_group = ? AND object IS NOT NULL", (group,)
        )
        return [key for (key,) in found]

    def rows(self, group: str, key: str) -> list[OfflineRow]:
        """The rows of an object."""
        found = self._store.execute(
            "SELECT id, event_time, invoked, deleted, record FROM on_the_way WHERE feature_group = ? AND object = ?"
            " ORDER BY id",
            (group, key),
        )
        return [OfflineRow(*numbers, bool(deleted), json.loads(text)) for *numbers, deleted, text in found]

    def written(self, group: str, key: str) -> None:
        """The object is in S3: its rows have arrived."""
        self._store.execute("DELETE FROM on_the_way WHERE feature_group = ? AND object = ?", (group, key))

    def close(self) -> None:
        """Closes the file."""
        self._store.close()


_PUT = """
INSERT INTO online VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
event_time = excluded.event_time, expires = excluded.expires, deleted = excluded.deleted, record = excluded.record
WHERE excluded.event_time >= event_time
"""
_APPEND = "INSERT INTO on_the_way (feature_group, event_time, invoked, deleted, record) VALUES (?, ?, ?, ?, ?)"
