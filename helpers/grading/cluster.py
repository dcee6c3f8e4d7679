"""Grades on a Dask cluster: submissions go out and verdicts come back as bytes; no file system is shared.

Each thread of a Dask worker keeps one grading worker. A Dask worker that dies has its submissions rescheduled by Dask;
the gradebook is written by the caller alone. The course and its packages must be installed on the workers, in the
versions of here.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any

from helpers.grading import backends
from helpers.grading.pool import AHEAD, Desk, Job, Package, Said, WorkerDied, given_up
from helpers.grading.sandbox import SandboxError
from helpers.grading.software import software

CONNECT_SECONDS = 15
ALONE_SECONDS = 60.0  # without a Dask worker, before the batch stops
RETRIES = 3
_own = threading.local()
_desks: dict[str, list[Desk]] = {}


class ClusterError(Exception):
    """The cluster cannot grade; the message says why."""


@dataclass(frozen=True)
class _Batch:
    """What a Dask worker needs once a batch.

    Attributes:
        name: of the batch.
        package: the lab.
        software: of the caller.
    """

    name: str
    package: Package
    software: dict[str, str]


class Cluster:
    """Runs submissions on Dask workers.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.7:8786`.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def run(self, package: Package, jobs: Iterable[Job]) -> Generator[Said]:
        """Each job's name and what `worker.Worker.grade` said, in the order of completion.

        Raises:
            ClusterError: the scheduler does not answer or ends, or it has no workers, or they lack something.
        """
        from distributed import Client

        try:
            client = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {self._address}: {error}") from error
        with client:
            self._check(client)
            batch = _Batch(client.id, package, software())
            try:
                yield from self._run(client, batch, jobs)
            finally:
                # A scheduler that ended meanwhile has no one to dismiss, and must not hide why the batch stopped.
                with contextlib.suppress(OSError):
                    if client.status == "running":
                        client.run(_dismiss, batch.name, on_error="ignore")

    def _check(self, client: Any) -> None:
        """Whether there are workers, and whether each has what it takes."""
        if not self._threads(client):
            raise ClusterError(f"the scheduler at {self._address} has no workers: start `dask worker {self._address}`")
        answers = client.run(_faults, software(), on_error="return")
        for address, faults in sorted(answers.items()):
            if faults:
                raise ClusterError(f"the Dask worker {address} cannot grade: {faults}")

    def _run(self, client: Any, batch: _Batch, jobs: Iterable[Job]) -> Generator[Said]:
        # A task rather than scattered data: it is made again if the worker that holds it dies.
        learnt = client.submit(_same, batch, pure=False, retries=RETRIES)
        done: queue.SimpleQueue = queue.SimpleQueue()
        names: dict[Any, str] = {}
        waiting, more = iter(jobs), True
        while more or names:
            while more and len(names) < AHEAD * max(self._threads(client), 1):
                if more := (job := next(waiting, None)) is not None:
                    name, cells = job
                    future = client.submit(_grade, learnt, json.dumps(cells).encode(), pure=False, retries=RETRIES)
                    names[future] = name
                    future.add_done_callback(done.put)
            if names:
                future = self._next(client, done)
                yield names.pop(future), self._said(future)
                future.release()

    def _next(self, client: Any, done: queue.SimpleQueue) -> Any:
        """The next future that is done."""
        while True:
            try:
                return done.get(timeout=ALONE_SECONDS)
            except queue.Empty:
                if not self._threads(client):
                    raise ClusterError(
                        f"the scheduler at {self._address} has had no workers for {ALONE_SECONDS:g} s"
                    ) from None

    def _threads(self, client: Any) -> int:
        """How many submissions can be graded at a time now."""
        try:
            return sum(client.nthreads().values())
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"the scheduler at {self._address} is gone: {error}") from error

    def _said(self, future: Any) -> dict[str, Any]:
        from distributed import KilledWorker

        try:
            said = json.loads(future.result())
        except KilledWorker as error:  # a submission that ended several Dask workers
            return given_up(f"several Dask workers ended on it: {error}")
        except Exception as error:
            raise ClusterError(f"the cluster at {self._address} failed: {type(error).__name__}: {error}") from error
        if "unable" in said:
            raise ClusterError(f"a Dask worker cannot grade: {said['unable']}")
        return said


def _faults(wanted: dict[str, str]) -> str:
    """On a Dask worker: what it lacks, or has in another version; empty if nothing."""
    here = software()
    different = [
        f"{name} is {here.get(name, 'not installed')} there and {version} here"
        for name, version in sorted(wanted.items())
        if here.get(name) != version
    ]
    if different:
        more = f" and {len(different) - 5} more" if len(different) > 5 else ""
        return "; ".join(different[:5]) + more
    return ""


def _same(batch: _Batch) -> _Batch:
    return batch


def _grade(batch: _Batch, cells: bytes) -> bytes:
    """Runs on a Dask worker, in one of its threads."""
    desk = getattr(_own, "desk", None)
    if desk is None or _own.batch != batch.name:
        if desk is not None:
            desk.close()
        if faults := _faults(batch.software):  # a worker that joined later
            return json.dumps({"unable": faults}).encode()
        package = batch.package
        if package.backend != backends.NONE:
            try:
                package = replace(package, backend=backends.choose())  # what this machine allows
            except SandboxError as error:
                return json.dumps({"unable": str(error)}).encode()
        _own.batch, _own.desk = batch.name, (desk := Desk(package))
        _desks.setdefault(batch.name, []).append(desk)
    try:
        return json.dumps(desk.grade(json.loads(cells))).encode()
    except WorkerDied as death:
        return json.dumps({"unable": str(death)}).encode()


def _dismiss(name: str) -> None:
    """On a Dask worker: end the grading workers of a batch."""
    for desk in _desks.pop(name, []):
        desk.close(at_once=True)
