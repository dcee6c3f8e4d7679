"""DeploymentConfig: what an update passes through, and which sizes are refused."""

import pytest

from helpers.local_sagemaker import deployment_configs, errors

PERCENT, COUNT = "CAPACITY_PERCENT", "INSTANCE_COUNT"


def size(kind: str, value: int) -> dict:
    """A CapacitySize."""
    return {"Type": kind, "Value": value}


def blue_green(kind: str, wait: int = 60, last_wait: int = 30, timeout: int | None = None, **sizes: dict) -> dict:
    """A DeploymentConfig with a BlueGreenUpdatePolicy."""
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    given = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": last_wait}
    return {"BlueGreenUpdatePolicy": given | ({"MaximumExecutionTimeoutInSeconds": timeout} if timeout else {})}


def rolling(batch: dict, **members: object) -> dict:
    """A DeploymentConfig with a RollingUpdatePolicy."""
    return {"RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 60, **members}}


def variant(count: int, name: str = "a") -> dict:
    """An entry of a plan."""
    return {"VariantName": name, "InstanceCount": count, "Model": {}}


@pytest.mark.parametrize(
    ("config", "count", "stages"),
    [
        (None, 2, [(1.0, 2, 0)]),
        (blue_green("ALL_AT_ONCE"), 2, [(1.0, 2, 30)]),
        (blue_green("CANARY", CanarySize=size(PERCENT, 30)), 10, [(0.3, 3, 60), (1.0, 10, 30)]),
        (blue_green("CANARY", CanarySize=size(PERCENT, 10)), 1, [(0.1, 1, 60), (1.0, 1, 30)]),
        (blue_green("CANARY", CanarySize=size(COUNT, 1)), 4, [(0.25, 1, 60), (1.0, 4, 30)]),
        (blue_green("LINEAR", LinearStepSize=size(PERCENT, 33)), 3, [(0.33, 1, 60), (0.66, 1, 60), (1.0, 3, 30)]),
        (
            blue_green("LINEAR", LinearStepSize=size(PERCENT, 30)),
            10,
            [(0.3, 3, 60), (0.6, 6, 60), (0.9, 9, 60), (1.0, 10, 30)],
        ),
        (blue_green("LINEAR", LinearStepSize=size(COUNT, 2)), 5, [(0.4, 2, 60), (0.8, 4, 60), (1.0, 5, 30)]),
        (rolling(size(PERCENT, 33)), 3, [(1 / 3, 1, 60), (2 / 3, 2, 60), (1.0, 3, 60)]),
        (rolling(size(COUNT, 2)), 5, [(0.4, 2, 60), (0.8, 4, 60), (1.0, 5, 60)]),
        (rolling(size(PERCENT, 50)), 1, [(1.0, 1, 60)]),
    ],
)
def test_an_update_passes_through_stages_that_end_with_all_traffic(config, count, stages):
    passed = deployment_configs.policy(config).stages({"a": count})
    assert [(stage.share, stage.counts["a"], stage.wait) for stage in passed] == stages


def test_every_variant_has_its_part_of_a_stage():
    passed = deployment_configs.policy(rolling(size(PERCENT, 50))).stages({"a": 2, "b": 4})
    assert [(stage.share, stage.counts) for stage in passed] == [(0.5, {"a": 1, "b": 2}), (1.0, {"a": 2, "b": 4})]


@pytest.mark.parametrize(
    ("config", "count", "message"),
    [
        (blue_green("CANARY", CanarySize=size(PERCENT, 51)), 4, "CanarySize .* less than or equal to 50% of the var"),
        (blue_green("CANARY", CanarySize=size(COUNT, 3)), 4, "CanarySize .* 4 instance.* less than or equal to 50%"),
        (blue_green("CANARY", CanarySize=size(COUNT, 1)), 1, "less than or equal to 50%"),
        (blue_green("LINEAR", LinearStepSize=size(PERCENT, 9)), 4, "LinearStepSize .* must be 10-50% of the variant's"),
        (blue_green("LINEAR", LinearStepSize=size(COUNT, 1)), 11, "must be 10-50%"),
        (rolling(size(PERCENT, 4)), 4, "MaximumBatchSize .* must be 5-50%"),
        (rolling(size(COUNT, 3)), 4, "must be 5-50%"),
        (rolling(size(COUNT, 1), RollbackMaximumBatchSize=size(PERCENT, 101)), 4, "RollbackMaximumBatchSize .* 101"),
        (blue_green("CANARY"), 4, "CanarySize must be specified when the traffic routing type is CANARY"),
        (blue_green("LINEAR"), 4, "LinearStepSize must be specified"),
        (blue_green("ALL_AT_ONCE", CanarySize=size(PERCENT, 10)), 4, "CanarySize cannot be specified when .* ALL_AT"),
        (blue_green("ALL_AT_ONCE") | rolling(size(PERCENT, 50)), 4, "Only one update policy"),
        (blue_green("CANARY", 400, 300, 700, CanarySize=size(PERCENT, 10)), 4, "must be larger than .* 700 and 700"),
        (rolling(size(PERCENT, 50), MaximumExecutionTimeoutInSeconds=60), 4, "must be larger than .* 60 and 60"),
        ({"AutoRollbackConfiguration": {"Alarms": [{}]}}, 4, "must have an AlarmName"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(config, count, message):
    with pytest.raises(errors.AwsError, match=message):
        deployment_configs.check(config, [variant(count)])


def test_what_can_be_carried_out_is_not_refused():
    for config in (
        None,
        blue_green("ALL_AT_ONCE", timeout=600),
        blue_green("CANARY", CanarySize=size(PERCENT, 50)),
        blue_green("CANARY", CanarySize=size(PERCENT, 1)),
        blue_green("LINEAR", LinearStepSize=size(COUNT, 2)),
        rolling(size(PERCENT, 5), RollbackMaximumBatchSize=size(PERCENT, 100)),
    ):
        deployment_configs.check(config, [variant(4)])


@pytest.mark.parametrize(
    ("variant", "kind"),
    [
        (
            {"VariantName": "s", "InstanceCount": 0, "Model": {}, "ServerlessConfig": {"MaxConcurrency": 1}},
            "serverless",
        ),
        ({"VariantName": "c", "InstanceCount": 2}, "inference component"),
    ],
)
def test_endpoints_that_are_not_made_of_workers_for_one_model_take_all_traffic_at_once(variant, kind):
    with pytest.raises(errors.AwsError, match=f"not supported for {kind}"):
        deployment_configs.check(blue_green("CANARY", CanarySize=size(PERCENT, 10)), [variant])
    deployment_configs.check(blue_green("ALL_AT_ONCE"), [variant])
