"""Metrics that the containers of monitoring jobs leave in a file, brought to CloudWatch when the job ends."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING

from helpers.local_sagemaker.monitoring import job_requests, monitoring_executions

if TYPE_CHECKING:
    from helpers.local_sagemaker.jobs import Host, Job

logger = logging.getLogger(__name__)

FILE = "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
_MOST_METRICS = 100_000


def publish(job: Job) -> None:
    """Puts the metrics of a schedule's job into the namespace of its monitoring type; those of other jobs are left."""
    execution = monitoring_executions.of_job(job.server, job.name)
    if execution is None:
        return
    where = "Endpoints" if "EndpointName" in execution else "ModelMonitoring"
    namespace = f"aws/sagemaker/{where}/{job_requests.NAMESPACES[execution['MonitoringType']]}"
    job.server.metric_data.put(namespace, [metric for host in job.hosts for metric in _read(host)])


def _read(host: Host) -> list[dict]:
    path = host.path(FILE)
    if path.resolve() != path or not path.is_file():
        return []
    metrics = []
    with path.open() as file:
        for _, line in zip(range(_MOST_METRICS), file, strict=False):
            try:
                metric = json.loads(line)
                metrics.append(metric | {"Timestamp": datetime.fromisoformat(metric["Timestamp"]).timestamp()})
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("%s is no metric: %r", line[:200], error)
    return metrics
