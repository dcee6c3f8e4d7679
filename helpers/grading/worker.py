"""A grading worker: `python -P -m helpers.grading.worker --fd N`, told by its channel what to grade.

It first imports what the lab imports and forks the fork server off; only then it is told the tests. One submission at a
time: an examiner is forked for each, and whatever it reported before it broke counts.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from helpers.grading import backends, fork_server, interpreter, sandbox
from helpers.grading.channel import Channel, ChannelClosed
from helpers.grading.examination import Examination, examination
from helpers.grading.examiner import Examiner, Namespaces, execute
from helpers.grading.files import scratch_folder
from helpers.grading.fork_server import Setting
from helpers.grading.processes import children, kill
from helpers.grading.rehearsal import Memory, Rehearsal
from helpers.grading.sandbox import Limits

MAX_REPORT = 64 * 2**20
GRACE_SECONDS = 10.0
SETTLE_SECONDS = 1.0


class Worker:
    """Grades the submissions of one lab, one after the other.

    Args:
        setting: what every submission gets.
        slot: number of the worker, for a user of its own.
        scratch: a folder for submissions that run without a sandbox.
    """

    def __init__(self, setting: Setting, slot: int, scratch: str) -> None:
        self._setting = setting
        shell = fork_server.preload(setting.modules)
        gc.collect()
        gc.freeze()  # what is shared with the forks stays shared
        _, self._control = fork_server.start(setting, shell, slot, scratch)
        self._exam: Examination | None = None
        self._namespaces: Namespaces | None = None
        self._memory: Memory | None = None
        self._rehearsal: Rehearsal | None = None

    def learn(self, lab: str, source: dict[str, Any]) -> None:
        """Read the lab's tests, and execute what they need of the lab's own cells, beside the lab's files."""
        with scratch_folder("course-grading-") as folder:
            interpreter.write_files(self._setting.files, folder)
            os.chdir(folder)
            self._exam = examination(lab, source)
            self._namespaces = Namespaces(self._exam)
            os.chdir("/")
        self._memory = Memory(self._exam)
        self._rehearsal = Rehearsal(self._memory, execute)
        for test in self._exam.tests.values():
            if why := self._namespaces.inside(test):
                print(f"{test.task} runs in the student's interpreter: {why}", file=sys.stderr, flush=True)

    def grade(self, cells: list[dict[str, Any]]) -> dict[str, Any]:
        """Examine the cells of a repaired notebook; returns outputs and results by the cell's place.

        Returns:
            `cells`: list of {cell, outputs, count, withheld} and {cell, test}; `broken`: why the examination ended
            early, or empty; `seconds`.

        Raises:
            ChannelClosed: the fork server has ended, and nothing can be executed any more.
        """
        began = time.perf_counter()
        self._rehearsal.look()
        reads, writes = os.pipe()
        worker = os.getpid()
        pid = os.fork()
        if not pid:
            sandbox.die_with_parent(worker)
            os.close(reads)
            self._examine(cells, writes)
        os.close(writes)
        reports, broken = self._collect(pid, reads)
        seconds = round(time.perf_counter() - began, 3)
        memory = next((entry["memory"] for entry in reports if "memory" in entry), None)
        cells = [entry for entry in reports if "cell" in entry]
        return {"cells": cells, "broken": broken, "seconds": seconds, "memory": memory}

    def _examine(self, cells: list[dict[str, Any]], writes: int) -> NoReturn:
        code = 1
        try:
            # What a submission's values make a test allocate must not take the machine.
            room = max(4 * self._setting.limits.memory, 16 * 2**30)
            resource.setrlimit(resource.RLIMIT_AS, (room, room))
            with os.fdopen(writes, "w") as pipe:

                def report(entry: dict[str, Any]) -> None:
                    pipe.write(json.dumps(entry) + "\n")
                    pipe.flush()

                lab = self._exam, self._namespaces, self._memory
                Examiner(*lab, self._control, self._setting.limits, report).examine(cells)
            code = 0
        finally:
            os._exit(code)

    def _collect(self, pid: int, reads: int) -> tuple[list[dict[str, Any]], str]:
        """The examiner's reports; it is killed when it takes longer than a submission may, or says too much."""
        deadline = time.monotonic() + self._setting.limits.notebook_seconds + GRACE_SECONDS
        said, broken = bytearray(), ""
        while not broken:
            ready, _, _ = select.select([reads], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                broken = "the examination took too long"
                break
            part = os.read(reads, 2**20)
            if not part:
                break
            said += part
            if len(said) > MAX_REPORT:
                broken = "the submission left too much output"
        os.close(reads)
        if broken:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code and not broken:
            broken = f"the examiner ended with {code}"
        reports = [json.loads(line) for line in bytes(said).split(b"\n")[:-1]]
        if broken:
            self._end_interpreter(reports)
        return reports, broken

    def _end_interpreter(self, reports: list[dict[str, Any]]) -> None:
        """After an examiner that broke: its interpreter ends, and the fork server is free for the next."""
        pids = [entry["interpreter"] for entry in reports if "interpreter" in entry]
        kill((*children(pids[-1]), pids[-1]) if pids else ())
        with contextlib.suppress(TimeoutError):
            while True:
                self._control.receive(time.monotonic() + SETTLE_SECONDS)


def main() -> None:
    """Do what the channel says until it closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--slot", type=int, default=0)
    options = parser.parse_args()
    sandbox.die_with_parent()
    channel = Channel(socket.socket(fileno=options.fd))
    with contextlib.suppress(ChannelClosed), contextlib.ExitStack() as stack:
        begin = channel.receive()
        setting = _setting(begin.body, begin.blobs)
        bare = setting.backend == backends.NONE
        scratch = stack.enter_context(scratch_folder("course-grading-")) if bare else ""
        worker = Worker(setting, options.slot, str(scratch))
        channel.send({"ready": os.getpid()})
        while True:
            asked = channel.receive()
            if asked.body["do"] == "learn":
                worker.learn(asked.body["lab"], asked.body["source"])
                channel.send({"learnt": asked.body["lab"]})
            else:
                channel.send(worker.grade(asked.body["cells"]))


def _setting(body: dict[str, Any], blobs: list[bytes]) -> Setting:
    return Setting(
        modules=tuple(body["modules"]),
        files=dict(zip(body["files"], blobs, strict=True)),
        environment=body["environment"],
        limits=Limits(**body["limits"]),
        read_only=tuple(body["read_only"]),
        backend=body["backend"],
    )


if __name__ == "__main__":
    main()
