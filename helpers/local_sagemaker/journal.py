"""The journal of what other services were told: moto forgets at `kill -9`, the journal tells it again."""

from __future__ import annotations

import html
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, unquote

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.state import Store

# Larger bodies are files beside the database.
LARGEST_INLINE_BODY = 65536
_READS = re.compile(
    r"(Describe|Get|List|Head|Filter|Search|Lookup|Query|Scan|Select|Simulate|Test|Check|Validate|BatchGet|Preview|"
    r"Estimate|StartLiveTail)"
)
_UNKEPT_HEADERS = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "expect", "transfer-encoding", "user-agent")
)


@dataclass(frozen=True)
class Call:
    """One HTTP request to a service.

    Args:
        method: such as `PUT`.
        url: path and query as they came over the wire.
        headers: names as they came over the wire, and values.
        body: all of it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of this name, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def path(self) -> str:
        """The path, percent-encoded."""
        return self.url.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; a bare one has an empty value."""
        parameters = parse_qs(self.url.partition("?")[2], keep_blank_values=True)
        return {name: values[0] for name, values in parameters.items()}

    @cached_property
    def scope(self) -> str:
        """Region and service of the signature, such as `us-east-1/s3`; unsigned requests are S3's."""
        signature = self.header("authorization") or unquote(self.query.get("X-Amz-Credential", ""))
        parts = signature.partition(",")[0].split("/")
        return "/".join(parts[-3:-1]) if len(parts) >= 5 else "us-east-1/s3"

    @property
    def service(self) -> str:
        """The signature's service, such as `s3`."""
        return self.scope.partition("/")[2]

    @cached_property
    def operation(self) -> str:
        """The operation's name where the protocol carries one, else an empty string (REST)."""
        target = self.header("x-amz-target")
        if target:
            return target.rpartition(".")[2]
        rpc = re.search(r"/service/\w+/operation/(\w+)$", self.path)
        if rpc:
            return rpc[1]
        if "x-www-form-urlencoded" in self.header("content-type") and self.service != "s3":
            return parse_qs(self.body.decode(errors="replace")).get("Action", [""])[0]
        return self.query.get("Action", "")

    @property
    def is_read(self) -> bool:
        """Whether the request leaves the service as it was."""
        if self.operation:
            return bool(_READS.match(self.operation))
        return self.method in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class _Place:
    """What an S3 call is about.

    Args:
        slot: `bucket` or `bucket/key`.
        upload: the id of a multipart upload.
        upload_over: the call completes or aborts that upload.
    """

    slot: str | None = None
    upload: str | None = None
    upload_over: bool = False


class Journal:
    """The calls that changed a service, in order, each with the seed and the time that it was answered with."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        folder.mkdir(exist_ok=True)
        store.execute(_FORGET_METRICS)
        self._versioned = {
            slot for (slot,) in store.execute("SELECT DISTINCT slot FROM journal WHERE url LIKE '%?versioning%'")
        }
        self._delete_orphans()

    def scopes(self) -> set[str]:
        """The scopes that have been called."""
        return {scope for (scope,) in self._store.execute("SELECT DISTINCT service FROM journal")}

    def write(self, call: Call, seed: int, moment: float, answer: bytes) -> None:
        """Keeps a call that succeeded; what it makes superfluous is dropped.

        Args:
            call: the request.
            seed: of moto's random numbers.
            moment: epoch seconds.
            answer: the response's body, which names a new multipart upload.
        """
        place = _s3_place(call, answer) if call.service == "s3" else _Place()
        body, body_file = call.body, None
        if len(body) > LARGEST_INLINE_BODY:
            body_file = self._keep(body)
            body = None
        kept = [(name, value) for name, value in call.headers if name.lower() not in _UNKEPT_HEADERS]
        copy_source = unquote(call.header("x-amz-copy-source")).lstrip("/").partition("?")[0] or None
        with self._store.transaction() as connection:
            row = connection.execute(
                "INSERT INTO journal (service, time, seed, method, url, headers, body, body_file, slot, upload,"
                " upload_over, copy_source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(call.scope, moment, seed, call.method, call.url, json.dumps(kept), body, body_file),
                    *(place.slot, place.upload, place.upload_over, copy_source),
                ),
            ).lastrowid
            superfluous = self._superfluous(call, place, row)
            connection.executemany("DELETE FROM journal WHERE id = ?", [(row,) for row, _ in superfluous])
        if place.slot and "versioning" in call.query:
            self._versioned.add(place.slot)
        for _, file in superfluous:
            if file:
                (self._folder / file).unlink(missing_ok=True)

    def _keep(self, body: bytes) -> str:
        """Writes a body to a file of its own; returns its name."""
        path = self._folder / uuid.uuid4().hex
        try:
            path.write_bytes(body)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path.name

    def calls(self) -> Iterator[tuple[Call, int, float]]:
        """All calls in order, each with its seed and time."""
        last = 0
        while rows := self._store.execute(_AFTER, (last,)):
            for _, seed, moment, body_file, inline_body, method, url, headers in rows:
                body = (self._folder / body_file).read_bytes() if body_file else inline_body
                yield Call(method, url, tuple(map(tuple, json.loads(headers))), body), seed, moment
            last = rows[-1][0]

    def _superfluous(self, call: Call, place: _Place, row: int) -> list[tuple[int, str | None]]:
        """The calls that a new one on an S3 object leaves without effect, as ids and body files."""
        if place.upload_over and call.method == "DELETE":
            return self._store.execute("SELECT id, body_file FROM journal WHERE upload = ?", (place.upload,))
        found = []
        for slot in _replaced_slots(call, place):
            if slot.partition("/")[0] not in self._versioned:
                found += self._store.execute(_SUPERSEDED, {"slot": slot, "upload": place.upload, "row": row})
        return found

    def _delete_orphans(self) -> None:
        """Bodies whose call was not written: the server was killed in between, nobody was told that it succeeded.

        Raises:
            AwsError: a body is missing whose call was written.
        """
        known = {file for (file,) in self._store.execute("SELECT body_file FROM journal WHERE body_file IS NOT NULL")}
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink()
            known.discard(path.name)
        if known:
            raise errors.AwsError("InternalFailure", self._damaged(len(known)), 500)

    def _damaged(self, missing: int) -> str:
        return (
            f"{missing} files are missing in {self._folder}, which holds what S3 was given. Bring them back from a "
            "backup, or start over with an empty home: helpers.local_sagemaker.reset() deletes it with all it holds."
        )


_AFTER = "SELECT id, seed, time, body_file, body, method, url, headers FROM journal WHERE id > ? ORDER BY id LIMIT 100"

# Metric data have a place of their own; an older server kept them here.
_FORGET_METRICS = """
DELETE FROM journal WHERE service LIKE '%/monitoring'
AND (headers LIKE '%.PutMetricData"%' OR url LIKE '%/operation/PutMetricData')
"""

# A part of an open upload stays, and so does what was copied elsewhere.
_SUPERSEDED = """
SELECT id, body_file FROM journal AS earlier
WHERE slot = :slot AND id < :row AND (:upload IS NULL OR upload IS NOT :upload)
AND (upload IS NULL OR EXISTS (SELECT 1 FROM journal WHERE upload = earlier.upload AND upload_over))
AND NOT EXISTS (SELECT 1 FROM journal WHERE copy_source = :slot AND id > earlier.id)
"""


def _s3_place(call: Call, answer: bytes) -> _Place:
    host = re.fullmatch(r"(.+)\.s3[.-].*", call.header("host"))
    path = unquote(call.path).lstrip("/")
    bucket, _, key = f"{host[1]}/{path}".partition("/") if host else path.partition("/")
    upload = call.query.get("uploadId")
    is_over = upload is not None and call.method in ("POST", "DELETE")
    if call.method == "POST" and "uploads" in call.query:
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", answer)
        upload = found[1].decode() if found else None
    return _Place(f"{bucket}/{key}" if key else bucket, upload, is_over)


def _replaced_slots(call: Call, place: _Place) -> list[str]:
    """The S3 objects that a call replaces or deletes as a whole."""
    if place.slot is None:
        return []
    if call.method == "POST" and "delete" in call.query:
        return [f"{place.slot}/{key}" for key in _deleted_keys(call.body)]
    is_plain = call.method in ("PUT", "DELETE") and not call.query.keys() - {"x-id"}
    return [place.slot] if "/" in place.slot and (is_plain or place.upload_over) else []


def _deleted_keys(body: bytes) -> list[str]:
    return [html.unescape(key) for key in re.findall(r"<Key>([^<]*)</Key>", body.decode(errors="replace"))]
