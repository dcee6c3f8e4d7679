"""Metrics of CloudWatch as series for charts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker import metric_summaries
from helpers.local_sagemaker.console.charts import Series

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_POINTS = 60


@dataclass(frozen=True)
class Span:
    """A while up to now, in windows of equal length.

    Args:
        name: as in the address.
        words: for people.
        seconds: of one window; there are 60.
    """

    name: str
    words: str
    seconds: int

    @property
    def ends(self) -> tuple[int, int]:
        """The begin and the end, which is that of the last whole window; epoch seconds."""
        end = int(time.time() // self.seconds * self.seconds)
        return end - _POINTS * self.seconds, end


SPANS = (
    Span("5m", "5 min", 5),
    Span("15m", "15 min", 15),
    Span("1h", "1 hour", 60),
    Span("5h", "5 hours", 300),
    Span("3d", "2½ days", 3600),
)


def span(name: str | None) -> Span:
    """The span of this name, or 15 minutes."""
    return next((each for each in SPANS if each.name == name), SPANS[1])


def series(
    server: Server,
    name: str,
    metric: tuple[str, str, Mapping[str, str]],
    stat: str,
    over: Span,
    *,
    scale: float = 1.0,
    missing: float | None = None,
) -> Series:
    """A statistic of a metric.

    Args:
        server: whose metrics.
        name: of the line.
        metric: namespace, name and dimensions.
        stat: such as Sum, Average, p99.
        over: when.
        scale: factor of the values.
        missing: value of a window in which nothing was reported; None leaves a gap.
    """
    namespace, metric_name, dimensions = metric
    key = metric_summaries.key(namespace, metric_name, [{"Name": n, "Value": v} for n, v in dimensions.items()])
    begin, _ = over.ends
    found: dict[int, metric_summaries.Summary] = {}
    windows = server.metric_data.windows(key, begin, over.seconds, _POINTS, None, stat.startswith("p"))
    for window, _, summary in windows:
        found.setdefault(window, metric_summaries.Summary()).add(summary)
    values = {window: summary.statistic(stat) for window, summary in found.items()}
    points = [
        (begin + (window + 0.5) * over.seconds, missing if (value := values.get(window)) is None else value * scale)
        for window in range(_POINTS)
    ]
    return Series(name, points)


def exact(server: Server, name: str, metric: tuple[str, str, Mapping[str, str]], begin: float, end: float) -> Series:
    """The averages of a metric as often as they are kept between two times, such as those of a job's run.

    A long while is cut into at most 600 windows of whole minutes.
    """
    namespace, metric_name, dimensions = metric
    key = metric_summaries.key(namespace, metric_name, [{"Name": n, "Value": v} for n, v in dimensions.items()])
    length = max(end - begin, 1)
    seconds = 1 if length <= 600 and time.time() - begin < 10_000 else 60 * math.ceil(length / 600 / 60)
    first = math.floor(begin / seconds) * seconds
    count = math.ceil((end - first) / seconds) + 1
    windows = server.metric_data.windows(key, first, seconds, count)
    return Series(name, [(first + window * seconds, summary.total / summary.count) for window, _, summary in windows])
