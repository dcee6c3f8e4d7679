"""A tuning job whose server is stopped goes on at the next start."""

import contextlib
import time

import pytest
import submitted_jobs
import tuned

from helpers import local_sagemaker
from helpers.local_sagemaker.state import Store
from helpers.local_sagemaker.tuning import tuner


@pytest.fixture
def restarted(tmp_path, client_of, role_arn, unique):
    """`restarted()` stops the server of a home, if it runs, and starts it; the result creates tuning jobs."""

    def restart(change: object = lambda store: None) -> tuned.Tuning:
        local_sagemaker.stop(tmp_path)
        with contextlib.closing(Store(tmp_path / "state.db")) as store:
            change(store)
        client = client_of(local_sagemaker.start(tmp_path))
        with contextlib.suppress(client("s3").exceptions.BucketAlreadyOwnedByYou):
            client("s3").create_bucket(Bucket="restarted")
        return tuned.Tuning(submitted_jobs.Submitter(client, "restarted", role_arn, unique))

    yield restart
    local_sagemaker.stop(tmp_path)


def pausing(tuning: tuned.Tuning) -> dict:
    """A definition whose training jobs take a minute where x is 2."""
    return tuning.definition(tuned.PARABOLA.replace("for epoch", "given['pause'] = 60 * (x == 2)\nfor epoch"))


def test_what_ended_counts_and_what_was_cut_short_is_tried_again(restarted):
    tuning = restarted()
    tuning.create("grid", "Grid", None, 1, tuned.categories(1, 2, 3), definition=pausing(tuning))
    tuning.when("grid", lambda job: job["TrainingJobStatusCounters"]["Completed"] == 1)
    tuning.when("grid", lambda job: len(tuning.jobs("grid")) == 2)
    plain = tuning.definition()["StaticHyperParameters"]["sagemaker_submit_directory"]

    def without_pause(store: Store) -> None:
        definition = store.require(tuner.KIND, "grid")["TrainingJobDefinition"]
        definition["StaticHyperParameters"]["sagemaker_submit_directory"] = plain
        store.update(tuner.KIND, "grid", TrainingJobDefinition=definition)

    tuning = restarted(without_pause)
    job = tuning.ended("grid")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    told = [(each["TunedHyperParameters"]["x"], each["TrainingJobStatus"]) for each in tuning.jobs("grid")]
    assert told == [("1", "Completed"), ("2", "Failed"), ("2", "Completed"), ("3", "Completed")]
    counters = job["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["RetryableError"], counters["NonRetryableError"]) == (3, 1, 0)


def test_a_tuning_job_that_was_stopping_is_stopped(restarted):
    tuning = restarted()
    tuning.create("stopping", "Grid", None, 1, tuned.categories(2, 3), definition=pausing(tuning))
    tuning.when("stopping", lambda job: job["TrainingJobStatusCounters"]["InProgress"] == 1)

    def is_stopping(store: Store) -> None:
        store.update(tuner.KIND, "stopping", HyperParameterTuningJobStatus="Stopping")

    tuning = restarted(is_stopping)
    assert tuning.ended("stopping")["HyperParameterTuningJobStatus"] == "Stopped"
    assert len(tuning.jobs("stopping")) == 1


def test_the_time_of_a_tuning_job_counts_from_its_creation(restarted):
    tuning = restarted()
    config = {"ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 10_000}}
    ranges = tuned.categories(1, 2, 3)
    tuning.create("timed", "Grid", None, ranges=ranges, definition=pausing(tuning), config=config)
    tuning.when("timed", lambda job: job["TrainingJobStatusCounters"]["Completed"] == 1)
    tuning.when("timed", lambda job: len(tuning.jobs("timed")) == 2)
    tuning = restarted(lambda store: store.update(tuner.KIND, "timed", CreationTime=time.time() - 10_001))
    job = tuning.ended("timed")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert [each["TrainingJobStatus"] for each in tuning.jobs("timed")] == ["Completed", "Failed"]
    assert job["ConsumedResources"]["RuntimeInSeconds"] > 10_000
