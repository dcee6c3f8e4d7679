"""The targets that rules and schedules can have here, and how each of them is given what it gets."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import TYPE_CHECKING

from botocore import xform_name

from helpers.local_sagemaker import errors, lambda_functions, model

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from helpers.local_sagemaker.app import Server

_UNIVERSAL = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>[a-z0-9]+):(?P<operation>[A-Za-z0-9]+)")
# What the names of AWS's SDK for Java are in Python's, of the services that run here.
_SERVICES = {"sagemaker": "sagemaker", "sns": "sns", "sqs": "sqs", "eventbridge": "events", "s3": "s3"}
_READS = ("get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "batchGet")


def check(arn: str) -> None:
    """Checks that there is such a target here.

    Raises:
        AwsError: `ValidationException`; the message says which there are.
    """
    if (match := _UNIVERSAL.fullmatch(arn)) and match["service"] in _SERVICES:
        if match["operation"].startswith(_READS):
            raise errors.validation(f"{arn} is not a supported target: it only reads.")
        if _operation(match) not in model.service(_SERVICES[match["service"]])["operations"]:
            raise errors.validation(f"{arn} is not a supported target: there is no such operation.")
        return
    if _kind(arn) is None:
        raise errors.validation(
            f"The target {arn} is not available in the local SageMaker. There are SNS topics, SQS queues, Lambda "
            "functions, log groups, event buses and SageMaker pipelines, and for schedules aws-sdk calls of "
            f"{', '.join(_SERVICES)}."
        )


def is_universal(arn: str) -> bool:
    """Whether a target is an operation of AWS's API."""
    return _UNIVERSAL.fullmatch(arn) is not None


def _operation(match: re.Match) -> str:
    """The operation of a universal target: CreateProcessingJob of `createProcessingJob`."""
    return match["operation"][:1].upper() + match["operation"][1:]


def _tokens(service: str, operation: str, token: str) -> dict[str, str]:
    """The member by which a request that comes twice is known, where an operation has one."""
    described = model.service(service)
    members = described["shapes"][described["operations"][operation]["input"]["shape"]]["members"]
    return {name: token for name, member in members.items() if member.get("idempotencyToken")}


def invoke(server: Server, target: dict, text: str, token: str) -> None:
    """Gives a target a text.

    Args:
        server: the server.
        target: of PutTargets or of CreateSchedule.
        text: what it gets.
        token: of this invocation: what can be known by a token happens once, however often the call is repeated.

    Raises:
        ClientError: the target does not take it.
        BotoCoreError: the text is no request of that operation.
        AwsError: an event bus does not take the event.
        LambdaError: a function failed.
    """
    arn = target["Arn"]
    check(arn)
    if match := _UNIVERSAL.fullmatch(arn):
        service, operation = _SERVICES[match["service"]], _operation(match)
        getattr(server.client(service), xform_name(operation))(**_tokens(service, operation, token) | json.loads(text))
        return
    kind = _kind(arn)
    if kind == "sns":
        server.client("sns").publish(TopicArn=arn, Message=text)
    elif kind == "sqs":
        _send(server.client("sqs"), arn, text, target.get("SqsParameters", {}))
    elif kind == "logs":
        _log(server.client("logs"), arn, text)
    elif kind == "bus":
        _put_event(server, target, text)
    elif kind == "lambda":
        _call_function(server, arn, json.loads(text))
    else:
        parameters = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
        server.client("sagemaker").start_pipeline_execution(
            PipelineName=arn, PipelineParameters=parameters, ClientRequestToken=token
        )


def send_to_dead_letters(server: Server, queue_arn: str, text: str, attributes: dict[str, str]) -> None:
    """Puts what a target did not take into its dead-letter queue.

    Raises:
        ClientError: the queue does not take it either.
    """
    sqs = server.client("sqs")
    told = {name: {"DataType": "String", "StringValue": value[:1000]} for name, value in attributes.items()}
    sqs.send_message(QueueUrl=_queue_url(sqs, queue_arn), MessageBody=text, MessageAttributes=told)


def _kind(arn: str) -> str | None:
    service, _, _, resource = (*arn.split(":", 5)[2:], "", "", "", "")[:4]
    if service in ("sns", "sqs"):
        return service
    if service == "lambda" and resource.startswith("function:"):
        return "lambda"
    if service == "logs" and resource.startswith("log-group:"):
        return "logs"
    if service == "events" and resource.startswith("event-bus/"):
        return "bus"
    return "pipeline" if service == "sagemaker" and resource.startswith("pipeline/") else None


def _queue_url(sqs: BaseClient, arn: str) -> str:
    return sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]


def _send(sqs: BaseClient, arn: str, text: str, parameters: dict) -> None:
    fifo = {name: parameters[name] for name in ("MessageGroupId",) if name in parameters}
    sqs.send_message(QueueUrl=_queue_url(sqs, arn), MessageBody=text, **fifo)


def _log(logs: BaseClient, arn: str, text: str) -> None:
    group, stream = arn.partition("log-group:")[2].removesuffix(":*"), str(uuid.uuid4())
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    entry = {"timestamp": int(time.time() * 1000), "message": text}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[entry])


def _call_function(server: Server, arn: str, event: object) -> None:
    made = lambda_functions.Call(server, lambda_functions.find(server, arn))
    with server.event_buses.deliveries.calling(made) as call:
        call.run(event)


def _put_event(server: Server, target: dict, text: str) -> None:
    """Sends an event of one bus on to another as it is, or what a schedule says to a bus."""
    if "EventBridgeParameters" not in target:
        server.event_buses.publish(target["Arn"].rpartition("/")[2], [json.loads(text)])
        return
    parameters = target["EventBridgeParameters"]
    entry = {"Source": parameters["Source"], "DetailType": parameters["DetailType"], "Detail": text}
    answer = server.client("events").put_events(Entries=[entry | {"EventBusName": target["Arn"]}])
    if answer["FailedEntryCount"]:
        failed = answer["Entries"][0]
        raise errors.AwsError(failed["ErrorCode"], failed["ErrorMessage"])
