"""The inference toolkit: loads one model and serves /ping and /invocations on a Unix socket.

Runs in the worker process, with the container's environment and `/opt/ml`. The model's own code runs in the main
thread, one request at a time, as in a container's worker; the HTTP side has a thread of its own, so /ping answers
while the model computes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import queue
import threading
import traceback
from pathlib import Path

from aiohttp import web

from .serve_transformer import Answer, Transformer

MAX_BODY = 100 * 1024 * 1024


class Inbox:
    """Requests on their way from the HTTP thread to the main thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()

    async def ask(self, request: web.Request) -> Answer:
        """Hands a request to the model and awaits its answer."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        self._waiting.put((await request.read(), request.headers, loop, answered))
        return await answered

    def serve(self, transformer: Transformer) -> None:
        """Runs requests for ever; whose client has gone are passed over."""
        while True:
            body, headers, loop, answered = self._waiting.get()
            if not answered.cancelled():
                loop.call_soon_threadsafe(_deliver, answered, transformer.answer(body, headers))


def _deliver(answered: asyncio.Future[Answer], answer: Answer) -> None:
    if not answered.done():
        answered.set_result(answer)


def application(inbox: Inbox) -> web.Application:
    """The container's HTTP contract."""

    async def ping(_: web.Request) -> web.Response:
        return web.Response()

    async def invocations(request: web.Request) -> web.Response:
        answer = await inbox.ask(request)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        return web.Response(body=answer.body, status=answer.status, headers=headers)

    app = web.Application(client_max_size=MAX_BODY, handler_args={"auto_decompress": False})
    app.router.add_get("/ping", ping)
    app.router.add_post("/invocations", invocations)
    return app


async def listen(inbox: Inbox, socket_path: Path) -> None:
    """Serves until the process ends; the socket appears when it answers."""
    runner = web.AppRunner(application(inbox), handle_signals=False, access_log=None, keepalive_timeout=3600)
    await runner.setup()
    socket_path.unlink(missing_ok=True)
    await web.UnixSite(runner, str(socket_path)).start()
    await asyncio.Event().wait()


def _run_http(inbox: Inbox, socket_path: Path) -> None:
    try:
        with contextlib.suppress(ImportError):
            import uvloop

            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.run(listen(inbox, socket_path))
    except Exception:
        traceback.print_exc()
    os._exit(70)  # a worker that no longer listens must not look alive


def main() -> None:
    """Loads the model, then serves; a model that does not load ends the process with its traceback."""
    parser = argparse.ArgumentParser(prog="serve")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to serve on")
    parser.add_argument("--framework", required=True, help="name of the local runtime")
    parser.add_argument("--model-dir", default="/opt/ml/model")
    options = parser.parse_args()
    transformer = Transformer(options.model_dir, options.framework)
    inbox = Inbox()
    threading.Thread(target=_run_http, args=(inbox, options.socket), daemon=True, name="http").start()
    inbox.serve(transformer)
