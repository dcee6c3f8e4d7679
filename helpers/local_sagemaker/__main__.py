"""The server's process: `python -m helpers.local_sagemaker --home FOLDER [--port PORT]`."""

import argparse
import asyncio
import fcntl
import json
import logging
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import TextIO

from helpers.local_sagemaker import app, disk_space

LOCK_SECONDS = 1.0


def main() -> None:
    """Serves one home folder until it is told to stop."""
    parser = argparse.ArgumentParser("python -m helpers.local_sagemaker", description="The local SageMaker's server.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the state, the artifacts and the logs")
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1; 0 picks a free one")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "server.lock").open("w") as lock:
        if not acquire(lock):
            sys.exit(f"Another local SageMaker serves {home}, and does not answer: stop it first.")
        run(home, options.port)


def acquire(lock: TextIO) -> bool:
    """Takes the home's lock; one who only asks for the status of the home may hold it for a moment."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def run(home: Path, port: int) -> None:
    """Serves; the caller holds the home's lock."""

    def ready(port: int) -> None:
        record = json.dumps({"pid": os.getpid(), "port": port})
        temporary = home / "server.json.new"
        temporary.write_text(record)
        temporary.replace(home / "server.json")
        logging.info("serving %s at http://127.0.0.1:%d", home, port)

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            runner.run(app.serve(home, port, ready))
        except app.PortError as error:
            sys.exit(f"{error} Choose another port.")
        except sqlite3.DatabaseError as error:
            sys.exit(_state_words(home, error))
        except OSError as error:
            sys.exit(f"Cannot serve {home}: {error}.")


def _state_words(home: Path, error: sqlite3.DatabaseError) -> str:
    """What to do about a state that cannot be opened."""
    if disk_space.is_full(error):
        return f"{disk_space.words(home)} Make room there, and start again."
    path = next(iter(getattr(error, "__notes__", ())), home)
    return (
        f"The state in {path} cannot be opened: {error}. If it is damaged, bring it back from a backup, "
        "or start over with an empty home: helpers.local_sagemaker.reset() deletes it with all that it holds."
    )


if __name__ == "__main__":
    main()
