"""The thread that keeps time for schedules and for rules that have a ScheduleExpression."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING

from helpers.local_sagemaker.background import Background
from helpers.local_sagemaker.events import schedules, state_events
from helpers.local_sagemaker.events.deliveries import Invocation
from helpers.local_sagemaker.events.rules import Rule

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

RULE_KIND = "ScheduledRule"
_LONGEST_WAIT_SECONDS = 60.0


class Timetable:
    """Lets schedules and rules go when they are due; sleeps until then.

    What has become due while the server did not run goes once when it is back.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._background = Background("timetable", self._keep)
        self._background.start()

    def wake(self) -> None:
        """A schedule or a rule was changed."""
        self._background.wake()

    def stop(self) -> None:
        """Ends the thread."""
        self._background.stop()

    def _keep(self) -> float | None:
        due = [*map(self._keep_schedule, self._enabled()), *self._keep_rules()]
        coming = [moment for moment in due if moment is not None]
        return min(max(min(coming) - time.time(), 0), _LONGEST_WAIT_SECONDS) if coming else None

    def _enabled(self) -> list[dict]:
        return [record for record in self._server.store.list(schedules.KIND) if record["State"] == "ENABLED"]

    def _keep_schedule(self, record: dict) -> float | None:
        """Lets a schedule go if it is due; returns when it is due next."""
        due = schedules.next_time(record, self._server.speedup)
        if due is not None and due > time.time():
            return due
        store, key = self._server.store, record["_Key"]
        with store.transaction():
            now = store.get(schedules.KIND, key)
            if now != record:  # changed meanwhile
                return 0.0
            if due is not None:
                self._server.event_buses.deliveries.add([self._invocation(record, due)])
                record = store.update(schedules.KIND, key, _Last=time.time())
            following = schedules.next_time(record, self._server.speedup)
            if following is None and record["ActionAfterCompletion"] == "DELETE":
                store.delete(schedules.KIND, key)
        self._server.event_buses.deliveries.wake()
        return following

    def _invocation(self, record: dict, due: float) -> Invocation:
        target, execution = record["Target"], str(uuid.uuid4())
        moment = state_events.iso(due)
        text = target.get("Input") or self._default_input(record, execution, due)
        for name, value in (("schedule-arn", record["Arn"]), ("scheduled-time", moment), ("execution-id", execution)):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return Invocation(
            lane=record["Arn"],
            target=target,
            text=text,
            token=execution,
            metric=["ScheduleGroup", record["GroupName"]],
            about={"SCHEDULE_ARN": record["Arn"], "SCHEDULED_TIME": moment, "EXECUTION_ID": execution},
        )

    def _default_input(self, record: dict, execution: str, due: float) -> str:
        """What a target gets from a schedule that has no Input."""
        if record["Target"]["Arn"].startswith("arn:aws:scheduler:::"):
            return "{}"
        event = state_events.envelope(execution, "aws.scheduler", "Scheduled Event", due, [record["Arn"]], {})
        return json.dumps(event | {"detail": "{}"})

    def _keep_rules(self) -> list[float | None]:
        """Lets the rules go that are due; returns when each is due next."""
        store = self._server.store
        rules = [rule for rule in self._server.event_buses.rules.current() if rule.schedule]
        with store.transaction():
            known = {record["Arn"]: record for record in store.list(RULE_KIND)}
            for arn in known.keys() - {rule.arn for rule in rules}:
                store.delete(RULE_KIND, arn)
        return [self._keep_rule(rule, known.get(rule.arn)) for rule in rules]

    def _keep_rule(self, rule: Rule, record: dict | None) -> float | None:
        store = self._server.store
        if record is None or record["ScheduleExpression"] != rule.schedule:
            now = time.time()
            clock = {"ScheduleExpression": rule.schedule, "ScheduleExpressionTimezone": "UTC"}
            fresh = clock | {"Arn": rule.arn, "_Since": now, "_Last": now}
            with store.transaction():
                if record is not None:
                    store.delete(RULE_KIND, rule.arn)
                record = store.put(RULE_KIND, rule.arn, fresh)
        due = schedules.next_time(record, self._server.speedup)
        if due is None or due > time.time():
            return due
        event = state_events.envelope(str(uuid.uuid4()), "aws.events", "Scheduled Event", due, [rule.arn], {})
        with store.transaction():
            self._server.event_buses.invoke(rule, event)
            record = store.update(RULE_KIND, rule.arn, _Last=time.time())
        self._server.event_buses.deliveries.wake()
        return schedules.next_time(record, self._server.speedup)


def start(server: Server) -> None:
    """Begins to keep time."""
    server.timetable = Timetable(server)


def stop(server: Server) -> None:
    """Stops keeping time."""
    server.timetable.stop()
