"""Worker processes as their caller sees them: started clean, told a lab, given submissions, replaced when they die."""

from __future__ import annotations

import itertools
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.grading.channel import Channel, ChannelAbused, ChannelClosed
from helpers.grading.examination import examination
from helpers.grading.sandbox import HOME, Limits

START_SECONDS = 180.0
MARGIN_SECONDS = 60.0
_slots = itertools.count()


class WorkerDied(Exception):
    """A worker process ended or fell silent; the message says how."""


@dataclass(frozen=True)
class Package:
    """All that a worker needs of a lab; plain data, so that it can be sent to another machine.

    Attributes:
        lab: its name.
        source: the source notebook, nbformat 4 JSON.
        modules: that the lab imports; what the student's side is told of the source.
        files: the lab's own files, relative path to content.
        limits: what one submission may use.
        sandboxed: False executes with the caller's rights.
        threads: that numeric libraries of one submission may use.
    """

    lab: str
    source: dict[str, Any]
    modules: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True
    threads: int = 1


def read_package(folder: Path, lab: str, **options: Any) -> Package:
    """The package of a lab whose source notebook lies in `folder`; options are Package's."""
    source = json.loads((folder / f"{lab}.ipynb").read_text(encoding="utf-8"))
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".ipynb")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if "__pycache__" not in path.parts
    }
    # Here and not beside the workers: Python 3.11 parses in one thread at a time only.
    return Package(lab, source, examination(lab, source).modules, files, **options)


class WorkerProcess:
    """One worker process with its lab learnt.

    Attributes:
        package: the lab that it knows.

    Raises:
        WorkerDied: it did not come up; the message ends with what it printed.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        ours, theirs = socket.socketpair()
        slot = (os.getpid() * 64 + next(_slots)) % 900_000
        command = [
            sys.executable,
            "-P",
            "-m",
            "helpers.grading.worker",
            "--fd",
            str(theirs.fileno()),
            "--slot",
            str(slot),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=clean_environment(package.threads),
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self._channel = Channel(ours)
        body = {
            "modules": package.modules,
            "files": list(package.files),
            "environment": student_environment(package),
            "limits": package.limits.as_dict(),
            "read_only": [str(Path(__file__).parents[1])],
            "sandboxed": package.sandboxed,
        }
        self._ask(body, START_SECONDS, list(package.files.values()))
        self._ask({"do": "learn", "lab": package.lab, "source": package.source}, START_SECONDS)

    def grade(self, cells: list[dict[str, Any]]) -> dict[str, Any]:
        """Examine the cells of a repaired notebook; see `worker.Worker.grade`.

        Raises:
            WorkerDied: the worker is gone; make another one.
        """
        return self._ask({"do": "grade", "cells": cells}, self.package.limits.notebook_seconds + MARGIN_SECONDS)

    def close(self) -> None:
        """End the worker and everything below it."""
        self._channel.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, body: dict[str, Any], seconds: float, blobs: list[bytes] | None = None) -> dict[str, Any]:
        try:
            self._channel.send(body, blobs)
            return self._channel.receive(time.monotonic() + seconds).body
        except (ChannelClosed, ChannelAbused, TimeoutError) as error:
            self.close()
            raise WorkerDied(f"{type(error).__name__}: {error}, exit code {self._process.returncode}") from error


def clean_environment(threads: int) -> dict[str, str]:
    """What a worker starts with: nothing of the caller's but where Python finds its modules."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    root = str(Path(__file__).parents[2])
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), str(threads)
    )
    kept = {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "TZ") if name in os.environ}
    return {
        **kept,
        **counts,
        "PATH": programs,
        "PYTHONPATH": root,
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - of the sandbox
        "COURSE_SCALE": "smoke",
        "COURSE_BACKEND": "local",
        "SAGEMAKER_PYTHON_SDK_TELEMETRY_OPT_OUT": "true",
    }


def student_environment(package: Package) -> dict[str, str]:
    """The environment of a submission's code."""
    home = {"HOME": HOME, "LOCAL_SAGEMAKER_HOME": f"{HOME}/.sagemaker", "TMPDIR": "/tmp"} if package.sandboxed else {}  # noqa: S108
    return clean_environment(package.threads) | home | {"USER": "student", "LOGNAME": "student"}


class Local:
    """Runs submissions in worker processes of this machine.

    Args:
        workers: how many at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(
        self, package: Package, jobs: Iterable[tuple[str, list[dict[str, Any]]]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each job's name and what `worker.Worker.grade` said, in the order of completion.

        A worker that dies is replaced, and its job tried once more; a job that kills two workers is given up.

        Raises:
            WorkerDied: a worker does not come up at all.
        """
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        names = 0
        for job in jobs:
            waiting.put(job)
            names += 1
        done: queue.SimpleQueue = queue.SimpleQueue()
        stopped = threading.Event()
        count = min(self._workers, names)
        threads = [
            threading.Thread(target=_work, args=(package, waiting, done, stopped), daemon=True) for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(names):
                finished = done.get()
                if isinstance(finished, BaseException):
                    raise finished
                yield finished
        finally:
            stopped.set()


def _work(package: Package, waiting: queue.SimpleQueue, done: queue.SimpleQueue, stopped: threading.Event) -> None:
    worker: WorkerProcess | None = None
    try:
        while not stopped.is_set():
            try:
                name, cells = waiting.get_nowait()
            except queue.Empty:
                break
            for attempt in (1, 2):
                worker = worker or WorkerProcess(package)
                try:
                    said = worker.grade(cells)
                    break
                except WorkerDied as death:
                    worker = None
                    said = given_up(str(death)) if attempt == 2 else {}
            done.put((name, said))
    except BaseException as error:
        done.put(error)
    finally:
        if worker is not None:
            worker.close()


def given_up(reason: str) -> dict[str, Any]:
    """What is said of a submission that ended two workers."""
    return {"cells": [], "broken": f"two workers ended on it: {reason}", "seconds": 0.0}
