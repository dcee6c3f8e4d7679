"""Tuning and Transform steps of pipelines, one after the other: the best trial becomes the model that scores."""

import json

import submitted_jobs
import submitted_transforms
import tuned
from pipelined import LONG, fail, get, join


def test_the_best_trial_of_a_tuning_step_becomes_a_model_that_transforms(
    client, bucket, role_arn, unique, sm, s3, pipelines
):
    tuning = tuned.Tuning(submitted_jobs.Submitter(client, bucket, role_arn, unique))
    transforms = submitted_transforms.Transforms(client, bucket, unique)
    keep = "\nos.makedirs('/opt/ml/model/code', exist_ok=True)\nopen('/opt/ml/model/code/inference.py', 'w').write("
    definition = tuning.definition(tuned.PARABOLA + keep + repr(submitted_transforms.TENFOLD) + ")\n")
    tune = {
        "Name": "Tune",
        "Type": "Tuning",
        "CacheConfig": {"Enabled": True},
        "Arguments": {
            "HyperParameterTuningJobConfig": {
                "Strategy": "Grid",
                "ResourceLimits": {"MaxParallelTrainingJobs": 2},
                "ParameterRanges": tuned.categories(2, 3),
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            },
            "TrainingJobDefinition": definition,
        },
    }
    best = get("Steps.Tune.BestTrainingJob.TrainingJobName")
    artifact = join(f"s3://{bucket}/models", get("Steps.Tune.TrainingJobSummaries[0].TrainingJobName"), on="/")
    container = {"Image": submitted_jobs.SKLEARN, "ModelDataUrl": join(artifact, "output/model.tar.gz", on="/")}
    make = {"Name": "Make", "Type": "Model", "Arguments": {"PrimaryContainer": container}}
    data, target = transforms.put(a_csv="1\n2\n"), f"s3://{bucket}/{unique('scores')}"
    score = {
        "Name": "Score",
        "Type": "Transform",
        "Arguments": {
            "ModelName": get("Steps.Make.ModelName"),
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            "TransformOutput": {"S3OutputPath": target, "AssembleWith": "Line"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        },
    }
    name = pipelines.create(tune, make, score, fail("End", join(best, get("Steps.Score.TransformJobStatus"), on=" ")))
    _, steps = pipelines.ended(pipelines.start(name))
    told = pipelines.statuses(steps)
    assert told == dict.fromkeys(("Make", "Score", "Tune"), "Succeeded") | {"End": "Failed"}, steps
    trial, _, status = steps["End"]["FailureReason"].partition(" ")
    assert status == "Completed"
    assert sm.describe_training_job(TrainingJobName=trial)["HyperParameters"]["x"] == "3"
    assert set(steps["Tune"]["Metadata"]) == {"TuningJob"} and set(steps["Score"]["Metadata"]) == {"TransformJob"}
    key = target.removeprefix(f"s3://{bucket}/")
    assert s3.get_object(Bucket=bucket, Key=f"{key}/a.csv.out")["Body"].read().split() == [b"10.0", b"20.0"]
    _, steps = pipelines.ended(pipelines.start(name))
    assert "CacheHitResult" in steps["Tune"] and steps["End"]["FailureReason"] == f"{trial} Completed"


def test_a_stop_ends_a_tuning_step(client, bucket, role_arn, unique, sm, pipelines):
    tuning = tuned.Tuning(submitted_jobs.Submitter(client, bucket, role_arn, unique))
    definition = tuning.definition(f"import os\nos.system({LONG!r})")
    config = {
        "Strategy": "Grid",
        "ResourceLimits": {"MaxParallelTrainingJobs": 1},
        "ParameterRanges": tuned.categories(2, 3),
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    }
    arguments = {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}
    arn = pipelines.start(pipelines.create({"Name": "Tune", "Type": "Tuning", "Arguments": arguments}))
    step = pipelines.await_step(arn, "Tune", "Executing")
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    execution, steps = pipelines.ended(arn)
    assert (execution["PipelineExecutionStatus"], steps["Tune"]["StepStatus"]) == ("Stopped", "Stopped")
    job = step["Metadata"]["TuningJob"]["Arn"].rpartition("/")[2]
    told = sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
    assert told["HyperParameterTuningJobStatus"] == "Stopped", json.dumps(told, default=str)
