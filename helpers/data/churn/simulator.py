"""The days of a subscription service: sign-ups, use, renewals, campaigns and price rises."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from helpers.data.churn.behaviour import (
    CYCLE_DAYS,
    ENGAGEMENT_MEMORY,
    ENGAGEMENT_SHOCK,
    EVENTS,
    PLANS,
    WEEKDAY_SHAPE,
    Customers,
    churn_probability,
    draw_customers,
    utility,
)
from helpers.data.churn.campaigns import ARMS, Campaigns, effect

DECISION_DAYS = 10  # before the end of a cycle, a customer who will leave has made up his mind
FADING = 0.4  # of the usual use, what is left from then on
FAILED_PAYMENTS = 0.003  # share of bills

SCALES = {
    "smoke": {"n_customers": 900, "n_days": 360},
    "lab": {"n_customers": 8_000, "n_days": 540},
    "full": {"n_customers": 20_000, "n_days": 720},
}


@dataclass(frozen=True)
class PriceRise:
    """Every bill from `day` on is `factor` times the plan's first price, for the named plans."""

    day: int
    factor: float
    plans: tuple[str, ...] = tuple(PLANS.index)


@dataclass(frozen=True)
class Subscriptions:
    """What the service's database holds, and what only the simulator knows.

    Days count from the first one, a Monday; a customer's last day is `ended_day`, on which nothing is used any more.

    Attributes:
        customers: one row per customer: customer_id, signup_day, plan, ended_day (Int16, missing while the
            subscription runs), reason ("cancelled", "payment failed", missing while it runs).
        usage: one row per customer and day with any event: customer_id, day, and a count per kind of event (int16).
        renewals: one row per bill that fell due: customer_id, day, price (currency units), renewed (bool).
        contacts: one row per customer and campaign: customer_id, day, arm, drawn by lot among `ARMS`.
        truth: one row per row of contacts, in its order: the probability of leaving at the next renewal under each arm.
        n_days: days simulated.
    """

    customers: pd.DataFrame
    usage: pd.DataFrame
    renewals: pd.DataFrame
    contacts: pd.DataFrame
    truth: pd.DataFrame
    n_days: int


def simulate(
    n_customers: int = 8_000,
    n_days: int = 540,
    seed: int = 0,
    *,
    campaigns: Campaigns | None = Campaigns(),  # noqa: B008 - it is frozen
    price_rises: Iterable[PriceRise] = (),
) -> Subscriptions:
    """Simulate a subscription service.

    Customers sign up evenly over the first nine tenths of the days and are billed every 30 days. What they use
    follows their own rates, an engagement that drifts from cycle to cycle, and the shape of a week. A customer leaves
    at a bill with a probability that falls with the utility of the service; who will leave uses less in the ten days
    before. Three bills in a thousand fail, whatever the customer wants.

    Args:
        n_customers: customers who sign up.
        n_days: days simulated, at least two cycles.
        seed: the same seed gives the same bytes. Without campaigns, or with other price rises, the same customers sign
            up and draw the same lots, so that what differs is the effect.
        campaigns: None for none.
        price_rises: may overlap; the factors of those in force are multiplied.

    Raises:
        ValueError: a size is too small, a factor is not positive, or a plan is unknown.
    """
    rises = tuple(price_rises)
    _check(n_customers, n_days, rises)
    streams = np.random.SeedSequence(seed).spawn(5)
    traits_rng, renewal_rng, drift_rng, campaign_rng = map(np.random.default_rng, streams[:4])
    cycles = n_days // CYCLE_DAYS + 1
    service = _Service(
        customers=draw_customers(traits_rng, n_customers),
        signup=np.sort(traits_rng.integers(0, max(n_days * 9 // 10, 1), n_customers)),
        leaves=renewal_rng.random((n_customers, cycles)),
        fails=renewal_rng.random((n_customers, cycles)) < FAILED_PAYMENTS,
        drift=drift_rng.normal(0, ENGAGEMENT_SHOCK, (n_customers, cycles)),
        lots=campaign_rng,
        campaigns=campaigns,
        rises=rises,
    )
    usage_streams = streams[4].spawn(n_days)
    for day in range(n_days):
        service.bill(day)
        if campaigns and day in campaigns.days(n_days):
            service.contact(day)
        service.use(day, np.random.default_rng(usage_streams[day]))
    return service.frames(n_days)


def at_scale(seed: int = 0, scale: str | None = None, **options) -> Subscriptions:
    """Simulate at a course scale.

    Args:
        seed: as in `simulate`.
        scale: "smoke" (900 customers), "lab" (8,000) or "full" (20,000); the environment variable COURSE_SCALE, else
            "lab", when None.
        options: as in `simulate`.

    Raises:
        ValueError: the scale is unknown.
    """
    scale = scale or os.environ.get("COURSE_SCALE") or "lab"
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: COURSE_SCALE must be one of {', '.join(SCALES)}")
    return simulate(**SCALES[scale], seed=seed, **options)


def _check(n_customers: int, n_days: int, rises: tuple[PriceRise, ...]) -> None:
    if n_customers < 1 or n_days < 2 * CYCLE_DAYS:
        raise ValueError(
            f"need at least one customer and {2 * CYCLE_DAYS} days, got {n_customers} customers and {n_days} days"
        )
    for rise in rises:
        if rise.factor <= 0 or not set(rise.plans) <= set(PLANS.index):
            raise ValueError(f"a price rise needs a positive factor and plans among {list(PLANS.index)}, got {rise}")


@dataclass
class _Service:
    """The state of all customers on one day, and the rows that the days have left."""

    customers: Customers
    signup: np.ndarray
    leaves: np.ndarray
    fails: np.ndarray
    drift: np.ndarray
    lots: np.random.Generator
    campaigns: Campaigns | None
    rises: tuple[PriceRise, ...]
    usage: list[tuple] = field(default_factory=list)
    renewals: list[tuple] = field(default_factory=list)
    contacts: list[tuple] = field(default_factory=list)
    truth: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.signup)
        self.active = np.zeros(n, dtype=bool)
        self.fading = np.zeros(n, dtype=bool)
        self.engagement = np.zeros(n)
        self.arm = np.zeros(n, dtype=np.int8)  # in force until the next bill
        self.contacted = np.full(n, -(10**6))
        self.ended = np.full(n, -1)
        self.unpaid = np.zeros(n, dtype=bool)

    def bill(self, day: int) -> None:
        """Sign-ups, decisions and bills of a day; a new cycle brings new engagement."""
        age = day - self.signup
        self.active |= age == 0
        cycle = age // CYCLE_DAYS
        deciding = np.flatnonzero(self.active & (age % CYCLE_DAYS == CYCLE_DAYS - DECISION_DAYS))
        self.fading[deciding] = self._leaving(deciding, cycle[deciding], day)
        due = np.flatnonzero(self.active & (age > 0) & (age % CYCLE_DAYS == 0))
        ending = cycle[due] - 1
        left = self._leaving(due, ending, day)
        unpaid = self.fails[due, ending] & ~left
        self.renewals.append((due, np.full(len(due), day), self._bills(due, day), ~(left | unpaid)))
        gone = due[left | unpaid]
        self.active[gone], self.ended[gone] = False, day
        self.unpaid[due[unpaid]] = True
        stays = due[~(left | unpaid)]
        self.fading[stays], self.arm[stays] = False, 0
        self.engagement[stays] = ENGAGEMENT_MEMORY * self.engagement[stays] + self.drift[stays, cycle[stays]]

    def contact(self, day: int) -> None:
        """A campaign: its customers and their arms are drawn by lot."""
        n = len(self.signup)
        drawn, arm = self.lots.random(n) < self.campaigns.share, self.lots.integers(0, len(ARMS), n)
        rested = day - self.contacted > self.campaigns.rest_days
        who = np.flatnonzero(self.active & (self.signup < day) & drawn & rested)
        self.arm[who], self.contacted[who] = arm[who], day
        self.contacts.append((who, np.full(len(who), day), arm[who]))
        at_renewal = day + CYCLE_DAYS - (day - self.signup[who]) % CYCLE_DAYS
        self.truth.append(churn_probability(self._utilities(who, at_renewal)))

    def use(self, day: int, rng: np.random.Generator) -> None:
        """What the active customers do on a day."""
        pace = np.exp(self.engagement) * np.where(self.fading, FADING, 1) * WEEKDAY_SHAPE[day % 7] / CYCLE_DAYS
        counts = rng.poisson(self.customers.rate * pace[:, None]).astype(np.int16)
        who = np.flatnonzero(self.active & counts.any(axis=1))
        self.usage.append((who, np.full(len(who), day), counts[who]))

    def _leaving(self, who: np.ndarray, cycle: np.ndarray, day: int) -> np.ndarray:
        """Whether customers leave at the end of a cycle, as things stand on a day."""
        utilities = self._utilities(who, np.full(len(who), day))
        return self.leaves[who, cycle] < churn_probability(utilities[np.arange(len(who)), self.arm[who]])

    def _utilities(self, who: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Utility of customers under each arm at the prices of a day, shape (who, arms)."""
        traits = Customers(*(values[who] for values in vars(self.customers).values()))
        ratio = self._price_ratio(who, day)
        plain = utility(traits, self.engagement[who], ratio)
        if self.campaigns is None:
            return np.repeat(plain[:, None], len(ARMS), axis=1)
        return plain[:, None] + effect(self.campaigns, traits, self.engagement[who], ratio)

    def _price_ratio(self, who: np.ndarray, day: np.ndarray) -> np.ndarray:
        ratio = np.ones(len(who))
        for rise in self.rises:
            concerned = np.isin(self.customers.plan[who], PLANS.index.get_indexer(rise.plans))
            ratio[concerned & (day >= rise.day)] *= rise.factor
        return ratio

    def _bills(self, who: np.ndarray, day: int) -> np.ndarray:
        """Currency units that fall due, the discount of a campaign taken off."""
        ratio = self._price_ratio(who, np.full(len(who), day))
        discount = self.campaigns.discount if self.campaigns else 0
        discounted = np.where(self.arm[who] == ARMS.index("discount"), 1 - discount, 1)
        return (PLANS["price"].to_numpy()[self.customers.plan[who]] * ratio * discounted).round(2)

    def frames(self, n_days: int) -> Subscriptions:
        """The rows of all days."""
        usage_who, usage_day, counts = (np.concatenate(part) for part in zip(*self.usage, strict=True))
        who, day, price, renewed = (np.concatenate(part) for part in zip(*self.renewals, strict=True))
        return Subscriptions(
            customers=self._customers(),
            usage=pd.DataFrame(
                {**_who_and_day(usage_who, usage_day), **dict(zip(EVENTS.index, counts.T, strict=True))}
            ),
            renewals=pd.DataFrame({**_who_and_day(who, day), "price": price, "renewed": renewed}),
            contacts=self._contacts(),
            truth=pd.DataFrame(np.concatenate([np.empty((0, len(ARMS))), *self.truth]), columns=list(ARMS)),
            n_days=n_days,
        )

    def _customers(self) -> pd.DataFrame:
        reason = np.where(self.unpaid, "payment failed", "cancelled")
        return pd.DataFrame(
            {
                "customer_id": np.arange(len(self.signup), dtype=np.int32),
                "signup_day": self.signup.astype(np.int16),
                "plan": pd.Categorical.from_codes(self.customers.plan, list(PLANS.index), ordered=True),
                "ended_day": pd.Series(self.ended, dtype="Int16").mask(self.ended < 0),
                "reason": pd.Series(reason, dtype="string").mask(self.ended < 0),
            }
        )

    def _contacts(self) -> pd.DataFrame:
        nothing = (np.empty(0, int),) * 3
        who, day, arm = (np.concatenate(part) for part in zip(nothing, *self.contacts, strict=True))
        return pd.DataFrame({**_who_and_day(who, day), "arm": pd.Categorical.from_codes(arm, list(ARMS))})


def _who_and_day(who: np.ndarray, day: np.ndarray) -> dict[str, np.ndarray]:
    return {"customer_id": who.astype(np.int32), "day": day.astype(np.int16)}
