"""What CloudWatch's namespace AWS/SageMaker says about the queues of asynchronous endpoints.

AWS reports every minute. Alarms run faster here, so it is reported twice in each of their minutes, as long as something
happens and for a while after; a queue in which nothing has changed for long is reported at a slower pace.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker.metrics import NAMESPACE

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

REPORT_SECONDS = 30.0  # of AWS's time
SHORTEST_SECONDS = 0.25
LIVELY_SECONDS = 3600.0  # of AWS's time: longer than what alarms look back on
QUIET_SECONDS = 60.0


@dataclass(frozen=True)
class _Queue:
    """The state of an endpoint's queue."""

    size: int
    instances: int


class AsyncMetrics:
    """The thread that looks at the queues."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: dict[str, tuple[_Queue, float, float]] = {}  # what was seen, since when, when it was reported
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="async-metrics")
        self._thread.start()

    def stop(self) -> None:
        """Stops looking."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(max(REPORT_SECONDS / self._server.speedup, SHORTEST_SECONDS)):
            try:
                self._report()
            except Exception:
                logger.exception("metrics of asynchronous endpoints were lost")

    def _report(self) -> None:
        instances: Counter[str] = Counter()
        for deployment in self._server.fleet.in_service():
            if deployment.async_config:
                instances[deployment.endpoint] += sum(len(variant.workers) for variant in deployment.all_variants)
        self._seen = {name: seen for name, seen in self._seen.items() if name in instances}
        if not instances:
            return
        backlog, now, data = self._server.async_inference.queue.backlog(), time.time(), []
        for name, count in instances.items():
            size, oldest = backlog.get(name, (0, now))
            queue = _Queue(size, count)
            if self._is_due(name, queue, now):
                data += _data(name, queue, now - oldest, now)
        if data:
            self._server.metric_data.put(NAMESPACE, data)

    def _is_due(self, name: str, queue: _Queue, now: float) -> bool:
        before, since, reported = self._seen.get(name, (None, now, 0.0))
        if queue != before:
            since = now
        is_quiet = queue.size == 0 and now - since > LIVELY_SECONDS / self._server.speedup
        is_due = not is_quiet or now - reported >= QUIET_SECONDS
        self._seen[name] = queue, since, now if is_due else reported
        return is_due


def _data(endpoint: str, queue: _Queue, age: float, timestamp: float) -> list[dict]:
    values = {
        "ApproximateBacklogSize": (queue.size, "Count"),
        "ApproximateAgeOfOldestRequest": (age, "Seconds"),
        "HasBacklogWithoutCapacity": (float(queue.size > 0 and queue.instances == 0), "Count"),
    }
    if queue.instances:
        values["ApproximateBacklogSizePerInstance"] = (queue.size / queue.instances, "Count")
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
            "Timestamp": timestamp,
            "Value": value,
            "Unit": unit,
        }
        for name, (value, unit) in values.items()
    ]


def start(server: Server) -> None:
    """Begins to look."""
    server.async_metrics = AsyncMetrics(server)


def stop(server: Server) -> None:
    """Stops looking."""
    server.async_metrics.stop()
