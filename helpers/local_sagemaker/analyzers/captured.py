"""Reads what endpoints and batch transform jobs captured: a JSON line for each request and its answer."""

from __future__ import annotations

import base64
import csv
import importlib.util
import inspect
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from . import captured_columns, datasets
from .job import DataError

if TYPE_CHECKING:
    import pyarrow as pa

OUTPUT, INPUT = "endpointOutput", "endpointInput"


@dataclass(frozen=True)
class Event:
    """A captured request.

    Attributes:
        sides: endpointInput and endpointOutput, as far as they were captured.
        metadata: eventMetadata.
        ground_truth: groundTruthData of a merged event.
        line: the whole line.
    """

    sides: dict[str, dict]
    metadata: dict
    ground_truth: dict | None
    line: dict

    @property
    def ids(self) -> list[str]:
        """What ground truth may name it by: the inference id of the client first."""
        return [self.metadata[key] for key in ("inferenceId", "eventId") if key in self.metadata]


def events(source: Path) -> Iterator[Event]:
    """All events, in the order of the files and lines.

    Raises:
        DataError: there are none, or a line is not one.
    """
    for path in datasets.files(source):
        with path.open() as file:
            for number, text in enumerate(filter(str.strip, file), 1):
                try:
                    line = json.loads(text)
                    yield Event(line["captureData"], line["eventMetadata"], line.get("groundTruthData"), line)
                except (ValueError, KeyError, TypeError) as error:
                    raise DataError(f"{path.name}, line {number} is no captured event: {error!r}") from error


def read(source: Path, options: dict, names: list[str], preprocessor: Path | None = None) -> pa.Table:
    """The columns of captured data: those of the answers first, then those of the requests.

    Columns of CSV have no names of their own: they get the names of the baseline's columns at their place.

    Args:
        source: the folder of capture files.
        options: captureindexnames (which sides count) and output_columns_position (START or END).
        names: of the baseline's columns.
        preprocessor: a script with a `preprocess_handler(inference_record)` or
            `preprocess_handler(inference_record, logger)` that returns a row, or a list of rows.

    Raises:
        DataError: something cannot be read.
    """
    import pyarrow as pa

    wanted = options.get("captureindexnames") or [INPUT, OUTPUT]
    sides = [side for side in (OUTPUT, INPUT) if side in wanted]
    if str(options.get("output_columns_position", "START")).upper() == "END":
        sides.reverse()
    if preprocessor:
        handler = _handler(preprocessor)
        rows = [_placed(row) for event in events(source) for row in handler(event)]
        return _named(_of_rows(rows), names)
    if (lines := captured_columns.csv_lines(datasets.files(source), sides)) is not None:
        return _named(datasets.from_text(lines), names)
    found = list(events(source))
    if all(event.sides.get(side, {}).get("encoding") == "CSV" for event in found for side in sides):
        text = "\n".join(line for event in found for line in _joined(event, sides))
        return _named(datasets.from_text(pa.py_buffer(text.encode())), names)
    return _named(_of_rows([row for event in found for row in _rows(event, sides)]), names)


def values(side: dict) -> list:
    """The records of one side: dicts where they have names, lists where they have not.

    Raises:
        DataError: it is neither CSV nor JSON.
    """
    data, encoding = side["data"], side["encoding"]
    if encoding == "BASE64":
        kind = side.get("observedContentType", "").partition(";")[0].strip().lower()
        encoding = "CSV" if kind.endswith("csv") else "JSON" if "json" in kind else encoding
        data = base64.b64decode(data).decode(errors="replace")
    if encoding == "CSV":
        return [row for row in csv.reader(io.StringIO(data)) if row]
    if encoding != "JSON":
        raise DataError(f"Captured data of content type {side.get('observedContentType')} is neither CSV nor JSON.")
    try:
        content = json.loads(data)
    except ValueError:
        content = [json.loads(line) for line in data.splitlines() if line.strip()]
    if isinstance(content, list) and content and all(isinstance(row, dict | list) for row in content):
        return content
    return [content if isinstance(content, dict | list) else [content]]


def _of_rows(rows: list[dict]) -> pa.Table:
    if not rows:
        raise DataError("There are no captured records to analyse.")
    return datasets.from_rows(rows)


def load_script(path: Path) -> ModuleType:
    """A script of the user, imported."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _joined(event: Event, sides: list[str]) -> list[str]:
    """The CSV lines of an event, the sides beside each other; a batch has a line for each record."""
    lines = [event.sides[side]["data"].strip("\r\n").splitlines() for side in sides]
    for index, side in enumerate(sides):
        if side == OUTPUT:
            lines[index] = _spread(lines[index], max(map(len, lines)))
    _same_length(event, lines)
    return [",".join(parts) for parts in zip(*lines, strict=True)]


def _spread(answers: list[str], records: int) -> list[str]:
    """Scores of many records that a container answered in one line, such as XGBoost's."""
    if len(answers) == 1 and records > 1:
        parts = answers[0].split(",")
        return parts if len(parts) == records else answers
    return answers


def _rows(event: Event, sides: list[str]) -> list[dict]:
    records = [values(event.sides[side]) for side in sides if side in event.sides]
    if len(records) == 2 and len(records[0]) != len(records[1]) and [len(records[0]), len(records[1])].count(1) == 1:
        # A batch whose answers are one list.
        records = [each[0] if len(each) == 1 and isinstance(each[0], list) else each for each in records]
        records = [[row if isinstance(row, dict | list) else [row] for row in each] for each in records]
    _same_length(event, records)
    rows = []
    for parts in zip(*records, strict=True):
        row: dict = {}
        for part in parts:
            leaves = datasets.flat(part)
            row |= (
                leaves if isinstance(part, dict) else {_place(len(row) + i): v for i, v in enumerate(leaves.values())}
            )
        rows.append(row)
    return rows


def _same_length(event: Event, records: list[list]) -> None:
    if len({len(each) for each in records}) > 1:
        counts = " and ".join(str(len(each)) for each in records)
        raise DataError(f"The sides of event {event.metadata.get('eventId')} have {counts} records.")


def _place(index: int) -> str:
    return f"_c{index}"


def _named(table: pa.Table, names: list[str]) -> pa.Table:
    """Columns without a name of their own get the baseline's at their place."""
    named = [
        names[index] if name == _place(index) and index < len(names) else name
        for index, name in enumerate(table.column_names)
    ]
    return table.rename_columns(named)


def _placed(row: dict) -> dict:
    """A row whose names only count its columns, as AWS's own example of a preprocessor makes it."""
    if row and all(str(name).isdigit() for name in row):
        return {_place(index): row[name] for index, name in enumerate(sorted(row))}
    return row


def _handler(script: Path) -> Callable[[Event], list[dict]]:
    handle = load_script(script).preprocess_handler
    extra = [logging.getLogger(script.stem)] if len(inspect.signature(handle).parameters) > 1 else []

    def rows(event: Event) -> list[dict]:
        result = handle(_record(event), *extra)
        return [] if result is None else [result] if isinstance(result, dict) else list(result)

    return rows


def _record(event: Event) -> SimpleNamespace:
    """What a preprocessor gets of an event, by the names of the developer guide."""

    def side(name: str) -> SimpleNamespace | None:
        members = event.sides.get(name)
        if members is None:
            return None
        return SimpleNamespace(
            data=members["data"],
            encoding=members["encoding"],
            mode=members.get("mode"),
            observed_content_type=members.get("observedContentType"),
        )

    metadata = SimpleNamespace(
        event_id=event.metadata.get("eventId"),
        inference_id=event.metadata.get("inferenceId"),
        inference_time=event.metadata.get("inferenceTime"),
        custom_attributes=event.metadata.get("customAttributes"),
    )
    return SimpleNamespace(endpoint_input=side(INPUT), endpoint_output=side(OUTPUT), event_metadata=metadata)
