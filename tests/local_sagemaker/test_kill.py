"""The server is killed at random points while clients work: what it acknowledged is there, and nothing is left over."""

import itertools
import json
import time
from collections.abc import Callable

import asynchronous
import deployed
import pytest
import submitted_jobs
import tuned
from botocore.exceptions import ClientError
from killed import BUCKET, PATIENCE_SECONDS, Victim

# Where the server is killed, and how often clients get there at most before it is.
DATA_POINTS = {
    "object put": 9,
    "object deleted": 9,
    "object copied": 9,
    "upload completed": 9,
    "model created": 9,
    "model deleted": 9,
    "job created": 2,
    "job training": 2,
    "job uploading": 1,
}
SERVING_POINTS = {"endpoint created": 1, "endpoint updated": 1, "endpoint deleted": 1, "invocation": 99}
TUNING_POINTS = {"tuning created": 1, "tuning counted": 2}
ROLLOUT_POINTS = {"canary begun": 1, "canary baking": 1, "request accepted": 5}
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 30,
        }
    }
}
pytestmark = pytest.mark.timeout(900)  # on a machine that does much else

ROLE = "arn:aws:iam::111122223333:role/CourseExecutionRole"
GRID = (1, 2, 3, 4)
SIZES = (10, 90_000)  # of objects: in the journal, and in a file beside it
TRAIN = "head -c 2000000 /dev/urandom > /opt/ml/model/weights; sleep 0.1"
FINAL = ("Completed", "Failed")

_numbers = itertools.count()


def objects(victim: Victim) -> None:
    """Writes, copies and deletes objects under a few keys; uploads one in parts."""
    s3, ledger, number = victim.client("s3"), victim.ledger, next(_numbers)
    key = f"object/{number % 5}"
    body = f"{number}".encode() * SIZES[number % 2]
    with ledger.change("object", key, body):
        victim.reached("object put")
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    with ledger.change("object", f"copy/{number % 3}", body):
        victim.reached("object copied")
        s3.copy_object(Bucket=BUCKET, Key=f"copy/{number % 3}", CopySource={"Bucket": BUCKET, "Key": key})
    gone = f"object/{number * 7 % 5}"
    with ledger.change("object", gone, None):
        victim.reached("object deleted")
        s3.delete_object(Bucket=BUCKET, Key=gone)


def uploads(victim: Victim) -> None:
    """Uploads an object in parts."""
    s3, number = victim.client("s3"), next(_numbers)
    place = {"Bucket": BUCKET, "Key": f"upload/{number % 3}"}
    body = f"{number}".encode() * SIZES[number % 2]
    upload = s3.create_multipart_upload(**place)["UploadId"]
    tag = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=body)["ETag"]
    with victim.ledger.change("object", place["Key"], body):
        victim.reached("upload completed")
        parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
        s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=parts)


def models(victim: Victim) -> None:
    """Creates two models and deletes one of them."""
    sm = victim.client("sagemaker")
    kept, deleted = (f"model-{next(_numbers)}" for _ in range(2))
    for name in (kept, deleted):
        with victim.ledger.change("model", name, "there"):
            victim.reached("model created")
            sm.create_model(ModelName=name, PrimaryContainer={"Image": "x"}, Tags=[{"Key": "name", "Value": name}])
    with victim.ledger.change("model", deleted, None):
        victim.reached("model deleted")
        sm.delete_model(ModelName=deleted)
    time.sleep(0.02)


def jobs(victim: Victim) -> None:
    """Runs a training job to its end."""
    sm, name = victim.client("sagemaker"), f"job-{next(_numbers)}"
    with victim.ledger.change("job", name, "there"):
        victim.reached("job created")
        sm.create_training_job(
            TrainingJobName=name,
            RoleArn=ROLE,
            AlgorithmSpecification={
                "TrainingImage": "local/trainer",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["sh", "-c", TRAIN],
            },
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/jobs"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
    stage = ""
    while (job := sm.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] not in FINAL:
        if job["SecondaryStatus"] != stage:
            stage = job["SecondaryStatus"]
            victim.reached(f"job {stage.lower()}")
        time.sleep(0.005)
    assert job["TrainingJobStatus"] == "Completed", job
    with victim.ledger.change("outcome", name, "Completed"):
        pass


def endpoints(victim: Victim) -> None:
    """Creates an endpoint, updates it, and deletes it; first deletes those of earlier lives."""
    sm, name = victim.client("sagemaker"), f"endpoint-{next(_numbers)}"
    for earlier in victim.ledger.there("endpoint") - {"standing"}:
        with victim.ledger.change("endpoint", earlier, None):
            sm.delete_endpoint(EndpointName=earlier)
    with victim.ledger.change("endpoint", name, "one"):
        sm.create_endpoint(EndpointName=name, EndpointConfigName="one")
    victim.reached("endpoint created")
    deployed.await_status(sm, name, "InService")
    with victim.ledger.change("endpoint", name, "two"):
        sm.update_endpoint(EndpointName=name, EndpointConfigName="two")
    victim.reached("endpoint updated")
    deployed.await_status(sm, name, "InService")
    with victim.ledger.change("endpoint", name, None):
        sm.delete_endpoint(EndpointName=name)
    victim.reached("endpoint deleted")
    read_endpoint(victim, name)


def invocations(victim: Victim) -> None:
    """Invokes an endpoint that is there all the time."""
    victim.reached("invocation")
    assert ask(victim, "standing") == "one"


def canaries(victim: Victim) -> None:
    """Moves an endpoint to the other configuration by way of a canary."""
    sm = victim.client("sagemaker")
    old = read_endpoint(victim, "canary")
    new = {"pair-one": "pair-two", "pair-two": "pair-one"}[old]
    with victim.ledger.change("endpoint", "canary", new):
        sm.update_endpoint(EndpointName="canary", EndpointConfigName=new, DeploymentConfig=CANARY)
    victim.reached("canary begun")
    while (status := sm.describe_endpoint(EndpointName="canary"))["EndpointStatus"] == "Updating":
        pending = status.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        if any(told["Status"] == "Baking" for variant in pending for told in variant.get("VariantStatus", [])):
            victim.reached("canary baking")
        time.sleep(0.02)


def requests(victim: Victim) -> None:
    """Sends a request to an asynchronous endpoint."""
    runtime, key = victim.client("sagemaker-runtime"), f"input/{next(_numbers)}"
    victim.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    answer = runtime.invoke_endpoint_async(
        EndpointName="async", InputLocation=f"s3://{BUCKET}/{key}", ContentType="application/json"
    )
    with victim.ledger.change("answer", answer["OutputLocation"], "one"):
        pass  # whoever has been told where the answer will be may rely on it
    victim.reached("request accepted")
    time.sleep(0.05)


def tunings(victim: Victim) -> None:
    """Runs a tuning job over a grid to its end."""
    tuning, name = tuning_of(victim), f"tuning-{next(_numbers)}"
    with victim.ledger.change("tuning", name, "Completed"):
        victim.reached("tuning created")
        tuning.create(name, "Grid", None, 2, tuned.categories(*GRID))
    counted = 0
    while (job := tuning.described(name))["HyperParameterTuningJobStatus"] not in FINAL:
        if job["TrainingJobStatusCounters"]["Completed"] > counted:
            counted = job["TrainingJobStatusCounters"]["Completed"]
            victim.reached("tuning counted")
        time.sleep(0.005)


def tuning_of(victim: Victim) -> tuned.Tuning:
    """Creates and reads tuning jobs."""
    return tuned.Tuning(submitted_jobs.Submitter(victim.client, BUCKET, ROLE, lambda prefix: f"{prefix}-killed"))


def ask(victim: Victim, endpoint: str) -> str:
    """The name of the model that answers."""
    answer = victim.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=b"{}", ContentType="application/json"
    )
    return json.loads(answer["Body"].read())["name"]


def read_object(victim: Victim, key: str) -> bytes | None:
    """What is under a key, None when nothing is."""
    try:
        return victim.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey"
        return None


def read_model(victim: Victim, name: str) -> str | None:
    """Whether a model is there, with the tags that it was created with."""
    sm = victim.client("sagemaker")
    try:
        arn = sm.describe_model(ModelName=name)["ModelArn"]
    except ClientError as error:
        assert "Could not find model" in str(error)
        return None
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "name", "Value": name}]
    return "there"


def read_job(victim: Victim, name: str) -> str | None:
    """Whether a job is there; it must be in a final state, because those that ran were failed at the start."""
    try:
        job = victim.client("sagemaker").describe_training_job(TrainingJobName=name)
    except ClientError as error:
        assert "not found" in str(error)
        return None
    assert job["TrainingJobStatus"] in FINAL, job
    assert job["TrainingJobStatus"] == "Completed" or "stopped while the job ran" in job["FailureReason"]
    return "there"


def read_outcome(victim: Victim, name: str) -> str:
    """How a job ended; its model must be in S3."""
    victim.client("s3").head_object(Bucket=BUCKET, Key=f"jobs/{name}/output/model.tar.gz")
    return victim.client("sagemaker").describe_training_job(TrainingJobName=name)["TrainingJobStatus"]


def read_endpoint(victim: Victim, name: str) -> str | None:
    """The configuration that an endpoint serves, by its record and by its answer; None when it is gone."""
    sm, deadline = victim.client("sagemaker"), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            endpoint = sm.describe_endpoint(EndpointName=name)
        except ClientError as error:
            assert "Could not find endpoint" in str(error)
            return None
        if endpoint["EndpointStatus"] not in ("Creating", "Updating", "Deleting"):
            break
        time.sleep(0.02)
    assert endpoint["EndpointStatus"] == "InService", endpoint
    if name != "async":  # it answers into S3
        assert ask(victim, name) == endpoint["EndpointConfigName"].removeprefix("pair-")
    return endpoint["EndpointConfigName"]


def read_answer(victim: Victim, location: str) -> str:
    """The name of the model that an asynchronous request was answered by, once it is."""
    key, deadline = location.removeprefix(f"s3://{BUCKET}/"), time.monotonic() + PATIENCE_SECONDS
    while (answer := read_object(victim, key)) is None:
        assert time.monotonic() < deadline, f"nothing lies at {location}"
        time.sleep(0.05)
    return json.loads(answer)["name"]


def read_tuning(victim: Victim, name: str) -> str | None:
    """How a tuning job ends, which goes on by itself; every place of its grid has one training job that succeeded."""
    tuning = tuning_of(victim)
    try:
        job = tuning.ended(name)
    except ClientError as error:
        assert "can't find a tuning job" in str(error)
        return None
    trials = tuning.jobs(name)
    found = [trial["TunedHyperParameters"]["x"] for trial in trials if trial["ObjectiveStatus"] == "Succeeded"]
    assert sorted(found) == sorted(map(str, GRID)), trials
    cut_short = [trial for trial in trials if trial["ObjectiveStatus"] != "Succeeded"]
    assert all("stopped while the job ran" in trial["FailureReason"] for trial in cut_short), trials
    assert job["TrainingJobStatusCounters"]["RetryableError"] == len(cut_short), job
    return job["HyperParameterTuningJobStatus"]


READ: dict[str, Callable[[Victim, str], object]] = {
    "object": read_object,
    "model": read_model,
    "job": read_job,
    "outcome": read_outcome,
    "endpoint": read_endpoint,
    "answer": read_answer,
    "tuning": read_tuning,
}


def configure(victim: Victim) -> None:
    """Two models; configurations with one instance and with two of each."""
    sm, s3 = victim.client("sagemaker"), victim.client("s3")
    for name in ("one", "two"):
        deployed.create_model(sm, s3, BUCKET, name)
        for config, count in ((name, 1), (f"pair-{name}", 2)):
            variants = [deployed.variant(name, count=count)]
            sm.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)


def create(victim: Victim, name: str, config: str) -> None:
    """An endpoint in service."""
    sm = victim.client("sagemaker")
    with victim.ledger.change("endpoint", name, config):
        sm.create_endpoint(EndpointName=name, EndpointConfigName=config)
    deployed.await_status(sm, name, "InService")


@pytest.mark.parametrize("victim", [1], indirect=True)
def test_objects_models_and_jobs_survive_kills_at_random_points(victim, report):
    kills = victim.kill_at(DATA_POINTS, 3, [objects, uploads, models, jobs], READ)
    report("Kills amid objects, models and training jobs", kills, bar=27, **victim.found())


@pytest.mark.parametrize("victim", [2], indirect=True)
def test_endpoints_survive_kills_at_random_points(victim, report):
    configure(victim)
    create(victim, "standing", "one")
    kills = victim.kill_at(SERVING_POINTS, 6, [endpoints, invocations], READ)
    report("Kills amid changes and invocations of endpoints", kills, bar=24, **victim.found())


@pytest.mark.parametrize("victim", [3], indirect=True)
def test_canaries_and_asynchronous_requests_survive_kills_at_random_points(victim, report):
    configure(victim)
    victim.client("sagemaker").create_endpoint_config(
        EndpointConfigName="async",
        ProductionVariants=[deployed.variant("one")],
        AsyncInferenceConfig=asynchronous.config(BUCKET),
    )
    create(victim, "async", "async")
    create(victim, "canary", "pair-one")
    kills = victim.kill_at(ROLLOUT_POINTS, 2, [canaries, requests], READ)
    report("Kills amid canaries and asynchronous requests", kills, bar=6, **victim.found())


@pytest.mark.parametrize("victim", [4], indirect=True)
def test_tuning_jobs_survive_kills_at_random_points(victim, report):
    kills = victim.kill_at(TUNING_POINTS, 4, [tunings], READ)
    report("Kills amid tuning jobs", kills, bar=8, **victim.found())
