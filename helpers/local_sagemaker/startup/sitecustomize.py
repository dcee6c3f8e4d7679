"""Run by each interpreter that starts with the variables of `environment()`: AWS's public addresses mean the server.

AWS_ENDPOINT_URL has no say where a library names an address itself, as the SageMaker SDK does with
`https://sts.<region>.amazonaws.com` in `get_execution_role()`.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import sys
import types

_SERVER = re.compile(r"http://127\.0\.0\.1:\d+/?")
_PUBLIC = re.compile(r"https?://([a-z0-9-]+\.)+amazonaws\.com(:\d+)?/?")


class _BotocoreFinder:
    """Changes `botocore.session` when it is imported, and not before: most programs never do."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "botocore.session":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_redirect(module: types.ModuleType) -> None:
                execute(module)
                _redirect(module)

            spec.loader.exec_module = execute_and_redirect
        return spec


def _redirect(module: types.ModuleType) -> None:
    create_client = module.Session.create_client

    @functools.wraps(create_client)
    def to_the_server(self: object, *args: object, **kwargs: object) -> object:
        server = os.environ.get("AWS_ENDPOINT_URL", "")
        if _SERVER.fullmatch(server) and _PUBLIC.fullmatch(kwargs.get("endpoint_url") or ""):
            kwargs["endpoint_url"] = server
        return create_client(self, *args, **kwargs)

    module.Session.create_client = to_the_server


def _run_the_one_behind() -> None:
    """Runs the environment's own sitecustomize, which this one hides."""
    here = __file__.rpartition(os.sep)[0]
    others = [folder for folder in sys.path if folder.rstrip(os.sep) != here]
    spec = importlib.machinery.PathFinder.find_spec(__name__, others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, _BotocoreFinder())
    _run_the_one_behind()
