"""The registry of operations: which handler answers each, and whether something really happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from helpers.local_sagemaker.app import Server

Handler = Callable[["Server", dict], dict | None]
RestHandler = Callable[["Server", "web.Request"], Awaitable["web.StreamResponse"]]


class Level(StrEnum):
    """How far an operation goes here."""

    EXECUTES = "executes"
    STORES = "stores"
    NOT_AVAILABLE = "not available"


OPERATIONS: dict[str, Handler] = {}
REST_OPERATIONS: dict[str, RestHandler] = {}
_STORING: set[str] = set()


def operation(name: str, *, stores: bool = False) -> Callable[[Handler], Handler]:
    """Registers a handler for a SageMaker operation, such as `@operation("CreateModel")`.

    The handler runs in a thread. Its request has been validated against botocore's input shape, timestamps are epoch
    seconds, and unknown members are gone. Of the dict that it returns, the members that botocore's output shape knows
    are sent; it raises `AwsError` for what the client did wrong.

    Args:
        name: the operation.
        stores: True where the operation only keeps a record and gives it back, and nothing that runs reads it.
    """
    return lambda handler: _register(OPERATIONS, name, handler, stores)


def rest_operation(name: str, *, stores: bool = False) -> Callable[[RestHandler], RestHandler]:
    """Registers a coroutine for an operation of a service that speaks REST, such as `InvokeEndpoint`.

    Its method and path are botocore's, so that `request.match_info` has the members of the path by their own names.

    Args:
        name: the operation.
        stores: as for `operation`.
    """
    return lambda handler: _register(REST_OPERATIONS, name, handler, stores)


def level(name: str) -> Level:
    """How far an operation goes: `not available` when no handler answers it."""
    if name not in OPERATIONS and name not in REST_OPERATIONS:
        return Level.NOT_AVAILABLE
    return Level.STORES if name in _STORING else Level.EXECUTES


def _register(registry: dict[str, Callable], name: str, handler: Callable, stores: bool) -> Callable:
    if name in registry:
        raise ValueError(f"{name} already has a handler: {registry[name].__module__}")
    registry[name] = handler
    if stores:
        _STORING.add(name)
    return handler
