"""An endpoint's captured traffic read back, a drift job on a schedule, and its alarm, on the local SageMaker."""

import json

import botocore.session
import pandas as pd
import pytest
from waiting import until

from helpers import cleanup, connect, deployment, monitoring

INFERENCE = """
def model_fn(model_dir):
    return None


def transform_fn(model, body, content_type, accept):
    text = body.decode() if isinstance(body, bytes) else body
    rows = [line.split(",") for line in text.splitlines()]
    return "\\n".join(str(float(row[0]) + float(row[1])) for row in rows), "text/csv"
"""


@pytest.fixture(scope="module")
def capturing(tmp_path_factory):
    """A session, an endpoint that adds two columns, and the URI where it keeps its traffic."""
    aws = connect(lab="monitored-service")
    folder = tmp_path_factory.mktemp("adder")
    (folder / "model").mkdir()
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text(INFERENCE)
    archive = deployment.package_model(folder / "model", folder / "code", folder / "model.tar.gz")
    uri = f"s3://{aws.bucket}/course/{aws.lab}/capture"
    environment = {"SAGEMAKER_PROGRAM": "inference.py"}
    model = aws.upload(archive, "model")
    endpoint = deployment.deploy_realtime(
        aws, aws.name("adder"), aws.image("sklearn"), model, environment, capture_uri=uri
    )
    yield aws, endpoint, uri
    cleanup.delete_lab(aws)


def captured(aws, uri, n):
    """The capture, once it holds n records."""

    def complete():
        try:
            return len(monitoring.read_capture(aws, uri)) >= n
        except FileNotFoundError:
            return False

    until(complete)
    return monitoring.read_capture(aws, uri)


def test_the_capture_is_read_back_as_it_was_sent(capturing):
    aws, endpoint, uri = capturing
    with pytest.raises(FileNotFoundError, match="no capture file"):
        monitoring.read_capture(aws, f"{uri}/nothing")
    for number in range(5):
        deployment.invoke(aws, endpoint, f"{number},1\n{number},2", accept="text/csv", InferenceId=f"call-{number}")
    table = captured(aws, uri, 5)
    assert list(table["inference_id"]) == [f"call-{number}" for number in range(5)]
    assert list(table["variant"].unique()) == ["AllTraffic"]
    assert table["input"].iloc[3] == "3,1\n3,2"
    assert table["output"].iloc[3].split() == ["4.0", "5.0"]
    middle = table["time"].iloc[2]
    assert len(monitoring.read_capture(aws, uri, since=middle)) == (table["time"] >= middle).sum()
    assert len(monitoring.read_capture(aws, uri, until=middle)) == (table["time"] < middle).sum()
    features = monitoring.csv_features(table["input"], ["left", "right"])
    assert features["left"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert features["record"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    with pytest.raises(ValueError, match="payload 0 has 2 columns, expected 1"):
        monitoring.csv_features(table["input"], ["left"])


def test_a_line_that_is_no_record_is_named(capturing):
    aws, _, _ = capturing
    key = f"course/{aws.lab}/broken/e/v/2026/01/01/00/a.jsonl"
    aws.s3.put_object(Bucket=aws.bucket, Key=key, Body=b'{"captureData": {}}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1: not a data capture record"):
        monitoring.read_capture(aws, f"s3://{aws.bucket}/course/{aws.lab}/broken")


def test_a_scheduled_job_writes_a_metric_whose_alarm_tells_a_topic(capturing):
    aws, _, _ = capturing
    topic = aws.client("sns").create_topic(Name=aws.name("drift"))["TopicArn"]
    queue = aws.client("sqs").create_queue(QueueName=aws.name("drift"))["QueueUrl"]
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
    program = (
        "import boto3, os; boto3.client('cloudwatch').put_metric_data(Namespace='course/drift', MetricData=[dict("
        "MetricName='psi', Dimensions=[dict(Name='Feature', Value='left')], Value=.7)]); "
        "print(os.environ['SCHEDULED_TIME'])"
    )
    job = {
        "ProcessingJobName": "monitored-drift",
        "RoleArn": aws.role,
        "AppSpecification": {"ImageUri": aws.image("sklearn"), "ContainerEntrypoint": ["python3", "-c", program]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        },
    }
    name = aws.name("hourly")
    alarm = aws.name("psi-left")
    monitoring.alarm_on(
        aws, alarm, "course/drift", "psi", {"Feature": "left"}, threshold=0.25, period=10, topics=[topic]
    )
    arn = monitoring.schedule_processing(aws, name, job, "rate(1 minute)")
    assert monitoring.schedule_processing(aws, name, job, "rate(2 minutes)") == arn

    def ran():
        found = aws.sagemaker.list_processing_jobs(NameContains="monitored-drift-", StatusEquals="Completed")
        return found["ProcessingJobSummaries"]

    try:
        jobs = until(ran)
        assert len({found["ProcessingJobName"] for found in jobs}) == len(jobs)
        message = until(lambda: aws.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
    finally:
        aws.client("scheduler").delete_schedule(Name=name)
        aws.cloudwatch.delete_alarms(AlarmNames=[alarm])
    told = json.loads(json.loads(message[0]["Body"])["Message"])
    assert (told["AlarmName"], told["NewStateValue"]) == (alarm, "ALARM")
    log = aws.logs.filter_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=jobs[0]["ProcessingJobName"]
    )
    due = pd.to_datetime(log["events"][0]["message"].strip(), utc=True)
    created = jobs[-1]["CreationTime"]
    assert abs(due - created) < pd.Timedelta(minutes=2)


def test_a_job_s_name_leaves_room_for_the_execution(capturing):
    aws, _, _ = capturing
    with pytest.raises(ValueError, match="27 characters"):
        monitoring.schedule_processing(aws, "x", {"ProcessingJobName": "a" * 27}, "rate(1 hour)")


def test_the_dashboard_is_accepted_by_cloudwatch_and_shows_each_feature(capturing):
    aws, endpoint, _ = capturing
    arn = f"arn:aws:cloudwatch:{aws.region}:{aws.account}:alarm:psi"
    body = monitoring.dashboard_body(endpoint, "AllTraffic", aws.region, "course/drift", ["left", "right"], [arn])
    aws.cloudwatch.put_dashboard(DashboardName="monitored", DashboardBody=body)
    stored = json.loads(aws.cloudwatch.get_dashboard(DashboardName="monitored")["DashboardBody"])
    drift = stored["widgets"][2]["properties"]["metrics"]
    assert [metric[5] for metric in drift] == ["left", "right"]
    assert stored["widgets"][3]["properties"]["alarms"] == [arn]
    boxes = [(widget["x"], widget["y"]) for widget in stored["widgets"]]
    assert len(set(boxes)) == len(boxes)
    aws.cloudwatch.delete_dashboards(DashboardNames=["monitored"])


def test_the_capture_config_fits_the_service_model():
    shape = botocore.session.get_session().get_service_model("sagemaker").shape_for("DataCaptureConfig")
    assert set(deployment.capture_config("s3://bucket/prefix")) <= set(shape.members)
