"""What the instance types of AWS have: CPUs, memory and accelerators."""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Capacity:
    """What an instance has, or what something needs of one.

    Attributes:
        cpus: virtual CPUs.
        memory_mb: memory.
        accelerators: GPUs, or devices of Inferentia and Trainium.
    """

    cpus: float
    memory_mb: float
    accelerators: float

    def holds(self, other: Capacity) -> bool:
        """Whether there is room for something."""
        return self.cpus >= other.cpus and self.memory_mb >= other.memory_mb and self.accelerators >= other.accelerators

    def without(self, other: Capacity) -> Capacity:
        """What is left when something is placed there."""
        return Capacity(
            self.cpus - other.cpus, self.memory_mb - other.memory_mb, self.accelerators - other.accelerators
        )


UNKNOWN = Capacity(float("inf"), float("inf"), float("inf"))


@functools.cache
def capacity(instance_type: str) -> Capacity:
    """What an instance type such as `ml.m5.large` has, by moto's copy of EC2's table; UNKNOWN when it is not there."""
    import moto.ec2

    with gzip.open(Path(moto.ec2.__file__).parent / "resources" / "instance_types.json.gz") as file:
        found = json.load(file).get(instance_type.removeprefix("ml."))
    if found is None:
        return UNKNOWN
    devices = [
        *found.get("GpuInfo", {}).get("Gpus", []),
        *(found.get("NeuronInfo") or {}).get("NeuronDevices", []),
    ]
    return Capacity(
        found["VCpuInfo"]["DefaultVCpus"],
        found["MemoryInfo"]["SizeInMiB"],
        sum(device.get("Count", 0) for device in devices),
    )
