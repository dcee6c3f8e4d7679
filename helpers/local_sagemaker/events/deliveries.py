"""What is on its way to targets: written down when it is accepted, and given to each target in that order.

A lane is a target of a rule, or a schedule. One that fails is tried again as its RetryPolicy says, and holds up nothing
but its own lane; what no try delivers goes to the dead-letter queue.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from helpers.local_sagemaker.events import targets
from helpers.local_sagemaker.jobs import ServerStoppedError

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.lambda_functions import Call

logger = logging.getLogger(__name__)

MAX_RETRIES, MAX_AGE_SECONDS = 185, 86_400
LONGEST_WAIT_SECONDS = 300
_PASSING = ("Throttling", "ThrottlingException", "ResourceLimitExceeded", "TooManyRequestsException")


@dataclass(frozen=True)
class Invocation:
    """One text for one target.

    Attributes:
        lane: invocations of the same lane are given in the order that they were accepted in.
        target: of PutTargets or CreateSchedule.
        text: what the target gets; schedules may have `<aws.scheduler.attempt-number>` in it.
        token: the same for every try.
        metric: name of the dimension and its value, such as `["RuleName", "retrain"]`.
        about: what a dead letter tells besides the error.
    """

    lane: str
    target: dict
    text: str
    token: str
    metric: list[str]
    about: dict[str, str]


class Deliveries:
    """Gives invocations to targets: a thread for each lane that has something to give."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._lanes: dict[str, threading.Thread] = {}
        self._calls: set[Call] = set()
        self._stopped = threading.Event()

    def add(self, invocations: Iterable[Invocation]) -> None:
        """Writes invocations down, in the caller's transaction; `wake` lets them go when that has ended."""
        with self._server.store.transaction() as connection:
            for invocation in invocations:
                connection.execute(
                    "INSERT INTO deliveries (lane, invocation, accepted) VALUES (?, ?, ?)",
                    (invocation.lane, json.dumps(vars(invocation)), time.time()),
                )

    def wake(self) -> None:
        """Gives what is written down."""
        for (lane,) in self._server.store.execute("SELECT DISTINCT lane FROM deliveries"):
            with self._lock:
                if lane not in self._lanes and not self._stopped.is_set():
                    self._lanes[lane] = threading.Thread(target=self._run, args=(lane,), daemon=True, name=f"to {lane}")
                    self._lanes[lane].start()

    @contextlib.contextmanager
    def calling(self, call: Call) -> Iterator[Call]:
        """While the block runs, the end of the server ends the call."""
        with self._lock:
            if self._stopped.is_set():
                raise ServerStoppedError
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)

    def stop(self) -> None:
        """Ends the threads; what is left is given after the next start."""
        self._stopped.set()
        with self._lock:
            threads, calls = list(self._lanes.values()), list(self._calls)
        for call in calls:
            call.end_with_server()
        for thread in threads:
            thread.join(timeout=5)

    def _run(self, lane: str) -> None:
        while not self._stopped.is_set():
            try:
                row = self._first(lane)
                if row is None:
                    return
                self._deliver(*row)
            except Exception:
                logger.exception("nothing is given to %s", lane)
                self._stopped.wait(1)

    def _first(self, lane: str) -> tuple | None:
        """The oldest row of a lane; when there is none, the lane has no thread any more."""
        with self._lock:
            rows = self._server.store.execute(
                "SELECT id, invocation, accepted, attempts, due FROM deliveries WHERE lane = ? ORDER BY id LIMIT 1",
                (lane,),
            )
            if not rows:
                del self._lanes[lane]
                return None
        return rows[0]

    def _deliver(self, row: int, written: str, accepted: float, attempts: int, due: float) -> None:
        if self._stopped.wait(max(due - time.time(), 0)):
            return
        invocation = Invocation(**json.loads(written))
        try:
            text = invocation.text.replace("<aws.scheduler.attempt-number>", str(attempts + 1))
            targets.invoke(self._server, invocation.target, text, invocation.token)
        except Exception as error:  # whatever is wrong with one invocation, those behind it go on
            if self._stopped.is_set():
                return
            self._count(invocation, "FailedInvocations")
            exhausted = _exhausted(invocation, attempts + 1, (time.time() - accepted) * self._server.speedup)
            if exhausted is None and _passes(error):
                self._try_again(row, attempts + 1)
                return
            logger.warning("%s did not take what %s sent: %s", invocation.target["Arn"], invocation.lane, error)
            self._bury(invocation, attempts, error, exhausted)
            self._forget(row)
        else:
            self._count(invocation, "Invocations")
            self._forget(row)

    def _try_again(self, row: int, attempts: int) -> None:
        """Lets a lane wait, longer each time; the wait is one of AWS's, so it passes as many times faster."""
        due = time.time() + min(2.0 ** min(attempts, 20), LONGEST_WAIT_SECONDS) / self._server.speedup
        self._server.store.execute("UPDATE deliveries SET attempts = ?, due = ? WHERE id = ?", (attempts, due, row))

    def _bury(self, invocation: Invocation, retries: int, error: Exception, exhausted: str | None) -> None:
        queue = invocation.target.get("DeadLetterConfig", {}).get("Arn")
        if queue is None:
            self._count(invocation, "InvocationsDropped")
            return
        code, message = _told(error)
        about = invocation.about | {
            "TARGET_ARN": invocation.target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
            "RETRY_ATTEMPTS": str(retries),
        }
        if exhausted:
            about["EXHAUSTED_RETRY_CONDITION"] = exhausted
        try:
            targets.send_to_dead_letters(self._server, queue, invocation.text, about)
        except (ClientError, BotoCoreError):
            logger.exception("the dead-letter queue %s took nothing", queue)
            self._count(invocation, "InvocationsFailedToBeSentToDlq")
        else:
            self._count(invocation, "InvocationsSentToDlq")

    def _forget(self, row: int) -> None:
        self._server.store.execute("DELETE FROM deliveries WHERE id = ?", (row,))

    def _count(self, invocation: Invocation, name: str) -> None:
        dimension, value = invocation.metric
        namespace = "AWS/Events" if dimension == "RuleName" else "AWS/Scheduler"
        name = name if namespace == "AWS/Events" else _OF_SCHEDULER.get(name, name)
        datum = {"MetricName": name, "Dimensions": [{"Name": dimension, "Value": value}], "Value": 1, "Unit": "Count"}
        self._server.metric_data.put(namespace, [datum])


# Where EventBridge Scheduler's metrics have other names than EventBridge's.
_OF_SCHEDULER = {
    "Invocations": "InvocationAttemptCount",
    "FailedInvocations": "TargetErrorCount",
    "InvocationsDropped": "InvocationDroppedCount",
    "InvocationsSentToDlq": "InvocationsSentToDeadLetterCount",
    "InvocationsFailedToBeSentToDlq": "InvocationsFailedToBeSentToDeadLetterCount",
}


def _exhausted(invocation: Invocation, attempts: int, age: float) -> str | None:
    """Which bound of its RetryPolicy an invocation has reached; None while it may be tried again.

    Args:
        invocation: what was tried.
        attempts: how often.
        age: seconds of AWS's time since it was accepted.
    """
    policy = invocation.target.get("RetryPolicy", {})
    if attempts > policy.get("MaximumRetryAttempts", MAX_RETRIES):
        return "MaximumRetryAttempts"
    return "MaximumEventAgeInSeconds" if age > policy.get("MaximumEventAgeInSeconds", MAX_AGE_SECONDS) else None


def _passes(error: Exception) -> bool:
    """Whether another try may succeed: the service is in trouble, not the request wrong."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status >= 500 or error.response["Error"]["Code"] in _PASSING
    return isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError)


def _told(error: Exception) -> tuple[str, str]:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"], error.response["Error"].get("Message", str(error))
    return getattr(error, "code", type(error).__name__), getattr(error, "message", str(error))
