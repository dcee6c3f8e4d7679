"""The sandbox where this process may make no namespaces but bubblewrap may, as under AppArmor's profile for it.

The same root as `sandbox` makes. No fork enters it: the interpreter in it is a fresh one, which imports for each
submission what the lab imports.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from helpers.grading import sandbox
from helpers.grading.sandbox import HOME, Limits


def enter(
    limits: Limits,
    read_only: Iterable[str],
    program: list[str],
    environment: Mapping[str, str],
    given: Any = None,
    kept: Iterable[int] = (),
) -> NoReturn:
    """Turn this forked process into a sandbox in which Python runs a program; exits with its exit code.

    Args:
        limits: of the writable folders; those of the processes are the program's to set, by `sandbox.limit`.
        read_only: folders that the program can read, beside the system's and Python's.
        program: Python's arguments.
        environment: the whole environment.
        given: what the program needs to know; its last argument is the descriptor of a file with its pickle.
        kept: descriptors that it inherits.

    Raises:
        OSError: bubblewrap cannot be started.
    """
    sandbox.die_with_parent()
    sandbox.own_keyring()
    os.umask(0o022)
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    wrapper = shutil.which("bwrap") or "bwrap"
    python = [sys.executable, "-P", *program, str(_file(pickle.dumps(given)))]
    os.execve(wrapper, [wrapper, *_root(limits, read_only), "--", *python], dict(environment))  # noqa: S606


def _root(limits: Limits, read_only: Iterable[str]) -> list[str]:
    """What bubblewrap is told of namespaces and of the root."""
    uid = str(sandbox.INSIDE_UID)
    options = [
        *("--unshare-all", "--unshare-user", "--uid", uid, "--gid", uid, "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"),
    ]
    # Before the binds: Python or the course may themselves lie below one of these.
    for folder, mode in sandbox.WRITABLE.items():
        options += ["--perms", f"{mode:04}", "--size", str(limits.disk), "--tmpfs", folder]
    options += ["--symlink", "/tmp", "/var/tmp", "--dir", "/opt/ml"]  # noqa: S108
    for path in sandbox.readable(read_only):
        if os.path.islink(path):  # noqa: PTH114
            options += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        elif os.path.exists(path):  # noqa: PTH110
            options += ["--ro-bind", path, path]
    for path, content in sandbox.WRITTEN.items():
        options += ["--ro-bind-data", str(_file(content.encode())), path]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def _file(content: bytes) -> int:
    """The descriptor of a file in memory, which survives `exec`."""
    descriptor = os.memfd_create("given", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
