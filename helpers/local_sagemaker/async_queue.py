"""The requests that asynchronous endpoints have acknowledged and not yet answered, on disk: a queue per endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.local_sagemaker.state import Store

_TABLE = """
CREATE TABLE IF NOT EXISTS async_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, received REAL NOT NULL, expires REAL NOT NULL,
    details TEXT NOT NULL, body BLOB
)
"""
_INDEX = "CREATE INDEX IF NOT EXISTS async_requests_endpoint ON async_requests (endpoint, id, expires)"
_NEXT = """
SELECT id, received, expires, details, body FROM async_requests
WHERE endpoint = ? AND (? OR expires <= ?) AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 1
"""


@dataclass(frozen=True)
class AsyncRequest:
    """One acknowledged request.

    Args:
        id: rises from one request to the next.
        endpoint: its name.
        received: epoch seconds.
        expires: epoch seconds after which its processing no longer begins.
        details: its members, where its answer goes, and how to tell of it; settled when it was acknowledged.
        body: its payload, None when that lies in S3.
    """

    id: int
    endpoint: str
    received: float
    expires: float
    details: dict
    body: bytes | None

    @property
    def has_expired(self) -> bool:
        """Whether it has waited too long."""
        return self.expires <= time.time()


class AsyncQueue:
    """All requests, in the order in which they came; every method may be called from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.execute(_TABLE)
        store.execute(_INDEX)

    def put(self, endpoint: str, details: dict, body: bytes | None, ttl_seconds: float) -> None:
        """Adds a request: on disk when it returns."""
        now = time.time()
        self._store.execute(
            "INSERT INTO async_requests (endpoint, received, expires, details, body) VALUES (?, ?, ?, ?, ?)",
            (endpoint, now, now + ttl_seconds, json.dumps(details), body),
        )

    def next(self, endpoint: str, begun: Iterable[int], only_expired: bool) -> AsyncRequest | None:
        """The oldest request that is not among those begun, or the oldest of them that has expired."""
        parameters = (endpoint, not only_expired, time.time(), json.dumps(list(begun)))
        for number, received, expires, details, body in self._store.execute(_NEXT, parameters):
            return AsyncRequest(number, endpoint, received, expires, json.loads(details), body)
        return None

    def remove(self, request: AsyncRequest) -> None:
        """Forgets a request that is answered."""
        self._store.execute("DELETE FROM async_requests WHERE id = ?", (request.id,))

    def forget(self, endpoint: str) -> None:
        """Drops all requests of an endpoint."""
        self._store.execute("DELETE FROM async_requests WHERE endpoint = ?", (endpoint,))

    def backlog(self) -> dict[str, tuple[int, float]]:
        """How many requests an endpoint has, waiting or under way, and since when the oldest waits (epoch seconds)."""
        counted = "SELECT endpoint, COUNT(*), MIN(received) FROM async_requests GROUP BY endpoint"
        return {endpoint: (count, oldest) for endpoint, count, oldest in self._store.execute(counted)}
