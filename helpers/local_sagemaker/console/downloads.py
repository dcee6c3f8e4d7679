"""Downloads of S3's objects: always an attachment of unknown type, so that no browser renders what they hold."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from helpers.local_sagemaker.console.s3_pages import asked
from helpers.local_sagemaker.console.visits import MissingError, RefusedError

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

CHUNK_BYTES = 8 * 2**20


async def answer(server: Server, request: web.Request) -> web.StreamResponse:
    """The object that the address names, a piece at a time."""
    bucket, key = request.match_info["bucket"], request.query.get("key", "")
    s3 = await asyncio.to_thread(server.client, "s3")
    try:
        head = await asyncio.to_thread(asked, s3.head_object, Bucket=bucket, Key=key)
    except (MissingError, RefusedError) as error:
        raise web.HTTPNotFound(text=str(error)) from error
    name = quote(key.rpartition("/")[2] or "object", safe="")
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Content-Length": str(head["ContentLength"]),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    for first in range(0, head["ContentLength"], CHUNK_BYTES):
        last = min(first + CHUNK_BYTES, head["ContentLength"]) - 1
        await response.write(await asyncio.to_thread(_piece, s3, bucket, key, head["ETag"], first, last))
    await response.write_eof()
    return response


def _piece(s3: object, bucket: str, key: str, etag: str, first: int, last: int) -> bytes:
    # Another object under the same key would end the download, not be glued to what was sent.
    return s3.get_object(Bucket=bucket, Key=key, IfMatch=etag, Range=f"bytes={first}-{last}")["Body"].read()
