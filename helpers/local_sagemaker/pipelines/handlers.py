"""The code of each step type, by one set of functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from helpers.local_sagemaker.pipelines import callback_steps, check_steps, control_steps, lambda_steps, resource_steps
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome
from helpers.local_sagemaker.pipelines.resources import RESOURCES
from helpers.local_sagemaker.pipelines.step_checks import CHECKED


@dataclass(frozen=True)
class Handler:
    """How a step of one type is run.

    Attributes:
        begin: begins the work; the outcome of what is over at once.
        prepare: draws the names that the work will have, which are in the store before it begins.
        resume: whether work that was prepared has begun, asked after a restart.
        poll: the outcome of work that has begun, None while it goes on.
        stop: asks it to end.
    """

    begin: Callable[[Attempt], Outcome | None]
    prepare: Callable[[Attempt], None] = lambda attempt: None
    resume: Callable[[Attempt], bool] = lambda attempt: False
    poll: Callable[[Attempt], Outcome | None] = lambda attempt: None
    stop: Callable[[Attempt], None] = lambda attempt: None


def _handler(module: object) -> Handler:
    return Handler(module.begin, module.prepare, module.resume, module.poll, module.stop)


HANDLERS = {
    **dict.fromkeys(RESOURCES, _handler(resource_steps)),
    **dict.fromkeys(CHECKED, replace(_handler(resource_steps), begin=check_steps.begin, poll=check_steps.poll)),
    "Condition": Handler(control_steps.decide),
    "Fail": Handler(control_steps.fail),
    "Lambda": Handler(lambda_steps.begin, poll=lambda_steps.poll),
    "Callback": _handler(callback_steps),
}
