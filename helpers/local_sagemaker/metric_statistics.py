"""CloudWatch's operations on metrics: PutMetricData, GetMetricStatistics, GetMetricData and ListMetrics."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, metric_math, metric_summaries, percentiles
from helpers.local_sagemaker.alarms import Handler
from helpers.local_sagemaker.metric_summaries import Summary

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
MOST_DATA = 1000  # in one PutMetricData
_MOST_DATAPOINTS = 1440  # in one GetMetricStatistics
_LISTED_SECONDS = 14 * _DAY
_RECENT_SECONDS = 3 * _HOUR
_PAGE = 500
_OLDEST, _NEWEST = 14 * _DAY, 2 * _HOUR  # how far a datum may lie in the past and in the future
_parsed = functools.lru_cache(maxsize=1024)(metric_math.Expression)

_Series = dict[int, float]  # values by the begin of their period


def put_metric_data(server: Server, request: dict) -> None:
    """PutMetricData."""
    if "EntityMetricData" in request:
        raise errors.AwsError("InvalidParameterValue", "EntityMetricData is not available in the local SageMaker.")
    data = request.get("MetricData")
    if not data:
        raise errors.AwsError("MissingParameter", "The parameter MetricData is required.")
    if len(data) > MOST_DATA:
        raise _invalid(f"The collection MetricData must not have a size greater than {MOST_DATA}.")
    for number, datum in enumerate(data, 1):
        _check(datum, f"MetricData.member.{number}")
    server.metric_data.put(request["Namespace"], data)


def _check(datum: dict, path: str) -> None:
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) not in (None, [])]
    if not given:
        raise errors.AwsError("MissingParameter", "At least one of the parameters must be specified.")
    if len(given) > 1:
        raise errors.AwsError(
            "InvalidParameterCombination",
            f"The parameters {path}.{given[0]} and {path}.{given[1]} are mutually exclusive and you have specified "
            "both.",
        )
    values, counts = datum.get("Values", []), datum.get("Counts", [])
    if len(values) > metric_summaries.MOST_VALUES:
        raise _invalid(f"The collection {path}.Values must not have a size greater than 150.")
    if counts and len(counts) != len(values):
        raise _invalid(f"The parameters {path}.Values and {path}.Counts must be of the same size.")
    numbers = {"Value": [datum.get("Value", 0.0)], "Values": values, "Counts": counts}
    numbers["StatisticValues"] = datum.get("StatisticValues", {}).values()
    for name, each in numbers.items():
        for number in each:
            if not math.isfinite(number) or (name == "Counts" and number < 0):
                raise _invalid(f"The value {number} for parameter {path}.{name} is invalid.")
    age = time.time() - datum.get("Timestamp", time.time())
    if age > _OLDEST:
        raise _invalid(f"The parameter {path}.Timestamp must specify a time within the past two weeks.")
    if age < -_NEWEST:
        raise _invalid(f"The parameter {path}.Timestamp must specify a time no more than two hours in the future.")


def get_metric_statistics(server: Server, request: dict) -> dict:
    """GetMetricStatistics."""
    plain, extended = request.get("Statistics", []), request.get("ExtendedStatistics", [])
    if not plain and not extended:
        raise _combination("Must specify either Statistics or ExtendedStatistics")
    if plain and extended:
        raise _combination("Must specify either Statistics or ExtendedStatistics, and not both")
    for stat in extended:
        percentiles.fraction(stat)
    start, end, period = request["StartTime"], request["EndTime"], request["Period"]
    if start >= end:
        raise _invalid("The parameter StartTime must be less than the parameter EndTime.")
    asked = math.ceil((end - start) / period)
    if asked > _MOST_DATAPOINTS:
        raise _combination(
            f"You have requested up to {asked:,} datapoints, which exceeds the limit of {_MOST_DATAPOINTS:,}. You may "
            "reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    begin = _aligned(start, period)
    metric = metric_summaries.key(request["Namespace"], request["MetricName"], request.get("Dimensions", ()))
    count = math.ceil((end - begin) / period)
    points = []
    found = server.metric_data.windows(metric, begin, period, count, request.get("Unit"), bool(extended))
    for window, unit, summary in found:
        point = {"Timestamp": begin + window * period, "Unit": unit}
        known = {stat: value for stat in extended if (value := summary.statistic(stat)) is not None}
        if plain or known:
            statistics = {"ExtendedStatistics": known} if known else {stat: summary.statistic(stat) for stat in plain}
            points.append(point | statistics)
    return {"Label": request["MetricName"], "Datapoints": points}


def _aligned(start: float, period: int) -> int:
    """The begin of the first period: CloudWatch rounds it down, the more the older it is."""
    age = time.time() - start
    if age > 63 * _DAY:
        unit = _HOUR
    elif age > 15 * _DAY:
        unit = 5 * _MINUTE
    else:
        unit = _MINUTE if period % _MINUTE == 0 else period
    return int(start // unit * unit)


def get_metric_data(server: Server, request: dict) -> dict:
    """GetMetricData."""
    start, end, queries = request["StartTime"], request["EndTime"], request["MetricDataQueries"]
    if start > end:
        raise errors.AwsError("ValidationError", "The parameter EndTime must be greater than StartTime.")
    if start == end:
        raise errors.AwsError("ValidationError", "The parameter StartTime must not equal parameter EndTime.")
    series: dict[str, _Series] = {}
    for number, query in enumerate(queries, 1):
        if ("MetricStat" in query) == ("Expression" in query):
            raise errors.AwsError(
                "ValidationError",
                f"The parameter MetricDataQueries.member.{number} must have either a MetricStat or an Expression.",
            )
        if "MetricStat" in query:
            series[query["Id"]] = _series(server, query["MetricStat"], start, end)
    expressions = {query["Id"]: _parsed(query["Expression"]) for query in queries if "Expression" in query}
    if expressions:
        series = _with_expressions(series, expressions)
    is_descending = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    results = []
    for query in queries:
        if query.get("ReturnData", True):
            points = sorted(series[query["Id"]].items(), reverse=is_descending)
            times, values = [begin for begin, _ in points], [value for _, value in points]
            result = {"Id": query["Id"], "Label": _label(query), "Timestamps": times, "Values": values}
            results.append(result | {"StatusCode": "Complete"})
    return {"MetricDataResults": results}


def _series(server: Server, wanted: dict, start: float, end: float) -> _Series:
    """The values of a MetricStat."""
    metric, period, stat = wanted["Metric"], wanted["Period"], wanted["Stat"]
    is_percentile = stat not in percentiles.PLAIN
    if is_percentile:
        percentiles.fraction(stat)
    key = metric_summaries.key(metric["Namespace"], metric["MetricName"], metric.get("Dimensions", ()))
    begin = _aligned(start, period)
    count = math.ceil((end - begin) / period)
    summaries: defaultdict[int, Summary] = defaultdict(Summary)
    for window, _, summary in server.metric_data.windows(key, begin, period, count, wanted.get("Unit"), is_percentile):
        summaries[begin + window * period].add(summary)
    values = {moment: summary.statistic(stat) for moment, summary in summaries.items()}
    return {moment: value for moment, value in values.items() if value is not None}


def _with_expressions(series: dict[str, _Series], expressions: dict[str, metric_math.Expression]) -> dict[str, _Series]:
    """Adds the values of expressions, at every time at which a metric has one."""
    found: dict[str, _Series] = {name: {} for name in (*series, *expressions)}
    for moment in sorted(set().union(*series.values())):
        at_once = {name: values.get(moment) for name, values in series.items()}
        for name, value in metric_math.evaluated(expressions, at_once).items():
            if value is not None:
                found[name][moment] = value
    return found


def _label(query: dict) -> str:
    if "Label" in query or "Expression" in query:
        return query.get("Label") or query["Id"]
    return f"{query['MetricStat']['Metric']['MetricName']} {query['MetricStat']['Stat']}"


def list_metrics(server: Server, request: dict) -> dict:
    """ListMetrics: those that had data in the last two weeks, or in the last three hours."""
    since = time.time() - (_RECENT_SECONDS if "RecentlyActive" in request else _LISTED_SECONDS)
    filters = [(each["Name"], each.get("Value")) for each in request.get("Dimensions", [])]
    after, listed = _read_token(request.get("NextToken")), []
    for metric in server.metric_data.metrics(since, request.get("Namespace"), request.get("MetricName")):
        namespace, name, dimensions = metric
        values = dict(dimensions)
        if all(values.get(each) in ((wanted,) if wanted else values.values()) for each, wanted in filters):
            listed.append((namespace, name, sorted(dimensions)))
    listed = sorted(each for each in listed if after is None or each > after)
    page = [
        {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions]}
        for namespace, name, dimensions in listed[:_PAGE]
    ]
    return {"Metrics": page} | ({"NextToken": _token(listed[_PAGE - 1])} if len(listed) > _PAGE else {})


def _token(last: tuple) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def _read_token(token: str | None) -> tuple | None:
    """After which metric a page begins; None for the first."""
    if token is None:
        return None
    try:
        namespace, name, dimensions = json.loads(base64.urlsafe_b64decode(token))
        return namespace, name, [(each, value) for each, value in dimensions]
    except (binascii.Error, TypeError, ValueError):
        raise _invalid("Request parameter NextToken is invalid") from None


def _invalid(message: str) -> errors.AwsError:
    return errors.AwsError("InvalidParameterValue", message)


def _combination(message: str) -> errors.AwsError:
    return errors.AwsError("InvalidParameterCombination", message)


OPERATIONS: dict[str, Handler] = {
    "PutMetricData": put_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "GetMetricData": get_metric_data,
    "ListMetrics": list_metrics,
}
