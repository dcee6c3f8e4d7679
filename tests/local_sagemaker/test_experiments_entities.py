"""Experiments, trials and trial components are kept, found, changed and deleted as on AWS; runs have metrics."""

import time

import pytest
from botocore.exceptions import ClientError


def refusal(call, **request):
    """Code and message of the error that a call ends in."""
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def experiment(sm, unique):
    """The name of an experiment."""
    name = unique("experiment")
    sm.create_experiment(ExperimentName=name)
    return name


@pytest.fixture
def trial(sm, unique, experiment):
    """The name of a trial of the experiment."""
    name = unique("trial")
    sm.create_trial(TrialName=name, ExperimentName=experiment)
    return name


@pytest.fixture
def component(sm, unique):
    """The name of a trial component that is in no trial."""
    name = unique("component")
    sm.create_trial_component(TrialComponentName=name)
    return name


def test_an_experiment_is_kept_changed_and_deleted(sm, unique):
    name, tags = unique("Churn"), [{"Key": "lab", "Value": "churn"}]
    arn = sm.create_experiment(ExperimentName=name, Description="first", Tags=tags)["ExperimentArn"]
    assert arn.endswith(f":experiment/{name.lower()}")
    code, message = refusal(sm.create_experiment, ExperimentName=name.upper())
    assert code == "ValidationException"
    assert "already exists" in message
    found = sm.describe_experiment(ExperimentName=name)
    assert (found["DisplayName"], found["Description"]) == (name, "first")
    assert sm.list_tags(ResourceArn=arn)["Tags"] == tags
    sm.update_experiment(ExperimentName=name, DisplayName="Shown", Description="second")
    found = sm.describe_experiment(ExperimentName=name)
    assert (found["DisplayName"], found["Description"]) == ("Shown", "second")
    assert sm.delete_experiment(ExperimentName=name)["ExperimentArn"] == arn
    missing = ("ResourceNotFound", f"Experiment '{arn}' does not exist.")
    assert refusal(sm.describe_experiment, ExperimentName=name) == missing
    assert refusal(sm.update_experiment, ExperimentName=name) == missing


def test_what_has_parts_is_not_deleted(sm, experiment, trial, component):
    assert "has trials" in refusal(sm.delete_experiment, ExperimentName=experiment)[1]
    sm.associate_trial_component(TrialName=trial, TrialComponentName=component)
    assert "has trial components" in refusal(sm.delete_trial, TrialName=trial)[1]
    assert trial in refusal(sm.delete_trial_component, TrialComponentName=component)[1]
    sm.disassociate_trial_component(TrialName=trial, TrialComponentName=component)
    sm.delete_trial_component(TrialComponentName=component)
    sm.delete_trial(TrialName=trial)
    sm.delete_experiment(ExperimentName=experiment)


def test_a_trial_is_of_an_experiment_that_exists(sm, unique, experiment, trial):
    assert refusal(sm.create_trial, TrialName="t", ExperimentName=unique("none"))[0] == "ResourceNotFound"
    assert sm.describe_trial(TrialName=trial)["ExperimentName"] == experiment
    sm.update_trial(TrialName=trial, DisplayName="Shown")
    (found,) = sm.list_trials(ExperimentName=experiment)["TrialSummaries"]
    assert (found["TrialName"], found["DisplayName"]) == (trial, "Shown")
    assert refusal(sm.list_trials, ExperimentName=unique("none"))[0] == "ResourceNotFound"


def test_a_component_tells_what_it_took_gave_and_was(sm, unique):
    name = unique("Component")
    told = {
        "DisplayName": "prepare",
        "Status": {"PrimaryStatus": "InProgress", "Message": "half way"},
        "Parameters": {"rate": {"NumberValue": 0.5}, "kind": {"StringValue": "tree"}},
        "InputArtifacts": {"train": {"MediaType": "text/csv", "Value": "s3://data/train.csv"}},
        "OutputArtifacts": {"model": {"Value": "s3://data/model.tar.gz"}},
        "MetadataProperties": {"CommitId": "c0ffee"},
    }
    sm.create_trial_component(TrialComponentName=name, StartTime=1_700_000_000, **told)
    found = sm.describe_trial_component(TrialComponentName=name.lower())
    assert {member: found[member] for member in told} == told
    assert found["StartTime"].timestamp() == 1_700_000_000
    assert not {"Metrics", "EndTime", "Source"} & found.keys()
    sm.update_trial_component(
        TrialComponentName=name,
        Status={"PrimaryStatus": "Completed"},
        Parameters={"rate": {"NumberValue": 0.1}, "depth": {"NumberValue": 3}},
        ParametersToRemove=["kind"],
        InputArtifactsToRemove=["train"],
        OutputArtifacts={"report": {"Value": "s3://data/report"}},
        EndTime=1_700_000_100,
    )
    found = sm.describe_trial_component(TrialComponentName=name)
    assert found["Parameters"] == {"rate": {"NumberValue": 0.1}, "depth": {"NumberValue": 3}}
    assert "InputArtifacts" not in found
    assert set(found["OutputArtifacts"]) == {"model", "report"}
    assert found["Status"] == {"PrimaryStatus": "Completed"}


def test_components_are_listed_by_trial_and_experiment(sm, unique, experiment, trial, component):
    loose, other = unique("loose"), unique("other")
    sm.create_trial_component(TrialComponentName=loose)
    sm.create_trial(TrialName=other, ExperimentName=experiment)
    for name in (trial, other, trial):
        sm.associate_trial_component(TrialName=name, TrialComponentName=component)
    for wanted in ({"TrialName": trial}, {"ExperimentName": experiment}):
        found = sm.list_trial_components(**wanted)["TrialComponentSummaries"]
        assert [summary["TrialComponentName"] for summary in found] == [component]
    trials = sm.list_trials(TrialComponentName=component, SortBy="Name", SortOrder="Ascending")["TrialSummaries"]
    assert [summary["TrialName"] for summary in trials] == sorted([trial, other])
    assert "at most one" in refusal(sm.list_trial_components, TrialName=trial, ExperimentName=experiment)[1]
    pages = sm.get_paginator("list_trial_components").paginate(PaginationConfig={"PageSize": 3})
    every = [summary["TrialComponentName"] for page in pages for summary in page["TrialComponentSummaries"]]
    assert {loose, component} <= {*every}
    assert len(every) == len({*every})
    for call, request in (
        (sm.associate_trial_component, {"TrialName": unique("none"), "TrialComponentName": component}),
        (sm.associate_trial_component, {"TrialName": trial, "TrialComponentName": unique("none")}),
        (sm.list_trial_components, {"TrialName": unique("none")}),
    ):
        assert refusal(call, **request)[0] == "ResourceNotFound"


def test_experiments_are_listed_by_time_and_name(sm, unique):
    names = [unique(f"e{number}") for number in range(3)]
    for name in names:
        sm.create_experiment(ExperimentName=name)
    pages = sm.get_paginator("list_experiments").paginate(SortBy="Name", SortOrder="Ascending")
    listed = [summary["ExperimentName"] for page in pages for summary in page["ExperimentSummaries"]]
    assert [name for name in listed if name in names] == names
    assert sm.list_experiments(CreatedBefore=1_600_000_000)["ExperimentSummaries"] == []


def test_metrics_of_a_run_are_kept_summed_up_and_read_back(sm, client, unique, component):
    metrics, now = client("sagemaker-metrics"), int(time.time())
    values = [0.9, 0.5, 0.7, 0.1]
    data = [
        {"MetricName": "loss", "Timestamp": now - 300 + 60 * step, "Step": step, "Value": value}
        for step, value in enumerate(values)
    ]
    assert "Errors" not in metrics.batch_put_metrics(TrialComponentName=component, MetricData=data)
    late = [{"MetricName": "loss", "Timestamp": now - 15 * 86_400, "Value": 1.0}]
    refused = metrics.batch_put_metrics(TrialComponentName=component, MetricData=[*data[:1], *late])
    assert refused["Errors"] == [{"Code": "VALIDATION_ERROR", "MetricIndex": 1}]
    described = sm.describe_trial_component(TrialComponentName=component)
    (found,) = described["Metrics"]
    assert (found["MetricName"], found["SourceArn"]) == ("loss", described["TrialComponentArn"])
    assert (found["Min"], found["Max"], found["Last"], found["Count"]) == (0.1, 0.9, 0.1, 5)
    assert found["Avg"] == pytest.approx(3.1 / 5)
    assert found["StdDev"] == pytest.approx(0.2993, abs=1e-4)
    query = {"MetricName": "loss", "ResourceArn": described["TrialComponentArn"]}
    by_step = {"Period": "IterationNumber", "XAxisType": "IterationNumber"}
    asked = [
        query | by_step | {"MetricStat": "Last"},
        query | by_step | {"MetricStat": "Avg", "Start": 1, "End": 2},
        query | by_step | {"MetricStat": "Count"},
        query | {"MetricStat": "Max", "Period": "OneHour", "XAxisType": "Timestamp", "Start": 0},
        query | {"MetricStat": "Max", "Period": "OneHour", "XAxisType": "IterationNumber"},
        query | by_step | {"MetricStat": "Last", "ResourceArn": described["TrialComponentArn"] + "x"},
    ]
    results = metrics.batch_get_metrics(MetricQueries=asked)["MetricQueryResults"]
    assert [result["Status"] for result in results] == ["Complete"] * 4 + ["ValidationError"] * 2
    assert (results[0]["XAxisValues"], results[0]["MetricValues"]) == ([0, 1, 2, 3], values)
    assert (results[1]["XAxisValues"], results[1]["MetricValues"]) == ([1, 2], values[1:3])
    assert results[2]["MetricValues"] == [2.0, 1.0, 1.0, 1.0]
    assert max(results[3]["MetricValues"]) == 0.9
    assert all(place % 3600 == 0 for place in results[3]["XAxisValues"])
    assert "IterationNumber" in results[4]["Message"]
    with pytest.raises(ClientError) as missing:
        metrics.batch_put_metrics(TrialComponentName=unique("none"), MetricData=data[:1])
    assert missing.value.response["Error"]["Code"] == "ResourceNotFound"
    sm.delete_trial_component(TrialComponentName=component)
    sm.create_trial_component(TrialComponentName=component)
    assert "Metrics" not in sm.describe_trial_component(TrialComponentName=component)
