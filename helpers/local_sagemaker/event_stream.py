"""AWS's event streams: the frames that a streamed response is made of.

A frame is `total length | length of headers | CRC-32 of these | headers | payload | CRC-32 of all before`.
Source: https://smithy.io/2.0/aws/amazon-eventstream.html (botocore decodes such frames, but encodes none).
"""

from __future__ import annotations

import json
import struct
from binascii import crc32
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7  # the type of a header's value


def event(name: str, payload: bytes) -> bytes:
    """A frame that carries bytes, such as a `PayloadPart`."""
    headers = {":message-type": "event", ":event-type": name, ":content-type": "application/octet-stream"}
    return _frame(headers, payload)


def exception(name: str, members: Mapping[str, str]) -> bytes:
    """A frame that ends a stream with an error, such as a `ModelStreamError`, and the members of its shape."""
    headers = {":message-type": "exception", ":exception-type": name, ":content-type": "application/json"}
    return _frame(headers, json.dumps(members).encode())


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    encoded = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = b"".join((prelude, struct.pack("!I", crc32(prelude)), encoded, payload))
    return message + struct.pack("!I", crc32(message))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(f"!B{len(name)}sBH", len(name), name, _STRING, len(value)) + value
