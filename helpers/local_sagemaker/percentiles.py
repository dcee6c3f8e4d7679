"""CloudWatch's percentiles: ExtendedStatistics, and `"Stat": "p99"` of GetMetricData."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from helpers.local_sagemaker import errors

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{0,10})?|100)")
PLAIN = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


def of(values: Mapping[float, float], stat: str) -> float | None:
    """The percentile, such as `p90`: the smallest value that so many percent of the values do not exceed.

    Args:
        values: how often each came.
        stat: which percentile.

    Raises:
        AwsError: `InvalidParameterValue`, it is no percentile.
    """
    share = fraction(stat)
    position = max(math.ceil(share * sum(values.values())), 1)
    passed = 0.0
    for value in sorted(values):
        passed += values[value]
        if passed >= position:
            return value
    return None


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
