"""A/B experiments: their size, the check of the lot, looks while they run, the difference and the decision.

Streams of experiments come from a seed; `Plan` and `decide` are the record of one.
"""

from helpers.experiments.analysis import (
    CONTROL,
    TREATMENT,
    Decision,
    Difference,
    Plan,
    clustered_difference,
    decide,
    difference_interval,
)
from helpers.experiments.bandits import BanditRuns, equal_split, thompson_sampling
from helpers.experiments.design import SRM_ALPHA, SampleRatio, assign, sample_ratio_mismatch, sample_size
from helpers.experiments.sequential import (
    boundaries,
    crossing_probabilities,
    inflation,
    sequential_test,
    spending,
    z_scores,
)
from helpers.experiments.simulator import as_looks, request_log, stream_z, streams

__all__ = [
    "CONTROL",
    "SRM_ALPHA",
    "TREATMENT",
    "BanditRuns",
    "Decision",
    "Difference",
    "Plan",
    "SampleRatio",
    "as_looks",
    "assign",
    "boundaries",
    "clustered_difference",
    "crossing_probabilities",
    "decide",
    "difference_interval",
    "equal_split",
    "inflation",
    "request_log",
    "sample_ratio_mismatch",
    "sample_size",
    "sequential_test",
    "spending",
    "stream_z",
    "streams",
    "thompson_sampling",
    "z_scores",
]
