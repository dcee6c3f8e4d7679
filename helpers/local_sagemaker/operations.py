"""The registry of control-plane operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

Handler = Callable[["Server", dict], dict | None]

OPERATIONS: dict[str, Handler] = {}


def operation(name: str) -> Callable[[Handler], Handler]:
    """Registers a handler for a SageMaker operation, such as `@operation("CreateModel")`.

    The handler runs in a thread. Its request has been validated against botocore's input shape, timestamps are epoch
    seconds, and unknown members are gone. Of the dict that it returns, the members that botocore's output shape knows
    are sent; it raises `AwsError` for what the client did wrong.
    """

    def register(handler: Handler) -> Handler:
        if name in OPERATIONS:
            raise ValueError(f"{name} already has a handler: {OPERATIONS[name].__module__}")
        OPERATIONS[name] = handler
        return handler

    return register
