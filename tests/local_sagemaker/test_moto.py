"""The other services: what they were told is there again after `kill -9`, and what they lack is a proper error."""

import io
import os
import signal
import sqlite3
import threading
import time
import urllib.request

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from helpers import local_sagemaker

MEBIBYTE = 1024 * 1024


class Restartable:
    """A server of its own, to be killed."""

    def __init__(self, home, client_of):
        self.home = home
        self.client_of = client_of
        self.start()

    def start(self):
        self.running = local_sagemaker.start(self.home)
        self.client = self.client_of(self.running)

    def kill_and_restart(self):
        process = psutil.Process(self.running.pid)
        os.kill(self.running.pid, signal.SIGKILL)
        process.wait()
        self.start()

    def journal(self, statement):
        with sqlite3.connect(self.home / "state.db") as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory, client_of):
    """A server that these tests may kill."""
    made = Restartable(tmp_path_factory.mktemp("killed"), client_of)
    yield made
    local_sagemaker.stop(made.home)


def test_objects_roles_logs_metrics_and_uploads_survive_kill_9(server, unique):
    bucket, s3 = unique("bucket"), server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a b/ü+%.txt", Body=b"small", Metadata={"my_key": "1"}, ContentType="text/csv")
    s3.upload_fileobj(io.BytesIO(bytes(range(256)) * 4096 * 9), bucket, "large")
    open_upload = s3.create_multipart_upload(Bucket=bucket, Key="later")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="later", UploadId=open_upload, PartNumber=1, Body=b"p" * 5 * MEBIBYTE)
    role = server.client("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument="{}")["Role"]
    group = unique("group")
    logs = server.client("logs")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now, "message": "hello"}])
    cloudwatch = server.client("cloudwatch")
    cloudwatch.put_metric_data(Namespace=group, MetricData=[{"MetricName": "m", "Value": 3.5}])
    before = {
        "small": s3.head_object(Bucket=bucket, Key="a b/ü+%.txt"),
        "large": s3.head_object(Bucket=bucket, Key="large"),
        "created": [b for b in s3.list_buckets()["Buckets"] if b["Name"] == bucket],
    }

    server.kill_and_restart()

    s3 = server.client("s3")
    after = {
        "small": s3.head_object(Bucket=bucket, Key="a b/ü+%.txt"),
        "large": s3.head_object(Bucket=bucket, Key="large"),
        "created": [b for b in s3.list_buckets()["Buckets"] if b["Name"] == bucket],
    }
    for kind in ("small", "large"):
        for field in ("ETag", "LastModified", "ContentLength", "ContentType", "Metadata"):
            assert after[kind][field] == before[kind][field], f"{kind}: {field}"
    assert before["small"]["Metadata"] == {"my_key": "1"}
    assert after["created"] == before["created"]
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == bytes(range(256)) * 4096 * 9
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="later", UploadId=open_upload, MultipartUpload=parts)
    assert s3.head_object(Bucket=bucket, Key="later")["ContentLength"] == 5 * MEBIBYTE
    assert server.client("iam").get_role(RoleName=role["RoleName"])["Role"]["RoleId"] == role["RoleId"]
    events = server.client("logs").get_log_events(logGroupName=group, logStreamName="s")["events"]
    assert [event["message"] for event in events] == ["hello"]
    assert [m["MetricName"] for m in server.client("cloudwatch").list_metrics(Namespace=group)["Metrics"]] == ["m"]


def test_acknowledged_objects_survive_kill_9_at_any_moment(server, unique):
    bucket, s3 = unique("bucket"), server.client("s3")
    s3.create_bucket(Bucket=bucket)
    acknowledged, sent, killed = {}, {}, threading.Event()

    def write(writer):
        # Small bodies are rows of the journal, large ones are files; each key is replaced again and again.
        step = 0
        while not killed.is_set():
            step += 1
            key, body = f"{writer}-{step % 3}", f"{writer} {step} ".encode() * (10_000 if step % 2 else 1)
            sent[key] = body
            try:
                s3.put_object(Bucket=bucket, Key=key, Body=body)
            except (BotoCoreError, ClientError):
                return
            acknowledged[key] = body

    writers = [threading.Thread(target=write, args=(index,)) for index in range(4)]
    for writer in writers:
        writer.start()
    while len(acknowledged) < 12:
        time.sleep(0.01)
    process = psutil.Process(server.running.pid)
    process.kill()
    killed.set()
    for writer in writers:
        writer.join()
    process.wait()
    server.start()
    s3 = server.client("s3")
    for key, body in acknowledged.items():
        # The answer to the last request may have been lost on its way: then its body is right, too.
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() in (body, sent[key])


def test_replaced_and_deleted_objects_leave_the_journal(server, unique):
    bucket, s3 = unique("bucket"), server.client("s3")
    s3.create_bucket(Bucket=bucket)
    for content in (b"1" * MEBIBYTE, b"2" * MEBIBYTE):
        s3.put_object(Bucket=bucket, Key="replaced", Body=content)
        s3.put_object(Bucket=bucket, Key="deleted & gone", Body=content)
        s3.upload_fileobj(io.BytesIO(content * 9), bucket, "in parts")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "deleted & gone"}]})
    kept = server.journal(f"SELECT slot, COUNT(*) FROM journal WHERE slot LIKE '{bucket}/%' GROUP BY slot")
    # A multipart upload of two parts is four calls.
    assert dict(kept) == {f"{bucket}/replaced": 1, f"{bucket}/in parts": 4}
    on_disk = {path.name for path in (server.home / "journal").iterdir()}
    named = {file for (file,) in server.journal("SELECT body_file FROM journal WHERE body_file IS NOT NULL")}
    assert on_disk == named
    server.kill_and_restart()
    s3 = server.client("s3")
    assert s3.get_object(Bucket=bucket, Key="replaced")["Body"].read() == b"2" * MEBIBYTE
    assert s3.head_object(Bucket=bucket, Key="in parts")["ContentLength"] == 9 * MEBIBYTE


def test_a_copy_outlives_its_replaced_source(server, unique):
    bucket, s3 = unique("bucket"), server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="source", Body=b"first")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    s3.copy_object(
        Bucket=bucket, Key="copy", CopySource=f"{bucket}/copy", Metadata={"a": "b"}, MetadataDirective="REPLACE"
    )
    s3.put_object(Bucket=bucket, Key="source", Body=b"second")
    server.kill_and_restart()
    s3 = server.client("s3")
    copy = s3.get_object(Bucket=bucket, Key="copy")
    assert (copy["Body"].read(), copy["Metadata"]) == (b"first", {"a": "b"})
    assert s3.get_object(Bucket=bucket, Key="source")["Body"].read() == b"second"


def test_all_versions_survive(server, unique):
    bucket, s3 = unique("bucket"), server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [s3.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"1", b"2")]
    server.kill_and_restart()
    s3 = server.client("s3")
    bodies = [s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() for version in versions]
    assert bodies == [b"1", b"2"]


def test_a_new_home_has_the_role_and_the_default_bucket(server):
    role = server.client("iam").get_role(RoleName="CourseExecutionRole")["Role"]
    assert role["Arn"] == "arn:aws:iam::111122223333:role/CourseExecutionRole"
    server.client("s3").head_bucket(Bucket="sagemaker-us-east-1-111122223333")


def test_the_caller_is_a_session_of_the_execution_role(server):
    identity = server.client("sts").get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::111122223333:assumed-role/CourseExecutionRole/local"
    assert identity["Account"] == "111122223333"


def test_every_action_is_allowed_to_a_role_that_exists(server):
    iam = server.client("iam")
    role_arn = "arn:aws:iam::111122223333:role/CourseExecutionRole"
    answer = iam.simulate_principal_policy(PolicySourceArn=role_arn, ActionNames=["s3:GetObject", "sagemaker:AddTags"])
    decisions = {result["EvalActionName"]: result["EvalDecision"] for result in answer["EvaluationResults"]}
    assert decisions == {"s3:GetObject": "allowed", "sagemaker:AddTags": "allowed"}
    with pytest.raises(ClientError) as missing:
        iam.simulate_principal_policy(PolicySourceArn=role_arn + "Not", ActionNames=["s3:GetObject"])
    assert missing.value.response["Error"]["Code"] == "NoSuchEntity"


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        pytest.param("cloudwatch", "list_metric_streams", {}, id="CBOR"),
        pytest.param("iam", "get_service_last_accessed_details", {"JobId": "0" * 36}, id="Query"),
        pytest.param("logs", "list_anomalies", {}, id="JSON"),
        pytest.param("lambda", "list_code_signing_configs", {}, id="REST-JSON"),
        pytest.param("snowball", "list_jobs", {}, id="a whole service"),
        pytest.param("sagemaker-a2i-runtime", "list_human_loops", {"FlowDefinitionArn": "a"}, id="a part of SageMaker"),
    ],
)
def test_what_nobody_implements_is_an_aws_error_that_clients_do_not_retry(server, service, operation, arguments):
    with pytest.raises(ClientError, match="not available in the local SageMaker") as refused:
        getattr(server.client(service, validate=False), operation)(**arguments)
    assert refused.value.response["Error"]["Code"] in ("NotImplemented", "ValidationException")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_streamed_bodies_with_trailing_checksums_are_stored_as_sent(server, unique):
    bucket = unique("bucket")
    s3 = boto3.client(
        "s3",
        endpoint_url=server.running.url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name="us-east-1",
        config=Config(request_checksum_calculation="when_required"),
    )
    s3.create_bucket(Bucket=bucket)
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "chunked"})
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"))
    assert s3.get_object(Bucket=bucket, Key="chunked")["Body"].read() == b"hello"
    server.kill_and_restart()
    assert server.client("s3").get_object(Bucket=bucket, Key="chunked")["Body"].read() == b"hello"


def test_presigned_urls_and_virtual_hosts_reach_the_object(server, unique):
    bucket, s3 = unique("bucket"), server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"zipped", ContentEncoding="gzip", ACL="public-read")
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})) as answer:
        assert answer.read() == b"zipped"
    for host in (f"{bucket}.s3.amazonaws.com", f"{bucket}.s3.us-east-1.amazonaws.com"):
        request = urllib.request.Request(f"{server.running.url}/k", headers={"Host": host})
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == b"zipped"


def test_compressed_requests_are_understood(server, unique):
    namespace = unique("compressed")
    data = [{"MetricName": f"a-long-metric-name-{i}", "Value": i} for i in range(900)]
    server.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)
    listed = server.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace=namespace)
    assert sum(len(page["Metrics"]) for page in listed) == 900


def test_a_long_poll_waits_without_holding_up_the_others(server, unique):
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    rows = server.journal("SELECT COUNT(*) FROM journal")
    received = []
    poll = threading.Thread(
        target=lambda: received.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages"))
    )
    poll.start()
    server.client("s3").list_buckets()
    assert poll.is_alive()
    assert server.journal("SELECT COUNT(*) FROM journal") == rows, "an empty answer changes nothing"
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    poll.join()
    assert received[0][0]["Body"] == "hello"
    server.kill_and_restart()
    sqs = server.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "1"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0][0]["ReceiptHandle"])


def test_ids_that_a_read_made_are_the_same_after_a_restart(server):
    vpcs = [vpc["VpcId"] for vpc in server.client("ec2").describe_vpcs()["Vpcs"]]
    server.kill_and_restart()
    assert [vpc["VpcId"] for vpc in server.client("ec2").describe_vpcs()["Vpcs"]] == vpcs


def test_roles_take_the_policies_that_aws_manages(server, unique):
    iam, name = server.client("iam"), unique("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["AmazonSageMakerFullAccess"]


def test_metrics_have_percentiles(server, unique):
    cloudwatch, namespace, now = server.client("cloudwatch"), unique("metrics"), time.time()
    data = [{"MetricName": "Latency", "Values": [float(value) for value in range(1, 101)], "Timestamp": now}]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    span = {"StartTime": now - 600, "EndTime": now + 60}
    asked = {"Namespace": namespace, "MetricName": "Latency", "Period": 3600} | span
    found = cloudwatch.get_metric_statistics(**asked, ExtendedStatistics=["p50", "p99", "p99.9"])["Datapoints"]
    assert [point["ExtendedStatistics"] for point in found] == [{"p50": 50.0, "p99": 99.0, "p99.9": 100.0}]
    metric = {"Namespace": namespace, "MetricName": "Latency"}
    query = {"Id": "a", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "p90"}}
    assert cloudwatch.get_metric_data(MetricDataQueries=[query], **span)["MetricDataResults"][0]["Values"] == [90.0]
    query["MetricStat"]["Stat"] = "tm90"
    with pytest.raises(ClientError, match="'tm90' is not available") as raised:
        cloudwatch.get_metric_data(MetricDataQueries=[query], **span)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_log_events_are_filtered_by_the_prefix_of_their_stream(server, unique):
    logs, group = server.client("logs"), unique("group")
    logs.create_log_group(logGroupName=group)
    for stream in ("job-1/algo-1", "job-1/algo-2", "job-2/algo-1"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": stream}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])

    def messages(prefix):
        events = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=prefix)["events"]
        return sorted(event["message"] for event in events)

    assert messages("job-1/") == ["job-1/algo-1", "job-1/algo-2"]
    assert messages("job-3") == []
    with pytest.raises(ClientError) as raised:
        logs.filter_log_events(logGroupName=unique("none"), logStreamNamePrefix="job")
    assert raised.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_metric_data_are_not_in_the_journal(server, unique):
    count = "SELECT COUNT(*) FROM journal WHERE headers LIKE '%PutMetricData%'"
    server.client("cloudwatch").put_metric_data(Namespace=unique("n"), MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert server.journal(count) == [(0,)]


def test_a_client_of_another_region_sees_the_same_account(server):
    server.client("logs").create_log_group(logGroupName="/seen/everywhere")
    config = Config(retries={"total_max_attempts": 1})
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="eu-west-1")
    west = {
        name: session.client(name, endpoint_url=server.running.url, config=config) for name in ("logs", "iam", "s3")
    }
    found = west["logs"].describe_log_groups(logGroupNamePrefix="/seen")["logGroups"]
    assert [group["logGroupName"] for group in found] == ["/seen/everywhere"]
    assert west["iam"].get_role(RoleName="SageMakerRole")["Role"]["Arn"].endswith(":role/SageMakerRole")
    west["s3"].create_bucket(Bucket="in-the-west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert west["s3"].get_bucket_location(Bucket="in-the-west")["LocationConstraint"] == "eu-west-1"
    assert server.client("s3").list_objects_v2(Bucket="in-the-west")["KeyCount"] == 0
