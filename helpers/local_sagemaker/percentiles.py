"""CloudWatch's percentiles, which moto does not compute: ExtendedStatistics, and `"Stat": "p99"` of GetMetricData."""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors

if TYPE_CHECKING:
    from moto.cloudwatch.models import CloudWatchBackend, Statistics
    from moto.cloudwatch.responses import CloudWatchResponse
    from moto.core.responses import ActionResult

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{0,10})?|100)")
PLAIN = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


@functools.cache
def install() -> None:
    """Teaches moto percentiles."""
    from moto.cloudwatch.models import CloudWatchBackend, Statistics
    from moto.cloudwatch.responses import CloudWatchResponse

    told_statistic = Statistics.get_statistics_for_type
    told_data = CloudWatchBackend.get_metric_data
    told_statistics = CloudWatchResponse.get_metric_statistics

    def get_statistics_for_type(self: Statistics, stat: str) -> object:
        return told_statistic(self, stat) if stat in PLAIN else _percentile(self, stat)

    def get_metric_data(self: CloudWatchBackend, *args: object, **kwargs: object) -> list[dict]:
        results = told_data(self, *args, **kwargs)
        for result in results:
            pairs = zip(result["values"], result["timestamps"], strict=False)
            known = [(value, timestamp) for value, timestamp in pairs if value is not None]
            result["values"] = [value for value, _ in known]
            result["timestamps"] = [timestamp for _, timestamp in known]
        return results

    def get_metric_statistics(self: CloudWatchResponse) -> ActionResult:
        extended = self._get_param("ExtendedStatistics") or []
        if extended and self._get_param("Statistics"):
            raise errors.AwsError(
                "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics, and not both"
            )
        for stat in extended:
            fraction(stat)
        answer = told_statistics(self)
        for datapoint in answer.result["Datapoints"]:
            datapoint.stats = [*datapoint.stats, *extended]
        return answer

    def extended_statistics(self: Statistics) -> dict[str, float] | None:
        values = {stat: _percentile(self, stat) for stat in self.stats if stat not in PLAIN}
        return {stat: value for stat, value in values.items() if value is not None} or None

    Statistics.get_statistics_for_type = get_statistics_for_type
    Statistics.extended_statistics = property(extended_statistics)
    CloudWatchBackend.get_metric_data = get_metric_data
    CloudWatchResponse.get_metric_statistics = get_metric_statistics


def _percentile(statistics: Statistics, stat: str) -> float | None:
    """The smallest value that so many percent of the values do not exceed.

    As in CloudWatch, statistic sets have no percentile, unless all of their values are the same.
    """
    values = list(statistics.metric_single_values_list)
    for summary in statistics.metric_aggregated_list:
        if summary.min == summary.max:
            values += [summary.min] * int(summary.sample_count)
    return of(values, stat)


def of(values: list[float], stat: str) -> float | None:
    """The percentile of some values, such as `p90`; None when there are none.

    Raises:
        AwsError: `InvalidParameterValue`, it is no percentile.
    """
    position = fraction(stat)
    return sorted(values)[max(math.ceil(position * len(values)), 1) - 1] if values else None


def fraction(stat: str) -> float:
    """The percentile as a share of one.

    Raises:
        AwsError: `InvalidParameterValue`, it is none.
    """
    match = PERCENTILE.fullmatch(stat)
    if match is None:
        raise errors.AwsError(
            "InvalidParameterValue",
            f"The statistic {stat!r} is not available in the local SageMaker: use {', '.join(PLAIN)}, or a "
            "percentile from p0 to p100.",
        )
    return float(match[1]) / 100
