"""Folders that go to S3 while a job still runs: checkpoints, and processing outputs in Continuous mode."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import staging

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

_SECONDS = 1.0


@contextlib.contextmanager
def mirrored(server: Server, folders: list[tuple[Path, staging.Location]]) -> Iterator[None]:
    """Uploads files of the folders as they change, and what is left at the end of the block.

    Raises:
        StagingError: at the end, an upload failed.
    """
    if not folders:
        yield
        return
    sent: dict[Path, tuple] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            try:
                _send_changed(server, folders, sent)
            except (staging.StagingError, OSError) as error:
                logger.warning("mirroring to S3: %s", error)

    thread = threading.Thread(target=watch, name="mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    _send_changed(server, folders, sent)


def _send_changed(server: Server, folders: list[tuple[Path, staging.Location]], sent: dict[Path, tuple]) -> None:
    for folder, location in folders:
        for path in staging.files_of(folder):
            try:
                stat = path.stat()
            except FileNotFoundError:  # the job replaces its checkpoints meanwhile
                continue
            version = (stat.st_mtime_ns, stat.st_size)
            if sent.get(path) != version:
                key = f"{location.key.rstrip('/')}/{path.relative_to(folder).as_posix()}".lstrip("/")
                staging.upload_file(server, path, staging.Location(location.bucket, key))
                sent[path] = version
