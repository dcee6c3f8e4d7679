"""What a query asks for: translated from Athena's SQL by sqlglot, with the tables that it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors

if TYPE_CHECKING:
    from sqlglot import exp

# The patterns of Trino's to_timestamp, which are Teradata's, as those of strptime; longer ones first.
_TIME_PATTERNS = {"yyyy": "%Y", "hh24": "%H", "yy": "%y", "mm": "%m", "dd": "%d", "hh": "%I", "mi": "%M", "ss": "%S"}
_CSV_SERDE = "org.apache.hadoop.hive.serde2.OpenCSVSerde"


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        sql: of a query, as DuckDB understands it; None for one that changes tables.
        reads: database and name of the tables that a query reads.
        creates: database and TableInput of a table to be created.
        drops: database and name of a table to be dropped.
    """

    sql: str | None = None
    reads: list[tuple[str, str]] = field(default_factory=list)
    creates: tuple[str, dict] | None = None
    drops: tuple[str, str] | None = None


def parse(text: str, database: str) -> Statement:
    """The meaning of a query string.

    Args:
        text: one statement.
        database: of names without one.

    Raises:
        AwsError: `InvalidRequestException`; it cannot be read, or is of a kind that does not run here.
    """
    import sqlglot
    from sqlglot import exp

    try:
        found = [each for each in sqlglot.parse(text, read="athena") if each is not None]
    except sqlglot.errors.SqlglotError as error:
        raise _invalid(f"SYNTAX_ERROR: {str(error).splitlines()[0]}") from error
    if len(found) != 1:
        raise _invalid("Only one sql statement is allowed.")
    statement = found[0]
    if isinstance(statement, exp.Query):
        return _query(statement, database)
    if isinstance(statement, exp.Create) and statement.kind == "TABLE" and isinstance(statement.this, exp.Schema):
        return Statement(creates=_created(statement, database))
    if isinstance(statement, exp.Drop) and statement.kind == "TABLE":
        return Statement(drops=_named(statement.args["tables"][0], database))
    raise _invalid("The local Athena runs SELECT, CREATE EXTERNAL TABLE and DROP TABLE, and nothing else.")


def duckdb_type(hive: str) -> str:
    """A type of a Glue table as DuckDB calls it, such as `array<bigint>`."""
    from sqlglot import exp

    return exp.DataType.build(hive, dialect="hive").sql("duckdb")


def _query(statement: exp.Query, database: str) -> Statement:
    from sqlglot import exp

    own = {each.alias.lower() for each in statement.find_all(exp.CTE)}
    reads: dict[tuple[str, str], None] = {}
    for table in statement.find_all(exp.Table):
        if not table.name or (not table.db and table.name.lower() in own):
            continue
        schema, name = _named(table, database)
        reads[schema, name] = None
        table.set("catalog", None)
        table.set("db", exp.to_identifier(schema, quoted=True))
        table.set("this", exp.to_identifier(name, quoted=True))
    for call in list(statement.find_all(exp.Anonymous)):
        if call.name.lower() == "to_timestamp" and len(call.expressions) == 2:
            moment, form = call.expressions
            call.replace(exp.func("strptime", moment, exp.Literal.string(_time_pattern(form.name)), dialect="duckdb"))
    return Statement(statement.sql("duckdb"), list(reads))


def _time_pattern(form: str) -> str:
    for pattern, ours in _TIME_PATTERNS.items():
        form = form.replace(pattern, ours)
    return form


def _named(table: exp.Table, database: str) -> tuple[str, str]:
    """Database and name; Glue has them in lower case."""
    return (table.db or database).lower(), table.name.lower()


def _created(statement: exp.Create, database: str) -> tuple[str, dict]:
    """What Glue is told of a table of comma-separated values."""
    from sqlglot import exp

    location = statement.find(exp.LocationProperty)
    serde = statement.find(exp.RowFormatSerdeProperty)
    if location is None or serde is None or serde.name != _CSV_SERDE:
        raise _invalid(f"The local Athena creates external tables with a LOCATION and the SERDE {_CSV_SERDE}.")
    schema, name = _named(statement.this.this, database)
    columns = [{"Name": column.name, "Type": column.kind.sql("hive").lower()} for column in statement.this.expressions]
    given = serde.args.get("serde_properties")
    parameters = {each.name: each.args["value"].name for each in given.expressions} if given else {}
    return schema, {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "StorageDescriptor": {
            "Columns": columns,
            "Location": location.name,
            "SerdeInfo": {"SerializationLibrary": _CSV_SERDE, "Parameters": parameters},
        },
    }


def _invalid(message: str) -> errors.AwsError:
    return errors.AwsError("InvalidRequestException", message)
