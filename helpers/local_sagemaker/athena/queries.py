"""Query executions: each runs in a process of its own, and its result goes to S3 as on AWS."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, sandbox, staging
from helpers.local_sagemaker.athena import statements

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

KIND = "AthenaQueryExecution"
QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"
INVALID = "InvalidRequestException"
COLUMNS = "_Columns"  # of the result, in the record
_PROGRAM = Path(__file__).with_name("run_query.py")
_CSV_OPTIONS = {"separatorChar": "delim", "quoteChar": "quote", "escapeChar": "escape"}


class Athena:
    """Runs the queries of a server; their records are QueryExecutions by their ids."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._folder = server.home / "athena"
        self._processes: dict[str, subprocess.Popen] = {}
        self._lock = threading.Lock()
        shutil.rmtree(self._folder, ignore_errors=True)
        for record in server.store.list(KIND):
            if record["Status"]["State"] in (QUEUED, RUNNING):
                self._move(record["QueryExecutionId"], FAILED, "The local SageMaker was stopped while the query ran.")

    def begin(self, query_id: str) -> None:
        """Runs a query whose record is in the store."""
        threading.Thread(target=self._run, args=(query_id,), name=f"query {query_id}", daemon=True).start()

    def cancel(self, query_id: str) -> None:
        """Ends a query that has not ended."""
        self._move(query_id, CANCELLED)
        with self._lock:
            process = self._processes.get(query_id)
        if process:
            sandbox.kill(process)

    def close(self) -> None:
        """Ends the processes."""
        with self._lock:
            running = list(self._processes.values())
        for process in running:
            sandbox.kill(process)

    def _move(self, query_id: str, state: str, reason: str | None = None, **changes: object) -> None:
        """Changes the state of a query, unless it has ended."""
        with self._server.store.transaction():
            record = self._server.store.require(KIND, query_id)
            status = record["Status"]
            if status["State"] in (QUEUED, RUNNING):
                status |= {"State": state} | ({"StateChangeReason": reason} if reason else {})
                if state != RUNNING:
                    status["CompletionDateTime"] = time.time()
                self._server.store.update(KIND, query_id, Status=status, **changes)

    def _run(self, query_id: str) -> None:
        folder = self._folder / query_id
        try:
            self._move(query_id, RUNNING)
            began, changes = time.monotonic(), self._execute(query_id, folder)
            milliseconds = round((time.monotonic() - began) * 1000)
            statistics = {"EngineExecutionTimeInMillis": milliseconds, "TotalExecutionTimeInMillis": milliseconds}
            self._move(query_id, SUCCEEDED, **changes, Statistics=statistics)
        except errors.AwsError as error:
            self._move(query_id, FAILED, error.message)
        except staging.StagingError as error:
            self._move(query_id, FAILED, str(error))
        except Exception as error:
            logger.exception("query %s failed", query_id)
            self._move(query_id, FAILED, f"GENERIC_INTERNAL_ERROR: {error!r}")
        shutil.rmtree(folder, ignore_errors=True)

    def _execute(self, query_id: str, folder: Path) -> dict:
        """Does what the query asks for; returns what its record gets."""
        record = self._server.store.require(KIND, query_id)
        database = record["QueryExecutionContext"]["Database"]
        statement = statements.parse(record["Query"], database)
        output = staging.parse(record["ResultConfiguration"]["OutputLocation"])
        if statement.sql is None:
            self._change_tables(statement)
            self._server.client("s3").put_object(Bucket=output.bucket, Key=output.key, Body=b"")
            return {COLUMNS: []}
        folder.mkdir(parents=True)
        tables = [self._table(schema, name, folder) for schema, name in statement.reads]
        (folder / "job.json").write_text(json.dumps({"sql": statement.sql, "tables": tables}))
        self._run_process(query_id, folder)
        staging.upload_file(self._server, folder / "result.csv", output)
        return {COLUMNS: json.loads((folder / "columns.json").read_text())}

    def _run_process(self, query_id: str, folder: Path) -> None:
        """Runs the program on a folder.

        Raises:
            AwsError: the query failed; the message is DuckDB's.
        """
        with self._lock:
            argv = [sys.executable, str(_PROGRAM), str(folder)]
            process = sandbox.launch_on_host(argv, {"HOME": str(folder)}, stdout=subprocess.DEVNULL, cwd=folder)
            self._processes[query_id] = process
        if self._server.store.require(KIND, query_id)["Status"]["State"] == CANCELLED:
            sandbox.kill(process)  # by who came before there was a process
        try:
            if process.wait():
                told = folder / "error.txt"
                reason = told.read_text() if told.exists() else "The query was ended."
                raise errors.AwsError(INVALID, reason)
        finally:
            with self._lock:
                del self._processes[query_id]

    def _table(self, schema: str, name: str, folder: Path) -> dict:
        """A table as the program wants it, with its files on this machine."""
        glue = self._server.client("glue")
        try:
            table = glue.get_table(DatabaseName=schema, Name=name)["Table"]
        except glue.exceptions.EntityNotFoundException:
            raise errors.AwsError(
                INVALID, f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{schema}.{name}' does not exist"
            ) from None
        stored, place = table["StorageDescriptor"], staging.parse(table["StorageDescriptor"]["Location"])
        columns = {
            column["Name"]: statements.duckdb_type(column["Type"])
            for column in [*stored["Columns"], *table.get("PartitionKeys", [])]
        }
        place = staging.Location(place.bucket, place.key.rstrip("/") + "/")
        keys = staging.list_keys(self._server, place)
        paths = staging.download_keys(self._server, place, keys, folder / schema / name) if keys else []
        found = {"schema": schema, "name": name, "files": list(map(str, paths)), "columns": columns}
        serde = stored["SerdeInfo"]
        if "OpenCSV" in serde["SerializationLibrary"]:
            given = serde.get("Parameters", {})
            found["csv"] = {ours: given[theirs] for theirs, ours in _CSV_OPTIONS.items() if theirs in given}
        return found

    def _change_tables(self, statement: statements.Statement) -> None:
        """Creates or drops a table in Glue."""
        glue = self._server.client("glue")
        try:
            if statement.creates:
                database, table = statement.creates
                if database == "default":
                    self._make_default_database()
                glue.create_table(DatabaseName=database, TableInput=table)
            else:
                database, name = statement.drops
                glue.delete_table(DatabaseName=database, Name=name)
        except (glue.exceptions.EntityNotFoundException, glue.exceptions.AlreadyExistsException) as error:
            raise errors.AwsError(INVALID, error.response["Error"]["Message"]) from error

    def _make_default_database(self) -> None:
        """Every account has a database `default`, which moto lacks."""
        glue = self._server.client("glue")
        try:
            glue.create_database(DatabaseInput={"Name": "default"})
        except glue.exceptions.AlreadyExistsException:
            return


def start(server: Server) -> None:
    """Gives the server its Athena; queries that the last end of the server cut short have failed."""
    server.athena = Athena(server)


def stop(server: Server) -> None:
    """Ends the queries."""
    server.athena.close()
