"""Athena really runs: queries over the tables of offline stores, in a process that sees nothing else."""

import itertools
import time

import featured
import pytest
from botocore.exceptions import ClientError

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.athena import statements


@pytest.fixture(scope="module")
def features(client, bucket, role_arn):
    """Creates feature groups."""
    numbers = itertools.count()
    return featured.Features(client, bucket, role_arn, lambda prefix: f"{prefix}-asked-{next(numbers)}")


@pytest.fixture(scope="module")
def athena(client):
    """Athena's client."""
    return client("athena")


@pytest.fixture(scope="module")
def table(features):
    """The table of a group with three rows, one of them a deletion; the last feature came later."""
    name = features.create(**features.offline())
    features.put(name, "1", "2026-01-01T00:00:00Z", age=41, spend=2.5)
    features.rows(name, 1)
    addition = [{"FeatureName": "visits", "FeatureType": "Integral"}]
    features.sm.update_feature_group(FeatureGroupName=name, FeatureAdditions=addition)
    features.put(name, "2", "2026-02-01T00:00:00Z", visits=7)
    features.delete(name, "1", "2026-03-01T00:00:00Z")
    features.rows(name, 3)
    config = features.described(name)["OfflineStoreConfig"]["DataCatalogConfig"]
    return f'"{config["Database"]}"."{config["TableName"]}"'


def run(athena, bucket: str, sql: str, **request: object) -> dict:
    """The execution of a query that has ended."""
    query = athena.start_query_execution(
        QueryString=sql, ResultConfiguration={"OutputLocation": f"s3://{bucket}/athena"}, **request
    )["QueryExecutionId"]
    deadline = time.monotonic() + featured.PATIENCE_SECONDS
    while True:
        execution = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]
        if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
            return execution
        assert time.monotonic() < deadline, execution
        time.sleep(0.02)


def rows(athena, bucket: str, sql: str) -> list[list[str]]:
    """The rows of a query, without its header."""
    execution = run(athena, bucket, sql)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    pages = athena.get_paginator("get_query_results").paginate(
        QueryExecutionId=execution["QueryExecutionId"], PaginationConfig={"PageSize": 2}
    )
    found = [row["Data"] for page in pages for row in page["ResultSet"]["Rows"]]
    return [[value["VarCharValue"] for value in row] for row in found[1:]]


def test_a_query_reads_the_offline_store(athena, bucket, features, table):
    sql = f"SELECT customer, age, spend, visits, is_deleted, month FROM {table} ORDER BY at"
    execution = run(athena, bucket, sql)
    assert execution["Query"] == sql
    place = execution["ResultConfiguration"]["OutputLocation"]
    assert place == f"s3://{bucket}/athena/{execution['QueryExecutionId']}.csv"
    text = features.s3.get_object(Bucket=bucket, Key=place.removeprefix(f"s3://{bucket}/"))["Body"].read().decode()
    assert text.splitlines() == [
        '"customer","age","spend","visits","is_deleted","month"',
        '"1","41","2.5",,"false","01"',
        '"2",,,"7","false","02"',
        '"1",,,,"true","03"',
    ]


def test_functions_of_athena_are_understood(athena, bucket, table):
    [row] = rows(
        athena,
        bucket,
        f"""WITH alive AS (SELECT * FROM {table} WHERE NOT is_deleted)
        SELECT count(*), max(from_iso8601_timestamp(at)) >= from_unixtime(1769904000), approx_distinct(customer),
        date_diff('day', min(from_iso8601_timestamp(at)), max(from_iso8601_timestamp(at))),
        count_if(write_time > to_timestamp('2026-01-01 00:00:00', 'yyyy-mm-dd hh24:mi:ss')) FROM alive""",
    )
    assert row == ["2", "true", "2", "31", "2"]


def test_results_come_by_pages(athena, bucket):
    assert rows(athena, bucket, "SELECT * FROM UNNEST(ARRAY[1, 2, 3, 4]) AS t(x) ORDER BY x") == [
        [str(number)] for number in (1, 2, 3, 4)
    ]


def test_a_table_of_csv_is_created_read_and_dropped(athena, bucket, features):
    features.s3.put_object(Bucket=bucket, Key="csv-table/rows.csv", Body=b"1,one,2026-01-01T00:00:00Z\n2,two,\n")
    create = f"""CREATE EXTERNAL TABLE numbers (n INT, word STRING, at STRING)
    ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
    WITH SERDEPROPERTIES ("separatorChar" = ",", "quoteChar" = "`", "escapeChar" = "\\\\")
    LOCATION 's3://{bucket}/csv-table';"""
    assert run(athena, bucket, create)["Status"]["State"] == "SUCCEEDED"
    assert rows(athena, bucket, "SELECT word, n + 1 FROM numbers ORDER BY n DESC") == [["two", "3"], ["one", "2"]]
    assert run(athena, bucket, "DROP TABLE numbers")["Status"]["State"] == "SUCCEEDED"
    failed = run(athena, bucket, "SELECT * FROM numbers")
    assert failed["Status"]["State"] == "FAILED"
    assert "Table 'awsdatacatalog.default.numbers' does not exist" in failed["Status"]["StateChangeReason"]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT FROM WHERE", "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", "Only one sql statement"),
        ("INSERT INTO x VALUES (1)", "nothing else"),
        ("SELECT nothing FROM (SELECT 1 AS x) t", "nothing"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled|not exist"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled|not exist"),
    ],
)
def test_a_query_that_cannot_run_says_why(athena, bucket, sql, reason):
    status = run(athena, bucket, sql)["Status"]
    assert status["State"] == "FAILED"
    assert any(each in status["StateChangeReason"] for each in reason.split("|")), status


def test_a_running_query_is_stopped(athena, bucket):
    counted = (
        "SELECT count(*) FROM UNNEST(sequence(1, 4000000)) a(x), UNNEST(sequence(1, 4000000)) b(y) WHERE x * y = 7"
    )
    query = athena.start_query_execution(
        QueryString=counted, ResultConfiguration={"OutputLocation": f"s3://{bucket}/athena"}
    )["QueryExecutionId"]
    with pytest.raises(ClientError, match="has not yet finished"):
        athena.get_query_results(QueryExecutionId=query)
    athena.stop_query_execution(QueryExecutionId=query)
    execution = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]
    assert execution["Status"]["State"] == "CANCELLED"
    assert query in athena.list_query_executions()["QueryExecutionIds"]


def test_what_is_asked_wrongly_is_refused(athena):
    with pytest.raises(ClientError, match=r"InvalidRequestException.*No output location"):
        athena.start_query_execution(QueryString="SELECT 1")
    with pytest.raises(ClientError, match=r"InvalidRequestException.*was not found"):
        athena.get_query_execution(QueryExecutionId="nobody")


def test_names_without_a_database_are_of_the_current_one_and_common_tables_are_not_read():
    sql = "WITH a AS (SELECT * FROM Customers) SELECT * FROM a JOIN other.b ON a.x = b.x"
    statement = statements.parse(sql, "shop")
    assert sorted(statement.reads) == [("other", "b"), ("shop", "customers")]
    assert '"shop"."customers"' in statement.sql
    with pytest.raises(errors.AwsError, match="nothing else"):
        statements.parse("SHOW TABLES", "shop")
