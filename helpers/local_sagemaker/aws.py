"""Every AWS service but SageMaker: moto, in this process, with a journal that outlives it."""

from __future__ import annotations

import asyncio
import functools
import gc
import io
import json
import logging
import os
import re
import secrets
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlencode

from aiohttp import web

from helpers.local_sagemaker import arns, clock, cloudwatch, disk_space, errors, log_events, shims
from helpers.local_sagemaker.events import scheduler
from helpers.local_sagemaker.journal import Call, Journal

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

# Read by moto when it is imported.
MOTO_SETTINGS = {
    "MOTO_ACCOUNT_ID": arns.ACCOUNT,
    "MOTO_DISABLE_GLOBAL_CORS": "1",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(64 * 1024),
}
POLL_SECONDS = 0.1
_REGION = re.compile(r"(Credential=[^/]*/\d{8}/)[a-z0-9-]+(/(?!s3/)[a-z0-9-]+/aws4_request)")
_HOP_BY_HOP = frozenset(("connection", "transfer-encoding", "keep-alive", "expect"))


@dataclass(frozen=True)
class Answer:
    """One HTTP response of a service."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Aws:
    """moto behind one thread: its backends, its seed and its clock are made for one caller at a time."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="moto")
        self._loaded = False
        # A change that moto made and the journal could not take, for the disk was full: the next one comes after it.
        self._unwritten: list[tuple[Call, int, float, bytes]] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answers a request to a service that is not SageMaker; a change is on disk when it returns."""
        call = _call(request, await request.content.read())
        response = _response(await self._wait_for(*shims.without_waiting(call)))
        if "Sec-Fetch-Mode" in request.headers:  # of a browser: a page that somebody stored must not have our origin
            response.headers["Content-Security-Policy"] = "sandbox"
        return response

    async def _wait_for(self, call: Call, seconds: float) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            answer = await loop.run_in_executor(self._thread, self.answer, call)
            if loop.time() >= deadline or answer.status >= 400 or not shims.received_nothing(call, answer):
                return answer
            await asyncio.sleep(POLL_SECONDS)

    def answer(self, call: Call) -> Answer:
        """Answers a call; runs in the thread of moto only."""
        try:
            if call.service == "sagemaker":
                raise errors.validation(_not_available(call, ""))
            if call.service == scheduler.SERVICE:
                return Answer(200, [("Content-Type", "application/json")], scheduler.answer(self.server, call))
            if not self._loaded:
                self._load()
            shim = shims.SHIMS.get((call.service, call.operation))
            return shim(self, call) if shim else self.tell(call)
        except errors.AwsError as error:
            return render(call, error)
        except NotImplementedError as error:
            return render(call, errors.AwsError("NotImplemented", _not_available(call, str(error)), 400))
        except Exception as error:
            if disk_space.is_full(error):
                return render(call, disk_space.insufficient(self.server.home))
            logger.exception("%s %s failed", call.method, call.url)
            message = f"{call.operation or call.method} failed inside the local {call.service}: {error!r}"
            return render(call, errors.AwsError("InternalFailure", message, 500))

    def tell(self, call: Call) -> Answer:
        """Passes a call to moto, and keeps it in the journal if it changes something."""
        if not call.is_read:
            disk_space.require(self.server.home, len(call.body))
            self._write()
        seed, moment = secrets.randbits(63), time.time()
        answer = self._ask_moto(call, seed, moment)
        if cloudwatch.is_ours(call) or log_events.is_kept(call):
            return answer
        # The first call of all to a service makes its backend, with ids of its own: kept even if it reads.
        changed = not call.is_read and answer.status < 400 and not shims.received_nothing(call, answer)
        if changed or call.scope not in self._scopes:
            self._unwritten.append((call, seed, moment, answer.body))
            self._write()
        return answer

    def _write(self) -> None:
        while self._unwritten:
            self._journal.write(*self._unwritten[0])
            self._scopes.add(self._unwritten.pop(0)[0].scope)

    def _ask_moto(self, call: Call, seed: int, moment: float) -> Answer:
        if call.service == "monitoring":
            cloudwatch.install(self.server)
        with clock.at(moment, seed):
            answer = self._over_wsgi(call)
            clock.install()
        if answer.status >= 400 and answer.body[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise errors.AwsError("NotImplemented", _not_available(call, ""), 400)
        return answer

    def _load(self) -> None:
        """Imports moto and tells it what the journal holds; a new home gets its role and its bucket."""
        os.environ.update(MOTO_SETTINGS)
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication

        self._wsgi = DomainDispatcherApplication(_create_backend)
        # moto lists its own folders at each call: half of the time of a call.
        self._wsgi.get_backend_for_host = functools.cache(self._wsgi.get_backend_for_host)
        _parse_dates_once()
        clock.install()
        self._journal = Journal(self.server.store, self.server.home / "journal")
        self._scopes = self._journal.scopes()
        log_events.install(self.server)
        with self.server.log_events.told_again():
            told = self._tell_again()
        for call in _first_calls()[told:]:
            self.tell(call)
        gc.freeze()  # a collection that walks through moto would hold up every invocation for 0.1 s
        self._loaded = True

    def _tell_again(self) -> int:
        """Tells moto what the journal holds; returns how many calls that are."""
        begin, told = time.perf_counter(), 0
        for call, seed, moment in self._journal.calls():
            told += 1
            if cloudwatch.is_ours(call):  # from a journal that still kept them
                continue
            try:
                status = self._ask_moto(call, seed, moment).status
            except Exception as error:
                status = repr(error)
            if not isinstance(status, int) or status >= 400:
                logger.warning("replaying %s %s %s gave %s", call.method, call.url, call.operation, status)
        logger.info("replayed %d calls in %.2f s", told, time.perf_counter() - begin)
        return told

    def _over_wsgi(self, call: Call) -> Answer:
        begun: list = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
            begun[:] = [int(status.split()[0]), headers]

        chunks = self._wsgi(_environ(call), start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return Answer(*begun, body)


def _in_the_one_region(header: tuple[str, str]) -> tuple[str, str]:
    """A request's header, signed for the region of the local SageMaker whatever the client's own region is.

    SageMaker answers the same in all regions, so a job's logs and metrics must be there in all of them. S3 stays as it
    is: a bucket has its region for good, and is found from everywhere.
    """
    name, value = header
    return (name, _REGION.sub(rf"\g<1>{arns.REGION}\g<2>", value)) if name.lower() == "authorization" else header


def refusal(request: web.BaseRequest, error: errors.AwsError) -> web.Response:
    """An error for a request that is not passed on, in the protocol that it speaks."""
    return _response(render(_call(request, b""), error))


def _call(request: web.BaseRequest, body: bytes) -> Call:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
    headers = tuple(map(_in_the_one_region, headers))
    return Call(request.method, request.raw_path, headers, body)


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.clear()
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


def _parse_dates_once() -> None:
    """moto's objects keep their dates as text, which it parses whenever they are listed: half of the time of that."""
    from moto.core import serialize

    parse = serialize.parse_to_aware_datetime
    once = functools.lru_cache(65536)(parse)
    serialize.parse_to_aware_datetime = lambda value: once(value) if isinstance(value, str) else parse(value)


def _create_backend(service: str | None) -> Callable:
    from moto.moto_server.werkzeug_app import create_backend_app

    if service is None:
        raise NotImplementedError
    return create_backend_app(service)


def render(call: Call, error: errors.AwsError) -> Answer:
    """An error in the protocol that the call speaks."""
    request_id = str(uuid.uuid4())
    headers = [("x-amzn-RequestId", request_id)]
    if call.header("smithy-protocol") == "rpc-v2-cbor":
        headers += [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
        return Answer(error.status, headers, errors.cbor_body(error))
    if call.service == "s3":
        headers.append(("Content-Type", "application/xml"))
        return Answer(error.status, headers, errors.rest_xml_body(error, request_id))
    if call.operation and not call.header("x-amz-target"):
        return Answer(error.status, [*headers, ("Content-Type", "text/xml")], errors.query_body(error, request_id))
    headers += [("Content-Type", errors.JSON_CONTENT_TYPE), ("x-amzn-ErrorType", error.code)]
    return Answer(error.status, headers, errors.json_body(error))


def _not_available(call: Call, reason: str) -> str:
    what = f"{call.service}:{call.operation}" if call.operation else f"{call.service} {call.method} {call.path}"
    return f"{what} is not available in the local SageMaker. {reason}".strip()


def _first_calls() -> list[Call]:
    """What a new account holds: the execution roles and SageMaker's default bucket."""
    principal = {"Service": "sagemaker.amazonaws.com"}
    allow = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    create_role = {"Action": "CreateRole", "Version": "2010-05-08", "AssumeRolePolicyDocument": trust}
    content_type = ("Content-Type", "application/x-www-form-urlencoded")
    roles = [urlencode(create_role | {"RoleName": name}).encode() for name in (arns.ROLE_NAME, arns.OTHER_ROLE_NAME)]
    return [
        *(Call("POST", "/", (*_signed("iam"), content_type), form) for form in roles),
        Call("PUT", f"/{arns.DEFAULT_BUCKET}", _signed("s3")),
    ]


def _signed(service: str) -> tuple[tuple[str, str], ...]:
    scope = f"local/20260101/{arns.REGION}/{service}/aws4_request"
    signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=local"
    return (("Host", "127.0.0.1"), ("Authorization", signature))


def _environ(call: Call) -> dict[str, object]:
    from moto.core.request import (
        PRESERVED_HEADER_NAMES_ENVIRON_KEY,
        environ_key_for_header,
        should_preserve_original_header_name,
    )

    path, _, query = call.url.partition("?")
    path = re.sub(r"^https?://[^/]+", "", path)
    environ: dict[str, object] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": call.url,
        "REQUEST_URI": call.url,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(call.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    # WSGI folds "-" and "_" together; S3's user metadata tells them apart.
    preserved = {}
    for name, value in call.headers:
        if name.lower() in _HOP_BY_HOP:
            continue
        key = environ_key_for_header(name)
        environ[key] = f"{environ[key]},{value}" if key in environ and key != "HTTP_HOST" else value
        if should_preserve_original_header_name(name):
            preserved[key] = name
    if call.service == "s3" and call.method == "PUT" and "form-urlencoded" in call.header("content-type"):
        # curl's and urllib's default: moto would read the object as a form, and store nothing.
        environ["CONTENT_TYPE"] = "application/octet-stream"
    return environ | {"CONTENT_LENGTH": str(len(call.body)), PRESERVED_HEADER_NAMES_ENVIRON_KEY: preserved}
