"""Steps that are over as soon as they begin: Condition and Fail."""

from __future__ import annotations

from helpers.local_sagemaker.pipelines import conditions
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome


def decide(attempt: Attempt) -> Outcome:
    """Takes the branch that the conditions point to."""
    outcome = str(conditions.are_true(attempt.arguments["Conditions"]))
    return Outcome("Succeeded", {"Outcome": outcome}, {"Condition": {"Outcome": outcome}})


def fail(attempt: Attempt) -> Outcome:
    """Ends the execution as failed, with the message of the step."""
    message = str(attempt.arguments["ErrorMessage"])
    return Outcome("Failed", metadata={"Fail": {"ErrorMessage": message}}, reason=message)
