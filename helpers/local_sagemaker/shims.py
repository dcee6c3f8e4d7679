"""What moto lacks or answers otherwise than AWS, in front of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from helpers.local_sagemaker import arns, errors
from helpers.local_sagemaker.events import front as events
from helpers.local_sagemaker.journal import Call

if TYPE_CHECKING:
    from helpers.local_sagemaker.aws import Answer, Aws

ASSUMED_ROLE_ARN = f"arn:aws:sts::{arns.ACCOUNT}:assumed-role/{arns.ROLE_NAME}/local"


def get_caller_identity(aws: Aws, call: Call) -> Answer:
    """sts:GetCallerIdentity: a caller without a role of its own is a session of the execution role."""
    answer = aws.tell(call)
    anonymous = f"arn:aws:sts::{arns.ACCOUNT}:user/moto".encode()
    body = answer.body.replace(anonymous, ASSUMED_ROLE_ARN.encode())
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    return replace(answer, body=body, headers=headers)


def simulate_principal_policy(aws: Aws, call: Call) -> Answer:
    """iam:SimulatePrincipalPolicy: every action is allowed to a role or user that exists.

    Raises:
        AwsError: `NoSuchEntity`, the principal does not exist.
    """
    from helpers.local_sagemaker.aws import Answer

    form = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    _require_principal(aws, call, form.get("PolicySourceArn", ""))
    actions = [value for name, value in form.items() if name.startswith("ActionNames.member.")]
    resources = [value for name, value in form.items() if name.startswith("ResourceArns.member.")] or ["*"]
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        "<EvalDecision>allowed</EvalDecision><MatchedStatements/><MissingContextValues/></member>"
        for action in actions
        for resource in resources
    )
    body = (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{results}"
        "</EvaluationResults></SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
    return Answer(200, [("Content-Type", "text/xml")], body.encode())


def _require_principal(aws: Aws, call: Call, principal: str) -> None:
    kind, _, path = principal.rpartition(":")[2].partition("/")
    name = path.rpartition("/")[2]
    question = {"role": ("GetRole", "RoleName"), "user": ("GetUser", "UserName")}.get(kind)
    if question is None:
        raise errors.AwsError("InvalidInput", f"{principal!r} is not the ARN of a role or a user.")
    form = {"Action": question[0], "Version": "2010-05-08", question[1]: name}
    answer = aws.tell(replace(call, body=urlencode(form).encode()))
    if answer.status == 404 or principal.encode() not in answer.body:
        raise errors.AwsError("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)


def filter_log_events(aws: Aws, call: Call) -> Answer:
    """logs:FilterLogEvents: moto ignores logStreamNamePrefix, so the streams that it stands for are named instead."""
    from helpers.local_sagemaker.aws import Answer

    request = json.loads(call.body or b"{}")
    prefix = request.pop("logStreamNamePrefix", None)
    if not prefix or "logGroupName" not in request:
        return aws.tell(call)
    if request.get("logStreamNames"):
        raise errors.AwsError(
            "InvalidParameterException", "logStreamNames and logStreamNamePrefix are mutually exclusive parameters."
        )
    request["logStreamNames"] = _log_streams(aws, call, request["logGroupName"], prefix)
    answer = aws.tell(replace(call, body=json.dumps(request).encode()))
    if answer.status >= 400 or request["logStreamNames"]:
        return answer
    return Answer(200, [("Content-Type", errors.JSON_CONTENT_TYPE)], b'{"events": [], "searchedLogStreams": []}')


def _log_streams(aws: Aws, call: Call, group: str, prefix: str) -> list[str]:
    kept = tuple((name, value) for name, value in call.headers if name.lower() != "x-amz-target")
    headers = (*kept, ("X-Amz-Target", "Logs_20140328.DescribeLogStreams"))
    request, names = {"logGroupName": group, "logStreamNamePrefix": prefix}, []
    while True:
        answer = aws.tell(replace(call, headers=headers, body=json.dumps(request).encode()))
        page = json.loads(answer.body) if answer.status < 400 else {}
        names += [stream["logStreamName"] for stream in page.get("logStreams", [])]
        if not page.get("nextToken"):
            return names
        request["nextToken"] = page["nextToken"]


def without_waiting(call: Call) -> tuple[Call, float]:
    """sqs:ReceiveMessage as a call that returns at once, and the seconds that its caller is willing to wait.

    moto would wait in its one thread, by a clock that stands still while it answers.
    """
    if (call.service, call.operation) != ("sqs", "ReceiveMessage"):
        return call, 0.0
    if call.header("x-amz-target"):
        form = json.loads(call.body or b"{}")
        return replace(call, body=json.dumps(form | {"WaitTimeSeconds": 0}).encode()), form.get("WaitTimeSeconds", 0)
    form = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    body = urlencode(form | {"WaitTimeSeconds": 0}).encode()
    return replace(call, body=body), float(form.get("WaitTimeSeconds", 0))


def received_nothing(call: Call, answer: Answer) -> bool:
    """Whether an sqs:ReceiveMessage found the queue empty, and so changed nothing."""
    return call.operation == "ReceiveMessage" and b"ReceiptHandle" not in answer.body


Shim = Callable[["Aws", Call], "Answer"]

SHIMS: dict[tuple[str, str], Shim] = {
    ("sts", "GetCallerIdentity"): get_caller_identity,
    ("iam", "SimulatePrincipalPolicy"): simulate_principal_policy,
    ("logs", "FilterLogEvents"): filter_log_events,
    **events.SHIMS,
}
