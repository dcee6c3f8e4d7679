"""The course's figures: one function per figure, each takes data and returns the Axes it drew on.

Colours are Okabe and Ito's, told apart by colour-blind readers; every line also differs in style. Backgrounds are
opaque and light, so that a figure stays legible on a dark page.
"""

from helpers.plots.experiments import detection, false_positives, regret, rollout_timeline, sequential_bounds
from helpers.plots.explanations import feature_importance, shap_beeswarm
from helpers.plots.languages import rater_quality, release_gate, transfer
from helpers.plots.monitoring import drift_timeline, null_distances
from helpers.plots.periods import daily_card_precision, split_timeline
from helpers.plots.retention import gain, profit, qini, survival
from helpers.plots.scores import confusion_matrix, cost_curve, precision_recall, reliability, roc
from helpers.plots.serving import latency_ecdf
from helpers.plots.style import BACKGROUND, COLOURS, REFERENCE, use_style
from helpers.plots.text import class_confusion, learning_curve, risk_coverage, scaling_trace, token_length_cdf

__all__ = [
    "BACKGROUND",
    "COLOURS",
    "REFERENCE",
    "class_confusion",
    "confusion_matrix",
    "cost_curve",
    "daily_card_precision",
    "detection",
    "drift_timeline",
    "false_positives",
    "feature_importance",
    "gain",
    "latency_ecdf",
    "learning_curve",
    "null_distances",
    "precision_recall",
    "profit",
    "qini",
    "rater_quality",
    "regret",
    "release_gate",
    "reliability",
    "risk_coverage",
    "roc",
    "rollout_timeline",
    "scaling_trace",
    "sequential_bounds",
    "shap_beeswarm",
    "split_timeline",
    "survival",
    "token_length_cdf",
    "transfer",
    "use_style",
]
