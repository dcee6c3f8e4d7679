"""Runs a command and ends its whole process tree when the server that started it goes away.

Used where no PID namespace does that. The server holds the other end of a pipe: end of file means that it died, however
it died. Standard library only: it starts in some 15 ms and stays small beside the job.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time


def _adopt_orphans() -> None:
    """On Linux, processes that the command leaves behind become children of this one, so that they are found."""
    if sys.platform == "linux":
        import ctypes

        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def _children(pid: int) -> list[int]:
    """Children of a process by /proc; none elsewhere than on Linux, where the process group has to do."""
    children = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - pathlib would triple the start-up
            with open(f"/proc/{pid}/task/{thread}/children") as file:  # noqa: PTH123
                children += [int(child) for child in file.read().split()]
    return children


def _end(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
    left = _children(os.getpid())
    while left:
        child = left.pop()
        left += _children(child)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def _end_all(process: subprocess.Popen) -> None:
    """Ends what is left, until nothing is: it may fork as fast as it is ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        _end(process, signal.SIGKILL)
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(0.001)


def _watch(process: subprocess.Popen, lifeline: int) -> None:
    while os.read(lifeline, 1):
        continue
    _end(process, signal.SIGKILL)
    os._exit(1)


def main(lifeline: int, argv: list[str]) -> int:
    """The exit code of the command, or 128 + n when signal n ended it.

    Args:
        lifeline: the descriptor of the pipe that the server holds open.
        argv: the command.
    """
    _adopt_orphans()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: _end(process, signal.SIGTERM))
    threading.Thread(target=_watch, args=(process, lifeline), daemon=True).start()
    code = process.wait()
    _end_all(process)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    code = main(int(sys.argv[1]), sys.argv[2:])
    sys.stdout.flush()
    os._exit(code)
