"""A rehearsed canary is rolled back by the alarms that CloudWatch would raise, and by no other."""

import pytest

from helpers import rehearsal

SERVICE = {
    "endpoint": "shop",
    "variant": "live",
    "endpoint_config": "shop-2",
    "requests_per_minute": 600,
    "label_share": 0.5,
    "label_delay_minutes": 10,
}
NEW_FLEET = {"EndpointName": "shop", "VariantName": "live", "EndpointConfigName": "shop-2"}
BOTH_FLEETS = {"EndpointName": "shop", "VariantName": "live"}


def alarm(metric: str, threshold: float, dimensions: dict = NEW_FLEET, **changes) -> dict:
    request = {
        "AlarmName": metric,
        "Namespace": "Course/Sentiment" if metric == "Agreement" else "AWS/SageMaker",
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Statistic": "Average",
        "Period": 300,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    } | changes
    return {key: value for key, value in request.items() if value is not None}


def update(*watched: str, percent: int = 10, minutes: int = 40, kind: str = "CANARY") -> dict:
    routing = {
        "Type": kind,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
        "WaitIntervalInSeconds": 60 * minutes,
    }
    return {
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in watched]},
        }
    }


def rehearse(request: dict, release: rehearsal.Release | None = None, **options) -> rehearsal.Rollback | None:
    plan = update(request["AlarmName"], **options)
    return rehearsal.rehearse(SERVICE, [request], plan, release or rehearsal.Release(), seed=3)


def test_errors_roll_back_and_their_absence_does_not():
    request = alarm("Invocation5XXErrors", 0.03)
    found = rehearse(request, rehearsal.Release(error_share=0.1))
    assert found is not None and found.alarm == "Invocation5XXErrors" and found.minute <= 5
    assert rehearse(request) is None


def test_a_slow_twentieth_shows_in_the_p99_and_not_in_the_mean():
    slow = rehearsal.Release(slow_share=0.05)
    p99 = alarm("ModelLatency", 150_000.0, Statistic=None, ExtendedStatistic="p99")
    assert rehearse(p99, slow) is not None and rehearse(p99) is None
    assert rehearse(alarm("ModelLatency", 150_000.0), slow) is None


def test_quality_shows_after_the_labels_delay():
    request = alarm("Agreement", 0.75, ComparisonOperator="LessThanThreshold")
    wrong = rehearsal.Release(agreement=0.5)
    found = rehearse(request, wrong)
    assert found is not None and found.minute > SERVICE["label_delay_minutes"]
    assert rehearse(request, wrong, minutes=SERVICE["label_delay_minutes"]) is None


def test_both_fleets_together_dilute_a_fault_by_the_canarys_share():
    faulty = rehearsal.Release(error_share=0.1)
    assert rehearse(alarm("Invocation5XXErrors", 0.03, BOTH_FLEETS), faulty) is None
    assert rehearse(alarm("Invocation5XXErrors", 0.008, BOTH_FLEETS), faulty) is not None


def test_missing_data_that_breaches_rolls_back_before_the_first_request():
    assert rehearse(alarm("Invocation5XXErrors", 0.03, TreatMissingData="breaching")) == rehearsal.Rollback(
        0, "Invocation5XXErrors"
    )
    assert rehearse(alarm("Invocation5XXErrors", 0.03, BOTH_FLEETS, TreatMissingData="breaching")) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"Namespace": "Course/Sentiment"},
        {"Unit": "Percent"},
        {"MetricName": "Invocation5xxErrors"},
        {"Dimensions": [{"Name": "EndpointName", "Value": "shop"}]},
    ],
)
def test_an_alarm_on_what_nobody_reports_stays_silent(changes):
    request = alarm("Invocation5XXErrors", 0.03) | changes
    assert rehearse(request, rehearsal.Release(error_share=0.5)) is None


@pytest.mark.parametrize(
    ("comparison", "trips"),
    [
        ("GreaterThanThreshold", False),
        ("GreaterThanOrEqualToThreshold", True),
        ("LessThanThreshold", False),
        ("LessThanOrEqualToThreshold", True),
    ],
)
def test_a_threshold_that_is_met_exactly_goes_by_the_comparison(comparison, trips):
    request = alarm("Invocation5XXErrors", 1.0, ComparisonOperator=comparison)
    assert (rehearse(request, rehearsal.Release(error_share=1.0)) is not None) is trips


def test_m_out_of_n_needs_m_periods():
    faulty = rehearsal.Release(error_share=0.5)
    once = rehearse(alarm("Invocation5XXErrors", 0.03), faulty)
    three = rehearse(alarm("Invocation5XXErrors", 0.03, EvaluationPeriods=4, DatapointsToAlarm=3), faulty)
    assert three.minute - once.minute == 10


def test_only_the_alarms_that_the_update_names_are_watched():
    request = alarm("Invocation5XXErrors", 0.03)
    plan = update("another")
    assert rehearsal.rehearse(SERVICE, [request], plan, rehearsal.Release(error_share=0.5), 3) is None


def test_what_cannot_be_rehearsed_is_refused():
    with pytest.raises(ValueError, match="canaries by percent"):
        rehearse(alarm("Invocation5XXErrors", 0.03), kind="LINEAR")
    with pytest.raises(ValueError, match="a value a minute"):
        rehearse(alarm("Invocation5XXErrors", 0.03, Period=30))
    with pytest.raises(ValueError, match="does not know"):
        rehearse(alarm("Invocation5XXErrors", 0.03, ComparisonOperator="LessThanLowerThreshold"))


def test_the_same_seed_gives_the_same_draw():
    release = rehearsal.Release(error_share=0.03)
    request = alarm("Invocation5XXErrors", 0.025)
    assert rehearse(request, release) == rehearse(request, release)
