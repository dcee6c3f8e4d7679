"""The copies of inference components: placed on the instances of their endpoints, started, replaced and ended."""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    component_hosts,
    deployment_configs,
    deployments,
    errors,
    kinds,
    model_data,
    rollback_alarms,
    scalable_targets,
    unix_sockets,
)
from helpers.local_sagemaker.component_hosts import Placed
from helpers.local_sagemaker.components import NO_CAPACITY, Component, no_room, open_log
from helpers.local_sagemaker.deployments import DeploymentError
from helpers.local_sagemaker.errors import InvocationError
from helpers.local_sagemaker.workers import Worker, WorkerPlan

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

KIND = kinds.register("InferenceComponent", "inference-component")
PLAN, NEXT_PLAN = "_Plan", "_NextPlan"


class ComponentFleet:
    """The components in service, by endpoint and name; each change of one runs in a thread of its own."""

    def __init__(self, server: Server) -> None:
        self.serving: dict[str, dict[str, Component]] = {}
        self.recovering: set[str] = set()
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._locks: dict[str, threading.Lock] = {}
        self._places = threading.Lock()
        self._folder = server.home / "components"

    def begin(self, name: str, change: Callable[[str], None]) -> None:
        """Runs a change of a component in the background, after those that are under way."""
        threading.Thread(target=self._run, args=(name, change), daemon=True, name=f"component-{name}").start()

    def _run(self, name: str, change: Callable[[str], None]) -> None:
        try:
            with self._locks.setdefault(name, threading.Lock()):
                change(name)
        except Exception as error:
            if self._stopping.is_set():
                return
            logger.exception("%s of inference component %s failed", change.__name__, name)
            self._fail(name, f"The local SageMaker failed: {error!r}. See its log.")

    def find(self, endpoint: str, name: str) -> Component | None:
        """A component for an invocation, None while the server brings it back after a restart.

        Raises:
            InvocationError: there is no such component, or it has no copy yet.
        """
        component = self.serving.get(endpoint, {}).get(name)
        if name in self.recovering and not (component and component.workers):
            return None
        if component:
            return component
        record = self._server.store.get(KIND, name)
        if record is None or record["EndpointName"] != endpoint:
            message = f"Inference Component {name} of endpoint {endpoint} of account {self._server.account} not found."
            raise InvocationError("ValidationError", message, 400)
        raise InvocationError("ValidationError", NO_CAPACITY, 400)

    def create(self, name: str) -> None:
        """Brings a component into service with all of its copies, or fails it."""
        self._bring(name, whole=True)

    def _bring(self, name: str, whole: bool) -> None:
        record, component, reason = self._server.store.require(KIND, name), None, None
        try:
            component = self._staged(record, record[PLAN])
            self._grow(component, record["RuntimeConfig"]["DesiredCopyCount"], whole)
        except DeploymentError as error:
            reason = str(error)
            if component is None or not component.workers:
                if not self._stopping.is_set():
                    self._fail(name, reason)
                return
        self._settle(name, component, record[PLAN], reason)

    def update(self, name: str) -> None:
        """Replaces the copies batch by batch by those of the next plan; when one fails, the old ones come back."""
        record = self._server.store.require(KIND, name)
        old, plan = self.serving[record["EndpointName"]][name], record[NEXT_PLAN]
        copies, config = list(old.workers), record.get("LastDeploymentConfig")
        policy, began = (config or {}).get("RollingUpdatePolicy", {}), time.monotonic()
        try:
            new = self._staged(record, plan)
            with self._places:
                places = list(self._free_places(new, len(copies)))
            if len(places) < len(copies):
                raise no_room(new, len(copies), len(places))
            for number, batch in enumerate(_batches(copies, policy.get("MaximumBatchSize")), 1):
                added = [new.start(places.pop()) for _ in batch]
                new.admit(added)
                old.workers = [*(worker for worker in old.workers if worker not in batch), *added]
                self._end(batch)
                self._bake(config)
                self._check_time(policy, began, number)
        except DeploymentError as error:
            self._roll_back(name, old, copies, str(error), policy.get("RollbackMaximumBatchSize"))
            return
        self._settle(name, new, plan)
        self.rescale(name)
        shutil.rmtree(self._folder / name / record[PLAN]["Generation"], ignore_errors=True)

    def _bake(self, config: dict | None) -> None:
        """Waits after a batch, and looks whether one of the alarms says that it is a bad one.

        Raises:
            DeploymentError: an alarm is in the state ALARM, or the server ends.
        """
        if config is None:
            return
        if self._stopping.wait(config["RollingUpdatePolicy"]["WaitIntervalInSeconds"] / self._server.speedup):
            raise DeploymentError("The server ends.")
        if tripped := rollback_alarms.tripped(self._server, deployment_configs.alarms(config)):
            raise DeploymentError(
                "One or more CloudWatch alarms of the AutoRollbackConfiguration are in ALARM state: "
                f"{', '.join(tripped)}. The update is rolled back."
            )

    def _check_time(self, policy: dict, began: float, waits: int) -> None:
        """Checks that an update has not taken too long: waits count in full, work as long as it took.

        Raises:
            DeploymentError: it has.
        """
        timeout = policy.get("MaximumExecutionTimeoutInSeconds")
        if timeout is None:
            return
        shortened = policy["WaitIntervalInSeconds"] * (1 - 1 / self._server.speedup)
        if time.monotonic() - began + waits * shortened > timeout:
            raise DeploymentError(
                f"The update did not complete within {timeout} seconds (MaximumExecutionTimeoutInSeconds). The update "
                "is rolled back."
            )

    def _roll_back(self, name: str, old: Component, copies: list[Worker], reason: str, size: dict | None) -> None:
        """Brings back the copies of the plan before, by batches; those of the next one serve until they are there."""
        if self._stopping.is_set():
            return
        replacing = [worker for worker in old.workers if worker not in copies]
        gone = [worker for worker in copies if worker not in old.workers]
        for batch in _batches(gone, size):
            old.admit([old.start(old.places[worker]) for worker in batch])
            ended, replacing = replacing[: len(batch)], replacing[len(batch) :]
            old.leave([*ended, *batch])
            self._end(ended)
        self._settle(name, old, self._server.store.require(KIND, name)[PLAN], reason)

    def rescale(self, name: str) -> None:
        """Gives a component the number of copies that is desired, as far as there is room."""
        record = self._server.store.require(KIND, name)
        component = self.serving[record["EndpointName"]][name]
        desired = record["RuntimeConfig"]["DesiredCopyCount"]
        reason = None
        try:
            self._grow(component, desired)
        except DeploymentError as error:
            reason = str(error)
        surplus = component.workers[desired:]
        component.leave(surplus)
        self._settle(name, component, record[PLAN], reason)
        self._end(surplus)

    def delete(self, name: str) -> None:
        """Takes a component out of service and forgets it."""
        record = self._server.store.require(KIND, name)
        if component := self.serving.get(record["EndpointName"], {}).pop(name, None):
            self._retire(component, component.workers)
        shutil.rmtree(self._folder / name, ignore_errors=True)
        with self._server.store.transaction():
            scalable_targets.forget(self._server, InferenceComponentName=name)
            self._server.store.delete(KIND, name)

    def recover(self, name: str) -> None:
        """After a restart: brings a component back to where it was, and goes on with what was under way."""
        record = self._server.store.require(KIND, name)
        try:
            if record["InferenceComponentStatus"] == "Deleting":
                self.delete(name)
                return
            # One that was in service may have fewer copies than are desired, because there is no room for more.
            self._bring(name, whole=record["InferenceComponentStatus"] == "Creating")
        finally:
            self.recovering.discard(name)
        if NEXT_PLAN in record and self._server.store.require(KIND, name)["InferenceComponentStatus"] == "InService":
            self._server.store.update(KIND, name, InferenceComponentStatus="Updating", **{NEXT_PLAN: record[NEXT_PLAN]})
            self.update(name)

    def recover_all(self) -> None:
        """Recovers every component that was alive when the server ended."""
        shutil.rmtree(unix_sockets.socket_folder(self._folder), ignore_errors=True)
        alive = [r for r in self._server.store.list(KIND) if r["InferenceComponentStatus"] != "Failed"]
        plans = [(r["InferenceComponentName"], r[plan]) for r in alive for plan in (PLAN, NEXT_PLAN) if plan in r]
        deployments.forget_leftovers(self._folder, {self._folder / name / p["Generation"] for name, p in plans})
        self.recovering = {record["InferenceComponentName"] for record in alive}
        for record in sorted(alive, key=lambda record: record["CreationTime"]):
            self.begin(record["InferenceComponentName"], self.recover)

    def stop(self) -> None:
        """Stops all copies; the components stay as they are in the state."""
        self._stopping.set()
        copies = [w for hosted in self.serving.values() for component in hosted.values() for w in component.places]
        with ThreadPoolExecutor(max(1, len(copies))) as pool:
            list(pool.map(Worker.stop, copies))
        for worker in copies:
            asyncio.run_coroutine_threadsafe(worker.close(), self._loop)
        shutil.rmtree(unix_sockets.socket_folder(self._folder), ignore_errors=True)

    def instances(self, endpoint: str, spec: dict) -> int:
        """How many instances a variant has at the moment."""
        return component_hosts.instances(spec, self.used_instances(endpoint, spec["VariantName"]))

    def used_instances(self, endpoint: str, variant: str) -> int:
        """How many instances of a variant have copies, or are before one that has."""
        return max((copy.instance + 1 for copy in self._placed(endpoint, variant)), default=0)

    def _staged(self, record: dict, plan: dict) -> Component:
        """A component whose files are in place, without a copy.

        Raises:
            DeploymentError: its model cannot be staged.
        """
        name = record["InferenceComponentName"]
        try:
            folder = self._folder / name / plan["Generation"]
            containers = model_data.stage(
                self._server, plan["Model"], folder, plan["InstanceType"], plan.get("DownloadSeconds")
            )
        except errors.AwsError as error:
            raise DeploymentError(error.message) from error
        except (model_data.staging.StagingError, model_data.overlays.RequirementsError) as error:
            raise DeploymentError(str(error)) from error
        worker_plan = WorkerPlan(
            containers=containers,
            sockets=unix_sockets.socket_folder(self._folder),
            startup_seconds=plan["StartupSeconds"],
            open_log=partial(open_log, self._server, name, plan["VariantName"]),
        )
        return Component(self._server, name, record["EndpointName"], plan, worker_plan)

    def _grow(self, component: Component, count: int, whole: bool = False) -> None:
        """Starts what a component lacks of `count` copies, and puts it into service.

        Raises:
            DeploymentError: a copy does not serve, or has no room; with `whole` no copy is started then, else those
                are that have.
        """
        hosted = self.serving.setdefault(component.endpoint, {})
        before = hosted.get(component.component)
        lacking, added = count - len(component.workers), []
        with self._places:
            hosted[component.component] = component if before is None else before
            places = list(self._free_places(component, lacking))
            if not whole or len(places) == lacking:
                added = [component.start(place) for place in places]
        try:
            component.admit(added)
            if len(places) < lacking:
                raise no_room(component, count, count - lacking + len(places))
        except DeploymentError:
            component.leave([worker for worker in added if worker not in component.workers])
            if before is None and not component.workers:
                hosted.pop(component.component, None)
            raise

    def _free_places(self, component: Component, count: int) -> Iterator[int]:
        """Instances for copies that a component lacks, as many as have room; a plan before it makes room for it."""
        endpoint = self._server.store.require("Endpoint", component.endpoint)
        spec = next(s for s in endpoint["_Plan"]["Variants"] if s["VariantName"] == component.name)
        placed = self._placed(component.endpoint, component.name, but=component.component)
        placed += [Placed(place, component.needs) for place in component.places.values()]
        for _ in range(count):
            place = component_hosts.place(spec, placed, component.needs, component.spec["Placement"])
            if place is None:
                return
            placed.append(Placed(place, component.needs))
            yield place

    def _placed(self, endpoint: str, variant: str, but: str | None = None) -> list[Placed]:
        return [
            Placed(place, component.needs)
            for name, component in list(self.serving.get(endpoint, {}).items())
            if component.name == variant and name != but
            for place in list(component.places.values())
        ]

    def _settle(self, name: str, component: Component, plan: dict, reason: str | None = None) -> None:
        """Puts a component into service and writes that down."""
        self.serving.setdefault(component.endpoint, {})[name] = component
        if self._stopping.is_set():
            return
        record = self._server.store.require(KIND, name)
        runtime = record["RuntimeConfig"] | {"CurrentCopyCount": len(component.workers)}
        self._server.store.update(
            KIND,
            name,
            InferenceComponentStatus="InService",
            RuntimeConfig=runtime,
            Specification=plan["Specification"],
            FailureReason=reason and reason[:1024],
            **{PLAN: plan, NEXT_PLAN: None},
        )

    def _fail(self, name: str, reason: str) -> None:
        record = self._server.store.get(KIND, name)
        if record is None:
            return
        runtime = record["RuntimeConfig"] | {"CurrentCopyCount": 0}
        self._server.store.update(
            KIND, name, InferenceComponentStatus="Failed", FailureReason=reason[:1024], RuntimeConfig=runtime
        )

    def _retire(self, component: Component, retired: list[Worker]) -> None:
        component.leave(retired)
        self._end(retired)

    def _end(self, retired: list[Worker]) -> None:
        if retired:
            self._server.fleet.retire(retired)


def _batches(copies: list[Worker], most: dict | None) -> Iterator[list[Worker]]:
    """The copies to replace together: all of them, or as many as a capacity size of the rolling policy says."""
    size = len(copies)
    if most:
        size = most["Value"] if most["Type"] == "COPY_COUNT" else math.ceil(len(copies) * most["Value"] / 100)
    for start in range(0, len(copies), max(size, 1)):
        yield copies[start : start + size]


def start(server: Server) -> None:
    """Brings the components of an earlier run back into service."""
    server.components = ComponentFleet(server)
    server.components.recover_all()


def stop(server: Server) -> None:
    """Stops all copies."""
    server.components.stop()
