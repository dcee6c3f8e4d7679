"""One endpoint configuration put into service: variants, their workers, and how traffic is shared among them."""

from __future__ import annotations

import bisect
import itertools
import random
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    component_hosts,
    containers,
    data_capture,
    errors,
    model_data,
    multi_model,
    serverless_configs,
    unix_sockets,
)
from helpers.local_sagemaker.data_capture import Capture
from helpers.local_sagemaker.logs import LogWriter
from helpers.local_sagemaker.shadows import Shadow
from helpers.local_sagemaker.workers import Worker, WorkerPlan

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

INVOCATION_SECONDS = 60.0
DRAIN_SECONDS = 60.0  # a fleet that was switched off may finish what it has begun


def log_group(endpoint: str) -> str:
    """The group of an endpoint's logs; its streams are called `variant/instance`, or `variant/instance/container`."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class DeploymentError(Exception):
    """A fleet that does not come into service; the message is an endpoint's FailureReason."""


class Variant:
    """A production variant in service.

    Args:
        spec: one entry of a plan, see `plan`.
        worker_plan: what its workers run.
        add_metrics: takes values of metrics that only some kinds of variants have, see `InvocationMetrics.add`.
        capture: which invocations are written to S3, None for none.
    """

    max_body_bytes = 6_291_456
    memory_bytes: int | None = None  # what an instance has; None for the machine's
    instance_metrics = ("CPUUtilization", "MemoryUtilization")
    config_name: str | None = None  # the endpoint configuration that it is of; its deployment knows

    def __init__(
        self,
        endpoint: str,
        spec: dict,
        worker_plan: WorkerPlan,
        add_metrics: Callable[..., None],
        capture: Capture | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.log_group = log_group(endpoint)
        self.component: str | None = None  # the inference component that it is, if it is one
        self.name: str = spec["VariantName"]
        self.weight: float = spec["Weight"]
        self.spec = spec
        self.add_metrics = add_metrics
        self.capture = capture
        self.direct: bool = spec["Model"]["Mode"] == "Direct"
        self.timeout = _model_server_timeout(worker_plan.containers[0].environment)
        self.containers = tuple(container.name for container in worker_plan.containers)
        self.is_multi_model = any(container.models is not None for container in worker_plan.containers)
        self.workers: list[Worker] = []
        self._worker_plan = worker_plan

    def least_busy(self) -> Worker | None:
        """The ready worker with the fewest invocations under way, None when no worker is ready."""
        ready = [worker for worker in self.workers if worker.ready]
        return min(ready, key=lambda worker: (worker.in_flight, worker.served)) if ready else None

    def next_worker(self, strategy: str | None) -> Worker | None:
        """The ready worker for the next invocation: any one by the strategy RANDOM, else the least busy."""
        if strategy != "RANDOM":
            return self.least_busy()
        ready = [worker for worker in self.workers if worker.ready]
        return random.choice(ready) if ready else None

    async def claim(self, headers: Mapping[str, str]) -> Worker | None:
        """A worker for an invocation with these headers, None when none is ready; `release` it."""
        if self.is_multi_model:
            return multi_model.choose(self.workers, headers)
        return self.next_worker(self.spec.get("Routing"))

    def release(self, worker: Worker, answered: bool) -> None:
        """Says that an invocation is over; there is nothing to do for a worker that others use too."""

    def begin(self, count: int) -> list[Worker]:
        """Starts as many workers as are missing to `count`; `admit` puts them into service."""
        return [Worker(self._worker_plan) for _ in range(count - len(self.workers))]

    def admit(self, added: list[Worker]) -> None:
        """Waits until workers serve and lets them take traffic.

        Raises:
            DeploymentError: one of them does not serve; all of them are stopped.
        """
        self.require_started(added)
        self.workers = [*self.workers, *added]

    def require_started(self, added: list[Worker]) -> None:
        """Waits until workers serve.

        Raises:
            DeploymentError: one of them does not; all of them are stopped.
        """
        wait([worker.started for worker in added])
        for worker in added:
            if error := worker.started.exception():
                _stop(added)
                raise DeploymentError(self.not_serving(error)) from error

    def shrink(self, count: int) -> list[Worker]:
        """Takes the youngest workers out of service until `count` are left, and returns them still running."""
        removed, self.workers = self.workers[count:], self.workers[:count]
        return removed

    def close(self) -> list[Worker]:
        """Takes the variant out of service; its workers, still running, which no invocation chooses any more."""
        return self.workers

    def not_serving(self, error: BaseException) -> str:
        """What AWS says when a worker does not come to serve; the error ends with the last lines of its log."""
        name = getattr(error, "container", model_data.PRIMARY)
        return failure_reason(
            f"The {'primary container' if name == model_data.PRIMARY else name} for production variant {self.name} did "
            "not pass the ping health check. Please check CloudWatch logs for this endpoint. ",
            str(error),
        )


class Deployment:
    """The variants of one configuration behind an endpoint; attributes are replaced, never changed in place."""

    def __init__(
        self,
        endpoint: str,
        config_name: str,
        variants: list[Variant],
        shadow: Variant | None = None,
        async_config: dict | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.config_name = config_name
        self.async_config = async_config
        self.variants = {variant.name: variant for variant in variants}
        self.shadow = Shadow(shadow) if shadow else None
        self.all_variants = [*variants, shadow] if shadow else variants
        self.hosts_components = any(isinstance(variant, component_hosts.HostVariant) for variant in variants)
        for variant in self.all_variants:
            variant.config_name = config_name
        self.max_body_bytes = min(variant.max_body_bytes for variant in variants)
        self._order = variants
        self.share_traffic()

    def share_traffic(self) -> None:
        """Takes over the variants' weights."""
        self._cumulative = list(itertools.accumulate(variant.weight for variant in self._order))
        if self.shadow is not None:
            production = self._cumulative[-1]
            self.shadow.share = self.shadow.variant.weight / production if production else 0.0

    def pick(self) -> Variant:
        """A variant, with a probability in proportion to its weight; when all weights are zero, the last."""
        point = random.random() * self._cumulative[-1]
        return self._order[min(bisect.bisect_right(self._cumulative, point), len(self._order) - 1)]

    def start(self) -> None:
        """Starts all workers and returns when they serve.

        Raises:
            DeploymentError: a variant's workers do not; all are stopped.
        """
        admit([(variant, variant.begin(variant.spec["InstanceCount"])) for variant in self.all_variants])

    def stop(self) -> list[Worker]:
        """Stops all workers at once."""
        stopped = self.close()
        _stop(stopped)
        return stopped

    def close(self) -> list[Worker]:
        """Takes all variants out of service; their workers, still running, the shadow's too."""
        return [worker for variant in self.all_variants for worker in variant.close()]


def _model_server_timeout(environment: dict[str, str]) -> float:
    """Seconds that an invocation may take: 60 on AWS, less when the toolkit's own variable says so."""
    try:
        return min(float(environment["SAGEMAKER_MODEL_SERVER_TIMEOUT"]), INVOCATION_SECONDS)
    except (KeyError, ValueError):
        return INVOCATION_SECONDS


def admit(begun: list[tuple[Variant, list[Worker]]]) -> None:
    """Lets workers that variants have begun take traffic, as soon as all of them serve.

    Raises:
        DeploymentError: one of them does not; all of them are stopped, and none has taken traffic.
    """
    try:
        for variant, added in begun:
            variant.require_started(added)
    except DeploymentError:
        _stop([worker for _, added in begun for worker in added])
        raise
    for variant, added in begun:
        variant.admit(added)


def drain(retired: list[Worker]) -> None:
    """Waits until workers out of service have answered what they began, then stops them."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while any(worker.in_flight for worker in retired) and time.monotonic() < deadline:
        time.sleep(containers.PING_SECONDS)
    _stop(retired)


def _stop(stopped: list[Worker]) -> None:
    for worker in stopped:
        worker.stop()


def plan(server: Server, config: dict) -> dict:
    """What to run for an endpoint configuration: a JSON-able copy, because config and models may be deleted later.

    Raises:
        AwsError: a model is missing, or is of a kind that the local SageMaker does not serve.
    """
    return {
        "ConfigName": config["EndpointConfigName"],
        "Variants": [
            component_hosts.plan(v, config) if component_hosts.is_host(v) else _plan(server, v, config)
            for v in config["ProductionVariants"]
        ],
        "ShadowVariants": [_plan(server, v, config) for v in config.get("ShadowProductionVariants", [])],
        "DataCaptureConfig": config.get("DataCaptureConfig"),
        "AsyncInferenceConfig": config.get("AsyncInferenceConfig"),
    }


def specs(endpoint_plan: dict) -> list[dict]:
    """The entries of a plan's production variants, then its shadow's."""
    return [*endpoint_plan["Variants"], *endpoint_plan.get("ShadowVariants", [])]


def _plan(server: Server, variant: dict, config: dict) -> dict:
    model = model_data.served_model(server, variant["ModelName"])
    spec = {
        "VariantName": variant["VariantName"],
        "Weight": variant["InitialVariantWeight"],
        "InstanceCount": variant.get("InitialInstanceCount", 0),
        "InstanceType": variant.get("InstanceType"),
        "Model": model | {"NetworkIsolation": model["NetworkIsolation"] or config["EnableNetworkIsolation"]},
        "DownloadSeconds": variant.get("ModelDataDownloadTimeoutInSeconds"),
        "StartupSeconds": variant.get("ContainerStartupHealthCheckTimeoutInSeconds", containers.STARTUP_SECONDS),
        "Routing": variant.get("RoutingConfig", {}).get("RoutingStrategy"),
    }
    if "ServerlessConfig" in variant:
        serverless_configs.check_model(server.store.require("Model", variant["ModelName"]))
        spec |= {
            "ServerlessConfig": variant["ServerlessConfig"],
            "StartupSeconds": serverless_configs.STAND_UP_SECONDS,
        }
    return spec


def deployment(server: Server, endpoint: str, endpoint_plan: dict, folder: Path) -> Deployment:
    """Stages every variant of a plan; `start` of the result puts it into service.

    Raises:
        DeploymentError: a model cannot be staged.
    """
    variants = [_variant(server, endpoint, endpoint_plan, spec, folder) for spec in specs(endpoint_plan)]
    count = len(endpoint_plan["Variants"])
    return Deployment(
        endpoint,
        endpoint_plan["ConfigName"],
        variants[:count],
        *variants[count:],
        async_config=endpoint_plan.get("AsyncInferenceConfig"),
    )


def _variant(server: Server, endpoint: str, endpoint_plan: dict, spec: dict, folder: Path) -> Variant:
    if component_hosts.is_host(spec):
        return component_hosts.HostVariant(server, endpoint, spec)
    name = spec["VariantName"]
    try:
        staged = model_data.stage(
            server, spec["Model"], folder / name, spec["InstanceType"], spec.get("DownloadSeconds")
        )
    except errors.AwsError as error:
        raise DeploymentError(error.message) from error
    except (model_data.staging.StagingError, model_data.overlays.RequirementsError) as error:
        raise DeploymentError(str(error)) from error
    worker_plan = WorkerPlan(
        containers=staged,
        sockets=unix_sockets.socket_folder(server.home),
        startup_seconds=spec["StartupSeconds"],
        open_log=lambda stream: LogWriter(server, log_group(endpoint), f"{name}/{stream}"),
    )
    if "ServerlessConfig" in spec:
        from helpers.local_sagemaker.serverless import ServerlessVariant  # is built on this module

        return ServerlessVariant(server, endpoint, spec, worker_plan)
    capture = data_capture.capture(endpoint_plan.get("DataCaptureConfig"), endpoint, name)
    add_metrics = partial(server.invocation_metrics.add, endpoint, name)
    return Variant(endpoint, spec, worker_plan, add_metrics, capture)


def images(spec: dict) -> list[str]:
    """The images that a variant of a plan runs, in the order of its containers."""
    return [container["Image"] for container in spec["Model"]["Containers"]] if "Model" in spec else []


def failure_reason(reason: str, tail: str) -> str:
    """At most 1,024 characters, as the model of the API has it; the end of the log matters most."""
    room = 1024 - len(reason)
    return reason + (tail if len(tail) <= room else f"...{tail[3 - room :]}")


def forget_leftovers(folder: Path, wanted: set[Path]) -> None:
    """Removes the folders of endpoints and plans that a server left behind which was killed amid a change.

    Args:
        folder: of all endpoints.
        wanted: folders of the plans that are, or shall be, in service.
    """
    kept = wanted | {path.parent for path in wanted}
    for path in [*folder.glob("*/*"), *folder.glob("*")]:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
