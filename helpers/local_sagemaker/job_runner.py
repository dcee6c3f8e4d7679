"""Starts jobs, stops them, and brings those that the end of the server cut short to an end or to another try."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import disk_space, job_records
from helpers.local_sagemaker.failures import shortened
from helpers.local_sagemaker.jobs import STOPPED, Job, JobError, ServerStoppedError, jobs_folder

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


class JobRunner:
    """Starts and stops the jobs of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: dict[tuple[str, str], tuple[Job, threading.Thread]] = {}
        self._lock = threading.Lock()
        self.closed = False

    def submit(self, job: Job, body: Callable[[Job], None], fail: Callable[[Server, str, str], None]) -> None:
        """Runs a job's body in a thread of its own.

        Args:
            job: the job; its record is in the store.
            body: does the work; `JobError` ends the job as Failed.
            fail: `fail(server, name, reason)` writes the end of a failed job.
        """
        thread = threading.Thread(target=self._supervise, args=(job, body, fail), name=f"job {job.name}", daemon=True)
        with self._lock:
            self._running[job.kind, job.name] = (job, thread)
        # A stop that came since the record was written has found nothing that runs.
        record = self._server.store.get(job.kind, job.name)
        if record and record[f"{job.kind}Status"] == "Stopping":
            job.cancel(STOPPED)
        thread.start()

    def stop(self, kind: str, name: str, reason: str = STOPPED) -> None:
        """Ends a running job's processes; its body writes what follows. Does nothing when it does not run."""
        with self._lock:
            running = self._running.get((kind, name))
        if running:
            running[0].cancel(reason)

    def curve(self, kind: str, name: str) -> list[float]:
        """The values of a running job's objective so far."""
        with self._lock:
            running = self._running.get((kind, name))
        return running[0].curve if running else []

    def close(self) -> None:
        """Ends all jobs at once, because the server goes away."""
        with self._lock:
            self.closed = True
            running = list(self._running.values())
        for job, _ in running:
            job.end_with_server()
        for _, thread in running:
            thread.join(timeout=1)

    def _supervise(self, job: Job, body: Callable[[Job], None], fail: Callable[[Server, str, str], None]) -> None:
        reason = None
        try:
            body(job)
        except ServerStoppedError:
            pass
        except JobError as error:
            reason = str(error)
        except Exception as error:
            if not self.closed:
                logger.exception("%s %s failed", job.kind, job.name)
                reason = f"InternalServerError: {error!r}, see the log of the local SageMaker"
                if disk_space.is_full(error):
                    reason = f"InternalServerError: {disk_space.words(self._server.home)}"
        job.close()
        job.clean_up()
        with self._lock:
            del self._running[job.kind, job.name]
        if reason is not None:
            self._fail(job, shortened(reason), fail)

    def _fail(self, job: Job, reason: str, fail: Callable[[Server, str, str], None]) -> None:
        """Writes the end of a failed job, once there is room for it."""
        while not self.closed:
            try:
                return fail(self._server, job.name, reason)
            except sqlite3.Error as error:
                if not disk_space.is_full(error):
                    raise
                logger.warning("the end of %s %s waits: %s", job.kind, job.name, error)
                time.sleep(_RETRY_SECONDS)


def start(server: Server) -> None:
    """Gives the server its runner; the jobs that ran when it was last stopped fail, or run again."""
    server.jobs = JobRunner(server)
    shutil.rmtree(jobs_folder(server), ignore_errors=True)
    _fail_unfinished(server)


def stop(server: Server) -> None:
    """Ends all jobs and marks them as failed, but for those that run again at the next start."""
    server.jobs.close()
    _fail_unfinished(server)


def _fail_unfinished(server: Server) -> None:
    from helpers.local_sagemaker import processing, training, transform, unix_sockets

    for module in (training, processing, transform):
        job_records.fail_unfinished(server, module.KIND, module.fail)
    shutil.rmtree(unix_sockets.socket_folder(jobs_folder(server)), ignore_errors=True)
