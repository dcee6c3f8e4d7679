"""Messages over a socket: a JSON header and byte strings, both bounded, and sometimes a descriptor."""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

MAX_HEADER = 32 * 2**20
MAX_MESSAGE = 128 * 2**20
_LENGTHS = struct.Struct("!II")


class ChannelClosed(Exception):
    """The other side has gone."""


class ChannelAbused(Exception):
    """The other side sent what is no message, or too much."""


@dataclass(frozen=True)
class Message:
    """What one side tells the other.

    Attributes:
        body: a JSON object.
        blobs: byte strings that the body refers to by their place.
    """

    body: dict[str, Any]
    blobs: list[bytes] = field(default_factory=list)


class Channel:
    """One end of a stream socket."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, body: dict[str, Any], blobs: list[bytes] | None = None) -> None:
        """Send one message.

        Raises:
            ChannelClosed: nobody reads.
        """
        blobs = blobs or []
        header = json.dumps({"body": body, "sizes": [len(blob) for blob in blobs]}).encode()
        try:
            self.socket.sendall(_LENGTHS.pack(len(header), sum(map(len, blobs))) + header)
            for blob in blobs:
                self.socket.sendall(blob)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self, deadline: float | None = None) -> Message:
        """The next message.

        Args:
            deadline: of `time.monotonic`; None waits for ever.

        Raises:
            TimeoutError: it has not come by then.
            ChannelClosed: the other side has gone.
            ChannelAbused: what came is no message within the bounds.
        """
        header_size, blobs_size = _LENGTHS.unpack(self._exactly(_LENGTHS.size, deadline))
        if header_size > MAX_HEADER or header_size + blobs_size > MAX_MESSAGE:
            raise ChannelAbused(f"a message of {(header_size + blobs_size) / 2**20:.0f} MiB")
        try:
            header = json.loads(self._exactly(header_size, deadline))
            body, sizes = header["body"], header["sizes"]
            if not isinstance(body, dict) or sum(sizes) != blobs_size or min(sizes, default=0) < 0:
                raise ValueError("sizes")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ChannelAbused(f"no message: {error!r:.200}") from error
        return Message(body, [self._exactly(size, deadline) for size in sizes])

    def close(self) -> None:
        """Close this end."""
        self.socket.close()

    def _exactly(self, size: int, deadline: float | None) -> bytes:
        parts, missing = [], size
        while missing:
            if deadline is not None:
                self.socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            try:
                part = self.socket.recv(min(missing, 2**20))
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            finally:
                self.socket.settimeout(None)
            if not part:
                raise ChannelClosed("end of stream")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
