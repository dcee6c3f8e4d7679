"""Fleets hold their objective in a simulated queue; costs follow from hours, prices and shapes."""

import heapq

import numpy as np
import pytest

from helpers import capacity
from helpers.costs import hourly_price

LARGE = "ml.m5.large"


def share_within(rate, seconds, within, workers, n=200_000, seed=0):
    """Share of simulated requests that are answered in time: one queue, so many workers."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, n))
    works = rng.exponential(seconds, n)
    free = [0.0] * workers
    waits = np.empty(n)
    for i in range(n):
        start = max(arrivals[i], heapq.heappop(free))
        waits[i] = start - arrivals[i]
        heapq.heappush(free, start + works[i])
    return np.mean(waits + seconds <= within)


@pytest.mark.parametrize(("rate", "seconds", "within"), [(5, 0.1, 0.3), (40, 0.1, 0.2), (0.5, 1.0, 3.0)])
def test_the_fewest_instances_hold_the_objective_and_one_less_does_not(rate, seconds, within):
    found = capacity.instances_for(rate, seconds, within)
    assert share_within(rate, seconds, within, found) > 0.99 - 0.003
    assert found == 1 or rate * seconds >= found - 1 or share_within(rate, seconds, within, found - 1) < 0.99


def test_workers_of_an_instance_share_its_queue():
    assert capacity.instances_for(40, 0.1, 0.2, concurrency=4) == -(-capacity.instances_for(40, 0.1, 0.2) // 4)


def test_an_objective_below_the_work_is_refused():
    with pytest.raises(ValueError, match=r"within 0\.1 s when the work alone takes 0\.2 s"):
        capacity.instances_for(1, 0.2, 0.1)


def test_a_trace_is_sized_minute_by_minute_between_mean_and_peak():
    trace = np.r_[np.full(50, 30), np.full(10, 1200)]
    table = capacity.right_size(trace, 0.1, 0.3)
    assert table["needed"].iloc[0] == capacity.instances_for(0.5, 0.1, 0.3)
    assert table["needed"].iloc[-1] == capacity.instances_for(20, 0.1, 0.3) == table["for_peak"].iloc[0]
    assert table["for_mean"].iloc[0] == capacity.instances_for(trace.mean() / 60, 0.1, 0.3)
    assert table["needed"].iloc[0] < table["for_mean"].iloc[0] < table["for_peak"].iloc[0]


@pytest.mark.parametrize("shape", [capacity.steady, capacity.office_hours, capacity.bursts])
def test_a_shape_holds_all_requests_of_the_month(shape):
    requests = shape(120_000)
    assert len(requests) == capacity.HOURS_PER_MONTH
    assert requests.sum() == pytest.approx(120_000)


def costs(requests, seconds=0.1, **options):
    workload = capacity.Workload(requests, seconds)
    return capacity.monthly_costs(workload, LARGE, **options).set_index("strategy")["usd"]


def test_an_idle_model_costs_an_instance_in_real_time_and_nothing_elsewhere():
    usd = costs(np.zeros(capacity.HOURS_PER_MONTH))
    assert usd["real-time"] == usd["real-time, scaled"] == pytest.approx(730 * hourly_price(LARGE))
    assert usd[["serverless", "asynchronous", "batch"]].sum() == 0


def test_scaling_pays_for_shapes_and_not_for_steady_traffic():
    many = 20_000_000
    steady, burst = costs(capacity.steady(many)), costs(capacity.bursts(many))
    assert steady["real-time, scaled"] == steady["real-time"]
    assert burst["real-time, scaled"] < 0.1 * burst["real-time"]
    assert burst["asynchronous"] < burst["real-time, scaled"]
    assert burst["batch"] <= burst["asynchronous"]


def test_serverless_costs_the_work_alone_whatever_its_shape():
    flat, burst = costs(capacity.steady(100_000)), costs(capacity.bursts(100_000))
    assert flat["serverless"] == pytest.approx(burst["serverless"])
    assert costs(capacity.steady(100_000), memory_gb=4)["serverless"] > 1.9 * (flat["serverless"] - 0.1)


def test_at_the_break_even_both_cost_the_same():
    requests = capacity.break_even_requests(LARGE, 0.1, memory_gb=2)
    usd = costs(capacity.steady(requests), seconds=0.1)
    assert usd["serverless"] == pytest.approx(usd["real-time"])
    assert usd["real-time"] > 730 * hourly_price(LARGE), "the bytes cost something too"


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="none of them negative"):
        capacity.Workload(np.array([1.0, -1.0]), 0.1)
    with pytest.raises(ValueError, match="seconds must be above 0"):
        capacity.Workload(np.ones(3), 0)
    with pytest.raises(KeyError, match="got 7"):
        capacity.monthly_costs(capacity.Workload(np.ones(3), 1), LARGE, memory_gb=7)
    with pytest.raises(KeyError, match="no list price"):
        capacity.monthly_costs(capacity.Workload(np.ones(3), 1), "ml.z9.large")
