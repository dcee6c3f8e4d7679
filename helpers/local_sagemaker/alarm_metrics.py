"""The datapoints that an alarm is evaluated on.

An alarm's period of P seconds is a window of P / speedup real seconds, rounded to whole seconds and at least one.
Metrics keep their real times. A metric with a value for each request is a rate: its Sum and its SampleCount over a
window are scaled to the whole period, so that 1,000 invocations a minute are really 1,000 a minute whatever the
speedup. All other sums are of what a program reported in the window: five errors that it counted are five.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    alarm_definitions,
    alarm_evaluation,
    metric_math,
    metric_summaries,
    metrics,
    percentiles,
    scalable_targets,
)
from helpers.local_sagemaker.alarm_definitions import Query
from helpers.local_sagemaker.alarm_evaluation import Datapoint
from helpers.local_sagemaker.metric_summaries import Summary

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_parsed = functools.lru_cache(maxsize=1024)(metric_math.Expression)
_ZERO = metric_summaries.of_datum({"Value": 0.0})


def window(server: Server, period: int) -> int:
    """Real seconds of a period."""
    return max(1, round(period / server.speedup))


def datapoints(server: Server, alarm: dict, end: int) -> list[Datapoint]:
    """An alarm's datapoints in the evaluation range that ends at `end`, oldest first."""
    seconds = window(server, alarm_definitions.period_of(alarm))
    count = alarm_evaluation.evaluation_range(alarm)
    begins = [end - age * seconds for age in range(count, 0, -1)]
    queries = list(alarm_definitions.queries(alarm))
    summaries = {query.id: _summaries(server, query, begins, seconds) for query in queries}
    values = {query.id: [_statistic(query, summary, seconds) for summary in summaries[query.id]] for query in queries}
    if "Metrics" not in alarm:
        counts = [summary.count if summary else None for summary in summaries[""]]
        return [Datapoint(*point) for point in zip(begins, values[""], counts, strict=True)]
    at_once = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return [Datapoint(begin, _returned(alarm, known)) for begin, known in zip(begins, at_once, strict=True)]


def _summaries(server: Server, query: Query, begins: list[int], seconds: int) -> list[Summary | None]:
    """What was reported in each window; nothing is zero for some metrics."""
    found: list[Summary | None] = [None] * len(begins)
    windows = server.metric_data.windows(
        query.metric, begins[0], seconds, len(begins), query.unit, query.stat not in percentiles.PLAIN
    )
    for position, _, summary in windows:
        found[position] = found[position] or Summary()
        found[position].add(summary)
    since = scalable_targets.zero_since(server.store, query.metric)
    # What belongs into the latest window may be on its way.
    settled = begins[:-1]
    zeros = [_ZERO if begin >= since else None for begin in settled]
    return [summary or zero for summary, zero in zip(found, [*zeros, None], strict=True)]


def _statistic(query: Query, summary: Summary | None, seconds: int) -> float | None:
    """A query's value of what was reported in a window of real seconds."""
    if summary is None:
        return None
    scale = query.period / seconds if metrics.is_per_request(query.metric) else 1.0
    value = summary.statistic(query.stat)
    return value * scale if query.stat in ("Sum", "SampleCount") else value


def _returned(alarm: dict, values: dict[str, float | None]) -> float | None:
    """The value of the entry that returns data, from those of the metrics at the same time."""
    expressions = {entry["Id"]: _parsed(entry["Expression"]) for entry in alarm["Metrics"] if "Expression" in entry}
    returned = next(entry["Id"] for entry in alarm["Metrics"] if entry.get("ReturnData", True))
    return metric_math.evaluated(expressions, values)[returned]
