"""Jobs: one supervising thread and one process tree each; stop, timeout, and recovery after a restart."""

from __future__ import annotations

import collections
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import job_records, overlays, sandbox
from helpers.local_sagemaker.failures import shortened
from helpers.local_sagemaker.logs import LogWriter

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

STOPPED, TIMED_OUT, SERVER_STOPPED = "Stopped", "MaxRuntimeExceeded", "ServerStopped"
_TAIL_LINES = 200
_GRACE_SECONDS = 120.0
_LEAST_GRACE_SECONDS = 5.0


class JobError(Exception):
    """Ends a job as Failed; the message is its FailureReason, such as `ClientError: Data download failed:...`."""


class ServerStoppedError(Exception):
    """The server goes away while the job runs: nothing more is written."""


@dataclass(frozen=True)
class Host:
    """One instance of a job, `algo-1` first: its name and the folder behind its `/opt/ml`."""

    name: str
    ml_root: Path

    def path(self, inside: str) -> Path:
        """The folder or file that the job sees as `inside`, a path below `/opt/ml`."""
        return self.ml_root / inside.removeprefix(sandbox.ML).lstrip("/")


@dataclass(frozen=True)
class Command:
    """What runs on a host.

    Attributes:
        argv: the command.
        env: variables on top of the clean environment.
        cwd: the working directory as the process sees it.
    """

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"


@dataclass(frozen=True)
class Outcome:
    """How the processes ended: the first exit code that is not 0, why they were cut short, the end of their output."""

    code: int
    cut: str | None
    tail: list[str]


class Job:
    """One job while it runs; made by `JobRunner.submit`.

    Args:
        server: the server that it runs in.
        kind: TrainingJob, ProcessingJob or TransformJob.
        name: the job's name.
        log_group: where its output goes, such as `/aws/sagemaker/TrainingJobs`.
        max_seconds: after so long its processes are ended.
        hosts: how many instances it has.
    """

    def __init__(
        self, server: Server, kind: str, name: str, *, log_group: str, max_seconds: float, hosts: int = 1
    ) -> None:
        self.server, self.kind, self.name = server, kind, name
        self.folder = jobs_folder(server) / kind / name
        names = [f"algo-{number}" for number in range(1, hosts + 1)]
        self.hosts = [Host(host, self.folder / host / "ml") for host in names]
        self.cut: str | None = None
        self._log_group = log_group
        self._writers: dict[str, LogWriter] = {}
        self._alarm = threading.Timer(max_seconds, self.cancel, (TIMED_OUT,))
        self._alarm.daemon = True
        self._processes: list[subprocess.Popen] = []
        self._at_cut: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def make_folders(self, *inside: str) -> None:
        """Makes the job's folders anew; each of `inside` is a path below `/opt/ml`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for host in self.hosts:
            host.ml_root.mkdir(parents=True)
            for path in inside:
                host.path(path).mkdir(parents=True, exist_ok=True)

    def interpreter(self, *layers: Path) -> Path:
        """The job's own `python`, above the host's packages and the given overlays."""
        return overlays.make_interpreter(self.folder / "python", *layers)

    def interpreter_with(self, requirements: Path | None) -> Path:
        """Like `interpreter`, with a requirements file installed in an overlay; None and a missing file need none.

        Raises:
            JobError: a requirement cannot be had; the message is the training toolkit's, and names it.
        """
        if requirements is None or not requirements.is_file():
            return self.interpreter()
        try:
            return self.interpreter(overlays.overlay(self.server.home / "overlays", requirements, run=self.run_tool))
        except overlays.RequirementsError as error:
            if self.cut:
                return self.interpreter()
            raise JobError(
                f'AlgorithmError: InstallRequirementsError:\nExitCode 1\nErrorMessage "{error}"\n'
                f'Command "python3 -m pip install -r {requirements.name}", exit code: 1'
            ) from error

    def run(
        self, commands: Iterable[Command], python: Path, on_line: Callable[[str], None] = lambda line: None
    ) -> Outcome:
        """Runs one command on each host and waits for all; their output goes to CloudWatch Logs.

        When it returns, every line of the output can be read there.

        Args:
            commands: one for each host.
            python: the interpreter that the job's `python` means.
            on_line: called with every line of output.

        Raises:
            JobError: a command does not exist.
            ServerStoppedError: the server goes away.
        """
        tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        code = 0
        try:
            pumps = []
            for host, command in zip(self.hosts, commands, strict=True):
                process = self._start(lambda host=host, command=command: self._launch(host, command, python))
                if process:
                    pumps.append(_Pump(process, self._writer(host), tail, on_line))
            code = self._wait(pumps)
        except FileNotFoundError as error:
            self.kill()
            raise JobError(f"AlgorithmError: {error}, exit code: 127") from error
        finally:
            self.close()
        if self.cut == SERVER_STOPPED:
            raise ServerStoppedError
        return Outcome(code, self.cut, list(tail))

    def run_tool(self, argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, list[str]]:
        """Runs a program of the host for the job, such as pip; what ends the job ends it.

        Returns:
            Its exit code and the end of its output, which also goes to the log of the first host.
        """
        tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        process = self._start(lambda: sandbox.launch_on_host(argv, env, stdout=subprocess.PIPE, cwd=cwd))
        if process is None:
            return 1, []
        return _Pump(process, self._writer(self.hosts[0]), tail).wait(), list(tail)

    def close(self) -> None:
        """Stops the clock, and returns when every line of output is in CloudWatch Logs; nothing runs after that."""
        self._alarm.cancel()
        self._ended.set()
        for writer in self._writers.values() if self.cut != SERVER_STOPPED else ():
            writer.close()
        self._writers.clear()

    def _writer(self, host: Host) -> LogWriter:
        if host.name not in self._writers:
            stream = f"{self.name}/{host.name}-{time.time():.0f}"
            self._writers[host.name] = LogWriter(self.server, self._log_group, stream)
        return self._writers[host.name]

    def _start(self, launch: Callable[[], subprocess.Popen]) -> subprocess.Popen | None:
        """Starts a process unless the job is already being ended; the first one starts the clock."""
        with self._lock:
            if self.cut:
                return None
            if not self._processes:
                self._alarm.start()
            process = launch()
            self._processes.append(process)
        return process

    def _launch(self, host: Host, command: Command, python: Path) -> subprocess.Popen:
        home = host.ml_root.parent / "home"
        home.mkdir(exist_ok=True)
        return sandbox.launch(
            command.argv,
            host.ml_root,
            sandbox.clean_environment(self.server.url, self.server.region, python, home) | command.env,
            stdout=subprocess.PIPE,
            cwd=command.cwd,
            hosts=[other.name for other in self.hosts],
        )

    def _wait(self, pumps: list[_Pump]) -> int:
        """Waits for all hosts; the first that fails ends the others, as on AWS."""
        done: list[int] = []
        changed = threading.Condition()

        def wait(pump: _Pump) -> None:
            code = pump.wait()
            with changed:
                done.append(code)
                changed.notify()

        for pump in pumps:
            threading.Thread(target=wait, args=(pump,), name=f"wait {self.name}", daemon=True).start()
        with changed:
            changed.wait_for(lambda: len(done) == len(pumps) or any(done))
            first = next(filter(None, done), 0)
        if first and len(pumps) > 1:
            self.kill()
            with changed:
                changed.wait_for(lambda: len(done) == len(pumps))
        return first

    def at_cut(self, end: Callable[[], None]) -> None:
        """Has `end` called when the job is cut short, at once if it was: for what `run` did not start."""
        with self._lock:
            self._at_cut = end
        if self.cut:
            end()

    def cancel(self, reason: str) -> None:
        """Ends the processes: SIGTERM first, SIGKILL to those that still run after the grace period."""
        with self._lock:
            if self.cut or self._ended.is_set():
                return
            self.cut = reason
            for process in self._processes:
                sandbox.terminate(process)
        threading.Thread(target=self._at_cut, name=f"end {self.name}", daemon=True).start()
        grace = max(_LEAST_GRACE_SECONDS, _GRACE_SECONDS / self.server.speedup)
        threading.Thread(target=self._kill_after, args=(grace,), name=f"kill {self.name}", daemon=True).start()

    def _kill_after(self, seconds: float) -> None:
        if not self._ended.wait(seconds):
            self.kill()

    def kill(self) -> None:
        """Ends the processes at once."""
        with self._lock:
            for process in self._processes:
                sandbox.kill(process)

    def end_with_server(self) -> None:
        """Ends the processes at once; nothing more is written of the job."""
        self.cut = SERVER_STOPPED
        self.kill()
        threading.Thread(target=self._at_cut, name=f"end {self.name}", daemon=True).start()

    def clean_up(self) -> None:
        """Removes the job's folder: what AWS keeps is in S3."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _Pump(threading.Thread):
    """Reads a process's output until it ends, and hands each line on."""

    def __init__(
        self,
        process: subprocess.Popen,
        writer: LogWriter,
        tail: collections.deque[str],
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(name=f"pump {process.pid}", daemon=True)
        self._process, self._writer, self._tail, self._on_line = process, writer, tail, on_line
        self.start()

    def run(self) -> None:
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._tail.append(line)
            self._writer.write(line)
            self._on_line(line)

    def wait(self) -> int:
        """The exit code, once the process ended and all of its output is handed on."""
        code = self._process.wait()
        sandbox.kill(self._process)
        self.join()
        self._process.stdout.close()
        return code if code >= 0 else 128 - code


class JobRunner:
    """Starts and stops the jobs of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: dict[tuple[str, str], tuple[Job, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._closed = False

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
        thread.start()

    def stop(self, kind: str, name: str) -> None:
        """Ends a running job's processes; its body writes the end. Does nothing when it does not run."""
        with self._lock:
            running = self._running.get((kind, name))
        if running:
            running[0].cancel(STOPPED)

    def close(self) -> None:
        """Ends all jobs at once, because the server goes away."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for job, _ in running:
            job.end_with_server()
        for _, thread in running:
            thread.join(timeout=1)

    def _supervise(self, job: Job, body: Callable[[Job], None], fail: Callable[[Server, str, str], None]) -> None:
        try:
            body(job)
        except ServerStoppedError:
            return
        except JobError as error:
            fail(self._server, job.name, shortened(str(error)))
        except Exception as error:
            if self._closed:
                return
            logger.exception("%s %s failed", job.kind, job.name)
            fail(
                self._server, job.name, shortened(f"InternalServerError: {error!r}, see the log of the local SageMaker")
            )
        finally:
            job.close()
            job.clean_up()
            with self._lock:
                self._running.pop((job.kind, job.name), None)


def jobs_folder(server: Server) -> Path:
    """Where running jobs have their folders."""
    return server.home / "jobs"


def host_cpus() -> int:
    """CPUs that a job may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(server: Server) -> None:
    """Gives the server its runner, and fails the jobs that were running when it was last stopped."""
    server.jobs = JobRunner(server)
    _fail_unfinished(server)
    shutil.rmtree(jobs_folder(server), ignore_errors=True)


def stop(server: Server) -> None:
    """Ends all jobs and marks them as failed."""
    server.jobs.close()
    _fail_unfinished(server)


def _fail_unfinished(server: Server) -> None:
    from helpers.local_sagemaker import processing, training, transform, workers

    for module in (training, processing, transform):
        job_records.fail_unfinished(server, module.KIND, module.fail)
    shutil.rmtree(workers.socket_folder(jobs_folder(server)), ignore_errors=True)
