"""What a process prints: read line by line, however it is written, and handed on."""

from __future__ import annotations

import collections
import subprocess
import threading
from collections.abc import Callable

from helpers.local_sagemaker import sandbox
from helpers.local_sagemaker.logs import LONGEST_EVENT, LONGEST_TAIL, LogWriter


class Pump(threading.Thread):
    """Reads a process's output until it ends, and hands each line on: to the log, the tail, and `on_line`."""

    def __init__(
        self,
        process: subprocess.Popen,
        writer: LogWriter,
        tail: collections.deque[str],
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(name=f"pump {process.pid}", daemon=True)
        self._process, self._writer, self._tail, self._on_line = process, writer, tail, on_line
        self.start()

    def run(self) -> None:
        # A line without end is cut where CloudWatch would cut it, so that it fills no memory.
        while raw := self._process.stdout.readline(LONGEST_EVENT):
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._tail.append(line[-LONGEST_TAIL:])
            self._writer.write(line)
            self._on_line(line)

    def wait(self) -> int:
        """The exit code, once the process ended and all of its output is handed on."""
        code = self._process.wait()
        sandbox.kill(self._process)
        self.join()
        self._process.stdout.close()
        return code if code >= 0 else 128 - code
