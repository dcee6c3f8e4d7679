"""Warm pools: what a job with KeepAlivePeriodInSeconds leaves behind, and the next job of the same shape takes over.

Nothing is kept warm here, as a process starts at once anywhere; the states are AWS's, and so is the time that is
billed for. The period passes `speedup` times faster.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = "TrainingJob"
_REUSED_BY, _REUSED_TIME = "_ReusedBy", "_ReusedTime"
_SAME = ("RoleArn", "VpcConfig", "EnableInterContainerTrafficEncryption", "EnableNetworkIsolation")
_SAME_RESOURCES = ("InstanceCount", "InstanceType", "VolumeKmsKeyId", "VolumeSizeInGB")


def take(server: Server, record: dict) -> None:
    """Lets a new job take over the pool of an ended one that has the same role, resources and network.

    Raises:
        AwsError: `ValidationException`; spot instances are not kept.
    """
    if record.get("EnableManagedSpotTraining") and _period(record):
        raise errors.validation("KeepAlivePeriodInSeconds is not supported with managed spot training.")
    for other in server.store.list(KIND) if _period(record) else ():
        if _status(server, other) == "Available" and _shape(other) == _shape(record):
            taken = {_REUSED_BY: record["TrainingJobName"], _REUSED_TIME: time.time()}
            server.store.update(KIND, other["TrainingJobName"], **taken)
            return


def shown(server: Server, record: dict) -> dict:
    """The record with its WarmPoolStatus, if it has a pool."""
    status = _status(server, record)
    if status is None:
        return record
    pool: dict[str, object] = {"Status": status}
    if "TrainingEndTime" in record:
        pool["ResourceRetainedBillableTimeInSeconds"] = math.ceil(_retained(server, record))
    if status == "Reused":
        pool["ReusedByJob"] = record[_REUSED_BY]
    return record | {"WarmPoolStatus": pool}


def with_status(server: Server, records: list[dict], status: str | None) -> list[dict]:
    """Records as `shown`; only those whose pool has the status, when there is one."""
    records = [shown(server, record) for record in records]
    return [record for record in records if status in (None, record.get("WarmPoolStatus", {}).get("Status"))]


@operation("UpdateTrainingJob")
def update_training_job(server: Server, request: dict) -> dict:
    """Changes how long a warm pool is kept; 0 ends it.

    Raises:
        AwsError: `ValidationException`; something else is to be changed, or the pool is gone.
    """
    name, resources = request["TrainingJobName"], request.get("ResourceConfig")
    if resources is None:
        raise errors.validation(
            "UpdateTrainingJob changes ResourceConfig.KeepAlivePeriodInSeconds in the local SageMaker, nothing else."
        )
    with server.store.transaction():
        record = server.store.require(KIND, name)
        if _status(server, record) not in ("InUse", "Available"):
            raise errors.validation(f"Training job {name} has no warm pool that is in use or available.")
        changed = record["ResourceConfig"] | {"KeepAlivePeriodInSeconds": resources["KeepAlivePeriodInSeconds"]}
        server.store.update(KIND, name, ResourceConfig=changed)
    return {"TrainingJobArn": record["TrainingJobArn"]}


def _period(record: dict) -> float:
    return record["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0)


def _status(server: Server, record: dict) -> str | None:
    if "KeepAlivePeriodInSeconds" not in record["ResourceConfig"]:
        return None
    if "TrainingEndTime" not in record:
        return "InUse"
    if _REUSED_BY in record:
        return "Reused"
    # A pool of a job that failed is ended with it.
    left = _period(record) - _retained(server, record)
    return "Available" if left > 0 and record["TrainingJobStatus"] != "Failed" else "Terminated"


def _retained(server: Server, record: dict) -> float:
    """Seconds of AWS's time that the pool was kept."""
    until = record.get(_REUSED_TIME, time.time())
    return min((until - record["TrainingEndTime"]) * server.speedup, _period(record))


def _shape(record: dict) -> list:
    resources = record["ResourceConfig"]
    return [*(record.get(name) for name in _SAME), *(resources.get(name) for name in _SAME_RESOURCES)]
