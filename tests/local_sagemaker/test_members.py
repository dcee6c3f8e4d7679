"""No member of a request is accepted and ignored: each is acted on, refused, or known to be kept without an effect."""

import re
from collections.abc import Iterator
from pathlib import Path

import deployed
import pytest
import submitted_jobs
from botocore.exceptions import ClientError

from helpers.local_sagemaker import app, errors, members, model_data, operations, staging
from helpers.local_sagemaker.model import service

SHAPES = service()["shapes"]
EXECUTING = [name for name in operations.OPERATIONS if operations.level(name) is operations.Level.EXECUTES]
# Read by `listing.page`, which puts these names together.
OF_LISTINGS = {f"{time}{side}" for time in ("CreationTime", "LastModifiedTime") for side in ("After", "Before")}


def shape_of(operation: str) -> str:
    """The name of an operation's input shape."""
    return service()["operations"][operation]["input"]["shape"]


def ways(shape_name: str, before: tuple[str, ...] = (), above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The ways to all members of a shape, through lists and structures."""
    shape = SHAPES[shape_name]
    if shape["type"] == "list":
        yield from ways(shape["member"]["shape"], before, above)
    elif shape["type"] == "structure" and shape_name not in above:
        for name, member in shape["members"].items():
            yield (*before, name)
            yield from ways(member["shape"], (*before, name), (*above, shape_name))


def example(shape_name: str, way: list[str]) -> object:
    """A value of a shape that asks for the member at the end of a way."""
    shape = SHAPES[shape_name]
    if shape["type"] == "list":
        return [example(shape["member"]["shape"], way)]
    if way:
        return {way[0]: example(shape["members"][way[0]]["shape"], way[1:])}
    if shape["type"] == "structure":
        return {name: example(member["shape"], []) for name, member in shape["members"].items()}
    return True if shape["type"] == "boolean" else 1


def off(value: object) -> object:
    """A value with all of its scalars switched off."""
    if isinstance(value, dict):
        return {name: off(member) for name, member in value.items()}
    return [off(member) for member in value] if isinstance(value, list) else False


def test_every_member_is_acted_on_or_refused_or_known_to_be_kept():
    top = Path(app.__file__).parent
    sources = [path for path in top.glob("*.py") if path.name != "members.py"]
    sources += [path for path in top.glob("*/*.py") if path.parent.name not in ("runtimes", "startup")]
    read = set(re.findall(r"\w+", "".join(path.read_text() for path in sources))) | OF_LISTINGS
    unknown = []
    for operation in EXECUTING:
        refused = [tuple(way.split(".")) for way in members.REFUSED.get(operation, ())]
        for way in ways(shape_of(operation)):
            is_refused = any(way[: len(other)] == other for other in refused)
            if not is_refused and not members.KEPT.keys() & set(way) and way[-1] not in read:
                unknown.append(f"{operation} {'.'.join(way)}")
    assert unknown == []


@pytest.mark.parametrize(("operation", "way"), [(name, way) for name, all_ in members.REFUSED.items() for way in all_])
def test_a_member_that_is_not_to_be_had_is_refused(operation, way):
    assert tuple(way.split(".")) in set(ways(shape_of(operation)))
    request = example(shape_of(operation), way.split("."))
    with pytest.raises(errors.AwsError) as refused:
        members.check(operation, request)
    assert refused.value.code == "ValidationException"
    assert refused.value.message == f"{way} is not available in the local SageMaker."
    members.check(operation, off(request))


def test_what_is_kept_is_a_member_of_some_request():
    known = {name for operation in EXECUTING for way in ways(shape_of(operation)) for name in way}
    assert members.KEPT.keys() <= known


def test_the_server_refuses_by_the_table(sm, unique):
    variant = deployed.variant("nobody", CoreDumpConfig={"DestinationS3Uri": "s3://dumps/here"})
    config = {"EndpointConfigName": unique("no"), "MetricsConfig": {"EnableEnhancedMetrics": True}}
    with pytest.raises(ClientError) as refused:
        sm.create_endpoint_config(ProductionVariants=[variant], **config)
    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "MetricsConfig and ProductionVariants.CoreDumpConfig are not available in the local SageMaker.",
    }


def test_the_role_of_a_model_exists(sm, unique):
    role = "arn:aws:iam::111122223333:role/Nobody"
    container = {"Image": deployed.SKLEARN}
    with pytest.raises(ClientError, match=f"Could not assume role {role}"):
        sm.create_model(ModelName=unique("model"), ExecutionRoleArn=role, PrimaryContainer=container)
    config = {"EndpointConfigName": unique("config"), "ProductionVariants": [deployed.variant("x")]}
    sm.create_model(ModelName="x", PrimaryContainer=container)
    with pytest.raises(ClientError, match=f"Could not assume role {role}"):
        sm.create_endpoint_config(ExecutionRoleArn=role, **config)
    sm.delete_model(ModelName="x")


def test_data_that_does_not_come_in_time_fails_the_endpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "download_prefix", lambda *_: None)
    source = {"S3Uri": "s3://models/churn/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Name": "primary", "Image": deployed.SKLEARN, "ModelDataSource": {"S3DataSource": source}}
    model = {"Containers": [container], "Mode": "Serial", "NetworkIsolation": False}
    with pytest.raises(staging.StagingError, match=r"s3://models/churn/.*ModelDataDownloadTimeoutInSeconds \(0 s\)"):
        model_data.stage(None, model, tmp_path, download_seconds=0)


def test_a_configuration_isolates_the_containers_of_its_models(sm, s3, bucket, unique, runtime):
    script = """
import urllib.error, urllib.request
def model_fn(model_dir):
    return None
def transform_fn(model, url, content_type, accept):
    try:
        return str(urllib.request.urlopen(url.decode(), timeout=5).status)
    except urllib.error.URLError:
        return "nothing"
"""
    name, reached = unique("isolated"), {}
    deployed.create_model(sm, s3, bucket, name, {"code/inference.py": script})
    for config, isolated in ((f"{name}-a", True), (f"{name}-b", False)):
        variants = [deployed.variant(name)]
        sm.create_endpoint_config(
            EndpointConfigName=config, EnableNetworkIsolation=isolated, ProductionVariants=variants
        )
        sm.create_endpoint(EndpointName=config, EndpointConfigName=config)
        deployed.await_status(sm, config, "InService")
        url = f"{runtime.meta.endpoint_url}/_local/health"
        answer = runtime.invoke_endpoint(EndpointName=config, ContentType="text/plain", Body=url)
        reached[isolated] = answer["Body"].read()
        sm.delete_endpoint(EndpointName=config)
    assert reached == {True: b"nothing", False: b"200"}


def test_a_shuffled_channel_is_dealt_out_by_its_seed(client, bucket, role_arn, unique):
    submit = submitted_jobs.Submitter(client, bucket, role_arn, unique)
    prefix = unique("rows")
    for letter in "abcdefgh":
        submit.put(f"{prefix}/{letter}", letter)
    script = "import os\nprint(''.join(sorted(os.listdir('/opt/ml/input/data/train'))))"
    source, dealt = submit.source(train_py=script), []
    for shuffle in ({}, {"ShuffleConfig": {"Seed": 7}}, {"ShuffleConfig": {"Seed": 7}}):
        channel = submit.channel("train", f"s3://{bucket}/{prefix}/", sharded=True) | shuffle
        name = submit.train(HyperParameters=source, instances=2, InputDataConfig=[channel])
        assert submit.trained(name)["TrainingJobStatus"] == "Completed"
        dealt.append([submit.log(name, host=host) for host in ("algo-1", "algo-2")])
    assert dealt[0] == [["aceg"], ["bdfh"]]
    assert dealt[1] == dealt[2] != dealt[0]
    assert sorted("".join(line for lines in dealt[1] for line in lines)) == list("abcdefgh")
