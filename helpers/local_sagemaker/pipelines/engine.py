"""The executions that run, each with its coordinator; after a restart they go on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from helpers.local_sagemaker.pipelines import records
from helpers.local_sagemaker.pipelines.coordinator import Coordinator

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.pipelines.lambda_steps import Invocation
    from helpers.local_sagemaker.state_changes import StateChange


class Engine:
    """The coordinators of a server.

    Attributes:
        invocations: the Lambda functions that run, by the names of their steps.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._coordinators: dict[str, Coordinator] = {}
        self.invocations: dict[str, Invocation] = {}

    def run(self, execution: str) -> None:
        """Runs an execution, by its name in the store, from where it is."""
        with self._lock:
            ended = [name for name, coordinator in self._coordinators.items() if coordinator.has_ended]
            for name in ended:
                del self._coordinators[name]
            self._coordinators[execution] = Coordinator(self._server, execution)

    def wake(self) -> None:
        """Something has changed that executions may wait for."""
        with self._lock:
            for coordinator in self._coordinators.values():
                coordinator.wake()

    def close(self) -> None:
        """Leaves the executions as they are, because the server goes away."""
        with self._lock:
            coordinators = list(self._coordinators.values())
        for coordinator in coordinators:
            coordinator.close()
        for coordinator in coordinators:
            coordinator.join()
        for invocation in list(self.invocations.values()):
            invocation.end_with_server()


def start(server: Server) -> None:
    """Gives the server its engine; executions that ran when it was last stopped go on."""
    server.pipelines = Engine(server)
    for execution in server.store.list(records.EXECUTION):
        if execution["PipelineExecutionStatus"] in records.ACTIVE:
            server.pipelines.run(records.execution_name(execution["PipelineExecutionArn"]))

    def wake(change: StateChange) -> None:
        if not change.kind.startswith(records.PIPELINE):
            server.pipelines.wake()

    server.state_changes.subscribe("pipelines", wake)


def stop(server: Server) -> None:
    """Ends the coordinators."""
    server.pipelines.close()
