"""What scaling decides: cooldowns, several policies, steps, target tracking and schedules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.local_sagemaker import scaling_decisions, scaling_steps
from helpers.local_sagemaker.errors import AwsError
from helpers.local_sagemaker.schedules import Schedule
from helpers.local_sagemaker.state import Store

TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@dataclass
class Local:
    """As much of a server as decisions need."""

    store: Store
    speedup: float = 60.0


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A store with the scaling policies `steps` and `tracking` of one target."""
    store = Store(tmp_path / "state.db")
    steps = [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 3},
    ]
    step = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "Cooldown": 60 * 3600}
    names = [{"AlarmName": "high", "AlarmARN": "-"}, {"AlarmName": "low", "AlarmARN": "-"}]
    for name, members in {
        "steps": {"PolicyType": "StepScaling", "StepScalingPolicyConfiguration": step, "Alarms": []},
        "tracking": {
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 100.0},
            "Alarms": names,
        },
    }.items():
        store.put("ScalingPolicy", name, {**TARGET, "PolicyName": name, "PolicyARN": name, **members})
    yield Local(store)
    store.close()


def fired(name: str, **members: object) -> dict:
    """An alarm in ALARM for more than five."""
    operator = "LessThanThreshold" if name == "low" else "GreaterThanThreshold"
    alarm = {"AlarmName": name, "ComparisonOperator": operator, "Threshold": 5.0, "StateValue": "ALARM"}
    return alarm | {"AlarmActions": ["steps"]} | members


def test_while_it_cools_down_only_a_larger_scale_out_goes_beyond_an_earlier_one(local: Local) -> None:
    policy = local.store.require("ScalingPolicy", "steps")
    assert scaling_decisions.wanted(local, policy, fired("a"), 1, [6.0]) == 2
    policy |= scaling_decisions.cooling(policy, 1, 2)
    assert scaling_decisions.wanted(local, policy, fired("a"), 2, [6.0]) == 2
    assert scaling_decisions.wanted(local, policy, fired("a"), 2, [20.0]) == 4
    policy["_LastOut"]["Time"] -= 3601
    assert scaling_decisions.wanted(local, policy, fired("a"), 2, [6.0]) == 3


def test_nothing_is_taken_away_while_a_scale_in_cools_down(local: Local) -> None:
    policy = local.store.require("ScalingPolicy", "tracking")
    assert scaling_decisions.wanted(local, policy, fired("low"), 3, [50.0]) == 2
    policy |= scaling_decisions.cooling(policy, 3, 2)
    assert scaling_decisions.wanted(local, policy, fired("low"), 2, [10.0]) is None


def test_of_several_policies_the_largest_capacity_counts(local: Local) -> None:
    policy = local.store.require("ScalingPolicy", "tracking")
    data = json.dumps({"recentDatapoints": [6.0]})
    local.store.put("MetricAlarm", "backlog", fired("backlog", StateReasonData=data))
    assert scaling_decisions.wanted(local, policy, fired("low"), 2, [0.0]) is None
    local.store.update("MetricAlarm", "backlog", StateValue="OK")
    assert scaling_decisions.wanted(local, policy, fired("low"), 2, [0.0]) == 0


def test_all_tracking_policies_must_agree_to_scale_in(local: Local) -> None:
    policy = local.store.require("ScalingPolicy", "tracking")
    names = [{"AlarmName": "other-high"}, {"AlarmName": "other-low"}]
    local.store.put("ScalingPolicy", "other", policy | {"PolicyName": "other", "PolicyARN": "other", "Alarms": names})
    data = json.dumps({"recentDatapoints": [60.0]})
    low = fired("other-low", StateValue="OK", StateReasonData=data, AlarmActions=["other"])
    local.store.put("MetricAlarm", "other-low", low)
    assert scaling_decisions.wanted(local, policy, fired("low"), 3, [10.0]) is None
    local.store.update("MetricAlarm", "other-low", StateValue="ALARM")
    assert scaling_decisions.wanted(local, policy, fired("low"), 3, [10.0]) == 2


def test_a_tracking_policy_may_be_kept_from_scaling_in(local: Local) -> None:
    policy = local.store.require("ScalingPolicy", "tracking")
    policy["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] = True
    assert scaling_decisions.wanted(local, policy, fired("low"), 3, [10.0]) is None
    assert scaling_decisions.wanted(local, policy, fired("high"), 3, [200.0]) == 6


STEPS = [
    {"MetricIntervalUpperBound": -10, "ScalingAdjustment": -30},
    {"MetricIntervalLowerBound": -10, "MetricIntervalUpperBound": 0, "ScalingAdjustment": -10},
    {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 10},
    {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 30},
]


@pytest.mark.parametrize(
    ("members", "capacity", "excess", "is_below", "wanted"),
    [
        # The user guide's example: 10 instances, steps of 10 and 30 per cent.
        ({"AdjustmentType": "PercentChangeInCapacity"}, 10, 5, False, 11),
        ({"AdjustmentType": "PercentChangeInCapacity"}, 10, 10, False, 13),
        ({"AdjustmentType": "PercentChangeInCapacity"}, 10, -5, True, 9),
        ({"AdjustmentType": "PercentChangeInCapacity"}, 10, -10, True, 7),
        # Between 0 and 1 up to 1, between 0 and -1 down to -1, everything else towards zero.
        ({"AdjustmentType": "PercentChangeInCapacity"}, 3, 5, False, 4),
        ({"AdjustmentType": "PercentChangeInCapacity"}, 19, 5, False, 20),
        ({"AdjustmentType": "PercentChangeInCapacity"}, 3, -5, True, 2),
        ({"AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 2}, 4, 5, False, 6),
        ({"AdjustmentType": "ChangeInCapacity"}, 2, 12, False, 32),
        ({"AdjustmentType": "ExactCapacity"}, 2, 3, False, 10),
    ],
)
def test_steps(members: dict, capacity: int, excess: float, is_below: bool, wanted: int) -> None:
    assert scaling_steps.stepped({"StepAdjustments": STEPS, **members}, capacity, excess, is_below) == wanted


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"ScalingAdjustment": 1}],
        [{"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1}],
        [
            {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 20, "ScalingAdjustment": 2},
        ],
        [{"MetricIntervalLowerBound": -5, "ScalingAdjustment": 2}],
    ],
)
def test_bad_steps_are_refused(steps: list[dict]) -> None:
    with pytest.raises(AwsError):
        scaling_steps.check({"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps})


@pytest.mark.parametrize(
    ("capacity", "value", "wanted"), [(1, 150, 2), (2, 100, 2), (2, 49, 1), (2, 51, 2), (0, 250, 3), (3, 0, 0)]
)
def test_target_tracking_keeps_the_metric_at_its_target(capacity: int, value: float, wanted: int) -> None:
    assert scaling_steps.tracked(capacity, value, 100) == wanted


@pytest.mark.parametrize(
    ("expression", "zone", "after"),
    [
        ("at(2026-01-05T09:30:00)", "UTC", "2026-01-05T09:30:00+00:00"),
        ("at(2026-01-05T09:30:00)", "Europe/Berlin", "2026-01-05T08:30:00+00:00"),
        ("rate(2 hours)", "UTC", "2026-01-05T08:00:00+00:00"),
        ("cron(0 9 * * ? *)", "UTC", "2026-01-05T09:00:00+00:00"),
        ("cron(0/15 * ? * MON-FRI *)", "UTC", "2026-01-05T07:15:00+00:00"),
        ("cron(30 6 ? * SUN *)", "UTC", "2026-01-11T06:30:00+00:00"),
        ("cron(0 0 L 2 ? 2028)", "UTC", "2028-02-29T00:00:00+00:00"),
        ("cron(0 9 1 JAN,JUL ? *)", "America/New_York", "2026-07-01T13:00:00+00:00"),
    ],
)
def test_schedule_expressions(expression: str, zone: str, after: str) -> None:
    moment = datetime(2026, 1, 5, 7, 1, tzinfo=UTC).timestamp()
    origin = datetime(2026, 1, 5, 6, 0, tzinfo=UTC).timestamp()
    found = Schedule(expression, zone).after(moment, origin)
    assert datetime.fromtimestamp(found, UTC).isoformat() == after


@pytest.mark.parametrize(
    "expression", ["every day", "rate(0 minutes)", "cron(0 9 * * * *)", "cron(61 9 * * ? *)", "at(tomorrow)"]
)
def test_bad_schedules_are_refused(expression: str) -> None:
    with pytest.raises(AwsError, match="Invalid schedule expression"):
        Schedule(expression)
