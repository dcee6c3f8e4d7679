"""Metrics of runs: the service `sagemaker-metrics`, and their summaries in trial components."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from helpers.local_sagemaker import errors, kinds, model
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import rest_operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SERVICE = "sagemaker-metrics"
# The time of a metric may be so far from now.
_OLDEST_SECONDS, _NEWEST_SECONDS = 14 * 86_400, 2 * 3600
_PERIODS = {"OneMinute": 60, "FiveMinute": 300, "OneHour": 3600}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Min": min,
    "Max": max,
    "Avg": statistics.fmean,
    "Count": len,
    "StdDev": statistics.pstdev,
    "Last": lambda values: values[-1],
}


@rest_operation("BatchPutMetrics")
async def batch_put_metrics(server: Server, request: web.Request) -> web.Response:
    """Keeps values of a component's metrics; those that are not valid are named in Errors."""
    return await _answer(server, request, "BatchPutMetrics", _put)


@rest_operation("BatchGetMetrics")
async def batch_get_metrics(server: Server, request: web.Request) -> web.Response:
    """A statistic of a metric by time or by step, for each query."""
    return await _answer(server, request, "BatchGetMetrics", _get)


async def _answer(
    server: Server, request: web.Request, operation: str, handler: Callable[[Server, dict], dict]
) -> web.Response:
    body, status, error = await request.read(), 200, {}

    def run() -> bytes:
        return model.serialize(operation, handler(server, model.parse(operation, body, SERVICE)), SERVICE)

    try:
        answer = await asyncio.get_running_loop().run_in_executor(server.threads, run)
    except errors.AwsError as refused:
        answer, status, error = errors.json_body(refused), refused.status, {"x-amzn-ErrorType": refused.code}
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())} | error
    return web.Response(status=status, body=answer, headers=headers)


def _put(server: Server, request: dict) -> dict:
    name, now = entities.key(request["TrialComponentName"]), time.time()
    rows, refused = [], []
    for index, datum in enumerate(request["MetricData"]):
        is_recent = now - _OLDEST_SECONDS <= datum["Timestamp"] <= now + _NEWEST_SECONDS
        if is_recent and math.isfinite(datum["Value"]):
            rows.append((name, datum["MetricName"], datum["Timestamp"], datum.get("Step"), datum["Value"]))
        else:
            refused.append({"Code": "VALIDATION_ERROR", "MetricIndex": index})
    with server.store.transaction() as connection:
        server.store.require("TrialComponent", name)
        connection.executemany(
            "INSERT INTO run_metrics (component, metric, time, step, value) VALUES (?, ?, ?, ?, ?)", rows
        )
    return {"Errors": refused} if refused else {}


def _get(server: Server, request: dict) -> dict:
    return {"MetricQueryResults": [_result(server, query) for query in request["MetricQueries"]]}


def _result(server: Server, query: dict) -> dict:
    by_step = query["Period"] == "IterationNumber"
    found = kinds.parse(query["ResourceArn"])
    if not found or found[0].name != "TrialComponent" or not server.store.get("TrialComponent", found[1]):
        return _failure(f"Resource '{query['ResourceArn']}' is no trial component that exists.")
    if by_step != (query["XAxisType"] == "IterationNumber"):
        return _failure(f"Period {query['Period']} does not go with XAxisType {query['XAxisType']}.")
    rows = server.store.execute(
        "SELECT time, step, value FROM run_metrics WHERE component = ? AND metric = ? ORDER BY time, id",
        (found[1], query["MetricName"]),
    )
    points = [
        (step if by_step else int(moment), value) for moment, step, value in rows if step is not None or not by_step
    ]
    first, last = query.get("Start", -math.inf), query.get("End", math.inf)
    width = _PERIODS.get(query["Period"], 1)
    windows: dict[int, list[float]] = {}
    for place, value in points:
        if first <= place <= last:
            windows.setdefault(place // width * width, []).append(value)
    statistic = _STATISTICS[query["MetricStat"]]
    return {
        "Status": "Complete",
        "XAxisValues": sorted(windows),
        "MetricValues": [float(statistic(windows[place])) for place in sorted(windows)],
    }


def _failure(message: str) -> dict:
    return {"Status": "ValidationError", "Message": message, "XAxisValues": [], "MetricValues": []}


def summaries(server: Server, component: str, arn: str) -> list[dict]:
    """The TrialComponentMetricSummary of each metric that was put for a component.

    Args:
        server: the server.
        component: its name in the store.
        arn: its ARN, the metrics' source.
    """
    rows = server.store.execute(
        "SELECT metric, time, value FROM run_metrics WHERE component = ? ORDER BY metric, time, id", (component,)
    )
    found = []
    for metric, group in itertools.groupby(rows, key=lambda row: row[0]):
        points = list(group)
        values = [value for _, _, value in points]
        found.append({"MetricName": metric, "SourceArn": arn, "TimeStamp": points[-1][1]} | statistics_of(values))
    return found


def statistics_of(values: list[float]) -> dict:
    """Max, Min, Last, Count, Avg and StdDev of values in the order of their times."""
    return {name: statistic(values) for name, statistic in _STATISTICS.items()}
