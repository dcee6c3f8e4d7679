"""What stands under an S3 URI is known again by its content; what is told twice is written once."""

import hashlib
import json
from types import SimpleNamespace

import pytest

from helpers.local_sagemaker import app, arns, fleet, tags
from helpers.local_sagemaker.lineage import recording, s3_content
from helpers.local_sagemaker.staging import Location
from helpers.local_sagemaker.state import Store
from helpers.local_sagemaker.state_changes import StateChange

assert app.OPERATION_MODULES, "importing them registers their kinds"


@pytest.fixture
def stored(s3, bucket, unique):
    """`stored(a=b"1")`: what is found under a prefix with these objects, and the server that it is in."""

    def put(**objects):
        prefix = unique("content")
        for name, body in objects.items():
            s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
        server = SimpleNamespace(client=lambda service: {"s3": s3}[service])
        return s3_content.find(server, Location(bucket, f"{prefix}/")), server

    return put


def test_the_same_files_elsewhere_have_the_same_hashes_and_other_keys(stored):
    (one, server), (two, _) = stored(a=b"1", b=b"2"), stored(a=b"1", b=b"2")
    assert one.manifest_hash != two.manifest_hash
    hashes = [[each["SHA256"] for each in json.loads(found.properties(server)["Manifest"])] for found in (one, two)]
    assert hashes[0] == hashes[1] == [hashlib.sha256(content).hexdigest() for content in (b"1", b"2")]


def test_large_data_is_known_by_its_etags_and_not_read(stored, monkeypatch):
    monkeypatch.setattr(s3_content, "MOST_HASHED_BYTES", 3)
    found, server = stored(a=b"four")
    properties = found.properties(server)
    assert properties["SHA256"] == found.manifest_hash
    assert "SHA256" not in json.loads(properties["Manifest"])[0]
    assert found.identifiers() == [{"SourceIdType": "S3ETag", "Value": hashlib.md5(b"four").hexdigest()}]


def test_a_manifest_that_is_too_long_is_left_out(stored):
    found, server = stored(**{f"part-{number:03}": b"x" for number in range(30)})
    properties = found.properties(server)
    assert properties == {"Objects": "30", "Bytes": "30", "SHA256": found.manifest_hash}
    assert found.identifiers() == [{"SourceIdType": "Custom", "Value": found.manifest_hash}]


def test_where_nothing_stands_nothing_is_known(stored, unique):
    found, server = stored()
    assert found.identifiers() == []
    assert s3_content.find(server, Location(unique("no-bucket"), "key")).objects == ()


def test_a_change_that_is_told_twice_is_written_once(tmp_path):
    store = Store(tmp_path / "state.db")
    server = SimpleNamespace(store=store, arn=arns.arn, add_tags=lambda arn, given: tags.add(store, arn, given))
    containers = [{"Image": "image:1"}]
    model = {"ModelArn": arns.arn("model", "m"), "CreationTime": 1.0, "PrimaryContainer": containers[0]}
    package = {
        "ModelPackageArn": arns.arn("model-package", "g/1"),
        "ModelPackageGroupName": "g",
        "ModelPackageVersion": 1,
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {"Containers": containers},
    }
    spec = {"Model": {"Containers": containers, "ModelArn": model["ModelArn"], "CreationTime": 1.0}}
    endpoint = {
        "EndpointName": "e",
        "EndpointArn": arns.arn("endpoint", "e"),
        "EndpointStatus": "InService",
        "CreationTime": 2.0,
        fleet.PLAN: {"Generation": "ab", "ConfigName": "c", "Variants": [spec]},
    }
    execution = arns.arn("pipeline", "p/execution/e1")
    server.add_tags(package["ModelPackageArn"], [{"Key": "sagemaker:pipeline-execution-arn", "Value": execution}])
    told = (("Model", "m", model), ("ModelPackage", "g/1", package), ("Endpoint", "e", endpoint))
    counts = []
    for _ in range(2):
        for number, (kind, name, record) in enumerate(told):
            recording.record(server, StateChange(number, kind, name, 3.0, None, record))
            recording.record(server, StateChange(number, kind, name, 4.0, record, None))
        written = [len(store.list(kind)) for kind in ("Artifact", "Context", "Action")]
        counts.append([*written, store.execute("SELECT COUNT(*) FROM associations")[0][0]])
    store.close()
    # The image, model and package; the group, endpoint and pipeline's execution; the approval and the deployment.
    assert counts[0] == [3, 3, 2, 8]
    assert counts[1] == counts[0]
