"""The simulated queue: its arithmetic by hand, and beside that of the local SageMaker's auto scaling."""

import math

import numpy as np
import pytest

from helpers import backlog
from helpers.local_sagemaker import scaling_policies, scaling_steps


def requests(target_value: float = 10.0, most: int = 8, least: int = 0, **tracking) -> dict:
    """Four requests that scale from zero."""
    metric = {"Statistic": "Average", "Period": 60}
    return {
        "target": {"MinCapacity": least, "MaxCapacity": most},
        "tracking": {
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": target_value,
                "CustomizedMetricSpecification": metric | {"MetricName": "ApproximateBacklogSizePerInstance"},
                "ScaleInCooldown": 60,
                "ScaleOutCooldown": 60,
                **tracking,
            }
        },
        "step": {
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "Cooldown": 600,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            }
        },
        "alarm": metric
        | {
            "MetricName": "HasBacklogWithoutCapacity",
            "EvaluationPeriods": 2,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        },
    }


def test_one_request_waits_for_the_alarm_the_start_and_its_own_work():
    drained = backlog.simulate(requests(), [0.0], 10.0, provisioning_seconds=180, minutes=40)
    # two periods until the alarm, 180 s until the instance serves, 10 s of work, in steps of 5 s
    assert drained.wait_seconds[0] == pytest.approx(120 + 180 + 10, abs=5)
    assert drained.trace["desired"].max() == 1
    assert drained.trace["desired"].iloc[-1] == 0


def test_target_tracking_asks_for_what_the_backlog_needs():
    drained = backlog.simulate(requests(target_value=25.0), [0.0] * 120, 60.0, provisioning_seconds=60, minutes=12)
    first = drained.trace.loc[drained.trace["desired"] > 1].iloc[0]
    waiting = drained.trace.loc[drained.trace["minute"] == first["minute"] - 1, "backlog"].iloc[0]
    assert first["desired"] == scaling_steps.tracked(1, waiting, 25.0)


def test_an_endpoint_that_nobody_calls_costs_nothing_and_one_that_may_not_sleep_does():
    assert backlog.simulate(requests(), [], 5.0, 60.0, minutes=30).instance_minutes == 0
    assert backlog.simulate(requests(least=1), [], 5.0, 60.0, minutes=30).instance_minutes == 30


def test_every_request_is_answered_once_and_in_order():
    arrivals = np.sort(np.random.default_rng(4).uniform(0, 1800, 200))
    drained = backlog.simulate(requests(), arrivals, 12.0, 120.0, minutes=120)
    assert np.isfinite(drained.wait_seconds).all() and (drained.wait_seconds > 0).all()
    assert (np.diff(arrivals + drained.wait_seconds) >= 0).all()
    assert drained.trace["backlog"].iloc[-1] == 0


def test_scale_in_can_be_switched_off():
    drained = backlog.simulate(requests(DisableScaleIn=True), [0.0] * 5, 5.0, 60.0, minutes=60)
    assert drained.trace["desired"].iloc[-1] == 1


def test_alarms_look_back_as_far_as_the_local_sagemakers():
    assert (backlog.HIGH_PERIODS, backlog.LOW_PERIODS) == (scaling_policies.HIGH_PERIODS, scaling_policies.LOW_PERIODS)
    assert math.isclose(backlog.LOW_FRACTION, scaling_policies.LOW_FRACTION)
    assert scaling_policies.DEFAULT_COOLDOWN == backlog.DEFAULT_COOLDOWN_SECONDS


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("alarm", {"MetricName": "Invocations"}),
        ("alarm", {"Period": 300}),
        ("alarm", {"Statistic": "p99"}),
        ("alarm", {"ComparisonOperator": "Above"}),
    ],
)
def test_what_the_queue_does_not_publish_is_refused(part, change):
    wrong = requests()
    wrong[part] = wrong[part] | change
    with pytest.raises(ValueError, match=r"publishes|statistic|comparison"):
        backlog.simulate(wrong, [], 5.0, 60.0, minutes=1)
