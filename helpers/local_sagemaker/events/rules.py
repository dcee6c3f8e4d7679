"""The rules that moto keeps, as this process sees them: read again when one has been changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker.errors import AwsError
from helpers.local_sagemaker.events import patterns
from helpers.local_sagemaker.schedules import Schedule

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

DEFAULT_BUS = "default"


@dataclass(frozen=True)
class Rule:
    """An enabled rule.

    Attributes:
        name: its name.
        arn: its ARN.
        bus: the name of its event bus.
        pattern: what `patterns.parse` gave; None for a rule that only has a schedule.
        schedule: its ScheduleExpression, None without one.
        targets: as PutTargets gave them, in that order.
    """

    name: str
    arn: str
    bus: str
    pattern: dict | None
    schedule: str | None
    targets: tuple[dict, ...]

    def chooses(self, bus: str, event: dict) -> bool:
        """Whether the rule's targets get an event of a bus."""
        return self.bus == bus and self.pattern is not None and patterns.matches(self.pattern, event)


class Rules:
    """All enabled rules; `current` must not be called from moto's own thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._version = 0
        self._read: tuple[int, list[Rule]] = (-1, [])
        self._is_used: bool | None = None

    def changed(self) -> None:
        """A rule, a target or a bus was put or removed."""
        with self._lock:
            self._version += 1
            self._is_used = True

    def are_used(self) -> bool:
        """Whether EventBridge was ever called: moto is not imported for the sake of rules that nobody made."""
        if self._is_used is None:
            found = self._server.store.execute("SELECT 1 FROM journal WHERE service LIKE '%/events' LIMIT 1")
            with self._lock:
                self._is_used = bool(self._is_used or found)
        return self._is_used

    def current(self) -> list[Rule]:
        """The rules after all changes that have been acknowledged."""
        with self._lock:
            version, (read, rules) = self._version, self._read
        if version != read:
            rules = self._all() if self.are_used() else []
            with self._lock:
                self._read = version, rules
        return rules

    def _all(self) -> list[Rule]:
        events = self._server.client("events")
        found = []
        for bus in _pages(events.list_event_buses, "EventBuses"):
            for rule in _pages(events.list_rules, "Rules", EventBusName=bus["Name"]):
                if rule.get("State") == "DISABLED":
                    continue
                targets = _pages(events.list_targets_by_rule, "Targets", Rule=rule["Name"], EventBusName=bus["Name"])
                try:
                    found.append(_rule(bus["Name"], rule, targets))
                except AwsError:  # made by another way than PutRule, which would have refused it
                    logger.exception("rule %s is left out", rule["Arn"])
        return found


def _rule(bus: str, rule: dict, targets: list[dict]) -> Rule:
    """A rule as moto describes it.

    Raises:
        AwsError: its pattern or its schedule is not valid.
    """
    pattern = patterns.parse(rule["EventPattern"]) if rule.get("EventPattern") else None
    schedule = rule.get("ScheduleExpression")
    if schedule:
        Schedule(schedule)
    return Rule(rule["Name"], rule["Arn"], bus, pattern, schedule, tuple(targets))


def _pages(call: Callable[..., dict], member: str, **request: str) -> list[dict]:
    """All of a List operation; nothing more of a bus or a rule that is deleted meanwhile."""
    found: list[dict] = []
    token: dict[str, str] = {}
    while True:
        try:
            answer = call(**request, **token)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return found
            raise
        found += answer[member]
        if not answer.get("NextToken"):
            return found
        token = {"NextToken": answer["NextToken"]}
