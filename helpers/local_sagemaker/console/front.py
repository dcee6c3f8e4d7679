"""The console's routes: pages, static files and downloads, behind headers that let no page do anything but be read."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from helpers.local_sagemaker.console import (
    addresses,
    alarms,
    downloads,
    endpoints,
    events,
    features,
    jobs,
    lineage,
    monitoring,
    overview,
    pipelines,
    registry,
    rendering,
    s3_pages,
    spending,
)
from helpers.local_sagemaker.console.visits import PAGES, MissingError, Page, RefusedError, Visit

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

# Importing them registers their pages.
_MODULES_WITH_PAGES = (
    overview,
    endpoints,
    jobs,
    pipelines,
    registry,
    features,
    lineage,
    monitoring,
    alarms,
    events,
    s3_pages,
    spending,
)
_STATIC = Path(__file__).with_name("static")
_STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[["Server", web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[tuple[str, Handler]]:
    """Paths of GET and their handlers; the first that fits answers."""
    root = addresses.ROOT
    return [
        (f"{root}/static/{{name}}", _static),
        (f"{root}/s3/{{bucket}}/download", downloads.answer),
        *((root + page.path, functools.partial(_page, page)) for page in PAGES),
        (f"{root}{{path:(/.*)?}}", _nowhere),
    ]


def is_for_console(request: web.Request) -> bool:
    """Whether a GET below `/console` is a browser's, and not S3's for a bucket of that name."""
    return "Authorization" not in request.headers and not any(
        name in request.query for name in ("X-Amz-Signature", "AWSAccessKeyId")
    )


async def _page(page: Page, server: Server, request: web.Request) -> web.Response:
    visit = Visit(server, dict(request.match_info), dict(request.query))
    # Not in the control plane's threads: what a page reads through a client is answered there.
    return await asyncio.to_thread(_rendered, page, visit, request.path_qs)


def _rendered(page: Page, visit: Visit, address: str) -> web.Response:
    try:
        return _html(200, page.template, page.view(visit))
    except MissingError as error:
        return _problem(404, "Not found", str(error), address)
    except RefusedError as error:
        return _problem(400, "This cannot be shown", str(error), address)
    except Exception:
        logger.exception("the page %s failed", address)
        message = f"The page failed inside the local SageMaker: see server.log in {visit.server.home}."
        return _problem(500, "This page failed", message, address)


async def _nowhere(server: Server, request: web.Request) -> web.Response:
    return await asyncio.to_thread(
        _problem, 404, "Not found", "The console has no page at this address.", request.path_qs
    )


def _problem(status: int, heading: str, message: str, address: str) -> web.Response:
    return _html(status, "problem.html", {"heading": heading, "message": message, "address": address})


def _html(status: int, template: str, context: dict) -> web.Response:
    text = rendering.render(template, context)
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=_HEADERS)


async def _static(_server: Server, request: web.Request) -> web.Response:
    path = _STATIC / request.match_info["name"]
    if path.parent != _STATIC or path.suffix not in _STATIC_TYPES or not path.is_file():
        raise web.HTTPNotFound(headers=_HEADERS)
    headers = _HEADERS | {"Cache-Control": "no-cache"}
    return web.Response(
        body=path.read_bytes(), content_type=_STATIC_TYPES[path.suffix], charset="utf-8", headers=headers
    )
