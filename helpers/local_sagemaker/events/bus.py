"""The event buses: every event is written down, then given to the targets of the rules that choose it."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from helpers.local_sagemaker.background import Background
from helpers.local_sagemaker.events import inputs, state_events
from helpers.local_sagemaker.events.deliveries import Deliveries, Invocation
from helpers.local_sagemaker.events.rules import DEFAULT_BUS, Rule, Rules
from helpers.local_sagemaker.state_changes import StateChange

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

SUBSCRIBER = "events"


class EventBuses:
    """Routes events; a kill loses none that was accepted."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.rules = Rules(server)
        self.deliveries = Deliveries(server)
        self._background = Background("event-buses", self._route_next)
        self._background.start()
        server.state_changes.subscribe(SUBSCRIBER, self._changed)

    def publish(self, bus: str, events: list[dict]) -> None:
        """Accepts events: they are on disk when it returns."""
        with self._server.store.transaction() as connection:
            rows = [(bus, json.dumps(event)) for event in events]
            connection.executemany("INSERT INTO events (bus, event) VALUES (?, ?)", rows)
        self._background.wake()

    def invoke(self, rule: Rule, event: dict) -> None:
        """Writes down that all targets of a rule get an event, whatever its pattern, in the caller's transaction."""
        self.deliveries.add(self._invocations(rule, event))

    def stop(self) -> None:
        """Ends the threads; what was accepted is delivered after the next start."""
        self._background.stop()
        self.deliveries.stop()

    def _changed(self, change: StateChange) -> None:
        """Publishes the events of a change, once: that it is done with is written at the same time."""
        found = state_events.of(self._server.store, change) if self.rules.are_used() else []
        if not found:
            return
        with self._server.store.transaction() as connection:
            self.publish(DEFAULT_BUS, found)
            connection.execute("UPDATE state_change_readers SET passed = ? WHERE reader = ?", (change.id, SUBSCRIBER))
        self._background.wake()

    def _route_next(self) -> float | None:
        rows = self._server.store.execute("SELECT id, bus, event FROM events ORDER BY id LIMIT 100")
        for row in rows:
            self._route(self.rules.current(), *row)
        self.deliveries.wake()
        return 0 if rows else None

    def _route(self, rules: list[Rule], row: int, bus: str, written: str) -> None:
        event = json.loads(written)
        try:
            chosen = [rule for rule in rules if rule.chooses(bus, event)]
            invocations = [each for rule in chosen for each in self._invocations(rule, event)]
        except Exception:  # whatever is wrong with one event, those behind it go on
            logger.exception("event %s is left out", event.get("id"))
            chosen, invocations = [], []
        with self._server.store.transaction() as connection:
            self.deliveries.add(invocations)
            connection.execute("DELETE FROM events WHERE id = ?", (row,))
        for rule in chosen:
            dimensions = [{"Name": "RuleName", "Value": rule.name}]
            counted = [
                {"MetricName": name, "Value": 1, "Unit": "Count"} for name in ("MatchedEvents", "TriggeredRules")
            ]
            self._server.metric_data.put("AWS/Events", [datum | {"Dimensions": dimensions} for datum in counted])

    def _invocations(self, rule: Rule, event: dict) -> Iterator[Invocation]:
        for target in rule.targets:
            yield Invocation(
                lane=f"{rule.arn} {target['Id']}",
                target=target,
                text=inputs.of(target, event, {"Arn": rule.arn, "Name": rule.name}),
                token=str(uuid.uuid5(uuid.UUID(event["id"]), f"{rule.arn} {target['Id']}")),
                metric=["RuleName", rule.name],
                about={"RULE_ARN": rule.arn},
            )


def start(server: Server) -> None:
    """Begins to route."""
    server.event_buses = EventBuses(server)


def stop(server: Server) -> None:
    """Stops routing."""
    server.event_buses.stop()
