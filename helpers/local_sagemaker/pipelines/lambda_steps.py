"""Lambda steps: each calls its function in a thread of its own."""

from __future__ import annotations

import logging
import threading

from helpers.local_sagemaker import lambda_functions
from helpers.local_sagemaker.jobs import ServerStoppedError
from helpers.local_sagemaker.lambda_functions import LambdaError
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome

logger = logging.getLogger(__name__)

_MOST_OUTPUT = 1024


class Invocation:
    """A call of a function, in a thread of its own.

    Attributes:
        outcome: None until it has ended.
    """

    def __init__(self, attempt: Attempt, function: dict) -> None:
        self.outcome: Outcome | None = None
        self._attempt, self._function = attempt, function
        self._call = lambda_functions.Call(attempt.server, function)
        self._thread = threading.Thread(target=self._run, name=f"lambda {attempt.name}", daemon=True)
        self._thread.start()

    def end_with_server(self) -> None:
        """Ends the process, because the server goes away."""
        self._call.end_with_server()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        try:
            self.outcome = _outcome(self._attempt, self._function, self._call.run(self._attempt.arguments))
        except ServerStoppedError:
            return
        except LambdaError as error:
            self.outcome = Outcome("Failed", reason=f"ClientError: {error}")
        except Exception as error:
            logger.exception("%s failed", self._attempt.name)
            self.outcome = Outcome("Failed", reason=f"InternalServerError: {error!r}")
        self._attempt.server.pipelines.wake()


def begin(attempt: Attempt) -> Outcome | None:
    """Calls a Lambda function of Python; one that cannot be called here fails the step."""
    arn = attempt.body["FunctionArn"]
    try:
        function = lambda_functions.find(attempt.server, arn)
    except LambdaError as error:
        return Outcome("Failed", reason=f"ClientError: {error}")
    attempt.note(Metadata={"Lambda": {"Arn": arn}})
    attempt.server.pipelines.invocations[attempt.name] = Invocation(attempt, function)
    return None


def poll(attempt: Attempt) -> Outcome | None:
    """How the call ended; a call that ended with an earlier server is made once more."""
    invocation = attempt.server.pipelines.invocations.get(attempt.name)
    if invocation is None:
        return Outcome("Stopped") if attempt.record["StepStatus"] == "Stopping" else begin(attempt)
    if invocation.outcome is not None:
        del attempt.server.pipelines.invocations[attempt.name]
    return invocation.outcome


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
