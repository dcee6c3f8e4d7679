"""Executions of monitoring schedules: started when they are due, and followed to their end.

An execution is a record that is written before anything is started for it, so that a kill loses none: at the next
start, one that had not begun begins, and one whose job was cut short fails with that job's reason. Of the times that a
schedule missed while the server was down, the last counts, for the whole window.
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker import errors, listing, staging
from helpers.local_sagemaker.background import Background
from helpers.local_sagemaker.monitoring import job_definitions, job_requests, monitoring_schedules, windows
from helpers.local_sagemaker.monitoring.monitoring_schedules import EXECUTION_KIND, NOW
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.state_changes import StateChange

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

UNFINISHED = ("Pending", "InProgress", "Stopping")
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_REASON = 1024


@operation("ListMonitoringExecutions")
def list_monitoring_executions(server: Server, request: dict) -> dict:
    """One page of summaries, the last scheduled first by default."""
    wanted = {
        "MonitoringScheduleName": request.get("MonitoringScheduleName"),
        "EndpointName": request.get("EndpointName"),
        "MonitoringJobDefinitionName": request.get("MonitoringJobDefinitionName"),
        "MonitoringType": request.get("MonitoringTypeEquals"),
    }
    after = request.get("ScheduledTimeAfter", float("-inf"))
    before = request.get("ScheduledTimeBefore", float("inf"))
    found = [
        record
        for record in server.store.list(EXECUTION_KIND)
        if all(value in (None, record.get(key)) for key, value in wanted.items())
        and after < record["ScheduledTime"] < before
    ]
    by_time = {"SortBy": "ScheduledTime"} | request
    page = listing.page(found, by_time, "_Name", "MonitoringExecutionStatus")
    return listing.response("MonitoringExecutionSummaries", *page)


def of_job(server: Server, job_name: str) -> dict | None:
    """The execution that started a processing job, None when none did."""
    key = "-".join(job_name.rsplit("-", 2)[-2:])
    record = server.store.get(EXECUTION_KIND, key)
    return record if record and job_name in record["_Jobs"] else None


class Monitoring:
    """The thread that starts executions when they are due; what becomes of them is heard from their jobs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._advancing = threading.Lock()
        self._going_on = UNFINISHED  # of those that a kill left; later, the others are heard of from their jobs
        self._background = Background("monitoring", self._work, retry_seconds=_LONGEST_WAIT_SECONDS)

    def begin(self) -> None:
        """Starts the thread; what a kill left unfinished goes on."""
        self._server.state_changes.subscribe("monitoring", self._on_change)
        self._background.start()

    def wake(self) -> None:
        """Looks at the schedules again: one has changed."""
        self._background.wake()

    def stop(self) -> None:
        """Ends the thread."""
        self._background.stop()

    def _work(self) -> float:
        self._advance_all(self._going_on)
        self._going_on = ("Pending",)
        return min(max(self._start_due() - time.time(), 0), _LONGEST_WAIT_SECONDS)

    def _advance_all(self, statuses: tuple[str, ...]) -> None:
        for record in self._server.store.list(EXECUTION_KIND):
            if record["MonitoringExecutionStatus"] in statuses:
                self._advance(record["_Name"])

    def _start_due(self) -> float:
        """Starts what is due; returns when the next schedule is."""
        coming = []
        for record in self._server.store.list(monitoring_schedules.KIND):
            if record["MonitoringScheduleStatus"] == "Pending":
                record = self._schedule(record["MonitoringScheduleName"])
            due = record and self._last_due(record)
            if due:
                record = self._tick(record, due)
            if record and (later := monitoring_schedules.next_time(record, self._server.speedup)):
                coming.append(later)
        return min(coming, default=float("inf"))

    def _schedule(self, name: str) -> dict | None:
        """Makes a pending schedule one that runs, unless it was deleted or stopped meanwhile."""
        store = self._server.store
        with store.transaction():
            record = store.get(monitoring_schedules.KIND, name)
            if record and record["MonitoringScheduleStatus"] == "Pending":
                record = store.update(monitoring_schedules.KIND, name, MonitoringScheduleStatus="Scheduled")
        return record

    def _last_due(self, record: dict) -> float | None:
        """The last time until now that a schedule has not run at."""
        now, found = time.time(), None
        while (due := monitoring_schedules.next_time(record, self._server.speedup)) and due <= now:
            found = due
            record = record | {"_Last": due}
            if monitoring_schedules.timing(record)["ScheduleExpression"] == NOW:
                break
        return found

    def _tick(self, record: dict, due: float) -> dict | None:
        """Writes an execution and the schedule's progress at once, and begins it."""
        store, name = self._server.store, record["MonitoringScheduleName"]
        execution = self._execution(record, due)
        once = monitoring_schedules.timing(record)["ScheduleExpression"] == NOW
        with store.transaction():
            current = store.get(monitoring_schedules.KIND, name)
            if current is None or current["_Since"] != record["_Since"] or current["_Last"] != record["_Last"]:
                return current  # deleted, or configured anew
            store.put(EXECUTION_KIND, execution["_Name"], execution)
            # As for AWS's one time schedules, StartMonitoringSchedule lets it run again.
            status = {"MonitoringScheduleStatus": "Stopped"} if once else {}
            current = store.update(monitoring_schedules.KIND, name, _Last=due, **status)
        self._advance(execution["_Name"])
        return current

    def _execution(self, record: dict, due: float) -> dict:
        hour = datetime.fromtimestamp(record["_Since"] + (due - record["_Since"]) * self._server.speedup, UTC)
        members = {
            key: record[key] for key in ("MonitoringScheduleName", "MonitoringType", "EndpointName") if key in record
        }
        return members | {
            **monitoring_schedules.definition_name(record),
            "MonitoringExecutionStatus": "Pending",
            "ScheduledTime": due,
            "_Name": f"{hour:%Y%m%d%H%M}-{secrets.token_hex(9)}",
            "_Folder": f"{hour:%Y/%m/%d/%H}",
            "_Schedule": record,
            "_Jobs": [],
        }

    def _on_change(self, change: StateChange) -> None:
        if change.kind == "ProcessingJob" and change.after and (execution := of_job(self._server, change.name)):
            self._advance(execution["_Name"])

    def _advance(self, name: str) -> None:
        """Takes an execution's next step, if its job allows it."""
        with self._advancing:
            record = self._server.store.require(EXECUTION_KIND, name)
            if record["MonitoringExecutionStatus"] not in UNFINISHED:
                return
            try:
                self._step(record)
            except errors.AwsError as error:
                self._fail(name, error.message)
            except ClientError as error:
                self._fail(name, error.response["Error"]["Message"])
            except (staging.StagingError, BotoCoreError) as error:
                self._fail(name, str(error))

    def _step(self, record: dict) -> None:
        store, name = self._server.store, record["_Name"]
        if "_Definition" not in record:
            schedule = record["_Schedule"]
            definition = monitoring_schedules.definition(self._server, schedule)
            window = self._window(schedule, definition, record["ScheduledTime"])
            record = store.update(EXECUTION_KIND, name, _Definition=definition, _Window=window)
        jobs, merges = record["_Jobs"], record["MonitoringType"] in job_requests.MERGED_TYPES
        job = store.get("ProcessingJob", jobs[-1]) if jobs else None
        if job is None:
            self._begin(record, job_requests.MERGE if merges and len(jobs) < 2 else None)
        elif job["ProcessingJobStatus"] != "Completed":
            changes = {"FailureReason": job.get("FailureReason")}
            store.update(EXECUTION_KIND, name, MonitoringExecutionStatus=job["ProcessingJobStatus"], **changes)
        elif merges and len(jobs) == 1:
            self._begin(record, None)
        else:
            has_violations = job.get("ExitMessage", "").startswith("CompletedWithViolations")
            status = "CompletedWithViolations" if has_violations else "Completed"
            store.update(EXECUTION_KIND, name, MonitoringExecutionStatus=status)

    def _begin(self, record: dict, prefix: str | None) -> None:
        """Starts the merge, or the analysis; its name is on disk before it exists."""
        build = job_requests.merge if prefix else job_requests.analysis
        job = f"{prefix or job_requests.PREFIXES[record['MonitoringType']]}-{record['_Name']}"
        self._server.data_capture.flush()
        request = build(self._server, record, job)
        arn = self._server.arn("processing-job", job)
        jobs = list(dict.fromkeys([*record["_Jobs"], job]))
        progress = {"MonitoringExecutionStatus": "InProgress", "ProcessingJobArn": arn, "_Jobs": jobs}
        self._server.store.update(EXECUTION_KIND, record["_Name"], **progress)
        self._server.client("sagemaker").create_processing_job(**request)
        schedule_arn = record["_Schedule"]["MonitoringScheduleArn"]
        self._server.store.update("ProcessingJob", job, MonitoringScheduleArn=schedule_arn)

    def _window(self, schedule: dict, definition: dict, due: float) -> list[float]:
        """What was captured between these times is analysed, in epoch seconds."""
        timing, speedup = monitoring_schedules.timing(schedule), self._server.speedup
        if timing["ScheduleExpression"] == NOW:
            now = time.time()
            return [now + windows.offset(timing[f"DataAnalysis{side}Time"]) for side in ("Start", "End")]
        _, source = job_definitions.source_of(definition["Input"])
        if "StartTimeOffset" in source and "EndTimeOffset" in source:
            return [due + windows.offset(source[f"{side}TimeOffset"]) / speedup for side in ("Start", "End")]
        # One period up to the first time that was due; of several that were missed, up to the last.
        first = monitoring_schedules.next_time(schedule, speedup) or due
        following = monitoring_schedules.next_time(schedule | {"_Last": first}, speedup) or first
        return [min(schedule["_Last"], first - (following - first)), due]

    def _fail(self, name: str, reason: str) -> None:
        changes = {"MonitoringExecutionStatus": "Failed", "FailureReason": reason[:_LONGEST_REASON]}
        self._server.store.update(EXECUTION_KIND, name, **changes)


def start(server: Server) -> None:
    """Begins to start executions."""
    server.monitoring = Monitoring(server)
    server.monitoring.begin()


def stop(server: Server) -> None:
    """Starts no more."""
    server.monitoring.stop()
