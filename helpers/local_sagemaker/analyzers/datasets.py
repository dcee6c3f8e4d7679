"""Reads CSV, JSON, JSON lines, Parquet and captured data into columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .job import DataError

if TYPE_CHECKING:
    import pyarrow as pa

CAPTURED = "sagemakercapturejson"
_BLOCK_BYTES = 16 * 2**20  # a record must fit into one
_MARKERS = ("_", ".")  # files that Spark and others leave beside the data


def files(source: Path) -> list[Path]:
    """The files of data, in the order of their names.

    Raises:
        DataError: there are none.
    """
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    found = [path for path in paths if not path.name.startswith(_MARKERS) and path.stat().st_size]
    if not found:
        raise DataError(f"There is no data under {source}.")
    return found


def read(source: Path, data_format: dict) -> pa.Table:
    """All rows as columns; text is not interpreted yet.

    Args:
        source: a file or a folder.
        data_format: `{"csv": {"header": bool}}`, `{"json": {"lines": bool}}` or `{"parquet": {}}`.

    Raises:
        DataError: the data is not in this format.
    """
    import pyarrow as pa

    readers = {"csv": _read_csv, "json": _read_json, "parquet": _read_parquet}
    [name] = [name for name in readers if name in data_format] or [None]
    if name is None:
        raise DataError(f"Dataset format {json.dumps(data_format)} is none of csv, json, parquet.")
    tables = []
    for path in files(source):
        try:
            tables.append(readers[name](path, data_format[name] or {}))
        except (pa.ArrowException, ValueError) as error:
            raise DataError(f"{path.name} cannot be read as {name}: {error}") from error
    return pa.concat_tables(tables, promote_options="permissive" if name == "parquet" else "default")


def from_text(lines: pa.Buffer) -> pa.Table:
    """The columns of CSV without a header, counted from `_c0`.

    Raises:
        DataError: the lines have not the same number of values.
    """
    import pyarrow as pa

    try:
        return _parse_csv(pa.BufferReader(lines), has_header=False)
    except pa.ArrowException as error:
        raise DataError(f"Captured CSV data cannot be read: {error}") from error


def from_rows(rows: Iterable[dict]) -> pa.Table:
    """The columns of rows whose values are of any kind; what a row lacks is missing."""
    import pyarrow as pa

    rows = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([text(row.get(name)) for row in rows], pa.string()) for name in names})


def flat(value: object, name: str = "") -> dict[str, object]:
    """The values of a nested structure by their ways, such as `customer.age` and `items.0`."""
    if isinstance(value, dict):
        members: Iterator = iter(value.items())
    elif isinstance(value, list):
        members = iter(enumerate(value))
    else:
        return {name: value}
    before = f"{name}." if name else ""
    return {way: leaf for key, member in members for way, leaf in flat(member, f"{before}{key}").items()}


def text(value: object) -> str | None:
    """A value of JSON as the text of a column."""
    if value is None or value != value:
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _read_csv(path: Path, options: dict) -> pa.Table:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return _parse_csv(source, has_header=options.get("header", True))


def _parse_csv(source: pa.NativeFile, has_header: bool) -> pa.Table:
    """Every column is text: what kind of values a column has is decided by all of them."""
    import pyarrow as pa
    from pyarrow import csv

    read = csv.ReadOptions(autogenerate_column_names=not has_header, block_size=_BLOCK_BYTES)
    # The first lines tell the names: pyarrow guesses the types of columns that it is not told of.
    beginning = csv.read_csv(pa.BufferReader(_first_line(source)), read_options=read)
    columns = dict.fromkeys(beginning.column_names, pa.string())
    convert = csv.ConvertOptions(column_types=columns, strings_can_be_null=True)
    table = csv.read_csv(source, read_options=read, convert_options=convert)
    return table if has_header else table.rename_columns([f"_c{index}" for index in range(table.num_columns)])


def _first_line(source: pa.NativeFile) -> bytes:
    line = bytearray()
    while b"\n" not in line and (more := source.read(4096)):
        line += more
    source.seek(0)
    return bytes(line.partition(b"\n")[0]) + b"\n"


def _read_json(path: Path, options: dict) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    if options.get("lines", options.get("line", True)):
        try:
            table = arrow_json.read_json(path)
            while any(pa.types.is_struct(column.type) for column in table.columns):
                table = table.flatten()
            return table
        except pa.ArrowInvalid:  # a member has values of several kinds
            with path.open() as file:
                return from_rows(json.loads(line) for line in file if line.strip())
    content = json.loads(path.read_text())
    return from_rows(content if isinstance(content, list) else [content])


def _read_parquet(path: Path, _options: dict) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(path)
