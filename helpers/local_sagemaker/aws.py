"""Every AWS service but SageMaker: moto, in this process."""

from __future__ import annotations

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from aiohttp import web

from helpers.local_sagemaker import arns

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


class Aws:
    """moto behind one thread: its backends are not made for concurrent writers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="moto")
        self.application = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self.thread, self.answer, request.method, request.raw_path, request.raw_headers, body
        )

    def answer(self, method: str, url: str, headers: tuple, body: bytes) -> web.Response:
        if self.application is None:
            os.environ.setdefault("MOTO_ACCOUNT_ID", arns.ACCOUNT)
            os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "1"
            os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "65536")
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

            self.application = DomainDispatcherApplication(create_backend_app)
        captured = {}

        def start_response(status: str, headers: list, _exc: object = None) -> None:
            captured["status"] = int(status.split()[0])
            captured["headers"] = headers

        path, _, query = url.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": url,
            "REQUEST_URI": url,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        for key, value in headers:
            name = key.decode("latin-1").upper().replace("-", "_")
            name = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
            environ[name] = value.decode("latin-1")
        environ["CONTENT_LENGTH"] = str(len(body))
        chunks = b"".join(self.application(environ, start_response))
        response = web.Response(status=captured["status"], body=chunks)
        response.headers.clear()
        for key, value in captured["headers"]:
            response.headers.add(key, value)
        return response
