"""Managed spot training: an interruption on request, the wait for capacity, and the times that a job is billed for.

On AWS interruptions happen; here one is asked for: `local_sagemaker.interrupt_spot(job)`, or
`POST /_local/training-jobs/<job>/interruption`. The processes get SIGTERM and the time that AWS gives them, their
checkpoints are in S3 when the status says `Interrupted`, and the job starts again from them when there is capacity.
Waiting for capacity passes `speedup` times faster, and counts in full against MaxWaitTimeInSeconds.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.jobs import INTERRUPTED, TIMED_OUT, WAITED_TOO_LONG, Job

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

CAPACITY_SECONDS = 60.0
# What spot instances usually cost of the price on demand; AWS shows the saving as billable by training seconds.
PRICE_SHARE = 0.3
ATTEMPT_BEGIN = "_AttemptBegin"
_WITHOUT_CAPACITY = "_SecondsWithoutCapacity"
_RUNNING = ("Starting", "Downloading", "Training")
_ON_INSTANCES = ("Downloading", "Training", "Uploading", "Stopping")


def interrupt(server: Server, name: str, without_capacity_seconds: float) -> None:
    """Takes the instances away from a spot training job.

    Args:
        server: the server.
        name: of the training job.
        without_capacity_seconds: how long there is no capacity for it, in AWS's time.

    Raises:
        AwsError: there is no such job, it does not use spot instances, or it does not run.
    """
    if not 0 <= without_capacity_seconds < math.inf:
        raise errors.validation(f"WithoutCapacitySeconds must be at least 0, got {without_capacity_seconds}")
    with server.store.transaction():
        record = server.store.require("TrainingJob", name)
        if not record.get("EnableManagedSpotTraining"):
            raise errors.validation(
                f"Training job {name} does not use spot instances: EnableManagedSpotTraining is off."
            )
        if record["TrainingJobStatus"] != "InProgress" or record["SecondaryStatus"] not in _RUNNING:
            raise errors.validation(
                f"Training job {name} cannot be interrupted: it is in status {record['TrainingJobStatus']}, "
                f"{record['SecondaryStatus']}."
            )
        server.store.update("TrainingJob", name, **{_WITHOUT_CAPACITY: without_capacity_seconds})
    server.jobs.stop("TrainingJob", name, INTERRUPTED)


def answer(server: Server, name: str, body: bytes) -> bytes:
    """`POST /_local/training-jobs/<name>/interruption`; the body may be `{"WithoutCapacitySeconds": 60}`."""
    try:
        seconds = float(json.loads(body or b"{}").get("WithoutCapacitySeconds", CAPACITY_SECONDS))
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.validation(f'The body must be {{"WithoutCapacitySeconds": 60}} or empty: {error}') from error
    interrupt(server, name, seconds)
    return b"{}"


def await_capacity(job: Job) -> bool:
    """Waits until an interrupted job may run again; False when it was ended meanwhile, and `job.cut` says why."""
    speedup, record = job.server.speedup, job.server.store.require("TrainingJob", job.name)
    limits, away = record["StoppingCondition"], record.get(_WITHOUT_CAPACITY, CAPACITY_SECONDS)
    may_run = limits["MaxRuntimeInSeconds"] - seconds_on_instances(record)
    may_wait = limits["MaxWaitTimeInSeconds"] - seconds_on_instances(record)
    # The wait that has only begun is the last of these, and counts nothing yet.
    may_wait -= _seconds_in(record, ("Interrupted",)) * speedup
    if away >= may_wait:
        job.begin_again(max(may_wait, 0) / speedup, may_run, TIMED_OUT)
        job.cancel(WAITED_TOO_LONG)
        return False
    left = may_wait - away
    return job.begin_again(away / speedup, min(may_run, left), TIMED_OUT if may_run <= left else WAITED_TOO_LONG)


def times(record: dict) -> dict[str, int]:
    """TrainingTimeInSeconds and BillableTimeInSeconds: what passed on instances, and what of it is paid for."""
    seconds = seconds_on_instances(record)
    share = PRICE_SHARE if record.get("EnableManagedSpotTraining") else 1
    return {"TrainingTimeInSeconds": math.ceil(seconds), "BillableTimeInSeconds": math.ceil(seconds * share)}


def seconds_on_instances(record: dict) -> float:
    """How long the current attempt had its instances, interruptions left out."""
    return _seconds_in(record, _ON_INSTANCES)


def _seconds_in(record: dict, statuses: tuple[str, ...]) -> float:
    transitions = record["SecondaryStatusTransitions"][record.get(ATTEMPT_BEGIN, 0) :]
    now = time.time()
    return sum(
        transition.get("EndTime", now) - transition["StartTime"]
        for transition in transitions
        if transition["Status"] in statuses
    )
