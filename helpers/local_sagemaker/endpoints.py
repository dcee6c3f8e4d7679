"""Endpoints: their life cycle, and the fleet of workers behind them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    data_capture,
    deployments,
    errors,
    listing,
    scalable_targets,
    serverless_configs,
    workers,
)
from helpers.local_sagemaker.deployments import Deployment, DeploymentError
from helpers.local_sagemaker.endpoint_configs import VARIANTS
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

_PLAN, _NEXT_PLAN = "_Plan", "_NextPlan"


@operation("CreateEndpoint")
def create_endpoint(server: Server, request: dict) -> dict:
    name = request["EndpointName"]
    _require_all_at_once(request.get("DeploymentConfig"))
    config = server.store.require("EndpointConfig", request["EndpointConfigName"])
    plan = deployments.plan(server, config)
    endpoint_arn = server.arn("endpoint", name)
    record = {
        "EndpointName": name,
        "EndpointArn": endpoint_arn,
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointStatus": "Creating",
        _PLAN: plan | {"Generation": secrets.token_hex(4)},
    }
    if "DeploymentConfig" in request:
        record["LastDeploymentConfig"] = request["DeploymentConfig"]
    with server.store.transaction():
        server.store.put("Endpoint", name, record)
        server.add_tags(endpoint_arn, request.get("Tags", []))
    server.fleet.begin(name, server.fleet.create)
    return {"EndpointArn": endpoint_arn}


@operation("DescribeEndpoint")
def describe_endpoint(server: Server, request: dict) -> dict:
    return server.store.require("Endpoint", request["EndpointName"])


@operation("ListEndpoints")
def list_endpoints(server: Server, request: dict) -> dict:
    page = listing.page(server.store.list("Endpoint"), request, "EndpointName", "EndpointStatus")
    return listing.response("Endpoints", *page)


@operation("UpdateEndpoint")
def update_endpoint(server: Server, request: dict) -> dict:
    name = request["EndpointName"]
    _require_all_at_once(request.get("DeploymentConfig"))
    with server.store.transaction():
        record = _require_in_service(server, name)
        config = server.store.require("EndpointConfig", request["EndpointConfigName"])
        plan = deployments.plan(server, config)
        serverless_configs.check_conversion(record["EndpointArn"], record[_PLAN]["Variants"], plan["Variants"])
        if request.get("RetainAllVariantProperties"):
            excluded = [entry["VariantPropertyType"] for entry in request.get("ExcludeRetainedVariantProperties", [])]
            _retain(plan, record[_PLAN], excluded)
        changes = {"EndpointStatus": "Updating", "FailureReason": None}
        if not request.get("RetainDeploymentConfig"):
            changes["LastDeploymentConfig"] = request.get("DeploymentConfig")
        server.store.update("Endpoint", name, **changes, **{_NEXT_PLAN: plan | {"Generation": secrets.token_hex(4)}})
    server.fleet.begin(name, server.fleet.update)
    return {"EndpointArn": record["EndpointArn"]}


@operation("UpdateEndpointWeightsAndCapacities")
def update_endpoint_weights_and_capacities(server: Server, request: dict) -> dict:
    name = request["EndpointName"]
    with server.store.transaction():
        record = _require_in_service(server, name)
        plan = record[_PLAN]
        specs = {spec["VariantName"]: spec for spec in deployments.specs(plan)}
        for desired in request["DesiredWeightsAndCapacities"]:
            variant = desired["VariantName"]
            if variant not in specs:
                raise errors.validation(
                    f'Could not find production variant {variant} of endpoint "{record["EndpointArn"]}". It has: '
                    f"{', '.join(specs)}."
                )
            serverless_configs.updated(specs[variant], desired)
            specs[variant]["Weight"] = desired.get("DesiredWeight", specs[variant]["Weight"])
            specs[variant]["InstanceCount"] = desired.get("DesiredInstanceCount", specs[variant]["InstanceCount"])
        summaries = {kind: [_wanted(summary, specs) for summary in record[kind]] for kind in VARIANTS if kind in record}
        server.store.update("Endpoint", name, EndpointStatus="Updating", **summaries, **{_NEXT_PLAN: plan})
    server.fleet.begin(name, server.fleet.rescale)
    return {"EndpointArn": record["EndpointArn"]}


@operation("DeleteEndpoint")
def delete_endpoint(server: Server, request: dict) -> None:
    name = request["EndpointName"]
    with server.store.transaction():
        record = server.store.require("Endpoint", name)
        if record["EndpointStatus"] not in ("InService", "Failed", "OutOfService"):
            raise _in_progress(record)
        server.store.update("Endpoint", name, EndpointStatus="Deleting")
    server.fleet.begin(name, server.fleet.delete)


def _require_in_service(server: Server, name: str) -> dict:
    record = server.store.require("Endpoint", name)
    if record["EndpointStatus"] == "Failed":
        raise errors.validation(
            f'Cannot update endpoint "{record["EndpointArn"]}" because its status is Failed: delete it and '
            "create it again."
        )
    if record["EndpointStatus"] != "InService":
        raise _in_progress(record)
    return record


def _in_progress(record: dict) -> errors.AwsError:
    return errors.validation(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')


def _require_all_at_once(deployment_config: dict | None) -> None:
    """Refuses the ways of shifting traffic that the fleet does not know, rather than ignore them."""
    if not deployment_config:
        return
    routing = deployment_config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    kind = "RollingUpdatePolicy" if "RollingUpdatePolicy" in deployment_config else routing.get("Type", "ALL_AT_ONCE")
    if kind != "ALL_AT_ONCE":
        raise errors.validation(f"DeploymentConfig of type {kind} is not available in the local SageMaker.")
    if "AutoRollbackConfiguration" in deployment_config:
        raise errors.validation("AutoRollbackConfiguration is not available in the local SageMaker.")


def _retain(plan: dict, current: dict, excluded: list[str]) -> None:
    """Takes over what was changed since the endpoint's configuration was made."""
    known = {spec["VariantName"]: spec for spec in deployments.specs(current)}
    for spec in deployments.specs(plan):
        old = known.get(spec["VariantName"], spec)
        if "DesiredWeight" not in excluded:
            spec["Weight"] = old["Weight"]
        if "DesiredInstanceCount" not in excluded and "ServerlessConfig" not in old:
            spec["InstanceCount"] = old["InstanceCount"]
    if "DataCaptureConfig" not in excluded:
        plan["DataCaptureConfig"] = current.get("DataCaptureConfig")


class Fleet:
    """The deployments in service; each change of an endpoint runs in a thread of its own.

    `serving` is what InvokeEndpoint reads: a whole deployment is put in and taken out at once, so no invocation sees
    half of a change.
    """

    def __init__(self, server: Server) -> None:
        self.serving: dict[str, Deployment] = {}
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
            self._server.store.update("Endpoint", name, EndpointStatus="Failed", FailureReason=reason[:1024])

    def create(self, name: str) -> None:
        """Brings a new endpoint into service, or fails it."""
        plan = self._server.store.require("Endpoint", name)[_PLAN]
        try:
            self.serving[name] = self._deploy(name, plan)
        except DeploymentError as error:
            if not self._stopping.is_set():
                self._server.store.update("Endpoint", name, EndpointStatus="Failed", FailureReason=str(error)[:1024])
            return
        self._settle(name, plan)

    def update(self, name: str) -> None:
        """Starts the next fleet beside the serving one, switches, and stops the old one; else the old one stays."""
        plan = self._server.store.require("Endpoint", name)[_NEXT_PLAN]
        try:
            new = self._deploy(name, plan)
        except DeploymentError as error:
            self._keep(name, str(error))
            return
        old, self.serving[name] = self.serving[name], new
        self._settle(name, plan)
        self._retire(old.close())
        self._forget_folders(name, keep=plan["Generation"])

    def rescale(self, name: str) -> None:
        """Gives the serving variants their new weights and numbers of workers."""
        plan = self._server.store.require("Endpoint", name)[_NEXT_PLAN]
        deployment = self.serving[name]
        retired = []
        for spec, variant in zip(deployments.specs(plan), deployment.all_variants, strict=True):
            before, variant.spec = variant.spec, spec
            try:
                variant.admit(variant.begin(spec["InstanceCount"]))
            except DeploymentError as error:
                variant.spec = before
                self._keep(name, str(error))
                return
            retired += variant.shrink(spec["InstanceCount"])
            variant.weight = spec["Weight"]
        deployment.share_traffic()
        self._settle(name, plan)
        self._retire(retired)

    def delete(self, name: str) -> None:
        """Takes an endpoint out of service and forgets it."""
        self._server.async_inference.forget(name)
        if deployment := self.serving.pop(name, None):
            self._retire(deployment.close())
        self._server.data_capture.flush()
        shutil.rmtree(self._folder / name, ignore_errors=True)
        with self._server.store.transaction():
            scalable_targets.forget_endpoint(self._server, name)
            self._server.delete_tags(self._server.arn("endpoint", name))
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
                self.serving[name] = self._deploy(name, record[_PLAN])
        except DeploymentError as error:
            self._server.store.update("Endpoint", name, EndpointStatus="Failed", FailureReason=str(error)[:1024])
            return
        finally:
            self.recovering.discard(name)
        if status == "Updating":
            self.rescale(name) if record[_NEXT_PLAN]["Generation"] == record[_PLAN]["Generation"] else self.update(name)

    def recover_all(self) -> None:
        """Recovers every endpoint that was alive when the server ended."""
        shutil.rmtree(workers.socket_folder(self._server.home), ignore_errors=True)
        alive = [record for record in self._server.store.list("Endpoint") if record["EndpointStatus"] != "Failed"]
        self.recovering = {record["EndpointName"] for record in alive}
        plans = [(r["EndpointName"], r[plan]["Generation"]) for r in alive for plan in (_PLAN, _NEXT_PLAN) if plan in r]
        deployments.forget_leftovers(self._folder, {self._folder / name / generation for name, generation in plans})
        for record in alive:
            self.begin(record["EndpointName"], self.recover)

    def stop(self) -> None:
        """Stops all workers; the endpoints stay as they are in the state."""
        self._stopping.set()
        serving = list(self.serving.values())
        with ThreadPoolExecutor(max(1, len(serving))) as pool:
            stopped = [worker for retired in pool.map(Deployment.stop, serving) for worker in retired]
        self._close(stopped)
        shutil.rmtree(workers.socket_folder(self._server.home), ignore_errors=True)

    def _deploy(self, name: str, plan: dict) -> Deployment:
        deployment = deployments.deployment(self._server, name, plan, self._folder / name / plan["Generation"])
        deployment.start()
        return deployment

    def _settle(self, name: str, plan: dict) -> None:
        """Writes down that a plan is in service."""
        changes = {
            "EndpointStatus": "InService",
            "EndpointConfigName": plan["ConfigName"],
            "ProductionVariants": [_summary(spec) for spec in plan["Variants"]],
            "ShadowProductionVariants": [_summary(spec) for spec in plan.get("ShadowVariants", [])] or None,
            "DataCaptureConfig": data_capture.summary(plan.get("DataCaptureConfig")),
            "AsyncInferenceConfig": plan.get("AsyncInferenceConfig"),
            _PLAN: plan,
            _NEXT_PLAN: None,
        }
        self._server.store.update("Endpoint", name, **changes)

    def _keep(self, name: str, reason: str) -> None:
        """Writes down that a change failed and that the endpoint serves as before it."""
        if self._stopping.is_set():
            return
        plan = self._server.store.require("Endpoint", name)[_PLAN]
        self._settle(name, plan)
        self._server.store.update("Endpoint", name, FailureReason=reason[:1024])

    def _retire(self, retired: list[workers.Worker]) -> None:
        deployments.drain(retired)
        self._close(retired)

    def _close(self, stopped: list[workers.Worker]) -> None:
        for worker in stopped:
            asyncio.run_coroutine_threadsafe(worker.close(), self._loop)

    def _forget_folders(self, name: str, keep: str) -> None:
        for folder in (self._folder / name).iterdir():
            if folder.name != keep:
                shutil.rmtree(folder, ignore_errors=True)


def _summary(spec: dict) -> dict:
    now = time.time()
    summary = {
        "VariantName": spec["VariantName"],
        "DeployedImages": [
            {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now}
            for image in deployments.images(spec)
        ],
        "CurrentWeight": spec["Weight"],
        "DesiredWeight": spec["Weight"],
        "CurrentInstanceCount": spec["InstanceCount"],
        "DesiredInstanceCount": spec["InstanceCount"],
    }
    if "ServerlessConfig" in spec:
        summary["CurrentServerlessConfig"] = spec["ServerlessConfig"]
    return summary


def _wanted(summary: dict, specs: dict[str, dict]) -> dict:
    """A variant's summary while it is on its way to its spec."""
    spec = specs[summary["VariantName"]]
    wanted = {"DesiredWeight": spec["Weight"], "DesiredInstanceCount": spec["InstanceCount"]}
    if "ServerlessConfig" in spec:
        wanted["DesiredServerlessConfig"] = spec["ServerlessConfig"]
    return summary | wanted


def start(server: Server) -> None:
    """Brings the endpoints of an earlier run back into service."""
    server.fleet = Fleet(server)
    server.fleet.recover_all()


def stop(server: Server) -> None:
    """Stops all workers."""
    server.fleet.stop()
