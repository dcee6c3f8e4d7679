"""Retry policies of steps: which failures they are for, when the next try is, and when there is none."""

from __future__ import annotations

from helpers.local_sagemaker.pipelines.expressions import ExpressionError

SERVICE_FAULT, THROTTLING = "Step.SERVICE_FAULT", "Step.THROTTLING"
INTERNAL_ERROR, CAPACITY, LIMIT = (
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
EXCEPTIONS = (SERVICE_FAULT, THROTTLING, INTERNAL_ERROR, CAPACITY, LIMIT)
_MEMBERS = {"ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin"}
_MOST_ATTEMPTS, _MOST_MINUTES = 20, 14_400
_DEFAULT = {"IntervalSeconds": 1, "BackoffRate": 2.0}
# Faults of the service itself are retried without a policy, too.
_BUILT_IN = {"ExceptionType": [SERVICE_FAULT, THROTTLING], "MaxAttempts": 5}
# How FailureReasons and error codes begin, and what a policy calls them.
_FAILURES = {"InternalServerError": INTERNAL_ERROR, "CapacityError": CAPACITY, "ResourceLimitExceeded": LIMIT}
_ERRORS = _FAILURES | {
    "InternalFailure": SERVICE_FAULT,
    "InternalServerError": SERVICE_FAULT,
    "ServiceUnavailable": SERVICE_FAULT,
    "Throttling": THROTTLING,
    "ThrottlingException": THROTTLING,
}


def check(policies: object, where: str) -> None:
    """Refuses malformed RetryPolicies.

    Raises:
        ExpressionError: says where.
    """
    if not isinstance(policies, list):
        raise ExpressionError(f"{where}: a list is needed")
    for index, policy in enumerate(policies):
        _check(policy, f"{where}[{index}]")


def _check(policy: object, where: str) -> None:
    if not isinstance(policy, dict) or not policy.keys() <= _MEMBERS:
        raise ExpressionError(f"{where}: known are {', '.join(sorted(_MEMBERS))}, got {policy!r}")
    kinds = policy.get("ExceptionType")
    if not isinstance(kinds, list) or not kinds or not all(kind in EXCEPTIONS for kind in kinds):
        raise ExpressionError(f"{where}.ExceptionType: some of {', '.join(EXCEPTIONS)} are needed, got {kinds!r}")
    for name in _MEMBERS - {"ExceptionType"}:
        if type(policy.get(name, 0)) not in (int, float):
            raise ExpressionError(f"{where}.{name}: a number is needed, got {policy[name]!r}")
    if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
        raise ExpressionError(f"{where}: either MaxAttempts or ExpireAfterMin is needed")
    for name, most in (("MaxAttempts", _MOST_ATTEMPTS), ("ExpireAfterMin", _MOST_MINUTES)):
        if not 1 <= policy.get(name, 1) <= most:
            raise ExpressionError(f"{where}.{name}: must be from 1 to {most}, got {policy[name]}")
    for name in ("IntervalSeconds", "BackoffRate"):
        if policy.get(name, 0) < 0:
            raise ExpressionError(f"{where}.{name}: must not be negative, got {policy[name]}")


def of_failure(reason: str) -> str | None:
    """What a policy calls the FailureReason of a job."""
    return next((kind for begin, kind in _FAILURES.items() if reason.startswith(begin)), None)


def of_error(code: str) -> str | None:
    """What a policy calls an error of a Create operation."""
    return _ERRORS.get(code)


def seconds_until_next(policies: list[dict], exception: str | None, tries: int, elapsed: float) -> float | None:
    """How long a step waits for its next try; None when it has failed for good.

    Args:
        policies: the step's.
        exception: one of EXCEPTIONS, or None for a failure that no policy is for.
        tries: how many there have been.
        elapsed: seconds since the first one began.
    """
    policy = next((each for each in [*policies, _BUILT_IN] if exception in each["ExceptionType"]), None)
    if policy is None or tries > policy.get("MaxAttempts", tries):
        return None
    policy = _DEFAULT | policy
    wait = policy["IntervalSeconds"] * policy["BackoffRate"] ** (tries - 1)
    if elapsed + wait > policy.get("ExpireAfterMin", _MOST_MINUTES) * 60:
        return None
    return wait
