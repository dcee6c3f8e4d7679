"""Stands around a user's own `serve`: passes requests on to the port that it listens on, and ends when it ends.

AWS's contract is an executable that listens on port 8080, and several of them run on this machine. So each has a
network of its own where the system has network namespaces, and this program runs in it, between a Unix socket outside
and 127.0.0.1:8080 inside; the other way round it lets the container reach the local SageMaker. Where there are no
namespaces, `serve` is told a free port by SAGEMAKER_BIND_TO_PORT. Standard library only: it stays small beside serve.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

PORT = 8080
ENDPOINT_URL = "AWS_ENDPOINT_URL"
LOOK_SECONDS = 0.02
CHUNK_BYTES = 256 * 1024

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def main() -> int:
    """The exit code of `serve`, or 128 + n when signal n ended it."""
    parser = argparse.ArgumentParser(prog="own_container")
    parser.add_argument("--serve", required=True, help="the executable")
    parser.add_argument("--cwd", required=True, help="where it runs")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to answer on")
    parser.add_argument("--server-socket", help="Unix socket of the local SageMaker; given in a network of its own")
    parser.add_argument("--server-port", type=int, help="where the container looks for the local SageMaker")
    options = parser.parse_args()
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or (PORT if options.server_socket else _free_port()))
    environment = os.environ | {"SAGEMAKER_BIND_TO_PORT": str(port)}
    if options.server_socket and ENDPOINT_URL in environment:  # it is not when the container shall have no network
        inside = _free_port() if options.server_port == port else options.server_port
        await asyncio.start_server(_to_socket(options.server_socket), "127.0.0.1", inside, backlog=1024)
        environment[ENDPOINT_URL] = environment[ENDPOINT_URL].replace(f":{options.server_port}", f":{inside}")
    # The sandbox signals every process of the tree: this one lives until serve has ended.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    serve = await asyncio.create_subprocess_exec(options.serve, cwd=options.cwd, env=environment)
    answering = asyncio.create_task(_answer(options.socket, port))
    code = await serve.wait()
    answering.cancel()
    return code if code >= 0 else 128 - code


async def _answer(path: Path, port: int) -> None:
    """Opens the socket once `serve` listens, so that nobody is connected to nothing."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(LOOK_SECONDS)
        else:
            writer.close()
            break
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(_to_port(port), path, backlog=1024)
    await server.serve_forever()


def _to_port(port: int) -> Connected:
    return lambda reader, writer: _join(reader, writer, asyncio.open_connection("127.0.0.1", port))


def _to_socket(path: str) -> Connected:
    return lambda reader, writer: _join(reader, writer, asyncio.open_unix_connection(path))


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opening: Awaitable[tuple]) -> None:
    """Copies both directions until both have ended; when the other side cannot be reached, closes this one."""
    with contextlib.closing(writer):
        try:
            other_reader, other_writer = await opening
        except OSError:
            return
        with contextlib.closing(other_writer):
            await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stdout.flush()
    os._exit(code)
