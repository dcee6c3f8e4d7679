"""From drift in an endpoint's traffic to a message in a queue, by an hourly schedule; and through kills."""

import json
import signal
import time

import psutil
import pytest
from monitored import Monitored, rows, until

from helpers import local_sagemaker

SPEEDUP = 360  # an hour of the schedule is 10 s
HOURLY = {"ScheduleExpression": "cron(0 * ? * * *)"}
PATIENCE_SECONDS = 120


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home of a server with quick schedules."""
    monkeypatch.setenv("LOCAL_SAGEMAKER_SPEEDUP", str(SPEEDUP))
    yield tmp_path
    local_sagemaker.stop(tmp_path)


def role(client) -> str:
    """The server's execution role."""
    return client("iam").get_role(RoleName="CourseExecutionRole")["Role"]["Arn"]


def alarmed_queue(client, monitored: Monitored, schedule: str) -> str:
    """A queue that hears when the drift of `age` is above 0.2; its URL."""
    sns, sqs = client("sns"), client("sqs")
    topic = sns.create_topic(Name="drift")["TopicArn"]
    queue = sqs.create_queue(QueueName="drift")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    names = {"Endpoint": monitored.name, "MonitoringSchedule": schedule}
    client("cloudwatch").put_metric_alarm(
        AlarmName="age-drifts",
        Namespace="aws/sagemaker/Endpoints/data-metrics",
        MetricName="feature_baseline_drift_age",
        Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
        Statistic="Maximum",
        Period=10,
        EvaluationPeriods=1,
        Threshold=0.2,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        AlarmActions=[topic],
    )
    return queue


def test_drift_in_traffic_becomes_a_message_in_a_queue_and_no_drift_becomes_none(home, client_of):
    client = client_of(local_sagemaker.start(home))
    monitored = Monitored(client, role(client))
    monitored.deploy()
    definition = monitored.define(
        "DataQuality", "definition", baseline={"BaseliningJobName": monitored.suggest_baseline()}
    )
    queue = alarmed_queue(client, monitored, "hourly")
    sqs, cloudwatch = client("sqs"), client("cloudwatch")
    monitored.ask(rows(1))
    monitored.schedule("hourly", definition, timing=HOURLY)
    [calm, *_] = monitored.ended("hourly")[::-1]
    assert calm["MonitoringExecutionStatus"] == "Completed", calm
    assert monitored.report(calm)["violations"] == []
    until(lambda: _alarm(cloudwatch)["StateValue"] == "OK")
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    monitored.ask(rows(2, older=30))
    until(lambda: monitored.executions("hourly", StatusEquals="CompletedWithViolations"))
    [violated] = monitored.executions("hourly", StatusEquals="CompletedWithViolations")
    found = {(each["feature_name"], each["constraint_check_type"]) for each in monitored.report(violated)["violations"]}
    assert found == {("age", "baseline_drift_check"), ("score", "baseline_drift_check")}
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    told = json.loads(json.loads(message["Body"])["Message"])
    assert (told["AlarmName"], told["NewStateValue"]) == ("age-drifts", "ALARM")
    assert told["Trigger"]["MetricName"] == "feature_baseline_drift_age"


def _alarm(cloudwatch) -> dict:
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["age-drifts"])["MetricAlarms"]
    return alarm


def killed(running: local_sagemaker.Running) -> None:
    """Ends a server as a power cut does."""
    server = psutil.Process(running.pid)
    server.send_signal(signal.SIGKILL)
    server.wait(30)


def test_a_kill_fails_the_execution_that_ran_and_the_schedule_goes_on_with_all_that_was_captured(home, client_of):
    running = local_sagemaker.start(home)
    client = client_of(running)
    monitored = Monitored(client, role(client))
    monitored.deploy()
    slow = monitored.put("slow.py", "import time\ndef preprocess_handler(record):\n    time.sleep(600)\n")
    definition = monitored.define("DataQuality", "slow", application={"RecordPreprocessorSourceUri": slow})
    monitored.capture(rows(1, size=5))
    monitored.schedule("slow", definition)
    until(lambda: client("sagemaker").list_processing_jobs(NameContains="model-monitoring")["ProcessingJobSummaries"])
    quick = monitored.define("DataQuality", "quick")
    in_forty_minutes = {"ScheduleExpression": f"cron({(time.gmtime().tm_min + 40) % 60} * ? * * *)"}
    monitored.schedule("hourly", quick, timing=in_forty_minutes)
    killed(running)
    time.sleep(2.5 * 3600 / SPEEDUP)  # the schedule misses two times or three
    client = client_of(local_sagemaker.start(home))
    monitored.sm, monitored.s3 = client("sagemaker"), client("s3")
    [cut] = monitored.ended("slow")
    assert cut["MonitoringExecutionStatus"] == "Failed"
    assert "the local SageMaker was stopped while the job ran" in cut["FailureReason"]
    until(lambda: monitored.executions("hourly", StatusEquals="Completed"))
    [made_up] = monitored.executions("hourly", StatusEquals="Completed")  # the times that were missed count as one
    assert monitored.report(made_up, "statistics.json")["dataset"]["item_count"] == 5
