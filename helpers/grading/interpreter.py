"""The student's side: executes cells like a notebook and answers calls, in a sandbox, one submission's and no more.

Nothing that this process says is believed for more than what it is: outputs of the student's cells, and the values that
the student's functions return. The student's code can take this module over entirely, and gains nothing by it.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from helpers.grading import wire
from helpers.grading.channel import Channel, ChannelClosed, Message
from helpers.grading.outputs import Descriptors, Outputs, redirect

FRAMES = 4  # of a traceback that are told
_CELL = re.compile(r'File "<ipython-input-(\d+)-[0-9a-f]+>"')


def make_shell() -> Any:
    """IPython's shell without history, files or a terminal; made before the fork, so that each submission has it."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Context"

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            """Figures are drawn inline: there is no event loop to join."""

    shell = Shell.instance(config=config)
    shell.enable_matplotlib("inline")
    return shell


class Interpreter:
    """One submission's interpreter.

    Args:
        shell: of `make_shell`.
        channel: to the examiner.
        cell_bytes: bytes of output that a cell may leave.
    """

    def __init__(self, shell: Any, channel: Channel, cell_bytes: int) -> None:
        self.shell, self.channel = shell, channel
        self._cell_bytes = cell_bytes
        self.outputs = Outputs(cell_bytes, 8 * cell_bytes)
        self._descriptors = Descriptors()
        self._quiet = False
        redirect(self.outputs)
        self._capture_displays()

    def serve(self) -> None:
        """Do what the examiner asks until it hangs up."""
        deeds = {"cell": self._cell, "call": self._call, "value": self._value}
        while True:
            try:
                asked = self.channel.receive()
                body, blobs = deeds[asked.body["do"]](asked)
                self.channel.send(body, blobs)
            except ChannelClosed:
                return

    def _cell(self, asked: Message) -> tuple[dict, list[bytes]]:
        """Execute a cell; with `value`, also say what its last expression is worth."""
        self.outputs.begin()
        self._quiet = bool(asked.body.get("value"))
        result = self.shell.run_cell(asked.body["source"], store_history=True, silent=False)
        if printed := self._descriptors.take(self._cell_bytes):
            self.outputs.stream("stdout", printed)
        failed = result.error_before_exec or result.error_in_exec
        body = {"outputs": self.outputs.take(), "count": result.execution_count, "ok": failed is None}
        if not asked.body.get("value"):
            return body, []
        if failed is not None:
            return body | {"error": describe(failed)}, []
        return _with_value(body, result.result)

    def _value(self, asked: Message) -> tuple[dict, list[bytes]]:
        """The value of one of the student's names."""
        name = asked.body["name"]
        if name not in self.shell.user_ns:
            return {"error": describe(NameError(f"name {name!r} is not defined"))}, []
        return _with_value({}, self.shell.user_ns[name])

    def _call(self, asked: Message) -> tuple[dict, list[bytes]]:
        """Call one of the student's functions with the examiner's arguments."""
        self.outputs.begin()
        try:
            given = _arguments(asked)
            before = [_fingerprint(value) for value in given]
            function = self.shell.user_ns[asked.body["name"]]
        except KeyError as error:
            return {"error": describe(NameError(f"name {error} is not defined"))}, []
        names = asked.body["keywords"]
        positional = given[: len(given) - len(names)]
        keywords = dict(zip(names, given[len(positional) :], strict=True))
        try:
            value = function(*positional, **keywords)
        except BaseException as error:
            return {"error": describe(error), **self._printed()}, []
        changed = [place for place, value_before in enumerate(before) if _fingerprint(given[place]) != value_before]
        body: dict[str, Any] = self._printed()
        if changed:
            body["changed"] = changed
            value = (value, [given[place] for place in changed])
        return _with_value(body, value)

    def _printed(self) -> dict[str, Any]:
        self._descriptors.take(0)
        return {"outputs": self.outputs.take()[:20]}

    def _capture_displays(self) -> None:
        outputs, shell = self.outputs, self.shell

        def publish(data: dict, metadata: dict | None = None, **_: Any) -> None:
            __tracebackhide__ = True
            outputs.display(_plain(data), _plain(metadata or {}))

        def write_format_data(data: dict, metadata: dict | None = None) -> None:
            outputs.display(_plain(data), _plain(metadata or {}), shell.execution_count)

        def show_traceback(kind: type, value: BaseException, lines: list[str]) -> None:
            outputs.error(kind.__name__, _text(value), lines)

        format_traceback = shell.showtraceback

        def show_unless_quiet(*arguments: Any, **keywords: Any) -> None:
            if not self._quiet:  # the outputs of a test are read by nobody
                format_traceback(*arguments, **keywords)

        shell.showtraceback = show_unless_quiet
        shell.display_pub.publish = publish
        shell.display_pub.clear_output = lambda wait=False: None
        shell.displayhook.write_format_data = write_format_data
        shell.displayhook.write_output_prompt = lambda: None
        shell.displayhook.finish_displayhook = lambda: None
        shell._showtraceback = show_traceback


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as data: its name, those of its bases, its text and the end of its traceback."""
    bases = [kind.__name__ for kind in type(error).__mro__]
    told = [line[:1000] for line in _traceback(error)]
    return {"type": type(error).__name__[:200], "bases": bases[:20], "text": _text(error), "traceback": told}


def _traceback(error: BaseException) -> list[str]:
    """The end of a traceback, in the student's own code and named as the notebook names its cells."""
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        own = [frame for frame in told.stack if frame.filename != __file__]
        told.stack = traceback.StackSummary.from_list(own[-FRAMES:])
        return [_CELL.sub(r"Cell In[\1]", line) for line in told.format(chain=False)]
    except Exception:  # an exception of the student's that breaks when it is looked at
        return []


def _text(error: BaseException) -> str:
    try:
        return str(error)[:2000]
    except Exception:
        return "(its text cannot be read)"


def _arguments(asked: Message) -> list[Any]:
    """The call's arguments: data, or what only pickle holds. The examiner is trusted, so unpickling it is safe."""
    if asked.body.get("pickled"):
        return pickle.loads(asked.blobs[0])  # noqa: S301
    return wire.decode(asked.body["arguments"], asked.blobs)


def _fingerprint(value: Any) -> Any:
    try:
        return wire.encode(value)
    except (wire.NotData, RecursionError):
        return None


def _with_value(body: dict[str, Any], value: Any) -> tuple[dict, list[bytes]]:
    try:
        tree, blobs = wire.encode(value)
    except (wire.NotData, RecursionError) as error:
        return body | {"not_data": str(error)[:200]}, []
    except Exception as error:  # an object of the student's that breaks when it is looked at
        return body | {"error": describe(error)}, []
    return body | {"value": tree}, blobs


def _plain(data: dict) -> dict[str, Any]:
    """A MIME bundle as JSON holds it: text, images in base64."""
    __tracebackhide__ = True
    import base64

    plain: dict[str, Any] = {}
    for kind, value in data.items():
        if isinstance(value, bytes):
            plain[str(kind)] = base64.b64encode(value).decode()
        elif isinstance(value, str | int | float | bool):
            plain[str(kind)] = value
    return plain


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write files, relative path to content, below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def run(shell: Any, channel: Channel, files: dict[str, bytes], environment: dict[str, str], cell_bytes: int) -> None:
    """Serve one submission: in the folder where the process stands, with the lab's own files and this environment.

    Args:
        shell: of `make_shell`.
        channel: to the examiner.
        files: relative path to content.
        environment: the whole environment.
        cell_bytes: bytes of output that a cell may leave.
    """
    os.environ.clear()
    os.environ.update(environment)
    write_files(files, Path())
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - lives as long as the process
    Interpreter(shell, channel, cell_bytes).serve()
