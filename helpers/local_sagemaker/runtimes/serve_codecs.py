"""Encoders and decoders of the media types that the framework containers know."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
LIBSVM = ("text/libsvm", "text/x-libsvm")
TEXT_TYPES = (JSON, CSV)


class UnsupportedFormat(Exception):
    """A media type that no codec handles; the container answers 415 for a request's and 406 for an answer's."""

    def __init__(self, media_type: str, status: int, known: tuple[str, ...]) -> None:
        side = "Content-Type" if status == 415 else "Accept"
        super().__init__(f"{side} {media_type} is not supported by this container. Supported: {', '.join(known)}.")
        self.status = status


def media_type(header: str) -> str:
    """The type without its parameters: `text/csv; charset=utf-8` is `text/csv`."""
    return header.partition(";")[0].strip().lower()


def as_text(data: bytes | str) -> str:
    """The payload as text."""
    return data if isinstance(data, str) else bytes(data).decode("utf-8")


def csv_rows(data: bytes | str) -> np.ndarray:
    """Rows of numbers without a header, shape (rows, columns), float32; an empty field is NaN.

    Raises:
        ValueError: a field is not a number, or a row has another number of fields than the first.
    """
    rows = []
    for number, line in enumerate(filter(None, map(str.strip, as_text(data).splitlines())), start=1):
        try:
            rows.append([float(field) if field.strip() else np.nan for field in line.split(",")])
        except ValueError as error:
            raise ValueError(f"row {number} of the CSV payload: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"row {number} of the CSV payload has {len(rows[-1])} fields, the first {len(rows[0])}")
    return np.array(rows, dtype=np.float32)


def decode(data: bytes | str, content_type: str) -> np.ndarray:
    """A payload as a NumPy array.

    Raises:
        UnsupportedFormat: the type is none of JSON, CSV and NPY.
    """
    kind = media_type(content_type)
    if kind == CSV:
        return csv_rows(data)
    if kind == JSON:
        return np.array(json.loads(as_text(data)))
    if kind == NPY:
        return np.load(io.BytesIO(data), allow_pickle=False)
    raise UnsupportedFormat(content_type, 415, (JSON, CSV, NPY))


def encode(prediction: Any, accept: str) -> bytes | str:
    """A prediction (array, list or number) in the type that the client accepts.

    Raises:
        UnsupportedFormat: the type is none of JSON, CSV and NPY.
    """
    kind = media_type(accept)
    if kind == JSON:
        return json.dumps(prediction, default=_to_list)
    if kind == CSV:
        return "".join(",".join(map(str, np.atleast_1d(row).tolist())) + "\n" for row in np.asarray(prediction))
    if kind == NPY:
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(prediction), allow_pickle=False)
        return buffer.getvalue()
    raise UnsupportedFormat(accept, 406, (JSON, CSV, NPY))


def _to_list(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON; return a list, a number or an array")
