"""Scenario 4: fraudsters who learn from what the bank stops."""

from dataclasses import dataclass

import numpy as np

from helpers.data.fraud.profiles import DAY, Customers


@dataclass(frozen=True)
class AdaptiveFraud:
    """How the fraudsters of scenario 4 work.

    Several crews steal cards and add transactions to them, at terminals within the card's own reach and never twice at
    the same one. A crew's amounts are multiples of what the card usually spends. The bank stops a card, with
    probability `caught`, at an amount above `rule_multiple` times the card's mean. The crew then stays just under the
    multiple that was caught, and moves on to its next card; after a card that was not caught it dares a little more.
    Its amounts so end near the rule, where a threshold on the amount no longer tells them from the holder's own.

    Attributes:
        cards_a_day: share of all cards stolen each day.
        transactions_a_day: mean number of added transactions per stolen card and day.
        crews: independent crews; the stolen cards go to them in turn.
        first_multiple: largest amount that a crew tries at first, in multiples of the card's mean amount.
        rule_multiple: multiple above which the bank may stop a card; 2 is the mean plus two standard deviations.
        caught: probability that the bank stops an amount above the rule.
        back_off: next largest multiple, as a share of the caught one.
        probe: growth of the largest multiple after a card that was not caught.
        days_a_card: how long a crew uses a card that is neither caught nor blocked.
    """

    cards_a_day: float = 5e-4
    transactions_a_day: float = 1.5
    crews: int = 3
    first_multiple: float = 5.0
    rule_multiple: float = 2.0
    caught: float = 0.5
    back_off: float = 0.9
    probe: float = 1.02
    days_a_card: int = 14


def transactions(
    rng: np.random.Generator, customers: Customers, n_days: int, fraud: AdaptiveFraud, blocked_after_days: float | None
) -> dict[str, np.ndarray]:
    """The crews' transactions as arrays named as the simulator's, in order of theft.

    Args:
        rng: random stream of this scenario alone.
        customers: who can be robbed.
        n_days: days simulated.
        fraud: the crews' parameters.
        blocked_after_days: a card dies this long after its first fraud; None: never.
    """
    usable = np.flatnonzero(customers.n_reachable)
    largest = np.full(fraud.crews, fraud.first_multiple)
    days_a_card = fraud.days_a_card
    if blocked_after_days is not None:
        days_a_card = min(days_a_card, int(np.ceil(blocked_after_days)))
    parts = [_no_rows()]
    n_stolen = 0
    for day in range(n_days - 1):
        for card in rng.choice(usable, min(rng.poisson(fraud.cards_a_day * len(usable)), len(usable)), replace=False):
            crew = n_stolen % fraud.crews
            n_stolen += 1
            days = min(days_a_card, n_days - day)
            part, multiple_caught = _use_card(rng, customers, int(card), day, days, largest[crew], fraud)
            parts.append(part)
            largest[crew] = (
                max(1.0, fraud.back_off * multiple_caught) if multiple_caught else fraud.probe * largest[crew]
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _use_card(
    rng: np.random.Generator, customers: Customers, card: int, day: int, days: int, largest: float, fraud: AdaptiveFraud
) -> tuple[dict[str, np.ndarray], float | None]:
    """A crew's transactions on one card, and the multiple at which it was caught, if it was."""
    n_reachable = int(customers.n_reachable[card])
    n = min(rng.poisson(fraud.transactions_a_day * days), n_reachable)
    time_of_day = rng.normal(DAY / 2, 20_000, n)
    time_of_day = np.where(abs(time_of_day - DAY / 2) < DAY / 2, time_of_day, rng.uniform(0, DAY, n))
    seconds = np.sort((day + rng.integers(0, days, n)) * DAY + time_of_day.astype(np.int64)).astype(np.int32)
    multiple = largest * rng.uniform(0.8, 1.0, n)
    first_reachable = customers.first_reachable[card]
    terminals = customers.reachable[first_reachable + rng.permutation(n_reachable)[:n]]
    caught = np.flatnonzero((multiple > fraud.rule_multiple) & (rng.random(n) < fraud.caught))
    last = caught[0] + 1 if len(caught) else n
    part = {
        "customer_id": np.full(last, card, dtype=np.int32),
        "terminal_id": terminals[:last],
        "amount": (multiple[:last] * customers.mean_amount[card]).round(2),
        "day": (seconds[:last] // DAY).astype(np.int16),
        "seconds": seconds[:last],
        "scenario": np.full(last, 4, dtype=np.int8),
        "leak_day": np.full(last, day, dtype=np.int16),
    }
    return part, float(multiple[last - 1]) if len(caught) else None


def _no_rows() -> dict[str, np.ndarray]:
    types = {
        "customer_id": np.int32, "terminal_id": np.int32, "amount": np.float64, "day": np.int16, "seconds": np.int32,
        "scenario": np.int8, "leak_day": np.int16,
    }  # fmt: skip
    return {name: np.empty(0, dtype=dtype) for name, dtype in types.items()}
