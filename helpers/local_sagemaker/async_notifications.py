"""What asynchronous endpoints tell SNS topics about the requests that they have processed.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server
    from helpers.local_sagemaker.async_queue import AsyncRequest

MAX_INCLUDED_BYTES = 128 * 1024


def publish(
    server: Server, request: AsyncRequest, failure: str | None, content_type: str | None, response: bytes | None
) -> None:
    """Tells the topic for successes or for errors, if there is one.

    Args:
        server: the server.
        request: what was processed.
        failure: why it failed, None when it succeeded.
        content_type: of the response, None when there is no response.
        response: its body, None when there is none or it is larger than what a message may include.

    Raises:
        ClientError: the topic does not take the message.
    """
    config = request.details.get("NotificationConfig", {})
    topic, included = ("SuccessTopic", "SUCCESS") if failure is None else ("ErrorTopic", "ERROR")
    if topic not in config:
        return
    message = _message(request, failure, content_type)
    if f"{included}_NOTIFICATION_TOPIC" in config.get("IncludeInferenceResponseIn", []):
        message["responseBody"] = _response_body(response)
    message |= {
        "inferenceId": request.details["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    server.client("sns").publish(TopicArn=config[topic], Message=json.dumps(message, separators=(",", ":")))


def _message(request: AsyncRequest, failure: str | None, content_type: str | None) -> dict:
    details = request.details
    asked = {
        "accept": details.get("Accept"),
        "contentType": details.get("ContentType"),
        "endpointName": request.endpoint,
        "inputLocation": details.get("InputLocation"),
    }
    message = {
        "awsRegion": arns.REGION,
        "eventTime": _utc(datetime.now(UTC)),
        "receivedTime": _utc(datetime.fromtimestamp(request.received, UTC)),
        "invocationStatus": "Completed" if failure is None else "Failed",
    }
    if failure is not None:
        message["failureReason"] = failure
    message["requestParameters"] = _present(asked)
    if failure is None:
        answered = {"contentType": content_type, "outputLocation": details.get("OutputLocation")}
        message["responseParameters"] = _present(answered)
    return message


def _response_body(response: bytes | None) -> dict:
    body = {"message": "Check S3 path location(if configured) or Cloudwatch for additional details."}
    if response is not None:
        body = {"content": base64.b64encode(response).decode()} | body | {"encoding": "BASE64"}
    return body


def _present(members: dict) -> dict:
    return {name: value for name, value in members.items() if value is not None}


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
