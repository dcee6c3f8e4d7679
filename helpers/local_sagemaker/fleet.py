"""The fleet behind all endpoints: brings their deployments into service, changes them, and brings them back."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    data_capture,
    deployment_configs,
    deployments,
    scalable_targets,
    unix_sockets,
    variant_summaries,
    workers,
)
from helpers.local_sagemaker.deployments import Deployment, DeploymentError
from helpers.local_sagemaker.rollouts import Rollout

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

PLAN, NEXT_PLAN = "_Plan", "_NextPlan"  # private members of an endpoint's record: what serves, and what shall


class Fleet:
    """The deployments in service; each change of an endpoint runs in a thread of its own.

    `serving` has one deployment for each endpoint; while traffic shifts to the next one, `answering` chooses between
    the two. Whole deployments are put in and taken out at once, so no invocation sees half of a change.
    """

    def __init__(self, server: Server) -> None:
        self.serving: dict[str, Deployment] = {}
        self._shifts: dict[str, tuple[Deployment, float]] = {}  # the next deployment, and its share of the requests
        self.recovering: set[str] = set()
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._locks: dict[str, threading.Lock] = {}
        self._folder = server.home / "endpoints"

    def begin(self, name: str, change: Callable[[str], None]) -> None:
        """Runs a change of an endpoint in the background, after those that are under way."""
        threading.Thread(target=self._run, args=(name, change), daemon=True, name=f"endpoint-{name}").start()

    def _run(self, name: str, change: Callable[[str], None]) -> None:
        try:
            with self._locks.setdefault(name, threading.Lock()):
                change(name)
        except Exception as error:
            if self._stopping.is_set():
                return
            logger.exception("%s of endpoint %s failed", change.__name__, name)
            reason = f"The local SageMaker failed: {error!r}. See its log."
            self._fail(name, reason)

    def in_service(self) -> list[Deployment]:
        """All deployments that take traffic: two of an endpoint while traffic shifts between them."""
        return [*self.serving.values(), *(new for new, _ in list(self._shifts.values()))]

    def answering(self, endpoint: str, variant: str | None = None) -> Deployment | None:
        """The deployment that answers a request, None when there is none.

        Args:
            endpoint: its name.
            variant: that the request asks for; a deployment that has it is preferred.
        """
        serving, shift = self.serving.get(endpoint), self._shifts.get(endpoint)
        if serving is None or shift is None:
            return serving
        new, share = shift
        first, second = (new, serving) if random.random() < share else (serving, new)
        return first if variant is None or variant in first.variants else second

    def shift(self, endpoint: str, new: Deployment, share: float) -> None:
        """Gives the next deployment a share of an endpoint's requests, from the next request on."""
        if share:
            self._shifts[endpoint] = new, share
        else:
            self._shifts.pop(endpoint, None)

    def create(self, name: str) -> None:
        """Brings a new endpoint into service, or fails it."""
        plan = self._server.store.require("Endpoint", name)[PLAN]
        try:
            self.serving[name] = self._deploy(name, plan)
        except DeploymentError as error:
            if not self._stopping.is_set():
                self._fail(name, str(error))
            return
        self._settle(name, plan)

    def update(self, name: str) -> None:
        """Shifts traffic to the next fleet as the DeploymentConfig says, and ends the old one; else that one stays."""
        record = self._server.store.require("Endpoint", name)
        plan, old, mixed = record[NEXT_PLAN], self.serving[name], self._shifts.pop(name, None)
        if mixed:  # what an update left that could not be rolled back
            self.retire(mixed[0].close())
        policy = deployment_configs.policy(record.get("LastDeploymentConfig"))
        try:
            new = deployments.deployment(self._server, name, plan, self._folder / name / plan["Generation"])
        except DeploymentError as error:
            self._keep(name, str(error))
            self._forget_folders(name, keep=record[PLAN]["Generation"])
            return
        rollout = Rollout(self._server, old, new, plan, policy, self._stopping)
        try:
            rollout.carry_out()
        except Exception as error:
            self._roll_back(name, rollout, error)
            return
        self.serving[name] = new
        self.shift(name, new, 0.0)
        self._settle(name, plan)
        self.retire(old.close())
        self._forget_folders(name, keep=plan["Generation"])

    def _roll_back(self, name: str, rollout: Rollout, cause: Exception) -> None:
        if self._stopping.is_set():  # the update is taken up again when the server starts
            rollout.abandon()
            return
        reason = str(cause)
        if not isinstance(cause, DeploymentError):
            logger.error("the update of endpoint %s failed", name, exc_info=cause)
            reason = f"The local SageMaker failed: {cause!r}. See its log."
        changes = {"EndpointStatus": "RollingBack", "FailureReason": reason[:1024]}
        plan = self._server.store.update("Endpoint", name, **changes)[PLAN]
        try:
            rollout.roll_back()
        except DeploymentError as error:
            changes = {
                "EndpointStatus": "UpdateRollbackFailed",
                "FailureReason": deployments.failure_reason(f"{reason[:400]} The rollback failed: ", str(error)),
                "PendingDeploymentSummary": None,
                NEXT_PLAN: None,
            }
            self._server.store.update("Endpoint", name, **changes)
            return
        self._keep(name, reason)
        self._forget_folders(name, keep=plan["Generation"])

    def rescale(self, name: str) -> None:
        """Gives the serving variants their new weights and numbers of workers, all of them or none."""
        plan = self._server.store.require("Endpoint", name)[NEXT_PLAN]
        deployment = self.serving[name]
        before = [variant.spec for variant in deployment.all_variants]
        for spec, variant in zip(deployments.specs(plan), deployment.all_variants, strict=True):
            variant.spec = spec
        try:
            deployment.start()
        except DeploymentError as error:
            for spec, variant in zip(before, deployment.all_variants, strict=True):
                variant.spec = spec
            self._keep(name, str(error))
            return
        retired = []
        for variant in deployment.all_variants:
            retired += variant.shrink(variant.spec["InstanceCount"])
            variant.weight = variant.spec["Weight"]
        deployment.share_traffic()
        self._settle(name, plan)
        self.retire(retired)

    def delete(self, name: str) -> None:
        """Takes an endpoint out of service and forgets it."""
        self._server.async_inference.forget(name)
        fleets = [self.serving.pop(name, None), self._shifts.pop(name, (None,))[0]]
        self.retire([worker for fleet in fleets if fleet for worker in fleet.close()])
        self._server.data_capture.flush()
        shutil.rmtree(self._folder / name, ignore_errors=True)
        with self._server.store.transaction():
            scalable_targets.forget(self._server, EndpointName=name)
            self._server.store.delete("Endpoint", name)

    def recover(self, name: str) -> None:
        """After a restart: brings an endpoint back to where it was, and goes on with what was under way."""
        record = self._server.store.require("Endpoint", name)
        status = record["EndpointStatus"]
        try:
            if status == "Deleting":
                self.delete(name)
            elif status == "Creating":
                self.create(name)
            else:
                self.serving[name] = self._deploy(name, record[PLAN])
        except DeploymentError as error:
            self._fail(name, str(error))
            return
        finally:
            self.recovering.discard(name)
        if status == "Updating":
            self.rescale(name) if record[NEXT_PLAN]["Generation"] == record[PLAN]["Generation"] else self.update(name)
        elif status in ("RollingBack", "UpdateRollbackFailed"):
            self._keep(name, record["FailureReason"])

    def recover_all(self) -> None:
        """Recovers every endpoint that was alive when the server ended."""
        shutil.rmtree(unix_sockets.socket_folder(self._server.home), ignore_errors=True)
        alive = [record for record in self._server.store.list("Endpoint") if record["EndpointStatus"] != "Failed"]
        self.recovering = {record["EndpointName"] for record in alive}
        plans = [(r["EndpointName"], r[plan]["Generation"]) for r in alive for plan in (PLAN, NEXT_PLAN) if plan in r]
        deployments.forget_leftovers(self._folder, {self._folder / name / generation for name, generation in plans})
        for record in alive:
            self.begin(record["EndpointName"], self.recover)

    def stop(self) -> None:
        """Stops all workers; the endpoints stay as they are in the state."""
        self._stopping.set()
        serving = self.in_service()
        with ThreadPoolExecutor(max(1, len(serving))) as pool:
            stopped = [worker for retired in pool.map(Deployment.stop, serving) for worker in retired]
        self._close(stopped)
        shutil.rmtree(unix_sockets.socket_folder(self._server.home), ignore_errors=True)

    def _deploy(self, name: str, plan: dict) -> Deployment:
        deployment = deployments.deployment(self._server, name, plan, self._folder / name / plan["Generation"])
        deployment.start()
        return deployment

    def _settle(self, name: str, plan: dict) -> None:
        """Writes down that a plan is in service."""
        shadows = [variant_summaries.serving(spec) for spec in plan.get("ShadowVariants", [])]
        changes = {
            "EndpointStatus": "InService",
            "EndpointConfigName": plan["ConfigName"],
            "ProductionVariants": [variant_summaries.serving(spec) for spec in plan["Variants"]],
            "ShadowProductionVariants": shadows or None,
            "DataCaptureConfig": data_capture.summary(plan.get("DataCaptureConfig")),
            "AsyncInferenceConfig": plan.get("AsyncInferenceConfig"),
            "PendingDeploymentSummary": None,
            PLAN: plan,
            NEXT_PLAN: None,
        }
        self._server.store.update("Endpoint", name, **changes)

    def _keep(self, name: str, reason: str) -> None:
        """Writes down that a change failed and that the endpoint serves as before it."""
        if self._stopping.is_set():
            return
        plan = self._server.store.require("Endpoint", name)[PLAN]
        self._settle(name, plan)
        self._server.store.update("Endpoint", name, FailureReason=reason[:1024])

    def _fail(self, name: str, reason: str) -> None:
        changes = {"EndpointStatus": "Failed", "FailureReason": reason[:1024], "PendingDeploymentSummary": None}
        self._server.store.update("Endpoint", name, **changes)

    def retire(self, retired: list[workers.Worker]) -> None:
        """Ends workers that no request is sent to any more, once they have answered what they have begun."""
        # A request that has chosen one of them in this moment has begun when the event loop comes to this.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result()
        deployments.drain(retired)
        self._close(retired)

    def _close(self, stopped: list[workers.Worker]) -> None:
        for worker in stopped:
            asyncio.run_coroutine_threadsafe(worker.close(), self._loop)

    def _forget_folders(self, name: str, keep: str) -> None:
        for folder in (self._folder / name).glob("*"):  # there is none of variants for components
            if folder.name != keep:
                shutil.rmtree(folder, ignore_errors=True)


def start(server: Server) -> None:
    """Brings the endpoints of an earlier run back into service."""
    server.fleet = Fleet(server)
    server.fleet.recover_all()


def stop(server: Server) -> None:
    """Stops all workers."""
    server.fleet.stop()
