"""Why a job failed, found in its output and cut to what a FailureReason holds."""

import re

_LONGEST_REASON = 1024
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Warning|Interrupt|Exit)(:|$)")


def shortened(reason: str) -> str:
    """A FailureReason of at most 1,024 characters, cut in the middle: its end holds the real error."""
    if len(reason) <= _LONGEST_REASON:
        return reason
    head, mark = reason[:200], " ... "
    return head + mark + reason[len(head) + len(mark) - _LONGEST_REASON :]


def last_error(lines: list[str]) -> str:
    """The last lines of a program's output that tell why it failed.

    The last Python traceback from its last frame on, unless it only says that a child process failed; else the last
    lines.
    """
    starts = [index for index, line in enumerate(lines) if line.strip() == "Traceback (most recent call last):"]
    for start in reversed(starts):
        block = _traceback(lines[start:])
        if not block[-1].startswith("subprocess.CalledProcessError"):
            return "\n".join(block[-8:])
    return "\n".join([line for line in lines if line.strip()][-5:])


def _traceback(lines: list[str]) -> list[str]:
    """A traceback up to the line that names the exception, with what follows of its message.

    The SDK's driver strips the lines that it passes on: a frame is known by its `File`, and source by what it follows.
    """
    after_file = False
    for index, line in enumerate(lines[1:], 1):
        text = line.strip()
        source = after_file and not _EXCEPTION.match(text)
        after_file = text.startswith('File "')
        if after_file or source or not text or line[0].isspace() or not text.strip("^~ ") or text[0] == "[":
            continue
        end = index + 1
        while end < len(lines) and lines[end].startswith("  "):
            end += 1
        return lines[:end]
    return lines
