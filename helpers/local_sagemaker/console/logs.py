"""The end of a log group's streams, from CloudWatch Logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker.console import rendering

if TYPE_CHECKING:
    from helpers.local_sagemaker.console.visits import Visit

LINES = 200
MOST_STREAMS = 16
_LONGEST_LINE = 2000


def tail(visit: Visit, group: str, address: str, prefix: str | None = None) -> dict:
    """The last lines of the stream that the address asks for, or of the first one.

    Args:
        visit: its query may name a `stream`.
        group: the log group.
        address: of the page.
        prefix: of the streams' names; None for all.

    Returns:
        group, streams (names), stream, events (time in epoch seconds, message), address, most (of events).
    """
    logs = visit.server.client("logs")
    # CloudWatch orders by name what it chooses by prefix: the hosts of a job; else the latest comes first.
    named = {"logStreamNamePrefix": prefix} if prefix else {"orderBy": "LastEventTime", "descending": True}
    try:
        found = logs.describe_log_streams(logGroupName=group, limit=MOST_STREAMS, **named)["logStreams"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        found = []
    streams = [each["logStreamName"] for each in found]
    stream = visit.query.get("stream")
    if stream not in streams:
        stream = streams[0] if streams else None
    events = []
    if stream:
        request = {"logGroupName": group, "logStreamName": stream, "limit": LINES, "startFromHead": False}
        events = [
            {"time": rendering.epoch(event["timestamp"] / 1000), "message": event["message"][:_LONGEST_LINE]}
            for event in logs.get_log_events(**request)["events"]
        ]
    return {"group": group, "streams": streams, "stream": stream, "events": events, "address": address, "most": LINES}
