"""The records of a batch transform job: split off a file, filtered, joined with the model's answer, assembled."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.local_sagemaker import errors, json_paths

MEGABYTE = 1024 * 1024
_CSV, _JSON, _JSON_LINES = "text/csv", "application/json", "application/jsonlines"
_ASSOCIABLE = (_CSV, _JSON, _JSON_LINES)
_NOT_RUNNING = ("RecordIO", "TFRecord")


class RecordError(Exception):
    """A record that cannot be transformed; its file fails, and the message says why.

    Args:
        message: what was wrong.
        side: whose fault it is, the first word of the FailureReason: ClientError or AlgorithmError.
    """

    def __init__(self, message: str, side: str = "ClientError") -> None:
        super().__init__(message)
        self.side = side


def check(request: dict) -> None:
    """Checks how a CreateTransformJob request splits and associates records.

    Raises:
        AwsError: `ValidationException`; a filter is no JSONPath of the supported kind, the formats cannot be
            associated, or the local SageMaker cannot split this way.
    """
    source = request["TransformInput"]
    if source.get("SplitType") in _NOT_RUNNING:
        raise errors.validation(
            f"SplitType {source['SplitType']} is not available in the local SageMaker; use Line or None."
        )
    processing = request.get("DataProcessing", {})
    for member in ("InputFilter", "OutputFilter"):
        try:
            json_paths.steps(processing.get(member, "$"))
        except json_paths.JsonPathError as error:
            raise errors.validation(f"Invalid {member}: {error}.") from error
    kinds = {"ContentType": source.get("ContentType"), "Accept": request["TransformOutput"].get("Accept")}
    needed = ["ContentType"] if _filters(processing, "InputFilter") or _joins(processing) else []
    needed += ["Accept"] if kinds["Accept"] and (_filters(processing, "OutputFilter") or _joins(processing)) else []
    for member in needed:
        if _media_type(kinds[member]) not in _ASSOCIABLE:
            raise errors.validation(
                f"DataProcessing needs a {member} of {', '.join(_ASSOCIABLE)}, got {kinds[member] or 'none'}."
            )
    if "Accept" in needed and _joins(processing) and len({_media_type(kind) == _CSV for kind in kinds.values()}) > 1:
        raise errors.validation(
            f"JoinSource Input joins CSV with CSV and JSON with JSON: ContentType is {kinds['ContentType']}, Accept is "
            f"{kinds['Accept']}."
        )


def _filters(processing: dict, member: str) -> bool:
    return processing.get(member, "$") not in ("", "$")


def _joins(processing: dict) -> bool:
    return processing.get("JoinSource") == "Input"


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


class Records:
    """How one job turns files into requests, and answers into output.

    Args:
        record: the job's record.
        strategy: MultiRecord or SingleRecord.
        max_bytes: of a request; 0 sets no limit.
    """

    def __init__(self, record: dict, strategy: str, max_bytes: int) -> None:
        source, target = record["TransformInput"], record["TransformOutput"]
        processing = record.get("DataProcessing", {})
        self._split = source.get("SplitType", "None") == "Line"
        self._gzip = source.get("CompressionType") == "Gzip"
        self._most_records = 1 if strategy == "SingleRecord" else None
        self._max_bytes = max_bytes
        self._input_type = _media_type(source.get("ContentType"))
        self._output_type = _media_type(target.get("Accept"))
        self._input_filter = processing["InputFilter"] if _filters(processing, "InputFilter") else None
        self._output_filter = processing.get("OutputFilter") or "$"
        self._join = _joins(processing)
        self._associates = self._join or _filters(processing, "OutputFilter")
        self._ends_lines = target.get("AssembleWith") == "Line"

    def requests(self, path: Path) -> Iterator[list[bytes]]:
        """The records of a file, request by request, in their order.

        Raises:
            RecordError: the file is no gzip file, or a record is longer than a request may be.
        """
        try:
            with gzip.open(path) if self._gzip else path.open("rb") as file:
                yield from self._lines(file) if self._split else self._whole(file)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise RecordError(f"CompressionType is Gzip, and the object cannot be decompressed: {error}") from error

    def _whole(self, file: Any) -> Iterator[list[bytes]]:
        content = file.read()
        self._require_room(len(content))
        by_line = self._input_type in (_CSV, _JSON_LINES) and (self._associates or self._input_filter)
        yield _lines_of(content) if by_line else [content]

    def _lines(self, file: Any) -> Iterator[list[bytes]]:
        records: list[bytes] = []
        size = 0
        for line in file:
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            self._require_room(len(record))
            full = len(records) == self._most_records or 0 < self._max_bytes < size + len(record) + 1
            if records and full:
                yield records
                records, size = [], 0
            records.append(record)
            size += len(record) + 1
        if records:
            yield records

    def _require_room(self, size: int) -> None:
        if 0 < self._max_bytes < size:
            raise RecordError(
                f"Too much data for max payload size: {size} bytes, MaxPayloadInMB is {self._max_bytes // MEGABYTE}"
            )

    def payload(self, records: list[bytes]) -> bytes:
        """The body of a request.

        Raises:
            RecordError: the filter does not apply to a record.
        """
        if self._input_filter:
            records = [self._apply("InputFilter", self._input_filter, self._input_type, r) for r in records]
        return b"\n".join(records)

    def _apply(self, name: str, path: str, kind: str, record: bytes) -> bytes:
        return _dump(kind, _filtered(name, path, _load(kind, record)))

    def output(self, records: list[bytes], answer: bytes, content_type: str) -> bytes:
        """What an answer adds to the output file.

        Args:
            records: the request's records, as they were before the filter.
            answer: the body of the answer.
            content_type: its media type, which counts where the job has no Accept.

        Raises:
            RecordError: the answer cannot be associated with the records.
        """
        if self._associates:
            answer = self._associated(records, answer, self._output_type or _media_type(content_type))
        return answer + b"\n" if self._ends_lines and not answer.endswith(b"\n") else answer

    def _associated(self, records: list[bytes], answer: bytes, kind: str) -> bytes:
        if kind not in _ASSOCIABLE or (self._join and (kind == _CSV) != (self._input_type == _CSV)):
            raise RecordError(f"an answer of {kind or 'no content type'} cannot be associated with {self._input_type}")
        whole = kind == _JSON and len(records) == 1
        answers = [answer] if whole else _lines_of(answer)
        if len(answers) != len(records) and self._join:
            raise RecordError(f"the model answered {len(answers)} records to {len(records)}: they cannot be joined")
        documents = [_load(kind, item) for item in answers]
        if self._join:
            inputs = [_load(self._input_type, record) for record in records]
            documents = [_joined(kind, *pair) for pair in zip(inputs, documents, strict=True)]
        found = [_dump(kind, _filtered("OutputFilter", self._output_filter, document)) for document in documents]
        return b"\n".join(found) + (b"\n" if answer.endswith(b"\n") else b"")


def _lines_of(content: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in content.removesuffix(b"\n").split(b"\n")]


def _joined(kind: str, source: Any, answer: Any) -> Any:
    if kind == _CSV:
        return source + answer
    return (source if isinstance(source, dict) else {"SageMakerInput": source}) | {"SageMakerOutput": answer}


def _filtered(name: str, path: str, document: Any) -> Any:
    try:
        return json_paths.select(path, document)
    except json_paths.JsonPathError as error:
        raise RecordError(f"{name} {path} does not apply to a record: {error}") from error


def _load(kind: str, record: bytes) -> Any:
    """A CSV row as the list of its fields, or a JSON document."""
    try:
        text = record.decode()
        return next(csv.reader([text]), []) if kind == _CSV else json.loads(text)
    except (ValueError, csv.Error) as error:
        raise RecordError(f"a record is not {kind}: {error}") from error


def _dump(kind: str, document: Any) -> bytes:
    if kind != _CSV:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(document if isinstance(document, list) else [document])
    return text.getvalue().encode()
