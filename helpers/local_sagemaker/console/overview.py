"""The first page: what runs, what failed lately, and what the server itself takes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from helpers.local_sagemaker import alarms as alarm_operations
from helpers.local_sagemaker import lifecycle
from helpers.local_sagemaker.console import addresses
from helpers.local_sagemaker.console.jobs import JOB_KINDS, UNFINISHED
from helpers.local_sagemaker.console.visits import Visit, page
from helpers.local_sagemaker.pipelines import records as pipeline_records

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_SHOWN = 12
_REASON_LENGTH = 200
_SCRIPT_ERROR = re.compile(r'ErrorMessage "(.+?)"\s*(?:Command|$)', re.DOTALL)
_UP = ("InService", "Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass
class _Found:
    """What there is of one kind of thing: a figure for the top of the page, and rows of the two tables."""

    label: str
    count: int
    detail: str
    address: str
    running: list[dict] = field(default_factory=list)
    failed: list[dict] = field(default_factory=list)


@page("", "overview.html")
def overview(visit: Visit) -> dict:
    """What runs now, what failed lately, and this server's size."""
    found = [_endpoints(visit), *_jobs(visit), *_executions(visit), *_alarms(visit)]
    by_time = {"key": lambda row: row["since"], "reverse": True}
    return {
        "section": "overview",
        "figures": found,
        "running": sorted((row for each in found for row in each.running), **by_time)[: 4 * _SHOWN],
        "failed": sorted((row for each in found for row in each.failed), **by_time)[:_SHOWN],
        "server": _server_facts(visit.server),
        "exports": _exports(visit.server),
    }


def _endpoints(visit: Visit) -> _Found:
    found = _Found("endpoints", 0, "", addresses.to("endpoints"))
    for each in visit.server.store.list("Endpoint"):
        name, status = each["EndpointName"], each["EndpointStatus"]
        row = _row("endpoint", name, status, addresses.to("endpoints", name), each["CreationTime"])
        found.count += 1
        if status in _UP:
            found.running.append(row)
        elif status != "OutOfService":
            found.failed.append(row | _failure(each, each["LastModifiedTime"]))
    found.detail = f"{len(found.running)} up"
    return found


def _jobs(visit: Visit) -> Iterator[_Found]:
    """For each kind of job that this server has."""
    for kind in JOB_KINDS.values():
        if not visit.has(kind.list_operation):
            continue
        records = visit.server.store.list(kind.record)
        found = _Found(f"{kind.name} jobs", len(records), "", addresses.to("jobs", kind.name))
        for each in records:
            status = each[kind.status_member]
            if status not in (*UNFINISHED, "Failed"):
                continue
            name = each[kind.name_member]
            row = _row(f"{kind.name} job", name, status, addresses.to("jobs", kind.name, name), each["CreationTime"])
            if status == "Failed":
                found.failed.append(row | _failure(each, each.get(kind.end) or each["LastModifiedTime"]))
            else:
                found.running.append(row)
        found.detail = f"{len(found.running)} running"
        yield found


def _executions(visit: Visit) -> Iterator[_Found]:
    """The executions of pipelines."""
    records = visit.server.store.list(pipeline_records.EXECUTION)
    if not records:
        return
    found = _Found("pipeline executions", len(records), "", addresses.to("pipelines"))
    for each in records:
        arn, status = each["PipelineExecutionArn"], each["PipelineExecutionStatus"]
        name = pipeline_records.execution_name(arn)
        row = _row("pipeline execution", name, status, addresses.of_arn(arn), each["CreationTime"])
        if status in pipeline_records.ACTIVE:
            found.running.append(row)
        elif status == "Failed":
            found.failed.append(row | _failure(each, each["LastModifiedTime"]))
    found.detail = f"{len(found.running)} running"
    yield found


def _alarms(visit: Visit) -> Iterator[_Found]:
    alarms = [alarm for kind in alarm_operations.KINDS for alarm in visit.server.store.list(kind)]
    if alarms:
        raised = sum(alarm["StateValue"] == "ALARM" for alarm in alarms)
        yield _Found("alarms", len(alarms), f"{raised} in alarm", addresses.to("alarms"))


def _row(kind: str, name: str, status: str, address: str, since: float) -> dict:
    return {"kind": kind, "name": name, "status": status, "address": address, "since": since}


def _failure(record: dict, since: float) -> dict:
    return {"since": since, "reason": _gist(record.get("FailureReason", ""))}


def _gist(reason: str) -> str:
    """A failure's reason in one line: the script's own error where the reason quotes it."""
    quoted = _SCRIPT_ERROR.search(reason)
    lines = (quoted[1] if quoted else reason).strip().splitlines() or [""]
    line = lines[-1] if quoted else " ".join(lines)
    return line if len(line) <= _REASON_LENGTH else f"{line[:_REASON_LENGTH]}…"


def _server_facts(server: Server) -> dict:
    process = psutil.Process()
    children = process.children(recursive=True)
    return {
        "url": server.url,
        "home": server.home,
        "pid": os.getpid(),
        "uptime": time.time() - process.create_time(),
        "memory": process.memory_info().rss,
        "family_memory": process.memory_info().rss + sum(map(_resident, children)),
        "processes": len(children),
        "state_size": sum(path.stat().st_size for path in server.home.iterdir() if path.is_file()),
        "disk_free": shutil.disk_usage(server.home).free,
        "speedup": server.speedup,
    }


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has ended
        return 0


def _exports(server: Server) -> list[tuple[str, str]]:
    running = lifecycle.Running(server.url, os.getpid(), Path(server.home))
    return [(name, shlex.quote(value)) for name, value in lifecycle.environment(running).items()]
