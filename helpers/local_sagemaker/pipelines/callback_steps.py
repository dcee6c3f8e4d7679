"""Callback steps: a token goes into an SQS queue, and whoever has it says how the step ended."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.pipelines import records
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_LONGEST_WAIT_SECONDS = 7 * 86_400


def prepare(attempt: Attempt) -> None:
    """Draws the token."""
    attempt.note(_token=records.new_token())


def begin(attempt: Attempt) -> Outcome | None:
    """Sends a token and the arguments into an SQS queue, and waits for the answer."""
    queue = attempt.body["SqsQueueUrl"]
    try:
        _send(attempt, "Executing")
    except ClientError as error:
        message = error.response["Error"]["Message"]
        return Outcome("Failed", reason=f"ClientError: Failed to send a message to {queue}. Error Details: {message}")
    attempt.note(Metadata={"Callback": {"CallbackToken": attempt.record["_token"], "SqsQueueUrl": queue}})
    return None


def resume(attempt: Attempt) -> bool:
    """Whether the message had been sent."""
    return "Metadata" in attempt.record


def poll(attempt: Attempt) -> Outcome | None:
    """What the answer says, None before there is one."""
    answer, metadata = attempt.record.get("_answer"), attempt.record["Metadata"]["Callback"]
    if answer is None:
        if time.time() - attempt.record["StartTime"] > _LONGEST_WAIT_SECONDS:
            return Outcome("Failed", reason="ClientError: The callback step was not answered within seven days")
        return None
    if answer["Status"] == "Failed":
        status = "Stopped" if attempt.record["StepStatus"] == "Stopping" else "Failed"
        return Outcome(status, reason=answer.get("FailureReason"))
    outputs = answer["OutputParameters"]
    properties = {"OutputParameters": {output["Name"]: output["Value"] for output in outputs}}
    return Outcome("Succeeded", properties, {"Callback": metadata | {"OutputParameters": outputs}})


def stop(attempt: Attempt) -> None:
    """Tells the queue that the execution is to stop: it does when the step is answered."""
    _send(attempt, "Stopping")


def _send(attempt: Attempt, status: str) -> None:
    body = {
        "token": attempt.record["_token"],
        "pipelineExecutionArn": attempt.execution["PipelineExecutionArn"],
        "arguments": attempt.arguments,
        "status": status,
    }
    attempt.server.client("sqs").send_message(QueueUrl=attempt.body["SqsQueueUrl"], MessageBody=json.dumps(body))


def answer(server: Server, token: str, request_token: str | None, **told: object) -> str:
    """Writes down what a client says of a callback step, once; returns the ARN of the execution.

    Args:
        server: the server.
        token: of the callback.
        request_token: of the request: the same one twice is the same answer.
        told: Status, and OutputParameters or FailureReason.

    Raises:
        AwsError: no step that waits has the token, or an output is missing.
    """
    with server.store.transaction():
        steps = server.store.list(records.STEP)
        step = next((each for each in steps if each["StepType"] == "Callback" and each.get("_token") == token), None)
        if step and request_token and step.get("_answer", {}).get("RequestToken") == request_token:
            return step["PipelineExecutionArn"]
        if step is None or step["StepStatus"] not in records.RUNNING or "_answer" in step:
            raise errors.resource_not_found(f"No callback step waits for the token '{token}'.")
        given = {output["Name"] for output in told.get("OutputParameters", [])}
        missing = [name for name in step["_outputs"] if name not in given]
        if missing and told["Status"] == "Succeeded":
            raise errors.validation(f"OutputParameters must have {', '.join(missing)}.")
        server.store.update(records.STEP, step["_name"], _answer=told | {"RequestToken": request_token})
    return step["PipelineExecutionArn"]
