"""Unix sockets: where those of a home lie, and HTTP over one, blocking."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import tempfile
from pathlib import Path

LONGEST_SOCKET_FOLDER = 60  # a socket's path has 104 characters on some systems


class UnixConnection(http.client.HTTPConnection):
    """A blocking HTTP connection over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def pings(path: Path) -> bool:
    """Whether a worker answers /ping with 200 within the two seconds that AWS gives it."""
    if not path.exists():
        return False
    connection = UnixConnection(path, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def socket_folder(home: Path) -> Path:
    """The folder of a home's sockets: a short path, because a Unix socket's may have 100 characters or so.

    Raises:
        RuntimeError: the folder is another user's.
    """
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    name = f"local-sagemaker-{os.getuid()}-{digest}"
    folder = Path(tempfile.gettempdir(), name)
    if len(str(folder)) > LONGEST_SOCKET_FOLDER:
        folder = Path("/tmp", name)  # noqa: S108 - made for this user alone, and checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to another user: delete it, or set TMPDIR to a folder of your own")
    folder.chmod(0o700)
    return folder
