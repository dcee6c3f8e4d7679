"""Memory limits of containers: one whose processes use more than they may is ended, as on AWS.

The kernel's own limits do not serve here: control groups need rights that an unprivileged user lacks, and a limit of
the address space refuses what a library reserves and never touches. So a thread looks at the resident memory.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.workers import Container

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
    family = _family(pid)
    # Resident memory is quick to read and counts shared pages several times: it can rule an excess out, not in.
    if sum(_resident(process) for process in family) <= limit:
        return False
    return sum(_proportional(process) for process in family) > limit


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        family = [root]
        if Path(f"/proc/{pid}/task/{pid}/children").exists():
            for process in family:
                family += [psutil.Process(child) for child in _children(process.pid)]
            return family
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _children(pid: int) -> list[int]:
    """Children by /proc: psutil reads the table of all processes for them, which is too much ten times a second."""
    children: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    except OSError:
        return children
    return children


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return getattr(full, "pss", full.rss)


def start(server: Server) -> None:
    """Begins to look."""
    server.memory_watch = MemoryWatch()


def stop(server: Server) -> None:
    """Stops looking."""
    server.memory_watch.stop()
