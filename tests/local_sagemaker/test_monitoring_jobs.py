"""The analysers as containers of processing jobs."""

import json

import pytest
from submitted_jobs import Submitter

REGISTRY = "156813124566.dkr.ecr.us-east-1.amazonaws.com"
ANALYZER = f"{REGISTRY}/sagemaker-model-monitor-analyzer"
IN, OUT = "/opt/ml/processing/input", "/opt/ml/processing/output"


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


def monitor(submit: Submitter, rows: str, target: str, **environment: str) -> dict:
    """The description of a job that looks for a baseline in CSV data."""
    uri = submit.put(f"{target}/data/rows.csv", rows)
    s3 = {"S3Uri": uri, "LocalPath": IN, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    output = {"S3Uri": f"s3://{submit.bucket}/{target}/out", "LocalPath": OUT, "S3UploadMode": "EndOfJob"}
    variables = {"dataset_source": IN, "output_path": OUT, "dataset_format": '{"csv": {"header": true}}'}
    application = {"ImageUri": ANALYZER}
    name = submit.process(
        ["unused"],
        AppSpecification=application,
        Environment=variables | environment,
        ProcessingInputs=[{"InputName": "data", "S3Input": s3}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "reports", "S3Output": output}]},
    )
    return submit.processed(name)


def test_an_analyser_runs_where_a_job_names_no_entry_point(submit):
    target = submit.unique("baseline")
    done = monitor(submit, "age,plan\n30,basic\n40,plus\n", target)
    assert done["ProcessingJobStatus"] == "Completed", done
    assert done["ExitMessage"] == "Completed: Job completed successfully with no violations."
    written = submit.s3.get_object(Bucket=submit.bucket, Key=f"{target}/out/statistics.json")["Body"].read()
    [age, plan] = json.loads(written)["features"]
    assert (age["inferred_type"], plan["inferred_type"]) == ("Integral", "String")


def test_what_an_analyser_cannot_read_is_the_failure_reason(submit):
    done = monitor(submit, "age,plan\n30\n40,plus,more\n", submit.unique("ragged"))
    assert done["ProcessingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("AlgorithmError: rows.csv cannot be read as csv: ")
    assert done["FailureReason"].endswith("exit code: 255")


def test_an_analyser_s_image_neither_trains_nor_serves(submit):
    channel = submit.channel("train", submit.put(f"{submit.unique('rows')}/a.csv", "1"))
    done = submit.trained(submit.train(ANALYZER, InputDataConfig=[channel]))
    assert f"The image {ANALYZER} is for processing jobs only." in done["FailureReason"]
