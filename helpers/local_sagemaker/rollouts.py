"""An update of an endpoint under way: traffic shifts stage by stage, alarms watch it, and all of it can be undone."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import deployment_configs, deployments, rollback_alarms, variant_summaries
from helpers.local_sagemaker.deployment_configs import ALL_AT_ONCE, CANARY, ROLLING, Policy, Stage
from helpers.local_sagemaker.deployments import Deployment, DeploymentError
from helpers.local_sagemaker.endpoint_configs import VARIANTS

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.workers import Worker

WATCH_SECONDS = 0.25  # between two looks at the alarms, by the clock on the wall


class StoppedError(Exception):
    """The server ends; the update is taken up again when it starts."""


class Rollout:
    """The way from the fleet that serves an endpoint to the next one.

    Args:
        old: the fleet that serves.
        new: the next one, nothing of which has been started.
        plan: what `new` was made of.
        policy: how to get there.
        stopping: set when the server ends.
    """

    def __init__(
        self,
        server: Server,
        old: Deployment,
        new: Deployment,
        plan: dict,
        policy: Policy,
        stopping: threading.Event,
    ) -> None:
        self.old, self.new = old, new
        self._server = server
        self._plan = plan
        self._policy = policy
        self._stopping = stopping
        self._totals = {variant.name: variant.spec["InstanceCount"] for variant in new.all_variants}
        self._old_totals = {variant.name: len(variant.workers) for variant in old.all_variants}
        self._held: dict[str, list[Worker]] = {}  # started, but not yet taking traffic
        self._share = 0.0
        self._began = time.monotonic()
        self._waited = 0.0

    def carry_out(self) -> None:
        """Shifts all traffic to the new fleet; the old one may be ended afterwards.

        Raises:
            DeploymentError: workers do not serve, an alarm has tripped, or it takes too long: `roll_back`.
            StoppedError: the server ends.
        """
        self._watch()
        if self._policy.kind != ROLLING:
            self._launch_all()
        for stage in self._policy.stages(self._totals):
            self._activate(stage)
            self._bake(stage)
            if self._policy.kind == ROLLING:
                self._shrink(self.old, self._old_totals, stage.share)

    def roll_back(self) -> None:
        """Shifts all traffic back to the old fleet and ends the new one.

        Raises:
            DeploymentError: workers of the old fleet that had been ended do not serve again.
        """
        if self._policy.kind == ROLLING:
            for share, counts in deployment_configs.batches(self._policy.rollback_size, self._old_totals):
                deployments.admit([(each, each.begin(counts[each.name])) for each in self.old.all_variants])
                self._shift(min(self._share, 1 - share))
                self._shrink(self.new, self._totals, share)
        self._shift(0.0)
        counts = self._counts()
        left = [*self.new.close(), *self._all_held()]
        self._report("Deleting", f"Terminating {len(left)} instance(s).", counts)
        self._server.fleet.retire(left)

    def abandon(self) -> None:
        """Stops the new fleet at once, because the server ends."""
        self.new.stop()
        for worker in self._all_held():
            worker.stop()

    def _launch_all(self) -> None:
        """Starts the whole new fleet, which takes no traffic yet."""
        self._report("Creating", f"Launching {sum(self._totals.values())} instance(s).", {})
        self.new.start()
        if self._policy.kind != ALL_AT_ONCE:
            self._held = {variant.name: variant.shrink(0) for variant in self.new.all_variants}

    def _activate(self, stage: Stage) -> None:
        """Lets more of the new fleet take traffic."""
        if self._policy.kind == ROLLING:
            added = sum(stage.counts.values()) - sum(len(variant.workers) for variant in self.new.all_variants)
            self._report("Creating", f"Launching {added} instance(s).", self._counts())
            deployments.admit(
                [(variant, variant.begin(stage.counts[variant.name])) for variant in self.new.all_variants]
            )
        else:
            for variant in self.new.all_variants:
                held = self._held.get(variant.name, [])
                missing = stage.counts[variant.name] - len(variant.workers)
                self._held[variant.name] = held[missing:]
                variant.admit(held[:missing])
        self._report("ActivatingTraffic", f"Activating traffic on {self._capacity(stage)}.", self._counts())
        self._shift(stage.share)

    def _bake(self, stage: Stage) -> None:
        """Watches the alarms for the time of a stage, and once at its end."""
        seconds = f"{stage.wait:g} seconds ({stage.waiting_for})"
        message = f"Baking for {seconds} with traffic enabled on {self._capacity(stage)}."
        self._report("Baking", message, self._counts())
        deadline = time.monotonic() + stage.wait / self._server.speedup
        while True:
            self._watch()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            began = time.monotonic()
            self._stopping.wait(min(left, WATCH_SECONDS))
            self._waited += time.monotonic() - began

    def _watch(self) -> None:
        if self._stopping.is_set():
            raise StoppedError
        if tripped := rollback_alarms.tripped(self._server, self._policy.alarms):
            raise DeploymentError(
                f"One or more CloudWatch alarms of the AutoRollbackConfiguration are in ALARM state: "
                f"{', '.join(tripped)}. The deployment is rolled back."
            )
        if self._policy.timeout is not None and self._elapsed() > self._policy.timeout:
            raise DeploymentError(
                f"The deployment did not complete within {self._policy.timeout} seconds "
                "(MaximumExecutionTimeoutInSeconds). The deployment is rolled back."
            )

    def _elapsed(self) -> float:
        """Seconds that the update has taken: waits as long as they were asked for, work as long as it took."""
        return time.monotonic() - self._began + self._waited * (self._server.speedup - 1)

    def _shift(self, share: float) -> None:
        self._share = share
        self._server.fleet.shift(self.old.endpoint, self.new, share)

    def _shrink(self, fleet: Deployment, totals: dict[str, int], share: float) -> None:
        """Ends the part of a fleet that another one has taken over."""
        ended = []
        for variant in fleet.all_variants:
            ended += variant.shrink(math.ceil(totals[variant.name] * (1 - share)))
        self._server.fleet.retire(ended)

    def _all_held(self) -> list[Worker]:
        return [worker for held in self._held.values() for worker in held]

    def _counts(self) -> dict[str, int]:
        return {variant.name: len(variant.workers) for variant in self.new.all_variants}

    def _capacity(self, stage: Stage) -> str:
        part = "full" if stage.share == 1 else "canary" if self._policy.kind == CANARY else "partial"
        return f"{part} capacity of {sum(stage.counts.values())} instance(s)"

    def _report(self, status: str, message: str, counts: dict[str, int]) -> None:
        """Lets DescribeEndpoint say where the update is."""
        store, endpoint = self._server.store, self.old.endpoint
        record = store.require("Endpoint", endpoint)
        started = record["PendingDeploymentSummary"]["StartTime"]
        changes = {"PendingDeploymentSummary": variant_summaries.pending(self._plan, started, counts, status, message)}
        if self._policy.kind == ROLLING:
            left = {variant.name: len(variant.workers) for variant in self.old.all_variants}
            for kind in set(VARIANTS) & set(record):
                changes[kind] = [
                    variant | {"CurrentInstanceCount": left[variant["VariantName"]]} for variant in record[kind]
                ]
        store.update("Endpoint", endpoint, **changes)
