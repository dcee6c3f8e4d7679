"""Grades on a Dask cluster: submissions go out and verdicts come back as bytes; no file system is shared.

Each thread of a Dask worker keeps one grading worker. A Dask worker that dies has its submissions rescheduled by Dask;
the gradebook is written by the caller alone. The course's wheel must be installed on the workers, at this version.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from helpers.grading.pool import Package, WorkerDied, WorkerProcess, given_up

CONNECT_SECONDS = 15
RETRIES = 3
_own = threading.local()


class ClusterError(Exception):
    """The cluster cannot grade; the message says why."""


class Cluster:
    """Runs submissions on Dask workers.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.7:8786`.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def run(
        self, package: Package, jobs: Iterable[tuple[str, list[dict[str, Any]]]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each job's name and what `worker.Worker.grade` said, in the order of completion.

        Raises:
            ClusterError: the scheduler does not answer, or has no workers.
        """
        from distributed import Client, as_completed

        try:
            client = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except OSError as error:
            raise ClusterError(f"no Dask scheduler answers at {self._address}: {error}") from error
        with client:
            if not client.scheduler_info()["workers"]:
                raise ClusterError(
                    f"the scheduler at {self._address} has no workers: start `dask worker {self._address}`"
                )
            # A task rather than scattered data: it is made again if the worker that holds it dies.
            learnt = client.submit(_same, package, pure=False, retries=RETRIES)
            names = {
                client.submit(_grade, learnt, json.dumps(cells).encode(), pure=False, retries=RETRIES): name
                for name, cells in jobs
            }
            for future in as_completed(list(names)):
                try:
                    said = json.loads(future.result())
                except Exception as error:  # a submission that ended several Dask workers
                    said = given_up(f"{type(error).__name__}: {error}")
                yield names[future], said
                future.release()


def _same(package: Package) -> Package:
    return package


def _grade(package: Package, cells: bytes) -> bytes:
    """Runs on a Dask worker, in one of its threads."""
    for attempt in (1, 2):
        try:
            return json.dumps(_worker(package).grade(json.loads(cells))).encode()
        except WorkerDied as death:
            _own.worker = None
            if attempt == 2:
                return json.dumps(given_up(str(death))).encode()
    raise AssertionError("unreachable")


def _worker(package: Package) -> WorkerProcess:
    """This thread's grading worker, which knows this package."""
    worker = getattr(_own, "worker", None)
    if worker is None or worker.package != package:
        if worker is not None:
            worker.close()
        _own.worker = worker = WorkerProcess(package)
    return worker
