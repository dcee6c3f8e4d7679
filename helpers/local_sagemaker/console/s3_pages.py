"""The S3 browser: buckets, prefixes, objects, and the head of an object's content."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker.console import addresses
from helpers.local_sagemaker.console.visits import MissingError, RefusedError, Visit, page

PREVIEW_BYTES = 64 * 1024
_ROWS, _COLUMNS, _LONGEST_CELL = 50, 30, 200
_SHOWN_KEYS = 200
_MISSING = ("404", "NoSuchBucket", "NoSuchKey", "NotFound")
_Answer = TypeVar("_Answer")


def asked(ask: Callable[..., _Answer], **request: object) -> _Answer:
    """What S3 answers.

    Raises:
        MissingError: there is no such bucket or object.
        RefusedError: S3 refuses the request.
    """
    try:
        return ask(**request)
    except ClientError as error:
        named = request.get("Key") or request.get("Bucket")
        if error.response["Error"]["Code"] in _MISSING:
            raise MissingError(f"S3 has no {'object' if 'Key' in request else 'bucket'} {named!r}.") from error
        raise RefusedError(f"S3: {error.response['Error'].get('Message', error)}") from error
    except BotoCoreError as error:  # such as a bucket's name that no bucket can have
        raise RefusedError(f"S3: {error}") from error


@page("/s3", "buckets.html")
def buckets(visit: Visit) -> dict:
    """All buckets."""
    answer = asked(visit.server.client("s3").list_buckets)
    return {"section": "s3", "buckets": answer["Buckets"]}


@page("/s3/{bucket}", "bucket.html")
def bucket(visit: Visit) -> dict:
    """A page of what lies under a prefix: further prefixes, then objects."""
    name, prefix, token = visit.path["bucket"], visit.query.get("prefix", ""), visit.query.get("token")
    request = {"Bucket": name, "Prefix": prefix, "Delimiter": "/", "MaxKeys": _SHOWN_KEYS}
    if token:
        request["ContinuationToken"] = token
    answer = asked(visit.server.client("s3").list_objects_v2, **request)
    return {
        "section": "s3",
        "trail": trail(name, prefix),
        "bucket": name,
        "prefix": prefix,
        "folder": prefix.rpartition("/")[0] + "/" if "/" in prefix else "",
        "prefixes": [each["Prefix"] for each in answer.get("CommonPrefixes", [])],
        "objects": answer.get("Contents", []),
        "page": {"next_token": answer.get("NextContinuationToken"), "token": token},
        "next_address": lambda token: addresses.to("s3", name, prefix=prefix, token=token),
    }


def trail(bucket: str, key: str) -> list[tuple[str, str]]:
    """The way to a key: the buckets, the bucket, and each of its prefixes."""
    steps = [("Buckets", addresses.to("s3")), (bucket, addresses.to("s3", bucket))]
    parts = key.split("/")[:-1]
    for position, part in enumerate(parts, 1):
        steps.append((f"{part}/", addresses.to("s3", bucket, prefix="/".join(parts[:position]) + "/")))
    return steps


@page("/s3/{bucket}/object", "object.html")
def s3_object(visit: Visit) -> dict:
    """One object: what is known of it, and the head of its content."""
    name, key = visit.path["bucket"], visit.query.get("key", "")
    if not key:
        raise MissingError("The address names no object.")
    s3 = visit.server.client("s3")
    head = asked(s3.head_object, Bucket=name, Key=key)
    content = b""
    if head["ContentLength"]:
        last = min(head["ContentLength"], PREVIEW_BYTES) - 1
        content = asked(s3.get_object, Bucket=name, Key=key, Range=f"bytes=0-{last}")["Body"].read()
    return {
        "section": "s3",
        "trail": trail(name, key),
        "bucket": name,
        "key": key,
        "head": head,
        "preview": preview(key, content, len(content) == head["ContentLength"]),
        "preview_bytes": len(content),
        "download": addresses.to("s3", name, "download", key=key),
    }


def preview(key: str, content: bytes, is_whole: bool) -> dict:
    """How the head of an object is shown: `kind` is text, table, binary or empty.

    Args:
        key: its ending says what it should be.
        content: the first bytes.
        is_whole: whether there are no more.
    """
    if not content:
        return {"kind": "empty"}
    text = _text(content)
    if text is None:
        return {"kind": "binary"}
    if key.lower().endswith(".csv"):
        rows = _table(text, is_whole)
        if rows and len(rows[0]) > 1:
            return {"kind": "table", "rows": rows}
    if key.lower().endswith(".json") and is_whole:
        try:
            return {"kind": "text", "text": json.dumps(json.loads(text), indent=2, ensure_ascii=False)}
        except (ValueError, RecursionError):
            pass  # not JSON after all: shown as it is
    return {"kind": "text", "text": text}


def _text(content: bytes) -> str | None:
    """The content as text, with a character that is cut at the end left out; None when it is none."""
    for cut in range(4):
        try:
            text = content[: len(content) - cut].decode()
        except UnicodeDecodeError:
            continue
        is_printable = not any(character < " " and character not in "\t\n\r\f" for character in text)
        return text if is_printable else None
    return None


def _table(text: str, is_whole: bool) -> list[list[str]]:
    lines = text if is_whole else text.rpartition("\n")[0]
    try:
        rows = [row for row, _ in zip(csv.reader(io.StringIO(lines)), range(_ROWS), strict=False)]
    except csv.Error:
        return []
    return [[cell[:_LONGEST_CELL] for cell in row[:_COLUMNS]] for row in rows]
