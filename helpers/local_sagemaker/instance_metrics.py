"""What CloudWatch's namespace /aws/sagemaker/Endpoints says about the instances behind endpoints: their workers."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.deployments import Variant

logger = logging.getLogger(__name__)

NAMESPACE = "/aws/sagemaker/Endpoints"
SAMPLE_SECONDS = 10.0

Sample = tuple[float, float]  # CPU and memory in percent


class ProcessTrees:
    """What processes and their descendants use; CPU from one sample to the next, at first since their start."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}

    def sample(self, pid: int, memory_bytes: int | None = None) -> Sample | None:
        """CPU in percent of one core and memory in percent of the machine's, or of `memory_bytes`.

        None when the process is gone.
        """
        try:
            root = psutil.Process(pid)
            cpu_seconds, resident = _used([root, *root.children(recursive=True)])
            created = root.create_time()
        except psutil.Error:
            return None
        now = time.time()
        before, since = self._last.get(pid, (0.0, created))
        if since < created:  # the number belongs to another process now
            before, since = 0.0, created
        self._last[pid] = cpu_seconds, now
        cpu = 100 * max(cpu_seconds - before, 0.0) / max(now - since, 1e-3)
        return cpu, 100 * resident / (memory_bytes or psutil.virtual_memory().total)

    def forget_all_but(self, pids: set[int]) -> None:
        """Drops what is known about other processes."""
        self._last = {pid: last for pid, last in self._last.items() if pid in pids}


def _used(family: list[psutil.Process]) -> tuple[float, int]:
    """CPU seconds and resident bytes of processes; one that has ended counts nothing."""
    cpu_seconds, resident = 0.0, 0
    for process in family:
        try:
            with process.oneshot():
                times = process.cpu_times()
                resident += process.memory_info().rss
        except psutil.Error:
            continue
        cpu_seconds += times.user + times.system
    return cpu_seconds, resident


class InstanceMetrics:
    """The thread that looks at the workers in service about every ten seconds."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._trees = ProcessTrees()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="instance-metrics")
        self._thread.start()

    def stop(self) -> None:
        """Stops looking."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds()):
            try:
                self._send()
            except Exception:
                logger.exception("metrics of instances were lost")

    def _seconds(self) -> float:
        """Until the next look: an alarm wants one in each of its minutes."""
        minute = max(60 / self._server.speedup, 1.0)
        return min(minute, SAMPLE_SECONDS) if self._server.alarm_watch.watches(NAMESPACE) else SAMPLE_SECONDS

    def _send(self) -> None:
        variants = [variant for deployment in self._server.fleet.in_service() for variant in deployment.all_variants]
        running = [container for variant in variants for worker in variant.workers for container in worker.containers]
        self._trees.forget_all_but({container.pid for container in running if container.pid})
        now = time.time()
        data = [datum for variant in variants for datum in self._data_of(variant, now)]
        if data:
            self._server.metric_data.put(NAMESPACE, data)

    def _data_of(self, variant: Variant, now: float) -> list[dict]:
        """A variant's data by instance, by container where an instance has several, and what models are loaded."""
        instances: list[Sample] = []
        containers: defaultdict[str, list[Sample]] = defaultdict(list)
        for worker in list(variant.workers):
            taken = {
                container.name: sample
                for container in worker.containers
                if container.pid and (sample := self._trees.sample(container.pid, variant.memory_bytes))
            }
            if taken:
                instances.append(tuple(map(sum, zip(*taken.values(), strict=True))))
            for name, sample in taken.items():
                containers[name].append(sample)
        data = _data(variant, instances, now)
        if len(containers) > 1:
            data += [datum for name, samples in containers.items() for datum in _data(variant, samples, now, name)]
        counts = [float(worker.models.count) for worker in variant.workers if worker.models is not None]
        if counts:
            loaded = {"MetricName": "LoadedModelCount", "Dimensions": _dimensions(variant), "Timestamp": now}
            data.append(loaded | {"Unit": "None", "Values": counts})
        return data


def _dimensions(variant: Variant, container: str | None = None) -> list[dict]:
    named = {"EndpointName": variant.endpoint, "VariantName": variant.name, "ContainerName": container}
    return [{"Name": name, "Value": value} for name, value in named.items() if value is not None]


def _data(variant: Variant, samples: list[Sample], timestamp: float, container: str | None = None) -> list[dict]:
    """The data of one variant or container, with a value for each of its instances."""
    if not samples:
        return []
    dimensions = _dimensions(variant, container)
    return [
        {
            "MetricName": name,
            "Dimensions": dimensions,
            "Timestamp": timestamp,
            "Unit": "Percent",
            "Values": [float(value) for value in values],
        }
        for name, values in zip(("CPUUtilization", "MemoryUtilization"), zip(*samples, strict=True), strict=True)
        if name in variant.instance_metrics
    ]


def start(server: Server) -> None:
    """Begins to look."""
    server.instance_metrics = InstanceMetrics(server)


def stop(server: Server) -> None:
    """Stops looking."""
    server.instance_metrics.stop()
