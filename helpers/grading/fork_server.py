"""A process with a lab's imports done and no secret in its memory, which forks one interpreter a submission.

It is forked off the worker before that has read anything of the lab but the names of the modules to import: what a
submission can find in its memory is what every student has.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from helpers.grading import backends, bubblewrap, interpreter, sandbox, warm
from helpers.grading.channel import Channel, ChannelClosed
from helpers.grading.processes import children, kill
from helpers.grading.sandbox import Limits


@dataclass(frozen=True)
class Setting:
    """What every submission of a lab gets.

    Attributes:
        modules: imported before the fork; one that is missing is left for the submission to find out.
        files: the lab's own files, relative path to content.
        environment: the whole environment of the code.
        limits: what one submission may use.
        read_only: folders that the code can read, beside the system's and Python's.
        backend: the sandbox, one of `backends`; NONE runs the code with the caller's rights.
    """

    modules: tuple[str, ...]
    files: dict[str, bytes]
    environment: dict[str, str]
    limits: Limits
    read_only: tuple[str, ...]
    backend: str = backends.NAMESPACES


def preload(modules: Iterable[str]) -> Any:
    """Import the lab's modules and make the shell that the forks inherit."""
    for name in modules:
        with contextlib.suppress(Exception):  # the submission's own import will tell
            _bring(name)
    warm.remember()
    shell = interpreter.make_shell()
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        # A fork has none of these threads; whatever waits for one of them would wait for ever.
        for name in others:
            os.write(2, f"grading: the thread {name} of an imported module is not in the forks\n".encode())
    return shell


def _bring(name: str) -> None:
    """Import a module, or what a module gives under a name: some load only then what they need."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, member = name.rpartition(".")
        getattr(importlib.import_module(module), member)


def start(setting: Setting, shell: Any, slot: int, scratch: str) -> tuple[int, Channel]:
    """Fork the server off this process; returns its pid and the channel that asks it for interpreters."""
    ours, theirs = socket.socketpair()
    worker = os.getpid()
    pid = os.fork()
    if not pid:
        sandbox.die_with_parent(worker)
        ours.close()
        _serve(setting, shell, slot, scratch, theirs)
    theirs.close()
    return pid, Channel(ours)


def _serve(setting: Setting, shell: Any, slot: int, scratch: str, control: socket.socket) -> NoReturn:
    """One request a fork: a byte with the descriptor of a socket; the answer is the fork's pid, later its exit code."""
    sandbox.adopt_orphans()
    os.setsid()
    server = os.getpid()
    channel = Channel(control)
    with contextlib.suppress(ChannelClosed, EOFError):
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                raise EOFError
            folder = tempfile.mkdtemp(dir=scratch) if setting.backend == backends.NONE else ""
            pid = os.fork()
            if not pid:
                sandbox.die_with_parent(server)
                control.close()
                _become(setting, shell, slot, folder, descriptors[0])
            os.close(descriptors[0])
            channel.send({"pid": pid})
            # One submission at a time: the next request comes when this one's interpreter has ended.
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with contextlib.suppress(ChildProcessError):
                while True:  # what outlived its guardian ends with it, and is buried here
                    kill(children(os.getpid()))
                    os.waitpid(-1, 0)
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            channel.send({"code": code})
    os._exit(0)


def _become(setting: Setting, shell: Any, slot: int, folder: str, descriptor: int) -> NoReturn:
    limits = setting.limits

    def inside() -> None:
        _close_all_but(descriptor)
        channel = Channel(socket.socket(fileno=descriptor))
        interpreter.run(shell, channel, setting.files, setting.environment, limits.output)

    code = 1
    try:
        if setting.backend == backends.NAMESPACES:
            sandbox.enter(limits, setting.read_only, slot, inside)
        if setting.backend == backends.BUBBLEWRAP:
            program = ["-m", "helpers.grading.inside", "--fd", str(descriptor)]
            bubblewrap.enter(limits, setting.read_only, program, setting.environment, setting, [descriptor])
        os.setsid()
        os.chdir(folder)
        inside()
        code = 0
    finally:
        os._exit(code)


def _close_all_but(descriptor: int) -> None:
    """The code inherits its channel and the three standard descriptors, and nothing else."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        number = int(name)
        if number > 2 and number != descriptor:
            with contextlib.suppress(OSError):
                os.close(number)
