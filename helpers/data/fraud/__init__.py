"""Card transactions with fraud: the Fraud Detection Handbook's simulator, features and split, vectorised.

Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection -
Practical Handbook", Université Libre de Bruxelles, 2022, chapters 3 and 4. The adaptive scenario and the blocking of
cards are this course's.
"""

from helpers.data.fraud.adaptive import AdaptiveFraud
from helpers.data.fraud.features import HANDBOOK_FEATURES, handbook_features
from helpers.data.fraud.handbook import HANDBOOK_RESULTS, handbook_models, handbook_setting, handbook_split
from helpers.data.fraud.scored import random_scored_days
from helpers.data.fraud.simulator import SCALES, at_scale, simulate

__all__ = [
    "HANDBOOK_FEATURES",
    "HANDBOOK_RESULTS",
    "SCALES",
    "AdaptiveFraud",
    "at_scale",
    "handbook_features",
    "handbook_models",
    "handbook_setting",
    "handbook_split",
    "random_scored_days",
    "simulate",
]
