"""The processes below a process, found by what that tree costs and not by what the whole machine runs."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a tree uses: processes, the threads in them, and resident bytes, shared ones counted each time."""

    processes: int
    threads: int
    resident: int


def descendants(pid: int) -> list[int]:
    """Processes below a process that still run; parents come before their children."""
    if sys.platform != "linux":
        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    found, left = [], children(pid)
    while left:
        child = left.pop()
        found.append(child)
        left += children(child)
    return [child for child in found if not is_zombie(child)]


def usage(pid: int) -> Usage:
    """What a process and those below it use."""
    pids = [pid, *descendants(pid)]
    threads = sum(len(_threads(member)) for member in pids) if sys.platform == "linux" else len(pids)
    return Usage(len(pids), threads, sum(map(_resident, pids)))


def proportional(pid: int, with_files: bool = True) -> int | None:
    """Bytes of a tree in which pages that processes share count once; None where the system does not tell.

    Args:
        pid: of the process at the top.
        with_files: whether pages of mapped files count, which the system takes back when it needs them.
    """
    total = 0
    for member in (pid, *descendants(pid)):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except ProcessLookupError:
            continue
        except OSError:
            return None
        sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        total += sizes["Pss"] - (0 if with_files else sizes.get("Pss_File", 0))
    return total


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits to be reaped, or is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - called for every process ten times a second
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def name(pid: int) -> str:
    """The name of a process's program, empty when it is gone."""
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def _resident(pid: int) -> int:
    try:
        if sys.platform == "linux":
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        return psutil.Process(pid).memory_info().rss
    except (OSError, psutil.Error):
        return 0
