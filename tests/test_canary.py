import numpy as np
import pytest
from scipy.stats import binom, norm

from helpers import canary
from helpers.canary import Alarm
from helpers.local_sagemaker import alarm_evaluation


def test_a_tenth_of_600_requests_shows_a_fault_of_one_percent_in_less_than_half_of_all_canaries():
    assert canary.p_see_nothing(600, share=0.1, fault_rate=0.01) == pytest.approx(0.55, abs=0.005)
    quiet = [
        canary.simulate(seed, "5xx", minutes=10, severity=0.01, fault_rate=0.0)
        .query("fleet == 'green'")["errors"]
        .sum()
        for seed in range(150)
    ]
    assert np.mean(np.array(quiet) == 0) == pytest.approx(0.55, abs=0.13)


@pytest.mark.parametrize("faults", [1, 3])
@pytest.mark.parametrize(("rate", "share", "fault_rate"), [(60, 0.1, 0.01), (600, 0.05, 0.002), (30, 0.5, 0.05)])
def test_the_bake_is_the_first_minute_with_the_wanted_detection(rate, share, fault_rate, faults):
    minutes = canary.bake_minutes(rate, share, fault_rate, 0.95, faults)
    detected = [binom.sf(faults - 1, rate * each, share * fault_rate) for each in (minutes - 1, minutes)]
    assert detected[0] < 0.951 and detected[1] > 0.949, "a Poisson process differs little from so many requests"


def test_a_bake_as_long_as_planned_shows_the_fault():
    minutes = canary.bake_minutes(120, 0.2, 0.02)
    frames = [canary.simulate(s, "5xx", minutes, 120, 0.2, severity=0.02, fault_rate=0.0) for s in range(150)]
    odds, _ = canary.alarm_odds(frames, "5xx_sum", Alarm(threshold=1, missing="notBreaching"))
    assert odds == pytest.approx(0.95, abs=0.055)


def test_so_many_labels_find_the_drop():
    n = canary.labels_needed(0.85, 0.15, detection=0.9, alpha=0.05)
    limit = 0.85 - norm.isf(0.05) * np.sqrt(0.85 * 0.15 / n)
    found, false = (binom.cdf(np.ceil(limit * n) - 1, n, accuracy) for accuracy in (0.70, 0.85))
    assert found == pytest.approx(0.9, abs=0.05) and false == pytest.approx(0.05, abs=0.03)


def test_labels_arrive_when_the_plan_says():
    minutes = canary.label_bake_minutes(60, 0.2, labels=80, label_share=0.5, label_delay=8)
    arrived = [
        canary.simulate(s, minutes=minutes, share=0.2, label_share=0.5, label_delay=8).query("fleet == 'green'")[
            "labels"
        ]
        for s in range(30)
    ]
    assert np.mean([each.sum() for each in arrived]) == pytest.approx(80, rel=0.06)
    assert canary.label_bake_minutes(60, 0.2, 80, 0.5, label_delay=0) == 14


@pytest.mark.parametrize("name", ["share", "fault_rate"])
def test_shares_beyond_one_are_refused(name):
    with pytest.raises(ValueError, match=name):
        canary.p_see_nothing(10, **({"share": 0.1, "fault_rate": 0.1} | {name: 1.5}))
    with pytest.raises(ValueError, match="positive"):
        canary.bake_minutes(60, 0.1, 0.0)


def test_alarms_reach_the_states_that_the_local_sagemaker_gives_them():
    rng, compared = np.random.default_rng(0), 0
    for missing in ("missing", "notBreaching", "breaching", "ignore"):
        for periods in (1, 2, 3, 5):
            for to_alarm in range(1, periods + 1):
                below = bool(rng.integers(2))
                alarm = Alarm(0.5, periods, to_alarm, missing, below)
                values = np.where(rng.random(60) < 0.5, np.nan, rng.random(60))
                assert canary.alarm_states(values, alarm) == _states_on_the_server(values, alarm), alarm
                compared += 1
    assert compared == 44


def _states_on_the_server(values: np.ndarray, alarm: Alarm) -> list[str]:
    definition = {"AlarmName": "a", "Statistic": "Average", **alarm.members()}
    span, states, state = alarm_evaluation.evaluation_range(definition), [], "INSUFFICIENT_DATA"
    for end in range(1, len(values) + 1):
        window = range(end - span, end)
        points = [alarm_evaluation.Datapoint(60 * i, _value(values, i)) for i in window]
        verdict = alarm_evaluation.evaluate(definition, points, 60.0 * end)
        state = verdict.state if verdict else state
        states.append(state)
    return states


def _value(values: np.ndarray, place: int) -> float | None:
    return None if place < 0 or np.isnan(values[place]) else float(values[place])


def test_only_the_metric_of_a_regression_shows_it():
    alarms = {
        "5xx_average": Alarm(0.02, 10, 5, "notBreaching"),
        "p99_ms": Alarm(150, 10, 5),
        "accuracy": Alarm(0.75, 10, 7, below=True),
    }
    traffic = {"requests_per_minute": 300, "share": 0.2, "label_delay": 5}
    shown = {}
    for regression in canary.REGRESSIONS:
        frames = [canary.simulate(seed, regression, **traffic) for seed in range(10)]
        shown[regression] = {name: canary.alarm_odds(frames, name, alarm)[0] for name, alarm in alarms.items()}
    assert max(shown["none"].values()) == 0
    for regression, name in {"5xx": "5xx_average", "latency": "p99_ms", "quality": "accuracy"}.items():
        assert shown[regression].pop(name) == 1.0
        assert max(shown[regression].values()) == 0


def test_a_metric_of_both_fleets_hides_the_canary():
    frames = [canary.simulate(seed, "5xx", severity=0.2, requests_per_minute=300) for seed in range(20)]
    alarm = Alarm(0.1, 3, 2)
    assert canary.alarm_odds(frames, "5xx_average", alarm, "green")[0] == 1.0
    assert canary.alarm_odds(frames, "5xx_average", alarm, "all")[0] == 0.0


def test_the_fleets_add_up_and_minutes_without_requests_have_no_value():
    frame = canary.simulate(3, "quality", requests_per_minute=4)
    sums = frame.groupby("fleet")[["requests", "errors", "labels", "correct"]].sum()
    assert (sums.loc["blue"] + sums.loc["green"] == sums.loc["all"]).all()
    empty = frame.query("fleet == 'green'")["requests"].to_numpy() == 0
    assert empty.any() and np.isnan(canary.metric(frame, "5xx_sum")[empty]).all()
    assert not np.isnan(canary.metric(frame, "p99_ms")[~empty]).any()
    with pytest.raises(ValueError, match="metric"):
        canary.metric(frame, "p90")
    with pytest.raises(ValueError, match="fleet"):
        canary.metric(frame, "accuracy", "red")
    with pytest.raises(ValueError, match="regression"):
        canary.simulate(0, "fire")


def test_the_members_of_an_alarm_are_those_of_put_metric_alarm():
    import botocore.session

    shape = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    members = Alarm(0.1, 3, 2, "notBreaching").members()
    assert set(members) <= set(shape.members)
    assert members["ComparisonOperator"] in shape.members["ComparisonOperator"].enum


def test_an_alarm_needs_no_more_datapoints_than_it_looks_at():
    with pytest.raises(ValueError, match="between 1 and N"):
        canary.alarm_states([1.0], Alarm(1, 2, 3))
