"""Waits for what the local SageMaker does by itself."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 90
Found = TypeVar("Found")


def until(look: Callable[[], Found]) -> Found:
    """What `look` returns, once it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing after {PATIENCE_SECONDS} s"
        time.sleep(0.2)
    return found
