"""What CloudWatch's namespace AWS/SageMaker says about endpoints, sent every second and stamped with that second."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.deployments import Variant
    from helpers.local_sagemaker.metric_summaries import Key

logger = logging.getLogger(__name__)

NAMESPACE = "AWS/SageMaker"
# Those that have a value for each request.
PER_REQUEST = frozenset(
    (
        "Invocations",
        "InvocationsPerInstance",
        "InvocationsPerCopy",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "ModelLatency",
        "OverheadLatency",
    )
)

# AWS reports a zero for what can be scaled and has no traffic.
ZERO_WHEN_IDLE = (
    "InvocationsPerInstance",
    "InvocationsPerCopy",
    "ConcurrentRequestsPerModel",
    "ConcurrentRequestsPerCopy",
    "ServerlessProvisionedConcurrencyUtilization",
)


def is_per_request(metric: Key) -> bool:
    """Whether the values of a metric are of requests to an endpoint, so that their sum is a rate."""
    namespace, name, _ = metric
    return namespace == NAMESPACE and name in PER_REQUEST


class _Source(NamedTuple):
    """Where values come from: the second, and the dimensions of their metrics."""

    second: int
    endpoint: str | None = None
    variant: str | None = None
    container: str | None = None
    config: str | None = None
    component: str | None = None


_DIMENSIONS = ("EndpointName", "VariantName", "ContainerName", "EndpointConfigName", "InferenceComponentName")
# The values of one source, by the metric's name and unit.
_Samples = defaultdict[tuple[str, str], list[float]]


class InvocationMetrics:
    """Collects what each invocation says on the event loop and sends it from a thread of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._samples: defaultdict[_Source, _Samples] = defaultdict(_no_samples)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="invocation-metrics")
        self._thread.start()

    def record(self, variant: Variant, status: int, model_seconds: float, overhead_seconds: float) -> None:
        """Adds one invocation; status is what the model's container answered, 0 when it did not."""
        failed, second = status >= 500 or status == 0, int(time.time())
        sources = [_Source(second, variant.endpoint, variant.name, config=variant.config_name)]
        if variant.component is not None:
            sources.append(_Source(second, component=variant.component))
        with self._lock:
            for source in sources:
                samples = self._samples[source]
                samples["Invocations", "None"].append(1.0)
                samples["Invocation4XXErrors", "None"].append(float(400 <= status < 500))
                samples["Invocation5XXErrors", "None"].append(float(failed))
                samples["ModelLatency", "Microseconds"].append(model_seconds * 1e6)
                samples["OverheadLatency", "Microseconds"].append(overhead_seconds * 1e6)

    def add(self, endpoint: str, variant: str, unit: str, *, container: str | None = None, **values: float) -> None:
        """Adds a value to each of some metrics of a variant or a container, all of them in one unit of CloudWatch's."""
        self._add(_Source(int(time.time()), endpoint, variant, container), unit, values)

    def add_of_component(self, component: str, unit: str, **values: float) -> None:
        """Like `add`, for the metrics of an inference component."""
        self._add(_Source(int(time.time()), component=component), unit, values)

    def _add(self, source: _Source, unit: str, values: dict[str, float]) -> None:
        with self._lock:
            for name, value in values.items():
                self._samples[source][name, unit].append(float(value))

    def stop(self) -> None:
        """Stops sending."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        # Just after a second is over, so that alarms find all of it.
        while not self._stopped.wait(1.01 - time.time() % 1):
            try:
                self._look_at_concurrency()
                self._flush(int(time.time()))
            except Exception:
                logger.exception("metrics of endpoints were lost")

    def _look_at_concurrency(self) -> None:
        """Adds how many requests each instance or copy is at, for the alarms that look at it."""
        alarm_watch = self._server.alarm_watch
        if alarm_watch.watches(NAMESPACE, "ConcurrentRequestsPerModel"):
            for endpoint, deployment in list(self._server.fleet.serving.items()):
                for variant in deployment.variants.values():
                    for worker in variant.workers:
                        self.add(endpoint, variant.name, "None", ConcurrentRequestsPerModel=worker.in_flight)
        if alarm_watch.watches(NAMESPACE, "ConcurrentRequestsPerCopy"):
            for components in list(self._server.components.serving.values()):
                for name, component in list(components.items()):
                    for worker in component.workers:
                        self.add_of_component(name, "None", ConcurrentRequestsPerCopy=worker.in_flight)

    def _flush(self, second: int) -> None:
        """Sends what was recorded before a second."""
        with self._lock:
            taken = [source for source in self._samples if source.second < second]
            samples = {source: self._samples.pop(source) for source in taken}
        data = []
        for source, recorded in samples.items():
            if source.config is not None:  # once for the fleet of this configuration alone, then for all
                data += _data(source, recorded)
            if source.container is None and (invocations := recorded.get(("Invocations", "None"))):
                name = "InvocationsPerCopy" if source.component else "InvocationsPerInstance"
                recorded[name, "None"] = [1.0 / self._sharing(source)] * len(invocations)
            data += _data(source._replace(config=None), recorded)
        if data:
            self._server.metric_data.put(NAMESPACE, data)

    def _sharing(self, source: _Source) -> int:
        """How many instances or copies share the invocations of a variant or a component, at least one."""
        if source.component:
            hosts = list(self._server.components.serving.values())
            serving = [components[source.component] for components in hosts if source.component in components]
        else:
            fleets = [fleet for fleet in self._server.fleet.in_service() if fleet.endpoint == source.endpoint]
            serving = [fleet.variants[source.variant] for fleet in fleets if source.variant in fleet.variants]
        return max(1, sum(len(each.workers) for each in serving))


def _no_samples() -> _Samples:
    return defaultdict(list)


def _data(source: _Source, samples: _Samples) -> list[dict]:
    named = zip(_DIMENSIONS, source[1:], strict=True)
    dimensions = [{"Name": name, "Value": value} for name, value in named if value is not None]
    return [
        {"MetricName": name, "Dimensions": dimensions, "Timestamp": source.second, "Unit": unit, "Values": values}
        for (name, unit), values in samples.items()
    ]


def start(server: Server) -> None:
    """Begins to send."""
    server.invocation_metrics = InvocationMetrics(server)


def stop(server: Server) -> None:
    """Stops sending."""
    server.invocation_metrics.stop()
