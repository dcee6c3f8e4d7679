"""Reads the data capture of an endpoint back into rows."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from helpers.session import SageMakerHelper

_COLUMNS = ["event_id", "inference_id", "time", "variant", "input", "output"]


def read_capture(
    aws: SageMakerHelper, uri: str, since: pd.Timestamp | None = None, until: pd.Timestamp | None = None
) -> pd.DataFrame:
    """All records that endpoints captured below an S3 URI.

    Capture writes `<uri>/<endpoint>/<variant>/<yyyy>/<mm>/<dd>/<hh>/<file>.jsonl`, a record a line, up to some minutes
    after the call. Payloads that the endpoint wrote as Base64 are decoded.

    Args:
        aws: the lab's session.
        uri: S3 URI of the DataCaptureConfig's destination, or of a part below it.
        since: only records of this time or later (UTC).
        until: only records before this time (UTC).

    Returns:
        One row per record, in the order of time: event_id, inference_id (None if the caller gave none), time (UTC),
        variant, input and output (str; None where that side was not captured).

    Raises:
        FileNotFoundError: no capture file lies at the URI.
        ValueError: a line is not a capture record; the message names the object and the line.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page.get("Contents", []) if found["Key"].endswith(".jsonl")]
    if not keys:
        raise FileNotFoundError(f"no capture file (.jsonl) lies at {uri}")
    rows = []
    for key in keys:
        lines = aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()
        rows.extend(_row(line, f"s3://{bucket}/{key}, line {number}", key) for number, line in enumerate(lines, 1))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["time"] = pd.to_datetime(table["time"], utc=True, format="ISO8601")
    if since is not None:
        table = table[table["time"] >= since]
    if until is not None:
        table = table[table["time"] < until]
    return table.sort_values("time", ignore_index=True)


def csv_features(payloads: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The features in captured text/csv payloads, one row per line of a payload.

    Args:
        payloads: captured inputs, each of one or more CSV lines without a header.
        columns: the features' names, in the order of the payload.

    Returns:
        The given columns, and `record`, the place of the payload that a row comes from.

    Raises:
        ValueError: a payload has another number of columns.
    """
    frames = []
    for place, payload in enumerate(payloads):
        rows = pd.read_csv(io.StringIO(payload), header=None)
        if rows.shape[1] != len(columns):
            raise ValueError(f"payload {place} has {rows.shape[1]} columns, expected {len(columns)}")
        frames.append(rows.set_axis(list(columns), axis=1).assign(record=place))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*columns, "record"])


def _row(line: str, where: str, key: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        data, meta = record["captureData"], record["eventMetadata"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{where}: not a data capture record ({error!r})") from error
    return {
        "event_id": meta["eventId"],
        "inference_id": meta.get("inferenceId"),
        "time": meta["inferenceTime"],
        "variant": _variant(key),
        "input": _payload(data.get("endpointInput")),
        "output": _payload(data.get("endpointOutput")),
    }


def _variant(key: str) -> str:
    """The variant's part of a key <...>/<endpoint>/<variant>/<yyyy>/<mm>/<dd>/<hh>/<file>."""
    parts = key.split("/")
    return parts[-6] if len(parts) >= 7 else ""


def _payload(side: dict[str, Any] | None) -> str | None:
    if side is None:
        return None
    data = side["data"]
    return base64.b64decode(data).decode(errors="replace") if side.get("encoding") == "BASE64" else data
