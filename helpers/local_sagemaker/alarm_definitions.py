"""What an alarm is made of: the checks of PutMetricAlarm, and the metrics that it watches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from helpers.local_sagemaker import errors, metric_math, metric_summaries, percentiles
from helpers.local_sagemaker.alarm_evaluation import COMPARISONS

TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")
_SINGLE = ("Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
_NOT_AVAILABLE = (
    "ThresholdMetricId",
    "EvaluationWindow",
    "WarmUpConfiguration",
    "EvaluationCriteria",
    "EvaluationInterval",
    "ActionConfiguration",
)
_DAY, _HOUR = 86_400, 3600


@dataclass(frozen=True)
class Query:
    """One metric of an alarm.

    Args:
        id: in the alarm's expressions.
        period: seconds on AWS.
        stat: a statistic or a percentile such as `p90`.
        unit: only values with this unit count; None for all.
    """

    id: str
    metric: metric_summaries.Key
    period: int
    stat: str
    unit: str | None


def check(alarm: dict) -> None:
    """Holds PutMetricAlarm's members to AWS's rules.

    Raises:
        AwsError: `ValidationError` for what AWS would not accept, or what the local SageMaker does not evaluate.
    """
    for member in _NOT_AVAILABLE:
        if member in alarm:
            raise refused(f"{member} is not available in the local SageMaker.")
    for member in ("ComparisonOperator", "EvaluationPeriods", "Threshold"):
        if member not in alarm:
            raise refused(f"The parameter {member} is required.")
    if alarm["ComparisonOperator"] not in COMPARISONS:
        raise refused(
            f"ComparisonOperator {alarm['ComparisonOperator']} is of anomaly detection, which is not available in the "
            "local SageMaker."
        )
    if alarm.get("TreatMissingData", "missing") not in TREATMENTS:
        raise refused(
            f"Option {alarm['TreatMissingData']} is not supported. Supported options for parameter TreatMissingData "
            "are breaching, notBreaching, ignore and missing."
        )
    if alarm.get("EvaluateLowSampleCountPercentile", "evaluate") not in ("evaluate", "ignore"):
        raise refused(
            f"Option {alarm['EvaluateLowSampleCountPercentile']} is not supported. "
            "Supported options for parameter EvaluateLowSampleCountPercentile are evaluate and ignore."
        )
    if alarm.get("DatapointsToAlarm", 1) > alarm["EvaluationPeriods"]:
        raise refused("DatapointsToAlarm must be less than or equal to EvaluationPeriods.")
    _check_metrics(alarm) if "Metrics" in alarm else _check_metric(alarm)
    _check_range(alarm)


def _check_metric(alarm: dict) -> None:
    for member in ("MetricName", "Namespace", "Period"):
        if member not in alarm:
            raise refused(f"The parameter {member} is required.")
    if ("Statistic" in alarm) == ("ExtendedStatistic" in alarm):
        raise refused("Exactly one of Statistic or ExtendedStatistic must be specified.")
    if "ExtendedStatistic" in alarm:
        _check_stat(alarm["ExtendedStatistic"])
    check_period(alarm["Period"])


def _check_metrics(alarm: dict) -> None:
    for member in ("MetricName", *_SINGLE):
        if member in alarm:
            raise refused(f"The parameters Metrics and {member} are mutually exclusive.")
    metrics, ids = alarm["Metrics"], [metric["Id"] for metric in alarm["Metrics"]]
    if not metrics or len(set(ids)) < len(ids):
        raise refused("Invalid metrics list: it must have a metric, and each its own Id.")
    if len([metric for metric in metrics if metric.get("ReturnData", True)]) != 1:
        raise refused("Exactly one element of the metrics list should return data.")
    for metric in metrics:
        if ("MetricStat" in metric) == ("Expression" in metric):
            raise refused(f"Invalid metrics list: {metric['Id']} must have either MetricStat or Expression.")
        if "MetricStat" in metric:
            stat = metric["MetricStat"]
            if not {"Namespace", "MetricName"} <= stat["Metric"].keys():
                raise refused(f"Invalid metrics list: {metric['Id']} must name a Namespace and a MetricName.")
            _check_stat(stat["Stat"])
            check_period(stat["Period"])
    if not any("MetricStat" in metric for metric in metrics):
        raise refused("Invalid metrics list: it has no MetricStat, and queries are not available locally.")
    check_expressions(metrics)


def check_expressions(metrics: list[dict]) -> None:
    """Parses the expressions of a metrics list, which may use each other, but not in a circle.

    Raises:
        AwsError: `ValidationError`.
    """
    known = {metric["Id"] for metric in metrics if "MetricStat" in metric}
    waiting = {
        metric["Id"]: metric_math.Expression(metric["Expression"]) for metric in metrics if "Expression" in metric
    }
    while ready := [name for name, expression in waiting.items() if expression.names <= known]:
        known.update(ready)
        for name in ready:
            del waiting[name]
    if waiting:
        unknown = sorted(set().union(*(expression.names for expression in waiting.values())) - known)
        raise refused(f"Invalid metrics list: the expressions use {', '.join(unknown)}, which cannot be resolved.")


def check_period(period: int) -> None:
    """Holds a period to what alarms may have.

    Raises:
        AwsError: `ValidationError`.
    """
    if period not in (10, 20, 30) and period % 60:
        raise refused("Period must be 10, 20, 30 or a multiple of 60.")


def _check_stat(stat: str) -> None:
    if stat not in percentiles.PLAIN and not percentiles.PERCENTILE.fullmatch(stat):
        raise refused(
            f"The statistic {stat} is not available in the local SageMaker: use {', '.join(percentiles.PLAIN)}, or a "
            "percentile from p0 to p100."
        )


def _check_range(alarm: dict) -> None:
    period = period_of(alarm)
    longest, words = (7 * _DAY, "seven days") if period >= _HOUR else (_DAY, "a day")
    if alarm["EvaluationPeriods"] * period > longest:
        raise refused(
            f"Metrics cannot be checked across more than {words} (EvaluationPeriods * Period must be <= {longest})."
        )


def queries(alarm: dict) -> Iterator[Query]:
    """The metrics that an alarm watches."""
    if "MetricName" in alarm:
        metric = metric_summaries.key(alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions", []))
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        yield Query("", metric, alarm["Period"], stat, alarm.get("Unit"))
    for entry in alarm.get("Metrics", []):
        if stat := entry.get("MetricStat"):
            metric = metric_summaries.key(
                stat["Metric"]["Namespace"], stat["Metric"]["MetricName"], stat["Metric"].get("Dimensions", [])
            )
            yield Query(entry["Id"], metric, stat["Period"], stat["Stat"], stat.get("Unit"))


def period_of(alarm: dict) -> int:
    """Seconds between an alarm's datapoints: the longest of its metrics' periods."""
    return max(query.period for query in queries(alarm))


def refused(message: str) -> errors.AwsError:
    """CloudWatch's word for a request that breaks a rule."""
    return errors.AwsError("ValidationError", message)
