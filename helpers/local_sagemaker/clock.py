"""The time and the randomness that moto sees, so that a replayed request gives the ids and dates it gave at first."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import threading
import time
import types
from collections.abc import Iterator

_frozen = threading.local()


def now() -> float:
    """Epoch seconds: those of the request that this thread answers, else the real ones."""
    return getattr(_frozen, "time", None) or time.time()


@contextlib.contextmanager
def at(moment: float, seed: int) -> Iterator[None]:
    """moto sees this time, and draws its ids from this seed, while the block runs in this thread."""
    from moto.moto_api._internal import mock_random

    mock_random.seed(seed)
    _frozen.time = moment
    try:
        yield
    finally:
        _frozen.time = None


def install() -> None:
    """Gives the moto modules that have been imported our clock; call it again after moto has imported more."""
    global _known_modules
    if len(sys.modules) == _known_modules:
        return
    _known_modules = len(sys.modules)
    for name, module in list(sys.modules.items()):
        if not name.startswith("moto.") or name in _installed:
            continue
        _installed.add(name)
        for attribute, theirs, ours in _REPLACED:
            if getattr(module, attribute, None) is theirs:
                setattr(module, attribute, ours)
        if "utcnow" in vars(module):
            module.utcnow = _utcnow


_installed: set[str] = set()
_known_modules = 0


def _utcnow() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None)


class _LikeDatetime(type(datetime.datetime)):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime.datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, datetime.datetime)


class _Datetime(datetime.datetime, metaclass=_LikeDatetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(now(), tz)

    @classmethod
    def utcnow(cls) -> datetime.datetime:
        return _utcnow()

    @classmethod
    def today(cls) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(now())


def _like(module: types.ModuleType, **ours: object) -> types.ModuleType:
    copy = types.ModuleType(module.__name__)
    copy.__dict__.update(vars(module) | ours)
    return copy


def _random_bytes(size: int) -> bytes:
    from moto.moto_api._internal import mock_random

    return mock_random.randbytes(size)


_REPLACED = (
    ("time", time, _like(time, time=now)),
    ("datetime", datetime, _like(datetime, datetime=_Datetime)),
    ("datetime", datetime.datetime, _Datetime),
    ("os", os, _like(os, urandom=_random_bytes)),
)
