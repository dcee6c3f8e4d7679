"""Memory limits of containers: one whose processes use more than they may is ended, as on AWS.

The kernel's own limits do not serve here: control groups need rights that an unprivileged user lacks, and a limit of
the address space refuses what a library reserves and never touches. So a thread looks at the resident memory.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from helpers.local_sagemaker import process_tree

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.containers import Container

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
MEBIBYTE = 2**20


class MemoryWatch:
    """The thread that looks at the containers with a limit; it sleeps while there is none."""

    def __init__(self) -> None:
        self._limits: dict[Container, int] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="memory-watch")
        self._thread.start()

    def add(self, container: Container, megabytes: int) -> None:
        """Holds a container to a limit until it is stopped."""
        with self._changed:
            self._limits[container] = megabytes
            self._changed.notify()

    def stop(self) -> None:
        """Stops looking."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._limits)
                self._changed.wait_for(lambda: self._stopped, timeout=LOOK_SECONDS)
                if self._stopped:
                    return
                self._limits = {one: limit for one, limit in self._limits.items() if not one.is_stopped}
                limits = list(self._limits.items())
            for container, megabytes in limits:
                if container.pid is not None and exceeds(container.pid, megabytes * MEBIBYTE):
                    reason = f"The container used more than its {megabytes} MB of memory and was ended."
                    logger.warning("container %s: %s", container.log, reason)
                    container.kill(reason)


def exceeds(pid: int, limit: int) -> bool:
    """Whether a process and its descendants use more bytes than `limit`; what they share counts once."""
    resident = process_tree.usage(pid).resident
    # Resident memory is quick to read and counts shared pages several times: it can rule an excess out, not in.
    if resident <= limit:
        return False
    proportional = process_tree.proportional(pid)
    return (resident if proportional is None else proportional) > limit


def start(server: Server) -> None:
    """Begins to look."""
    server.memory_watch = MemoryWatch()


def stop(server: Server) -> None:
    """Stops looking."""
    server.memory_watch.stop()
