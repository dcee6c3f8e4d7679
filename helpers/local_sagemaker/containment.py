"""Bounds on what the processes of one instance use: memory, processes, disk.

Control groups can seldom be had without being the system's administrator, and root is exempt from RLIMIT_NPROC: so a
thread looks at the process tree several times a second, and ends it when it uses more than its instance has. What one
process may do between two looks is bounded by the kernel: see `sandbox.launch`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from helpers.local_sagemaker import process_tree, sandbox

GIB = 1024**3
JOB_SECONDS, WORKER_SECONDS = 0.1, 0.5  # between two looks
_MOST_PROCESSES = 2000
_THREADS_PER_PROCESS = 8
_SHARE_OF_MEMORY, _SHARE_OF_FREE_DISK = 0.9, 0.9
_LEAST_FREE_DISK = 32 * 1024**2  # of the machine: who wrote more than that is ended before it is all gone
_DISK_SECONDS, _DISK_SHARE = 0.5, 0.05  # a look at the disk: how often at most, and how much of the time it takes
_INSTANCE = re.compile(r"ml\.(?P<family>[a-z]+)\d[a-z]*\.(?P<size>\w+)")
_GIB_PER_VCPU = {"c": 2, "g": 4, "m": 4, "r": 8}
_BURSTABLE_GIB = {"medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}


@dataclass(frozen=True)
class Limits:
    """What an instance has.

    Attributes:
        memory: bytes.
        processes: how many may run at once.
        disk: bytes of the volume.
        instance_type: whose limits they are, for messages.
    """

    memory: float
    processes: int
    disk: float
    instance_type: str = "the machine"


def limits(home: Path, instance_type: str | None = None, volume_gb: float | None = None) -> Limits:
    """The limits of an instance type, or the machine's where it has less.

    The variables LOCAL_SAGEMAKER_MAX_MEMORY_GB, LOCAL_SAGEMAKER_MAX_DISK_GB and LOCAL_SAGEMAKER_MAX_PROCESSES lower
    them, each for one instance.

    Args:
        home: a folder on the disk that is written to.
        instance_type: such as `ml.m5.large`; one whose memory is not known has the machine's.
        volume_gb: VolumeSizeInGB.
    """
    memory = [psutil.virtual_memory().total * _SHARE_OF_MEMORY, _setting("MAX_MEMORY_GB")]
    disk = [shutil.disk_usage(home).free * _SHARE_OF_FREE_DISK, _setting("MAX_DISK_GB")]
    if instance_type and (known := instance_memory(instance_type)):
        memory.append(known)
    if volume_gb:
        disk.append(volume_gb * GIB)
    processes = int(os.environ.get("LOCAL_SAGEMAKER_MAX_PROCESSES", _MOST_PROCESSES))
    return Limits(min(memory), processes, min(disk), instance_type or "the machine")


def _setting(name: str) -> float:
    return float(os.environ.get(f"LOCAL_SAGEMAKER_{name}", "inf")) * GIB


def instance_memory(instance_type: str) -> float | None:
    """Bytes of memory of an instance type, None when its family is not known here."""
    match = _INSTANCE.fullmatch(instance_type)
    if match is None:
        return None
    family, size = match["family"], match["size"]
    if family == "t":
        gib = _BURSTABLE_GIB.get(size)
    else:
        number = re.fullmatch(r"(\d*)xlarge", size)
        vcpus = 2 if size == "large" else 4 * int(number[1] or 1) if number else None
        gib = vcpus and family in _GIB_PER_VCPU and _GIB_PER_VCPU[family] * vcpus
    return gib * GIB if gib else None


class Watch:
    """Looks at the tree of one process until it has ended, or has been ended for what it used.

    Args:
        process: as `sandbox.launch` started it.
        limits: what it may use.
        folders: on its volume.
        name: of the instance, for messages.
        seconds: between two looks.
        on_breach: called with the reason when the tree was ended.
    """

    def __init__(
        self,
        process: subprocess.Popen,
        limits: Limits,
        folders: Iterable[Path] = (),
        name: str = "the instance",
        seconds: float = WORKER_SECONDS,
        on_breach: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.breach: str | None = None
        self._process, self._limits, self._folders = process, limits, list(folders)
        self._name, self._seconds, self._on_breach = name, seconds, on_breach
        self._next_disk = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {process.pid}", daemon=True)
        self._thread.start()

    def close(self) -> str | None:
        """Stops looking, once the process has ended; returns what it used too much of, if anything."""
        self._closed.set()
        self._thread.join()
        # A write that met the bound on a file's size failed by itself, and the process with it.
        self.breach = self.breach or self._too_much_disk()
        return self.breach

    def _run(self) -> None:
        while not self._closed.wait(self._seconds) and self._process.poll() is None:
            reason = self._too_much() or (self._too_much_disk() if time.monotonic() >= self._next_disk else None)
            if reason:
                self.breach = reason
                sandbox.kill(self._process)
                self._on_breach(reason)
                return

    def _too_much(self) -> str | None:
        used, most = process_tree.usage(self._process.pid), self._limits
        if used.processes > most.processes or used.threads > most.processes * _THREADS_PER_PROCESS:
            return (
                f"Resource temporarily unavailable: {self._name} had {used.processes} processes with {used.threads} "
                f"threads, and may have {most.processes} and {most.processes * _THREADS_PER_PROCESS}"
            )
        if used.resident <= most.memory:
            return None
        held = process_tree.proportional(self._process.pid, with_files=False)
        held = used.resident if held is None else held
        if held <= most.memory:
            return None
        return (
            "Please use an instance type with more memory, or reduce the size of the data processed on an instance: "
            f"{self._name} held {held / GIB:.2f} GiB, and {most.instance_type} has {most.memory / GIB:.2f} GiB"
        )

    def _too_much_disk(self) -> str | None:
        begin = time.monotonic()
        used = sum(map(_disk_usage, self._folders))
        took = time.monotonic() - begin
        self._next_disk = begin + max(_DISK_SECONDS, took / _DISK_SHARE)
        if used > _LEAST_FREE_DISK and shutil.disk_usage(self._folders[0]).free < _LEAST_FREE_DISK:
            return f"No space left on device: {self._name} wrote {used / GIB:.2f} GiB, and the machine's disk is full"
        if used < self._limits.disk:
            return None
        return (
            f"No space left on device: {self._name} wrote {used / GIB:.2f} GiB, and its volume has "
            f"{self._limits.disk / GIB:.2f} GiB (VolumeSizeInGB, or what this machine has left)"
        )


def _disk_usage(folder: Path) -> int:
    """Bytes that a folder takes; what vanishes meanwhile counts nothing."""
    total, left = 0, [str(folder)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
        except OSError:
            continue
    return total
