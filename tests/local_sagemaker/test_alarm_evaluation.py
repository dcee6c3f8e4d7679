"""How an alarm's state is found: missing data, comparisons, metric math, rules of composite alarms, and the words."""

import json

import pytest
from alarm_requests import alarm

from helpers.local_sagemaker import alarm_evaluation
from helpers.local_sagemaker.alarm_evaluation import Datapoint
from helpers.local_sagemaker.composite_alarms import Rule
from helpers.local_sagemaker.errors import AwsError
from helpers.local_sagemaker.metric_math import Expression

# "Configuring how CloudWatch alarms treat missing data": datapoints (oldest first), M of 3, and the state when missing
# data are missing, ignored, breaching, not breaching. "Retain" is None.
AWS_EXAMPLES = [
    ("0-X-X", 3, ("OK", "OK", "OK", "OK")),
    ("0----", 3, ("OK", "OK", "OK", "OK")),
    ("-----", 3, ("INSUFFICIENT_DATA", None, "ALARM", "OK")),
    ("0XX-X", 3, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("--X--", 3, ("ALARM", None, "ALARM", "OK")),
    ("0-X-X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("00X0X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("0-X--", 2, ("OK", "OK", "ALARM", "OK")),
    ("----0", 2, ("OK", "OK", "ALARM", "OK")),
    ("---X-", 2, ("ALARM", None, "ALARM", "OK")),
    # "the alarm does not go immediately into ALARM state when the data is either - - - - X or - - - X -"
    ("----X", 3, (None, None, "ALARM", "OK")),
    ("---X-", 3, (None, None, "ALARM", "OK")),
]


def evaluated(letters: str, **members: object) -> alarm_evaluation.Verdict | None:
    values = {"0": 0.0, "X": 9.0, "-": None}
    points = [Datapoint(60.0 * i, values[letter], 1.0) for i, letter in enumerate(letters)]
    definition = alarm("a", EvaluationPeriods=3, **members) | {"Threshold": 5.0}
    return alarm_evaluation.evaluate(definition, points, 300.0)


@pytest.mark.parametrize(("letters", "to_alarm", "wanted"), AWS_EXAMPLES)
def test_missing_data_are_treated_as_in_awss_tables(letters: str, to_alarm: int, wanted: tuple) -> None:
    treatments = ("missing", "ignore", "breaching", "notBreaching")
    verdicts = [evaluated(letters, DatapointsToAlarm=to_alarm, TreatMissingData=treatment) for treatment in treatments]
    assert tuple(verdict and verdict.state for verdict in verdicts) == wanted


@pytest.mark.parametrize(
    ("letters", "members", "reason"),
    [
        (
            "00XXX",
            {},
            "Threshold Crossed: 3 datapoints [9.0 (01/01/70 00:04:00), 9.0 (01/01/70 00:03:00), "
            "9.0 (01/01/70 00:02:00)] were greater than the threshold (5.0).",
        ),
        (
            "000X0",
            {"DatapointsToAlarm": 1},
            "Threshold Crossed: 1 out of the last 3 datapoints [9.0 (01/01/70 00:03:00)] was greater than the "
            "threshold (5.0) (minimum 1 datapoint for OK -> ALARM transition).",
        ),
        (
            "00X00",
            {"DatapointsToAlarm": 2},
            "Threshold Crossed: 2 out of the last 3 datapoints [0.0 (01/01/70 00:04:00), 0.0 (01/01/70 00:03:00)] were "
            "not greater than the threshold (5.0) (minimum 2 datapoints for ALARM -> OK transition).",
        ),
        ("-----", {}, "Insufficient Data: 3 datapoints were unknown."),
        (
            "-----",
            {"TreatMissingData": "notBreaching"},
            "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as "
            "[NonBreaching].",
        ),
        (
            "----0",
            {"TreatMissingData": "notBreaching"},
            "Threshold Crossed: 1 datapoint [0.0 (01/01/70 00:04:00)] was not greater than the threshold (5.0) and 2 "
            "missing datapoints were treated as [NonBreaching].",
        ),
    ],
)
def test_reasons_are_worded_as_on_aws(letters: str, members: dict, reason: str) -> None:
    assert evaluated(letters, **members).reason == reason


def test_reason_data_tell_what_was_evaluated() -> None:
    data = json.loads(evaluated("00XX-").data)
    assert data["recentDatapoints"] == [0.0, 9.0, 9.0]
    assert (data["startDate"], data["statistic"], data["period"]) == ("1970-01-01T00:01:00.000+0000", "Maximum", 60)
    assert data["evaluatedDatapoints"][0] == {
        "timestamp": "1970-01-01T00:03:00.000+0000",
        "sampleCount": 1.0,
        "value": 9.0,
    }


@pytest.mark.parametrize(
    ("operator", "value", "is_alarm"),
    [
        ("GreaterThanOrEqualToThreshold", 5.0, True),
        ("GreaterThanThreshold", 5.0, False),
        ("LessThanThreshold", 5.0, False),
        ("LessThanOrEqualToThreshold", 5.0, True),
        ("LessThanThreshold", 4.0, True),
    ],
)
def test_a_value_is_compared_as_the_operator_says(operator: str, value: float, is_alarm: bool) -> None:
    definition = alarm("a", ComparisonOperator=operator)
    points = [Datapoint(0.0, None), Datapoint(60.0, None), Datapoint(120.0, value)]
    assert (alarm_evaluation.evaluate(definition, points, 180.0).state == "ALARM") is is_alarm


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("m1 / m2 * 100", 50.0),
        ("(m1 + m2) ^ 2", 9.0),
        ("-m1", -1.0),
        ("m1 / 0", None),
        ("m3 + m1", None),
        ("FILL(m3, 7)", 7.0),
        ("SUM([m1, m2, m3])", 3.0),
        ("AVG(METRICS())", 1.5),
        ("IF(m2 > 1, m1, 0)", 1.0),
        ("MAX([m1, m2]) - MIN([m1, m2])", 1.0),
        ("9 ^ 9 ^ 9", None),
    ],
)
def test_metric_math(text: str, wanted: float | None) -> None:
    known = {"m1": 1.0, "m2": 2.0, "m3": None}
    assert Expression(text).value(known, list(known.values())) == wanted


@pytest.mark.parametrize(
    "text", ["RATE(m1)", "m1 +", "SELECT AVG(x) FROM y", "__import__('os')", "m1.real", "m1 if 1 else 2"]
)
def test_what_metric_math_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(AwsError):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ALARM(a)", True),
        ("ALARM(a) AND OK(b)", True),
        ("ALARM(a) AND ALARM(b) OR TRUE", True),
        ("NOT (ALARM(a) OR FALSE)", False),
        ('INSUFFICIENT_DATA("arn:aws:cloudwatch:us-east-1:111122223333:alarm:my alarm")', True),
    ],
)
def test_rules_of_composite_alarms(text: str, wanted: bool) -> None:
    assert Rule(text).holds({"a": "ALARM", "b": "OK", "my alarm": "INSUFFICIENT_DATA"}) is wanted
