"""A full disk: seen before it harms where that can be, and told as an error that says where to make room."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from helpers.local_sagemaker import errors

MIB = 1024**2
# What S3 and the like leave: the states of jobs and endpoints are written to the end.
RESERVE = 8 * MIB
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TO_SQLITE = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC")


def require(home: Path, size: int) -> None:
    """Checks that something of a size can be kept.

    Args:
        home: the server's home.
        size: bytes.

    Raises:
        AwsError: `InsufficientStorage`, 507: clients do not repeat it by themselves.
    """
    if shutil.disk_usage(home).free < size + RESERVE:
        raise insufficient(home)


def insufficient(home: Path) -> errors.AwsError:
    """The error for a call that cannot be kept."""
    return errors.AwsError("InsufficientStorage", f"{words(home)} Make room there, and repeat the call.", 507)


def words(home: Path) -> str:
    """Which disk is full, and how much is left on it."""
    free = shutil.disk_usage(home).free / MIB
    return f"No space left on device: the disk of the local SageMaker's home {home} has {free:.1f} MiB left."


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") in _FULL_TO_SQLITE
    return isinstance(error, OSError) and error.errno in _FULL
