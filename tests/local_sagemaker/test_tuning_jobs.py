"""Tuning jobs that really train: their strategies, limits, ends, listings and warm starts."""

import pytest
import submitted_jobs
import tuned
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def tuning(client, bucket, role_arn):
    """Creates tuning jobs."""
    return tuned.Tuning(submitted_jobs.Submitter(client, bucket, role_arn, lambda prefix: f"{prefix}-tuned"))


@pytest.fixture(scope="module")
def searched(tuning):
    """A Bayesian tuning job that has ended, and its training jobs."""
    name = tuning.create(
        "searched", "Bayesian", jobs=5, config={"RandomSeed": 4}, Tags=[{"Key": "team", "Value": "risk"}]
    )
    return tuning.ended(name), tuning.jobs(name)


def x(summary: dict) -> float:
    """The tuned value of a training job."""
    return float(summary["TunedHyperParameters"]["x"])


def objective(summary: dict) -> float:
    """Its final objective."""
    return summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


def test_a_tuning_job_runs_its_training_jobs_and_names_the_best(searched):
    job, jobs = searched
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["HyperParameterTuningEndTime"] > job["CreationTime"]
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 5,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 5, "Pending": 0, "Failed": 0}
    assert [objective(each) for each in jobs] == pytest.approx([(x(each) - 3) ** 2 for each in jobs], abs=1e-5)
    best = job["BestTrainingJob"]
    assert objective(best) == min(map(objective, jobs))
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Type"] == "Minimize"
    assert "OverallBestTrainingJob" not in job
    assert job["ConsumedResources"]["RuntimeInSeconds"] >= 1


def test_training_jobs_belong_to_their_tuning_job(tuning, searched):
    job, jobs = searched
    for number, summary in enumerate(sorted(jobs, key=lambda each: each["CreationTime"]), 1):
        assert summary["TrainingJobName"].startswith(f"searched-{number:03}-")
        assert summary["TuningJobName"] == "searched"
        training = tuning.sm.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        assert training["TuningJobArn"] == job["HyperParameterTuningJobArn"]
        assert training["HyperParameters"]["x"] == summary["TunedHyperParameters"]["x"]
        assert training["HyperParameters"]["_tuning_objective_metric"] == "loss"
        assert tuning.sm.list_tags(ResourceArn=training["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "risk"}]
    tags = tuning.sm.list_tags(ResourceArn=job["HyperParameterTuningJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "risk"}]


def test_no_more_training_jobs_run_at_once_than_allowed(searched):
    _, jobs = searched
    moments = sorted([(each["CreationTime"], 1) for each in jobs] + [(each["TrainingEndTime"], -1) for each in jobs])
    running = [sum(step for _, step in moments[: number + 1]) for number in range(len(moments))]
    assert max(running) == 2


def test_training_jobs_are_listed_by_objective_status_and_page(tuning, searched):
    _, jobs = searched
    by_objective = tuning.jobs("searched", SortBy="FinalObjectiveMetricValue", MaxResults=2)
    assert [objective(each) for each in by_objective] == sorted(map(objective, jobs))
    names = [each["TrainingJobName"] for each in jobs]
    assert names == sorted(names)
    backwards = tuning.jobs("searched", SortBy="Name", SortOrder="Descending", MaxResults=3)
    assert [each["TrainingJobName"] for each in backwards] == names[::-1]
    assert tuning.jobs("searched", StatusEquals="Failed") == []
    assert len(tuning.jobs("searched", StatusEquals="Completed")) == 5


def test_a_seed_repeats_the_search(tuning, searched):
    name = tuning.create("repeated", "Random", jobs=2, parallel=1, config={"RandomSeed": 4})
    tuning.ended(name)
    other = tuning.create("other", "Random", jobs=2, parallel=1, config={"RandomSeed": 5})
    tuning.ended(other)
    _, jobs = searched
    # The first proposals of a Bayesian search are drawn as those of a random one are.
    assert sorted(map(x, tuning.jobs(name))) == sorted(
        x(each) for each in jobs if each["TrainingJobName"] < "searched-003"
    )
    assert set(map(x, tuning.jobs(name))).isdisjoint(map(x, tuning.jobs(other)))


def test_a_grid_runs_every_combination_of_every_definition(tuning):
    loss = {"Type": "Minimize", "MetricName": "loss"}
    definitions = [
        tuning.definition(DefinitionName="one", TuningObjective=loss, HyperParameterRanges=tuned.categories(1, 2)),
        tuning.definition(DefinitionName="two", TuningObjective=loss, HyperParameterRanges=tuned.categories(3)),
    ]
    name = tuning.create("grid", "Grid", None, 3, ranges=None, TrainingJobDefinitions=definitions)
    job = tuning.ended(name)
    found = [(each["TrainingJobDefinitionName"], x(each), objective(each)) for each in tuning.jobs(name)]
    assert sorted(found) == [("one", 1, 4), ("one", 2, 1), ("two", 3, 0)]
    assert job["BestTrainingJob"]["TrainingJobDefinitionName"] == "two"


def test_a_target_ends_the_search_and_the_jobs_that_run(tuning):
    name = tuning.create(
        "target",
        "Grid",
        None,
        2,
        ranges=tuned.categories(3, 900, 901, 902),
        definition=tuning.definition(
            tuned.PARABOLA.replace("for epoch", "given['pause'] = 0 if x == 3 else 60\nfor epoch")
        ),
        config={"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.5}},
    )
    job = tuning.ended(name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert x(job["BestTrainingJob"]) == 3
    assert job["TrainingJobStatusCounters"]["Stopped"] == len(tuning.jobs(name)) - 1 >= 1
    assert len(tuning.jobs(name)) < 4


def test_a_search_that_does_not_improve_ends(tuning):
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    name = tuning.create(
        "stuck", "Grid", None, 1, tuned.categories(3, 5, 6, 7, 8), config={"TuningJobCompletionCriteria": criteria}
    )
    job = tuning.ended(name)
    assert job["TrainingJobStatusCounters"]["Completed"] == 4
    assert job["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3


def test_hyperband_stops_the_jobs_that_others_outrun_and_all_at_the_most_epochs(tuning):
    slow = tuning.definition(static={"epochs": 400, "pause": 0.15})
    name = tuning.create(
        "hyperband",
        "Hyperband",
        jobs=5,
        parallel=3,
        definition=slow,
        config={
            "RandomSeed": 1,
            "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 18}},
        },
    )
    job = tuning.ended(name)
    assert job["TrainingJobStatusCounters"]["Stopped"] == 5
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 5
    lengths = {}
    for each in tuning.jobs(name):
        lines = tuning.submit.log(each["TrainingJobName"])
        lengths[objective(each)] = sum(line.startswith("loss=") for line in lines)
    assert all(length >= 2 for length in lengths.values())
    assert max(lengths.values()) >= 18
    assert max(lengths.values()) < 400
    assert sum(length < 18 for length in lengths.values()) >= 2
    # Whoever ran to the end is better than whoever was stopped first.
    assert min(objective for objective, length in lengths.items() if length >= 18) == min(lengths)


def test_early_stopping_ends_what_is_worse_than_the_median(tuning):
    program = tuned.PARABOLA.replace("for epoch", "given['pause'] = 0.2 if x > 9 else 0\nfor epoch")
    name = tuning.create(
        "median",
        "Grid",
        None,
        1,
        tuned.categories(3, 4, 5, 10),
        definition=tuning.definition(program, static={"epochs": 300}),
        config={"TrainingJobEarlyStoppingType": "Auto"},
    )
    job = tuning.ended(name)
    assert job["TrainingJobStatusCounters"]["Completed"] == 3
    [stopped] = tuning.jobs(name, StatusEquals="Stopped")
    assert x(stopped) == 10
    assert stopped["ObjectiveStatus"] == "Succeeded"


def test_a_stopped_tuning_job_stops_its_training_jobs(tuning):
    name = tuning.create("stopped", definition=tuning.definition(static={"pause": 60}))
    tuning.when(name, lambda job: job["TrainingJobStatusCounters"]["InProgress"] == 2)
    with pytest.raises(ClientError, match="ResourceInUse"):
        tuning.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    tuning.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = tuning.ended(name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert {each["TrainingJobStatus"] for each in tuning.jobs(name)} == {"Stopped"}
    assert len(tuning.jobs(name)) == 2
    with pytest.raises(ClientError, match="in status Stopped"):
        tuning.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def test_single_failures_are_put_up_with(tuning):
    program = tuned.PARABOLA + "\nassert x < 5, 'too large'"
    name = tuning.create("some", "Grid", None, 2, tuned.categories(1, 3, 7), definition=tuning.definition(program))
    job = tuning.ended(name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 1}
    [failed] = tuning.jobs(name, StatusEquals="Failed")
    assert "too large" in failed["FailureReason"]
    assert "FinalHyperParameterTuningJobObjectiveMetric" not in failed
    assert len(tuning.jobs(name, SortBy="FinalObjectiveMetricValue")) == 2


@pytest.mark.parametrize(
    ("name", "program", "values", "reason"),
    [
        ("broken", "1 / 0", range(9), "No training job succeeded after 5 attempts"),
        ("broken-few", "1 / 0", range(2), "All training jobs failed"),
        ("silent", "print('nothing')", range(9), "No objective metrics found after running 5 training jobs"),
    ],
)
def test_a_search_without_any_success_fails(tuning, name, program, values, reason):
    definition = tuning.definition(program)
    tuning.create(name, "Grid", None, 1, tuned.categories(*values), definition=definition)
    job = tuning.ended(name)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "BestTrainingJob" not in job
    assert len(tuning.jobs(name)) == min(5, len(values))


def parents(kind: str, *names: str) -> dict:
    """A WarmStartConfig."""
    return {
        "WarmStartType": kind,
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in names],
    }


def test_a_warm_start_learns_from_its_parents_and_keeps_the_overall_best(tuning):
    for parent, values in (("parent-a", (3, 3.5)), ("parent-b", (8, 9))):
        tuning.create(parent, "Grid", None, 2, tuned.categories(*values))
        tuning.ended(parent)
    config = parents("IdenticalDataAndAlgorithm", "parent-a", "parent-b")
    name = tuning.create("child", "Bayesian", 1, 1, config={"RandomSeed": 9}, WarmStartConfig=config)
    # The child has copies of what its parents know.
    tuning.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="parent-a")
    job = tuning.ended(name)
    assert job["WarmStartConfig"] == config
    assert x(job["OverallBestTrainingJob"]) == 3
    assert job["OverallBestTrainingJob"]["TuningJobName"] == "parent-a"
    assert x(job["BestTrainingJob"]) != 3
    cold = tuning.create("cold", "Bayesian", 1, 1, config={"RandomSeed": 9})
    assert x(tuning.ended(cold)["BestTrainingJob"]) != x(job["BestTrainingJob"])
    config = parents("TransferLearning", "parent-b")
    moved = tuning.create("moved", "Bayesian", 1, 1, WarmStartConfig=config)
    assert "OverallBestTrainingJob" not in tuning.ended(moved)


def test_a_warm_start_from_what_does_not_go_with_it_is_refused(tuning, searched):
    other = tuning.definition(static={"depth": 1})
    for config, definition, message in (
        (parents("TransferLearning", "nobody"), None, "nobody does not exist"),
        (parents("TransferLearning", "searched", "searched"), None, "needs a name of its own"),
        (parents("IdenticalDataAndAlgorithm", "searched"), other, "has another set of hyperparameters"),
    ):
        with pytest.raises(ClientError, match=message):
            tuning.create("refused", definition=definition, WarmStartConfig=config)
    running = tuning.create("running", definition=tuning.definition(static={"pause": 60}))
    with pytest.raises(ClientError, match="it must have ended"):
        tuning.create("refused", WarmStartConfig=parents("TransferLearning", running))
    tuning.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=running)
    tuning.ended(running)


def test_tuning_jobs_are_listed_and_deleted(tuning, searched):
    name = tuning.create("listed", "Grid", None, 2, tuned.categories(1, 2))
    tuning.ended(name)
    listed = tuning.sm.list_hyper_parameter_tuning_jobs
    found = listed(NameContains="listed", StatusEquals="Completed")["HyperParameterTuningJobSummaries"]
    assert [(each["HyperParameterTuningJobName"], each["Strategy"]) for each in found] == [(name, "Grid")]
    assert found[0]["ResourceLimits"] == {"MaxParallelTrainingJobs": 2}
    page = listed(MaxResults=1, SortOrder="Ascending")
    following = listed(MaxResults=1, SortOrder="Ascending", NextToken=page["NextToken"])
    first, second = (answer["HyperParameterTuningJobSummaries"][0] for answer in (page, following))
    assert first["HyperParameterTuningJobName"] < second["HyperParameterTuningJobName"]
    training = tuning.jobs(name)[0]["TrainingJobName"]
    tuning.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    for call in (tuning.described, tuning.jobs):
        with pytest.raises(ClientError, match=r"ResourceNotFound.*can't find a tuning job"):
            call(name)
    assert tuning.sm.describe_training_job(TrainingJobName=training)["TrainingJobStatus"] == "Completed"


def test_trials_are_remembered_when_their_training_jobs_are_deleted(tuning):
    name = tuning.create("kept", "Grid", None, 2, tuned.categories(1, 3))
    tuning.ended(name)
    for each in tuning.jobs(name):
        tuning.sm.delete_training_job(TrainingJobName=each["TrainingJobName"])
    assert sorted(map(objective, tuning.jobs(name))) == [0, 4]
