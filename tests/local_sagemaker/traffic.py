"""Clients that ask an endpoint at a steady rate while a test changes it."""

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlparse

CLIENTS = 4


@dataclass(frozen=True)
class Answer:
    """One answer of an endpoint: its HTTP status, the name of the model and of the variant that gave it."""

    status: int
    name: str | None
    variant: str | None
    asked: float


class Traffic:
    """`with Traffic(server.url, "endpoint") as traffic:` asks all the time that the block runs.

    Args:
        url: of the server.
        endpoint: its name; its model is the obedient one, see `deployed`.
        per_second: requests, whatever the answers take.
        order: what the model is asked for.
    """

    def __init__(self, url: str, endpoint: str, per_second: float = 50, order: dict | None = None) -> None:
        self.answers: list[Answer] = []
        self.broken: list[Exception] = []
        self._address = urlparse(url)
        self._path = f"/endpoints/{endpoint}/invocations"
        self._interval = CLIENTS / per_second
        self._body = json.dumps(order or {})
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(CLIENTS)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def since(self, moment: float) -> list[Answer]:
        """The answers to what was asked after a moment of `time.monotonic()`."""
        return [answer for answer in self.answers if answer.asked > moment]

    def more(self, count: int, seconds: float = 30) -> list[Answer]:
        """The answers to what is asked from now on, at least so many."""
        began = time.monotonic()
        while len(self.since(began)) < count:
            assert time.monotonic() < began + seconds, f"{len(self.since(began))} of {count} answers: {self.broken}"
            time.sleep(0.02)
        return self.since(began)

    def stalled(self, seconds: float) -> None:
        """Returns when every client waits for an answer and has done so for a second."""
        deadline = time.monotonic() + seconds
        count, since = len(self.answers), time.monotonic()
        while time.monotonic() - since < 1:
            assert time.monotonic() < deadline, "the endpoint still answers"
            time.sleep(0.02)
            if len(self.answers) != count:
                count, since = len(self.answers), time.monotonic()

    def statuses(self) -> Counter:
        """How often each HTTP status was answered; 0 where the connection broke."""
        return Counter(answer.status for answer in self.answers) + Counter({0: len(self.broken)})

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._address.hostname, self._address.port, timeout=70)
        due = time.monotonic() + number * self._interval / CLIENTS
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due += self._interval
            asked = time.monotonic()
            try:
                connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body, variant = json.loads(answer.read()), answer.getheader("x-Amzn-Invoked-Production-Variant")
                self.answers.append(Answer(answer.status, body.get("name"), variant, asked))
            except Exception as error:
                self.broken.append(error)
                connection.close()
        connection.close()
