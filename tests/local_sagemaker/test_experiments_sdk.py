"""Unmodified programs of the SageMaker Python SDK 3: runs of an experiment, in a notebook and in a job; lineage."""

import pytest
from sdk_programs import run_program

from helpers.local_sagemaker import Running

PROGRAM = '''
import json, logging, sys, time
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from sagemaker.core.experiments.experiment import Experiment
from sagemaker.core.experiments.run import Run, list_runs, load_run
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.lineage.query import LineageFilter, LineageQuery, LineageQueryDirectionEnum
from sagemaker.core.lineage.visualizer import LineageTableVisualizer

IN_JOB = """
from sagemaker.core.experiments.run import load_run
with load_run() as run:
    run.log_parameter("told", "by the job")
    run.log_metric("rows", 40)
"""
session = Session()
sm, s3 = session.sagemaker_client, session.boto_session.client("s3")
bucket = session.default_bucket()
s3.put_object(Bucket=bucket, Key="runs/code/job.py", Body=IN_JOB)
Path("notes.txt").write_text("seven trees")
tags = [{"Key": "lab", "Value": "2"}]
with Run(experiment_name="Churn-SDK", run_name="First", sagemaker_session=session, tags=tags) as run:
    run.log_parameter("rate", 0.5)
    run.log_parameters({"depth": 3, "kind": "tree"})
    for step in range(12):
        run.log_metric("loss", 12 - step, step=step)
    run.log_artifact("data", "s3://somewhere/train.csv", is_output=False)
    run.log_file("notes.txt", name="notes", is_output=True)
    run.log_precision_recall([0, 1, 1], [0.1, 0.8, 0.9], title="curve")
    with load_run(sagemaker_session=session) as same:
        same.log_parameter("seed", 7)
    config = run.experiment_config
with load_run(experiment_name="Churn-SDK", run_name="First", sagemaker_session=session) as again:
    again.log_parameter("again", 1)
try:
    with Run(experiment_name="Churn-SDK", run_name="Second", sagemaker_session=session):
        raise ValueError("no data")
except ValueError:
    pass
source = {"S3Uri": f"s3://{bucket}/runs/code/", "LocalPath": "/opt/ml/processing/input/code"}
sm.create_processing_job(
    ProcessingJobName="churn-sdk-job", RoleArn=sys.argv[1], ExperimentConfig=config,
    AppSpecification={
        "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/job.py"],
    },
    ProcessingInputs=[
        {"InputName": "code", "S3Input": source | {"S3DataType": "S3Prefix", "S3InputMode": "File"}},
    ],
    ProcessingResources={
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    },
)
while (job := sm.describe_processing_job(ProcessingJobName="churn-sdk-job"))["ProcessingJobStatus"] == "InProgress":
    time.sleep(1)
described = sm.describe_trial_component(TrialComponentName=config["RunName"])
second = sm.describe_trial_component(TrialComponentName="churn-sdk-second")
produced = sm.list_associations(SourceArn=described["TrialComponentArn"])["AssociationSummaries"]
result = LineageQuery(session).query(
    start_arns=[described["TrialComponentArn"]], direction=LineageQueryDirectionEnum.DESCENDANTS,
    query_filter=LineageFilter(sources=["PrecisionRecallCurve"]),
)
curve = next(vertex for vertex in result.vertices if vertex.lineage_entity == "Artifact").to_lineage_object()
table = LineageTableVisualizer(session).show(processing_job_name="churn-sdk-job")
told = {
    "config": config,
    "parameters": {name: list(value.values())[0] for name, value in described["Parameters"].items()},
    "metrics": {m["MetricName"]: [m["Count"], m["Min"], m["Max"], m["Last"]] for m in described["Metrics"]},
    "inputs": {name: value["Value"] for name, value in described["InputArtifacts"].items()},
    "outputs": sorted(described["OutputArtifacts"]),
    "statuses": [described["Status"], second["Status"]],
    "runs": [run.run_name for run in list_runs(experiment_name="Churn-SDK", sagemaker_session=session)],
    "produced": [link["DestinationType"] for link in produced],
    "curve": curve.source.source_uri,
    "trials": [one.trial_name for one in Experiment.load("churn-sdk", sagemaker_session=session).list_trials()],
    "job": [job["ProcessingJobStatus"], job.get("FailureReason")],
    "table": table.values.tolist(),
}
print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def told(server: Running, role_arn: str, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the program told."""
    return run_program(server, tmp_path_factory.mktemp("sdk-runs"), PROGRAM, role_arn)[0]


def test_a_run_logs_parameters_metrics_and_artifacts(told):
    config = {"ExperimentName": "churn-sdk", "TrialName": "Default-Run-Group-churn-sdk", "RunName": "churn-sdk-first"}
    assert told["config"] == config
    logged = {"rate": 0.5, "depth": 3, "kind": "tree", "seed": 7, "again": 1}
    assert told["parameters"].items() >= logged.items()
    assert told["metrics"]["loss"] == [12, 1, 12, 1]
    assert told["inputs"] == {"data": "s3://somewhere/train.csv"}
    assert told["outputs"] == ["notes"]


def test_runs_end_as_they_went_and_are_listed(told):
    first, second = told["statuses"]
    assert first["PrimaryStatus"] == "Completed"
    assert second == {"PrimaryStatus": "Failed", "Message": "no data"}
    assert told["runs"] == ["second", "first"]
    assert told["trials"] == ["Default-Run-Group-churn-sdk"]


def test_a_graph_of_a_run_is_an_artifact_in_its_lineage(told):
    assert told["produced"] == ["PrecisionRecallCurve"]
    assert told["curve"].endswith("/trial-component-artifacts/churn-sdk-first/curve.json")


def test_a_job_loads_the_run_that_it_was_created_in(told):
    assert told["job"] == ["Completed", None]
    assert told["parameters"]["told"] == "by the job"
    assert told["metrics"]["rows"] == [1, 40, 40, 40]


def test_the_sdk_shows_what_a_job_took_and_belongs_to(told):
    rows = {(direction, kind, link, entity) for _, direction, kind, link, entity in told["table"]}
    assert rows == {
        ("Input", "DataSet", "ContributedTo", "artifact"),
        ("Input", "Image", "ContributedTo", "artifact"),
        ("Output", "SageMakerExperimentTrialComponent", "AssociatedWith", "experiment-trial-component"),
    }
