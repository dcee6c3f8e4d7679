"""Errors as AWS words them, and how each wire protocol spells them."""

import json
from xml.sax.saxutils import escape

JSON_CONTENT_TYPE = "application/x-amz-json-1.1"
LONGEST_MESSAGE = 2048  # of the runtime API


class AwsError(Exception):
    """An error that a client sees: raise it in a handler, the front renders it.

    Args:
        code: the error code, such as `ValidationException`.
        message: what was wrong, as AWS words it.
        status: the HTTP status; clients retry 5xx, so a fault of the request is 400.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class InvocationError(Exception):
    """An error of the runtime API.

    Args:
        code: such as `ValidationError`.
        message: what was wrong; None where AWS says nothing.
        status: HTTP status.
        members: further members of the error's shape.
    """

    def __init__(self, code: str, message: str | None, status: int, **members: object) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.body = {"Message": message and message[:LONGEST_MESSAGE], **members}


def validation(message: str) -> AwsError:
    """The request breaks a rule."""
    return AwsError("ValidationException", message)


def resource_not_found(message: str) -> AwsError:
    """What the operations answer whose model lists `ResourceNotFound`."""
    return AwsError("ResourceNotFound", message)


def in_use(message: str) -> AwsError:
    """The name is taken, or the resource is busy."""
    return AwsError("ResourceInUse", message)


def conflict(message: str) -> AwsError:
    """The resource is there already, or is one that others depend on."""
    return AwsError("ConflictException", message)


def limit_exceeded(message: str) -> AwsError:
    """A quota of the account is used up."""
    return AwsError("ResourceLimitExceeded", message)


def json_body(error: AwsError) -> bytes:
    """The error in the JSON 1.1 protocol."""
    return json.dumps({"__type": error.code, "message": error.message}).encode()


def query_body(error: AwsError, request_id: str) -> bytes:
    """The error in the Query protocol (IAM, STS, SNS, CloudWatch)."""
    fault = "Sender" if error.status < 500 else "Receiver"
    return (
        f"<ErrorResponse><Error><Type>{fault}</Type><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def rest_xml_body(error: AwsError, request_id: str) -> bytes:
    """The error in the REST-XML protocol (S3)."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"<RequestId>{request_id}</RequestId></Error>"
    ).encode()


def cbor_body(error: AwsError) -> bytes:
    """The error in the RPC v2 CBOR protocol (CloudWatch): a map of two text strings."""
    return b"\xa2" + b"".join(map(_cbor_text, ("__type", error.code, "message", error.message)))


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    return b"\x7a" + len(data).to_bytes(4, "big") + data
