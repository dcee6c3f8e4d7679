"""When a tuning job is complete before its last training job, by the objectives of those that ended.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-progress.html
"""

from __future__ import annotations

import itertools

# AWS does not publish when it takes a search for converged. Here: the best value has moved, over the last ten training
# jobs, by less than a thousandth of all that was seen between the best and the worst.
CONVERGENCE_JOBS = 10
_STILL = 1e-3


def not_improving(values: list[float], minimize: bool) -> int:
    """How many training jobs have ended since the one with the best value."""
    if not values:
        return 0
    return len(values) - 1 - values.index(min(values) if minimize else max(values))


def has_converged(values: list[float], minimize: bool) -> bool:
    """Whether more training jobs are unlikely to find much better values."""
    if len(values) <= CONVERGENCE_JOBS:
        return False
    best = list(itertools.accumulate(values, min if minimize else max))
    return abs(best[-1] - best[-1 - CONVERGENCE_JOBS]) <= _STILL * (max(values) - min(values))


def is_complete(criteria: dict, values: list[float], minimize: bool) -> bool:
    """Whether a `TuningJobCompletionCriteria` is met by the values, in the order in which their jobs ended."""
    target = criteria.get("TargetObjectiveMetricValue")
    if target is not None and any(value <= target if minimize else value >= target for value in values):
        return True
    most = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    if most is not None and not_improving(values, minimize) >= most:
        return True
    enabled = criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled"
    return enabled and has_converged(values, minimize)
