"""Tells who listens of every resource that is made, deleted, or comes into another state; a kill loses no change.

The store writes a change in the transaction that makes it (a transactional outbox), and each subscriber's place in the
line is kept beside it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker.background import Background

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

RETRY_SECONDS = (0.1, 1.0, 5.0)
_BATCH = 100


@dataclass(frozen=True)
class StateChange:
    """One change of one resource.

    Attributes:
        id: grows with every change.
        kind: botocore's word, such as TrainingJob.
        name: the resource's name.
        time: epoch seconds.
        before: its record before the change; None when it was made.
        after: its record after the change; None when it was deleted.
    """

    id: int
    kind: str
    name: str
    time: float
    before: dict | None
    after: dict | None


Handler = Callable[[StateChange], None]


class StateChanges:
    """The subscribers, each with a thread of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._subscribers: list[_Subscriber] = []

    def subscribe(self, name: str, handler: Handler) -> None:
        """Has every change handled in order, at least once, from where the subscriber of this name stopped last.

        A handler that raises gets the change again, a few times; then the change is logged and left.

        Args:
            name: the subscriber's, the same at each start of the server.
            handler: called in one thread.
        """
        self._subscribers.append(_Subscriber(self._server, name, handler))

    def wake(self) -> None:
        """There is a new change."""
        for subscriber in self._subscribers:
            subscriber.background.wake()

    def stop(self) -> None:
        """Ends the threads; what was not handled is, after the next start."""
        for subscriber in self._subscribers:
            subscriber.background.stop()


class _Subscriber:
    def __init__(self, server: Server, name: str, handler: Handler) -> None:
        self._server, self._name, self._handler = server, name, handler
        with server.store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO state_change_readers VALUES (?, 0)", (name,))
        self.background = Background(f"state changes to {name}", self._hand_on, retry_seconds=RETRY_SECONDS[-1])
        self.background.start()

    def _hand_on(self) -> float | None:
        changes = self._next()
        for change in changes:
            if self.background.is_stopped or not self._handle(change):
                break
            self._pass(change)
        return 0 if changes else None

    def _next(self) -> list[StateChange]:
        rows = self._server.store.execute(
            "SELECT id, kind, name, time, before, after FROM state_changes"
            " WHERE id > (SELECT passed FROM state_change_readers WHERE reader = ?) ORDER BY id LIMIT ?",
            (self._name, _BATCH),
        )
        return [StateChange(*row[:4], *(json.loads(record) if record else None for record in row[4:])) for row in rows]

    def _handle(self, change: StateChange) -> bool:
        """Whether the change is done with: handled, or left after some tries; not when the server stops meanwhile."""
        for seconds in (*RETRY_SECONDS, None):
            try:
                self._handler(change)
                return True
            except Exception:
                if self.background.is_stopped:
                    return False
                logger.exception("%s failed on change %d of %s %s", self._name, change.id, change.kind, change.name)
                if seconds is not None and self.background.pause(seconds):
                    return False
        return True

    def _pass(self, change: StateChange) -> None:
        with self._server.store.transaction() as connection:
            connection.execute("UPDATE state_change_readers SET passed = ? WHERE reader = ?", (change.id, self._name))
            connection.execute("DELETE FROM state_changes WHERE id <= (SELECT MIN(passed) FROM state_change_readers)")


def start(server: Server) -> None:
    """Makes the line that modules which start later subscribe to."""
    server.state_changes = StateChanges(server)
    server.store.on_change = server.state_changes.wake


def stop(server: Server) -> None:
    """Ends the subscribers."""
    server.state_changes.stop()
