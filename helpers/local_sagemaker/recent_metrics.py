"""The last values of the metrics that alarms watch, by the second: moto's own list grows too long to be searched."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

Key = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions


def key(namespace: str, name: str, dimensions: Iterable[dict]) -> Key:
    """Which metric this is: the same name with other dimensions is another metric."""
    return namespace, name, frozenset((dimension["Name"], dimension["Value"]) for dimension in dimensions)


@dataclass
class Summary:
    """What was reported of a metric in a while; `values` are those that came one by one, for percentiles."""

    count: float = 0.0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")
    values: list[float] = field(default_factory=list)

    def add(self, other: Summary) -> None:
        """Takes in what another one holds."""
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.values += other.values


class RecentMetrics:
    """What PutMetricData said about watched metrics; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept_seconds: dict[Key, float] = {}
        self._seconds: dict[Key, dict[tuple[int, str], Summary]] = {}

    def watch(self, wanted: dict[Key, float]) -> set[Key]:
        """From now on keeps these metrics for so many seconds and forgets all others; returns those that are new."""
        with self._lock:
            added = wanted.keys() - self._kept_seconds.keys()
            self._kept_seconds = dict(wanted)
            self._seconds = {metric: self._seconds.get(metric, {}) for metric in wanted}
        return added

    def is_watched(self, metric: Key) -> bool:
        """Whether an alarm looks at this metric."""
        return metric in self._kept_seconds

    def watches(self, namespace: str, name: str | None = None) -> bool:
        """Whether an alarm looks at a metric of this name, or at any of the namespace."""
        return any(metric[0] == namespace and name in (None, metric[1]) for metric in list(self._kept_seconds))

    def add(self, metric: Key, moment: float, unit: str | None, summary: Summary) -> None:
        """Takes in a datum, if its metric is watched."""
        if metric not in self._kept_seconds:
            return
        with self._lock:
            if (seconds := self._seconds.get(metric)) is not None:
                seconds.setdefault((int(moment), unit or "None"), Summary()).add(summary)

    def summaries(self, metric: Key, unit: str | None, begin: int, seconds: int, count: int) -> list[Summary | None]:
        """What was reported in `count` windows of so many seconds from `begin` on; None where nothing was.

        Args:
            unit: of the values that count; None for all.
        """
        found: list[Summary | None] = [None] * count
        with self._lock:
            for (second, its_unit), part in self._seconds.get(metric, {}).items():
                position = (second - begin) // seconds
                if 0 <= position < count and unit in (None, its_unit):
                    found[position] = found[position] or Summary()
                    found[position].add(part)
        return found

    def forget(self, now: float) -> None:
        """Drops what no alarm will look at again."""
        with self._lock:
            for metric, seconds in self._seconds.items():
                oldest = now - self._kept_seconds[metric]
                for moment in [moment for moment in seconds if moment[0] < oldest]:
                    del seconds[moment]
