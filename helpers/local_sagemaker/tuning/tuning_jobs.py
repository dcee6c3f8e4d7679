"""The operations of tuning jobs."""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, job_records, kinds, listing, training
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.tuning import definitions, trials, tuner, warm_starts
from helpers.local_sagemaker.tuning.definitions import Definition
from helpers.local_sagemaker.tuning.search import EPOCHS, MAX_JOBS, Search

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register(
    tuner.KIND,
    "hyper-parameter-tuning-job",
    "hyperparameter tuning job",
    taken=kinds.JOB_TAKEN,
    missing=(
        kinds.NOT_FOUND,
        "Amazon SageMaker can't find a tuning job with the name {name}. Confirm the tuning job name and try again.",
    ),
)
_TOLD = ("TrainingJobDefinition", "TrainingJobDefinitions", "WarmStartConfig")
_MOST_EPOCHS = 20_000
_NAME = "HyperParameterTuningJobName"
# Of a training job's name, so that a definition can be checked as the request that will come of it.
_SAMPLE = "sample"


@operation("CreateHyperParameterTuningJob")
def create_hyper_parameter_tuning_job(server: Server, request: dict) -> dict:
    """Checks the request, and starts the search."""
    name, config = request[_NAME], request["HyperParameterTuningJobConfig"]
    if server.store.get(KIND, name):
        raise kinds.of(KIND).already_exists(name)
    given = definitions.of(request)
    _check_strategy(config, given)
    for definition in given:
        training.check(server, definition.training_request(_SAMPLE, {}, []))
    learned = warm_starts.learn(server, request.get("WarmStartConfig"), given)
    arn = server.arn("hyper-parameter-tuning-job", name)
    record = {
        _NAME: name,
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobConfig": config,
        **{member: request[member] for member in _TOLD if member in request},
        "HyperParameterTuningJobStatus": "InProgress",
        "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": 0},
        **trials.counters([]),
        **learned,
        tuner.SEED: config.get("RandomSeed", secrets.randbelow(2**31)),
    }
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    server.tuners.begin(name)
    return {"HyperParameterTuningJobArn": arn}


def _check_strategy(config: dict, given: list[Definition]) -> None:
    strategy, search = config["Strategy"], Search(config, given)
    if not all(definition.parameters for definition in given):
        raise errors.validation("Each training job definition needs at least one hyperparameter range.")
    if strategy == "Grid":
        _check_grid(config["ResourceLimits"], search.jobs, given)
    if search.jobs > MAX_JOBS:
        raise errors.limit_exceeded(
            "The account-level service limit 'Maximum number of training jobs per hyperparameter tuning job' is "
            f"{MAX_JOBS}: the request asks for {search.jobs}."
        )
    if strategy == "Hyperband":
        _check_hyperband(config, search, given)
    elif "StrategyConfig" in config:
        raise errors.validation("StrategyConfig is only supported for the Hyperband strategy.")


def _check_grid(limits: dict, cells: int, given: list[Definition]) -> None:
    if not all(parameter.values for definition in given for parameter in definition.parameters):
        raise errors.validation("The Grid strategy supports categorical hyperparameters only.")
    if limits.get("MaxNumberOfTrainingJobs", cells) != cells:
        raise errors.validation(
            f"MaxNumberOfTrainingJobs must be the number of combinations of the grid, {cells}, or be left out, "
            f"got {limits['MaxNumberOfTrainingJobs']}."
        )


def _check_hyperband(config: dict, search: Search, given: list[Definition]) -> None:
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise errors.validation(
            "TrainingJobEarlyStoppingType must be Off for the Hyperband strategy, which stops training jobs itself."
        )
    for least, most in map(search.resources, given):
        if most is None:
            raise errors.validation(
                "The Hyperband strategy needs MaxResource in HyperbandStrategyConfig, or one of the static "
                f"hyperparameters {', '.join(EPOCHS)}."
            )
        if not least < most <= _MOST_EPOCHS:
            raise errors.validation(
                f"MaxResource must be above MinResource and at most {_MOST_EPOCHS}, got {least} to {most}."
            )


@operation("DescribeHyperParameterTuningJob")
def describe_hyper_parameter_tuning_job(server: Server, request: dict) -> dict:
    """The whole record, with the time that it has run."""
    record = server.store.require(KIND, request[_NAME])
    return {"ConsumedResources": {"RuntimeInSeconds": math.ceil(time.time() - record["CreationTime"])}} | record


@operation("ListHyperParameterTuningJobs")
def list_hyper_parameter_tuning_jobs(server: Server, request: dict) -> dict:
    """One page of summaries, by name in the first place."""
    records = [
        record
        | {
            "Strategy": record["HyperParameterTuningJobConfig"]["Strategy"],
            "ResourceLimits": record["HyperParameterTuningJobConfig"]["ResourceLimits"],
        }
        for record in server.store.list(KIND)
    ]
    page = listing.page(records, {"SortBy": "Name"} | request, _NAME, "HyperParameterTuningJobStatus", "Ascending")
    return listing.response("HyperParameterTuningJobSummaries", *page)


@operation("StopHyperParameterTuningJob")
def stop_hyper_parameter_tuning_job(server: Server, request: dict) -> None:
    """Asks for the end of the tuning job and of its training jobs; what they have made stays."""
    job_records.stop(server, KIND, request[_NAME])
    server.tuners.wake(request[_NAME])


@operation("DeleteHyperParameterTuningJob")
def delete_hyper_parameter_tuning_job(server: Server, request: dict) -> None:
    """Forgets a tuning job that ended; its training jobs stay."""
    with server.store.transaction():
        job_records.delete(server, KIND, request[_NAME])
        for trial in trials.of(server, request[_NAME]):
            server.store.delete(trials.KIND, trial["TrainingJobName"])


@operation("ListTrainingJobsForHyperParameterTuningJob")
def list_training_jobs_for_hyper_parameter_tuning_job(server: Server, request: dict) -> dict:
    """One page of summaries, by name in the first place; by their objective, only those that have one."""
    server.store.require(KIND, request[_NAME])
    found = [
        trials.with_job(trial, server.store.get(training.KIND, trial["TrainingJobName"]))
        if trial["ObjectiveStatus"] == trials.PENDING
        else trial
        for trial in trials.of(server, request[_NAME])
    ]
    request = {"SortBy": "Name"} | request
    if request["SortBy"] == "FinalObjectiveMetricValue":
        found = [trial | {request["SortBy"]: trials.value(trial)} for trial in found if trials.value(trial) is not None]
    page = listing.page(found, request, "TrainingJobName", "TrainingJobStatus", "Ascending")
    return listing.response("TrainingJobSummaries", *page)
