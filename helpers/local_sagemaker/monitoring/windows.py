"""Which captured objects an execution looks at."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, staging

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

HOUR = 3600
_DURATION = re.compile(r"(-?)P(?=[\dT])(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?)?")
_FOLDER = re.compile(r"(?:^|/)(\d{4})/(\d{2})/(\d{2})/(\d{2})/")
_CAPTURE_NAME = re.compile(r"(\d{2})-(\d{2})-(\d{3})-[0-9a-f-]{36}\.jsonl$")


def offset(duration: str) -> float:
    """Seconds of an ISO 8601 duration in days, hours and minutes, such as `-PT1H`.

    Raises:
        AwsError: it is none.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise errors.validation(f"Invalid time offset: {duration}")
    sign, *numbers = match.groups()
    days, hours, minutes = (int(number or 0) for number in numbers)
    return (-1 if sign else 1) * ((days * 24 + hours) * HOUR + minutes * 60)


def moment(key: str, modified: float) -> float | None:
    """When what an object holds was captured, in epoch seconds; None where its key names no hour.

    Data capture names objects by the time of their first record. Others count from when they were written, but within
    the hour of their folder.

    Args:
        key: of the object, with `yyyy/mm/dd/hh/` in it.
        modified: when it was written.
    """
    folder = _FOLDER.search(key)
    if folder is None:
        return None
    try:
        hour = datetime(*map(int, folder.groups()), tzinfo=UTC).timestamp()
    except ValueError:
        return None
    if name := _CAPTURE_NAME.search(key):
        minute, second, milliseconds = map(int, name.groups())
        return hour + minute * 60 + second + milliseconds / 1000
    return min(max(modified, hour), hour + HOUR - 1)


def captured(server: Server, prefix: staging.Location, start: float, end: float) -> list[str]:
    """The keys under a prefix of what was captured from `start` on and before `end`.

    Raises:
        StagingError: there is no such bucket.
    """
    found = ((key, moment(key, modified)) for key, modified in staging.list_objects(server, prefix))
    return [key for key, when in found if when is not None and start <= when < end]


def of_hours(server: Server, prefix: staging.Location, start: float, end: float) -> list[str]:
    """The keys under a prefix in the folders of the hours that a window touches, such as those of ground truth.

    Raises:
        StagingError: there is no such bucket.
    """
    found = ((key, moment(key, 0)) for key, _ in staging.list_objects(server, prefix))
    return [key for key, when in found if when is not None and start // HOUR * HOUR <= when < end]
