"""Which state an alarm's datapoints put it in, and why: M out of N, with AWS's rules for missing data."""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass
from datetime import UTC, datetime

from helpers.local_sagemaker import percentiles

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
# AWS looks this much further back than the evaluation periods, for datapoints in the place of missing ones.
EXTRA_PERIODS = 2

COMPARISONS = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


@dataclass(frozen=True)
class Datapoint:
    """One period of an alarm's metric.

    Args:
        start: epoch seconds of the period's begin.
        value: None when nothing was reported.
        sample_count: how many values it stands for; None for a math expression's.
    """

    start: float
    value: float | None
    sample_count: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The state that an evaluation found; `data` is StateReasonData."""

    state: str
    reason: str
    data: str


def evaluation_range(alarm: dict) -> int:
    """How many periods an evaluation looks at."""
    return alarm["EvaluationPeriods"] + EXTRA_PERIODS


def evaluate(alarm: dict, datapoints: list[Datapoint], queried: float) -> Verdict | None:
    """The state that an alarm belongs in, None when it keeps the one that it has.

    When there are fewer real datapoints than evaluation periods, the missing ones count as TreatMissingData says.

    Args:
        alarm: as in DescribeAlarms.
        datapoints: of the evaluation range, oldest first.
        queried: epoch seconds of the evaluation.

    Source: "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide.
    """
    periods = alarm["EvaluationPeriods"]
    to_alarm = alarm.get("DatapointsToAlarm", periods)
    treatment = alarm.get("TreatMissingData", "missing")
    real = [point for point in datapoints if point.value is not None]
    judged, filled = real[-periods:], max(periods - len(real), 0)
    breaching = [point for point in judged if is_breaching(alarm, point.value)]
    if judged and _has_too_few_samples(alarm, judged[-1]):
        return None
    data = _reason_data(alarm, datapoints, judged, queried)
    is_alarm = len(breaching) >= to_alarm
    if filled and not is_alarm and treatment in ("missing", "ignore"):
        if not judged:
            return None if treatment == "ignore" else Verdict(INSUFFICIENT_DATA, _insufficient(periods), data)
        if len(breaching) == len(judged):
            # The oldest breach may be old enough to be sure; else the next datapoint decides.
            age = len(datapoints) - datapoints.index(judged[0])
            if treatment == "ignore" or age < to_alarm:
                return None
            is_alarm = True
    elif filled and treatment == "breaching":
        is_alarm = len(breaching) + filled >= to_alarm
    treated = filled if treatment in ("breaching", "notBreaching") else 0
    return Verdict(ALARM if is_alarm else OK, _reason(alarm, is_alarm, judged, treated), data)


def is_breaching(alarm: dict, value: float) -> bool:
    """Whether a value lies beyond an alarm's threshold."""
    return COMPARISONS[alarm["ComparisonOperator"]][0](value, alarm["Threshold"])


def _has_too_few_samples(alarm: dict, point: Datapoint) -> bool:
    """Whether a percentile is of too few values for an alarm that ignores such."""
    if alarm.get("EvaluateLowSampleCountPercentile") != "ignore" or "ExtendedStatistic" not in alarm:
        return False
    fraction = percentiles.fraction(alarm["ExtendedStatistic"])
    rest = min(fraction, 1 - fraction)
    return rest > 0 and (point.sample_count or 0) < 10 / rest


def timestamp(seconds: float) -> str:
    """A time as alarms write it: `2026-01-02T03:04:05.678+0000`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _reason(alarm: dict, is_alarm: bool, judged: list[Datapoint], treated: int) -> str:
    words = COMPARISONS[alarm["ComparisonOperator"]][1]
    beyond = f"{'' if is_alarm else 'not '}{words} the threshold ({alarm['Threshold']})"
    treatment = "Breaching" if alarm.get("TreatMissingData") == "breaching" else "NonBreaching"
    missing = f"{_count(treated, 'missing datapoint')} {_was(treated)} treated as [{treatment}]"
    if not judged:
        return f"Threshold Crossed: no datapoints were received for {_count(treated, 'period')} and {missing}."
    also = f" and {missing}" if treated else ""
    if "DatapointsToAlarm" not in alarm or treated:
        counted = f"{_count(len(judged), 'datapoint')} {_listed(judged)} {_was(len(judged))}"
        return f"Threshold Crossed: {counted} {beyond}{also}."
    shown = [point for point in judged if is_breaching(alarm, point.value) == is_alarm]
    periods, to_alarm = alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]
    least, transition = (to_alarm, "OK -> ALARM") if is_alarm else (periods - to_alarm + 1, "ALARM -> OK")
    return (
        f"Threshold Crossed: {len(shown)} out of the last {periods} datapoints {_listed(shown)} {_was(len(shown))} "
        f"{beyond} (minimum {_count(least, 'datapoint')} for {transition} transition)."
    )


def _listed(points: list[Datapoint]) -> str:
    """Values with their times, the latest first."""
    times = [datetime.fromtimestamp(point.start, UTC).strftime("%d/%m/%y %H:%M:%S") for point in points]
    shown = [f"{point.value} ({time})" for point, time in zip(points, times, strict=True)]
    return f"[{', '.join(reversed(shown))}]"


def _insufficient(periods: int) -> str:
    return f"Insufficient Data: {_count(periods, 'datapoint')} {_was(periods)} unknown."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _reason_data(alarm: dict, datapoints: list[Datapoint], judged: list[Datapoint], queried: float) -> str:
    data: dict[str, object] = {"version": "1.0", "queryDate": timestamp(queried)}
    if judged:
        data["startDate"] = timestamp(judged[0].start)
    if "Unit" in alarm:
        data["unit"] = alarm["Unit"]
    if "Period" in alarm:
        data["statistic"] = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        data["period"] = alarm["Period"]
    data["recentDatapoints"] = [point.value for point in judged]
    data["threshold"] = alarm["Threshold"]
    shown = judged or datapoints[-alarm["EvaluationPeriods"] :]
    data["evaluatedDatapoints"] = [_evaluated(point) for point in reversed(shown)]
    return json.dumps(data, separators=(",", ":"))


def _evaluated(point: Datapoint) -> dict:
    known = {"sampleCount": point.sample_count, "value": point.value}
    return {"timestamp": timestamp(point.start)} | {key: value for key, value in known.items() if value is not None}
