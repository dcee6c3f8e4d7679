"""The first page: what runs, what failed lately, and what the server itself takes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from helpers.local_sagemaker import lifecycle
from helpers.local_sagemaker.console import addresses
from helpers.local_sagemaker.console.jobs import JOB_KINDS
from helpers.local_sagemaker.console.visits import Visit, page

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_SHOWN = 12
_REASON_LENGTH = 200
_SCRIPT_ERROR = re.compile(r'ErrorMessage "(.+?)"\s*(?:Command|$)', re.DOTALL)
_ENDPOINT_MOVES = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@page("", "overview.html")
def overview(visit: Visit) -> dict:
    """What runs now, what failed lately, and this server's size."""
    running, failed, figures = [], [], []
    endpoints = list(visit.all("ListEndpoints", "Endpoints"))
    up = [each for each in endpoints if each["EndpointStatus"] in ("InService", *_ENDPOINT_MOVES)]
    figures.append(("endpoints", len(endpoints), f"{len(up)} up", addresses.to("endpoints")))
    for each in endpoints:
        row = _row(
            "endpoint", each["EndpointName"], each["EndpointStatus"], addresses.to("endpoints", each["EndpointName"])
        )
        if each in up:
            running.append(row | {"since": each["CreationTime"]})
        elif each["EndpointStatus"] != "OutOfService":
            reason = visit.read("DescribeEndpoint", EndpointName=each["EndpointName"]).get("FailureReason", "")
            failed.append(row | {"since": each["LastModifiedTime"], "reason": _gist(reason)})
    for kind in JOB_KINDS.values():
        if not visit.has(kind.list_operation):
            continue
        total, under_way = kind.counts(visit)
        figures.append((f"{kind.name} jobs", total, f"{len(under_way)} running", addresses.to("jobs", kind.name)))
        for each in under_way:
            name = each[kind.name_member]
            row = _row(f"{kind.name} job", name, each[kind.status_member], addresses.to("jobs", kind.name, name))
            running.append(row | {"since": each["CreationTime"]})
        for each in kind.failed(visit, _SHOWN):
            name = each[kind.name_member]
            row = _row(f"{kind.name} job", name, "Failed", addresses.to("jobs", kind.name, name))
            since = each.get("LastModifiedTime", each["CreationTime"])
            failed.append(row | {"since": since, "reason": _gist(each.get("FailureReason", ""))})
    for alarms in _alarm_figures(visit.server):
        figures.append(alarms)
    by_time = {"key": lambda row: row["since"], "reverse": True}
    return {
        "section": "overview",
        "figures": figures,
        "running": sorted(running, **by_time)[: 4 * _SHOWN],
        "failed": sorted(failed, **by_time)[:_SHOWN],
        "server": _server_facts(visit.server),
        "exports": _exports(visit.server),
    }


def _row(kind: str, name: str, status: str, address: str) -> dict:
    return {"kind": kind, "name": name, "status": status, "address": address}


def _gist(reason: str) -> str:
    """A failure's reason in one line: the script's own error where the reason quotes it."""
    quoted = _SCRIPT_ERROR.search(reason)
    lines = (quoted[1] if quoted else reason).strip().splitlines() or [""]
    line = lines[-1] if quoted else " ".join(lines)
    return line if len(line) <= _REASON_LENGTH else f"{line[:_REASON_LENGTH]}…"


def _alarm_figures(server: Server) -> list[tuple]:
    alarms = [*server.store.list("MetricAlarm"), *server.store.list("CompositeAlarm")]
    raised = sum(alarm["StateValue"] == "ALARM" for alarm in alarms)
    return [("alarms", len(alarms), f"{raised} in alarm", addresses.to("alarms"))] if alarms else []


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
