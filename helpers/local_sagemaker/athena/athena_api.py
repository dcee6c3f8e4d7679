"""Athena's operations on queries, which moto answers without running any; all others are moto's."""

from __future__ import annotations

import csv
import io
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, model, staging
from helpers.local_sagemaker.athena import queries

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SERVICE, TARGET_PREFIX = "athena", "AmazonAthena."
_PAGE = 1000


def answer(server: Server, operation: str, body: bytes) -> bytes:
    """The body of a response.

    Raises:
        AwsError: what the client did wrong.
    """
    request = model.parse(operation, body, SERVICE)
    return model.serialize(operation, OPERATIONS[operation](server, request), SERVICE)


def start_query_execution(server: Server, request: dict) -> dict:
    """StartQueryExecution."""
    location = request.get("ResultConfiguration", {}).get("OutputLocation")
    if location is None:
        raise errors.AwsError(queries.INVALID, "No output location provided: give ResultConfiguration.OutputLocation.")
    if "ExecutionParameters" in request:
        raise errors.AwsError(queries.INVALID, "ExecutionParameters are not available in the local Athena.")
    query_id = str(uuid.uuid4())
    try:
        output = staging.parse(location).below(f"{query_id}.csv")
    except staging.StagingError as error:
        raise errors.AwsError(queries.INVALID, str(error)) from error
    record = {
        "QueryExecutionId": query_id,
        "Query": request["QueryString"],
        "QueryExecutionContext": {"Database": "default", "Catalog": "awsdatacatalog"}
        | request.get("QueryExecutionContext", {}),
        "ResultConfiguration": request["ResultConfiguration"] | {"OutputLocation": str(output)},
        "WorkGroup": request.get("WorkGroup", "primary"),
        "Status": {"State": queries.QUEUED, "SubmissionDateTime": time.time()},
    }
    server.store.put(queries.KIND, query_id, record)
    server.athena.begin(query_id)
    return {"QueryExecutionId": query_id}


def get_query_execution(server: Server, request: dict) -> dict:
    """GetQueryExecution."""
    return {"QueryExecution": _require(server, request)}


def list_query_executions(server: Server, request: dict) -> dict:
    """ListQueryExecutions: the ids of all queries, the latest first."""
    records = server.store.list(queries.KIND)
    records.sort(key=lambda record: record["Status"]["SubmissionDateTime"], reverse=True)
    begin, size = int(request.get("NextToken", 0)), request.get("MaxResults", 50)
    found = [record["QueryExecutionId"] for record in records[begin : begin + size]]
    return {"QueryExecutionIds": found} | _token(begin + size, len(records))


def stop_query_execution(server: Server, request: dict) -> None:
    """StopQueryExecution."""
    server.athena.cancel(_require(server, request)["QueryExecutionId"])


def get_query_results(server: Server, request: dict) -> dict:
    """GetQueryResults: pages of the rows of a query that succeeded; the first row is the header."""
    record = _require(server, request)
    if record["Status"]["State"] != queries.SUCCEEDED:
        state = record["Status"]["State"]
        raise errors.AwsError(queries.INVALID, f"Query has not yet finished. Current state: {state}")
    try:
        body = staging.read(server, staging.parse(record["ResultConfiguration"]["OutputLocation"]))
    except staging.StagingError as error:
        raise errors.AwsError(queries.INVALID, str(error)) from error
    begin, size = int(request.get("NextToken", 0)), request.get("MaxResults", _PAGE)
    rows = list(csv.reader(io.StringIO(body.decode())))
    page = [{"Data": [{"VarCharValue": text} for text in row]} for row in rows[begin : begin + size]]
    columns = [{"CatalogName": "hive"} | column for column in record[queries.COLUMNS]]
    result = {"ResultSet": {"Rows": page, "ResultSetMetadata": {"ColumnInfo": columns}}}
    return result | _token(begin + size, len(rows))


def _token(end: int, total: int) -> dict:
    return {"NextToken": str(end)} if total > end else {}


def _require(server: Server, request: dict) -> dict:
    query_id = request["QueryExecutionId"]
    record = server.store.get(queries.KIND, query_id)
    if record is None:
        raise errors.AwsError(queries.INVALID, f"QueryExecution {query_id} was not found")
    return record


OPERATIONS: dict[str, Callable[[Server, dict], dict | None]] = {
    "StartQueryExecution": start_query_execution,
    "GetQueryExecution": get_query_execution,
    "ListQueryExecutions": list_query_executions,
    "StopQueryExecution": stop_query_execution,
    "GetQueryResults": get_query_results,
}
