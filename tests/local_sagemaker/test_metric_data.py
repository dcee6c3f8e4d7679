"""Metric data: kept as long as CloudWatch keeps them, no longer, and read in every way that CloudWatch has."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from helpers.local_sagemaker import metric_summaries
from helpers.local_sagemaker.metric_data import KEPT_SECONDS, MetricData

DAY = 86_400
METRIC = metric_summaries.key("course", "Loss", [])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the data are."""
    return tmp_path / "metrics.db"


@pytest.fixture
def data(path: Path) -> Iterator[MetricData]:
    """Metric data without a server."""
    made = MetricData(path)
    yield made
    made.close()


@pytest.fixture
def cloudwatch(client: Callable[..., BaseClient]) -> BaseClient:
    """CloudWatch of the server."""
    return client("cloudwatch")


@pytest.fixture
def put(cloudwatch: BaseClient, unique: Callable[[str], str]) -> Callable[..., str]:
    """`put({"MetricName": "m", "Value": 1.0})`: puts data into a namespace of its own, and returns that."""
    namespace = unique("namespace")

    def put(*data: dict) -> str:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=list(data))
        return namespace

    return put


def summary(data: MetricData, begin: int, seconds: int, **wanted: bool) -> metric_summaries.Summary | None:
    """What there is in one window."""
    return next((found for _, _, found in data.windows(METRIC, begin, seconds, 1, **wanted)), None)


def test_a_value_is_kept_by_the_second_the_minute_five_minutes_and_the_hour_for_so_long(data: MetricData) -> None:
    hour = int(time.time()) // 3600 * 3600
    data.put("course", [{"MetricName": "Loss", "Value": 2.0, "Timestamp": hour}])
    for elapsed, kept in (
        (0, [1, 60, 300, 3600]),
        (KEPT_SECONDS[1] + 1, [60, 300, 3600]),
        (15 * DAY + 1, [300, 3600]),
        (63 * DAY + 1, [3600]),
    ):
        data.expire(hour + elapsed)
        assert [seconds for seconds in KEPT_SECONDS if summary(data, hour, seconds)] == kept
        assert list(data.metrics(hour, None, None)) == [METRIC]
    data.expire(hour + 456 * DAY)
    assert summary(data, hour, 3600) is None
    assert list(data.metrics(hour, None, None)) == []


def test_endless_traffic_takes_so_much_room_and_no_more(data: MetricData, path: Path) -> None:
    # A busy endpoint's latencies, of every fifth minute of a day.
    now = int(time.time()) // 60 * 60
    latencies = [{"MetricName": "Loss", "Unit": "Microseconds", "Values": [1000.0 + n * 1.37 for n in range(1000)]}]
    for begin in range(now - DAY, now, 300):
        data.put("course", [datum | {"Timestamp": begin} for datum in latencies])
    while data.expire(now):
        pass
    with sqlite3.connect(path) as file:
        rows = dict(file.execute("SELECT seconds, COUNT(*) FROM data GROUP BY seconds"))
        longest = file.execute('SELECT MAX(LENGTH("values")) FROM data').fetchone()[0]
    assert rows[1] <= KEPT_SECONDS[1] / 300 + 1
    assert rows[3600] <= 25
    assert longest < 2500
    whole = summary(data, now - DAY, DAY, with_values=True)
    assert whole.count == 288_000
    assert whole.statistic("p50") == pytest.approx(1000 + 500 * 1.37, rel=0.05)
    assert whole.statistic("Maximum") == 1000 + 999 * 1.37


def test_the_values_of_one_datum_are_kept_as_they_are_and_more_are_rounded() -> None:
    exact = metric_summaries.of_datum({"Values": [n / 7 for n in range(150)]}).values
    assert metric_summaries.read_values(metric_summaries.write_values(exact)) == exact
    many = metric_summaries.of_datum({"Values": [1 + n / 5000 for n in range(5000)]}).values
    kept = metric_summaries.read_values(metric_summaries.write_values(many))
    assert len(kept) <= metric_summaries.MOST_VALUES
    assert kept.total() == 5000
    assert all(min(abs(value - known) for known in kept) <= 0.05 for value in list(many)[::100])


def test_data_put_at_different_times_add_up(data: MetricData) -> None:
    minute = int(time.time()) // 60 * 60
    for value in (1.0, 2.0, 2.0, 7.0):
        data.put("course", [{"MetricName": "Loss", "Value": value, "Timestamp": minute}])
    sets = {"SampleCount": 2, "Sum": 20, "Minimum": 8, "Maximum": 12}
    data.put("course", [{"MetricName": "Loss", "StatisticValues": sets, "Timestamp": minute}])
    found = summary(data, minute, 60, with_values=True)
    statistics = {stat: found.statistic(stat) for stat in ("SampleCount", "Sum", "Minimum", "Maximum", "p50")}
    assert statistics == {"SampleCount": 6, "Sum": 32, "Minimum": 1, "Maximum": 12, "p50": 2}


def test_periods_begin_at_the_whole_minute_of_the_start(cloudwatch: BaseClient, put: Callable[..., str]) -> None:
    minute = int(time.time()) // 60 * 60 - 600
    namespace = put(*({"MetricName": "m", "Value": age, "Timestamp": minute + 60 * age} for age in range(5)))
    asked = {"Namespace": namespace, "MetricName": "m", "StartTime": minute + 30, "EndTime": minute + 300}
    points = cloudwatch.get_metric_statistics(**asked, Period=120, Statistics=["Sum"])["Datapoints"]
    assert [(point["Timestamp"].timestamp() - minute, point["Sum"]) for point in points] == [(0, 1), (120, 5), (240, 4)]


def test_units_are_told_apart(cloudwatch: BaseClient, put: Callable[..., str]) -> None:
    now = time.time()
    namespace = put(
        {"MetricName": "m", "Value": 1.0, "Unit": "Seconds"},
        {"MetricName": "m", "Value": 9.0, "Unit": "Bytes"},
        {"MetricName": "m", "Value": 4.0},
    )
    asked = {"Namespace": namespace, "MetricName": "m", "StartTime": now - 60, "EndTime": now + 60}
    asked |= {"Period": 3600, "Statistics": ["Average"]}
    points = cloudwatch.get_metric_statistics(**asked)["Datapoints"]
    assert {point["Unit"]: point["Average"] for point in points} == {"Seconds": 1.0, "Bytes": 9.0, "None": 4.0}
    (point,) = cloudwatch.get_metric_statistics(**asked, Unit="Bytes")["Datapoints"]
    assert point["Average"] == 9.0


def test_a_metric_is_found_by_all_of_its_dimensions(cloudwatch: BaseClient, put: Callable[..., str]) -> None:
    dimensions = [{"Name": "b", "Value": "2"}, {"Name": "a", "Value": "1"}]
    namespace, now = put({"MetricName": "m", "Value": 1.0, "Dimensions": dimensions}), time.time()
    asked = {"Namespace": namespace, "MetricName": "m", "StartTime": now - 60, "EndTime": now + 60}
    for wanted, found in ((dimensions[::-1], 1), (dimensions[:1], 0), ([], 0)):
        answer = cloudwatch.get_metric_statistics(**asked, Period=3600, Statistics=["Sum"], Dimensions=wanted)
        assert len(answer["Datapoints"]) == found


def test_expressions_are_computed_at_every_time(cloudwatch: BaseClient, put: Callable[..., str]) -> None:
    minute = int(time.time()) // 60 * 60 - 600
    namespace = put(
        {"MetricName": "errors", "Value": 1.0, "Timestamp": minute},
        *({"MetricName": "calls", "Value": 4.0, "Timestamp": minute + 60 * age} for age in range(2)),
    )

    def query(name: str, **members: object) -> dict:
        metric = {"Namespace": namespace, "MetricName": name}
        return {"Id": name, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, **members}

    def ask(*queries: dict, **members: object) -> dict[str, list]:
        span = {"StartTime": minute, "EndTime": minute + 600}
        answer = cloudwatch.get_metric_data(MetricDataQueries=list(queries), **span, **members)
        for result in answer["MetricDataResults"]:
            assert len(result["Timestamps"]) == len(result["Values"])
        return {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}

    errors, calls = query("errors", ReturnData=False), query("calls")
    share = {"Id": "share", "Expression": "100 * FILL(errors, 0) / calls"}
    assert ask(errors, calls, share) == {"calls": [4.0, 4.0], "share": [0.0, 25.0]}
    assert ask(errors, calls, share, ScanBy="TimestampAscending")["share"] == [25.0, 0.0]
    for wrong in ("errors / unknown", "SEARCH('x', 'Sum', 300)"):
        with pytest.raises(ClientError, match="Error in expression"):
            ask(errors, {"Id": "x", "Expression": wrong})


def test_metrics_are_listed_by_page_and_by_filter(cloudwatch: BaseClient, put: Callable[..., str]) -> None:
    def named(number: int) -> dict:
        return {"MetricName": f"m{number}", "Value": 1.0, "Dimensions": [{"Name": "n", "Value": str(number % 2)}]}

    namespace = put(*map(named, range(600)))
    pages = list(cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace))
    assert [len(page["Metrics"]) for page in pages] == [500, 100]
    assert len({metric["MetricName"] for page in pages for metric in page["Metrics"]}) == 600

    def count(**filters: object) -> int:
        listed = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace, **filters)
        return sum(len(page["Metrics"]) for page in listed)

    assert count(MetricName="m7") == 1
    assert count(Dimensions=[{"Name": "n", "Value": "1"}], RecentlyActive="PT3H") == 300
    assert count(Dimensions=[{"Name": "n"}]) == 600
    assert count(Dimensions=[{"Name": "other"}]) == 0
    with pytest.raises(ClientError, match="NextToken is invalid"):
        cloudwatch.list_metrics(Namespace=namespace, NextToken="x")


@pytest.mark.parametrize(
    ("datum", "code", "words"),
    [
        ({}, "MissingParameter", "At least one of the parameters must be specified"),
        ({"Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination", "mutually exclusive"),
        ({"Values": [1.0, 2.0], "Counts": [1.0]}, "InvalidParameterValue", "must be of the same size"),
        ({"Values": [1.0] * 151}, "InvalidParameterValue", "must not have a size greater than 150"),
        ({"Value": float("nan")}, "InvalidParameterValue", "nan for parameter MetricData.member.1.Value is invalid"),
        ({"Value": 1.0, "Timestamp": 0}, "InvalidParameterValue", "within the past two weeks"),
        ({"Value": 1.0, "Timestamp": 9e9}, "InvalidParameterValue", "two hours in the future"),
        ({"StatisticValues": {"Sum": 1.0}}, "ValidationError", "statisticValues.sampleCount"),
    ],
)
def test_wrong_data_are_refused(
    client: Callable[..., BaseClient], unique: Callable[[str], str], datum: dict, code: str, words: str
) -> None:
    namespace, cloudwatch = unique("namespace"), client("cloudwatch", validate=False)
    with pytest.raises(ClientError, match=words) as raised:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "m", **datum}])
    assert raised.value.response["Error"]["Code"] == code
    assert cloudwatch.list_metrics(Namespace=namespace)["Metrics"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Period": 1}, "3,600 datapoints, which exceeds the limit of 1,440"),
        ({"EndTime": 0}, "StartTime must be less than"),
        ({"Statistics": None}, "Must specify either"),
        ({"ExtendedStatistics": ["p90"]}, "and not both"),
    ],
)
def test_wrong_questions_are_refused(cloudwatch: BaseClient, changes: dict, words: str) -> None:
    asked = {"Namespace": "n", "MetricName": "m", "StartTime": 1.7e9, "EndTime": 1.7e9 + 3600, "Period": 60}
    asked |= {"Statistics": ["Sum"]} | changes
    with pytest.raises(ClientError, match=words):
        cloudwatch.get_metric_statistics(**{name: value for name, value in asked.items() if value is not None})


def test_s3_counts_its_objects(cloudwatch: BaseClient, s3: BaseClient, unique: Callable[[str], str]) -> None:
    bucket, now = unique("bucket"), time.time()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    dimensions = [{"Name": "BucketName", "Value": bucket}, {"Name": "StorageType", "Value": "AllStorageTypes"}]
    asked = {"Namespace": "AWS/S3", "MetricName": "NumberOfObjects", "Dimensions": dimensions}
    span = {"StartTime": now - 2 * DAY, "EndTime": now + DAY, "Period": DAY, "Statistics": ["Average"]}
    assert {point["Average"] for point in cloudwatch.get_metric_statistics(**asked, **span)["Datapoints"]} == {1.0}
