"""Lambda functions: their own code is called in a process of its own, as a job's script is."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import arns, containment
from helpers.local_sagemaker.failures import last_error
from helpers.local_sagemaker.jobs import TIMED_OUT, Command, Job, JobError
from helpers.local_sagemaker.runtimes import lambda_handler

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_CALLER = Path(lambda_handler.__file__)
_CODE, _EVENT, _RESULT = "/opt/ml/code", "/opt/ml/config/event.json", "/opt/ml/output/result.json"
_MIB = 2**20
_MOST_CODE = 262_144_000


class LambdaError(Exception):
    """A function that cannot be called, or that failed; the message says why."""


def find(server: Server, arn: str) -> dict:
    """A function's configuration.

    Raises:
        LambdaError: there is no such function, or it cannot be called here.
    """
    try:
        function = server.client("lambda").get_function(FunctionName=arn)["Configuration"]
    except ClientError as error:
        message = error.response["Error"]["Message"]
        raise LambdaError(f"Failed to invoke lambda function {arn}. Error Details: {message}") from error
    if not function.get("Runtime", "").startswith("python3"):
        raise LambdaError(
            f"The local SageMaker calls Lambda functions of Python only, {arn} is of "
            f"{function.get('Runtime') or 'a container image'}"
        )
    return function


class Call:
    """One call of a function: made before it is run, so that another thread can end it.

    Args:
        server: the server.
        function: what `find` gave.
    """

    def __init__(self, server: Server, function: dict) -> None:
        self._function = function
        limits = replace(containment.limits(server.home), memory=function["MemorySize"] * _MIB)
        group = f"/aws/lambda/{function['FunctionName']}"
        self._job = Job(
            server,
            "LambdaFunction",
            str(uuid.uuid4()),
            log_group=group,
            max_seconds=function["Timeout"],
            limits=limits,
        )

    def run(self, event: object) -> object:
        """What the handler returns for an event.

        Raises:
            LambdaError: it failed, or took too long.
            ServerStoppedError: the server goes away.
        """
        try:
            return self._run(event)
        except (JobError, zipfile.BadZipFile, OSError, ValueError) as error:
            raise LambdaError(str(error)) from error
        finally:
            self._job.close()
            self._job.clean_up()

    def end_with_server(self) -> None:
        """Ends the process, because the server goes away."""
        self._job.end_with_server()

    def _run(self, event: object) -> object:
        job, arn = self._job, self._function["FunctionArn"]
        job.make_folders("code", "config", "output")
        (host,) = job.hosts
        with zipfile.ZipFile(io.BytesIO(_code(self._function["FunctionName"]))) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_CODE:
                raise LambdaError(f"Lambda function {arn} has more than {_MOST_CODE} bytes of code")
            archive.extractall(host.path(_CODE))
        host.path(_EVENT).write_text(json.dumps(event))
        argv = ["python", str(_CALLER), self._function["Handler"], _EVENT, _RESULT]
        outcome = job.run([Command(argv, self._environment(), _CODE)], job.interpreter())
        if outcome.cut == TIMED_OUT:
            raise LambdaError(f"Lambda function {arn} timed out after {self._function['Timeout']} seconds")
        if outcome.code:
            raise LambdaError(f"Lambda function {arn} failed: {outcome.breach or last_error(outcome.tail)}")
        return json.loads(host.read(_RESULT))

    def _environment(self) -> dict[str, str]:
        function = self._function
        own = {
            "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": function["Version"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function['FunctionName']}",
            "LOCAL_LAMBDA_FUNCTION_ARN": function["FunctionArn"],
            "LOCAL_LAMBDA_REQUEST_ID": self._job.name,
            "LOCAL_LAMBDA_TIMEOUT": str(function["Timeout"]),
        }
        return function.get("Environment", {}).get("Variables", {}) | own


def _code(name: str) -> bytes:
    """The zip that a function was made of. moto hands it out to nobody but its own containers."""
    from moto.awslambda.models import lambda_backends

    return lambda_backends[arns.ACCOUNT][arns.REGION].get_function(name).code_bytes
