"""Data capture: what endpoints were asked and answered, written to S3 as JSON lines about every second.

An invocation only adds itself to a list in memory; encoding and S3 are a thread's of its own.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, staging
from helpers.local_sagemaker.staging import Location

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
MAX_BUFFERED_BYTES = 64 * 2**20  # of all endpoints; what comes on top until the next flush is left out
MAX_OBJECT_BYTES = 16 * 2**20  # an object is closed when it has grown to this
RECORD_BYTES = 1024  # what a record takes besides its bodies
DEFAULT_CONTENT_TYPE = "application/octet-stream"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"


@dataclass(frozen=True)
class Capture:
    """How one variant's traffic is captured.

    Args:
        folder: where the variant's years begin.
        percentage: how many of 100 invocations are kept.
        modes: of `Input` and `Output`.
        encodings: CSV or JSON by media type; everything else is encoded in base64.
        encryption: members of PutObject.
    """

    folder: Location
    percentage: int
    modes: frozenset[str]
    encodings: Mapping[str, str]
    encryption: Mapping[str, str]

    def encoding(self, content_type: str) -> str:
        """CSV, JSON or BASE64."""
        return self.encodings.get(content_type.partition(";")[0].strip().lower(), "BASE64")


@dataclass(frozen=True, slots=True)
class Record:
    """One invocation and its answer; `moment` is in epoch seconds."""

    capture: Capture
    moment: float
    request_headers: Mapping[str, str]
    request: bytes
    response_headers: Mapping[str, str]
    response: bytes

    @property
    def size(self) -> int:
        """About how many bytes it holds in memory."""
        return len(self.request) + len(self.response) + RECORD_BYTES


def check(config: dict) -> None:
    """Raises AwsError when a DataCaptureConfig's destination is no place in S3."""
    try:
        staging.parse(config["DestinationS3Uri"])
    except staging.StagingError as error:
        raise errors.validation(f"DataCaptureConfig.DestinationS3Uri: {error}.") from error


def is_enabled(config: dict) -> bool:
    """Whether a DataCaptureConfig asks for records: it does unless it says otherwise."""
    return config.get("EnableCapture", True)


def capture(config: dict | None, endpoint: str, variant: str) -> Capture | None:
    """A variant's capture by an endpoint's DataCaptureConfig; None when nothing is to be captured."""
    if config is None or not is_enabled(config) or not config["InitialSamplingPercentage"]:
        return None
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    types = config.get("CaptureContentTypeHeader", {})
    encodings = {name.lower(): "JSON" for name in types.get("JsonContentTypes", [])}
    encodings |= {name.lower(): "CSV" for name in types.get("CsvContentTypes", [])}
    key = config.get("KmsKeyId")
    return Capture(
        folder=staging.parse(config["DestinationS3Uri"]).below(endpoint, variant),
        percentage=config["InitialSamplingPercentage"],
        modes=frozenset({"Input", "Output"} if "InputAndOutput" in modes else modes),
        encodings=encodings,
        encryption={"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {},
    )


def summary(config: dict | None) -> dict | None:
    """What DescribeEndpoint says about data capture; None when the endpoint's configuration does not mention it."""
    if config is None:
        return None
    return {
        "EnableCapture": is_enabled(config),
        "CaptureStatus": "Started" if is_enabled(config) else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


class DataCapture:
    """The records of all endpoints that are not in S3 yet, and the thread that brings them there."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._records: list[Record] = []
        self._bytes = 0
        self._left_out = 0
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="data-capture")
        self._thread.start()

    def record(
        self,
        how: Capture,
        request_headers: Mapping[str, str],
        request: bytes,
        response_headers: Mapping[str, str],
        response: bytes,
    ) -> None:
        """Keeps an invocation if it is drawn; called on the event loop."""
        if random.random() * 100 >= how.percentage:
            return
        record = Record(how, time.time(), request_headers, request, response_headers, response)
        with self._lock:
            if self._bytes + record.size > MAX_BUFFERED_BYTES:
                self._left_out += 1
            else:
                self._records.append(record)
                self._bytes += record.size
            nearly_full = self._bytes > MAX_BUFFERED_BYTES / 2
        if nearly_full:
            self._wake.set()

    def flush(self) -> None:
        """Writes to S3 what has been recorded before the call."""
        with self._flushing:
            with self._lock:
                records, self._records, self._bytes = self._records, [], 0
                left_out, self._left_out = self._left_out, 0
            if left_out:
                logger.warning("data capture left out %d invocations: they came faster than S3 took them", left_out)
            by_hour: defaultdict[tuple[int, str], list[Record]] = defaultdict(list)
            for record in records:
                by_hour[id(record.capture), _utc("%Y/%m/%d/%H", record.moment)].append(record)
            for (_, hour), together in by_hour.items():
                self._write(hour, together)

    def stop(self) -> None:
        """Writes what is left and stops."""
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self.flush()
        self.flush()

    def _write(self, hour: str, records: list[Record]) -> None:
        how, client = records[0].capture, self._server.client("s3")
        try:
            for moment, lines in _objects(records):
                name = f"{_utc('%M-%S', moment)}-{int(moment % 1 * 1000):03d}-{uuid.uuid4()}.jsonl"
                where = how.folder.below(hour, name)
                client.put_object(Bucket=where.bucket, Key=where.key, Body=lines, **how.encryption)
        except Exception:
            logger.exception("data capture lost records of %s", how.folder.below(hour))


def _objects(records: Iterable[Record]) -> Iterator[tuple[float, bytes]]:
    """The content of one object after the other, with the moment of its first record."""
    began, lines = None, bytearray()
    for record in records:
        began = record.moment if began is None else began
        lines += json.dumps(_event(record), separators=(",", ":")).encode() + b"\n"
        if len(lines) > MAX_OBJECT_BYTES:
            yield began, bytes(lines)
            began, lines = None, bytearray()
    if began is not None:
        yield began, bytes(lines)


def _event(record: Record) -> dict:
    """A line of a capture file."""
    data = {}
    if "Input" in record.capture.modes:
        data["endpointInput"] = _side("INPUT", record.capture, record.request_headers, record.request)
    if "Output" in record.capture.modes:
        data["endpointOutput"] = _side("OUTPUT", record.capture, record.response_headers, record.response)
    metadata: dict = {"eventId": str(uuid.uuid4()), "inferenceTime": _utc("%Y-%m-%dT%H:%M:%SZ", record.moment)}
    if INFERENCE_ID in record.request_headers:
        metadata["inferenceId"] = record.request_headers[INFERENCE_ID]
    both = (record.request_headers, record.response_headers)
    attributes = [headers[CUSTOM_ATTRIBUTES] for headers in both if CUSTOM_ATTRIBUTES in headers]
    if attributes:
        metadata["customAttributes"] = attributes
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def _side(mode: str, how: Capture, headers: Mapping[str, str], body: bytes) -> dict:
    content_type = headers.get("Content-Type", DEFAULT_CONTENT_TYPE)
    data, encoding = None, how.encoding(content_type)
    if encoding != "BASE64":
        try:
            data = body.decode()
        except UnicodeDecodeError:
            encoding = "BASE64"
    if data is None:
        data = base64.b64encode(body).decode()
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}


def _utc(layout: str, moment: float) -> str:
    return time.strftime(layout, time.gmtime(moment))


def start(server: Server) -> None:
    """Begins to write."""
    server.data_capture = DataCapture(server)


def stop(server: Server) -> None:
    """Writes what is left and stops."""
    server.data_capture.stop()
