"""Our part of CloudWatch inside moto, which parses the requests and writes the answers in all of its protocols."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from helpers.local_sagemaker import alarms, arns, clock, errors, model, recent_metrics, tags
from helpers.local_sagemaker.journal import Call
from helpers.local_sagemaker.recent_metrics import Key, Summary

if TYPE_CHECKING:
    from moto.cloudwatch.models import CloudWatchBackend, MetricAggregatedDatum, MetricDatumBase
    from moto.cloudwatch.responses import CloudWatchResponse
    from moto.core.responses import ActionResult

    from helpers.local_sagemaker.app import Server

_TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")


def is_about_alarms(call: Call) -> bool:
    """Whether a call is answered from the state, so that the journal does without it."""
    if call.service != "monitoring":
        return False
    return call.operation in alarms.OPERATIONS or (call.operation in _TAGGING and b":alarm:" in _raw(call.body))


def _raw(body: bytes) -> bytes:
    return unquote(body.decode("latin-1")).encode("latin-1", "replace")


@functools.cache
def install(server: Server) -> None:
    """Lets alarms see what PutMetricData brings, and answers the operations on alarms."""
    from moto.cloudwatch.models import CloudWatchBackend
    from moto.cloudwatch.responses import CloudWatchResponse

    for name, handler in (alarms.OPERATIONS | _tagging(server)).items():
        _answer(server, CloudWatchResponse, name, handler)
    told = CloudWatchBackend.put_metric_data

    def put_metric_data(self: CloudWatchBackend, namespace: str, metric_data: list[dict]) -> None:
        told(self, namespace, metric_data)
        for datum in metric_data:
            metric = recent_metrics.key(namespace, datum["MetricName"], datum.get("Dimensions", ()))
            if server.recent_metrics.is_watched(metric):
                server.recent_metrics.add(metric, _moment(datum.get("Timestamp")), datum.get("Unit"), _summary(datum))

    CloudWatchBackend.put_metric_data = put_metric_data
    _match_all_dimensions(CloudWatchBackend)


def _match_all_dimensions(backend: type[CloudWatchBackend]) -> None:
    """A metric is found by all of its dimensions, in any order: moto takes those that have more for the same one."""
    from moto.cloudwatch.models import Dimension

    statistics = backend.get_metric_statistics

    def get_metric_statistics(self: CloudWatchBackend, *asked: object, dimensions: list[dict], **more: object) -> list:
        wanted = {(dimension["Name"], dimension.get("Value")) for dimension in dimensions}
        exact = SimpleNamespace(
            get_all_metrics=lambda: [
                datum for datum in self.get_all_metrics() if not wanted or len(datum.dimensions) == len(wanted)
            ]
        )
        return statistics(exact, *asked, dimensions=dimensions, **more)

    backend.get_metric_statistics = get_metric_statistics
    Dimension.__lt__ = lambda self, other: (self.name, self.value) < (other.name, other.value)


def past_values(since: dict[Key, float]) -> Iterator[tuple[Key, float, str, Summary]]:
    """What moto has kept of some metrics, of each since a moment; runs in the thread of moto only."""
    from moto.cloudwatch.models import MetricDatum, cloudwatch_backends

    names = {name for _, name, _ in since}
    for backend in cloudwatch_backends[arns.ACCOUNT].values():
        for datum in backend.metric_data:
            if datum.name not in names:
                continue
            metric, moment = _key(datum), _moment(datum.timestamp)
            if moment >= since.get(metric, math.inf):
                is_value = isinstance(datum, MetricDatum)
                yield metric, moment, datum.unit, _of_values([datum.value], [1]) if is_value else _of_set(datum)


def _key(datum: MetricDatumBase) -> Key:
    return datum.namespace, datum.name, frozenset((each.name, each.value) for each in datum.dimensions)


def _of_set(datum: MetricAggregatedDatum) -> Summary:
    return _of_statistics(datum.sample_count, datum.sum, datum.min, datum.max)


def _moment(timestamp: datetime | None) -> float:
    if timestamp is None:
        return clock.now()
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).timestamp()


def _summary(datum: dict) -> Summary:
    if datum.get("Values"):
        return _of_values(datum["Values"], datum.get("Counts") or [1] * len(datum["Values"]))
    if statistics := datum.get("StatisticValues"):
        return _of_statistics(*(float(statistics[name]) for name in ("SampleCount", "Sum", "Minimum", "Maximum")))
    return _of_values([float(datum.get("Value", 0))], [1])


def _of_statistics(count: float, total: float, least: float, most: float) -> Summary:
    # As in CloudWatch, a statistic set has no percentiles, unless all of its values are the same.
    return Summary(count, total, least, most, [least] * int(count) if least == most else [])


def _of_values(values: list[float], counts: list[float]) -> Summary:
    every = [float(value) for value, count in zip(values, counts, strict=True) for _ in range(int(count))]
    return Summary(len(every), sum(every), min(every, default=float("inf")), max(every, default=float("-inf")), every)


def _answer(server: Server, response: type[CloudWatchResponse], name: str, handler: alarms.Handler) -> None:
    """Puts a handler of ours into the place of moto's method."""
    operation = model.service("cloudwatch")["operations"][name]
    attribute = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    told: Callable[[CloudWatchResponse], ActionResult] = getattr(response, attribute, None)

    def answer(self: CloudWatchResponse) -> ActionResult:
        from moto.core.responses import ActionResult, EmptyResult

        if name in _TAGGING and ":alarm:" not in self._get_param("ResourceARN"):
            return told(self)
        try:
            request = model.validate(operation["input"]["shape"], _plain(self._get_params()), "cloudwatch")
            result = handler(server, request)
        except errors.AwsError as error:
            code = "ValidationError" if error.code == "ValidationException" else error.code
            raise errors.AwsError(code, error.message, error.status) from None
        return ActionResult(_with_dates(result)) if result is not None else EmptyResult()

    setattr(response, attribute, answer)


def _tagging(server: Server) -> dict[str, alarms.Handler]:
    """The operations on tags, for alarms."""

    def require(arn: str) -> str:
        if alarms.find(server.store, arn.partition(":alarm:")[2]) is None:
            raise errors.AwsError("ResourceNotFoundException", f"The resource {arn} does not exist.", 404)
        return arn

    return {
        "TagResource": lambda _, request: tags.add(server.store, require(request["ResourceARN"]), request["Tags"]),
        "UntagResource": lambda _, request: tags.delete(
            server.store, require(request["ResourceARN"]), request["TagKeys"]
        ),
        "ListTagsForResource": lambda _, request: {"Tags": tags.of(server.store, require(request["ResourceARN"]))},
    }


def _plain(value: object) -> object:
    """What moto has parsed, with times as epoch seconds."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return _moment(value) if isinstance(value, datetime) else value


def _with_dates(value: object, name: str = "") -> object:
    """A result without private members, with its times as moto wants them."""
    if isinstance(value, dict):
        return {key: _with_dates(member, key) for key, member in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [_with_dates(member) for member in value]
    return datetime.fromtimestamp(value, UTC) if name.endswith("Timestamp") else value
