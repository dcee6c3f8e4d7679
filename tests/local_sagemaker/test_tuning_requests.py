"""Requests for tuning jobs that cannot be met are refused before anything runs; XGBoost and the SDK are tuned."""

import json

import numpy as np
import pytest
import submitted_jobs
import tuned
from botocore.exceptions import ClientError
from sdk_programs import run_program


@pytest.fixture(scope="module")
def tuning(client, bucket, role_arn):
    """Creates tuning jobs."""
    return tuned.Tuning(submitted_jobs.Submitter(client, bucket, role_arn, lambda prefix: f"{prefix}-asked"))


HYPERBAND = {"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}}
NOWHERE = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://course-tests/nothing/is/here"}}
LOSS = {"Type": "Minimize", "MetricName": "loss"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "Grid", "jobs": None}, "supports categorical hyperparameters only"),
        ({"strategy": "Grid", "jobs": 3, "ranges": tuned.categories(1, 2)}, "number of combinations of the grid, 2"),
        ({"strategy": "Hyperband"}, "needs MaxResource"),
        ({"strategy": "Hyperband", "config": HYPERBAND | {"TrainingJobEarlyStoppingType": "Auto"}}, "must be Off"),
        ({"config": HYPERBAND}, "only supported for the Hyperband strategy"),
        ({"ranges": {}}, "needs at least one hyperparameter range"),
        ({"jobs": 751}, "ResourceLimitExceeded.*750"),
        ({"config": {"HyperParameterTuningJobObjective": LOSS | {"MetricName": "gain"}}}, r"\[gain\], isn't valid"),
        ({"ranges": tuned.CONTINUOUS, "TrainingJobDefinitions": [{}]}, "Exactly one of TrainingJobDefinition"),
        ({"Autotune": {"Mode": "Enabled"}}, "Autotune is not available"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(tuning, changes, message):
    if "TrainingJobDefinitions" in changes:
        changes = changes | {"TrainingJobDefinitions": [tuning.definition(DefinitionName="x")]}
    with pytest.raises(ClientError, match=message):
        tuning.create("refused", **changes)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        tuning.described("refused")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RoleArn": "arn:aws:iam::111122223333:role/Nobody"}, "Could not assume role"),
        ({"StaticHyperParameters": {"x": "1"}}, r"\['x'\] are both static and tunable"),
        ({"HyperParameterTuningResourceConfig": {"InstanceType": "ml.m5.large"}}, "Exactly one of ResourceConfig"),
        ({"InputDataConfig": [{"ChannelName": "a", "DataSource": NOWHERE}]}, "No S3 objects found"),
    ],
)
def test_a_definition_is_checked_as_the_training_job_that_it_becomes(tuning, changes, message):
    with pytest.raises(ClientError, match=message):
        tuning.create("refused", definition=tuning.definition(**changes))


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ([{}], "needs a DefinitionName of its own"),
        ([{"DefinitionName": "a"}, {"DefinitionName": "a"}], "needs a DefinitionName of its own"),
        ([{"DefinitionName": "a"}], "needs an objective metric"),
        (
            [
                {"DefinitionName": "a", "TuningObjective": LOSS},
                {"DefinitionName": "b", "TuningObjective": LOSS | {"Type": "Maximize"}},
            ],
            "must have the same Type",
        ),
    ],
)
def test_several_definitions_have_names_and_objectives_that_go_together(tuning, definitions, message):
    given = [tuning.definition(**each, HyperParameterRanges=tuned.CONTINUOUS) for each in definitions]
    with pytest.raises(ClientError, match=message):
        tuning.create("refused", ranges=None, TrainingJobDefinitions=given)


def test_a_name_is_used_once(tuning):
    tuning.create("twice", "Grid", None, 1, tuned.categories(1))
    with pytest.raises(ClientError, match=r"ResourceInUse.*already exists"):
        tuning.create("twice", "Grid", None, 1, tuned.categories(1))
    tuning.ended("twice")


def test_resources_and_checkpoints_reach_the_training_jobs(tuning):
    definition = tuning.definition(
        CheckpointConfig={"S3Uri": f"s3://{tuning.submit.bucket}/checkpoints/"},
        RetryStrategy={"MaximumRetryAttempts": 2},
        HyperParameterTuningResourceConfig={
            "AllocationStrategy": "Prioritized",
            "InstanceConfigs": [
                {"InstanceType": kind, "InstanceCount": 1, "VolumeSizeInGB": 2}
                for kind in ("ml.c5.xlarge", "ml.m5.large")
            ],
        },
    )
    del definition["ResourceConfig"]
    tuning.create("resources", "Grid", None, 1, tuned.categories(1), definition=definition)
    tuning.ended("resources")
    [summary] = tuning.jobs("resources")
    job = tuning.sm.describe_training_job(TrainingJobName=summary["TrainingJobName"])
    assert job["ResourceConfig"] == {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 2}
    assert job["CheckpointConfig"]["S3Uri"].endswith(f"/checkpoints/{summary['TrainingJobName']}")
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 2}


def test_the_built_in_xgboost_is_tuned_by_its_own_metrics(tuning):
    random = np.random.default_rng(5)
    features = random.normal(size=(200, 3))
    rows = np.column_stack([(features[:, 0] + features[:, 1] > 0).astype(int), features])
    csv = "\n".join(",".join(f"{value:.4f}" for value in row) for row in rows)
    uri = tuning.submit.put("tuned-rows/rows.csv", csv)
    definition = tuning.definition(
        AlgorithmSpecification={"TrainingImage": submitted_jobs.XGBOOST, "TrainingInputMode": "File"},
        StaticHyperParameters={"num_round": "4", "objective": "binary:logistic"},
        InputDataConfig=[tuning.submit.channel(name, uri) for name in ("train", "validation")],
    )
    ranges = {"IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "1", "MaxValue": "4"}]}
    auc = {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:auc"}}
    tuning.create("xgboost", "Random", 2, 2, ranges, definition, auc)
    job = tuning.ended("xgboost")
    found = [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in tuning.jobs("xgboost")]
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Maximize",
        "MetricName": "validation:auc",
        "Value": pytest.approx(max(found)),
    }
    assert max(found) > 0.9
    wrong = {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:luck"}}
    with pytest.raises(ClientError, match="none of those of the algorithm"):
        tuning.create("refused", "Random", 2, 2, ranges, definition, wrong)


PROGRAM = '''
import json, sys
from pathlib import Path
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode
from sagemaker.train.tuner import HyperparameterTuner

source = Path("source")
source.mkdir()
(source / "train.py").write_text("""
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--depth", type=int)
parser.add_argument("--kind")
parser.add_argument("--fixed", type=int)
arguments = parser.parse_args()
assert arguments.fixed == 7, arguments
print(f"score: {1 - (arguments.rate - 0.3) ** 2 - 0.01 * arguments.depth + (arguments.kind == 'good'):.5f}")
""")
session = Session()
trainer = ModelTrainer(
    training_image="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    sagemaker_session=session,
    source_code=SourceCode(source_dir="source", entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"fixed": 7},
    base_job_name="tuned",
)
tuner = HyperparameterTuner(
    trainer,
    objective_metric_name="score",
    objective_type="Maximize",
    metric_definitions=[{"Name": "score", "Regex": "score: ([0-9.]+)"}],
    hyperparameter_ranges={
        "rate": ContinuousParameter(0.01, 1.0, scaling_type="Logarithmic"),
        "depth": IntegerParameter(1, 9),
        "kind": CategoricalParameter(["good", "bad"]),
    },
    strategy="Bayesian",
    max_jobs=4,
    max_parallel_jobs=2,
    random_seed=3,
)
tuner.tune(wait=False)
tuner.wait()
frame = tuner.analytics().dataframe()
print(json.dumps({
    "status": tuner.describe().hyper_parameter_tuning_job_status,
    "best": tuner.best_training_job(),
    "first": frame.sort_values("FinalObjectiveValue", ascending=False)["TrainingJobName"].iloc[0],
    "jobs": len(frame),
    "columns": sorted(frame.columns),
}))
'''


def test_the_sdk_tunes_waits_and_finds_the_best_job(server, tmp_path, tuning):
    told, _ = run_program(server, tmp_path, PROGRAM)
    assert told["status"] == "Completed"
    assert told["jobs"] == 4
    assert told["best"] == told["first"]
    assert {"rate", "depth", "kind"} <= set(told["columns"])
    job = tuning.sm.describe_training_job(TrainingJobName=told["best"])
    assert json.loads(job["HyperParameters"]["fixed"]) == 7
