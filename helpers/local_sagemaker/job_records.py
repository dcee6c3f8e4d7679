"""The records of jobs of every kind: stopped, forgotten, and failed after a restart, by one set of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

UNFINISHED = ("InProgress", "Stopping")
SERVER_STOPPED_REASON = "InternalServerError: the local SageMaker was stopped while the job ran"


def stop(server: Server, kind: str, name: str, mark: Callable[[], object] | None = None) -> None:
    """Asks a job to end, as StopTrainingJob and its like do; one that is stopping already is left alone.

    Args:
        server: the server.
        kind: such as TrainingJob.
        name: the job's name.
        mark: writes the status Stopping where more than the status changes.

    Raises:
        AwsError: there is no such job, or it has ended.
    """
    status = f"{kind}Status"
    with server.store.transaction():
        record = server.store.require(kind, name)
        if record[status] == "Stopping":
            return
        if record[status] != "InProgress":
            raise errors.validation(
                f"The request was rejected because the {_words(kind)} is in status {record[status]}."
            )
        if mark:
            mark()
        else:
            server.store.update(kind, name, **{status: "Stopping"})
    server.jobs.stop(kind, name)


def delete(server: Server, kind: str, name: str) -> None:
    """Forgets a job that has ended, with its tags; what it wrote and its logs stay.

    Raises:
        AwsError: there is no such job, or it has not ended.
    """
    status = f"{kind}Status"
    with server.store.transaction():
        record = server.store.require(kind, name)
        if record[status] in UNFINISHED:
            raise errors.in_use(f"{_words(kind).capitalize()} {name} is in status {record[status]}: stop it first.")
        server.store.delete(kind, name)


def fail_unfinished(server: Server, kind: str, fail: Callable[[Server, str, str], None]) -> None:
    """Fails the jobs of a kind that the end of the server cut short; `fail(server, name, reason)` writes it."""
    for record in server.store.list(kind):
        if record[f"{kind}Status"] in UNFINISHED:
            fail(server, record[f"{kind}Name"], SERVER_STOPPED_REASON)


def _words(kind: str) -> str:
    return kinds.of(kind).words
