"""Retention campaigns: who is contacted is drawn by lot, and what a contact does differs between customers."""

from dataclasses import dataclass

import numpy as np

from helpers.data.churn.behaviour import EVENTS, Customers

ARMS = ("control", "email", "discount")
DORMANT_LOGINS = 8.0  # in 30 days; below it, an e-mail reminds a customer of what he pays for and does not use


@dataclass(frozen=True)
class Campaigns:
    """Randomised campaigns.

    Attributes:
        first_day: of the first campaign.
        every_days: from one campaign to the next.
        share: of the active customers, who take part in a campaign; each is in one arm, by lot.
        rest_days: a customer who took part is left alone for so long.
        discount: share of the next bill that the arm discount need not pay.
        email_value: utility that an e-mail adds for a customer who uses the service.
        reminder_cost: utility that an e-mail takes from one who does not.
    """

    first_day: int = 120
    every_days: int = 30
    share: float = 0.5
    rest_days: int = 60
    discount: float = 0.3
    email_value: float = 0.25
    reminder_cost: float = 0.6

    def days(self, n_days: int) -> range:
        """The days on which a campaign begins."""
        return range(self.first_day, n_days, self.every_days)


def effect(campaigns: Campaigns, customers: Customers, engagement: np.ndarray, price_ratio: np.ndarray) -> np.ndarray:
    """Utility that each arm adds at the next renewal, shape (n, arms)."""
    logins = customers.rate[:, EVENTS.index.get_loc("login")] * np.exp(engagement)
    email = np.where(logins < DORMANT_LOGINS, -campaigns.reminder_cost, campaigns.email_value)
    discount = campaigns.discount * customers.price_sensitivity * price_ratio
    # The discount comes by e-mail too.
    return np.column_stack([np.zeros(len(email)), email, email + discount])
