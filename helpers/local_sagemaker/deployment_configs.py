"""DeploymentConfig: how an update of an endpoint shifts traffic from its old fleet to the new one, and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from helpers.local_sagemaker import errors

ALL_AT_ONCE, CANARY, LINEAR, ROLLING = "ALL_AT_ONCE", "CANARY", "LINEAR", "ROLLING"
REMAINDER_PERCENT = 5  # what is left after the last whole step is shifted with it when it is less

# The size that each way of shifting takes: its member, and the least and most percent of a variant's instances.
_SIZES = {CANARY: ("CanarySize", 1, 50), LINEAR: ("LinearStepSize", 10, 50), ROLLING: ("MaximumBatchSize", 5, 50)}


@dataclass(frozen=True)
class Stage:
    """A state that an update passes through.

    Args:
        share: of the endpoint's requests that the new fleet answers.
        counts: instances of each new variant that take traffic.
        wait: seconds to watch the alarms before the next stage.
        waiting_for: the member of DeploymentConfig that says so.
    """

    share: float
    counts: dict[str, int]
    wait: float
    waiting_for: str = "WaitIntervalInSeconds"


@dataclass(frozen=True)
class Policy:
    """A DeploymentConfig as it is carried out.

    Args:
        kind: ALL_AT_ONCE, CANARY, LINEAR or ROLLING.
        size: a CapacitySize, of the canary or of one step; None for ALL_AT_ONCE.
        rollback_size: a CapacitySize, of one step back of ROLLING.
        wait: seconds to watch the alarms after each step.
        last_wait: seconds to watch them before the whole old fleet of a blue/green update is ended.
        timeout: seconds that the update may take; None for any time.
        alarms: names of the alarms that roll the update back.
    """

    kind: str
    size: dict | None
    rollback_size: dict
    wait: float
    last_wait: float
    timeout: float | None
    alarms: tuple[str, ...]

    def stages(self, totals: dict[str, int]) -> list[Stage]:
        """What an update passes through; at the end the new fleet has all the traffic.

        Args:
            totals: instances of each variant of the new fleet.
        """
        if self.kind == ROLLING:
            return [Stage(share, counts, self.wait) for share, counts in batches(self.size, totals)]
        parts = {
            ALL_AT_ONCE: lambda: [],
            CANARY: lambda: [next(_portions(self.size, totals))],
            LINEAR: lambda: list(_portions(self.size, totals))[:-1],
        }[self.kind]()
        last = Stage(1.0, totals, self.last_wait, "TerminationWaitInSeconds")
        return [*(Stage(share, counts, self.wait) for share, counts in parts), last]


def alarms(config: dict | None) -> list[str]:
    """The names of the alarms in a DeploymentConfig."""
    given = (config or {}).get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return [alarm["AlarmName"] for alarm in given if "AlarmName" in alarm]


def policy(config: dict | None) -> Policy:
    """What a DeploymentConfig asks for; ALL_AT_ONCE without a wait where there is none."""
    config = config or {}
    rolling = config.get("RollingUpdatePolicy")
    blue_green = config.get("BlueGreenUpdatePolicy", {})
    routing = rolling or blue_green.get("TrafficRoutingConfiguration", {})
    kind = ROLLING if rolling else routing.get("Type", ALL_AT_ONCE)
    return Policy(
        kind=kind,
        size=routing[_SIZES[kind][0]] if kind in _SIZES else None,
        rollback_size=routing.get("RollbackMaximumBatchSize", {"Type": "CAPACITY_PERCENT", "Value": 100}),
        wait=routing.get("WaitIntervalInSeconds", 0),
        last_wait=blue_green.get("TerminationWaitInSeconds", 0),
        timeout=(rolling or blue_green).get("MaximumExecutionTimeoutInSeconds"),
        alarms=tuple(alarms(config)),
    )


def batches(size: dict, totals: dict[str, int]) -> Iterator[tuple[float, dict[str, int]]]:
    """Share of all instances and instances of each variant after each batch, until all are there."""
    batch = {name: _instances(size, total) for name, total in totals.items()}
    counts = dict.fromkeys(totals, 0)
    while True:
        counts = {name: min(total, counts[name] + batch[name]) for name, total in totals.items()}
        yield _share(counts, totals), counts
        if counts == totals:
            return


def _portions(size: dict, totals: dict[str, int]) -> Iterator[tuple[float, dict[str, int]]]:
    """Share of the traffic and instances of each variant after each step, until all have it."""
    if size["Type"] == "INSTANCE_COUNT":
        yield from batches(size, totals)
        return
    for percent in range(size["Value"], 100, size["Value"]):
        if 100 - percent >= REMAINDER_PERCENT:
            yield percent / 100, {name: min(total, max(1, total * percent // 100)) for name, total in totals.items()}
    yield 1.0, totals


def _share(counts: dict[str, int], totals: dict[str, int]) -> float:
    total = sum(totals.values())
    return sum(counts.values()) / total if total else 1.0


def _instances(size: dict, total: int) -> int:
    """How many of a variant's instances a CapacitySize is; at least one."""
    return size["Value"] if size["Type"] == "INSTANCE_COUNT" else max(1, total * size["Value"] // 100)


def check(config: dict | None, variants: Sequence[dict] = ()) -> None:
    """Raises AwsError for a DeploymentConfig that cannot be carried out.

    Args:
        config: as in a request.
        variants: entries of the new fleet's plan, see `deployments.plan`; none while the new fleet is not known.
    """
    if not config:
        return
    if any("AlarmName" not in alarm for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])):
        raise errors.validation("Every alarm of AutoRollbackConfiguration must have an AlarmName.")
    rolling, blue_green = config.get("RollingUpdatePolicy"), config.get("BlueGreenUpdatePolicy")
    if rolling and blue_green:
        raise errors.validation(
            "Only one update policy can be used in the deployment configuration: BlueGreenUpdatePolicy or "
            "RollingUpdatePolicy."
        )
    if rolling:
        _check_size(ROLLING, rolling, variants)
        _check_rollback_size(rolling.get("RollbackMaximumBatchSize"))
        _check_timeout(rolling, rolling["WaitIntervalInSeconds"], "WaitIntervalInSeconds")
    elif blue_green:
        routing = blue_green["TrafficRoutingConfiguration"]
        _check_size(routing["Type"], routing, variants)
        wait = blue_green.get("TerminationWaitInSeconds", 0)
        if routing["Type"] != ALL_AT_ONCE:
            wait += routing["WaitIntervalInSeconds"]
        _check_timeout(blue_green, wait, "TerminationWaitInSeconds and WaitIntervalInSeconds")


def _check_size(kind: str, routing: dict, variants: Sequence[dict]) -> None:
    for other, (member, _, _) in _SIZES.items():
        if member in routing and other != kind:
            raise errors.validation(f"{member} cannot be specified when the traffic routing type is {kind}.")
    if kind not in _SIZES:
        return
    member, least, most = _SIZES[kind]
    size = routing.get(member)
    if size is None:
        raise errors.validation(f"{member} must be specified when the traffic routing type is {kind}.")
    for spec in variants:
        _check_real_time(kind, spec)
        total = spec["InstanceCount"]
        percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / max(1, total)
        if not least <= percent <= most:
            limits = f"less than or equal to {most}%" if kind == CANARY else f"{least}-{most}%"
            raise errors.validation(
                f"{member} of type {size['Type']} and value {size['Value']} is not valid for variant "
                f"{spec['VariantName']} with {total} instance(s). Value must be {limits} of the variant's total "
                "instance count."
            )


def _check_real_time(kind: str, spec: dict) -> None:
    serves = "serverless" if "ServerlessConfig" in spec else None if "Model" in spec else "inference component"
    if serves:
        raise errors.validation(
            f"Traffic routing of type {kind} is not supported for {serves} endpoints (variant {spec['VariantName']})."
        )


def _check_rollback_size(size: dict | None) -> None:
    if size and size["Type"] == "CAPACITY_PERCENT" and size["Value"] > 100:
        raise errors.validation(
            f"RollbackMaximumBatchSize of type CAPACITY_PERCENT must not be greater than 100, got {size['Value']}."
        )


def _check_timeout(given: dict, waits: int, members: str) -> None:
    timeout = given.get("MaximumExecutionTimeoutInSeconds")
    if timeout is not None and timeout <= waits:
        raise errors.validation(
            f"MaximumExecutionTimeoutInSeconds must be larger than the total waiting time specified in {members}: got "
            f"{timeout} and {waits}."
        )
