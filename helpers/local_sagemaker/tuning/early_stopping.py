"""Which training jobs are stopped early, by what they have reported of their objective so far.

A curve is all values of the objective that a job has reported, in order: one for each unit of its resource, such as an
epoch. Sources:
https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html (the median rule),
https://arxiv.org/abs/1810.05934 (asynchronous successive halving, in its form that stops jobs).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, median

REDUCTION = 3
_LEAST_CURVES = 3  # that a median is taken of

Curve = Sequence[float]


def is_below_median(curve: Curve, others: Sequence[Curve], minimize: bool) -> bool:
    """Whether a job's last value is worse than the median of the running averages of earlier jobs at that point.

    Args:
        curve: of a running job.
        others: of jobs that ended; those that are shorter do not count, and less than three decide nothing.
        minimize: whether lower is better.
    """
    averages = [fmean(other[: len(curve)]) for other in others if len(other) >= len(curve) > 0]
    if len(averages) < _LEAST_CURVES:
        return False
    return curve[-1] > median(averages) if minimize else curve[-1] < median(averages)


def rungs(least: int, most: int, seed: int, index: int) -> list[int]:
    """The lengths of its curve at which Hyperband judges a job: those of its bracket.

    The bracket that stops most begins at `least`, the next at three times as much, and so on; each gets jobs in the
    proportion of Hyperband.

    Args:
        least: no job is stopped before.
        most: the resource that a job may use; each job is stopped there.
        seed: of the tuning job.
        index: the job's number.
    """
    levels = [least]
    while levels[-1] * REDUCTION < most:
        levels.append(levels[-1] * REDUCTION)
    weights = [REDUCTION ** (len(levels) - skipped) / (len(levels) + 1 - skipped) for skipped in range(len(levels))]
    skipped = random.Random(f"{seed} {index}").choices(range(len(levels)), weights)[0]
    return levels[skipped:]


def is_outrun(curve: Curve, rung: int, others: Sequence[Curve], minimize: bool) -> bool:
    """Whether a job that reaches a rung is not among the best third of those that have reached it.

    Args:
        curve: at least as long as the rung.
        rung: the length at which it is judged.
        others: all other curves; less than two that reached the rung decide nothing.
        minimize: whether lower is better.
    """
    reached = [other[rung - 1] for other in others if len(other) >= rung]
    if len(reached) + 1 < REDUCTION:
        return False
    better = sum(value < curve[rung - 1] if minimize else value > curve[rung - 1] for value in reached)
    return better >= (len(reached) + 1) // REDUCTION
