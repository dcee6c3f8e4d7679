"""Work that goes on beside the requests: a thread that sleeps until it is woken, or until there is something due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

STOP_SECONDS = 5.0


class Background:
    """A thread that takes one turn after the other; one that fails is logged, and taken again.

    Args:
        name: the thread's, for its log lines too.
        turn: does what is due, and returns the seconds until something is: 0 for at once, None for not before it is
            woken.
        retry_seconds: the longest wait after a turn that failed.
    """

    def __init__(self, name: str, turn: Callable[[], float | None], retry_seconds: float = 1.0) -> None:
        self._name, self._turn, self._retry_seconds = name, turn, retry_seconds
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopped(self) -> bool:
        """Whether the turn that is being taken is the last one."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Takes the first turn at once."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do now."""
        self._woken.set()

    def pause(self, seconds: float) -> bool:
        """Waits within a turn; returns at once, and True, when the thread is to end."""
        return self._stopped.wait(seconds)

    def stop(self) -> None:
        """Ends the thread after its turn, for which it waits a while."""
        self._stopped.set()
        self._woken.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _run(self) -> None:
        while not self.is_stopped:
            self._woken.clear()
            try:
                seconds = self._turn()
            except Exception:
                if self.is_stopped:
                    return
                logger.exception("%s: a turn failed, and is taken again", self._name)
                seconds = self._retry_seconds
            if not self.is_stopped:
                self._woken.wait(seconds)
