"""Card transactions with fraud: the Fraud Detection Handbook's simulator, features and split, vectorised.

Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection -
Practical Handbook", Université Libre de Bruxelles, 2022, chapters 3 and 4. The adaptive scenario and the blocking of
cards are this course's.
"""

from helpers.data.fraud.adaptive import AdaptiveFraud
from helpers.data.fraud.features import HANDBOOK_FEATURES, handbook_features
from helpers.data.fraud.scored import random_scored_days
from helpers.data.fraud.simulator import SCALES, at_scale, simulate
from helpers.data.fraud.split import handbook_setting, handbook_split

__all__ = [
    "HANDBOOK_FEATURES",
    "SCALES",
    "AdaptiveFraud",
    "at_scale",
    "handbook_features",
    "handbook_setting",
    "handbook_split",
    "random_scored_days",
    "simulate",
]
