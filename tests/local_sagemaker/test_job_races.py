"""Jobs that are stopped, lose their buckets or lose the server at any moment: each ends, and leaves no process."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from botocore.exceptions import ClientError
from submitted_jobs import UNFINISHED, Submitter

from helpers import local_sagemaker
from helpers.local_sagemaker import arns

WRITES = """
import time
open("/opt/ml/model/weights", "w").write("x")
print("ready", flush=True)
time.sleep(3)
"""


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


def processes_of(jobs: list[str]) -> list[psutil.Process]:
    """Processes whose environment names one of the jobs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TRAINING_JOB_NAME") in jobs:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_stop_at_any_moment_ends_a_job(submit):
    source, chance = submit.source(train_py=WRITES), random.Random(7)

    def train_and_stop(seconds: float) -> dict:
        name = submit.train(HyperParameters=source)
        time.sleep(seconds)
        try:
            submit.sm.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            assert "is in status Completed" in str(error)
        return submit.trained(name)

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(train_and_stop, [0, 0, *(chance.random() for _ in range(10))]))
    for description in ended:
        status = description["TrainingJobStatus"]
        assert status in ("Stopped", "Completed"), description.get("FailureReason")
        steps = description["SecondaryStatusTransitions"]
        assert steps[-1]["Status"] == status
        assert all("EndTime" in step for step in steps)
        assert [step["Status"] for step in steps].count("Training") <= 1
    assert processes_of([description["TrainingJobName"] for description in ended]) == []


def test_two_stops_at_once_are_one(submit):
    name = submit.train(HyperParameters=submit.source(train_py=WRITES))
    submit.wait_for_line(name, "ready")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(submit.sm.stop_training_job, TrainingJobName=name) for _ in range(4)]
    errors = [answer.exception() for answer in answers]
    assert None in errors
    assert all("is in status Stopped" in str(error) for error in errors if error), "one may come when the job has ended"
    assert submit.trained(name)["TrainingJobStatus"] == "Stopped"
    assert submit.artifact(submit.trained(name)) == {"weights": b"x"}


def test_a_job_that_runs_cannot_be_deleted_and_one_that_ended_can(submit):
    name = submit.train(HyperParameters=submit.source(train_py=WRITES))
    submit.wait_for_line(name, "ready")
    with pytest.raises(ClientError, match="stop it first"):
        submit.sm.delete_training_job(TrainingJobName=name)
    submit.sm.stop_training_job(TrainingJobName=name)
    submit.trained(name)
    submit.sm.delete_training_job(TrainingJobName=name)


def test_a_bucket_that_goes_away_under_a_job_fails_it(submit):
    bucket = submit.unique("gone")
    submit.s3.create_bucket(Bucket=bucket)
    name = submit.train(
        HyperParameters=submit.source(train_py=WRITES),
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"},
        CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"},
    )
    submit.wait_for_line(name, "ready")
    for item in submit.s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        submit.s3.delete_object(Bucket=bucket, Key=item["Key"])
    submit.s3.delete_bucket(Bucket=bucket)
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: ")
    assert "NoSuchBucket" in description["FailureReason"]


def test_a_server_that_stops_at_any_moment_leaves_every_job_ended(tmp_path, client_of, unique):
    chance, names = random.Random(11), []
    try:
        for _ in range(3):
            client = client_of(local_sagemaker.start(tmp_path))
            client("s3").create_bucket(Bucket="of-its-own")
            submit = Submitter(client, "of-its-own", arns.ROLE_ARN, unique)
            source = submit.source(train_py=WRITES)
            names += [submit.train(HyperParameters=source) for _ in range(2)]
            submit.sm.stop_training_job(TrainingJobName=names[-1])
            time.sleep(chance.random())
            local_sagemaker.stop(tmp_path)
            assert processes_of(names) == []
        sm = client_of(local_sagemaker.start(tmp_path))("sagemaker")
        for name in names:
            description = sm.describe_training_job(TrainingJobName=name)
            assert description["TrainingJobStatus"] not in UNFINISHED
            assert "EndTime" in description["SecondaryStatusTransitions"][-1]
    finally:
        local_sagemaker.stop(tmp_path)
