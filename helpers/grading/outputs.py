"""What cells print and display, kept in order and within bounds."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

LONGEST_TRACEBACK_LINE = 2000


class Outputs:
    """Collects the outputs of one cell after the other, as nbformat has them.

    Args:
        cell_bytes: what one cell may leave; the rest is dropped, and a line says so.
        notebook_bytes: what all of them may leave.
    """

    def __init__(self, cell_bytes: int, notebook_bytes: int) -> None:
        self._cell_bytes, self._left = cell_bytes, notebook_bytes
        self._outputs: list[dict[str, Any]] = []
        self._used = 0
        self._full = False

    def begin(self) -> None:
        """Start with an empty list."""
        self._outputs, self._used, self._full = [], 0, False

    def take(self) -> list[dict[str, Any]]:
        """The outputs since `begin`."""
        taken, self._outputs = self._outputs, []
        return taken

    def stream(self, name: str, text: str) -> None:
        """Add printed text."""
        text = text[: self._room(len(text))]
        if not text:
            return
        last = self._outputs[-1] if self._outputs else {}
        if last.get("output_type") == "stream" and last.get("name") == name:
            last["text"] += text
        else:
            self._outputs.append({"output_type": "stream", "name": name, "text": text})

    def display(self, data: dict[str, Any], metadata: dict[str, Any], count: int | None = None) -> None:
        """Add a displayed object or, with a count, the cell's result."""
        size = sum(len(str(value)) for value in data.values())
        if self._room(size) < size:
            return
        kind = {"output_type": "display_data"} if count is None else {"output_type": "execute_result"}
        output = kind | {"data": data, "metadata": metadata}
        self._outputs.append(output | ({"execution_count": count} if count is not None else {}))

    def error(self, name: str, value: str, traceback: list[str]) -> None:
        """Add an error; it is kept even when nothing else is."""
        lines = [line[:LONGEST_TRACEBACK_LINE] for line in traceback[-30:]]
        entry = {"output_type": "error", "ename": name[:200], "evalue": value[:LONGEST_TRACEBACK_LINE]}
        self._outputs.append(entry | {"traceback": lines})

    def _room(self, wanted: int) -> int:
        room = max(0, min(self._cell_bytes - self._used, self._left))
        if wanted > room and not self._full:
            self._full = True
            self._outputs.append({"output_type": "stream", "name": "stderr", "text": "[output cut: too long]\n"})
        granted = min(wanted, room)
        self._used += granted
        self._left -= granted
        return granted


class Stream(io.TextIOBase):
    """A sys.stdout or sys.stderr whose text goes into the outputs."""

    encoding = "utf-8"

    def __init__(self, outputs: Outputs, name: str) -> None:
        super().__init__()
        self._outputs, self._name = outputs, name

    def write(self, text: str) -> int:
        """Add text."""
        self._outputs.stream(self._name, str(text))
        return len(text)

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The process's own descriptor, for those who write past Python."""
        return 1 if self._name == "stdout" else 2


class Descriptors:
    """Descriptors 1 and 2 in a file of this process's memory: what subprocesses and C code print."""

    def __init__(self) -> None:
        self._file = os.memfd_create("output")
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)

    def take(self, most: int) -> str:
        """What was written since the last time, at most so many bytes of it."""
        size = os.fstat(self._file).st_size
        if not size:
            return ""
        text = os.pread(self._file, most, 0).decode(errors="replace")
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        return text


def redirect(outputs: Outputs) -> None:
    """Send Python's standard streams into the outputs."""
    sys.stdout, sys.stderr = Stream(outputs, "stdout"), Stream(outputs, "stderr")
