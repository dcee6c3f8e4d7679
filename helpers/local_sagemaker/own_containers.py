"""A user's own container, the image `local/<name>`: its `train` and `serve` executables, and where they are found.

Nothing is pulled: what AWS would find in the image comes with the job. An executable is looked for in the source code
(`sagemaker_submit_directory`, or the channel `code` of a training job), in `code/` and at the top of the model's data,
and then on PATH. `serve` must listen on the port that SAGEMAKER_BIND_TO_PORT says: 8080 where each process gets a
network of its own, which reaches the local SageMaker and nothing else.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import sandbox, staging, unix_sockets
from helpers.local_sagemaker.containers import ContainerPlan

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

TRAIN, SERVE = "train", "serve"
KEEPALIVE_SECONDS = 1  # shorter than common servers', so that no request meets a connection that they just closed
_FOLDERS = {TRAIN: ("code", "input/data/code"), SERVE: ("code", "model/code", "model")}
_BRIDGE = Path(__file__).parent / "runtimes" / "own_container.py"
_SERVER_SOCKET = "server.sock"


def executable(name: str, ml_root: Path, environment: Mapping[str, str]) -> str | None:
    """The path of `train` or `serve` as the container sees it, None when there is none.

    A script that lost its mode on the way, as every file does in S3, becomes executable again.

    Args:
        name: `train` or `serve`.
        ml_root: the folder behind `/opt/ml`.
        environment: of the container; without a PATH, every sandboxed process's counts.
    """
    for folder in _FOLDERS[name]:
        path = ml_root / folder / name
        if path.is_file():
            if path.read_bytes()[:2] == b"#!":
                path.chmod(path.stat().st_mode | 0o111)
            return f"{sandbox.ML}/{folder}/{name}"
    return shutil.which(name, path=environment.get("PATH") or sandbox.search_path(Path(sys.executable)))


def working_directory(executable: str) -> str:
    """Where an executable runs: beside its own files when it came with the job."""
    return str(Path(executable).parent) if executable.startswith(f"{sandbox.ML}/") else "/"


def searched(name: str) -> str:
    """Where `executable` looks, for an error message."""
    return f"{', '.join(f'{sandbox.ML}/{folder}' for folder in _FOLDERS[name])} and on PATH"


def plan(server: Server, container: dict, ml_root: Path, environment: dict[str, str]) -> ContainerPlan:
    """What a worker runs for a user's own container, whose data lie below `ml_root`.

    Raises:
        StagingError: it has no `serve`; worded as AWS words it.
    """
    serve = executable(SERVE, ml_root, environment)
    if serve is None:
        raise staging.StagingError(
            "CannotStartContainerError. Please ensure the model container starts correctly when invoked with 'docker "
            f"run {container['Image']} serve': the local SageMaker looks for an executable serve in "
            f"{searched(SERVE)}."
        )
    argv = [sys.executable, "-I", "-S", str(_BRIDGE), "--serve", serve, "--cwd", working_directory(serve)]
    if isolated := sandbox.can_isolate():
        argv += ["--server-socket", str(server_socket(server.home)), "--server-port", server.url.rpartition(":")[2]]
    return ContainerPlan(
        container["Name"], tuple(argv), ml_root, environment, isolated, keepalive_seconds=KEEPALIVE_SECONDS
    )


def server_socket(home: Path) -> Path:
    """Where the server answers those who have a network of their own; in a folder that holds nothing else."""
    return unix_sockets.socket_folder(home / "server") / _SERVER_SOCKET
