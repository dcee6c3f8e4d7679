"""CPU and memory of the workers behind endpoints."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import deployed
import psutil

from helpers.local_sagemaker import instance_metrics

PATIENCE_SECONDS = 60
# A parent that sleeps and a child that holds 64 MiB and uses a core as far as it gets one.
BUSY_FAMILY = (
    "import subprocess, sys; held = 'b = bytes(1) * 2**26\\nprint(flush=True)\\nwhile True: pass'; "
    "subprocess.run([sys.executable, '-c', held])"
)


def test_a_process_counts_with_its_descendants_and_from_sample_to_sample():
    trees = instance_metrics.ProcessTrees()
    with subprocess.Popen([sys.executable, "-c", BUSY_FAMILY], stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        family = psutil.Process(parent.pid).children()
        trees.sample(parent.pid)
        time.sleep(1)
        cpu, memory = trees.sample(parent.pid)
        for process in family:
            process.kill()
        parent.wait()
        assert trees.sample(parent.pid) is None
    assert 5 < cpu < 150
    assert memory >= 100 * 2**26 / psutil.virtual_memory().total


def test_cloudwatch_has_cpu_and_memory_of_a_variants_instances(sm, s3, bucket, client, unique):
    name = unique("watched")
    model = deployed.create_model(sm, s3, bucket, name)
    deployed.create_endpoint(sm, name, [deployed.variant(model, count=2)])

    def statistics(metric: str) -> dict | None:
        now = datetime.now(UTC)
        points = client("cloudwatch").get_metric_statistics(
            Namespace="/aws/sagemaker/Endpoints",
            MetricName=metric,
            Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=3600,
            Statistics=["Average", "SampleCount"],
        )["Datapoints"]
        return points[0] if points else None

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (memory := statistics("MemoryUtilization")) and time.monotonic() < deadline:
        time.sleep(0.2)
    sm.delete_endpoint(EndpointName=name)
    cpu = statistics("CPUUtilization")
    for point in (cpu, memory):
        assert point["Unit"] == "Percent" and point["SampleCount"] % 2 == 0
    assert cpu["Average"] > 0
    assert 0 < memory["Average"] < 100
