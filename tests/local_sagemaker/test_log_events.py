"""CloudWatch Logs: events outlive the server, a stream grows only so far, and none of it weighs on the next start."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker.log_events import LogEvents
from helpers.local_sagemaker.metric_data import MetricData

STREAM = ("arn:stream", 1)
DAY_MILLISECONDS = 86_400_000


@pytest.fixture
def events(tmp_path: Path) -> Iterator[LogEvents]:
    """Log events without a server, at most 1,000 bytes in a stream."""
    made = LogEvents(tmp_path / "logs.db", most_bytes=1000)
    yield made
    made.close()


@pytest.fixture
def logs(client: Callable[..., BaseClient]) -> BaseClient:
    """CloudWatch Logs of the server."""
    return client("logs")


@pytest.fixture
def group(logs: BaseClient, unique: Callable[[str], str]) -> str:
    """A log group with the stream `s`."""
    name = unique("group")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    return name


def put(logs: BaseClient, group: str, *messages: str) -> list[dict]:
    """Puts messages into the stream `s`, a millisecond apart."""
    now = int(time.time() * 1000)
    put = [{"timestamp": now + number, "message": message} for number, message in enumerate(messages)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=put)
    return put


def messages(answer: dict) -> list[str]:
    """The messages of a page."""
    return [event["message"] for event in answer["events"]]


def test_a_stream_keeps_its_last_events_and_no_more_than_its_share(events: LogEvents) -> None:
    for number in range(100):
        events.add(STREAM, [(number, number, f"{number:0100d}")])
    kept = list(events.all(STREAM))
    assert [timestamp for _, timestamp, _, _ in kept] == list(range(90, 100))
    assert events.totals(STREAM) == (1000, 100, 99, 90, 99)


def test_a_stream_forgets_what_is_older_than_its_groups_retention(events: LogEvents) -> None:
    now = int(time.time() * 1000)
    events.add(STREAM, [(now - age * DAY_MILLISECONDS, now, f"{age}") for age in (5, 3, 1)])
    events.add(STREAM, [(now, now, "0")], retention_days=2)
    assert [message for *_, message in events.all(STREAM)] == ["1", "0"]


def test_pages_lead_from_either_end_to_the_other_and_wait_there(logs: BaseClient, group: str) -> None:
    put(logs, group, *"abcde")
    stream = {"logGroupName": group, "logStreamName": "s"}
    first = logs.get_log_events(**stream, startFromHead=True, limit=2)
    second = logs.get_log_events(**stream, nextToken=first["nextForwardToken"], limit=2)
    third = logs.get_log_events(**stream, nextToken=second["nextForwardToken"], limit=2)
    end = logs.get_log_events(**stream, nextToken=third["nextForwardToken"])
    assert [messages(page) for page in (first, second, third, end)] == [["a", "b"], ["c", "d"], ["e"], []]
    assert end["nextForwardToken"] == third["nextForwardToken"]
    put(logs, group, "f")
    assert messages(logs.get_log_events(**stream, nextToken=end["nextForwardToken"])) == ["f"]
    last = logs.get_log_events(**stream, limit=4)
    before = logs.get_log_events(**stream, nextToken=last["nextBackwardToken"], limit=4)
    assert (messages(last), messages(before)) == (["c", "d", "e", "f"], ["a", "b"])
    with pytest.raises(ClientError, match="nextToken is invalid"):
        logs.get_log_events(**stream, nextToken="x")


def test_an_empty_stream_can_be_followed(logs: BaseClient, group: str) -> None:
    stream = {"logGroupName": group, "logStreamName": "s"}
    empty = logs.get_log_events(**stream, startFromHead=True)
    assert empty["events"] == []
    put(logs, group, "a")
    assert messages(logs.get_log_events(**stream, nextToken=empty["nextForwardToken"])) == ["a"]


def test_events_are_found_by_time_and_by_pattern_and_the_stream_tells_their_bounds(
    logs: BaseClient, group: str
) -> None:
    sent = put(logs, group, "loss 1", "done", "half a pair \ud800")
    begin, middle, end = (event["timestamp"] for event in sent)
    stream = {"logGroupName": group, "logStreamName": "s"}
    assert messages(logs.get_log_events(**stream, startTime=middle, endTime=end)) == ["done"]
    assert messages(logs.filter_log_events(logGroupName=group, filterPattern="loss")) == ["loss 1"]
    assert messages(logs.filter_log_events(logGroupName=group, startTime=begin, endTime=middle)) == ["loss 1", "done"]
    (described,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert (described["firstEventTimestamp"], described["lastEventTimestamp"]) == (begin, end)
    assert abs(described["lastIngestionTime"] - begin) < 60_000


def test_a_stream_that_is_made_again_is_empty(logs: BaseClient, group: str) -> None:
    put(logs, group, "old")
    logs.delete_log_stream(logGroupName=group, logStreamName="s")
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s")) == []


def test_a_day_of_traffic_and_of_logs_does_not_weigh_on_the_next_start(
    tmp_path: Path, client_of: Callable[..., Callable[..., BaseClient]]
) -> None:
    running = local_sagemaker.start(tmp_path)
    logs, now = client_of(running)("logs"), int(time.time())
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    put(logs, "g", "first")
    local_sagemaker.stop(tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as state:
        rows = state.execute("SELECT COUNT(*) FROM journal").fetchone()
    # What the endpoint's and the job's threads write all day, here into every tenth minute.
    metric_data, log_events = MetricData(tmp_path / "metrics.db"), LogEvents(tmp_path / "logs.db")
    with sqlite3.connect(tmp_path / "logs.db") as file:
        stream = file.execute("SELECT arn, created FROM streams").fetchone()
    for second in range(now - 86_400, now, 600):
        datum = {"MetricName": "ModelLatency", "Timestamp": second, "Values": [1.0 + n / 7 for n in range(100)]}
        metric_data.put("AWS/SageMaker", [datum])
        log_events.add(stream, [(second * 1000 + n, second * 1000 + n, f"request {n}") for n in range(1000)])
    metric_data.close()
    log_events.close()
    running = local_sagemaker.start(tmp_path)
    logs, cloudwatch = client_of(running)("logs"), client_of(running)("cloudwatch")
    asked = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ModelLatency",
        "Period": 86_400,
        "Statistics": ["SampleCount"],
    }
    points = cloudwatch.get_metric_statistics(**asked, StartTime=now - 86_400 - 3600, EndTime=now)["Datapoints"]
    last = logs.get_log_events(logGroupName="g", logStreamName="s", limit=1)
    again = put(logs, "g", "again")
    assert logs.get_log_events(logGroupName="g", logStreamName="s", limit=1)["events"][0]["message"] == "again", again
    with sqlite3.connect(tmp_path / "state.db") as state:
        assert state.execute("SELECT COUNT(*) FROM journal").fetchone() == rows
    local_sagemaker.stop(tmp_path)
    assert sum(point["SampleCount"] for point in points) == 14_400
    assert messages(last) == ["first"]
