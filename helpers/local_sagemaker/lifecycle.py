"""Starts, finds, stops and wipes the server of a home folder."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from helpers.local_sagemaker import arns

START_SECONDS = 30
STOP_SECONDS = 15
LEAST_FREE_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    pid: int
    home: Path

    @property
    def console(self) -> str:
        """Address of the web console."""
        return f"{self.url}/console"


class LocalSageMakerError(RuntimeError):
    """The server cannot be started or stopped; the message says why and what to do."""


def start(home: str | Path | None = None, port: int | None = None) -> Running:
    """Starts the server of a home folder unless it runs, and returns when it answers.

    The server outlives the caller: `stop` ends it.

    Args:
        home: folder of the state; by default the variable LOCAL_SAGEMAKER_HOME, else `.sagemaker` here.
        port: of 127.0.0.1; by default the one of the last start if it is free, else any.

    Raises:
        LocalSageMakerError: the port is taken, or the server did not start; carries the end of its log.
    """
    folder = _home(home)
    _require_writable(folder)
    with _locked(folder / "start.lock"):
        running = status(folder)
        if running is None:
            preferred = _record(folder).get("port", 0) if port is None else port
            try:
                running = _spawn(folder, preferred)
            except LocalSageMakerError:
                if port is not None or not preferred:
                    raise
                running = _spawn(folder, 0)
    if port is not None and running.url != f"http://127.0.0.1:{port}":
        raise LocalSageMakerError(f"The server of {folder} already runs at {running.url}: stop it to change its port.")
    return running


def _require_writable(folder: Path) -> None:
    """Makes the home, and says what is wrong with it before a server fails of it.

    Raises:
        LocalSageMakerError: it cannot be made or written, or its disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "start.lock").open("w"):
            pass
    except OSError as error:
        raise LocalSageMakerError(
            f"The home of the local SageMaker, {folder}, cannot be written: {error.strerror}. Choose another folder by "
            "the variable LOCAL_SAGEMAKER_HOME."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES and status(folder) is None:
        raise LocalSageMakerError(
            f"No space left on device: the disk of the local SageMaker's home {folder} has {free / 1024**2:.1f} MiB "
            "left. Make room there, or choose another folder by the variable LOCAL_SAGEMAKER_HOME."
        )


def status(home: str | Path | None = None) -> Running | None:
    """The server of a home folder, or None when it does not run."""
    folder = _home(home)
    record = _record(folder)
    answer = _health(record["port"]) if record and _is_locked(folder / "server.lock") else None
    if answer is None or answer["home"] != str(folder):
        return None
    return Running(f"http://127.0.0.1:{record['port']}", answer["pid"], folder)


def stop(home: str | Path | None = None) -> None:
    """Stops the server of a home folder, and the jobs and endpoint workers that it started.

    Raises:
        LocalSageMakerError: it does not end.
    """
    import psutil

    folder = _home(home)
    pid = _record(folder).get("pid")
    if pid is None or not _serves(pid, folder):
        return
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        process.terminate()
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs(family[:1], timeout=STOP_SECONDS)
    for member in (*alive, *family[1:]):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    if alive:
        raise LocalSageMakerError(f"These processes of {folder} do not end: {[member.pid for member in alive]}.")


def reset(home: str | Path | None = None) -> None:
    """Stops the server of a home folder and deletes all of its state.

    Raises:
        LocalSageMakerError: the folder is not one that a server made.
    """
    folder = _home(home)
    stop(folder)
    if not folder.exists():
        return
    with _locked(folder / "start.lock"):
        if not (folder / "server.lock").exists():
            raise LocalSageMakerError(f"{folder} is not the home of a local SageMaker: nothing is deleted.")
        for path in folder.iterdir():
            if path.name == "start.lock":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def interrupt_spot(
    training_job_name: str, without_capacity_seconds: float = 60.0, home: str | Path | None = None
) -> None:
    """Takes the instances of a managed spot training job away, which on AWS happens by itself.

    The job's processes get SIGTERM; it starts again from its checkpoints when there is capacity.

    Args:
        training_job_name: a job with EnableManagedSpotTraining that runs.
        without_capacity_seconds: how long there are no instances, in AWS's time: it passes `LOCAL_SAGEMAKER_SPEEDUP`
            times faster, and counts in full against MaxWaitTimeInSeconds.
        home: as in `start`.

    Raises:
        LocalSageMakerError: the server or the job does not run, or the job uses no spot instances.
    """
    running = status(home)
    if running is None:
        raise LocalSageMakerError(f"The local SageMaker of {_home(home)} does not run.")
    connection = http.client.HTTPConnection("127.0.0.1", int(running.url.rpartition(":")[2]), timeout=60)
    with contextlib.closing(connection):
        body = json.dumps({"WithoutCapacitySeconds": without_capacity_seconds})
        connection.request("POST", f"/_local/training-jobs/{quote(training_job_name, safe='')}/interruption", body)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    if answer.status != 200:
        raise LocalSageMakerError(told["message"])


def environment(running: Running) -> dict[str, str]:
    """The variables that point any program of AWS's SDKs at the server.

    A proxy that the environment names is kept away from the server. The SageMaker SDK gets its defaults, in
    `sagemaker-config.yaml` of the home folder: the bucket, the execution role of each kind of job, and no telemetry.
    PYTHONPATH makes Python programs that start with it send to the server what a library sends to a public address of
    AWS outright, as the SDK's `get_execution_role()` does; a program that already runs must pass a role instead.
    """
    config = running.home / "sagemaker-config.yaml"
    text = json.dumps(_SDK_CONFIG, indent=2)  # JSON is YAML
    if not config.exists() or config.read_text() != text:
        config.write_text(text)
    return {
        "AWS_ENDPOINT_URL": running.url,
        "AWS_ACCESS_KEY_ID": arns.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": arns.ACCESS_KEY,
        "AWS_DEFAULT_REGION": arns.REGION,
        "AWS_REGION": arns.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
        "PYTHONPATH": os.pathsep.join([_STARTUP, *_python_path()]),
        **_no_proxy(),
    }


_SDK_CONFIG = {
    "SchemaVersion": "1.0",
    "SageMaker": {
        "PythonSDK": {
            "Modules": {"TelemetryOptOut": True, "Session": {"DefaultS3Bucket": arns.DEFAULT_BUCKET}},
        },
        "TrainingJob": {"RoleArn": arns.ROLE_ARN},
        "ProcessingJob": {"RoleArn": arns.ROLE_ARN},
        "Model": {"ExecutionRoleArn": arns.ROLE_ARN},
    },
}


_STARTUP = str(Path(__file__).resolve().parent / "startup")
_spawned: list[subprocess.Popen] = []


def _python_path() -> list[str]:
    """The caller's PYTHONPATH, without what `environment` adds to it."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [folder for folder in folders if folder and folder != _STARTUP]


def _home(home: str | Path | None) -> Path:
    return Path(home or os.environ.get("LOCAL_SAGEMAKER_HOME") or ".sagemaker").resolve()


def _record(folder: Path) -> dict[str, int]:
    """Pid and port of the last server, or nothing."""
    try:
        record = json.loads((folder / "server.json").read_text())
        return {"pid": int(record["pid"]), "port": int(record["port"])}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return {}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_locked(path: Path) -> bool:
    """Whether a process holds the lock: the kernel releases it when that process ends, however it ends."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _health(port: int) -> dict | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/_local/health")
        answer = json.loads(connection.getresponse().read())
        return answer if isinstance(answer, dict) and {"pid", "home"} <= answer.keys() else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _serves(pid: int, folder: Path) -> bool:
    """Whether a process is the server of the folder: a pid alone may be another program's by now."""
    import psutil

    try:
        arguments = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return "helpers.local_sagemaker" in arguments and str(folder) in arguments


def _spawn(folder: Path, port: int) -> Running:
    log_path = folder / "server.log"
    with log_path.open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "helpers.local_sagemaker", "--home", str(folder), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=folder,
            env=_server_environment(),
        )
    # Kept, so that the interpreter does not complain of a child that it lost sight of.
    _spawned.append(process)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _record(folder).get("pid") == process.pid:
            running = status(folder)
            if running is not None:
                return running
        time.sleep(0.005)
    if process.poll() is None:
        process.kill()
    with log_path.open("rb") as log:
        log.seek(begin)
        tail = log.read()[-2000:].decode(errors="replace").strip()
    raise LocalSageMakerError(f"The local SageMaker of {folder} did not start. The end of {log_path}:\n{tail}")


def _server_environment() -> dict[str, str]:
    """The caller's environment, with this package importable, and without AWS settings and proxies."""
    root = str(Path(__file__).resolve().parents[2])
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}
    paths = [root, *_python_path()]
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return inherited | _no_proxy() | nothing | {"PYTHONPATH": os.pathsep.join(paths)}


def _no_proxy() -> dict[str, str]:
    """Keeps requests to 127.0.0.1 off the proxies that the environment names."""
    if not any(name.lower() in ("http_proxy", "all_proxy") for name in os.environ):
        return {}
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in excepted.split(",") if host and host != "127.0.0.1"]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join([*hosts, "127.0.0.1"]))
