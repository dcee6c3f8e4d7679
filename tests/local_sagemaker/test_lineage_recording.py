"""What happens here is written as lineage: from an endpoint, a query leads back to the training data and its hash."""

import hashlib
import json
import os
import signal
import time

import deployed
import hosting
import psutil
import pytest
import sdk_programs
import submitted_jobs
import submitted_transforms

from helpers import local_sagemaker

TRAIN = f"""
import pathlib
rows = pathlib.Path("/opt/ml/input/data/train").glob("*.csv")
total = sum(sum(map(float, path.read_text().split())) for path in rows)
for loss in (4.0, 1.0, 2.0):
    print("loss=" + str(loss) + ";")
pathlib.Path("/opt/ml/model/name.txt").write_text(str(total))
code = pathlib.Path("/opt/ml/model/code")
code.mkdir()
(code / "inference.py").write_text({deployed.OBEDIENT!r})
"""
COPY = "cd /opt/ml/processing && cp input/raw.csv out/a.csv && cp input/raw.csv out/b.csv"
SDK = """
import json, sys
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.lineage.artifact import Artifact, DatasetArtifact, ModelArtifact
from sagemaker.core.lineage.context import Context, EndpointContext
from sagemaker.core.lineage.query import LineageQueryDirectionEnum

endpoint, data, model = sys.argv[1:]
session = Session()
name = next(iter(Context.list(source_uri=endpoint, sagemaker_session=session))).context_name
context = EndpointContext.load(context_name=name, sagemaker_session=session)
found = {kind: next(iter(Artifact.list(source_uri=uri, sagemaker_session=session))).artifact_arn
         for kind, uri in (("data", data), ("model", model))}
archive = ModelArtifact.load(artifact_arn=found["model"], sagemaker_session=session)
dataset = DatasetArtifact.load(artifact_arn=found["data"], sagemaker_session=session)
uris = lambda objects: sorted({one.source.source_uri for one in objects})
print(json.dumps({
    "data of the endpoint": uris(context.dataset_artifacts()),
    "jobs of the endpoint": context.training_job_arns(),
    "actions of the endpoint": [one.action_type for one in context.actions(LineageQueryDirectionEnum.ASCENDANTS)],
    "data of the model": uris(archive.dataset_artifacts()),
    "jobs of the model": archive.training_job_arns(),
    "has endpoint": [endpoint in uris(one.endpoint_contexts()) for one in (archive, dataset)],
}))
"""
METRICS = [{"Name": "loss", "Regex": "loss=(.*?);"}]


@pytest.fixture(scope="module")
def submit(client, bucket, role_arn):
    """Submits jobs."""
    return submitted_jobs.Submitter(client, bucket, role_arn, lambda prefix: f"{prefix}-{os.urandom(4).hex()}")


@pytest.fixture(scope="module")
def data(submit):
    """The training data: its URI, and its content."""
    content = b"1 2 3\n"
    return submit.put(f"{submit.unique('data')}/train.csv", content), content


@pytest.fixture(scope="module")
def job(submit, data):
    """The description of a training job on the data."""
    name = submit.train(
        HyperParameters=submit.source(train_py=TRAIN) | {"depth": "3", "kind": "tree"},
        InputDataConfig=[submit.channel("train", data[0])],
        AlgorithmSpecification={
            "TrainingImage": submitted_jobs.SKLEARN,
            "TrainingInputMode": "File",
            "MetricDefinitions": METRICS,
        },
    )
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    return description


@pytest.fixture(scope="module")
def endpoint(sm, submit, job):
    """The ARN of an endpoint with the job's model."""
    name = submit.unique("served")
    container = {"Image": deployed.SKLEARN, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=submit.role_arn)
    arn = deployed.create_endpoint(sm, name, [deployed.variant(name)])["EndpointArn"]
    yield arn
    sm.delete_endpoint(EndpointName=name)


def wait_for(ask, seconds=120):
    """What a question answers, once that is not empty."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.05)
    return answer


def context_of(sm, arn):
    """The ARN of the context of an endpoint, once it is written."""
    return wait_for(lambda: sm.list_contexts(SourceUri=arn)["ContextSummaries"])[0]["ContextArn"]


def ascendants(sm, start, **filters):
    """The vertices that something came from."""
    request = {"StartArns": [start], "Direction": "Ascendants", "IncludeEdges": False, "Filters": filters}
    return sm.query_lineage(**request)["Vertices"]


def completed(sm, job):
    """The description of a training job's component, once it tells that the job has completed."""

    def describe():
        found = sm.describe_trial_component(TrialComponentName=f"{job}-aws-training-job")
        return found if found["Status"]["PrimaryStatus"] == "Completed" else None

    return wait_for(describe)


def datasets(sm, start):
    """The artifacts of the data that something came from, once there are some."""
    found = wait_for(lambda: ascendants(sm, start, Types=["DataSet"], LineageTypes=["Artifact"]))
    return [sm.describe_artifact(ArtifactArn=vertex["Arn"]) for vertex in found]


def test_from_an_endpoint_lineage_leads_back_to_the_object_and_hash_of_its_training_data(
    sm, s3, bucket, endpoint, data
):
    (found,) = datasets(sm, context_of(sm, endpoint))
    uri, content = data
    assert found["Source"]["SourceUri"] == uri
    etag = s3.head_object(Bucket=bucket, Key=uri.split("/", 3)[3])["ETag"].strip('"')
    assert found["Source"]["SourceTypes"] == [{"SourceIdType": "S3ETag", "Value": etag}]
    properties, sha256 = found["Properties"], hashlib.sha256(content).hexdigest()
    assert (properties["SHA256"], properties["Objects"], properties["Bytes"]) == (sha256, "1", str(len(content)))
    key = uri.split("/", 3)[3]
    told = [{"Key": key, "ETag": etag, "Bytes": len(content), "SHA256": sha256}]
    assert json.loads(properties["Manifest"]) == told


def test_everything_on_the_way_is_told(sm, endpoint, job):
    context = context_of(sm, endpoint)
    found = {(vertex["LineageType"], vertex["Type"]) for vertex in ascendants(sm, context)}
    assert found == {
        ("Action", "ModelDeployment"),
        ("Artifact", "Model"),
        ("Artifact", "Image"),
        ("Artifact", "DataSet"),
        ("TrialComponent", "TrainingJob"),
    }
    (component,) = ascendants(sm, context, LineageTypes=["TrialComponent"])
    name = f"{job['TrainingJobName']}-aws-training-job"
    assert component["Arn"].endswith(f"experiment-trial-component/{name}")
    models = [sm.describe_artifact(ArtifactArn=one["Arn"]) for one in ascendants(sm, context, Types=["Model"])]
    uris = {one["Source"]["SourceUri"] for one in models}
    assert uris == {job["ModelArtifacts"]["S3ModelArtifacts"], endpoint.replace(":endpoint/", ":model/")}
    links = sm.list_associations(DestinationArn=component["Arn"])["AssociationSummaries"]
    assert {(link["SourceType"], link["AssociationType"]) for link in links} == {
        ("DataSet", "ContributedTo"),
        ("Image", "ContributedTo"),
    }
    (link,) = sm.list_associations(SourceArn=component["Arn"])["AssociationSummaries"]
    assert (link["SourceType"], link["DestinationType"]) == ("SageMakerTrainingJob", "Model")
    assert link["AssociationType"] == "Produced"


def test_the_sdk_finds_the_data_the_jobs_and_the_endpoints(server, sm, tmp_path, endpoint, job, data):
    datasets(sm, context_of(sm, endpoint))
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    told, _ = sdk_programs.run_program(server, tmp_path, SDK, endpoint, data[0], model)
    assert told == {
        "data of the endpoint": [data[0]],
        "jobs of the endpoint": [job["TrainingJobArn"]],
        "actions of the endpoint": ["ModelDeployment"],
        "data of the model": [data[0]],
        "jobs of the model": [job["TrainingJobArn"]],
        "has endpoint": [True, True],
    }


def test_the_component_of_a_job_tells_what_it_took_gave_and_measured(sm, job, data):
    (summary,) = sm.list_trial_components(SourceArn=job["TrainingJobArn"])["TrialComponentSummaries"]
    name = summary["TrialComponentName"]
    assert name == f"{job['TrainingJobName']}-aws-training-job"
    found = completed(sm, job["TrainingJobName"])
    assert found["Source"] == {"SourceArn": job["TrainingJobArn"], "SourceType": "SageMakerTrainingJob"}
    assert found["Status"]["Message"] == "Status: Completed, secondary status: Completed, failure reason: ."
    parameters = found["Parameters"]
    assert parameters["depth"] == {"NumberValue": 3.0}
    assert parameters["kind"] == {"StringValue": "tree"}
    assert parameters["SageMaker.ImageUri"] == {"StringValue": submitted_jobs.SKLEARN}
    assert parameters["SageMaker.InstanceCount"] == {"NumberValue": 1.0}
    assert found["InputArtifacts"]["train"] == {"Value": data[0], "MediaType": "text/csv"}
    assert found["OutputArtifacts"]["SageMaker.ModelArtifact"]["Value"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert found["StartTime"] <= found["EndTime"]
    (metric,) = found["Metrics"]
    assert (metric["MetricName"], metric["SourceArn"]) == ("loss", job["TrainingJobArn"])
    assert (metric["Min"], metric["Max"], metric["Last"], metric["Count"]) == (1.0, 4.0, 2.0, 3)


def test_lineage_goes_through_a_model_package_and_its_approval(sm, submit, job, data):
    group = submit.unique("group")
    sm.create_model_package_group(ModelPackageGroupName=group)
    container = {"Image": deployed.SKLEARN, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    package = sm.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    sm.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved", ApprovalDescription="good")
    name = submit.unique("packaged")
    container = {"ModelPackageName": package}
    sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=submit.role_arn)
    arn = deployed.create_endpoint(sm, name, [deployed.variant(name)])["EndpointArn"]
    sm.delete_endpoint(EndpointName=name)
    context = context_of(sm, arn)
    (found,) = datasets(sm, context)
    assert found["Properties"]["SHA256"] == hashlib.sha256(data[1]).hexdigest()
    approvals = wait_for(lambda: len(one := sm.list_actions(SourceUri=package)["ActionSummaries"]) == 2 and one)
    names = [summary["ActionName"] for summary in approvals]
    assert names[0].startswith(f"{group}-1-Approved-")
    assert names[1].startswith(f"{group}-1-PendingManualApproval-")
    told = sm.describe_action(ActionName=names[0])
    assert (told["ActionType"], told["Properties"]) == (
        "Approval",
        {"ModelApprovalStatus": "Approved", "ApprovalDescription": "good"},
    )
    assert {one["Arn"] for one in ascendants(sm, context, Types=["Approval"])} == {
        one["ActionArn"] for one in approvals
    }
    (artifact,) = sm.list_artifacts(SourceUri=package)["ArtifactSummaries"]
    (link,) = sm.list_associations(SourceArn=artifact["ArtifactArn"], AssociationType="AssociatedWith")[
        "AssociationSummaries"
    ]
    group_context = sm.describe_context(ContextName=link["DestinationArn"])
    assert group_context["ContextName"] == f"{group}-aws-model-group"
    assert group_context["Source"]["SourceUri"].endswith(f":model-package-group/{group}")


def test_changed_data_under_the_same_key_is_other_data(sm, submit):
    key, hashes = f"{submit.unique('changing')}/train.csv", []
    for content in (b"1\n", b"2\n", b"1\n"):
        uri = submit.put(key, content)
        name = submit.train(
            HyperParameters=submit.source(train_py=TRAIN), InputDataConfig=[submit.channel("train", uri)]
        )
        assert submit.trained(name)["TrainingJobStatus"] == "Completed"
        arn = completed(sm, name)["TrialComponentArn"]
        hashes += [found["Properties"]["SHA256"] for found in datasets(sm, arn)]
    assert hashes == [hashlib.sha256(content).hexdigest() for content in (b"1\n", b"2\n", b"1\n")]
    assert len(sm.list_artifacts(SourceUri=uri)["ArtifactSummaries"]) == 2


def test_data_goes_from_job_to_job_by_what_it_is(sm, submit, unique):
    raw, prefix = submit.put(f"{unique('raw')}/raw.csv", b"1 2\n3 4\n"), f"s3://{submit.bucket}/{unique('prepared')}"
    name = submit.process(
        ["sh", "-c", COPY],
        ProcessingInputs=[
            {
                "InputName": "raw",
                "S3Input": {
                    "S3Uri": raw,
                    "LocalPath": "/opt/ml/processing/input",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "train",
                    "S3Output": {"S3Uri": prefix, "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"},
                }
            ]
        },
    )
    assert submit.processed(name)["ProcessingJobStatus"] == "Completed"
    trained = submit.train(
        HyperParameters=submit.source(train_py=TRAIN), InputDataConfig=[submit.channel("train", prefix)]
    )
    model = submit.trained(trained)["ModelArtifacts"]["S3ModelArtifacts"]
    (artifact,) = wait_for(lambda: sm.list_artifacts(SourceUri=model)["ArtifactSummaries"])
    found = {one["Source"]["SourceUri"]: one for one in datasets(sm, artifact["ArtifactArn"])}
    assert set(found) == {raw, prefix}
    (identifier,) = found[prefix]["Source"]["SourceTypes"]
    properties = found[prefix]["Properties"]
    assert identifier == {"SourceIdType": "Custom", "Value": properties["SHA256"]}
    assert properties["Objects"] == "2"
    objects = json.loads(properties["Manifest"])
    assert {one["SHA256"] for one in objects} == {hashlib.sha256(b"1 2\n3 4\n").hexdigest()}
    lines = "".join(f"{one['Key']}\t{one['ETag']}\t{one['Bytes']}\n" for one in objects)
    assert properties["SHA256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_a_deleted_job_leaves_its_lineage(sm, submit):
    uri = submit.put(f"{submit.unique('short')}/train.csv", b"1\n")
    name = submit.train(HyperParameters=submit.source(train_py=TRAIN), InputDataConfig=[submit.channel("train", uri)])
    model = submit.trained(name)["ModelArtifacts"]["S3ModelArtifacts"]
    sm.delete_training_job(TrainingJobName=name)
    (artifact,) = wait_for(lambda: sm.list_artifacts(SourceUri=model)["ArtifactSummaries"])
    (found,) = datasets(sm, artifact["ArtifactArn"])
    assert found["Source"]["SourceUri"] == uri


def test_lineage_is_whole_after_kill_9(tmp_path, client_of):
    """A server that is killed at any moment writes what is missing, and nothing twice, when it is started again."""
    names = [f"m{number}" for number in range(12)]
    running = local_sagemaker.start(tmp_path)
    sm, s3 = client_of(running)("sagemaker"), client_of(running)("s3")
    s3.create_bucket(Bucket="archives")
    for name in names:
        s3.put_object(Bucket="archives", Key=f"{name}.tar.gz", Body=name)
    try:
        for name in names:
            container = {"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://archives/{name}.tar.gz"}
            sm.create_model(ModelName=name, PrimaryContainer=container)
            if name in names[2::3]:
                process = psutil.Process(running.pid)
                os.kill(running.pid, signal.SIGKILL)
                process.wait()
                running = local_sagemaker.start(tmp_path)
                sm = client_of(running)("sagemaker")
        for name in names:
            arn = sm.describe_model(ModelName=name)["ModelArn"]

            def sources(arn=arn):
                models = sm.list_artifacts(SourceUri=arn)["ArtifactSummaries"]
                assert len(models) <= 1
                found = [sm.list_associations(DestinationArn=one["ArtifactArn"]) for one in models]
                links = [link for one in found for link in one["AssociationSummaries"]]
                return sorted(link["AssociationType"] for link in links)

            assert wait_for(lambda: len(found := sources()) == 2 and found) == ["ContributedTo", "DerivedFrom"]
        assert len(sm.list_artifacts(ArtifactType="Image", MaxResults=100)["ArtifactSummaries"]) == 1
        assert len(sm.list_artifacts(ArtifactType="Model", MaxResults=100)["ArtifactSummaries"]) == 2 * len(names)
    finally:
        local_sagemaker.stop(tmp_path)


def test_a_transform_job_is_in_the_lineage_of_its_results(client, bucket, unique):
    transforms = submitted_transforms.Transforms(client, bucket, unique)
    sm, rows = transforms.sm, transforms.put(a_csv="1\n2\n")
    job = transforms.ended(transforms.submit(rows))
    assert job["TransformJobStatus"] == "Completed"
    output = job["TransformOutput"]["S3OutputPath"]
    (artifact,) = wait_for(lambda: sm.list_artifacts(SourceUri=output)["ArtifactSummaries"])
    found = ascendants(sm, artifact["ArtifactArn"])
    kinds = sorted((vertex["LineageType"], vertex["Type"]) for vertex in found)
    assert kinds == [
        ("Artifact", "DataSet"),
        ("Artifact", "Image"),
        ("Artifact", "Model"),
        ("TrialComponent", "TransformJob"),
    ]
    (data,) = [sm.describe_artifact(ArtifactArn=one["Arn"]) for one in found if one["Type"] == "DataSet"]
    assert data["Properties"]["SHA256"] == hashlib.sha256(b"1\n2\n").hexdigest()


def test_a_component_on_an_endpoint_is_a_deployment_of_its_model(client, bucket, role_arn, unique):
    hosted = hosting.Hosted(client, bucket, role_arn, unique)
    sm, endpoint, model = hosted.sm, hosted.endpoint(), hosted.model()
    hosted.component(endpoint, ModelName=model)
    arn = sm.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    hosted.clear()
    context = context_of(sm, arn)
    found = wait_for(lambda: ascendants(sm, context, Types=["Model"]))
    uris = {sm.describe_artifact(ArtifactArn=one["Arn"])["Source"]["SourceUri"] for one in found}
    described = sm.describe_model(ModelName=model)
    assert uris == {described["ModelArn"], described["PrimaryContainer"]["ModelDataUrl"]}
