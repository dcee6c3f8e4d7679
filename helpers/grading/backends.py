"""Which sandbox this machine allows: own namespaces, else bubblewrap, else none, and then what would allow one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from helpers.grading import bubblewrap, sandbox
from helpers.grading.files import scratch_folder
from helpers.grading.sandbox import Limits, SandboxError

NAMESPACES, BUBBLEWRAP, NONE = "own namespaces", "bubblewrap", "none"
_SWITCHES = {  # of the kernel: the value that forbids user namespaces, and the one that allows them
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "user.max_user_namespaces": ("0", "31391"),
}
_ROOT = Path(__file__).parents[2]


def choose(wanted: Iterable[str] = (NAMESPACES, BUBBLEWRAP)) -> str:
    """The first of these sandboxes that holds here.

    Raises:
        SandboxError: none does; the message says why, and how to allow one.
    """
    faults = []
    for backend in wanted:
        try:
            probe(backend)
        except SandboxError as fault:
            faults.append(f"{backend}: {fault}")
        else:
            return backend
    raise SandboxError(f"this machine does not allow the grader's sandbox. {'; '.join(faults)}.\n{_advice()}")


def probe(backend: str) -> None:
    """Check that a sandbox holds on this machine: no network, no view of the host's processes and files.

    Raises:
        SandboxError: it cannot be entered, or does not hold.
    """
    if backend == BUBBLEWRAP and shutil.which("bwrap") is None:
        raise SandboxError("it is not installed")
    with scratch_folder("course-sandbox-") as folder:
        (of_host := folder / "of-host").touch()
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            os.close(ours)
            _enter(backend, theirs, str(of_host))
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            said = pipe.read(2000).decode(errors="replace").strip()
        os.waitpid(child, 0)
    if said != "holds":
        raise SandboxError(said or "it ended without a word")


def _enter(backend: str, pipe: int, of_host: str) -> None:
    """In a fork: have the inside of a sandbox write to the pipe what it sees."""
    try:
        if backend == NAMESPACES:
            sandbox.enter(Limits(), (), 0, lambda: sandbox.report(pipe, of_host))
        os.dup2(pipe, 2)  # what bubblewrap itself complains of
        look = f"import sys; from helpers.grading import sandbox; sandbox.report({pipe}, {of_host!r})"
        environment = {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        bubblewrap.enter(Limits(), [str(_ROOT / "helpers")], ["-c", look], environment, kept=[pipe])
    except BaseException as error:
        os.write(pipe, f"{type(error).__name__}: {error}".encode()[:1000])
    finally:
        os._exit(1)


def _advice() -> str:
    """What to do, by what this machine forbids."""
    if sys.platform != "linux":
        return "The sandbox needs Linux: grade in a Linux container or virtual machine."
    closed = [f"sudo sysctl -w {name}={opened}" for name, (shut, opened) in _SWITCHES.items() if _value(name) == shut]
    return "\n".join(
        [
            "Ubuntu 24.04 and newer restrict user namespaces, and some kernels switch them off. Allow them: "
            f"{' && '.join(closed or ['sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'])}",
            "Or install a program that may make them: sudo apt-get install bubblewrap",
            "Inside a container: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined, or grade in a virtual machine.",
            "--no-sandbox executes the submissions with your rights.",
        ]
    )


def _value(switch: str) -> str:
    path = Path("/proc/sys") / switch.replace(".", "/")
    return path.read_text().strip() if path.exists() else ""
