"""Containers: a process stands for each, with its files behind `/opt/ml`, and is started again when it dies."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from helpers.local_sagemaker import containment, sandbox
from helpers.local_sagemaker.logs import LONGEST_EVENT, LONGEST_TAIL, LogWriter
from helpers.local_sagemaker.multi_model import LoadedModels, ModelSource
from helpers.local_sagemaker.unix_sockets import pings

if TYPE_CHECKING:
    from helpers.local_sagemaker.workers import WorkerPlan

_IMPORT = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from runtimes import"
BOOT = f"{_IMPORT} serve; sys.path.pop(0); serve.main()"
MULTI_MODEL_BOOT = f"{_IMPORT} serve_models; sys.path.pop(0); serve_models.main()"
CODE_FOLDERS = ("code", "model/code")
STARTUP_SECONDS = 480  # until /ping must answer, when the variant does not say
STOP_SECONDS = 3
PING_SECONDS = 0.02
SUSPECT_SECONDS = 0.25  # a process that breaks a connection and lives on gets requests again after this
LONGEST_BACKOFF_SECONDS = 30
TAIL_LINES = 100


class WorkerError(Exception):
    """A worker that does not come to serve; the message ends with the last lines of its log.

    Args:
        message: what was wrong.
        container: the name of the container that does not serve.
    """

    def __init__(self, message: str, container: str) -> None:
        super().__init__(message)
        self.container = container


@dataclass(frozen=True)
class ContainerPlan:
    """What one container of every worker of a variant runs.

    Args:
        name: what errors, logs and metrics call it: `primary`, its hostname, or its place such as `container-2`.
        argv: the command, without the socket.
        ml_root: the folder behind `/opt/ml`.
        environment: the whole environment of the process.
        isolated: without a network.
        keepalive_seconds: how long an unused connection to it is kept.
        models: where the models of a multi-model container come from, None for another one.
    """

    name: str
    argv: tuple[str, ...]
    ml_root: Path
    environment: dict[str, str]
    isolated: bool = False
    keepalive_seconds: float = 300
    models: ModelSource | None = None


class Container:
    """One process, started again when it dies.

    `ready` is read and written on the event loop; a thread of the container's own starts the process, waits for its
    end and sets `ready`.

    Args:
        plan: what runs.
        worker: the plan of the worker that it belongs to.
        socket: where it serves.
        log: the name of its log stream below the variant's.
    """

    def __init__(self, plan: ContainerPlan, worker: WorkerPlan, socket: Path, log: str) -> None:
        self.name = plan.name
        self.socket = socket
        self.log = log
        self.ready = False
        self.killed_for = ""
        self.starts = 0
        self.started: Future[None] = Future()
        self.models = LoadedModels(self, plan.models, plan.ml_root) if plan.models else None
        self._plan, self._worker_plan = plan, worker
        self._last_lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._process: subprocess.Popen | None = None
        self._reader: threading.Thread | None = None
        self._stopping = threading.Event()
        self._session: aiohttp.ClientSession | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True, name=f"container-{log}")
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process that serves, None before its start."""
        return self._process.pid if self._process is not None else None

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to end, rather than ended by itself."""
        return self._stopping.is_set()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The pool of connections to the process; to be used on the event loop only."""
        if self._session is None:
            connector = aiohttp.UnixConnector(str(self.socket), limit=0, keepalive_timeout=self._plan.keepalive_seconds)
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            )
        return self._session

    def suspect(self) -> None:
        """Takes no request for a moment: a connection broke, and the process may be about to end."""
        self.ready = False
        asyncio.get_running_loop().call_later(SUSPECT_SECONDS, self._trust, self._process)

    def _trust(self, process: subprocess.Popen) -> None:
        if process is self._process and process.returncode is None and not self._stopping.is_set():
            self.ready = True

    async def close(self) -> None:
        """Closes the pool of connections."""
        if self._session is not None:
            await self._session.close()

    def begin_stop(self) -> None:
        """Asks the process to end."""
        self._stopping.set()
        self.ready = False
        if self._process is not None:
            sandbox.terminate(self._process)

    def end_stop(self) -> None:
        """Waits until the process has ended, for a moment; then kills it."""
        if self._process is not None:
            _wait(self._process)

    def kill(self, reason: str) -> None:
        """Ends the process at once; those who wait for it hear the reason."""
        self.killed_for = reason
        sandbox.kill(self._process)

    def join(self) -> None:
        """Returns when a stopped container's last line can be read in CloudWatch."""
        self._thread.join()

    def _supervise(self) -> None:
        log = self._worker_plan.open_log(self.log)
        failures = 0
        while not self._stopping.is_set():
            try:
                self._start(log)
            except Exception as error:
                if not self.started.done():
                    self.started.set_exception(error)
                    break
                failures += 1
            else:
                failures = 0
                self.killed_for = ""
                self.ready = not self._stopping.is_set()
                if not self.started.done():
                    self.started.set_result(None)
                self._process.wait()
                self.ready = False
            self._stopping.wait(min(2.0**failures - 1, LONGEST_BACKOFF_SECONDS))
        if not self.started.done():
            self.started.set_exception(WorkerError("The worker was stopped before it served.", self.name))
        self.socket.unlink(missing_ok=True)
        if self.models is not None:
            self.models.clear()
        if self._reader is not None:
            self._reader.join(timeout=STOP_SECONDS)
        log.close()

    def _start(self, log: LogWriter) -> None:
        self.socket.unlink(missing_ok=True)
        self._last_lines.clear()
        self.starts += 1
        self._process = sandbox.launch(
            [*self._plan.argv, "--socket", str(self.socket)],
            self._plan.ml_root,
            self._plan.environment,
            stdout=subprocess.PIPE,
            code=CODE_FOLDERS,
            isolated=self._plan.isolated,
        )
        limits = self._worker_plan.limits or containment.limits(self._plan.ml_root)
        containment.Watch(self._process, limits, name=self.log, on_breach=log.write)
        self._reader = threading.Thread(target=self._read, args=(self._process, log), daemon=True)
        self._reader.start()
        if self._stopping.is_set():
            _end(self._process)
        deadline = time.monotonic() + self._worker_plan.startup_seconds
        while not pings(self.socket):
            if self._process.poll() is not None:
                _end(self._process)
                self._reader.join(timeout=STOP_SECONDS)
                lines = "\n".join(filter(None, [*self._last_lines, self.killed_for]))
                raise WorkerError(lines or f"The worker exited with code {self._process.returncode}.", self.name)
            if time.monotonic() > deadline:
                _end(self._process)
                lines = "\n".join(self._last_lines)
                message = f"/ping did not answer within {self._worker_plan.startup_seconds:g} seconds.\n{lines}"
                raise WorkerError(message, self.name)
            time.sleep(PING_SECONDS)

    def _read(self, process: subprocess.Popen, log: LogWriter) -> None:
        with process.stdout as output:
            while raw := output.readline(LONGEST_EVENT):
                line = raw.decode(errors="replace").rstrip()
                self._last_lines.append(line[-LONGEST_TAIL:])
                log.write(line)


def command(python: Path, framework: str) -> tuple[str, ...]:
    """The command that serves a model with the inference toolkit."""
    return (str(python), "-c", BOOT, "--framework", framework, "--model-dir", f"{sandbox.ML}/model")


def multi_model_command(python: Path, framework: str) -> tuple[str, ...]:
    """The command that serves many models with the inference toolkit."""
    return (str(python), "-c", MULTI_MODEL_BOOT, "--framework", framework)


def _end(process: subprocess.Popen) -> None:
    sandbox.terminate(process)
    _wait(process)


def _wait(process: subprocess.Popen) -> None:
    """Waits for a process that was asked to end, and kills it when it does not."""
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        sandbox.kill(process)
