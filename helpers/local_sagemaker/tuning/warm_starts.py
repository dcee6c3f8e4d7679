"""Warm starts: what a tuning job learns from tuning jobs before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.job_records import UNFINISHED
from helpers.local_sagemaker.tuning import definitions, trials, tuner
from helpers.local_sagemaker.tuning.definitions import Definition

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_IDENTICAL = "IdenticalDataAndAlgorithm"
_MOST_LEARNED = 500


def learn(server: Server, config: dict | None, given: list[Definition]) -> dict:
    """The private members of a tuning job's record that its parents give: copies, as a parent may be deleted.

    Raises:
        AwsError: `ValidationException`; a parent is missing, still runs, or does not go with the new tuning job.
    """
    if config is None:
        return {tuner.HISTORY: []}
    if len(given) > 1:
        raise errors.validation("WarmStartConfig goes with a single TrainingJobDefinition.")
    identical = config["WarmStartType"] == _IDENTICAL
    found: list[dict] = []
    for parent in _names(config):
        record = server.store.get(tuner.KIND, parent)
        if record is None:
            raise errors.validation(f"The parent hyperparameter tuning job {parent} does not exist.")
        if record["HyperParameterTuningJobStatus"] in UNFINISHED:
            raise errors.validation(
                f"The parent hyperparameter tuning job {parent} is in status "
                f"{record['HyperParameterTuningJobStatus']}: it must have ended."
            )
        _check_parent(definitions.of(record), given[0], parent, identical)
        found += [trial for trial in trials.of(server, parent) if trials.value(trial) is not None]
    found.sort(key=lambda trial: trial["CreationTime"])
    learned = {
        tuner.HISTORY: [[trial[trials.HYPERPARAMETERS], trials.value(trial)] for trial in found[-_MOST_LEARNED:]]
    }
    best = trials.best(found, given[0].minimize)
    return learned | ({tuner.PARENTS_BEST: trials.public(best)} if best and identical else {})


def _names(config: dict) -> list[str]:
    names = [parent.get("HyperParameterTuningJobName") for parent in config["ParentHyperParameterTuningJobs"]]
    if None in names or len(set(names)) < len(names):
        raise errors.validation("Each of the ParentHyperParameterTuningJobs needs a name of its own.")
    return names


def _check_parent(parents: list[Definition], new: Definition, name: str, identical: bool) -> None:
    if len(parents) > 1:
        raise errors.validation(f"The parent hyperparameter tuning job {name} has several TrainingJobDefinitions.")
    parent = parents[0]
    if parent.objective != new.objective:
        raise errors.validation(f"The parent hyperparameter tuning job {name} has another objective metric.")
    if not identical:
        return
    for what, of in {
        "training image": lambda each: each.training["AlgorithmSpecification"].get("TrainingImage"),
        "set of hyperparameters": lambda each: each.static.keys() | {tuned.name for tuned in each.parameters},
    }.items():
        if of(parent) != of(new):
            raise errors.validation(
                f"The parent hyperparameter tuning job {name} has another {what}, which WarmStartType {_IDENTICAL} "
                "does not allow."
            )
