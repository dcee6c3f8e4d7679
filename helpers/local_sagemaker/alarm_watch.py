"""The thread that evaluates alarms: once in every one of AWS's minutes, so once a second at the default speedup."""

from __future__ import annotations

import functools
import logging
import math
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    alarm_actions,
    alarm_definitions,
    alarm_evaluation,
    alarm_metrics,
    alarms,
    composite_alarms,
)
from helpers.local_sagemaker.background import Background
from helpers.local_sagemaker.metric_summaries import Key

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

# The values of a second have arrived when the next is half over.
SETTLING_SECONDS = 0.5
_MINUTE, _HIGH_RESOLUTION = 60, 10
_rule = functools.lru_cache(maxsize=1024)(composite_alarms.Rule)


class AlarmWatch:
    """Evaluates alarms by the clock, and takes their actions; sleeps while there are none."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._evaluated: dict[str, int] = {}
        self._watched: set[Key] = set()
        self._background = Background("alarm-watch", self._evaluate_all, retry_seconds=SETTLING_SECONDS)

    def begin(self) -> None:
        """Begins to evaluate, once everything is there that the actions of alarms use."""
        self._background.start()

    def changed(self) -> None:
        """An alarm was put, deleted or set: what the watch has to do may be another thing now."""
        self._background.wake()

    def watches(self, namespace: str, name: str | None = None) -> bool:
        """Whether an alarm looks at a metric of this name, or at any of the namespace."""
        return any(metric[0] == namespace and name in (None, metric[1]) for metric in self._watched)

    def stop(self) -> None:
        """Stops evaluating."""
        self._background.stop()

    def _evaluate_all(self) -> float | None:
        found = self._server.store.list("MetricAlarm"), self._server.store.list("CompositeAlarm")
        self._watched = {query.metric for alarm in found[0] for query in alarm_definitions.queries(alarm)}
        if not any(found):
            return None
        self._tick(*found, time.time())
        return _until_settled(time.time())

    def _tick(self, metric_alarms: list[dict], composites: list[dict], now: float) -> None:
        second = math.floor(now - SETTLING_SECONDS)
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in [*metric_alarms, *composites]}
        before = dict(states)
        for alarm in metric_alarms:
            name = alarm["AlarmName"]
            step = alarm_metrics.window(
                self._server, _HIGH_RESOLUTION if alarm_definitions.period_of(alarm) < _MINUTE else _MINUTE
            )
            if self._evaluated.get(name) != second // step:
                self._evaluated[name] = second // step
                states[name] = self._evaluate(alarm, second - second % step)
        self._evaluate_composites(composites, states)
        for alarm in [*metric_alarms, *composites]:
            name = alarm["AlarmName"]
            if "_Due" in alarm or states[name] != before[name]:
                self._take_actions(name)

    def _evaluate(self, alarm: dict, end: int) -> str:
        """The state that an alarm is in after it."""
        try:
            return self._evaluated_state(alarm, end)
        except Exception:
            logger.exception("alarm %s was not evaluated", alarm["AlarmName"])
            return alarm["StateValue"]

    def _evaluated_state(self, alarm: dict, end: int) -> str:
        verdict = alarm_evaluation.evaluate(alarm, alarm_metrics.datapoints(self._server, alarm, end), time.time())
        if verdict is None:
            return alarm["StateValue"]
        self._conclude(alarm, verdict.state, verdict.reason, verdict.data)
        if verdict.state == alarm["StateValue"]:
            alarm_actions.repeat(self._server, alarm, verdict.state, verdict.data)
        return verdict.state

    def _evaluate_composites(self, composites: list[dict], states: dict[str, str]) -> None:
        for alarm in composites:
            rule = _rule(alarm["AlarmRule"])
            state = alarm_evaluation.ALARM if rule.holds(states) else alarm_evaluation.OK
            causes = ", ".join(f"{alarms.arn(name)} is in {states.get(name, 'no')} state" for name in rule.names)
            self._conclude(alarm, state, f"AlarmRule {rule.text} evaluates to {state}: {causes}.", None)
            states[alarm["AlarmName"]] = state

    def _conclude(self, alarm: dict, state: str, reason: str, data: str | None) -> None:
        """Writes a state down, unless the alarm is another by now."""
        is_unchecked = alarm["StateReason"].startswith("Unchecked")
        if state == alarm["StateValue"] and not is_unchecked:
            return
        store = self._server.store
        with store.transaction():
            now = store.get(alarms.kind_of(alarm), alarm["AlarmName"])
            same = ("AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp")
            if now is not None and all(now[member] == alarm[member] for member in same):
                alarms.set_state(store, now, state, reason, data)

    def _take_actions(self, name: str) -> None:
        """Takes the actions that are due; one that a kill interrupts is taken again."""
        store = self._server.store
        while (alarm := alarms.find(store, name)) and alarm.get("_Due"):
            alarm_actions.take(self._server, alarm, alarm["_Due"][0])
            with store.transaction():
                if (now := alarms.find(store, name)) and now.get("_Due"):
                    store.update(alarms.kind_of(now), name, _Due=now["_Due"][1:] or None)


def _until_settled(now: float) -> float:
    """Seconds until the values of this second have arrived."""
    return math.floor(now - SETTLING_SECONDS) + 1 + SETTLING_SECONDS - now


def start(server: Server) -> None:
    """Makes the watch, which others ask what it looks at; it begins when all of them are there."""
    server.alarm_watch = AlarmWatch(server)


def stop(server: Server) -> None:
    """Stops evaluating."""
    server.alarm_watch.stop()
