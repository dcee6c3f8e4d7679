"""Routes of SageMaker's services that speak REST; an operation that nobody registered is refused by its name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from aiohttp import web

from helpers.local_sagemaker import errors, model
from helpers.local_sagemaker.operations import REST_OPERATIONS, RestHandler

SERVICES = ("sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics")


def routes() -> Iterator[tuple[str, str, RestHandler]]:
    """Method, path and handler of every operation that botocore knows."""
    for service in SERVICES:
        for name, operation in model.service(service)["operations"].items():
            http = operation["http"]
            handler = REST_OPERATIONS.get(name) or _refusal(name, operation)
            yield http["method"], http["requestUri"], handler


def _refusal(name: str, operation: dict) -> RestHandler:
    known = {error["shape"] for error in operation.get("errors", ())}
    code = "ValidationError" if "ValidationError" in known else "ValidationException"
    body = errors.json_body(errors.AwsError(code, f"{name} is not available in the local SageMaker."))

    async def refuse(_server: object, _request: web.Request) -> web.Response:
        headers = {
            "Content-Type": "application/json",
            "x-amzn-ErrorType": code,
            "x-amzn-RequestId": str(uuid.uuid4()),
        }
        return web.Response(status=400, body=body, headers=headers)

    return refuse
