"""The inference toolkit: loads one model and serves /ping and /invocations on a Unix socket.

Runs in the worker process, with the container's environment and `/opt/ml`. The model's own code runs in the main
thread, one request at a time, as in a container's worker; the HTTP side has a thread of its own, so /ping answers
while the model computes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import queue
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Generator, Mapping
from pathlib import Path

from aiohttp import web

from .serve_transformer import Answer, Transformer, show_traceback

MAX_BODY = 1024 * 1024 * 1024  # of an asynchronous invocation
PIECES_AHEAD = 16  # of a streamed answer, between the model and the connection


class BrokenAnswerError(Exception):
    """The model raised after it had answered a part."""


class Stream:
    """What follows an answer's first piece, on its way from the main thread to the HTTP thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: asyncio.Queue[bytes | BrokenAnswerError | None] = asyncio.Queue(PIECES_AHEAD)
        self._abandoned = False

    def fill(self, rest: Generator[bytes]) -> None:
        """Runs the model on; returns when it is done, or when nobody listens any more."""
        end = None
        try:
            for piece in rest:
                if self._abandoned:
                    return
                self._put(piece)
        except Exception as error:
            show_traceback(error)
            end = BrokenAnswerError()
        finally:
            rest.close()
        self._put(end)

    def _put(self, piece: bytes | BrokenAnswerError | None) -> None:
        asyncio.run_coroutine_threadsafe(self._pieces.put(piece), self._loop).result()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces as they come.

        Raises:
            BrokenAnswerError: the model raised.
        """
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, BrokenAnswerError):
                raise piece
            yield piece

    def abandon(self) -> None:
        """Tells the model that nobody listens; called in the HTTP thread."""
        self._abandoned = True
        while not self._pieces.empty():
            self._pieces.get_nowait()


class Inbox:
    """Requests on their way from the HTTP thread to the main thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()

    async def ask(self, request: web.Request) -> tuple[Answer, Stream | None]:
        """Hands a request to the model and awaits its answer, or the first piece of one that streams."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[tuple[Answer, Stream | None]] = loop.create_future()
        self._waiting.put((await request.read(), request.headers, loop, answered))
        return await answered

    def serve(self, transformer: Transformer) -> None:
        """Runs requests for ever; whose client has gone are passed over."""
        while True:
            _run(transformer, *self._waiting.get())


def _run(
    transformer: Transformer,
    body: bytes,
    headers: Mapping[str, str],
    loop: asyncio.AbstractEventLoop,
    answered: asyncio.Future[tuple[Answer, Stream | None]],
) -> None:
    if answered.cancelled():
        return
    answer = transformer.answer(body, headers)
    stream = Stream(loop) if answer.rest is not None else None
    loop.call_soon_threadsafe(_deliver, answered, answer, stream)
    if stream is not None:
        stream.fill(answer.rest)


def _deliver(answered: asyncio.Future[tuple[Answer, Stream | None]], answer: Answer, stream: Stream | None) -> None:
    if not answered.done():
        answered.set_result((answer, stream))
    elif stream is not None:
        stream.abandon()


def application(inbox: Inbox) -> web.Application:
    """The container's HTTP contract."""

    async def ping(_: web.Request) -> web.Response:
        return web.Response()

    async def invocations(request: web.Request) -> web.StreamResponse:
        answer, stream = await inbox.ask(request)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if stream is None:
            return web.Response(body=answer.body, status=answer.status, headers=headers)
        try:
            return await _send(request, web.StreamResponse(status=answer.status, headers=headers), answer.body, stream)
        finally:
            stream.abandon()

    app = web.Application(client_max_size=MAX_BODY, handler_args={"auto_decompress": False})
    app.router.add_get("/ping", ping)
    app.router.add_post("/invocations", invocations)
    return app


async def _send(request: web.Request, response: web.StreamResponse, first: bytes, stream: Stream) -> web.StreamResponse:
    """Sends a chunk for each piece; when the model raises, the connection is cut, as the status has long been sent."""
    await response.prepare(request)
    try:
        if first:
            await response.write(first)
        async for piece in stream.pieces():
            if piece:
                await response.write(piece)
        await response.write_eof()
    except BrokenAnswerError:
        request.transport.close()
    except ConnectionResetError:
        print("The client has gone before the whole answer was sent.", file=sys.stderr, flush=True)
    return response


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
    gc.freeze()  # the model stays: a collection that walked through it would hold up requests
    inbox = Inbox()
    threading.Thread(target=_run_http, args=(inbox, options.socket), daemon=True, name="http").start()
    inbox.serve(transformer)
