"""Lambda steps: the function's own code is called in a process of its own, as a job's script is."""

from __future__ import annotations

import io
import json
import threading
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import arns, containment
from helpers.local_sagemaker.failures import last_error
from helpers.local_sagemaker.jobs import TIMED_OUT, Command, Job, JobError, ServerStoppedError
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome
from helpers.local_sagemaker.runtimes import lambda_handler

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_CALLER = Path(lambda_handler.__file__)
_CODE, _EVENT, _RESULT = "/opt/ml/code", "/opt/ml/config/event.json", "/opt/ml/output/result.json"
_MIB = 2**20
_MOST_OUTPUT = 1024
_MOST_CODE = 262_144_000


class Invocation:
    """A call of a function, in a thread of its own.

    Attributes:
        outcome: None until it has ended.
    """

    def __init__(self, attempt: Attempt, function: dict, code: bytes) -> None:
        self.outcome: Outcome | None = None
        self._attempt, self._function, self._code = attempt, function, code
        self._job = _job(attempt.server, function)
        self._thread = threading.Thread(target=self._run, name=f"lambda {attempt.name}", daemon=True)
        self._thread.start()

    def end_with_server(self) -> None:
        """Ends the process, because the server goes away."""
        self._job.end_with_server()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        try:
            outcome = _outcome(
                self._attempt, self._function, _call(self._job, self._attempt, self._function, self._code)
            )
        except ServerStoppedError:
            return
        except (JobError, zipfile.BadZipFile, OSError, ValueError) as error:
            outcome = Outcome("Failed", reason=f"ClientError: {error}")
        finally:
            self._job.close()
            self._job.clean_up()
        self.outcome = outcome
        self._attempt.server.pipelines.wake()


def begin(attempt: Attempt) -> Outcome | None:
    """Calls a Lambda function of Python; one that cannot be called here fails the step."""
    arn = attempt.body["FunctionArn"]
    try:
        function = attempt.server.client("lambda").get_function(FunctionName=arn)["Configuration"]
    except ClientError as error:
        message = error.response["Error"]["Message"]
        return Outcome(
            "Failed", reason=f"ClientError: Failed to invoke lambda function {arn}. Error Details: {message}"
        )
    if not function.get("Runtime", "").startswith("python3"):
        reason = f"ClientError: The local SageMaker calls Lambda functions of Python only, {arn} is of "
        return Outcome("Failed", reason=f"{reason}{function.get('Runtime') or 'a container image'}")
    attempt.note(Metadata={"Lambda": {"Arn": arn}})
    attempt.server.pipelines.invocations[attempt.name] = Invocation(attempt, function, _code(function["FunctionName"]))
    return None


def poll(attempt: Attempt) -> Outcome | None:
    """How the call ended; a call that ended with an earlier server is made once more."""
    invocation = attempt.server.pipelines.invocations.get(attempt.name)
    if invocation is None:
        return Outcome("Stopped") if attempt.record["StepStatus"] == "Stopping" else begin(attempt)
    if invocation.outcome is not None:
        del attempt.server.pipelines.invocations[attempt.name]
    return invocation.outcome


def _code(name: str) -> bytes:
    """The zip that a function was made of. moto hands it out to nobody but its own containers."""
    from moto.awslambda.models import lambda_backends

    return lambda_backends[arns.ACCOUNT][arns.REGION].get_function(name).code_bytes


def _job(server: Server, function: dict) -> Job:
    limits = replace(containment.limits(server.home), memory=function["MemorySize"] * _MIB)
    group = f"/aws/lambda/{function['FunctionName']}"
    name = str(uuid.uuid4())
    return Job(server, "LambdaFunction", name, log_group=group, max_seconds=function["Timeout"], limits=limits)


def _call(job: Job, attempt: Attempt, function: dict, code: bytes) -> dict:
    """What the handler returns.

    Raises:
        JobError: it failed, or took too long.
        ServerStoppedError: the server goes away.
    """
    job.make_folders("code", "config", "output")
    (host,) = job.hosts
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MOST_CODE:
            raise JobError(f"Lambda function {function['FunctionArn']} has more than {_MOST_CODE} bytes of code")
        archive.extractall(host.path(_CODE))
    host.path(_EVENT).write_text(json.dumps(attempt.arguments))
    argv = ["python", str(_CALLER), function["Handler"], _EVENT, _RESULT]
    outcome = job.run([Command(argv, _environment(job, function), _CODE)], job.interpreter())
    if outcome.cut == TIMED_OUT:
        raise JobError(f"Lambda function {function['FunctionArn']} timed out after {function['Timeout']} seconds")
    if outcome.code:
        raise JobError(
            f"Lambda function {function['FunctionArn']} failed: {outcome.breach or last_error(outcome.tail)}"
        )
    return json.loads(host.read(_RESULT))


def _environment(job: Job, function: dict) -> dict[str, str]:
    own = {
        "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
        "AWS_LAMBDA_FUNCTION_VERSION": function["Version"],
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function['FunctionName']}",
        "LOCAL_LAMBDA_FUNCTION_ARN": function["FunctionArn"],
        "LOCAL_LAMBDA_REQUEST_ID": job.name,
        "LOCAL_LAMBDA_TIMEOUT": str(function["Timeout"]),
    }
    return function.get("Environment", {}).get("Variables", {}) | own


def _outcome(attempt: Attempt, function: dict, returned: object) -> Outcome:
    """The outputs that the step declares, found in what the handler returned."""
    metadata, names = {"Lambda": {"Arn": function["FunctionArn"]}}, attempt.record["_outputs"]
    if missing := [name for name in names if not isinstance(returned, dict) or name not in returned]:
        reason = f"ClientError: Lambda function {function['FunctionArn']} returned no {', '.join(missing)}"
        return Outcome("Failed", metadata=metadata, reason=reason)
    outputs = {name: returned[name] for name in names}
    if outputs:
        told = [{"Name": name, "Value": str(value)[:_MOST_OUTPUT]} for name, value in outputs.items()]
        metadata["Lambda"]["OutputParameters"] = told
    return Outcome("Succeeded", {"OutputParameters": outputs}, metadata)
