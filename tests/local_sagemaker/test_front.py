"""The front listens to this machine only, and answers in AWS's protocols."""

import http.client
import json
from contextlib import closing

import psutil
import pytest
from botocore.exceptions import ClientError

JSON_1_1 = "application/x-amz-json-1.1"


def get(server, path, headers):
    """The status and the body of a GET, with exactly these headers."""
    with closing(http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_it_listens_on_loopback_only(server):
    sockets = psutil.Process(server.pid).net_connections("tcp")
    assert {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_health_names_the_process_and_its_home(server):
    status, body = get(server, "/_local/health", {"Host": "127.0.0.1"})
    assert (status, json.loads(body)) == (200, {"pid": server.pid, "home": str(server.home)})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example/s3.amazonaws.com"},
        {"Host": "s3.amazonaws.com.evil.example"},
        {"Host": "ec2-203-0-113-1.compute-1.amazonaws.com"},
        {},
        {"Host": "127.0.0.1", "Origin": "https://evil.example"},
        {"Host": "127.0.0.1", "Origin": "null"},
        {"Host": "127.0.0.1", "Origin": "http://127.0.0.1:1"},
        {"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/_local/health", "/", "/bucket/key"])
def test_web_pages_and_foreign_hosts_are_refused(server, headers, path):
    status, _ = get(server, path, headers)
    # HTTP/1.1 itself refuses a request without a Host.
    assert status in ((403,) if "Host" in headers else (400, 403))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:8080", "bucket.s3.us-east-1.amazonaws.com"])
def test_hosts_of_this_machine_and_of_s3_are_served(server, host):
    assert get(server, "/_local/health", {"Host": host, "Sec-Fetch-Site": "none"})[0] == 200


def test_every_response_carries_a_request_id(sm):
    metadata = sm.list_models()["ResponseMetadata"]
    assert len(metadata["RequestId"]) == 36
    assert metadata["HTTPHeaders"]["content-type"] == JSON_1_1


def test_the_client_raises_the_model_s_own_exceptions(sm):
    with pytest.raises(ClientError) as missing:
        sm.describe_model(ModelName="no-such-model")
    error = missing.value.response
    assert error["Error"]["Code"] == "ValidationException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_models_are_described_as_they_were_created(sm, unique, role_arn):
    name = unique("Model")
    container = {"Image": "local/x", "ModelDataUrl": "s3://nowhere/model.tar.gz", "Environment": {"A": "1"}}
    created = sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role_arn)
    described = sm.describe_model(ModelName=name)
    assert described["ModelArn"] == created["ModelArn"] == f"arn:aws:sagemaker:us-east-1:111122223333:model/{name}"
    assert described["PrimaryContainer"] == container
    assert described["EnableNetworkIsolation"] is False
    assert not {"VpcConfig", "Containers", "Tags", "LastModifiedTime"} & described.keys()
    sm.delete_model(ModelName=name)
    with pytest.raises(ClientError, match="Could not find model"):
        sm.describe_model(ModelName=name)


def test_tags_are_added_changed_listed_and_deleted(sm, unique):
    tags = [{"Key": f"k{i}", "Value": str(i)} for i in range(3)]
    arn = sm.create_model(ModelName=unique("model"), PrimaryContainer={"Image": "x"}, Tags=tags[:1])["ModelArn"]
    sm.add_tags(ResourceArn=arn, Tags=tags[1:])
    assert sm.add_tags(ResourceArn=arn, Tags=[{"Key": "k1", "Value": "changed"}])["Tags"][1]["Value"] == "changed"
    sm.delete_tags(ResourceArn=arn, TagKeys=["k0", "not there"])
    assert [tag["Key"] for tag in sm.list_tags(ResourceArn=arn)["Tags"]] == ["k1", "k2"]


def test_a_resource_has_at_most_50_tags(sm, unique):
    arn = sm.create_model(ModelName=unique("model"), PrimaryContainer={"Image": "x"})["ModelArn"]
    sm.add_tags(ResourceArn=arn, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])
    with pytest.raises(ClientError) as refused:
        sm.add_tags(ResourceArn=arn, Tags=[{"Key": "one more", "Value": ""}])
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert len(sm.list_tags(ResourceArn=arn)["Tags"]) == 50
