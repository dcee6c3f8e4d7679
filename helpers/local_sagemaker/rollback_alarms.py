"""The CloudWatch alarms that watch an update of an endpoint and roll it back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import alarms, errors

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def check(server: Server, names: Iterable[str]) -> None:
    """Raises AwsError when an alarm does not exist."""
    if missing := [name for name in names if alarms.find(server.store, name) is None]:
        raise errors.validation(f"Could not find CloudWatch alarm(s): {', '.join(missing)}.")


def tripped(server: Server, names: Iterable[str]) -> list[str]:
    """The alarms that are in the state ALARM, and those that have been deleted: nobody watches in their place."""
    found = {name: alarms.find(server.store, name) for name in names}
    return [name for name, alarm in found.items() if alarm is None or alarm["StateValue"] == "ALARM"]
