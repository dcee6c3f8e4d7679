"""CloudWatch's metric data: all of it is here, in a SQLite file of its own that grows no further than on AWS.

A datum is added at once to its second, its minute, its five minutes and its hour, and each of them is kept for a while
of its own. So neither memory nor disk nor the start of the server depends on how much traffic there was.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers.local_sagemaker import metric_summaries
from helpers.local_sagemaker.metric_summaries import Key, Summary
from helpers.local_sagemaker.state import Store

_HOUR, _DAY = 3600, 86_400
# How long what is kept by so many seconds is kept.
KEPT_SECONDS = {1: 3 * _HOUR, 60: 15 * _DAY, 300: 63 * _DAY, 3600: 455 * _DAY}
EXPIRY_SECONDS = 60.0
_EXPIRED_AT_ONCE = 2000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metrics (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL, last REAL NOT NULL,
    UNIQUE (namespace, name, dimensions)
);
CREATE INDEX IF NOT EXISTS metrics_age ON metrics (last);
CREATE TABLE IF NOT EXISTS data (
    metric INTEGER NOT NULL, seconds INTEGER NOT NULL, begin INTEGER NOT NULL, unit TEXT NOT NULL,
    count REAL NOT NULL, total REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, "values" TEXT,
    UNIQUE (metric, seconds, begin, unit)
);
CREATE INDEX IF NOT EXISTS data_age ON data (seconds, begin);
"""


class MetricData:
    """What was reported of all metrics; every method may be called from any thread.

    Args:
        path: of the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._store = Store(path, _SCHEMA)
        self._next_expiry = 0.0
        with self._store.transaction() as connection:
            connection.create_function("merged", 2, metric_summaries.merged, deterministic=True)

    def put(self, namespace: str, data: Iterable[dict]) -> None:
        """Adds data, which are on disk when it returns.

        Args:
            namespace: of the metrics.
            data: each a MetricDatum of PutMetricData, with its Timestamp in epoch seconds, and any number of Values.
        """
        now = time.time()
        rows: defaultdict[tuple[Key, int, int, str], Summary] = defaultdict(Summary)
        for datum in data:
            metric = metric_summaries.key(namespace, datum["MetricName"], datum.get("Dimensions", ()))
            moment, unit = int(datum.get("Timestamp", now)), datum.get("Unit", "None")
            summary = metric_summaries.of_datum(datum)
            for seconds in KEPT_SECONDS if summary.count else ():
                rows[metric, seconds, moment // seconds * seconds, unit].add(summary)
        with self._store.transaction() as connection:
            ids: dict[Key, int] = {}
            for (metric, seconds, begin, unit), summary in rows.items():
                if seconds == 1:
                    ids[metric] = connection.execute(_PUT_METRIC, (*_columns(metric), begin)).fetchone()[0]
                numbers = summary.count, summary.total, summary.least, summary.most
                values = metric_summaries.write_values(summary.values)
                connection.execute(_PUT, (ids[metric], seconds, begin, unit, *numbers, values))
        if now >= self._next_expiry:
            self._next_expiry = now if self.expire(now) else now + EXPIRY_SECONDS

    def windows(
        self,
        metric: Key,
        begin: int,
        seconds: int,
        count: int,
        unit: str | None = None,
        with_values: bool = False,
    ) -> Iterator[tuple[int, str, Summary]]:
        """What was reported in `count` windows of so many seconds from `begin` on: the window's number and the unit.

        Args:
            metric: whose data.
            begin: epoch seconds.
            seconds: of one window.
            count: of windows.
            unit: of the values that count; None for all.
            with_values: whether percentiles are wanted.
        """
        kept_by = max(each for each in KEPT_SECONDS if begin % each == 0 and seconds % each == 0)
        parameters = {"kept_by": kept_by, "begin": begin, "seconds": seconds, "end": begin + seconds * count}
        parameters |= dict(zip(("namespace", "name", "dimensions"), _columns(metric), strict=True)) | {"unit": unit}
        found = self._store.execute(_WINDOWS.format('group_concat("values")' if with_values else "NULL"), parameters)
        for window, its_unit, *numbers, values in found:
            yield window, its_unit, Summary(*numbers, metric_summaries.read_values(values))

    def metrics(self, since: float, namespace: str | None, name: str | None) -> Iterator[Key]:
        """Metrics with data at `since` or later, in an order that stays: of a namespace and a name, or of all."""
        parameters = {"since": since, "namespace": namespace, "name": name}
        for its_namespace, its_name, dimensions in self._store.execute(_METRICS, parameters):
            yield its_namespace, its_name, frozenset(map(tuple, json.loads(dimensions)))

    def expire(self, now: float) -> bool:
        """Forgets some of what is older than it is kept; whether there may be more."""
        with self._store.transaction() as connection:
            expired = [
                connection.execute(_EXPIRE, (seconds, now - kept, _EXPIRED_AT_ONCE)).rowcount
                for seconds, kept in KEPT_SECONDS.items()
            ]
            connection.execute("DELETE FROM metrics WHERE last < ?", (now - max(KEPT_SECONDS.values()),))
        return max(expired) == _EXPIRED_AT_ONCE

    def close(self) -> None:
        """Closes the file."""
        self._store.close()


def _columns(metric: Key) -> tuple[str, str, str]:
    namespace, name, dimensions = metric
    return namespace, name, json.dumps(sorted(dimensions))


_PUT_METRIC = """
INSERT INTO metrics (namespace, name, dimensions, last) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last = max(last, excluded.last) RETURNING id
"""

_PUT = """
INSERT INTO data VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count, total = total + excluded.total,
least = min(least, excluded.least), most = max(most, excluded.most), "values" = merged("values", excluded."values")
"""

_WINDOWS = """
SELECT (begin - :begin) / :seconds AS window, unit, SUM(count), SUM(total), MIN(least), MAX(most), {}
FROM data WHERE seconds = :kept_by AND begin >= :begin AND begin < :end AND (:unit IS NULL OR unit = :unit)
AND metric = (SELECT id FROM metrics WHERE namespace = :namespace AND name = :name AND dimensions = :dimensions)
GROUP BY window, unit ORDER BY window, unit
"""

_METRICS = """
SELECT namespace, name, dimensions FROM metrics WHERE last >= :since
AND (:namespace IS NULL OR namespace = :namespace) AND (:name IS NULL OR name = :name)
ORDER BY namespace, name, dimensions
"""

_EXPIRE = "DELETE FROM data WHERE rowid IN (SELECT rowid FROM data WHERE seconds = ? AND begin < ? LIMIT ?)"
