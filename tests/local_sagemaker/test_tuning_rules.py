"""When training jobs are stopped early, and when a tuning job is complete: the rules by themselves."""

import collections

import pytest

from helpers.local_sagemaker.tuning import completion, early_stopping

DOWN = [[9.0, 5.0, 2.0], [8.0, 4.0, 1.0], [9.0, 6.0, 3.0]]


@pytest.mark.parametrize(
    ("curve", "worse"),
    [
        # The running averages of the first two values are 7, 6 and 7.5.
        ([9.0, 7.1], True),
        ([9.0, 6.9], False),
        ([0.0, 7.1], True),  # only the last value counts
        ([9.0, 9.0, 9.0, 9.0], False),  # nothing is known of a fourth epoch
        ([], False),
    ],
)
def test_a_job_is_held_to_the_median_of_the_running_averages(curve, worse):
    assert early_stopping.is_below_median(curve, DOWN, minimize=True) is worse


def test_the_median_rule_turns_round_where_more_is_better_and_needs_three_jobs():
    assert early_stopping.is_below_median([9.0, 6.9], DOWN, minimize=False)
    assert not early_stopping.is_below_median([9.0, 7.1], DOWN, minimize=False)
    assert not early_stopping.is_below_median([9.0, 99.0], DOWN[:2], minimize=True)


def test_the_brackets_of_hyperband_begin_later_one_after_the_other_and_most_jobs_are_in_the_first():
    found = collections.Counter(tuple(early_stopping.rungs(1, 27, 7, index)) for index in range(300))
    assert set(found) == {(1, 3, 9), (3, 9), (9,)}
    assert found[1, 3, 9] > found[3, 9] > found[(9,)]
    assert early_stopping.rungs(4, 5, 7, 0) == [4]


@pytest.mark.parametrize(("value", "outrun"), [(0.5, False), (2.0, True), (9.0, True)])
def test_only_the_best_third_passes_a_rung(value, outrun):
    others = [[5.0, 1.0, 7.0], [5.0, 3.0], [5.0]]
    assert early_stopping.is_outrun([5.0, value], 2, others, minimize=True) is outrun
    assert early_stopping.is_outrun([5.0, -value], 2, [[-v for v in other] for other in others], False) is outrun


def test_a_rung_that_few_have_reached_decides_nothing():
    assert not early_stopping.is_outrun([9.0], 1, [[1.0]], minimize=True)


def test_jobs_without_an_improvement_are_counted_from_the_best_one():
    assert completion.not_improving([3.0, 1.0, 2.0, 1.0], minimize=True) == 2
    assert completion.not_improving([3.0, 1.0, 2.0, 1.0], minimize=False) == 3
    assert completion.not_improving([], minimize=True) == 0


def test_a_search_has_converged_when_ten_jobs_moved_the_best_value_by_next_to_nothing():
    values = [5.0, 1.0]
    assert not completion.has_converged([*values, *[2.0] * 8], minimize=True)
    assert completion.has_converged([*values, *[2.0] * 10], minimize=True)
    assert completion.has_converged([*values, *[2.0] * 9, 0.999], minimize=True)
    assert not completion.has_converged([*values, *[2.0] * 9, 0.9], minimize=True)


@pytest.mark.parametrize(
    ("criteria", "complete"),
    [
        ({}, False),
        ({"TargetObjectiveMetricValue": 1.0}, True),
        ({"TargetObjectiveMetricValue": 0.5}, False),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 10}}, True),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 11}}, False),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}, True),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Disabled"}}, False),
    ],
)
def test_each_criterion_completes_a_tuning_job_by_itself(criteria, complete):
    assert completion.is_complete(criteria, [5.0, 1.0, *[2.0] * 10], minimize=True) is complete


def test_a_target_is_above_where_more_is_better():
    assert completion.is_complete({"TargetObjectiveMetricValue": 1.0}, [2.0], minimize=False)
    assert not completion.is_complete({"TargetObjectiveMetricValue": 3.0}, [2.0], minimize=False)
