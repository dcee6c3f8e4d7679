"""One execution while it runs: begins its steps when they are due, follows them, and writes down how all ended.

What is known of an execution is in the store, after every change of a step: a coordinator that a kill cut short is
followed by another one that goes on from there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from helpers.local_sagemaker import disk_space
from helpers.local_sagemaker.failures import shortened
from helpers.local_sagemaker.pipelines import caching, order, records, retries
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome
from helpers.local_sagemaker.pipelines.definition import Definition, Step, parse
from helpers.local_sagemaker.pipelines.expressions import ExpressionError
from helpers.local_sagemaker.pipelines.handlers import HANDLERS

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

_FAILED = "Step failure: One or multiple steps failed."
_MOST_AT_ONCE = 50
_LONGEST_SLEEP = 5.0  # what wakes it is a change of state; a step that has none is looked after so often


class Coordinator:
    """Runs one execution in a thread of its own.

    Args:
        server: the server.
        name: of the execution in the store.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self._server, self._store = server, server.store
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"execution {name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something has changed that may concern the execution."""
        self._woken.set()

    def close(self) -> None:
        """Ends the thread, because the server goes away; the execution goes on at the next start."""
        self._closed.set()
        self._woken.set()

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left to do."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Returns when the thread has ended, or soon."""
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            try:
                sleep = self._advance()
            except Exception:
                if self._closed.is_set():
                    return
                logger.exception("the execution %s is tried again", self.name)
                sleep = _LONGEST_SLEEP
            if sleep is None:
                return
            self._woken.wait(sleep)

    def _advance(self) -> float | None:
        """Brings every step as far as it goes now.

        Returns:
            Seconds to wait for the next change at most; None when the execution has ended.
        """
        execution = self._store.get(records.EXECUTION, self.name)
        if execution is None or execution["PipelineExecutionStatus"] not in records.ACTIVE:
            return None
        sleep = _LONGEST_SLEEP
        for name, record in records.steps_of(self._store, self.name).items():
            if record["StepStatus"] in records.RUNNING:
                attempt = self._attempt(execution, self._definition.steps[name], record)
                sleep = min(sleep, self._guarded(attempt, self._follow) or sleep)
        steps = records.steps_of(self._store, self.name)
        running = sum(record["StepStatus"] in records.RUNNING for record in steps.values())
        if due := self._due(execution, steps, running):
            for step in due:
                self._begin(execution, step)
            return 0
        if running:
            return sleep
        self._finish()
        return None

    @cached_property
    def _definition(self) -> Definition:
        execution = self._store.require(records.EXECUTION, self.name)
        pipeline = self.name.partition("/")[0]
        version = records.require_version(self._store, pipeline, execution["PipelineVersionId"])
        return parse(version["PipelineDefinition"])

    def _attempt(self, execution: dict, step: Step, record: dict) -> Attempt:
        return Attempt(self._server, execution, self._definition, step, record)

    def _due(self, execution: dict, steps: dict[str, dict], running: int) -> list[Step]:
        """The steps whose turn it is."""
        if execution["PipelineExecutionStatus"] == "Stopping":
            return []
        most = execution.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps", _MOST_AT_ONCE)
        return order.due(self._definition, steps, execution)[: max(0, most - running)]

    def _begin(self, execution: dict, step: Step) -> None:
        body = step.body
        record = {
            "PipelineArn": execution["PipelineArn"],
            "PipelineExecutionArn": execution["PipelineExecutionArn"],
            "StepName": step.name,
            "StepType": step.type,
            "StepDisplayName": body.get("DisplayName"),
            "StepDescription": body.get("Description"),
            "StepStatus": "Starting",
            "StartTime": time.time(),
            "AttemptCount": execution.get("_attempts", {}).get(step.name, 0) + 1,
            "_name": f"{self.name}/{step.name}",
            "_outputs": [output["OutputName"] for output in body.get("OutputParameters") or []],
            "_tries": 1,
        }
        record = {key: value for key, value in record.items() if value is not None}
        record = self._store.put(records.STEP, record["_name"], record)
        self._guarded(self._attempt(execution, step, record), self._try)

    def _guarded(self, attempt: Attempt, work: Callable[[Attempt], float | None]) -> float | None:
        """Does something for a step; what nobody foresaw fails that step, and holds up no other."""
        try:
            return work(attempt)
        except Exception as error:
            if self._closed.is_set() or disk_space.is_full(error):
                raise
            logger.exception("step %s failed", attempt.name)
            reason = f"InternalServerError: {error!r}, see the log of the local SageMaker"
            self._settle(attempt, Outcome("Failed", reason=reason))
            return None

    def _try(self, attempt: Attempt) -> None:
        """Begins the work of a step that is Starting, or finds that it has been begun."""
        handler = HANDLERS[attempt.step.type]
        try:
            if not _is_prepared(attempt):
                handler.prepare(attempt)
            elif handler.resume(attempt):
                attempt.note(StepStatus="Executing")
                return
            if hit := self._cached(attempt):
                result = {"SourcePipelineExecutionArn": hit["PipelineExecutionArn"]}
                outcome = Outcome("Succeeded", hit["_properties"], hit.get("Metadata"))
                self._settle(attempt, outcome, CacheHitResult=result)
                return
            outcome = handler.begin(attempt)
        except ExpressionError as error:
            outcome = Outcome("Failed", reason=f"ClientError: Failed to resolve the step: {error}")
        if outcome:
            self._settle(attempt, outcome)
        else:
            attempt.note(StepStatus="Executing")
            self._woken.set()  # what is made may have ended before anybody waited for it

    def _cached(self, attempt: Attempt) -> dict | None:
        """The step of an earlier execution whose result may stand for this one's; what it depends on is noted."""
        config = attempt.step.body.get("CacheConfig") or {}
        if not config.get("Enabled"):
            return None
        digest = caching.key(attempt.step.type, attempt.body, attempt.arguments)
        attempt.note(_cache_key=digest)
        pipeline = self.name.partition("/")[0]
        others = [r for r in self._store.list(records.STEP, f"{pipeline}/") if r["StepName"] == attempt.step.name]
        return caching.latest(others, digest, config)

    def _follow(self, attempt: Attempt) -> float:
        """Looks after a step that has begun; returns how many seconds it may be left alone."""
        handler, record = HANDLERS[attempt.step.type], attempt.record
        if attempt.execution["PipelineExecutionStatus"] == "Stopping":
            if not self._stop(attempt):
                return _LONGEST_SLEEP
        elif (again := record.get("_retry_at", 0)) > time.time():
            return again - time.time()
        elif record["StepStatus"] == "Starting" or "_retry_at" in record:
            if "_retry_at" in record:
                attempt.note(
                    **dict.fromkeys(("_retry_at", "_resource", "_token", "Metadata")),
                    **{"AttemptCount": record["AttemptCount"] + 1, "_tries": record["_tries"] + 1},
                    StepStatus="Starting",
                )
            self._try(attempt)
            return _LONGEST_SLEEP
        if outcome := handler.poll(attempt):
            self._settle(attempt, outcome)
        return _LONGEST_SLEEP

    def _stop(self, attempt: Attempt) -> bool:
        """Asks a step to stop, once; whether it still has to be waited for."""
        handler, record = HANDLERS[attempt.step.type], attempt.record
        if record["StepStatus"] == "Stopping":
            return True
        is_made = record["StepStatus"] == "Executing" and "_retry_at" not in record
        if not is_made and not (_is_prepared(attempt) and handler.resume(attempt)):
            self._settle(attempt, Outcome("Stopped"))
            return False
        handler.stop(attempt)
        attempt.note(StepStatus="Stopping")
        return True

    def _settle(self, attempt: Attempt, outcome: Outcome, **others: object) -> None:
        """Writes down how an attempt ended, or when the next one is; `others` are further members of the step."""
        record, stopping = attempt.record, attempt.record["StepStatus"] == "Stopping"
        if outcome.status == "Failed" and outcome.exception and not stopping:
            policies, speedup = attempt.step.body.get("RetryPolicies") or [], self._server.speedup
            elapsed = (time.time() - record["StartTime"]) * speedup
            wait = retries.seconds_until_next(policies, outcome.exception, record["_tries"], elapsed)
            if wait is not None:
                attempt.note(_retry_at=time.time() + wait / speedup, StepStatus="Executing")
                self._woken.set()
                return
        attempt.note(
            StepStatus=outcome.status,
            EndTime=time.time(),
            FailureReason=outcome.reason and shortened(outcome.reason),
            Metadata=outcome.metadata or record.get("Metadata"),
            _properties=outcome.properties,
            **others,
        )
        self._woken.set()

    def _finish(self) -> None:
        """Writes how the execution ended."""
        with self._store.transaction():
            execution = self._store.require(records.EXECUTION, self.name)
            stopping = execution["PipelineExecutionStatus"] == "Stopping"
            status = order.final_status(self._definition, records.steps_of(self._store, self.name), stopping)
            reason = _FAILED if status == "Failed" else None
            self._store.update(records.EXECUTION, self.name, PipelineExecutionStatus=status, FailureReason=reason)


def _is_prepared(attempt: Attempt) -> bool:
    return bool(attempt.record.keys() & {"_resource", "_token"})
