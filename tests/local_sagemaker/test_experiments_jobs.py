"""Jobs become components of the trials that their ExperimentConfig names, also those of pipelines."""

import time

import pipelined
import pytest
import submitted_jobs
from botocore.exceptions import ClientError


@pytest.fixture
def submit(client, bucket, role_arn, unique):
    """Submits jobs."""
    return submitted_jobs.Submitter(client, bucket, role_arn, unique)


@pytest.fixture
def experiment(sm, unique):
    """An ExperimentConfig whose experiment and trial exist."""
    config = {"ExperimentName": unique("experiment"), "TrialName": unique("trial")}
    sm.create_experiment(ExperimentName=config["ExperimentName"])
    sm.create_trial(**config)
    return config


def components_of(sm, number=1, status="Completed", **wanted):
    """The components of a trial or an experiment, once there are so many and they have a status."""
    deadline = time.monotonic() + 120
    while True:
        found = sm.list_trial_components(SortOrder="Ascending", **wanted)["TrialComponentSummaries"]
        if len(found) >= number and all(one["Status"]["PrimaryStatus"] == status for one in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_training_and_a_processing_job_are_components_of_their_trial(sm, submit, experiment):
    config = experiment | {"TrialComponentDisplayName": "Prepare"}
    processing = submit.process(["true"], image="local/tool", ExperimentConfig=config)
    training = submit.train(
        image="local/trainer",
        AlgorithmSpecification={
            "TrainingImage": "local/trainer",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", "-c", "true"],
        },
        ExperimentConfig=experiment,
    )
    found = components_of(sm, 2, TrialName=experiment["TrialName"])
    names = [f"{processing}-aws-processing-job", f"{training}-aws-training-job"]
    assert [one["TrialComponentName"] for one in found] == names
    assert [one["DisplayName"] for one in found] == ["Prepare", names[1]]
    sources = [one["TrialComponentSource"] for one in found]
    assert [source["SourceType"] for source in sources] == ["SageMakerProcessingJob", "SageMakerTrainingJob"]
    in_experiment = components_of(sm, 2, ExperimentName=experiment["ExperimentName"])
    assert [one["TrialComponentName"] for one in in_experiment] == names
    assert submit.trained(training)["ExperimentConfig"] == experiment


def test_a_job_without_a_trial_gets_one_of_its_own(sm, submit, experiment):
    config = {"ExperimentName": experiment["ExperimentName"]}
    name = submit.process(["true"], image="local/tool", ExperimentConfig=config)
    (found,) = components_of(sm, **config)
    assert found["TrialComponentName"] == f"{name}-aws-processing-job"
    trials = {one["TrialName"] for one in sm.list_trials(**config)["TrialSummaries"]}
    assert trials == {experiment["TrialName"], f"{name}-aws-trial"}


def test_a_failed_job_is_a_failed_component(sm, submit, experiment):
    name = submit.process(["sh", "-c", "exit 3"], image="local/tool", ExperimentConfig=experiment)
    (found,) = components_of(sm, status="Failed", TrialName=experiment["TrialName"])
    reason = submit.processed(name)["FailureReason"]
    assert found["Status"]["Message"] == f"Status: Failed, secondary status: Failed, failure reason: {reason}."


@pytest.mark.parametrize("member", ["ExperimentName", "TrialName", "RunName"])
def test_an_experiment_a_trial_and_a_run_of_a_job_exist(submit, experiment, unique, member):
    with pytest.raises(ClientError) as refused:
        submit.process(["true"], image="local/tool", ExperimentConfig=experiment | {member: unique("none")})
    assert refused.value.response["Error"]["Code"] == "ResourceNotFound"


def test_the_jobs_of_a_pipeline_are_in_the_trial_of_its_execution(sm, unique):
    pipelines = pipelined.Pipelines(sm, unique)
    config = {
        "ExperimentName": pipelined.get("Execution.PipelineName"),
        "TrialName": pipelined.get("Execution.PipelineExecutionId"),
    }
    name = pipelines.create(pipelined.processing("Prepare", "true"), PipelineExperimentConfig=config)
    arn = pipelines.start(name)
    told, _ = pipelines.ended(arn)
    assert told["PipelineExecutionStatus"] == "Succeeded"
    experiment = {"ExperimentName": name, "TrialName": arn.rpartition("/")[2]}
    assert told["PipelineExperimentConfig"] == experiment
    (component,) = components_of(sm, TrialName=experiment["TrialName"])
    (context,) = sm.list_contexts(SourceUri=arn)["ContextSummaries"]
    assert context["ContextType"] == "PipelineExecution"
    links = sm.list_associations(DestinationArn=context["ContextArn"])["AssociationSummaries"]
    assert [(link["SourceArn"], link["AssociationType"]) for link in links] == [
        (component["TrialComponentArn"], "AssociatedWith")
    ]
