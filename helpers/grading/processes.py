"""Families of processes, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path


def children(pid: int) -> list[int]:
    """The children of a process that this one can see."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def family_use(pid: int) -> tuple[int, int]:
    """Bytes of memory that a process and its descendants have for themselves, and the number of their threads."""
    memory, threads, waiting = 0, 0, [pid]
    while waiting:
        member = waiting.pop()
        waiting += children(member)
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    memory += 1024 * int(line.split()[1])
                elif line.startswith("Threads:"):
                    threads += int(line.split()[1])
    return memory, threads


def kill(pids: Iterable[int]) -> None:
    """Kill processes; those that have ended are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
