"""Grading on a Dask cluster of real processes gives the rows of one machine, also when a Dask worker dies."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from rows import rows
from test_faults import GRADE, STUDENTS, grade_with
from tiny import make_course, put

from helpers.grading import cluster

PATIENCE = 60.0


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    root = make_course(tmp_path_factory.mktemp("cluster") / "course", project)
    for student, kind in STUDENTS.items():
        put(root, student, kind)
    return root


@pytest.fixture(scope="module")
def local_rows(submitted: Path) -> tuple:
    root = shutil.copytree(submitted, submitted.parent / "local")
    grade_with(root, lambda verdict, taken_over: None)
    return rows(root)


class Processes:
    """A scheduler and its workers."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        options = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"]
        self.scheduler = self.start("scheduler", *options)

    def start(self, *arguments: str) -> subprocess.Popen:
        """One of Dask's programs."""
        process = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]])
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def worker(self, threads: int = 1) -> subprocess.Popen:
        """A Dask worker; returns when the scheduler knows it."""
        before = self.workers()
        process = self.start(
            *("worker", self.address, "--nthreads", str(threads), "--no-nanny", "--no-dashboard"),
            *("--host", "127.0.0.1"),
        )
        wait_for(lambda: self.workers() > before)
        return process

    def workers(self) -> int:
        from distributed import Client

        with Client(self.address, timeout=PATIENCE, set_as_default=False) as client:
            return len(client.nthreads())


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def processes() -> Iterator[Processes]:
    with ExitStack() as stack:
        yield Processes(stack)


def test_two_threads_of_a_dask_worker_give_the_rows_of_one_machine(submitted, local_rows, processes, tmp_path):
    root = shutil.copytree(submitted, tmp_path / "course")
    worker = psutil.Process(processes.worker(threads=2).pid)
    most = 0

    def look(verdict, taken_over) -> None:
        nonlocal most
        most = max(most, len(worker.children()))

    told = grade_with(root, look, runner=cluster.Cluster(processes.address))
    assert len(told) == len(STUDENTS) and not [verdict for verdict in told if verdict.flags]
    assert rows(root) == local_rows
    assert most == 2
    wait_for(lambda: not worker.children())


def test_a_dask_worker_that_is_killed_changes_no_row_and_takes_its_grading_worker_along(
    submitted, local_rows, processes, tmp_path
):
    root = shutil.copytree(submitted, tmp_path / "course")
    doomed = processes.worker()
    processes.worker()
    family: list[psutil.Process] = []

    def kill_once(verdict, taken_over) -> None:
        if not family and (found := psutil.Process(doomed.pid).children(recursive=True)):
            family.extend(found)
            os.kill(doomed.pid, signal.SIGKILL)

    grade_with(root, kill_once, runner=cluster.Cluster(processes.address))
    assert family
    assert rows(root) == local_rows
    psutil.wait_procs(family, timeout=PATIENCE)
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_scheduler_that_ends_gives_no_verdict_that_was_not_reached(submitted, local_rows, processes, tmp_path):
    root = shutil.copytree(submitted, tmp_path / "course")
    processes.worker()
    with pytest.raises(cluster.ClusterError):
        grade_with(root, lambda *_: processes.scheduler.kill(), runner=cluster.Cluster(processes.address))
    grade_with(root, lambda *_: None)
    assert rows(root) == local_rows


def test_what_is_wrong_with_a_cluster_is_said(submitted, processes, monkeypatch):
    command = [*GRADE, "--scheduler"]
    answer = subprocess.run([*command, "tcp://127.0.0.1:9"], cwd=submitted, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and "no Dask scheduler answers at tcp://127.0.0.1:9" in answer.stderr
    wait_for(lambda: processes.workers() == 0)
    with pytest.raises(cluster.ClusterError, match="has no workers: start `dask worker"):
        grade_with(submitted, lambda *_: None, runner=cluster.Cluster(processes.address))
    processes.worker()
    there = cluster.software()
    monkeypatch.setattr(cluster, "software", lambda: there | {"numpy": "0.1"})
    with pytest.raises(cluster.ClusterError, match=r"numpy is .* there and 0\.1 here"):
        grade_with(submitted, lambda *_: None, runner=cluster.Cluster(processes.address))
