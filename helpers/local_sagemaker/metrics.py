"""What CloudWatch's namespace AWS/SageMaker says about endpoints, sent about every second."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

NAMESPACE = "AWS/SageMaker"
FLUSH_SECONDS = 1.0
MAX_VALUES = 150  # of one datum
MAX_LATENCIES = 1000  # of one variant and flush; above it a summary is sent, which percentiles leave out
MAX_METRICS = 1000  # in one PutMetricData


# The values of one variant since the last flush, by the metric's name and unit.
_Samples = defaultdict[tuple[str, str], list[float]]


class InvocationMetrics:
    """Collects what each invocation says on the event loop and sends it from a thread of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._samples: defaultdict[tuple[str, str], _Samples] = defaultdict(_no_samples)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="invocation-metrics")
        self._thread.start()

    def record(self, endpoint: str, variant: str, status: int, model_seconds: float, overhead_seconds: float) -> None:
        """Adds one invocation; status is what the model's container answered, 0 when it did not."""
        failed = status >= 500 or status == 0
        with self._lock:
            samples = self._samples[endpoint, variant]
            samples["Invocations", "None"].append(1.0)
            samples["Invocation4XXErrors", "None"].append(float(400 <= status < 500))
            samples["Invocation5XXErrors", "None"].append(float(failed))
            samples["ModelLatency", "Microseconds"].append(model_seconds * 1e6)
            samples["OverheadLatency", "Microseconds"].append(overhead_seconds * 1e6)

    def add(self, endpoint: str, variant: str, unit: str, **values: float) -> None:
        """Adds a value to each of some metrics of a variant, all of them in one unit of CloudWatch's."""
        with self._lock:
            for name, value in values.items():
                self._samples[endpoint, variant][name, unit].append(float(value))

    def stop(self) -> None:
        """Stops sending."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            try:
                self._flush()
            except Exception:
                logger.exception("metrics of endpoints were lost")

    def _flush(self) -> None:
        with self._lock:
            taken, self._samples = self._samples, defaultdict(_no_samples)
        if not taken:
            return
        now = time.time()
        data = [datum for variant, samples in taken.items() for datum in _data(*variant, samples, now)]
        client = self._server.client("cloudwatch")
        for start in range(0, len(data), MAX_METRICS):
            client.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + MAX_METRICS])


def _no_samples() -> _Samples:
    return defaultdict(list)


def _data(endpoint: str, variant: str, samples: _Samples, timestamp: float) -> list[dict]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    return [
        {"MetricName": name, "Dimensions": dimensions, "Timestamp": timestamp, "Unit": unit, **part}
        for (name, unit), values in samples.items()
        for part in _values(values, MAX_VALUES if unit == "None" else MAX_LATENCIES)
    ]


def _values(values: list[float], most: int) -> list[dict]:
    """The values of one or more data; a summary when there are more than `most`."""
    if len(values) <= most:
        return [{"Values": values[begin : begin + MAX_VALUES]} for begin in range(0, len(values), MAX_VALUES)]
    statistics = {"SampleCount": len(values), "Sum": sum(values), "Minimum": min(values), "Maximum": max(values)}
    return [{"StatisticValues": statistics}]


def start(server: Server) -> None:
    """Begins to send."""
    server.invocation_metrics = InvocationMetrics(server)


def stop(server: Server) -> None:
    """Stops sending."""
    server.invocation_metrics.stop()
