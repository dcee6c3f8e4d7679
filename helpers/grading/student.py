"""The examiner's hold on a student's interpreter: asked within deadlines, watched, and ended."""

from __future__ import annotations

import contextlib
import pickle
import select
import signal
import socket
import time
from typing import Any

from helpers.grading import wire
from helpers.grading.channel import Channel, ChannelAbused, ChannelClosed, Message
from helpers.grading.processes import children, family_use, kill
from helpers.grading.sandbox import Limits

SAMPLE_SECONDS = 0.2
MARGIN_THREADS = 32  # the kernel's own limit comes first, except for root, whom it does not limit


class InterpreterDied(Exception):
    """The student's interpreter is gone; the message says why."""


class Student:
    """One interpreter of a submission.

    Args:
        control: the channel of the fork server.
        limits: what the submission may use.
        deadline: of the whole submission, by `time.monotonic`.

    Attributes:
        pid: of the guardian of its sandbox.
        peak: bytes of memory that its processes were seen to use, beyond what they inherited.
    """

    def __init__(self, control: Channel, limits: Limits, deadline: float) -> None:
        ours, theirs = socket.socketpair()
        socket.send_fds(control.socket, [b"+"], [theirs.fileno()])
        theirs.close()
        self._control, self._limits, self._deadline = control, limits, deadline
        self.pid: int = control.receive().body["pid"]
        self._channel = Channel(ours)
        self._inherited: int | None = None
        self._threads = 0
        self.peak = 0
        self._ended = False

    def run(self, source: str, value: bool = False) -> Message:
        """Execute a cell; with `value`, the answer holds the value of its last expression.

        Raises:
            InterpreterDied: before it answered.
        """
        return self._ask({"do": "cell", "source": source, "value": value}, [])

    def value(self, name: str) -> Message:
        """The value of one of the student's names."""
        return self._ask({"do": "value", "name": name}, [])

    def call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Message:
        """Call one of the student's functions; what is no plain data goes to it, and only to it, as a pickle."""
        given = [*arguments, *keywords.values()]
        body: dict[str, Any] = {"do": "call", "name": name, "keywords": list(keywords)}
        try:
            body["arguments"], blobs = wire.encode(given)
        except wire.NotData:
            body["pickled"], blobs = True, [pickle.dumps(given)]
        return self._ask(body, blobs)

    def end(self) -> int | None:
        """Kill whatever is left of it; returns the exit code, None when it ended before."""
        if self._ended:
            return None
        self._ended = True
        self._look()
        self._channel.close()
        kill((*children(self.pid), self.pid))  # the first process of the namespace takes all others with it
        return int(self._control.receive().body["code"])

    def _ask(self, body: dict[str, Any], blobs: list[bytes]) -> Message:
        seconds = self._limits.cell_seconds
        until = min(time.monotonic() + seconds, self._deadline)
        try:
            self._channel.send(body, blobs)
            self._watch(until, seconds)
            answer = self._channel.receive(until)
        except ChannelClosed:
            code = self._exit_code()
            reason = f"the interpreter ended, {_words(code)}"
        except ChannelAbused as error:
            reason = f"the interpreter sent {error}"
        except TimeoutError:
            whole = time.monotonic() >= self._deadline
            reason = f"the notebook took more than {self._limits.notebook_seconds:g} s" if whole else _slow(seconds)
        except _Excess as excess:
            reason = f"the interpreter {excess}"
        else:
            if self._inherited is None:
                self._look()
            return answer
        self.end()
        raise InterpreterDied(reason)

    def _watch(self, until: float, seconds: float) -> None:
        """Returns when there is something to read."""
        while not select.select([self._channel.socket], [], [], SAMPLE_SECONDS)[0]:
            if time.monotonic() > until:
                raise TimeoutError
            self._look()
            if self.peak > self._limits.memory:
                raise _Excess(f"used more than {self._limits.memory / 2**30:.1f} GiB of memory")
            if self._threads > self._limits.processes + MARGIN_THREADS:
                raise _Excess(f"had more than {self._limits.processes} processes and threads")

    def _look(self) -> None:
        """See how much memory it uses, and how many threads."""
        used, self._threads = family_use(self.pid)
        if self._inherited is None:
            self._inherited = used
        self.peak = max(self.peak, used - self._inherited)

    def _exit_code(self) -> int:
        """Of an interpreter that ended by itself: its guardian follows it at once."""
        self._ended = True
        self._channel.close()
        kill(children(self.pid))
        return int(self._control.receive().body["code"])


class _Excess(Exception):
    """More than a submission may use; the message says of what."""


def _words(code: int) -> str:
    if code < 0:
        code = 128 - code
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(code - 128).name}"
    return f"exit code {code}"


def _slow(seconds: float) -> str:
    return f"it took more than {seconds:g} s"
