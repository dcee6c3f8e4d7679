"""An inference component in service: its copies, and what they need of the instances that host them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from helpers.local_sagemaker import deployments
from helpers.local_sagemaker.deployments import DeploymentError, Variant
from helpers.local_sagemaker.errors import InvocationError
from helpers.local_sagemaker.instance_types import Capacity
from helpers.local_sagemaker.logs import LogWriter
from helpers.local_sagemaker.workers import Worker, WorkerPlan

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)


class Component(Variant):
    """An inference component in service: like a variant, with copies for workers.

    Args:
        server: the server.
        name: the component's.
        endpoint: the one that hosts it.
        plan: what it runs, see `inference_components`.
        worker_plan: what each copy runs.
    """

    def __init__(self, server: Server, name: str, endpoint: str, plan: dict, worker_plan: WorkerPlan) -> None:
        add_metrics = partial(server.invocation_metrics.add, endpoint, plan["VariantName"])
        super().__init__(endpoint, plan, worker_plan, add_metrics)
        self.component = name
        self.log_group = log_group(name)
        self.needs = Capacity(plan["Cpus"], plan["MemoryInMb"], plan["Accelerators"])
        self.places: dict[Worker, int] = {}
        self._server = server

    async def claim(self, headers: Mapping[str, str]) -> Worker | None:
        """A copy for an invocation with these headers, None when none is ready.

        Raises:
            InvocationError: there is no copy at all.
        """
        if not self.workers:
            self._server.invocation_metrics.add_of_component(self.component, "Count", NoCapacityInvocationFailures=1)
            raise InvocationError("ValidationError", NO_CAPACITY, 400)
        return self.next_worker(self._routing())

    def _routing(self) -> str | None:
        """How the variant that hosts the component distributes requests, now."""
        deployment = self._server.fleet.serving.get(self.endpoint)
        return deployment.variants[self.name].spec["Routing"] if deployment else None

    def start(self, instance: int) -> Worker:
        """Starts a copy on an instance; `admit` puts it into service."""
        worker = Worker(self._worker_plan)
        self.places[worker] = instance
        if (most := self.spec.get("MaxMemoryInMb")) is not None:
            for container in worker.containers:
                self._server.memory_watch.add(container, most)
        return worker

    def leave(self, leaving: list[Worker]) -> None:
        """Takes copies out of service and gives their places back."""
        self.workers = [worker for worker in self.workers if worker not in leaving]
        self.places = {worker: place for worker, place in self.places.items() if worker not in leaving}

    def not_serving(self, error: BaseException) -> str:
        """What is said when a copy does not come to serve; the error ends with the last lines of its log."""
        return deployments.failure_reason(
            f"The container of the inference component {self.component} did not pass the ping health check. Please "
            f"check CloudWatch logs of the group {self.log_group}. ",
            str(error),
        )


def log_group(component: str) -> str:
    """The group of a component's logs; its streams are called `variant/instance`."""
    return f"/aws/sagemaker/InferenceComponents/{component}"


def open_log(server: Server, component: str, variant: str, stream: str) -> LogWriter:
    """The log stream of a copy."""
    return LogWriter(server, log_group(component), f"{variant}/{stream}")


def no_room(component: Component, wanted: int, possible: int) -> DeploymentError:
    """What is said when the instances have no room for all copies."""
    return DeploymentError(
        f"CapacityError: Not enough hardware resources on the instances to deploy {wanted} copies of the inference "
        f"component {component.component}: there is room for {possible}."
    )
