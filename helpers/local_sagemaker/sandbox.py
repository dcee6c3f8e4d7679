"""Processes that see `/opt/ml`, carry no secret of the host, and end with the server.

Three ways give a process its own `/opt/ml`: bubblewrap, an unprivileged mount namespace made by `unshare`, and, where
the system allows neither, rewriting the literal `/opt/ml` in code, arguments and environment.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from helpers.local_sagemaker import errors, process_tree, rewriting

ML = "/opt/ml"
WAYS = ("bwrap", "unshare", "rewrite")
CODE_FOLDERS = ("code", "input/config", "input/data/code", "input/data/sm_drivers", "config", "processing/input")
_LIFELINE = "{lifeline}"
_GUARD = Path(__file__).parent / "runtimes" / "guard.py"
_GUARD_COMMAND = [sys.executable, "-I", "-S", str(_GUARD), _LIFELINE]
_MOST_PASSES = 1000
_MOST_OPEN_FILES = 65_536
_BLOCK = 512  # what `ulimit -f` counts in

# The kernel ends a bubblewrap or an unshare when the *thread* that started it ends: all of them start in this one.
_launcher = ThreadPoolExecutor(1, thread_name_prefix="launcher")

_UNSHARE_SCRIPT = r"""
set -e
stage=$1 ml=$2 cwd=$3 hosts=$4 hidden=$5 user=$6 group=$7; shift 7
mount -t tmpfs tmpfs "$stage"
for entry in /opt/* /opt/.[!.]*; do
    [ "$entry" = /opt/ml ] && continue
    if [ -d "$entry" ]; then mkdir "$stage/${entry##*/}"; elif [ -e "$entry" ]; then : > "$stage/${entry##*/}"
    else continue; fi
    mount --rbind "$entry" "$stage/${entry##*/}"
done
mkdir "$stage/ml"
mount --rbind "$ml" "$stage/ml"
mount --rbind "$stage" /opt
for secret in $hidden; do
    if [ -d "$secret" ]; then mount -t tmpfs tmpfs "$secret"; else mount --bind /dev/null "$secret"; fi
done
[ -n "$hosts" ] && mount --bind "$hosts" /etc/hosts
mount -t proc proc /proc
ip link set lo up 2>/dev/null || :  # in a network of its own it is down
cd "$cwd"
code=0
# Mounting takes a root of its own; the job has the caller's user, whom tar and others do not take for root.
unshare --user --map-user="$user" --map-group="$group" "$@" || code=$?
exit $code
"""


@dataclass(frozen=True)
class Binding:
    """How processes get their `/opt/ml` on this machine; `contained` when a PID namespace ends the whole tree."""

    way: str
    contained: bool


def launch(
    argv: Sequence[str],
    ml_root: Path,
    env: Mapping[str, str],
    *,
    stdout: int | IO | None = None,
    cwd: str = ML,
    code: Iterable[str] = CODE_FOLDERS,
    hosts: Iterable[str] = (),
    isolated: bool = False,
    largest_file: float | None = None,
) -> subprocess.Popen:
    """Starts a process that sees `ml_root` as `/opt/ml`, in a session of its own, and that dies with this process.

    The kernel bounds what it may do: no core dumps, 65,536 open files, files no larger than `largest_file`; and where
    memory runs out, it is ended before the server is.

    Args:
        argv: the command; a bare name is looked up on env's PATH.
        ml_root: the folder behind `/opt/ml`.
        env: the whole environment: nothing is inherited (see `clean_environment`).
        stdout: where standard output and standard error go, as `subprocess.Popen` takes it.
        cwd: the working directory as the process sees it.
        code: folders below ml_root whose text files are rewritten where `/opt/ml` cannot be bound.
        hosts: names that shall resolve to this machine, such as `algo-1`.
        isolated: the process gets a network of its own, from which nothing is reached; see `require_isolation`.
        largest_file: bytes.

    Raises:
        FileNotFoundError: there is no such command.
        RuntimeError: LOCAL_SAGEMAKER_BIND forces a way that does not work here, or nothing isolates a process.
    """
    bound = binding()
    if isolated and not _can_isolate(bound):
        raise RuntimeError("this machine gives a process no network namespace")
    argv, env = [str(part) for part in argv], dict(env)
    if bound.way == "rewrite":
        rewriting.rewrite_folders([ml_root / folder for folder in code], ml_root)
        argv = [rewriting.rewrite(part, ml_root) for part in argv]
        env = {key: rewriting.rewrite(value, ml_root) for key, value in env.items()}
        cwd = rewriting.rewrite(cwd, ml_root)
    _require_command(argv[0], ml_root, env, cwd)
    argv = [*_bounded(largest_file), *argv]
    wrapped = _wrap(bound, argv, ml_root, cwd, _hosts_file(ml_root, hosts), isolated=isolated)
    return _start(wrapped, env, stdout, cwd if bound.way == "rewrite" else "/")


def as_seen(path: str, ml_root: Path) -> str:
    """A path below `/opt/ml` as a process started by `launch` sees it."""
    return rewriting.rewrite(path, ml_root) if binding().way == "rewrite" else path


def _bounded(largest_file: float | None) -> list[str]:
    """What precedes a command to give it its limits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_OPEN_FILES)
    file_size = "" if largest_file is None else f"ulimit -f {int(largest_file / _BLOCK) + 1}; "
    script = (
        f'ulimit -c 0; ulimit -n {files}; {file_size}{{ echo 500 >/proc/self/oom_score_adj; }} 2>/dev/null; exec "$@"'
    )
    return ["/bin/sh", "-c", script, "bounded"]


def launch_on_host(
    argv: Sequence[str], env: Mapping[str, str], *, stdout: int | IO | None = None, cwd: Path
) -> subprocess.Popen:
    """Starts a program of this machine, without `/opt/ml`; like `launch`, it dies with this process."""
    return _start([*_GUARD_COMMAND, *map(str, argv)], env, stdout, str(cwd))


def _start(command: list[str], env: Mapping[str, str], stdout: int | IO | None, cwd: str) -> subprocess.Popen:
    def start() -> subprocess.Popen:
        ours, theirs = os.pipe()
        try:
            process = subprocess.Popen(
                [str(ours) if part == _LIFELINE else part for part in command],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT if stdout is not None else None,
                cwd=cwd,
                start_new_session=True,
                pass_fds=(ours,) if _LIFELINE in command else (),
            )
        except BaseException:
            os.close(theirs)
            raise
        finally:
            os.close(ours)
        weakref.finalize(process, os.close, theirs)  # the guard takes its end of file as the end of this process
        return process

    return _launcher.submit(start).result()


def terminate(process: subprocess.Popen) -> None:
    """Asks every process of the tree to end (SIGTERM); see `kill` for those that do not."""
    if process.poll() is None:
        for pid in process_tree.descendants(process.pid):
            # Without bubblewrap's own processes nothing waits for the job.
            if process_tree.name(pid) != "bwrap":
                _signal(pid, signal.SIGTERM)


def kill(process: subprocess.Popen) -> None:
    """Ends the whole tree at once (SIGKILL), even one that forks as fast as it can."""
    if process.poll() is not None:
        return
    if str(_GUARD) not in process.args:
        # The kernel ends what is in the PID namespace with its first process.
        first = process_tree.children(process.pid)
        process.kill()
        for pid in first:
            _signal(pid, signal.SIGKILL)
        return
    for _ in range(_MOST_PASSES):
        left = process_tree.descendants(process.pid)
        for pid in left:
            _signal(pid, signal.SIGKILL)
        if not left:
            break
    process.kill()


def clean_environment(url: str, region: str, python: Path, home: Path) -> dict[str, str]:
    """The environment that every sandboxed process starts from: tools and locale of the host, none of its secrets.

    Args:
        url: where the local SageMaker answers; boto3 in the process reaches it.
        region: the AWS region to report.
        python: the interpreter that `python` and `python3` shall mean; its folder comes first on PATH.
        home: the HOME of the process.
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | {
        "PATH": search_path(python),
        "HOME": str(home),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "PYTHONUNBUFFERED": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_RETRIES": "1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def search_path(python: Path) -> str:
    """The PATH of a sandboxed process whose `python` is the given one."""
    path = [str(python.parent), str(Path(sys.prefix) / "bin"), *_SYSTEM_PATH]
    return os.pathsep.join(dict.fromkeys(path))


# What a container's root lacks: capabilities over the whole machine.
_DROPPED = (
    *("SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYSLOG"),
    *("NET_ADMIN", "MAC_ADMIN", "DAC_READ_SEARCH"),
)
_SECRETS = (
    *(".aws", ".azure", ".docker", ".gnupg", ".kaggle", ".kube", ".ssh", ".config/gcloud", ".config/gh"),
    *(".git-credentials", ".netrc", ".pgpass", ".pypirc", ".cache/huggingface/token"),
)
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PASSED_ON = (
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "LC_ALL",
    "OMP_NUM_THREADS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)


def binding() -> Binding:
    """The way that this machine allows, or the one that LOCAL_SAGEMAKER_BIND (bwrap, unshare, rewrite) forces.

    Raises:
        RuntimeError: the forced way is unknown or does not work here.
    """
    return _binding(os.environ.get("LOCAL_SAGEMAKER_BIND", ""))


@functools.cache
def _binding(forced: str) -> Binding:
    if forced and forced not in WAYS:
        raise RuntimeError(f"LOCAL_SAGEMAKER_BIND={forced}: expected one of {', '.join(WAYS)}")
    for candidate in (Binding("bwrap", True), Binding("bwrap", False), Binding("unshare", True)):
        if forced in ("", candidate.way) and _works(candidate):
            return candidate
    if forced in ("", "rewrite"):
        return Binding("rewrite", False)
    raise RuntimeError(f"LOCAL_SAGEMAKER_BIND={forced}, but {forced} cannot bind {ML} on this machine")


def require_isolation(isolated: bool, instances: int = 1) -> None:
    """Checks that a job can be had that has no network, if it is asked for.

    Raises:
        AwsError: `ValidationException`; this machine has no network namespaces, or the instances need each other.
    """
    if isolated and instances > 1:
        raise errors.validation(
            "EnableNetworkIsolation with more than one instance is not available in the local SageMaker."
        )
    if isolated and not can_isolate():
        raise errors.validation(
            "EnableNetworkIsolation is not available in the local SageMaker on this machine: it gives a process no "
            "network namespace (on Linux, install bubblewrap and allow unprivileged user namespaces)."
        )


def can_isolate() -> bool:
    """Whether `launch` can give a process a network of its own."""
    return _can_isolate(binding())


@functools.cache
def _can_isolate(bound: Binding) -> bool:
    return bound.way != "rewrite" and _works(bound, isolated=True)


def _works(candidate: Binding, isolated: bool = False) -> bool:
    if platform.system() != "Linux" or not shutil.which(candidate.way) or not Path("/opt").is_dir():
        return False
    stage = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - bound read-only for the probe, nothing is written
    command = _wrap(candidate, ["/bin/sh", "-c", f"test -d {ML}"], stage, "/", None, probe=True, isolated=isolated)
    try:
        probe = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _wrap(
    bound: Binding,
    argv: list[str],
    ml_root: Path,
    cwd: str,
    hosts: Path | None,
    probe: bool = False,
    isolated: bool = False,
) -> list[str]:
    guard = [] if bound.contained or probe else _GUARD_COMMAND
    if bound.way == "rewrite":
        return [*guard, *argv]
    if bound.way == "unshare":
        stage = ml_root.parent / "opt" if not probe else Path("/mnt")
        if not probe:
            stage.mkdir(exist_ok=True)
        return [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"),
            *(["--net"] if isolated else []),
            *("/bin/sh", "-c", _UNSHARE_SCRIPT, "sandbox", str(stage), str(ml_root), cwd, str(hosts or "")),
            " ".join(str(path) for path in _secrets() if " " not in str(path)),
            *(str(os.getuid()), str(os.getgid()), *argv),
        ]
    contained = ["--unshare-pid", "--proc", "/proc"] if bound.contained else []
    contained += ["--unshare-net"] if isolated else []
    hosts_bind = ["--ro-bind", str(hosts), "/etc/hosts"] if hosts else []
    siblings = [part for entry in sorted(Path("/opt").iterdir()) if entry.name != "ml" for part in _bind(entry)]
    return [
        *guard,
        *("bwrap", "--die-with-parent", "--dev-bind", "/", "/", *contained, "--tmpfs", "/opt", *siblings),
        *(part for name in _DROPPED for part in ("--cap-drop", f"CAP_{name}") if os.getuid() == 0),
        *(part for path in _secrets() for part in _hide(path)),
        *("--bind", str(ml_root), ML, *hosts_bind, "--chdir", cwd, "--", *argv),
    ]


def _secrets() -> list[Path]:
    """Files and folders in the home of the server's user that hold credentials, as far as they exist."""
    home = Path.home()
    return [path for name in _SECRETS if (path := home / name).exists() and not path.is_symlink()]


def _hide(path: Path) -> list[str]:
    return ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", os.devnull, str(path)]


def _bind(entry: Path) -> list[str]:
    if entry.is_symlink():
        return ["--symlink", str(entry.readlink()), str(entry)]
    return ["--bind", str(entry), str(entry)]


def _hosts_file(ml_root: Path, names: Iterable[str]) -> Path | None:
    """A copy of the host's /etc/hosts in which the given names mean this machine."""
    names = list(names)
    system = Path("/etc/hosts")
    if not names or not system.is_file():
        return None
    copy = ml_root.parent / "hosts"
    copy.write_text(f"{system.read_text()}\n127.0.0.1 {' '.join(names)}\n")
    return copy


def _require_command(command: str, ml_root: Path, env: Mapping[str, str], cwd: str) -> None:
    """A missing command is told here: behind a wrapper it would look like a failure of the wrapper."""
    if command.startswith(f"{ML}/"):
        found = (ml_root / command.removeprefix(f"{ML}/")).exists()
    elif command.startswith("/"):
        found = Path(command).exists()
    elif "/" in command:
        found = (ml_root / cwd.removeprefix(ML).lstrip("/") / command).exists() or Path(cwd, command).exists()
    else:
        found = shutil.which(command, path=env.get("PATH", "")) is not None
    if not found:
        raise FileNotFoundError(f"exec: {command!r}: no such file or directory")


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
