"""Requests of CloudWatch's alarms for the tests."""


def alarm(name: str, **members: object) -> dict:
    """PutMetricAlarm's request: one datapoint above 5 of a metric called as the alarm."""
    return {
        "AlarmName": name,
        "Namespace": "course",
        "MetricName": name,
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 5,
        **members,
    }
