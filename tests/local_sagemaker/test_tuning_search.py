"""What a tuning job tries next: ranges, scales and strategies, with no job that runs."""

import math
import statistics

import pytest

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.tuning import proposals, search_space
from helpers.local_sagemaker.tuning.proposals import Tried

BUDGET = 20


def ranges(kind: str, low: str, high: str, scale: str = "Linear", name: str = "x") -> dict:
    """A ParameterRanges with one numeric range."""
    return {f"{kind}ParameterRanges": [{"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scale}]}


def drawn(given: dict, count: int = 200, strategy: str = "Random") -> list[str]:
    """So many values of x."""
    parameters = search_space.parse(given)
    return [proposals.propose(strategy, parameters, index=index, seed=5)["x"] for index in range(count)]


def search(strategy: str, seed: int) -> float:
    """The best value of a smooth function of a rate on a logarithmic scale and a share, after so many tries."""
    parameters = search_space.parse(
        {
            "ContinuousParameterRanges": [
                {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1", "ScalingType": "Logarithmic"},
                {"Name": "share", "MinValue": "0", "MaxValue": "1"},
            ]
        }
    )
    tried: list[Tried] = []
    for index in range(BUDGET):
        values = proposals.propose(
            strategy, parameters, index=index, seed=seed, minimize=False, jobs=BUDGET, history=tried
        )
        rate, share = math.log10(float(values["rate"])), float(values["share"])
        tried.append(Tried(values, -((rate + 2.5) ** 2) / 4 - (share - 0.7) ** 2))
    return max(each.objective for each in tried)


def test_bayesian_search_finds_better_values_than_random_search():
    random, bayesian = ([search(strategy, seed) for seed in range(12)] for strategy in ("Random", "Bayesian"))
    # Both draw the same first third.
    assert sum(better >= worse for better, worse in zip(bayesian, random, strict=True)) >= 9
    assert statistics.median(bayesian) > statistics.median(random) / 3


@pytest.mark.parametrize("strategy", ["Random", "Bayesian", "Hyperband"])
def test_a_seed_gives_the_same_proposals_and_another_one_gives_others(strategy):
    parameters = search_space.parse(ranges("Continuous", "0", "1"))
    history = [Tried({"x": str(place / 10)}, place / 10) for place in range(10)]
    first, again, other = (
        [proposals.propose(strategy, parameters, index=index, seed=seed, history=history)["x"] for index in range(5)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == 5


def test_jobs_that_still_run_keep_the_next_ones_away():
    parameters = search_space.parse(ranges("Continuous", "0", "1"))
    history = [Tried({"x": str(place / 20)}, abs(place / 20 - 0.5)) for place in range(20)]
    pending = [Tried({"x": "0.5"})] * 8

    def distance(known: list[Tried]) -> float:
        found = [
            float(proposals.propose("Bayesian", parameters, index=index, seed=3, history=known)["x"])
            for index in range(20)
        ]
        return statistics.fmean(abs(x - 0.5) for x in found)

    assert distance(history + pending) > distance(history)


def test_linear_values_are_spread_evenly_within_their_range():
    values = [float(value) for value in drawn(ranges("Continuous", "-2", "6"))]
    assert -2 <= min(values) < -1.5
    assert 5.5 < max(values) <= 6
    assert 1 < statistics.median(values) < 3


def test_logarithmic_values_are_spread_evenly_over_magnitudes():
    values = [float(value) for value in drawn(ranges("Continuous", "0.0001", "1", "Logarithmic"))]
    assert 0.003 < statistics.median(values) < 0.03


def test_reverse_logarithmic_values_come_close_to_one():
    values = [float(value) for value in drawn(ranges("Continuous", "0", "0.9999", "ReverseLogarithmic"))]
    assert 0.97 < statistics.median(values) < 0.997
    assert all(0 <= value <= 0.9999 for value in values)


def test_integers_are_whole_on_both_scales():
    assert set(drawn(ranges("Integer", "3", "6"))) == {"3", "4", "5", "6"}
    values = [int(value) for value in drawn(ranges("Integer", "1", "10000", "Logarithmic"))]
    assert 20 < statistics.median(values) < 500


def test_the_automatic_scale_is_logarithmic_where_the_ends_are_far_apart():
    wide, narrow = (search_space.parse(ranges("Continuous", low, "1", "Auto"))[0].scale for low in ("0.001", "0.1"))
    assert (wide, narrow) == ("Logarithmic", "Linear")


def test_a_grid_has_every_combination_once():
    given = {
        "CategoricalParameterRanges": [
            {"Name": "x", "Values": ["a", "b", "c"]},
            {"Name": "y", "Values": ["1", "2"]},
        ]
    }
    parameters = search_space.parse(given)
    assert proposals.cells(parameters) == 6
    cells = [tuple(proposals.propose("Grid", parameters, index=i, seed=0).values()) for i in range(6)]
    assert set(cells) == {(x, y) for x in "abc" for y in "12"}


def test_what_was_tried_elsewhere_is_learned_from_only_where_it_fits():
    parameters = search_space.parse(ranges("Integer", "1", "5"))
    strange = [Tried({"x": value}, 0.0) for value in ("0", "6", "2.5", "many")] + [Tried({"y": "1"}, 0.0)]

    def proposed(history: list[Tried]) -> str:
        return proposals.propose("Bayesian", parameters, index=7, seed=1, history=history)["x"]

    assert proposed(strange * 5) == proposed([])
    learned = [Tried({"x": str(1 + place % 5)}, float(place % 5)) for place in range(30)]
    assert proposed(learned) in ("1", "2")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ranges("Continuous", "a", "1"), "must each be a number"),
        (ranges("Continuous", "nan", "1"), "must each be a number"),
        (ranges("Integer", "1", "2.5"), "must each be an integer"),
        (ranges("Integer", "3", "2"), "must not be above its MaxValue"),
        (ranges("Continuous", "0", "1", "Logarithmic"), "needs a MinValue above 0"),
        (ranges("Continuous", "0", "1", "ReverseLogarithmic"), "within 0 <= x < 1"),
        (ranges("Integer", "0", "0", "ReverseLogarithmic"), "needs a continuous range"),
        (ranges("Integer", "0", "1") | ranges("Continuous", "0", "1"), r"more are given for \['x'\]"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(given, message):
    with pytest.raises(errors.AwsError, match=message):
        search_space.parse(given)
