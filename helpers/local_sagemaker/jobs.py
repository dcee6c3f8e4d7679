"""A job while it runs: its hosts and their processes, what ends them, and what they print."""

from __future__ import annotations

import collections
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import containment, overlays, sandbox, unix_sockets
from helpers.local_sagemaker.logs import LogWriter
from helpers.local_sagemaker.output import Pump

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

STOPPED, TIMED_OUT, WAITED_TOO_LONG = "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"
INTERRUPTED, SERVER_STOPPED = "Interrupted", "ServerStopped"
_TAIL_LINES = 200
_LONGEST_TEXT = 64 * 1024
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

    def read(self, inside: str) -> str:
        """The begin of a text file that the job left, empty where there is none; no link is followed."""
        path = self.path(inside)
        if path.resolve() != path or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_LONGEST_TEXT).decode(errors="replace").strip()


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
    """How the processes ended.

    Attributes:
        code: the first exit code that is not 0.
        cut: why they were cut short.
        tail: the end of their output.
        breach: what one of them used too much of.
    """

    code: int
    cut: str | None
    tail: list[str]
    breach: str | None = None


class Job:
    """One job while it runs; made by `JobRunner.submit`.

    Attributes:
        curve: the values of a tuned training job's objective so far; whoever runs the job sets it.

    Args:
        server: the server that it runs in.
        kind: TrainingJob, ProcessingJob or TransformJob.
        name: the job's name.
        log_group: where its output goes, such as `/aws/sagemaker/TrainingJobs`.
        max_seconds: after so long its processes are ended.
        hosts: how many instances it has.
        isolated: whether its processes have no network, not even this machine's loopback.
        limits: what each instance may use; the machine's own limits by default.
    """

    def __init__(
        self,
        server: Server,
        kind: str,
        name: str,
        *,
        log_group: str,
        max_seconds: float,
        hosts: int = 1,
        isolated: bool = False,
        limits: containment.Limits | None = None,
    ) -> None:
        self.server, self.kind, self.name = server, kind, name
        self.folder = jobs_folder(server) / kind / name
        names = [f"algo-{number}" for number in range(1, hosts + 1)]
        self.hosts = [Host(host, self.folder / host / "ml") for host in names]
        # Sockets are made in it: its path is short.
        self._temporary = unix_sockets.socket_folder(jobs_folder(server)) / secrets.token_hex(4)
        self.cut: str | None = None
        self.curve: list[float] = []
        self._isolated = isolated
        self._limits = limits or containment.limits(server.home)
        self._log_group = log_group
        self._writers: dict[str, LogWriter] = {}
        self._alarm = self._timer(max_seconds, TIMED_OUT)
        self._processes: list[subprocess.Popen] = []
        self._at_cut: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._given_up = threading.Event()

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
        code, breach, watches = 0, None, []
        try:
            pumps = []
            for host, command in zip(self.hosts, commands, strict=True):
                process = self._start(lambda host=host, command=command: self._launch(host, command, python))
                if process:
                    pumps.append(Pump(process, self._writer(host), tail, on_line))
                    watches.append(self._watch(process, host))
            code = self._wait(pumps)
            breach = next(filter(None, [watch.close() for watch in watches]), None)
        except FileNotFoundError as error:
            self.kill()
            raise JobError(f"AlgorithmError: {error}, exit code: 127") from error
        finally:
            self.close()
        if self.cut == SERVER_STOPPED:
            raise ServerStoppedError
        return Outcome(code, self.cut, list(tail), breach if code else None)

    def _watch(self, process: subprocess.Popen, host: Host) -> containment.Watch:
        folders = [host.ml_root.parent, self._temporary / host.name]
        return containment.Watch(process, self._limits, folders, host.name, containment.JOB_SECONDS)

    def run_tool(self, argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, list[str]]:
        """Runs a program of the host for the job, such as pip; what ends the job ends it.

        Returns:
            Its exit code and the end of its output, which also goes to the log of the first host.
        """
        tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        env = env | ({"PIP_NO_INDEX": "1"} if self._isolated else {})
        process = self._start(lambda: sandbox.launch_on_host(argv, env, stdout=subprocess.PIPE, cwd=cwd))
        if process is None:
            return 1, []
        return Pump(process, self._writer(self.hosts[0]), tail).wait(), list(tail)

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
        home, temporary = host.ml_root.parent / "home", self._temporary / host.name
        for folder in (home, temporary):
            folder.mkdir(parents=True, exist_ok=True)
        environment = sandbox.clean_environment(self.server.url, self.server.region, python, home)
        return sandbox.launch(
            command.argv,
            host.ml_root,
            environment | {"TMPDIR": str(temporary)} | command.env,
            stdout=subprocess.PIPE,
            cwd=command.cwd,
            hosts=[other.name for other in self.hosts],
            isolated=self._isolated,
            largest_file=self._limits.disk,
        )

    def _wait(self, pumps: list[Pump]) -> int:
        """Waits for all hosts; the first that fails ends the others, as on AWS."""
        done: list[int] = []
        changed = threading.Condition()

        def wait(pump: Pump) -> None:
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
            if self.cut == INTERRUPTED and reason != INTERRUPTED:
                # Its processes end already, or have ended: what changes is that it does not run once more.
                self.cut = reason
                self._given_up.set()
            if self.cut or self._ended.is_set():
                return
            self.cut = reason
            for process in self._processes:
                sandbox.terminate(process)
        threading.Thread(target=self._at_cut, name=f"end {self.name}", daemon=True).start()
        grace = max(_LEAST_GRACE_SECONDS, _GRACE_SECONDS / self.server.speedup)
        threading.Thread(target=self._kill_after, args=(grace,), name=f"kill {self.name}", daemon=True).start()

    def begin_again(self, after: float, max_seconds: float, reason: str) -> bool:
        """Waits, and makes an interrupted job ready to `run` once more.

        Args:
            after: seconds to wait.
            max_seconds: after so long the processes of the new run are ended, for the given reason.
            reason: TIMED_OUT or WAITED_TOO_LONG.

        Returns:
            False when the job was ended for good meanwhile; `cut` says why.
        """
        self._given_up.wait(after)
        with self._lock:
            if self.cut != INTERRUPTED:
                return False
            self.cut = None
            self._processes.clear()
            self._ended.clear()
            self._alarm = self._timer(max_seconds, reason)
        return True

    def _timer(self, seconds: float, reason: str) -> threading.Timer:
        timer = threading.Timer(min(max(seconds, 0), threading.TIMEOUT_MAX), self.cancel, (reason,))
        timer.daemon = True
        return timer

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
        self._given_up.set()
        self.kill()
        threading.Thread(target=self._at_cut, name=f"end {self.name}", daemon=True).start()

    def clean_up(self) -> None:
        """Removes the job's folders: what AWS keeps is in S3."""
        for folder in (self.folder, self._temporary):
            try:
                shutil.rmtree(folder, ignore_errors=True)
            except RecursionError:  # folders within folders, deeper than Python goes
                subprocess.run(["rm", "-rf", "--", str(folder)], check=False)


def jobs_folder(server: Server) -> Path:
    """Where running jobs have their folders."""
    return server.home / "jobs"


def host_cpus() -> int:
    """CPUs that a job may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
