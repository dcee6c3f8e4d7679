"""CloudWatch's alarms: evaluated by AWS's rules, told in its words, acted on, and not lost by a kill."""

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from alarm_requests import alarm
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker import Running

TIMEOUT = 20


@pytest.fixture(scope="session")
def cloudwatch(client: Callable[..., BaseClient]) -> BaseClient:
    """CloudWatch."""
    return client("cloudwatch")


def put(cloudwatch: BaseClient, metric: str, value: float, **members: object) -> None:
    """One value of a metric, now."""
    cloudwatch.put_metric_data(Namespace="course", MetricData=[{"MetricName": metric, "Value": value, **members}])


def state(cloudwatch: BaseClient, name: str) -> dict:
    """The alarm as DescribeAlarms has it."""
    found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return [*found["MetricAlarms"], *found["CompositeAlarms"]][0]


def await_state(cloudwatch: BaseClient, name: str, wanted: str) -> dict:
    """The alarm, once it is in a state."""
    deadline = time.monotonic() + TIMEOUT
    while (now := state(cloudwatch, name))["StateValue"] != wanted:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def keep_reporting(cloudwatch: BaseClient, name: str, value: float, wanted: str) -> dict:
    """Reports a value until the alarm is in a state."""
    deadline = time.monotonic() + TIMEOUT
    while (now := state(cloudwatch, name))["StateValue"] != wanted:
        assert time.monotonic() < deadline, now
        put(cloudwatch, name, value)
        time.sleep(0.2)
    return now


def history(cloudwatch: BaseClient, name: str, kind: str) -> list[str]:
    """What was noted down about an alarm, the latest first."""
    items = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType=kind)["AlarmHistoryItems"]
    return [item["HistorySummary"] for item in items]


def test_an_alarm_follows_its_metric(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    name = unique("alarm")
    cloudwatch.put_metric_alarm(**alarm(name))
    assert state(cloudwatch, name)["StateValue"] == "INSUFFICIENT_DATA"
    put(cloudwatch, name, 9)
    assert "was greater than the threshold (5.0)" in await_state(cloudwatch, name, "ALARM")["StateReason"]
    keep_reporting(cloudwatch, name, 1, "OK")
    reason = await_state(cloudwatch, name, "INSUFFICIENT_DATA")["StateReason"]
    assert reason == "Insufficient Data: 1 datapoint was unknown."
    history = cloudwatch.describe_alarm_history(AlarmName=name, ScanBy="TimestampAscending")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history] == [
        f'Alarm "{name}" created',
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to INSUFFICIENT_DATA",
    ]
    data = json.loads(history[1]["HistoryData"])
    assert data["newState"]["stateReasonData"]["recentDatapoints"] == [9.0]


def test_values_from_before_the_alarm_count(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    name = unique("alarm")
    put(cloudwatch, name, 9)
    cloudwatch.put_metric_alarm(**alarm(name, Period=3600, TreatMissingData="notBreaching"))
    await_state(cloudwatch, name, "ALARM")


def test_other_dimensions_and_units_are_another_metric(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    name, other = unique("alarm"), [{"Name": "EndpointName", "Value": "other"}]
    cloudwatch.put_metric_alarm(**alarm(name, Unit="Seconds", Period=3600))
    put(cloudwatch, name, 9, Dimensions=other, Unit="Seconds")
    put(cloudwatch, name, 9, Unit="Bytes")
    put(cloudwatch, name, 1, Unit="Seconds")
    await_state(cloudwatch, name, "OK")
    put(cloudwatch, name, 9, Unit="Seconds")
    await_state(cloudwatch, name, "ALARM")


def test_sums_of_what_a_program_reports_are_not_scaled(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    name = unique("alarm")
    cloudwatch.put_metric_alarm(**alarm(name, Statistic="Sum", Period=3600))
    put(cloudwatch, name, 3)
    put(cloudwatch, name, 2)
    reason = await_state(cloudwatch, name, "OK")["StateReason"]
    assert "was not greater" in reason
    put(cloudwatch, name, 1)
    await_state(cloudwatch, name, "ALARM")


def test_percentiles_and_expressions(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    percentile, ratio = unique("alarm"), unique("alarm")
    definition = alarm(percentile, ExtendedStatistic="p50", Period=3600)
    del definition["Statistic"]
    cloudwatch.put_metric_alarm(**definition)
    stats = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": "course", "MetricName": f"{ratio}-{name}"},
                "Period": 3600,
                "Stat": "Sum",
            },
            "ReturnData": False,
        }
        for name in ("errors", "calls")
    ]
    cloudwatch.put_metric_alarm(
        AlarmName=ratio,
        Metrics=[*stats, {"Id": "rate", "Expression": "100 * errors / calls"}],
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=5,
    )
    for value in (1, 9, 9):
        put(cloudwatch, percentile, value)
    put(cloudwatch, f"{ratio}-errors", 1)
    put(cloudwatch, f"{ratio}-calls", 10)
    await_state(cloudwatch, percentile, "ALARM")
    assert "10.0" in await_state(cloudwatch, ratio, "ALARM")["StateReason"]


def test_a_topic_and_its_queue_get_awss_message(
    cloudwatch: BaseClient, client: Callable[..., BaseClient], unique: Callable[[str], str]
) -> None:
    name, sns, sqs = unique("alarm"), client("sns"), client("sqs")
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    dimensions = [{"Name": "EndpointName", "Value": "e"}]
    cloudwatch.put_metric_alarm(**alarm(name, AlarmActions=[topic], Dimensions=dimensions, DatapointsToAlarm=1))
    put(cloudwatch, name, 9, Dimensions=dimensions)
    await_state(cloudwatch, name, "ALARM")
    (received,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=TIMEOUT)["Messages"]
    notification = json.loads(received["Body"])
    message = json.loads(notification["Message"])
    assert notification["Subject"] == f'ALARM: "{name}" in US East (N. Virginia)'
    assert (message["OldStateValue"], message["NewStateValue"]) == ("INSUFFICIENT_DATA", "ALARM")
    assert message["Trigger"] == {
        "MetricName": name,
        "Namespace": "course",
        "StatisticType": "Statistic",
        "Statistic": "MAXIMUM",
        "Unit": None,
        "Dimensions": [{"value": "e", "name": "EndpointName"}],
        "Period": 60,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 5.0,
        "TreatMissingData": "",
        "EvaluateLowSampleCountPercentile": "",
    }
    assert history(cloudwatch, name, "Action") == [f"Successfully executed action {topic}"]


def test_disabled_actions_are_not_taken_and_failed_ones_are_told(
    cloudwatch: BaseClient, unique: Callable[[str], str]
) -> None:
    name, missing = unique("alarm"), f"arn:aws:sns:us-east-1:111122223333:{unique('topic')}"
    cloudwatch.put_metric_alarm(**alarm(name, AlarmActions=[missing], OKActions=[missing], ActionsEnabled=False))
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    cloudwatch.enable_alarm_actions(AlarmNames=[name])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
    deadline = time.monotonic() + TIMEOUT
    while not (items := history(cloudwatch, name, "Action")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert items[0].startswith(f"Failed to execute action {missing}. Received error:")


def test_a_state_that_is_set_lasts_until_the_next_evaluation(
    cloudwatch: BaseClient, unique: Callable[[str], str]
) -> None:
    name = unique("alarm")
    cloudwatch.put_metric_alarm(**alarm(name, TreatMissingData="notBreaching"))
    await_state(cloudwatch, name, "OK")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    await_state(cloudwatch, name, "OK")
    assert history(cloudwatch, name, "StateUpdate")[:2] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
    ]


def test_a_composite_alarm_follows_its_rule(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    name, quiet, both = unique("alarm"), unique("alarm"), unique("both")
    cloudwatch.put_metric_alarm(**alarm(name, Period=3600))
    cloudwatch.put_metric_alarm(**alarm(quiet, TreatMissingData="notBreaching"))
    cloudwatch.put_composite_alarm(AlarmName=both, AlarmRule=f"ALARM({name}) AND NOT ALARM({quiet})")
    await_state(cloudwatch, both, "OK")
    put(cloudwatch, name, 9)
    assert name in await_state(cloudwatch, both, "ALARM")["StateReason"]
    assert cloudwatch.describe_alarms(AlarmNames=[both])["CompositeAlarms"] == []
    with pytest.raises(ClientError, match="does not exist"):
        cloudwatch.put_composite_alarm(AlarmName=unique("both"), AlarmRule="ALARM(nobody)")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Period": 45}, "Period must be 10, 20, 30 or a multiple of 60"),
        ({"TreatMissingData": "no"}, "Supported options for parameter TreatMissingData"),
        ({"EvaluationPeriods": 2000}, "Metrics cannot be checked across more than a day"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm must be less"),
        ({"ExtendedStatistic": "p90"}, "Exactly one of Statistic or ExtendedStatistic"),
        ({"AlarmActions": ["hello"]}, "Invalid arn syntax"),
        (
            {"AlarmActions": ["arn:aws:lambda:us-east-1:111122223333:function:f"]},
            "not available in the local SageMaker",
        ),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "anomaly detection"),
        ({"EvaluationPeriods": 0}, "Member must have value greater than or equal to 1"),
    ],
)
def test_bad_alarms_are_refused(
    client: Callable[..., BaseClient], unique: Callable[[str], str], members: dict, message: str
) -> None:
    with pytest.raises(ClientError, match=message) as raised:
        client("cloudwatch", validate=False).put_metric_alarm(**alarm(unique("alarm"), **members))
    assert raised.value.response["Error"]["Code"] == "ValidationError"


def test_alarms_are_found_by_name_prefix_state_and_metric(cloudwatch: BaseClient, unique: Callable[[str], str]) -> None:
    prefix = unique("many")
    names = [f"{prefix}-{number}" for number in range(3)]
    for name in names:
        cloudwatch.put_metric_alarm(**alarm(name, AlarmDescription="one of many", Tags=[{"Key": "k", "Value": name}]))
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=prefix, PaginationConfig={"PageSize": 2}
    )
    assert [found["AlarmName"] for page in pages for found in page["MetricAlarms"]] == names
    assert not cloudwatch.describe_alarms(AlarmNamePrefix=prefix, StateValue="ALARM")["MetricAlarms"]
    (found,) = cloudwatch.describe_alarms_for_metric(Namespace="course", MetricName=names[0])["MetricAlarms"]
    assert found["ActionsEnabled"] is True
    assert cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == [{"Key": "k", "Value": names[0]}]
    cloudwatch.delete_alarms(AlarmNames=names)
    assert not cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    assert history(cloudwatch, names[0], "ConfigurationUpdate")[0] == f'Alarm "{names[0]}" deleted'


@pytest.mark.parametrize("protocol", ["query", "json"])
def test_alarms_speak_the_older_protocols_too(
    server: Running, unique: Callable[[str], str], protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (protocol,))
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")
    older = session.client("cloudwatch", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1}))
    assert older.meta.service_model.resolved_protocol == protocol
    name = unique("alarm")
    older.put_metric_alarm(**alarm(name, TreatMissingData="notBreaching"))
    (found,) = older.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert found["Threshold"] == 5.0
    assert found["StateUpdatedTimestamp"] <= datetime.now(UTC)
    with pytest.raises(ClientError) as raised:
        older.set_alarm_state(AlarmName=unique("alarm"), StateValue="OK", StateReason="a test")
    assert raised.value.response["Error"]["Code"] == "ResourceNotFound"


def test_a_kill_loses_no_state_and_evaluation_goes_on(
    tmp_path: Path, client_of: Callable[[Running], Callable[..., BaseClient]]
) -> None:
    running = local_sagemaker.start(tmp_path)
    try:
        cloudwatch = client_of(running)("cloudwatch")
        scale_out = "arn:aws:autoscaling:us-east-1:111122223333:scalingPolicy:0:resource/sagemaker/none:policyName/none"
        cloudwatch.put_metric_alarm(**alarm("kept", Period=3600) | {"AlarmActions": [scale_out]})
        put(cloudwatch, "kept", 9)
        before = await_state(cloudwatch, "kept", "ALARM")
        os.kill(running.pid, signal.SIGKILL)
        running = local_sagemaker.start(tmp_path)
        cloudwatch = client_of(running)("cloudwatch")
        after = state(cloudwatch, "kept")
        assert after == before
        # The value from before the kill is in the same window as this one.
        put(cloudwatch, "kept", 1)
        cloudwatch.put_metric_alarm(
            **alarm("also", Period=3600, MetricName="kept", Statistic="SampleCount", Threshold=1)
        )
        await_state(cloudwatch, "also", "ALARM")
        assert state(cloudwatch, "kept")["StateValue"] == "ALARM"
        assert "has no attribute" not in (tmp_path / "server.log").read_text()
    finally:
        local_sagemaker.stop(tmp_path)
