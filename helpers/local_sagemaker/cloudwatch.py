"""Our part of CloudWatch inside moto, which parses the requests and writes the answers in all of its protocols."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from helpers.local_sagemaker import alarms, errors, metric_statistics, model, tags
from helpers.local_sagemaker.journal import Call

if TYPE_CHECKING:
    from moto.cloudwatch.responses import CloudWatchResponse
    from moto.core.responses import ActionResult

    from helpers.local_sagemaker.app import Server

_OPERATIONS = alarms.OPERATIONS | metric_statistics.OPERATIONS
_TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")
_OF_MOTO = ("AWS/S3",)  # it counts the objects of its buckets whenever it is asked


def is_ours(call: Call) -> bool:
    """Whether a call is answered from what is on disk already, so that the journal does without it."""
    if call.service != "monitoring":
        return False
    return call.operation in _OPERATIONS or (call.operation in _TAGGING and b":alarm:" in _raw(call.body))


def _raw(body: bytes) -> bytes:
    return unquote(body.decode("latin-1")).encode("latin-1", "replace")


@functools.cache
def install(server: Server) -> None:
    """Answers the operations on alarms and on metrics."""
    from moto.cloudwatch.responses import CloudWatchResponse

    for name, handler in (_OPERATIONS | _tagging(server)).items():
        _answer(server, CloudWatchResponse, name, handler)


def _moment(timestamp: datetime) -> float:
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).timestamp()


def _answer(server: Server, response: type[CloudWatchResponse], name: str, handler: alarms.Handler) -> None:
    """Puts a handler of ours into the place of moto's method."""
    operation = model.service("cloudwatch")["operations"][name]
    attribute = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    told: Callable[[CloudWatchResponse], ActionResult] = getattr(response, attribute, None)

    def answer(self: CloudWatchResponse) -> ActionResult:
        from moto.core.responses import ActionResult, EmptyResult

        is_of_alarm = name not in _TAGGING or ":alarm:" in self._get_param("ResourceARN")
        if not is_of_alarm or self._get_param("Namespace") in _OF_MOTO:
            return told(self)
        try:
            request = model.validate(operation["input"]["shape"], _plain(self._get_params()), "cloudwatch")
            result = handler(server, request)
        except errors.AwsError as error:
            code = "ValidationError" if error.code == "ValidationException" else error.code
            raise errors.AwsError(code, error.message, error.status) from None
        return ActionResult(_with_dates(result)) if result is not None else EmptyResult()

    setattr(response, attribute, answer)


def _tagging(server: Server) -> dict[str, alarms.Handler]:
    """The operations on tags, for alarms."""

    def require(arn: str) -> str:
        if alarms.find(server.store, arn.partition(":alarm:")[2]) is None:
            raise errors.AwsError("ResourceNotFoundException", f"The resource {arn} does not exist.", 404)
        return arn

    return {
        "TagResource": lambda _, request: tags.add(server.store, require(request["ResourceARN"]), request["Tags"]),
        "UntagResource": lambda _, request: tags.delete(
            server.store, require(request["ResourceARN"]), request["TagKeys"]
        ),
        "ListTagsForResource": lambda _, request: {"Tags": tags.of(server.store, require(request["ResourceARN"]))},
    }


def _plain(value: object) -> object:
    """What moto has parsed, with times as epoch seconds."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return _moment(value) if isinstance(value, datetime) else value


def _with_dates(value: object, name: str = "") -> object:
    """A result without private members, with its times as moto wants them."""
    if isinstance(value, dict):
        return {key: _with_dates(member, key) for key, member in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [_with_dates(member, name.removesuffix("s")) for member in value]
    return datetime.fromtimestamp(value, UTC) if name.endswith("Timestamp") else value
