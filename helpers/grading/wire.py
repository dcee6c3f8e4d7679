"""Values as data: what may cross between a student's interpreter and the examiner, and nothing else.

A value becomes a tree that JSON can hold and a list of byte strings beside it. Decoding builds only the types named
here, from their parts: no pickle, no class that the sender names, no code. NumPy arrays are read by dtype and shape,
frames column by column.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

MAX_DEPTH = 60
_DTYPE = re.compile(r"[<>|=]?[biufcSUMm]\d{0,5}(\[(\d+)?[A-Za-z]{1,2}\])?")
_EXTENSION = re.compile(r"(string(\[\w+\])?|boolean|U?Int\d{1,2}|Float\d{2}|str|datetime64\[\w{1,2}, [\w/+:-]{1,40}\])")


class NotData(TypeError):
    """A value that cannot cross; the message names its type."""


class Damaged(ValueError):
    """A tree that stands for no value."""


def encode(value: Any) -> tuple[Any, list[bytes]]:
    """The tree and the bytes that stand for a value.

    Raises:
        NotData: the value, or a part of it, is no plain data.
    """
    blobs: list[bytes] = []
    return _encode(value, blobs, 0), blobs


def decode(tree: Any, blobs: list[bytes]) -> Any:
    """The value that a tree and its bytes stand for.

    Raises:
        Damaged: they stand for none.
    """
    try:
        return _decode(tree, blobs, 0)
    except Damaged:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


def _encode(value: Any, blobs: list[bytes], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotData(f"data nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, bool) or type(value) is int or type(value) is str:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$": "float", "v": repr(value)}
    if type(value) is list:
        return [_encode(item, blobs, depth + 1) for item in value]
    for kind, encoder in _ENCODERS:
        if isinstance(value, kind):
            return encoder(value, blobs, depth + 1)
    raise NotData(f"{type(value).__module__}.{type(value).__qualname__}")


def _items(value: Any, blobs: list[bytes], depth: int) -> list[Any]:
    return [_encode(item, blobs, depth) for item in value]


def _blob(content: bytes, blobs: list[bytes]) -> int:
    blobs.append(content)
    return len(blobs) - 1


def _array(array: np.ndarray, blobs: list[bytes], depth: int) -> dict:
    if array.dtype == object:
        return {"$": "objects", "shape": list(array.shape), "v": _items(array.ravel().tolist(), blobs, depth)}
    if not _DTYPE.fullmatch(array.dtype.str):
        raise NotData(f"numpy array of dtype {array.dtype}")
    content = np.ascontiguousarray(array).tobytes()
    return {"$": "array", "dtype": array.dtype.str, "shape": list(array.shape), "v": _blob(content, blobs)}


def _scalar(value: np.generic, blobs: list[bytes], depth: int) -> dict:
    return _array(np.asarray(value), blobs, depth) | {"$": "scalar"}


def _column(values: Any, blobs: list[bytes], depth: int) -> dict:
    """A pandas array: NumPy's as it is, a categorical by its codes, an extension type by its items."""
    if type(values) is pd.arrays.NumpyExtensionArray:
        values = values.to_numpy()
    if isinstance(values, pd.Categorical):
        categories = _encode(pd.Index(values.categories), blobs, depth)
        codes = _array(np.asarray(values.codes), blobs, depth)
        return {"$": "categorical", "codes": codes, "categories": categories, "ordered": bool(values.ordered)}
    if isinstance(values.dtype, np.dtype):
        return _array(np.asarray(values), blobs, depth)
    is_string = isinstance(values.dtype, pd.StringDtype)
    dtype = f"string[{values.dtype.storage}]" if is_string else str(values.dtype)
    if not _EXTENSION.fullmatch(dtype):
        raise NotData(f"pandas column of dtype {values.dtype}")
    return {"$": "extension", "dtype": dtype, "v": _items(list(values), blobs, depth)}


def _index(index: pd.Index, blobs: list[bytes], depth: int) -> dict:
    names = _items(list(index.names), blobs, depth)
    if isinstance(index, pd.RangeIndex):
        return {"$": "range", "v": [index.start, index.stop, index.step], "names": names}
    if isinstance(index, pd.MultiIndex):
        levels = [_column(index.get_level_values(level).array, blobs, depth) for level in range(index.nlevels)]
        return {"$": "multi", "v": levels, "names": names}
    return {"$": "index", "v": _column(index.array, blobs, depth), "names": names}


def _series(series: pd.Series, blobs: list[bytes], depth: int) -> dict:
    name = _encode(series.name, blobs, depth)
    index = _index(series.index, blobs, depth)
    return {"$": "series", "index": index, "v": _column(series.array, blobs, depth), "name": name}


def _frame(frame: pd.DataFrame, blobs: list[bytes], depth: int) -> dict:
    columns = [_column(frame.iloc[:, place].array, blobs, depth) for place in range(frame.shape[1])]
    header, index = _index(frame.columns, blobs, depth), _index(frame.index, blobs, depth)
    return {"$": "frame", "columns": header, "index": index, "v": columns}


def _timestamp(value: pd.Timestamp, blobs: list[bytes], depth: int) -> dict:
    return {"$": "timestamp", "v": value.isoformat(), "unit": value.unit, "zone": str(value.tz) if value.tz else None}


def _moment(value: datetime.datetime, blobs: list[bytes], depth: int) -> dict:
    return {"$": "datetime", "v": value.isoformat()}


_ENCODERS: tuple[tuple[Any, Callable[[Any, list[bytes], int], Any]], ...] = (
    (type(pd.NaT), lambda value, blobs, depth: {"$": "nat"}),
    (type(pd.NA), lambda value, blobs, depth: {"$": "na"}),
    (np.generic, _scalar),
    (np.ndarray, _array),
    (pd.DataFrame, _frame),
    (pd.Series, _series),
    (pd.Index, _index),
    (pd.api.extensions.ExtensionArray, _column),
    (pd.Timestamp, _timestamp),
    (pd.Timedelta, lambda value, blobs, depth: {"$": "timedelta", "v": value.isoformat(), "unit": value.unit}),
    (datetime.datetime, _moment),
    (datetime.date, lambda value, blobs, depth: {"$": "date", "v": value.isoformat()}),
    (
        datetime.timedelta,
        lambda value, blobs, depth: {"$": "span", "v": [value.days, value.seconds, value.microseconds]},
    ),
    (bytes | bytearray, lambda value, blobs, depth: {"$": "bytes", "v": _blob(bytes(value), blobs)}),
    (str, lambda value, blobs, depth: str.__str__(value)),
    (int, lambda value, blobs, depth: int.__int__(value)),
    (float, lambda value, blobs, depth: _encode(float.__float__(value), blobs, depth)),
    (complex, lambda value, blobs, depth: {"$": "complex", "v": [repr(value.real), repr(value.imag)]}),
    (tuple, lambda value, blobs, depth: {"$": "tuple", "v": _items(value, blobs, depth)}),
    (list, _items),
    (frozenset, lambda value, blobs, depth: {"$": "frozenset", "v": _items(value, blobs, depth)}),
    (set, lambda value, blobs, depth: {"$": "set", "v": _items(value, blobs, depth)}),
    (range, lambda value, blobs, depth: {"$": "span of numbers", "v": [value.start, value.stop, value.step]}),
    (Mapping, lambda value, blobs, depth: {"$": "dict", "v": [_items(pair, blobs, depth) for pair in value.items()]}),
    (type({}.keys()) | type({}.values()) | type({}.items()), lambda value, blobs, depth: _items(value, blobs, depth)),
)


def _decode(tree: Any, blobs: list[bytes], depth: int) -> Any:
    if depth > 3 * MAX_DEPTH:
        raise Damaged("nested too deep")
    if isinstance(tree, list):
        return [_decode(item, blobs, depth + 1) for item in tree]
    if not isinstance(tree, dict):
        return tree
    decoder = _DECODERS.get(tree.get("$"))
    if decoder is None:
        raise Damaged(f"unknown kind {tree.get('$')!r:.40}")
    return decoder(tree, blobs, depth + 1)


def _decoded_items(tree: dict, blobs: list[bytes], depth: int) -> list[Any]:
    return [_decode(item, blobs, depth) for item in tree["v"]]


def _decoded_array(tree: dict, blobs: list[bytes], depth: int) -> np.ndarray:
    if not _DTYPE.fullmatch(tree["dtype"]):
        raise Damaged(f"dtype {tree['dtype']!r:.40}")
    array = np.frombuffer(blobs[_natural(tree["v"])], dtype=np.dtype(tree["dtype"]))
    return array.reshape([_natural(size) for size in tree["shape"]]).copy()


def _decoded_objects(tree: dict, blobs: list[bytes], depth: int) -> np.ndarray:
    items = _decoded_items(tree, blobs, depth)
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array.reshape([_natural(size) for size in tree["shape"]])


def _decoded_categorical(tree: dict, blobs: list[bytes], depth: int) -> pd.Categorical:
    codes, categories = _decode(tree["codes"], blobs, depth), _decode(tree["categories"], blobs, depth)
    return pd.Categorical.from_codes(codes, categories=categories, ordered=bool(tree["ordered"]))


def _decoded_extension(tree: dict, blobs: list[bytes], depth: int) -> Any:
    if not _EXTENSION.fullmatch(tree["dtype"]):
        raise Damaged(f"dtype {tree['dtype']!r:.40}")
    return pd.array(_decoded_items(tree, blobs, depth), dtype=tree["dtype"])


def _decoded_index(tree: dict, blobs: list[bytes], depth: int) -> pd.Index:
    names = [_decode(name, blobs, depth) for name in tree["names"]]
    if tree["$"] == "range":
        start, stop, step = (int(bound) for bound in tree["v"])
        return pd.RangeIndex(start, stop, step, name=names[0])
    if tree["$"] == "multi":
        return pd.MultiIndex.from_arrays(_decoded_items(tree, blobs, depth), names=names)
    return pd.Index(_decode(tree["v"], blobs, depth), name=names[0])


def _decoded_series(tree: dict, blobs: list[bytes], depth: int) -> pd.Series:
    values, index = _decode(tree["v"], blobs, depth), _decode(tree["index"], blobs, depth)
    return pd.Series(values, index=index, name=_decode(tree["name"], blobs, depth), copy=False)


def _decoded_frame(tree: dict, blobs: list[bytes], depth: int) -> pd.DataFrame:
    index = _decode(tree["index"], blobs, depth)
    frame = pd.DataFrame(dict(enumerate(_decoded_items(tree, blobs, depth))), index=index, copy=False)
    frame.columns = _decode(tree["columns"], blobs, depth)
    return frame


def _decoded_timestamp(tree: dict, blobs: list[bytes], depth: int) -> pd.Timestamp:
    moment = pd.Timestamp(str(tree["v"])).as_unit(str(tree["unit"]))
    return moment.tz_convert(str(tree["zone"])) if tree["zone"] else moment


def _decoded_dict(tree: dict, blobs: list[bytes], depth: int) -> dict:
    return {_decode(key, blobs, depth): _decode(value, blobs, depth) for key, value in tree["v"]}


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise Damaged(f"{number!r:.40} is no size")
    return number


_DECODERS: dict[Any, Callable[[dict, list[bytes], int], Any]] = {
    "nat": lambda tree, blobs, depth: pd.NaT,
    "na": lambda tree, blobs, depth: pd.NA,
    "float": lambda tree, blobs, depth: float(tree["v"]),
    "complex": lambda tree, blobs, depth: complex(*map(float, tree["v"])),
    "scalar": lambda tree, blobs, depth: _decoded_array(tree, blobs, depth)[()],
    "array": _decoded_array,
    "objects": _decoded_objects,
    "categorical": _decoded_categorical,
    "extension": _decoded_extension,
    "range": _decoded_index,
    "multi": _decoded_index,
    "index": _decoded_index,
    "series": _decoded_series,
    "frame": _decoded_frame,
    "timestamp": _decoded_timestamp,
    "timedelta": lambda tree, blobs, depth: pd.Timedelta(str(tree["v"])).as_unit(str(tree["unit"])),
    "datetime": lambda tree, blobs, depth: datetime.datetime.fromisoformat(tree["v"]),
    "date": lambda tree, blobs, depth: datetime.date.fromisoformat(tree["v"]),
    "span": lambda tree, blobs, depth: datetime.timedelta(*map(int, tree["v"])),
    "bytes": lambda tree, blobs, depth: blobs[_natural(tree["v"])],
    "tuple": lambda tree, blobs, depth: tuple(_decoded_items(tree, blobs, depth)),
    "set": lambda tree, blobs, depth: set(_decoded_items(tree, blobs, depth)),
    "frozenset": lambda tree, blobs, depth: frozenset(_decoded_items(tree, blobs, depth)),
    "span of numbers": lambda tree, blobs, depth: range(*map(int, tree["v"])),
    "dict": _decoded_dict,
}
