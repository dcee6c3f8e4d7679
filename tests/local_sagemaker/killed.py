"""A server that is killed while clients work with it, and the ledger of what they were told."""

import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker import Running, lifecycle, unix_sockets

PATIENCE_SECONDS = 120
BUCKET = "killed"  # that a victim has
LONGEST_DELAY_SECONDS = 0.06  # from the moment that a point is reached until the kill


class Ledger:
    """What may be true of each thing by what its client was told; a thing belongs to one client."""

    def __init__(self) -> None:
        self.possible: dict[tuple[str, str], set] = {}

    @contextmanager
    def change(self, kind: str, name: str, value: object) -> Iterator[None]:
        """Until the server acknowledges it, both the old and the new value are possible; None is for "not there"."""
        self.possible[kind, name] = self.possible.get((kind, name), {None}) | {value}
        yield
        self.possible[kind, name] = {value}

    def there(self, kind: str) -> set[str]:
        """The names of things of a kind that may be there."""
        return {name for (found, name), possible in self.possible.items() if found == kind and possible != {None}}

    def check(self, read: Callable[[str, str], object]) -> None:
        """Holds what is there to what may be there; doubts end here."""
        for (kind, name), possible in self.possible.items():
            found = read(kind, name)
            assert found in possible, f"{kind} {name} is {_short(found)}, told was {[_short(one) for one in possible]}"
            self.possible[kind, name] = {found}


class Victim:
    """One home whose server is killed again and again.

    Args:
        client_of: gives clients of a running server.
        seed: of the points in time.
    """

    def __init__(self, client_of: Callable[..., Callable[..., BaseClient]], seed: int) -> None:
        # Short, because the paths of sockets may have 100 characters or so.
        self.folder = Path(tempfile.mkdtemp(prefix="kill"))
        self.home = self.folder / "home"
        self.ledger = Ledger()
        self.random = random.Random(seed)
        self.faults: list[BaseException] = []
        self.killed = threading.Event()
        self._target, self._count = "", 0
        self._lock = threading.Lock()
        self.home.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._nursery = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=lifecycle._server_environment(),
        )
        self.running = self._start()
        self.client = client_of(self.running)
        self.client("s3").create_bucket(Bucket=BUCKET)

    def _start(self) -> Running:
        """The next server, at the same port."""
        self._nursery.stdin.write(f"{self.home} {self._port}\n")
        self._nursery.stdin.flush()
        pid = int(self._nursery.stdout.readline())
        while not (running := local_sagemaker.status(self.home)):
            assert psutil.pid_exists(pid), (self.home / "server.log").read_text()[-2000:]
            time.sleep(0.005)
        return running

    def reached(self, point: str) -> None:
        """Called by clients where the server may be killed."""
        with self._lock:
            if point != self._target or self.killed.is_set():
                return
            self._count -= 1
            if self._count:
                return
            self._target = ""
        time.sleep(self.random.uniform(0, LONGEST_DELAY_SECONDS))
        self._kill()

    def live(self, point: str, times: int, clients: list[Callable[["Victim"], None]]) -> None:
        """Lets clients work until the server is killed at a point that they reach so many times; starts it again."""
        self.killed.clear()
        self._target, self._count = point, times
        threads = [threading.Thread(target=self._work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        was_reached = self.killed.wait(PATIENCE_SECONDS)
        if not was_reached:
            self._kill()
        for thread in threads:
            thread.join()
        assert not self.faults, self.faults
        assert was_reached, f"{point!r} was never reached"
        self.running = self._start()

    def kill_at(
        self,
        points: dict[str, int],
        times: int,
        clients: list[Callable[["Victim"], None]],
        read: dict[str, Callable[["Victim", str], object]],
    ) -> int:
        """Kills the server so many times at every point, in a random order, and checks it after each start.

        Args:
            points: and how often clients get there at most before it is killed.
            times: at each point.
            clients: that work meanwhile.
            read: what is there of each kind in the ledger, by name.

        Returns:
            How many times it was killed.
        """
        plan = [*points] * times
        self.random.shuffle(plan)
        for point in plan:
            self.live(point, self.random.randint(1, points[point]), clients)
            self.ledger.check(lambda kind, name: read[kind](self, name))
            self.leave_no_orphans()
        self.leave_no_files({name: 2 if name == "canary" else 1 for name in self.ledger.there("endpoint")})
        return len(plan)

    def found(self) -> dict[str, object]:
        """What is reported of kills that the server has outlived: had anything been lost, an assertion had failed."""
        told = {"topic": "Faults", "unit": "kills", "at_least": True}
        things = len(self.ledger.possible)
        return told | {"things_checked": things, "lost": 0, "orphaned_processes": 0, "files_left": 0}

    def leave_no_orphans(self) -> None:
        """Asserts that no process of an earlier server is left; the kernel may need a moment."""
        _await_equal(lambda: [process.cmdline() for process in self._orphans()], [])

    def leave_no_files(self, instances: dict[str, int]) -> None:
        """Asserts that nothing is left of jobs, of endpoints that are gone, and of requests that were cut short.

        Args:
            instances: the endpoints, and how many instances each has.
        """
        with sqlite3.connect(self.home / "state.db") as connection:
            rows = connection.execute("SELECT body_file FROM journal WHERE body_file IS NOT NULL").fetchall()
        assert {path.name for path in (self.home / "journal").iterdir()} == {name for (name,) in rows}
        assert [str(path) for path in (self.home / "async").rglob("*")] == []
        # A job has ended a moment before its folder is gone.
        _await_equal(lambda: list(map(str, self.home.glob("jobs/*/*"))), [])
        assert {path.name for path in self.home.iterdir()} <= HOME_FILES
        # One generation for each endpoint, one socket for each instance: what was updated last is being drained.
        sockets = unix_sockets.socket_folder(self.home)
        _await_equal(lambda: sorted(path.parent.name for path in self.home.glob("endpoints/*/*")), sorted(instances))
        _await_equal(lambda: len(list(sockets.glob("*.sock"))), sum(instances.values()))

    def end(self) -> None:
        """Ends the server and its nursery."""
        with suppress(psutil.NoSuchProcess):  # a test that failed may have left it dead
            process = psutil.Process(self.running.pid)
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        self._nursery.communicate()

    def _work(self, client: Callable[["Victim"], None]) -> None:
        try:
            while not self.killed.is_set():
                client(self)
        except (BotoCoreError, ClientError) as error:
            if not self.killed.is_set():
                self.faults.append(error)
                self._kill()
        except BaseException as error:
            self.faults.append(error)
            self._kill()

    def _kill(self) -> None:
        process = psutil.Process(self.running.pid)
        self.killed.set()
        process.kill()
        process.wait()

    def _orphans(self) -> list[psutil.Process]:
        server = psutil.Process(self.running.pid)
        own = {server, *server.children(recursive=True)}
        return [process for process in psutil.process_iter() if process not in own and self._was_ours(process)]

    def _was_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            told = [*process.cmdline(), process.environ().get("AWS_ENDPOINT_URL", "")]
        except psutil.Error:
            return False
        return any(str(self.home) in word for word in told) or told[-1] == self.running.url


HOME_FILES = {
    *("state.db", "state.db-wal", "state.db-shm", "journal", "jobs", "async", "endpoints", "components", "overlays"),
    *("metrics.db", "metrics.db-wal", "metrics.db-shm", "logs.db", "logs.db-wal", "logs.db-shm"),
    *("server.json", "server.lock", "server.log", "features.db", "features.db-wal", "features.db-shm"),
}


def _await_equal(read: Callable[[], object], expected: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := read()) != expected:
        assert time.monotonic() < deadline, f"{found} is left, expected {expected}"
        time.sleep(0.05)


def _short(value: object) -> str:
    return f"{value!r:.60}"
