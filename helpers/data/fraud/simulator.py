"""Customers, terminals, transactions, and the scenarios that make some of them fraudulent."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from helpers.data.fraud import adaptive, blocking
from helpers.data.fraud.profiles import DAY, Customers, draw_customers

LARGE_AMOUNT = 220.0
TERMINAL_COMPROMISED_DAYS = 28
CARD_COMPROMISED_DAYS = 14
# The handbook compromises 2 of 10,000 terminals and 3 of 5,000 customers a day.
TERMINALS_COMPROMISED_A_DAY = 2e-4
CUSTOMERS_COMPROMISED_A_DAY = 6e-4

SCALES = {
    "smoke": {"n_customers": 400, "n_terminals": 800, "n_days": 40},
    "lab": {"n_customers": 2_000, "n_terminals": 4_000, "n_days": 120},
    "full": {"n_customers": 5_000, "n_terminals": 10_000, "n_days": 183},
}


def simulate(
    n_customers: int = 2_000,
    n_terminals: int = 4_000,
    n_days: int = 120,
    seed: int = 0,
    scenarios: Iterable[int] = (1, 2, 3),
    *,
    start: str = "2026-01-01",
    radius: float = 5.0,
    blocked_after_days: float | None = None,
    reissued_after_days: float = 3.0,
    adaptive_fraud: adaptive.AdaptiveFraud | None = None,
) -> pd.DataFrame:
    """Simulate card transactions, genuine and fraudulent.

    Customers and terminals lie uniformly on a 100 × 100 grid; a customer uses the terminals within `radius`, and one
    that reaches no terminal makes no transaction. The scenarios overwrite one another in the order 1, 2, 3:

    1. every amount above 220;
    2. every transaction of a compromised terminal: 2e-4 of the terminals fall each day, for 28 days;
    3. one third of the transactions of compromised cards, amounts × 5: 6e-4 of the cards fall each day, for 14 days;
    4. transactions that a fraudster adds to stolen cards, who learns what the bank stops (see `AdaptiveFraud`).

    Args:
        n_customers: customers, one card each.
        n_terminals: merchants' terminals.
        n_days: days simulated.
        seed: the same seed gives the same bytes. A scenario has a random stream of its own: leaving one out changes
            no genuine transaction.
        scenarios: any of 1, 2, 3 and 4.
        start: first day.
        radius: reach of a customer, in units of the grid.
        blocked_after_days: a card is blocked this long after its first fraud: while blocked it makes no transaction,
            and what leaked before never works again, so neither transactions nor labels come from it. None: the
            published behaviour, cards are never blocked.
        reissued_after_days: how long a blocked card's customer waits for the new card.
        adaptive_fraud: parameters of scenario 4.

    Returns:
        Frame sorted by time: transaction_id (int64), timestamp (datetime64[s]), customer_id (int32), terminal_id
        (int32), amount (float64, currency units), day (int16, since start), seconds (int32, since start), fraud (bool),
        scenario (int8, 0 is genuine).

    Raises:
        ValueError: a size is below 1, or an unknown scenario is asked for.

    Source: Le Borgne et al., Fraud Detection Handbook, section 3.2, for scenarios 1 to 3.
    """
    scenarios = frozenset(scenarios)
    _check(n_customers, n_terminals, n_days, scenarios, blocked_after_days, reissued_after_days)
    profile_rng, transaction_rng, terminal_rng, card_rng, adaptive_rng = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(5)
    )
    customers = draw_customers(profile_rng, n_customers, n_terminals, radius)
    rows = _genuine(transaction_rng, customers, n_days)
    if 1 in scenarios:
        rows["scenario"][rows["amount"] > LARGE_AMOUNT] = 1
    if 2 in scenarios:
        _compromise_terminals(terminal_rng, rows, n_terminals, n_days)
    if 3 in scenarios:
        _compromise_cards(card_rng, rows, n_customers, n_days)
    if 4 in scenarios:
        stolen = adaptive.transactions(
            adaptive_rng, customers, n_days, adaptive_fraud or adaptive.AdaptiveFraud(), blocked_after_days
        )
        rows = {name: np.concatenate([rows[name], stolen[name]]) for name in rows}
        rows = _take(rows, np.argsort(rows["seconds"], kind="stable"))
    if blocked_after_days is not None:
        rows = _take(rows, blocking.accepted(rows, blocked_after_days, reissued_after_days))
    return _frame(rows, start)


def at_scale(seed: int = 0, scale: str | None = None) -> pd.DataFrame:
    """Simulate at a course scale, with the adaptive fraudster and cards blocked 7 days after their first fraud.

    Args:
        seed: as in `simulate`.
        scale: "smoke" (about 30,000 rows), "lab" (460,000) or "full" (1.7 million); the environment variable
            COURSE_SCALE, else "lab", when None.

    Raises:
        ValueError: the scale is unknown.
    """
    scale = scale or os.environ.get("COURSE_SCALE") or "lab"
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: COURSE_SCALE must be one of {', '.join(SCALES)}")
    return simulate(**SCALES[scale], seed=seed, scenarios=(1, 2, 3, 4), blocked_after_days=7)


def _check(
    n_customers: int,
    n_terminals: int,
    n_days: int,
    scenarios: frozenset[int],
    blocked_after_days: float | None,
    reissued_after_days: float,
) -> None:
    for name, size in {"n_customers": n_customers, "n_terminals": n_terminals, "n_days": n_days}.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if unknown := scenarios - {1, 2, 3, 4}:
        raise ValueError(f"unknown scenarios {sorted(unknown)}: choose among 1, 2, 3 and 4")
    if (blocked_after_days or 0) < 0 or reissued_after_days < 0:
        raise ValueError("blocked_after_days and reissued_after_days must not be negative")


def _genuine(rng: np.random.Generator, customers: Customers, n_days: int) -> dict[str, np.ndarray]:
    n_customers = len(customers.mean_amount)
    counts = rng.poisson(customers.transactions_a_day[:, None], (n_customers, n_days)).ravel()
    customer_day = np.repeat(np.arange(n_customers * n_days, dtype=np.int32), counts)
    seconds = rng.normal(DAY / 2, 20_000, len(customer_day)).astype(np.int32)
    within_day = (seconds > 0) & (seconds < DAY)
    customer_day, seconds = customer_day[within_day], seconds[within_day]
    customer_id, day = np.divmod(customer_day, np.int32(n_days))
    seconds += day * DAY
    rows = {
        "customer_id": customer_id,
        "terminal_id": customers.pick_terminals(customer_id, rng.random(len(customer_id))),
        "amount": _amounts(rng, customers.mean_amount[customer_id]),
        "day": day.astype(np.int16),
        "seconds": seconds,
        "scenario": np.zeros(len(customer_id), dtype=np.int8),
        "leak_day": np.full(len(customer_id), -1, dtype=np.int16),
    }
    return _take(rows, np.argsort(seconds, kind="stable"))


def _amounts(rng: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Amounts N(mean, mean / 2), drawn again from U(0, 2·mean) where negative, rounded to cents."""
    amount = rng.normal(mean, mean / 2)
    negative = amount < 0
    amount[negative] = rng.uniform(0, 2 * mean[negative])
    return amount.round(2)


def _compromise_terminals(rng: np.random.Generator, rows: dict, n_terminals: int, n_days: int) -> None:
    compromised = np.zeros((n_terminals, n_days), dtype=bool)
    for day, terminals in _victims(rng, n_terminals, TERMINALS_COMPROMISED_A_DAY, n_days):
        compromised[terminals, day : day + TERMINAL_COMPROMISED_DAYS] = True
    rows["scenario"][compromised[rows["terminal_id"], rows["day"]]] = 2


def _compromise_cards(rng: np.random.Generator, rows: dict, n_customers: int, n_days: int) -> None:
    by_card = np.argsort(rows["customer_id"], kind="stable")
    card_start = np.searchsorted(rows["customer_id"][by_card], np.arange(n_customers + 1))
    for day, cards in _victims(rng, n_customers, CUSTOMERS_COMPROMISED_A_DAY, n_days):
        own = np.concatenate([by_card[card_start[card] : card_start[card + 1]] for card in cards])
        own = own[(rows["day"][own] >= day) & (rows["day"][own] < day + CARD_COMPROMISED_DAYS)]
        stolen = rng.choice(own, len(own) // 3, replace=False)
        rows["amount"][stolen] *= 5
        rows["scenario"][stolen] = 3
        rows["leak_day"][stolen] = day


def _victims(rng: np.random.Generator, n: int, share_a_day: float, n_days: int) -> Iterator[tuple[int, np.ndarray]]:
    """Day and victims, for each day but the last that has some; a fraction of a victim is one with that probability."""
    for day in range(n_days - 1):
        whole, fraction = divmod(round(share_a_day * n, 9), 1)
        count = int(whole) + int(rng.random() < fraction)
        if count:
            yield day, rng.choice(n, count, replace=False)


def _take(rows: dict[str, np.ndarray], which: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[which] for name, values in rows.items()}


def _frame(rows: dict[str, np.ndarray], start: str) -> pd.DataFrame:
    seconds = rows["seconds"]
    return pd.DataFrame(
        {
            "transaction_id": np.arange(len(seconds), dtype=np.int64),
            "timestamp": np.datetime64(start, "s") + seconds.astype("timedelta64[s]"),
            "customer_id": rows["customer_id"],
            "terminal_id": rows["terminal_id"],
            "amount": rows["amount"].round(2),
            "day": rows["day"],
            "seconds": seconds,
            "fraud": rows["scenario"] > 0,
            "scenario": rows["scenario"],
        }
    )
