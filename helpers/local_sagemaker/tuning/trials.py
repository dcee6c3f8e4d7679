"""The training jobs of tuning jobs: what each tries, and what became of it; kept also when the training job is gone."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import TYPE_CHECKING

from helpers.local_sagemaker.arns import arn

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = "HyperParameterTrainingJob"
# Private members. Of a training job: all values of its objective. Of a trial: these, its place in the search, its
# tries there, and all of its hyperparameters.
CURVE, PLACE, TRY, HYPERPARAMETERS = "_Curve", "_Place", "_Try", "_HyperParameters"
PENDING, SUCCEEDED, FAILED = "Pending", "Succeeded", "Failed"
_OF_JOB = ("CreationTime", "TrainingStartTime", "TrainingEndTime", "TrainingJobStatus", "FailureReason")
_COUNTED = {"Completed": "Completed", "InProgress": "InProgress", "Stopping": "InProgress", "Stopped": "Stopped"}
_RETRYABLE = "InternalServerError"


def owner(server: Server, training_job_name: str) -> dict:
    """The `TuningJobArn` of a training job that a tuning job starts, nothing for another one."""
    trial = server.store.get(KIND, training_job_name)
    return {"TuningJobArn": arn("hyper-parameter-tuning-job", trial["TuningJobName"])} if trial else {}


def of(server: Server, tuning_job_name: str) -> list[dict]:
    """The trials of a tuning job, each a HyperParameterTrainingJobSummary as it was last written down."""
    return [trial for trial in server.store.list(KIND) if trial["TuningJobName"] == tuning_job_name]


def with_job(trial: dict, job: dict | None) -> dict:
    """A trial with what its training job tells, which is None before it is created."""
    return trial | {member: job[member] for member in _OF_JOB if job and member in job}


def ended(trial: dict, job: dict, objective: dict) -> dict:
    """A trial whose training job has ended, with its objective.

    Args:
        trial: the trial.
        job: the training job.
        objective: `Type` and `MetricName`.
    """
    final = {metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", ())}
    value = None if job["TrainingJobStatus"] == "Failed" else final.get(objective["MetricName"])
    trial = with_job(trial, job) | {"ObjectiveStatus": FAILED, CURVE: job.get(CURVE, [])}
    if value is None:
        return trial
    metric = objective | {"Value": value}
    return trial | {"ObjectiveStatus": SUCCEEDED, "FinalHyperParameterTuningJobObjectiveMetric": metric}


def is_retryable(trial: dict) -> bool:
    """Whether the server's own end is why the training job failed."""
    return trial["TrainingJobStatus"] == "Failed" and trial.get("FailureReason", "").startswith(_RETRYABLE)


def value(trial: dict) -> float | None:
    """The final objective, if there is one."""
    return trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")


def best(found: Iterable[dict], minimize: bool) -> dict | None:
    """The trial with the best objective, the earliest of equals."""
    succeeded = [trial for trial in found if value(trial) is not None]
    return min(succeeded, key=lambda trial: value(trial) if minimize else -value(trial), default=None)


def public(trial: dict) -> dict:
    """A trial without its private members."""
    return {name: member for name, member in trial.items() if not name.startswith("_")}


def counters(found: Iterable[dict]) -> dict:
    """The TrainingJobStatusCounters and ObjectiveStatusCounters of trials."""
    jobs = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
    objectives = dict.fromkeys((SUCCEEDED, PENDING, FAILED), 0)
    for status, count in collections.Counter(map(_counter, found := list(found))).items():
        jobs[status] = count
    for trial in found:
        objectives[trial["ObjectiveStatus"]] += 1
    return {"TrainingJobStatusCounters": jobs, "ObjectiveStatusCounters": objectives}


def _counter(trial: dict) -> str:
    failed = "RetryableError" if is_retryable(trial) else "NonRetryableError"
    return _COUNTED.get(trial["TrainingJobStatus"], failed)
