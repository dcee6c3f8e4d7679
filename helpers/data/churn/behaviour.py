"""What customers do with the service, what it is worth to them, and how likely they are to leave."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

CYCLE_DAYS = 30

# expected: events of a usual customer in 30 days; spread: standard deviation of the logarithm of a customer's rate;
# engagement: correlation of that logarithm with the customer's engagement; value: what the event adds to the utility.
EVENTS = pd.DataFrame(
    {
        "login": (18.0, 0.6, 0.8, 0.5),
        "report_viewed": (30.0, 1.0, 0.7, 1.2),
        "dashboard_edited": (6.0, 1.1, 0.6, 0.9),
        "export": (4.0, 0.9, 0.5, 0.4),
        "teammate_invited": (0.5, 0.9, 0.4, 0.9),
        "job_failed": (1.5, 0.9, 0.2, -0.9),
        "support_ticket": (0.6, 0.9, 0.0, -0.7),
    },
    index=["expected", "spread", "engagement", "value"],
).T.rename_axis("event")

# price: currency units in 30 days; floor: what engagement, in standard deviations, makes the plan likely.
PLANS = pd.DataFrame(
    {"basic": (19.0, -0.7), "team": (49.0, 0.3), "business": (119.0, 1.2)}, index=["price", "engagement"]
).T.rename_axis("plan")

WEEKDAY_SHAPE = np.array([1.25, 1.3, 1.3, 1.25, 1.1, 0.4, 0.4])  # Monday first; the mean is 1
ENGAGEMENT_MEMORY = 0.8  # of a cycle's engagement, the part that comes from the cycle before
ENGAGEMENT_SHOCK = 0.5
STEEPNESS = 2.5
BREAK_EVEN = -0.3  # utility at which a customer stays or leaves with equal odds


@dataclass
class Customers:
    """Traits of customers, one array element (or row) per customer.

    Attributes:
        rate: events in 30 days, shape (n, events).
        plan: position in PLANS.
        satisfaction: what the utility holds that no event shows.
        price_sensitivity: utility lost at the plan's first price.
    """

    rate: np.ndarray
    plan: np.ndarray
    satisfaction: np.ndarray
    price_sensitivity: np.ndarray


def draw_customers(rng: np.random.Generator, n: int) -> Customers:
    """Draws customers whose event rates are log-normal and correlated through their engagement."""
    engagement = rng.normal(size=n)
    loading = EVENTS["engagement"].to_numpy()
    own = rng.normal(size=(n, len(EVENTS)))
    log_rate = loading * engagement[:, None] + np.sqrt(1 - loading**2) * own
    rate = EVENTS["expected"].to_numpy() * np.exp(EVENTS["spread"].to_numpy() * log_rate)
    liking = -((engagement[:, None] - PLANS["engagement"].to_numpy()) ** 2) + rng.gumbel(size=(n, len(PLANS)))
    return Customers(rate, liking.argmax(axis=1), rng.normal(0, 0.3, n), rng.lognormal(-0.3, 0.5, n))


def utility(customers: Customers, engagement: np.ndarray, price_ratio: np.ndarray) -> np.ndarray:
    """What the service is worth to each customer, above what it costs.

    Each kind of event adds value * (1 - exp(-2 * rate / expected)): the first uses of a function are worth more than
    the hundredth.

    Args:
        customers: their traits.
        engagement: drift of each customer's use, as a logarithm of its rates, shape (n,).
        price_ratio: price over the plan's first price, shape (n,).
    """
    relative = customers.rate * np.exp(engagement)[:, None] / EVENTS["expected"].to_numpy()
    worth = (EVENTS["value"].to_numpy() * (1 - np.exp(-2 * relative))).sum(axis=1)
    return worth + customers.satisfaction - customers.price_sensitivity * price_ratio


def churn_probability(utility: np.ndarray) -> np.ndarray:
    """Probability that a customer does not renew at the end of a cycle."""
    return 1 / (1 + np.exp(STEEPNESS * (utility - BREAK_EVEN)))
