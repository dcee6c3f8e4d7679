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
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.grading import backends
from helpers.grading.channel import Channel, ChannelAbused, ChannelClosed
from helpers.grading.examination import examination
from helpers.grading.sandbox import HOME, Limits

START_SECONDS = 180.0
MARGIN_SECONDS = 60.0
ATTEMPTS = 2  # to start a worker, and to grade a submission
AHEAD = 8  # jobs a worker that are taken in before they are needed
Job = tuple[str, list[dict[str, Any]]]
Said = tuple[str, dict[str, Any]]
_KEPT_NAMES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "TMPDIR", "TZ")
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
        backend: the sandbox, one of `backends`; NONE executes with the caller's rights.
        threads: that numeric libraries of one submission may use.
    """

    lab: str
    source: dict[str, Any]
    modules: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    backend: str = backends.NAMESPACES
    threads: int = 1


def read_package(folder: Path, lab: str, **options: Any) -> Package:
    """The package of a lab whose source notebook lies in `folder`; options are Package's.

    The limits are those of the lab's front matter, unless they are among the options.
    """
    source = json.loads((folder / f"{lab}.ipynb").read_text(encoding="utf-8"))
    options.setdefault("limits", Limits.of_lab(source["metadata"].get("course", {})))
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".ipynb")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if "__pycache__" not in path.parts
    }
    # Here and not beside the workers: Python 3.11 parses in one thread at a time only.
    return Package(lab, source, examination(lab, source).modules, files, **options)


class WorkerProcess:
    """One worker process; `learn` comes first.

    Args:
        package: the lab that it is to know.

    Raises:
        WorkerDied: the machine has no room for another process.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        ours, theirs = socket.socketpair()
        slot = (os.getpid() * 64 + next(_slots)) % 900_000
        options = ["--fd", str(theirs.fileno()), "--slot", str(slot)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "helpers.grading.worker", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=clean_environment(package.threads),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise WorkerDied(f"it could not be started: {error}") from error
        finally:
            theirs.close()
        self._channel = Channel(ours)

    def learn(self) -> None:
        """Bring it to where it can grade.

        Raises:
            WorkerDied: it did not come up.
        """
        package = self.package
        body = {
            "modules": package.modules,
            "files": list(package.files),
            "environment": student_environment(package),
            "limits": package.limits.as_dict(),
            "read_only": [str(Path(__file__).parents[1])],
            "backend": package.backend,
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
        """Let the worker end, with everything below it."""
        self._channel.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the worker now; what is below it ends with it."""
        self._process.kill()
        self._process.wait()

    def _ask(self, body: dict[str, Any], seconds: float, blobs: list[bytes] | None = None) -> dict[str, Any]:
        try:
            self._channel.send(body, blobs)
            return self._channel.receive(time.monotonic() + seconds).body
        except (ChannelClosed, ChannelAbused, TimeoutError) as error:
            self.close()
            raise WorkerDied(f"{type(error).__name__}: {error}, exit code {self._process.returncode}") from error


class Desk:
    """Where one submission at a time is graded: a worker process that is replaced when it dies.

    Args:
        package: the lab.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        self._lock = threading.Lock()
        self._closed = False
        self._worker: WorkerProcess | None = None

    def grade(self, cells: list[dict[str, Any]]) -> dict[str, Any]:
        """What the worker says of a notebook's cells; of one that ends two workers, that it is given up.

        Raises:
            WorkerDied: workers do not come up, or the desk was closed.
        """
        for attempt in itertools.count(1):
            worker = self._worker or self._manned()
            try:
                return worker.grade(cells)
            except WorkerDied as death:
                self._worker = None
                if attempt == ATTEMPTS:
                    return given_up(f"{ATTEMPTS} workers ended on it: {death}")
        raise AssertionError("unreachable")

    def close(self, at_once: bool = False) -> None:
        """End the worker, for good; `at_once` also in the middle of a submission."""
        with self._lock:
            self._closed, worker = True, self._worker
        if worker is not None:
            worker.kill() if at_once else worker.close()

    def _manned(self) -> WorkerProcess:
        for attempt in itertools.count(1):
            try:
                with self._lock:
                    if self._closed:
                        raise WorkerDied("it is not needed any more")
                    self._worker = worker = WorkerProcess(self.package)
                worker.learn()
                return worker
            except WorkerDied:
                self._worker = None
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")


def given_up(reason: str) -> dict[str, Any]:
    """What is said of a submission that cannot be graded; another run tries again."""
    return {"cells": [], "broken": reason, "seconds": 0.0, "given_up": True}


def clean_environment(threads: int) -> dict[str, str]:
    """What a worker starts with: nothing of the caller's but where Python finds its modules."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    root = str(Path(__file__).parents[2])
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT"),
        str(threads),
    )
    kept = {name: os.environ[name] for name in _KEPT_NAMES if name in os.environ}
    return {
        **kept,
        **counts,
        "PATH": programs,
        "PYTHONPATH": root,
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_WAIT_POLICY": "passive",  # a thread that spins takes the core that another submission needs
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - of the sandbox
        "COURSE_SCALE": "smoke",
        "COURSE_BACKEND": "local",
        "SAGEMAKER_PYTHON_SDK_TELEMETRY_OPT_OUT": "true",
    }


def student_environment(package: Package) -> dict[str, str]:
    """The environment of a submission's code."""
    home = {"HOME": HOME, "LOCAL_SAGEMAKER_HOME": f"{HOME}/.sagemaker", "TMPDIR": "/tmp"}  # noqa: S108
    home = {} if package.backend == backends.NONE else home
    return clean_environment(package.threads) | home | {"USER": "student", "LOGNAME": "student"}


class Local:
    """Runs submissions in worker processes of this machine.

    Args:
        workers: how many at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, package: Package, jobs: Iterable[Job]) -> Generator[Said]:
        """Each job's name and what `worker.Worker.grade` said, in the order of completion.

        Jobs are taken as workers need them. A worker that dies is replaced, and its job tried once more. When the
        caller ends early, the workers end at once.

        Raises:
            WorkerDied: workers do not come up.
        """
        crew = _Crew(package)
        given = taken = 0
        try:
            for job in jobs:
                if given < self._workers:
                    crew.hire()
                crew.waiting.put(job)
                given += 1
                while given - taken >= AHEAD * self._workers or (given > taken and not crew.done.empty()):
                    yield crew.next_said()
                    taken += 1
            while taken < given:
                yield crew.next_said()
                taken += 1
        finally:
            crew.dismiss(at_once=taken < given)


class _Crew:
    """Threads with a desk each, and the queues from and to them."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self.waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[Said | BaseException] = queue.SimpleQueue()
        self._at: dict[threading.Thread, Desk] = {}

    def hire(self) -> None:
        """One more thread."""
        desk = Desk(self._package)
        thread = threading.Thread(target=self._work, args=(desk,), daemon=True)
        self._at[thread] = desk
        thread.start()

    def next_said(self) -> Said:
        """What is said next; an error of a thread is raised."""
        said = self.done.get()
        if isinstance(said, BaseException):
            raise said
        return said

    def dismiss(self, at_once: bool) -> None:
        """End the threads and their workers."""
        for _ in self._at:
            self.waiting.put(None)
        for thread, desk in self._at.items():
            if at_once:
                desk.close(at_once=True)
            thread.join()

    def _work(self, desk: Desk) -> None:
        try:
            while (job := self.waiting.get()) is not None:
                name, cells = job
                self.done.put((name, desk.grade(cells)))
        except BaseException as error:
            self.done.put(error)
        finally:
            desk.close()
