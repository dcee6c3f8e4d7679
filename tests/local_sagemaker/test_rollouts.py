"""Updates that shift traffic in steps, and changes of weights and capacities, while clients ask all the time."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import deployed
import pytest
from botocore.exceptions import ClientError
from scipy.stats import binomtest
from traffic import Traffic
from updated import PATIENCE_SECONDS, Updates, canary, linear, rolling, watched

from helpers import local_sagemaker

BROKEN = deployed.OBEDIENT.replace('    return {"name', '    context.set_response_status(500)\n    return {"name')
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}
ONE = {"Type": "INSTANCE_COUNT", "Value": 1}


@pytest.fixture
def updates(server, client, bucket, unique) -> Iterator[Updates]:
    """Endpoints of the session's server, deleted at the end."""
    made = Updates(server, client, bucket, unique)
    yield made
    for name in made.endpoints:
        deployed.await_status(made.sm, name, "InService")
        made.sm.delete_endpoint(EndpointName=name)


@pytest.fixture
def hasty(tmp_path, client_of, unique, monkeypatch) -> Iterator[Callable[[], Updates]]:
    """`hasty()`: a server of the test's own whose waits are ten times shorter, started again at the second call."""
    monkeypatch.setenv("LOCAL_SAGEMAKER_SPEEDUP", "600")
    home = tmp_path / "home"

    def start() -> Updates:
        running = local_sagemaker.start(home)
        updates = Updates(running, client_of(running), "hasty", unique)
        updates.s3.create_bucket(Bucket="hasty")
        return updates

    yield start
    local_sagemaker.stop(home)


def counts(described: dict) -> tuple[int, int]:
    """Instances in service of the old and of the new fleet's first variant."""
    old, new = described["ProductionVariants"], described["PendingDeploymentSummary"]["ProductionVariants"]
    return old[0]["CurrentInstanceCount"], new[0]["CurrentInstanceCount"]


def test_a_canary_takes_its_share_and_then_everything(server, updates):
    old, new = updates.config("old"), updates.config("new", count=2)
    endpoint = updates.endpoint(old)
    how = canary({"Type": "CAPACITY_PERCENT", "Value": 20}, wait=300, last_wait=60)
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, new, how)
        assert {answer.name for answer in traffic.more(5)} == {old}
        described = updates.await_variant(endpoint, "Baking", "Baking for 300 seconds (WaitIntervalInSeconds) with ")
        answers = traffic.more(100)
        assert (
            updates.sm.describe_endpoint(EndpointName=endpoint)["PendingDeploymentSummary"]
            == (described["PendingDeploymentSummary"])
        ), "the canary ended before its share was measured"
        updates.await_variant(endpoint, "Baking", "Baking for 60 seconds (TerminationWaitInSeconds) with traffic")
        assert {answer.name for answer in traffic.more(5)} == {new}
        after = deployed.await_status(updates.sm, endpoint, "InService")
        assert {answer.name for answer in traffic.more(20)} == {new}
    assert set(traffic.statuses()) == {200}
    assert binomtest(sum(answer.name == new for answer in answers), len(answers), 0.2).pvalue > 1e-4
    pending = described["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == new and described["EndpointConfigName"] == old
    (variant,) = pending["ProductionVariants"]
    assert (variant["VariantName"], variant["InstanceType"]) == ("all", "ml.m5.large")
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 2)
    assert variant["VariantStatus"][0]["StatusMessage"].endswith("on canary capacity of 1 instance(s).")
    assert after["EndpointConfigName"] == new and after["LastDeploymentConfig"] == how
    assert "PendingDeploymentSummary" not in after and "FailureReason" not in after


def test_an_alarm_during_the_canary_rolls_back(server, updates):
    old, broken = updates.config("old"), updates.config("broken", code=BROKEN)
    endpoint, alarm, quiet = updates.endpoint(old), updates.alarm(), updates.alarm()
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, broken, watched(canary(HALF, wait=3600), quiet, alarm))
        updates.await_variant(endpoint, "Baking", "Baking for 3600 seconds")
        while 424 not in traffic.statuses():
            traffic.more(1)
        updates.set_off(alarm)
        described = deployed.await_status(updates.sm, endpoint, "InService")
        assert {(answer.status, answer.name) for answer in traffic.more(30)} == {(200, old)}
    assert set(traffic.statuses()) == {200, 424}, "only what the canary itself answered may be an error"
    assert described["EndpointConfigName"] == old
    assert f"in ALARM state: {alarm}." in described["FailureReason"]
    assert "PendingDeploymentSummary" not in described


def test_a_canary_that_fails_is_rolled_back_by_an_alarm_on_the_errors_of_the_endpoint(server, updates):
    old, broken = updates.config("old"), updates.config("broken", code=BROKEN)
    endpoint = updates.endpoint(old)
    # Both fleets are in this metric: with half of the traffic on a canary that always fails, about half of it.
    alarm = updates.error_alarm(endpoint, 0.1)
    with Traffic(server.url, endpoint) as traffic:
        traffic.more(25)
        updates.begin(endpoint, broken, watched(canary(HALF, wait=3600), alarm))
        described = deployed.await_status(updates.sm, endpoint, "InService")
        assert {(answer.status, answer.name) for answer in traffic.more(50)} == {(200, old)}
    assert described["EndpointConfigName"] == old and alarm in described["FailureReason"]
    assert set(traffic.statuses()) == {200, 424}, "only what the canary itself answered may be an error"
    assert all(answer.status == 424 or answer.name == old for answer in traffic.answers)


def test_the_errors_of_the_new_fleet_alone_have_a_metric_of_their_own(server, updates):
    old, broken = updates.config("old"), updates.config("broken", code=BROKEN)
    endpoint = updates.endpoint(old)
    alarm = updates.error_alarm(endpoint, 1.0, EndpointConfigName=broken)
    twentieth = {"Type": "CAPACITY_PERCENT", "Value": 5}
    with Traffic(server.url, endpoint, per_second=100):
        updates.begin(endpoint, broken, watched(canary(twentieth, wait=3600), alarm))
        described = deployed.await_status(updates.sm, endpoint, "InService")
    assert described["EndpointConfigName"] == old and alarm in described["FailureReason"]


def test_an_alarm_that_is_already_on_fails_the_update_before_anything_is_shifted(server, updates):
    endpoint = updates.endpoint(updates.config("old"))
    alarm = updates.alarm("ALARM")
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, updates.config("broken", code=BROKEN), watched(canary(HALF), alarm))
        described = deployed.await_status(updates.sm, endpoint, "InService")
        traffic.more(5)
    assert f"in ALARM state: {alarm}." in described["FailureReason"]
    assert set(traffic.statuses()) == {200}


def test_what_does_not_fit_is_refused_and_changes_nothing(updates):
    old, new = updates.config("old"), updates.config("new", count=4)
    endpoint = updates.endpoint(old)
    before = updates.sm.describe_endpoint(EndpointName=endpoint)
    three = {"Type": "INSTANCE_COUNT", "Value": 3}
    assert "less than or equal to 50% of the variant's total" in updates.refusal(endpoint, new, canary(three))
    assert "10-50%" in updates.refusal(endpoint, new, linear(three))
    assert "5-50%" in updates.refusal(endpoint, new, rolling(three))
    gone = updates.unique("gone")
    known = updates.alarm()
    message = updates.refusal(endpoint, new, watched(canary(HALF), gone, known))
    assert message == f"Could not find CloudWatch alarm(s): {gone}."
    both = {"RetainDeploymentConfig": True}
    assert "RetainDeploymentConfig" in updates.refusal(endpoint, new, canary(HALF), **both)
    eleven = watched(canary(HALF), *[known] * 11)
    assert "length less than or equal to 10" in updates.refusal(endpoint, new, eleven)
    too_long = canary(HALF, wait=3601)
    assert "waitIntervalInSeconds' failed to satisfy" in updates.refusal(endpoint, new, too_long)
    assert updates.sm.describe_endpoint(EndpointName=endpoint) | {"ResponseMetadata": 0} == before | {
        "ResponseMetadata": 0
    }


def test_linear_steps_pass_in_order_and_the_way_is_kept_for_the_next_update(server, updates):
    old, new = updates.config("old"), updates.config("new", count=2)
    how = linear(ONE, wait=120)
    endpoint = updates.endpoint(old, DeploymentConfig=how)
    assert updates.sm.describe_endpoint(EndpointName=endpoint)["LastDeploymentConfig"] == how
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, new, RetainDeploymentConfig=True)
        described = updates.await_variant(endpoint, "Baking", "Baking for 120 seconds (WaitIntervalInSeconds) with")
        assert counts(described) == (1, 1)
        assert {answer.name for answer in traffic.more(20)} == {old, new}
        after = deployed.await_status(updates.sm, endpoint, "InService")
    assert set(traffic.statuses()) == {200}
    assert after["LastDeploymentConfig"] == how
    assert after["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_a_rolling_update_replaces_batch_by_batch(server, updates):
    old, new = updates.config("old", count=2), updates.config("new", count=2)
    endpoint = updates.endpoint(old)
    with Traffic(server.url, endpoint, order={"sleep": 0.02}) as traffic:
        updates.begin(endpoint, new, rolling(ONE, wait=90))
        described = updates.await_variant(endpoint, "Baking", "Baking for 90 seconds (WaitIntervalInSeconds) with ")
        assert counts(described) == (2, 1)
        assert {answer.name for answer in traffic.more(30)} == {old, new}
        described = updates.await_variant(endpoint, "Creating", "Launching 1 instance(s).")
        assert counts(described) == (1, 1)
        after = deployed.await_status(updates.sm, endpoint, "InService")
        assert {answer.name for answer in traffic.more(20)} == {new}
    assert set(traffic.statuses()) == {200}
    assert after["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_a_rolling_update_brings_the_whole_old_fleet_back(server, updates):
    old, new = updates.config("old", count=2), updates.config("new", count=2)
    endpoint, alarm = updates.endpoint(old), updates.alarm()
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, new, watched(rolling(ONE, wait=180, RollbackMaximumBatchSize=ONE), alarm))
        updates.await_variant(
            endpoint, "Baking", "Baking for 180 seconds (WaitIntervalInSeconds) with traffic enabled on full"
        )
        updates.set_off(alarm)
        after = deployed.await_status(updates.sm, endpoint, "InService")
        assert {answer.name for answer in traffic.more(20)} == {old}
    assert set(traffic.statuses()) == {200}
    assert after["EndpointConfigName"] == old and alarm in after["FailureReason"]
    assert after["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_each_fleet_has_its_own_shadow_while_traffic_shifts(server, updates, tmp_path):
    note = 'with open(os.environ["NOTES"], "a") as notes: notes.write(name + "\\n")'
    noting = deployed.OBEDIENT.replace('    if "raise"', f'    {note}\n    if "raise"', 1)
    notes, configs = tmp_path / "notes", {}
    for prefix in ("old", "new"):
        model = updates.config(f"{prefix}-shadow", code=noting, NOTES=str(notes))
        configs[prefix], configs[f"{prefix} shadow"] = updates.config(prefix), model
        updates.sm.create_endpoint_config(
            EndpointConfigName=f"{model}-both",
            ProductionVariants=[deployed.variant(configs[prefix], "all")],
            ShadowProductionVariants=[deployed.variant(model, "shadow")],
        )
    endpoint = updates.endpoint(f"{configs['old shadow']}-both")
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, f"{configs['new shadow']}-both", rolling(HALF, wait=120))
        updates.await_variant(endpoint, "Baking", "Baking for 120 seconds")
        pending = updates.sm.describe_endpoint(EndpointName=endpoint)["PendingDeploymentSummary"]
        assert [variant["VariantName"] for variant in pending["ShadowProductionVariants"]] == ["shadow"]
        deployed.await_status(updates.sm, endpoint, "InService")
        traffic.more(20)
    assert set(traffic.statuses()) == {200}
    assert set(notes.read_text().split()) == {configs["old shadow"], configs["new shadow"]}


def test_an_update_that_takes_too_long_rolls_back(hasty):
    updates = hasty()
    old, new = updates.config("old"), updates.config("new")
    endpoint = updates.endpoint(old)
    tenth = {"Type": "CAPACITY_PERCENT", "Value": 10}
    updates.begin(endpoint, new, linear(tenth, wait=120, MaximumExecutionTimeoutInSeconds=600))
    described = deployed.await_status(updates.sm, endpoint, "InService")
    assert described["EndpointConfigName"] == old
    assert "did not complete within 600 seconds" in described["FailureReason"]


def test_an_endpoint_that_is_updated_cannot_be_deleted_or_changed(updates):
    endpoint = updates.endpoint(updates.config("old"))
    updates.begin(endpoint, updates.config("new"), canary(HALF, wait=120))
    weights = [{"VariantName": "all", "DesiredWeight": 2.0}]
    for call, request in (
        (updates.sm.delete_endpoint, {}),
        (updates.sm.update_endpoint, {"EndpointConfigName": updates.config("other")}),
        (updates.sm.update_endpoint_weights_and_capacities, {"DesiredWeightsAndCapacities": weights}),
    ):
        with pytest.raises(ClientError, match='Cannot update in-progress endpoint "arn:aws:sagemaker:'):
            call(EndpointName=endpoint, **request)


def test_kill_9_during_a_canary_leaves_the_old_fleet_and_the_update_is_taken_up_again(hasty):
    updates = hasty()
    old, new = updates.config("old"), updates.config("new")
    endpoint = updates.endpoint(old)
    updates.begin(endpoint, new, canary({"Type": "CAPACITY_PERCENT", "Value": 1}, wait=3600))
    updates.await_variant(endpoint, "Baking", "Baking for 3600")
    os.kill(updates.server.pid, signal.SIGKILL)
    updates = hasty()
    with Traffic(updates.server.url, endpoint) as traffic:
        assert old in {answer.name for answer in traffic.more(10)}
        described = updates.await_variant(endpoint, "Baking", "Baking for 3600")
        assert described["EndpointConfigName"] == old
        assert deployed.await_status(updates.sm, endpoint, "InService")["EndpointConfigName"] == new
        assert {answer.name for answer in traffic.more(10)} == {new}
    assert set(traffic.statuses()) == {200}


def test_kill_9_during_a_rollback_leaves_the_old_fleet_and_the_reason(hasty):
    updates = hasty()
    slow = deployed.OBEDIENT.replace('    if "raise"', '    time.sleep(600)\n    if "raise"', 1)
    old, new = updates.config("old"), updates.config("new", code=slow)
    endpoint, alarm = updates.endpoint(old), updates.alarm()
    updates.begin(endpoint, new, watched(canary(HALF, wait=3600), alarm))
    updates.await_variant(endpoint, "Baking", "Baking for 3600")
    with Traffic(updates.server.url, endpoint) as traffic:
        # Once every client waits for the new fleet, whose workers are not ended before they have answered.
        traffic.stalled(PATIENCE_SECONDS)
        updates.set_off(alarm)
        while updates.sm.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] != "RollingBack":
            time.sleep(0.02)
        os.kill(updates.server.pid, signal.SIGKILL)
    updates = hasty()
    described = deployed.await_status(updates.sm, endpoint, "InService")
    assert described["EndpointConfigName"] == old and alarm in described["FailureReason"]
    assert "PendingDeploymentSummary" not in described
    with Traffic(updates.server.url, endpoint) as traffic:
        assert {answer.name for answer in traffic.more(10)} == {old}


def test_weights_and_capacities_change_without_a_lost_request(server, updates):
    first, second = updates.config("first"), updates.config("second")
    both = updates.unique("both")
    variants = [deployed.variant(first, "first"), deployed.variant(second, "second", weight=0.0)]
    updates.sm.create_endpoint_config(EndpointConfigName=both, ProductionVariants=variants)
    endpoint = updates.endpoint(both)

    def change(**wanted: dict) -> dict:
        desired = [{"VariantName": name, **members} for name, members in wanted.items()]
        updates.sm.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=desired)
        return deployed.await_status(updates.sm, endpoint, "InService")

    with Traffic(server.url, endpoint, order={"sleep": 0.01}) as traffic:
        assert {answer.name for answer in traffic.more(10)} == {first}
        change(first={"DesiredWeight": 0.0, "DesiredInstanceCount": 2}, second={"DesiredWeight": 1.0})
        assert {answer.name for answer in traffic.more(10)} == {second}
        change(first={"DesiredWeight": 0.0, "DesiredInstanceCount": 1}, second={"DesiredInstanceCount": 2})
        assert {answer.name for answer in traffic.more(10)} == {second}
        described = change(first={"DesiredWeight": 1.0}, second={"DesiredWeight": 1.0, "DesiredInstanceCount": 1})
        assert {answer.name for answer in traffic.more(40)} == {first, second}
        with pytest.raises(ClientError, match="DesiredInstanceCount of variant first must be at least 1"):
            change(first={"DesiredInstanceCount": 0})
    assert set(traffic.statuses()) == {200}
    assert [variant["CurrentInstanceCount"] for variant in described["ProductionVariants"]] == [1, 1]


def test_retained_properties_are_those_that_are_not_excluded(updates):
    endpoint = updates.endpoint(updates.config("old"))
    desired = [{"VariantName": "all", "DesiredWeight": 3.0, "DesiredInstanceCount": 2}]
    updates.sm.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=desired)
    deployed.await_status(updates.sm, endpoint, "InService")
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    new = updates.config("new")
    retained = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": excluded}
    updates.begin(endpoint, new, **retained)
    (variant,) = deployed.await_status(updates.sm, endpoint, "InService")["ProductionVariants"]
    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (3.0, 1)


def test_a_rolling_update_that_cannot_be_rolled_back_serves_a_mix_until_it_is_updated_again(server, updates, tmp_path):
    gone = tmp_path / "gone"
    refusal = f"if os.path.exists({str(gone)!r}): raise OSError('the weights are gone')"
    code = deployed.OBEDIENT.replace("    print(", f"    {refusal}\n    print(")
    old, new = updates.config("old", count=2, code=code), updates.config("new", count=2)
    endpoint, alarm = updates.endpoint(old), updates.alarm()
    with Traffic(server.url, endpoint) as traffic:
        updates.begin(endpoint, new, watched(rolling(ONE, wait=180), alarm))
        gone.touch()
        updates.await_variant(
            endpoint, "Baking", "Baking for 180 seconds (WaitIntervalInSeconds) with traffic enabled on full"
        )
        updates.set_off(alarm)
        described = deployed.await_status(updates.sm, endpoint, "UpdateRollbackFailed")
        assert {answer.name for answer in traffic.more(50)} >= {new}
        updates.begin(endpoint, new)
        after = deployed.await_status(updates.sm, endpoint, "InService")
        assert {answer.name for answer in traffic.more(20)} == {new}
    assert set(traffic.statuses()) == {200}
    assert alarm in described["FailureReason"] and "the weights are gone" in described["FailureReason"]
    assert after["EndpointConfigName"] == new and "FailureReason" not in after
