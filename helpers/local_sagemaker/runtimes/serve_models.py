"""The multi-model server: loads and unloads models on request, each in a process of its own.

The processes are forked from one that has imported the framework and nothing else, so that a model loads in little time
and shares the libraries' memory with the others, that its script's modules cannot meet another's, and that unloading it
gives back all of its memory.

Source: "Custom Containers Contract for Multi-Model Endpoints" in the SageMaker developer guide.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import random
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from aiohttp import web
from multidict import CIMultiDict

from .serve_transformer import Transformer

IMPORTED_FIRST = {
    "xgboost": ("numpy", "scipy.sparse", "xgboost"),
    "sklearn": ("numpy", "joblib", "sklearn"),
    "pytorch": ("numpy", "torch"),
    "huggingface": ("numpy", "torch", "transformers"),
}
MEMORY_MB = "LOCAL_SAGEMAKER_MODEL_MEMORY_MB"  # of all models together; more is answered with 507
FIRST_SECONDS = 5.0  # while the first model loads, the others wait so long to learn what one may need
MAX_BODY = 100 * 1024 * 1024
FRAME = struct.Struct("!IQ")  # bytes of the JSON and of the body behind it


class Model:
    """A model's process as the server sees it."""

    def __init__(self, url: str, expected: int) -> None:
        self.url = url
        self.expected = expected  # bytes, until it is loaded
        self.pid: int | None = None
        self.loaded = False
        self.connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.get_running_loop().create_future()
        )
        self.turn = asyncio.Lock()  # requests run one at a time, as in a container's worker

    async def ask(self, head: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """What the process answers.

        Raises:
            IncompleteReadError: it has ended.
        """
        _, writer = await self.connected
        writer.write(_frame(head, body))
        return await self.hear()

    async def hear(self) -> tuple[dict[str, Any], bytes]:
        """What the process says next.

        Raises:
            IncompleteReadError: it has ended.
        """
        reader, _ = await self.connected
        head_size, body_size = FRAME.unpack(await reader.readexactly(FRAME.size))
        return json.loads(await reader.readexactly(head_size)), await reader.readexactly(body_size)

    async def end(self) -> None:
        """Ends the process and returns when it has ended."""
        reader, writer = await self.connected
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                continue
        writer.close()

    def memory(self) -> int:
        """Bytes that are given back when it is unloaded; of one that is being loaded, at least what is expected."""
        try:
            used = psutil.Process(self.pid).memory_full_info().uss if self.pid else 0
        except psutil.Error:
            return 0
        return used if self.loaded else max(used, self.expected)


class Models:
    """The loaded models by name, and those that are being loaded.

    Args:
        orders: where the process that forks them reads its orders.
        limit: bytes that all models may use together.
    """

    def __init__(self, orders: BinaryIO, limit: float) -> None:
        self._orders, self._limit = orders, limit
        self._models: dict[str, Model] = {}
        self._sizes: dict[str, int] = {}  # of the models that were loaded before
        self._admission = asyncio.Lock()
        self._loading: set[asyncio.Task] = set()

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes the connection of a process that was ordered; its first line says who it is."""
        hello = json.loads(await reader.readline())
        model = self._models[hello["name"]]
        model.pid = hello["pid"]
        model.connected.set_result((reader, writer))

    async def load(self, request: web.Request) -> web.Response:
        """POST /models."""
        order = await request.json()
        name, url = order["model_name"], order["url"]
        async with self._admission:
            if name in self._models:
                return _refusal(409, f"Model {name} is already loaded.")
            if not self._sizes and self._loading:
                await asyncio.wait(self._loading, timeout=FIRST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            expected = self._expected_size(name)
            if self._models and await self._used() + expected > self._limit:
                return self._insufficient(name)
            model = self._models[name] = Model(url, expected)
        self._orders.write(json.dumps({"name": name, "model_dir": url}).encode() + b"\n")
        self._orders.flush()
        loading = asyncio.create_task(self._refusal_of(name, model))
        self._loading.add(loading)
        loading.add_done_callback(self._loading.discard)
        refusal = await loading
        if refusal is not None:
            del self._models[name]
            return refusal
        return web.json_response({"status": f"Model {name} is loaded."})

    async def _refusal_of(self, name: str, model: Model) -> web.Response | None:
        """Waits until a model is loaded; why it is not, None when it is."""
        try:
            async with model.turn:
                outcome, _ = await model.hear()
        except asyncio.IncompleteReadError:
            return _refusal(500, f"The process of model {name} ended while it loaded the model.")
        if "error" in outcome:
            return _refusal(500, outcome["error"])
        model.loaded = True
        self._sizes[name] = model.memory()
        if await self._used(loaded=True) > self._limit:
            model.loaded = False
            await model.end()
            return self._insufficient(name)
        return None

    def _expected_size(self, name: str) -> int:
        """Bytes that a model will need: what it needed the last time, or what others do."""
        known = self._sizes.values()
        return self._sizes.get(name, sum(known) // len(known) if known else 0)

    async def _used(self, loaded: bool = False) -> int:
        """Bytes that the models use; with those that are being loaded, or only the `loaded` ones."""
        models = [model for model in self._models.values() if model.loaded or not loaded]
        return await asyncio.to_thread(lambda: sum(model.memory() for model in models))

    def _insufficient(self, name: str) -> web.Response:
        return _refusal(507, f"Insufficient memory to load model {name}: models may use {self._limit:.0f} bytes.")

    async def list(self, _: web.Request) -> web.Response:
        """GET /models."""
        loaded = {name: model for name, model in self._models.items() if model.loaded}
        return web.json_response({"models": [_described(name, model) for name, model in loaded.items()]})

    async def get(self, request: web.Request) -> web.Response:
        """GET /models/{name}."""
        name = request.match_info["name"]
        model = self._models.get(name)
        return web.json_response(_described(name, model)) if model and model.loaded else _not_found(name)

    async def unload(self, request: web.Request) -> web.Response:
        """DELETE /models/{name}; what the model has begun to compute is finished first."""
        name = request.match_info["name"]
        model = self._models.get(name)
        if model is None or not model.loaded:
            return _not_found(name)
        model.loaded = False
        async with model.turn:
            await model.end()
        self._models.pop(name, None)
        return web.json_response({"status": f"Model {name} is unloaded."})

    async def invoke(self, request: web.Request) -> web.Response:
        """POST /models/{name}/invoke."""
        name = request.match_info["name"]
        model = self._models.get(name)
        if model is None or not model.loaded:
            return _not_found(name)
        body = await request.read()
        try:
            async with model.turn:
                if self._models.get(name) is not model:  # its process ended with the request before
                    return _not_found(name)
                answer, content = await self._ask(name, model, {"headers": list(request.headers.items())}, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            return _refusal(500, f"The process of model {name} ended before it answered.")
        headers = {"Content-Type": answer["content_type"], **answer["headers"]}
        return web.Response(body=content, status=answer["status"], headers=headers)

    async def _ask(self, name: str, model: Model, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            return await model.ask(head, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            del self._models[name]
            raise


def _described(name: str, model: Model) -> dict[str, str]:
    return {"modelName": name, "modelUrl": model.url}


def _not_found(name: str) -> web.Response:
    return _refusal(404, f"Model {name} is not loaded.")


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"code": status, "message": message}, status=status)


def _frame(head: dict[str, Any], body: bytes) -> bytes:
    packed = json.dumps(head).encode()
    return FRAME.pack(len(packed), len(body)) + packed + body


async def _serve(models: Models, socket_path: Path, models_path: Path, lifeline: int) -> None:
    """Serves until the process ends; the socket appears when it answers.

    The process ends with the one that forks the models, whose end of the lifeline closes.
    """
    asyncio.get_running_loop().add_reader(lifeline, os._exit, 70)

    async def ping(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(client_max_size=MAX_BODY, handler_args={"auto_decompress": False})
    app.router.add_get("/ping", ping)
    app.router.add_post("/models", models.load)
    app.router.add_get("/models", models.list)
    app.router.add_get("/models/{name}", models.get)
    app.router.add_delete("/models/{name}", models.unload)
    app.router.add_post("/models/{name}/invoke", models.invoke)
    models_path.unlink(missing_ok=True)
    await asyncio.start_unix_server(models.welcome, models_path)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, keepalive_timeout=3600)
    await runner.setup()
    socket_path.unlink(missing_ok=True)
    await web.UnixSite(runner, str(socket_path)).start()
    await asyncio.Event().wait()


def fork_models(orders: BinaryIO, lifeline: int, models_path: Path, framework: str) -> None:
    """Forks a process for each line of orders, until they end.

    Args:
        orders: lines of JSON with `name` and `model_dir`.
        lifeline: what this process alone keeps open.
        models_path: the socket on which the processes report.
        framework: name of the local runtime.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets those that have ended
    for module in IMPORTED_FIRST.get(framework, ()):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    for line in orders:
        order = json.loads(line)
        try:
            child = os.fork()
        except OSError as error:
            with _connection(models_path, order["name"]) as connection:
                connection.sendall(_frame({"error": f"No process for the model can be had: {error}"}, b""))
            continue
        if child == 0:
            os.close(lifeline)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run_model(models_path, order["name"], order["model_dir"], framework)


def _connection(models_path: Path, name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(models_path))
    connection.sendall(json.dumps({"name": name, "pid": os.getpid()}).encode() + b"\n")
    return connection


def _run_model(models_path: Path, name: str, model_dir: str, framework: str) -> None:
    """The life of a model's process: loads it, says so, and answers requests until the server is gone."""
    code = 1
    try:
        with _connection(models_path, name) as connection, connection.makefile("rb") as requests:
            _seed()
            transformer = _load(connection, model_dir, framework)
            while head := requests.read(FRAME.size):
                head_size, body_size = FRAME.unpack(head)
                headers = CIMultiDict(json.loads(requests.read(head_size))["headers"])
                answer = transformer.answer(requests.read(body_size), headers)
                body = answer.body + b"".join(answer.rest or ())
                told = {"status": answer.status, "content_type": answer.content_type, "headers": answer.headers}
                connection.sendall(_frame(told, body))
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _seed() -> None:
    """Gives the process random numbers of its own: a fork inherits the state of the generators."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def _load(connection: socket.socket, model_dir: str, framework: str) -> Transformer:
    try:
        transformer = Transformer(model_dir, framework)
    except BaseException:
        connection.sendall(_frame({"error": traceback.format_exc()}, b""))
        raise
    connection.sendall(_frame({}, b""))
    return transformer


def main() -> None:
    """Starts the process that forks the models, and serves."""
    parser = argparse.ArgumentParser(prog="serve-models")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to serve on")
    parser.add_argument("--framework", required=True, help="name of the local runtime")
    options = parser.parse_args()
    models_path = options.socket.with_suffix(".models")
    orders, lifeline = os.pipe(), os.pipe()  # the ends to read from, and to write to
    if os.fork() == 0:
        os.close(orders[1])
        os.close(lifeline[0])
        try:
            fork_models(os.fdopen(orders[0], "rb"), lifeline[1], models_path, options.framework)
        finally:
            os._exit(70)
    os.close(orders[0])
    os.close(lifeline[1])
    limit = float(os.environ.get(MEMORY_MB, "inf")) * 2**20
    models = Models(os.fdopen(orders[1], "wb"), limit)
    asyncio.run(_serve(models, options.socket, models_path, lifeline[0]))
