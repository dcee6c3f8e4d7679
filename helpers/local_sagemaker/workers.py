"""Workers: each stands for one instance behind an endpoint or a batch transform job, and has its containers."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from helpers.local_sagemaker import containment
from helpers.local_sagemaker.containers import Container, ContainerPlan
from helpers.local_sagemaker.logs import LogWriter
from helpers.local_sagemaker.multi_model import LoadedModels


@dataclass(frozen=True)
class WorkerPlan:
    """What every worker of a variant runs.

    Args:
        containers: in the order in which a pipeline passes through them.
        sockets: folder for the sockets.
        startup_seconds: how long the model may take to load.
        open_log: gives a log stream by its name: the instance, and the container below it where there are several.
        limits: what each container may use; the machine's own limits by default.
    """

    containers: tuple[ContainerPlan, ...]
    sockets: Path
    startup_seconds: float
    open_log: Callable[[str], LogWriter]
    limits: containment.Limits | None = None


class Worker:
    """One instance: its containers, which serve together.

    `in_flight` and `served` are read and written on the event loop.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        self.instance = f"i-{secrets.token_hex(8)}"
        self.in_flight = 0
        self.served = 0
        several = len(plan.containers) > 1
        self.containers = tuple(
            Container(
                container,
                plan,
                plan.sockets / f"{self.instance}-{number}.sock",
                f"{self.instance}/{container.name}" if several else self.instance,
            )
            for number, container in enumerate(plan.containers)
        )
        self.started = _all_of([container.started for container in self.containers])

    @property
    def ready(self) -> bool:
        """Whether every container serves."""
        return all(container.ready for container in self.containers)

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop."""
        return self.containers[0].is_stopped

    @property
    def models(self) -> LoadedModels | None:
        """The models of its multi-model container, None when it has no such container."""
        return next((container.models for container in self.containers if container.models is not None), None)

    def container(self, hostname: str | None) -> Container:
        """The container of that name, which there must be; without one, the last: it gives the answer."""
        return self.containers[-1] if hostname is None else next(c for c in self.containers if c.name == hostname)

    async def close(self) -> None:
        """Closes the pools of connections."""
        for container in self.containers:
            await container.close()

    def stop(self) -> None:
        """Ends the processes and waits until they have ended."""
        for container in self.containers:
            container.begin_stop()
        for container in self.containers:
            container.end_stop()

    def join(self) -> None:
        """Returns when a stopped worker's last line can be read in CloudWatch."""
        for container in self.containers:
            container.join()


def _all_of(futures: list[Future[None]]) -> Future[None]:
    """Done when all are, or when the first has failed."""
    together: Future[None] = Future()
    lock, left = threading.Lock(), len(futures)

    def note(future: Future[None]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if together.done():
                return
            if error := future.exception():
                together.set_exception(error)
            elif not left:
                together.set_result(None)

    for future in futures:
        future.add_done_callback(note)
    return together
