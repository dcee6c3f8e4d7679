import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from helpers import experiments
from helpers.experiments import Plan, as_looks, request_log, stream_z, streams

EVENLY = np.arange(1, 21) / 20


@pytest.mark.parametrize(("p0", "p1", "n"), [(0.20, 0.22, 6507), (0.22, 0.20, 6507), (0.85, 0.86, 19458)])
def test_sample_sizes_are_the_published_ones(p0, p1, n):
    assert experiments.sample_size(p0, p1) == n


def test_more_looks_need_few_more_observations():
    sizes = [experiments.sample_size(0.2, 0.22, looks=looks) for looks in (1, 2, 5, 20)]
    assert sizes == sorted(sizes) and 1.04 < sizes[-1] / sizes[0] < 1.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p0": 0.2, "p1": 0.2}, "tells 0.2 from 0.2"),
        ({"p0": 0.0, "p1": 0.2}, "p0"),
        ({"p0": 0.2, "p1": 0.3, "power": 1}, "power"),
        ({"p0": 0.2, "p1": 0.3, "alpha": 5}, "alpha"),
        ({"p0": 0.2, "p1": 0.3, "looks": 0}, "looks"),
    ],
)
def test_a_size_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        experiments.sample_size(**arguments)


def test_boundaries_are_those_of_the_published_tables():
    # Reboussin, DeMets, Kim, Lan, "Computations for group sequential boundaries", Controlled Clinical Trials, 2000.
    assert experiments.boundaries(np.arange(1, 6) / 5) == pytest.approx(
        [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4
    )
    assert experiments.boundaries([1.0]) == pytest.approx([norm.isf(0.025)])


def test_peeking_raises_the_published_number_of_false_alarms():
    # Armitage, McPherson, Rowe, JRSS A 132, 1969, table 2.
    for looks, published in {1: 0.050, 2: 0.083, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}.items():
        fractions = np.arange(1, looks + 1) / looks
        got = experiments.crossing_probabilities(fractions, np.full(looks, norm.isf(0.025))).sum()
        assert got == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("fractions", [EVENLY, [0.1, 0.1001, 0.5, 1], [0.3, 0.9], [0.02, 0.97, 1.0]])
def test_boundaries_spend_what_the_function_allows_at_any_looks(fractions):
    bounds = experiments.boundaries(fractions)
    spent = experiments.crossing_probabilities(fractions, bounds).cumsum()
    # Where the bound is capped, what it spends is too little to see.
    assert spent == pytest.approx(experiments.spending(fractions), abs=1e-8)
    assert experiments.boundaries([*fractions[:-1], (fractions[-2] + fractions[-1]) / 2])[:-1] == pytest.approx(
        bounds[:-1]
    )


def test_at_twenty_looks_an_a_a_experiment_keeps_alpha_and_peeking_does_not():
    z = np.abs(stream_z(streams(0.8, 0.8, 2748, looks=20, n_streams=20_000, seed=1)))
    held = (z >= experiments.boundaries(EVENLY)).any(axis=1).mean()
    peeked = (z >= norm.isf(0.025)).any(axis=1).mean()
    assert held == pytest.approx(0.05, abs=0.006)
    assert peeked == pytest.approx(0.248, abs=0.012)


@pytest.mark.parametrize(("p0", "p1", "looks"), [(0.8, 0.83, 1), (0.8, 0.83, 20), (0.2, 0.22, 20), (0.86, 0.85, 5)])
def test_the_planned_size_has_the_planned_power(p0, p1, looks):
    n = experiments.sample_size(p0, p1, looks=looks)
    z = np.abs(stream_z(streams(p0, p1, n, looks, n_streams=20_000, seed=2)))
    power = (z >= experiments.boundaries(np.arange(1, looks + 1) / looks)).any(axis=1).mean()
    assert power == pytest.approx(0.8, abs=0.012)


def test_looks_whose_counts_are_left_to_the_lot_keep_alpha_too():
    rng, crossed = np.random.default_rng(3), 0
    for _ in range(200):
        n = np.cumsum(rng.binomial(480, 0.5, (5, 2)), axis=0)
        x = np.cumsum(rng.binomial(np.diff(n, axis=0, prepend=0), 0.3), axis=0)
        looks = pd.DataFrame({"n0": n[:, 0], "x0": x[:, 0], "n1": n[:, 1], "x1": x[:, 1]})
        crossed += experiments.sequential_test(looks, 1200)["crossed"].iloc[-1]
    assert binomtest(int(crossed), 200, 0.05).pvalue > 1e-3


def test_the_sequential_test_reports_each_look():
    looks = as_looks(streams(0.5, 0.6, 1000, looks=4, n_streams=1, seed=0)[0])
    judged = experiments.sequential_test(looks, 1000)
    assert judged["fraction"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert judged["bound"].to_numpy() == pytest.approx(experiments.boundaries([0.25, 0.5, 0.75, 1.0]))
    assert judged["crossed"].is_monotonic_increasing
    assert (judged["low"] < judged["difference"]).all() and (judged["difference"] < judged["high"]).all()
    assert (judged["high"] - judged["low"]).is_monotonic_decreasing
    swapped = experiments.sequential_test(looks.rename(columns=lambda name: name[0] + "10"[int(name[1])]), 1000)
    assert swapped["z"].to_numpy() == pytest.approx(-judged["z"].to_numpy())
    assert judged.iloc[:2].equals(experiments.sequential_test(looks.iloc[:2], 1000))


def test_intervals_of_all_looks_hold_the_difference_at_once():
    held = 0
    for stream in streams(0.5, 0.55, 800, looks=10, n_streams=400, seed=4):
        judged = experiments.sequential_test(as_looks(stream), 800)
        held += ((judged["low"] <= 0.05) & (judged["high"] >= 0.05)).all()
    assert binomtest(int(held), 400, 0.95).pvalue > 1e-3


def test_nothing_is_left_to_spend_beyond_the_planned_number():
    looks = pd.DataFrame(
        {"n0": [500, 1000, 1500], "x0": [250, 500, 750], "n1": [500, 1000, 1500], "x1": [250, 500, 900]}
    )
    judged = experiments.sequential_test(looks, 1000)
    assert judged["fraction"].tolist() == [0.5, 1.0, 1.0]
    assert not judged["crossed"].any() and judged["low"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"x1": [5, 4]}, "none may fall"),
        ({"x0": [11, 12]}, "more successes"),
        ({"n1": [0, 10]}, "both arms"),
    ],
)
def test_counts_that_are_not_of_looks_are_refused(change, error):
    looks = pd.DataFrame({"n0": [10, 20], "x0": [5, 10], "n1": [10, 20], "x1": [5, 10]} | change)
    with pytest.raises(ValueError, match=error):
        experiments.sequential_test(looks, 20)
    with pytest.raises(KeyError, match="x1"):
        experiments.sequential_test(looks.drop(columns="x1"), 20)


def test_a_sample_ratio_mismatch_is_found_and_a_fair_lot_passes():
    weights = {"control": 0.9, "treatment": 0.1}
    fair = experiments.sample_ratio_mismatch({"treatment": 1010, "control": 8990}, weights)
    assert not fair.mismatch and fair.expected == {"control": 9000.0, "treatment": 1000.0}
    assert experiments.sample_ratio_mismatch({"control": 9000, "treatment": 880}, weights).mismatch
    assert experiments.sample_ratio_mismatch({"control": 900, "treatment": 0}, weights).mismatch
    scaled = experiments.sample_ratio_mismatch({"control": 8990, "treatment": 1010}, {"control": 9, "treatment": 1})
    assert scaled.p_value == pytest.approx(fair.p_value)
    with pytest.raises(ValueError, match="same arms"):
        experiments.sample_ratio_mismatch({"control": 8990}, weights)


def test_fair_lots_fail_the_sample_ratio_check_as_often_as_its_threshold_says():
    arms = np.random.default_rng(5).binomial(10_000, 0.5, 2000)
    weights = {"control": 1, "treatment": 1}
    p = [
        experiments.sample_ratio_mismatch({"control": 10_000 - int(each), "treatment": int(each)}, weights).p_value
        for each in arms
    ]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)
    assert np.mean(np.array(p) < experiments.SRM_ALPHA) < 0.004


def test_a_unit_keeps_its_arm_and_another_experiment_draws_anew():
    weights = {"control": 0.75, "treatment": 0.25}
    first = experiments.assign(range(20_000), weights, "first")
    assert first == experiments.assign(range(20_000), weights, "first")
    assert np.mean(np.array(first) == "treatment") == pytest.approx(0.25, abs=0.01)
    other = np.array(experiments.assign(range(20_000), weights, "second")) == "treatment"
    assert other[np.array(first) == "treatment"].mean() == pytest.approx(0.25, abs=0.03)
    assert set(experiments.assign(range(1000), {"control": 1, "treatment": 0}, "off")) == {"control"}


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe, Stat. Med. 17, 1998, table II, method 10, 56/70 against 48/80.
    got = experiments.difference_interval(48, 80, 56, 70)
    assert (got.estimate, got.low, got.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    with pytest.raises(ValueError, match="successes"):
        experiments.difference_interval(5, 4, 1, 2)


def _false_positives(randomise: str, runs: int = 80) -> tuple[float, float]:
    naive = clustered = 0
    for seed in range(runs):
        log = request_log(seed, n_users=600, randomise=randomise)
        arms = log.groupby("variant")["success"].agg(["sum", "size"])
        counts = (*arms.loc["control"], *arms.loc["treatment"])
        naive += experiments.difference_interval(*counts).p_value < 0.05
        clustered += experiments.clustered_difference(log).p_value < 0.05
    return naive / runs, clustered / runs


def test_users_by_lot_and_requests_counted_is_wrong_unless_errors_are_by_user():
    naive, clustered = _false_positives("user")
    assert naive > 0.1
    assert clustered < 0.12


def test_requests_by_lot_may_be_counted_as_requests():
    assert _false_positives("request")[0] < 0.12


def test_an_endpoint_that_draws_per_request_shows_users_both_variants():
    by_request, by_user = request_log(0, randomise="request"), request_log(0, randomise="user")
    assert (by_user.groupby("user_id")["variant"].nunique() == 1).all()
    assert (by_request.groupby("user_id")["variant"].nunique() == 2).mean() > 0.5


def test_requests_that_the_log_lost_are_a_sample_ratio_mismatch():
    for lost, is_mismatch in {0.0: False, 0.08: True}.items():
        counts = request_log(1, n_users=6000, randomise="request", lost=lost)["variant"].value_counts().to_dict()
        assert experiments.sample_ratio_mismatch(counts, {"control": 1, "treatment": 1}).mismatch == is_mismatch


def test_the_decision_follows_the_plan():
    plan = Plan("answer kept", "request", 0.8, 0.83)
    better, worse, same = (
        experiments.decide(plan, as_looks(streams(0.8, p1, plan.n_per_arm, 20, 1, seed=0)[0]))
        for p1 in (0.86, 0.74, 0.8)
    )
    assert (better.verdict, worse.verdict, same.verdict) == ("ship", "keep control", "keep control")
    assert better.looks_taken < 20 and same.looks_taken == 20 and better.low > 0 > worse.high
    record = json.loads(better.to_json())
    assert record["plan"]["p1"] == 0.83 and record["n_per_arm"] == plan.n_per_arm == 2748
    begun = as_looks(streams(0.8, 0.8, plan.n_per_arm, 20, 1, seed=0)[0][:3])
    assert experiments.decide(plan, begun).verdict == "continue"
    lost = begun.assign(n1=(begun["n1"] * 0.7).astype(int), x1=(begun["x1"] * 0.7).astype(int))
    assert experiments.decide(plan, lost).verdict == "invalid"


def test_a_bandit_loses_less_and_knows_less():
    arms = {"shares": [0.80, 0.83], "batches": 20, "batch_size": 100, "n_runs": 400, "seed": 6}
    bandit, equal = experiments.thompson_sampling(**arms), experiments.equal_split(**arms)
    assert (bandit.pulls[:, -1].sum(axis=1) == 2000).all()
    assert bandit.regret[:, -1].mean() < 0.6 * equal.regret[:, -1].mean()
    spread = np.nanstd(bandit.estimates, axis=0), equal.estimates.std(axis=0)
    assert spread[0][0] > 1.3 * spread[1][0], "the worse arm is asked less, so its share is known worse"
    assert np.nanmean(bandit.estimates, axis=0)[0] < 0.80 - 0.004, "an arm with bad luck is not asked again"
    assert equal.estimates.mean(axis=0) == pytest.approx([0.80, 0.83], abs=0.003)


def test_equal_seeds_give_equal_streams():
    assert np.array_equal(streams(0.5, 0.6, 100, 5, 3, seed=7), streams(0.5, 0.6, 100, 5, 3, seed=7))
    assert not np.array_equal(streams(0.5, 0.6, 100, 5, 3, seed=7), streams(0.5, 0.6, 100, 5, 3, seed=8))
    pd.testing.assert_frame_equal(request_log(7, n_users=50), request_log(7, n_users=50))
