"""Runs one query in a process of its own: `python run_query.py <folder>`.

The folder has `job.json`: the SQL, and the tables with their files and columns. `result.csv` and `columns.json` are
left there, or `error.txt`. The query sees these tables and nothing else of this machine.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import duckdb

_LIMITS = {"memory_limit": "1GB", "threads": 2}


def main(folder: Path) -> int:
    """Runs the query; returns the exit code."""
    job = json.loads((folder / "job.json").read_text())
    connection = duckdb.connect(config=_LIMITS | {"temp_directory": str(folder / "spilled")})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        for table in job["tables"]:
            _load(connection, table)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        result = connection.execute(job["sql"])
        columns = [{"Name": name, "Type": str(kind).lower()} for name, kind, *_ in result.description]
        with (folder / "result.csv").open("w", newline="") as file:
            file.write(_line([column["Name"] for column in columns]))
            while rows := result.fetchmany(10_000):
                file.writelines(map(_line, rows))
    except duckdb.Error as error:
        (folder / "error.txt").write_text(str(error))
        return 1
    (folder / "columns.json").write_text(json.dumps(columns))
    return 0


def _load(connection: duckdb.DuckDBPyConnection, table: dict) -> None:
    """Makes a table of its files, with the columns that Glue knows; those that a file lacks are null."""
    name = f"{_quoted(table['schema'])}.{_quoted(table['name'])}"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(table['schema'])}")
    wanted = table["columns"]
    if not table["files"]:
        columns = ", ".join(f"{_quoted(column)} {kind}" for column, kind in wanted.items())
        connection.execute(f"CREATE TABLE {name} ({columns})")
        return
    files = f"[{', '.join(map(_literal, table['files']))}]"
    if "csv" in table:
        columns = ", ".join(f"{_literal(column)}: {_literal(kind)}" for column, kind in wanted.items())
        options = ", ".join(f"{option} = {_literal(value)}" for option, value in table["csv"].items())
        source = f"read_csv({files}, header = false, auto_detect = false, columns = {{{columns}}}, {options})"
    else:
        source = f"read_parquet({files}, union_by_name = true, hive_partitioning = true)"
    relation = connection.sql(f"SELECT * FROM {source}")  # noqa: S608 - all names are quoted
    there = {column.lower() for column in relation.columns}
    selected = ", ".join(
        f"{_quoted(column) if column.lower() in there else 'NULL'}::{kind} AS {_quoted(column)}"
        for column, kind in wanted.items()
    )
    relation.project(selected).create(name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _line(values: tuple | list) -> str:
    """A line of Athena's results: everything is quoted but null."""
    return ",".join("" if value is None else _quoted(_text(value)) for value in values) + "\n"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}" + " UTC" * bool(value.tzinfo)
    if isinstance(value, list):
        return "[" + ", ".join("null" if each is None else _text(each) for each in value) + "]"
    return str(value)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
