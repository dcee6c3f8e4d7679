"""How many instances a traffic needs, and what each way to serve it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.costs import SECONDS_PER_HOUR, hourly_price
from helpers.prices import DATA_PROCESSED_PRICE, SERVERLESS_PRICES

HOURS_PER_MONTH = 730
STRATEGIES = ("real-time", "real-time, scaled", "serverless", "asynchronous", "batch")
# Load of an instance that queues are short at; `instances_for` computes the load that an objective allows.
TARGET_LOAD = 0.7
# An asynchronous endpoint goes to zero some minutes after its queue is empty, and a batch job has to start.
COOLDOWN_HOURS = 0.25
JOB_START_HOURS = 0.05


@dataclass(frozen=True)
class Workload:
    """What a model is asked in a month, hour by hour.

    Attributes:
        requests: number of requests in each hour, shape (n_hours,).
        seconds: an instance works on one request.
        concurrency: requests that an instance works on at a time without being slower, its cores as a rule.
        kilobytes: of a request and its answer together.
    """

    requests: np.ndarray
    seconds: float
    concurrency: int = 2
    kilobytes: float = 4.0

    def __post_init__(self) -> None:
        requests = np.asarray(self.requests, dtype=float)
        if requests.ndim != 1 or not len(requests) or (requests < 0).any():
            raise ValueError("requests must be a row of hourly numbers, none of them negative")
        if self.seconds <= 0 or self.concurrency < 1 or self.kilobytes < 0:
            raise ValueError("seconds must be above 0, concurrency at least 1, kilobytes not negative")
        object.__setattr__(self, "requests", requests)

    @property
    def busy_instances(self) -> np.ndarray:
        """Instances that would be busy without a pause in each hour, a fraction, shape (n_hours,)."""
        return self.requests * self.seconds / SECONDS_PER_HOUR / self.concurrency


def steady(requests_per_month: float, hours: int = HOURS_PER_MONTH) -> np.ndarray:
    """The same number of requests in each hour, shape (hours,)."""
    return np.full(hours, requests_per_month / hours)


def office_hours(requests_per_month: float, hours: int = HOURS_PER_MONTH) -> np.ndarray:
    """Requests from 8 to 18 o'clock on five days of seven, none otherwise, shape (hours,)."""
    hour = np.arange(hours)
    open_ = (hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5)
    return np.where(open_, requests_per_month / open_.sum(), 0.0)


def bursts(requests_per_month: float, n_bursts: int = 20, hours: int = HOURS_PER_MONTH, seed: int = 0) -> np.ndarray:
    """All requests in some hours of the month, drawn by lot, shape (hours,)."""
    rng = np.random.default_rng(seed)
    requests = np.zeros(hours)
    requests[rng.choice(hours, n_bursts, replace=False)] = requests_per_month / n_bursts
    return requests


def instances_for(
    requests_per_second: float, seconds: float, within: float, quantile: float = 0.99, concurrency: int = 1
) -> int:
    """Fewest instances with which a share of the requests waits no longer than the objective leaves.

    Requests come as a Poisson process and take exponentially distributed time; a request waits in one queue for
    the next free worker. Real queues behind a load balancer are a little longer.

    Args:
        requests_per_second: on average.
        seconds: a worker takes for one request, on average.
        within: seconds to the answer, wait and work, that `quantile` of the requests must keep; work counts with its
            average.
        quantile: share of the requests.
        concurrency: workers of an instance.

    Raises:
        ValueError: within leaves no time to wait, or an argument lies outside its range.

    Source: Erlang's C formula; Gross et al., "Fundamentals of Queueing Theory", 4th ed., 2008, section 2.3.
    """
    if within <= seconds:
        raise ValueError(f"no fleet answers within {within} s when the work alone takes {seconds} s")
    if requests_per_second < 0 or seconds <= 0 or not 0 < quantile < 1 or concurrency < 1:
        raise ValueError("the rate must not be negative, seconds above 0, quantile in (0, 1), concurrency at least 1")
    load = requests_per_second * seconds
    count = max(1, math.ceil(load / concurrency))
    while not _waits_little(load, count * concurrency, (within - seconds) / seconds, 1 - quantile):
        count += 1
    return count


def right_size(requests_per_minute: ArrayLike, seconds: float, within: float, concurrency: int = 1) -> pd.DataFrame:
    """Instances that a trace needs minute by minute, against one size for its peak and one for its mean.

    Args:
        requests_per_minute: the trace, shape (n_minutes,).
        seconds: a worker takes for one request, on average.
        within: seconds to the answer that 99 % of the requests must keep.
        concurrency: workers of an instance.

    Returns:
        One row per minute: minute, requests, needed, for_mean (what the mean of the trace needs), for_peak.
    """
    requests = np.asarray(requests_per_minute, dtype=float)
    sizes = {rate: instances_for(rate / 60, seconds, within, concurrency=concurrency) for rate in np.unique(requests)}
    needed = np.array([sizes[rate] for rate in requests])
    return pd.DataFrame(
        {
            "minute": np.arange(len(requests)),
            "requests": requests,
            "needed": needed,
            "for_mean": instances_for(requests.mean() / 60, seconds, within, concurrency=concurrency),
            "for_peak": needed.max(),
        }
    )


def monthly_costs(
    workload: Workload, instance_type: str, memory_gb: int = 2, serverless_seconds: float | None = None
) -> pd.DataFrame:
    """What each way to serve a workload costs, at AWS's list prices in us-east-1.

    Real-time: a fleet for the peak hour, all the time. Scaled: each hour the fleet that it needs, at least one
    instance. Serverless: seconds of work at the memory's price. Asynchronous: the instances of the hours with
    requests, and a cooldown after them, down to none. Batch: one job a day over the day's requests.

    Args:
        workload: the month.
        instance_type: of the fleets and jobs.
        memory_gb: of the serverless endpoint, 1 to 6.
        serverless_seconds: it takes for a request, if other than the workload's: its share of a core grows with the
            memory.

    Returns:
        One row per strategy, in the order of `STRATEGIES`: strategy, usd, usd_per_million, most_instances (0 for
        serverless), answers_in ("milliseconds", "minutes" or "a day").

    Raises:
        KeyError: an instance type or a memory size has no price here.
    """
    price = hourly_price(instance_type)
    if memory_gb not in SERVERLESS_PRICES:
        raise KeyError(f"serverless memory is one of {list(SERVERLESS_PRICES)} GB, got {memory_gb}")
    needed = np.ceil(workload.busy_instances / TARGET_LOAD)
    scaled = np.maximum(needed, 1)
    # A job and a queue are worked off at full load.
    queued = np.ceil(workload.busy_instances)
    cooldowns = np.count_nonzero((queued > 0) & (np.append(queued[1:], 0) == 0)) * COOLDOWN_HOURS
    days = np.add.reduceat(workload.busy_instances, np.arange(0, len(workload.requests), 24))
    jobs = days.sum() + np.count_nonzero(days) * JOB_START_HOURS
    work = workload.requests.sum() * (serverless_seconds or workload.seconds)
    moved = workload.requests.sum() * workload.kilobytes / 1e6 * DATA_PROCESSED_PRICE
    usd = {
        "real-time": scaled.max() * len(needed) * price + moved,
        "real-time, scaled": scaled.sum() * price + moved,
        "serverless": work * SERVERLESS_PRICES[memory_gb] + moved,
        "asynchronous": (queued.sum() + cooldowns) * price,
        "batch": jobs * price,
    }
    most = {"real-time": scaled.max(), "real-time, scaled": scaled.max(), "asynchronous": queued.max(), "batch": 1}
    speed = dict.fromkeys(STRATEGIES, "milliseconds") | {"asynchronous": "minutes", "batch": "a day"}
    rows = [
        {
            "strategy": name,
            "usd": usd[name],
            "usd_per_million": usd[name] / max(workload.requests.sum(), 1) * 1e6,
            "most_instances": int(most.get(name, 0)),
            "answers_in": speed[name],
        }
        for name in STRATEGIES
    ]
    return pd.DataFrame(rows)


def break_even_requests(
    instance_type: str, serverless_seconds: float, memory_gb: int = 2, hours: int = HOURS_PER_MONTH
) -> float:
    """Requests a month from which one instance that is always on costs less than serverless inference.

    Args:
        instance_type: of the instance.
        serverless_seconds: of work per request.
        memory_gb: of the serverless endpoint, 1 to 6.
        hours: of a month.

    Raises:
        ValueError: serverless_seconds is not above 0.
    """
    if serverless_seconds <= 0:
        raise ValueError(f"a request takes more than {serverless_seconds} s")
    return hourly_price(instance_type) * hours / (serverless_seconds * SERVERLESS_PRICES[memory_gb])


def _waits_little(load: float, workers: int, allowed: float, late: float) -> bool:
    """Whether at most a share `late` of the requests waits longer than `allowed` times the work of one."""
    if load >= workers:
        return False
    return _erlang_c(load, workers) * math.exp(-(workers - load) * allowed) <= late


def _erlang_c(load: float, workers: int) -> float:
    """Chance that a request has to wait."""
    blocked = 1.0
    for count in range(1, workers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / workers * (1 - blocked))
