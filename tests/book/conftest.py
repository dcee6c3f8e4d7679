"""The built site, served on loopback."""

from __future__ import annotations

import fcntl
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.course import book

ROOT = Path(__file__).parents[2]
SOURCES = ("_config.yml", "_toc.yml", "book", "release", "helpers", "requirements.txt", "pyproject.toml", "README.md")


@pytest.fixture(scope="session")
def site() -> Path:
    """Folder of the built site; it is built, by one process, when it is absent or older than one of its sources."""
    built = ROOT / "_build" / "site" / book.BUILT
    built.parent.mkdir(parents=True, exist_ok=True)
    with built.with_name("tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = [
            path for name in SOURCES for path in ([ROOT / name] if (ROOT / name).is_file() else walk(ROOT / name))
        ]
        if not built.exists() or any(path.stat().st_mtime > built.stat().st_mtime for path in sources):
            return book.build_site(ROOT).parent
    return ROOT / "_build" / "html"


def walk(folder: Path) -> Iterator[Path]:
    """The files below folder that are sources."""
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """Names of the site's pages, as in `book/setup`."""
    return sorted(book.pages_of(site))


@pytest.fixture(scope="session")
def url(site: Path) -> Iterator[str]:
    """Address of the site on loopback, with a slash at the end."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
