"""Subscriptions, usage, renewals and retention campaigns of a software service that bills every 30 days.

Correlated log-normal event rates, Poisson daily counts with the shape of a week, a utility that each kind of event
saturates and a renewal by a sigmoid of it follow Gold, "Fighting Churn with Data", Manning, 2020. Engagement that
drifts, randomised treatment arms and price rises are this course's.
"""

from helpers.data.churn.behaviour import EVENTS, PLANS
from helpers.data.churn.campaigns import ARMS, Campaigns
from helpers.data.churn.simulator import SCALES, PriceRise, Subscriptions, at_scale, simulate

__all__ = [
    "ARMS",
    "EVENTS",
    "PLANS",
    "SCALES",
    "Campaigns",
    "PriceRise",
    "Subscriptions",
    "at_scale",
    "simulate",
]
