"""Measures of bias between a facet that is disadvantaged and everybody else.

Source: "Pre-training Bias Metrics" and "Post-training Data and Model Bias Metrics" of the Amazon SageMaker developer
guide; FT and GE as in the open-source library smclarify.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_NEIGHBOURS = 5


class UndefinedError(Exception):
    """A metric has no value for this data; the message says why."""


@dataclass(frozen=True)
class Sample:
    """What the metrics look at, each of shape (n,).

    Attributes:
        facet: True for members of the disadvantaged facet.
        label: True where the observed label is positive.
        classes: the observed labels themselves, of any number of values.
        predicted: True where the predicted label is positive; None where nothing is predicted.
        group: strata of the conditional metrics; None where there are none.
        features: shape (n, m), numbers that tell how alike two members are; None where they are not known.
    """

    facet: np.ndarray
    label: np.ndarray
    classes: np.ndarray
    predicted: np.ndarray | None = None
    group: np.ndarray | None = None
    features: np.ndarray | None = None


def _ratio(part: float, whole: float, of: str) -> float:
    if not whole:
        raise UndefinedError(f"There is no {of}.")
    return float(part) / float(whole)


def _of_both(sample: Sample, measure: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """A measure of the rest (a) and of the facet (d), from a mask of rows."""
    return measure(~sample.facet), measure(sample.facet)


def _rate(chosen: np.ndarray, among: np.ndarray, of: str) -> float:
    """The share of `chosen` rows of those that are `among`."""
    return _ratio((chosen & among).sum(), among.sum(), of)


def class_imbalance(sample: Sample) -> float:
    """CI: (n_a - n_d) / n."""
    return _ratio((~sample.facet).sum() - sample.facet.sum(), len(sample.facet), "row")


def label_proportions(sample: Sample) -> float:
    """DPL: q_a - q_d."""
    ours, theirs = _of_both(sample, lambda rows: _rate(sample.label, rows, "member of a facet"))
    return ours - theirs


def _distributions(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    values = np.unique(sample.classes)
    counts = [
        np.array([(sample.classes[rows] == value).sum() for value in values]) for rows in (~sample.facet, sample.facet)
    ]
    if not all(count.sum() for count in counts):
        raise UndefinedError("There is no member of a facet.")
    return counts[0] / counts[0].sum(), counts[1] / counts[1].sum()


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    import numpy as np

    present = p > 0
    if (q[present] == 0).any():
        raise UndefinedError("A label of one facet is never observed in the other.")
    return float((p[present] * np.log(p[present] / q[present])).sum())


def kullback_leibler(sample: Sample) -> float:
    """KL of the labels of a from those of d, in nats."""
    return _divergence(*_distributions(sample))


def jensen_shannon(sample: Sample) -> float:
    """JS: the mean divergence of both from their average, in nats."""
    p, q = _distributions(sample)
    return (_divergence(p, (p + q) / 2) + _divergence(q, (p + q) / 2)) / 2


def lp_norm(sample: Sample) -> float:
    """LP: the Euclidean distance of the distributions of labels."""
    p, q = _distributions(sample)
    return float(((p - q) ** 2).sum() ** 0.5)


def total_variation(sample: Sample) -> float:
    """TVD: half of the sum of absolute differences."""
    p, q = _distributions(sample)
    return float(abs(p - q).sum() / 2)


def kolmogorov_smirnov(sample: Sample) -> float:
    """KS: the greatest difference of a label's shares."""
    p, q = _distributions(sample)
    return float(abs(p - q).max())


def _conditional_disparity(sample: Sample, positive: np.ndarray) -> float:
    import numpy as np

    if sample.group is None:
        raise UndefinedError("Group variable is empty or not provided")
    total = 0.0
    for value in np.unique(sample.group):
        rows = sample.group == value
        rejected = _rate(sample.facet, rows & ~positive, "negative label in a group")
        accepted = _rate(sample.facet, rows & positive, "positive label in a group")
        total += rows.sum() * (rejected - accepted)
    return float(total / len(positive))


def conditional_disparity_of_labels(sample: Sample) -> float:
    """CDDL: the share of d among the rejected less that among the accepted, averaged over groups."""
    return _conditional_disparity(sample, sample.label)


def conditional_disparity_of_predictions(sample: Sample) -> float:
    """CDDPL: CDDL of the predicted labels."""
    return _conditional_disparity(sample, sample.predicted)


def predicted_proportions(sample: Sample) -> float:
    """DPPL: q̂_a - q̂_d."""
    ours, theirs = _of_both(sample, lambda rows: _rate(sample.predicted, rows, "member of a facet"))
    return ours - theirs


def disparate_impact(sample: Sample) -> float:
    """DI: q̂_d / q̂_a."""
    ours, theirs = _of_both(sample, lambda rows: _rate(sample.predicted, rows, "member of a facet"))
    return _ratio(theirs, ours, "positive prediction outside of the facet")


def conditional_acceptance(sample: Sample) -> float:
    """DCA: c_a - c_d, where c is observed by predicted positives."""

    def acceptance(rows: np.ndarray) -> float:
        return _ratio((sample.label & rows).sum(), (sample.predicted & rows).sum(), "positive prediction")

    ours, theirs = _of_both(sample, acceptance)
    return ours - theirs


def conditional_rejection(sample: Sample) -> float:
    """DCR: r_d - r_a, where r is observed by predicted negatives."""

    def rejection(rows: np.ndarray) -> float:
        return _ratio((~sample.label & rows).sum(), (~sample.predicted & rows).sum(), "negative prediction")

    ours, theirs = _of_both(sample, rejection)
    return theirs - ours


def recall_difference(sample: Sample) -> float:
    """RD: the recall of a less that of d."""
    ours, theirs = _of_both(sample, lambda rows: _rate(sample.predicted, rows & sample.label, "positive label"))
    return ours - theirs


def acceptance_rates(sample: Sample) -> float:
    """DAR: the precision of a less that of d."""
    ours, theirs = _of_both(sample, lambda rows: _rate(sample.label, rows & sample.predicted, "positive prediction"))
    return ours - theirs


def rejection_rates(sample: Sample) -> float:
    """DRR: the share of true negatives among the rejected of d less that of a."""
    ours, theirs = _of_both(sample, lambda rows: _rate(~sample.label, rows & ~sample.predicted, "negative prediction"))
    return theirs - ours


def specificity_difference(sample: Sample) -> float:
    """SD: the true negative rate of d less that of a."""
    ours, theirs = _of_both(sample, lambda rows: _rate(~sample.predicted, rows & ~sample.label, "negative label"))
    return theirs - ours


def accuracy_difference(sample: Sample) -> float:
    """AD: the accuracy of a less that of d."""
    right = sample.predicted == sample.label
    ours, theirs = _of_both(sample, lambda rows: _rate(right, rows, "member of a facet"))
    return ours - theirs


def treatment_equality(sample: Sample) -> float:
    """TE: false negatives by false positives, of d less that of a."""
    missed, false = sample.label & ~sample.predicted, ~sample.label & sample.predicted
    ours, theirs = _of_both(sample, lambda rows: _ratio((missed & rows).sum(), (false & rows).sum(), "false positive"))
    return theirs - ours


def generalized_entropy(sample: Sample) -> float:
    """GE of order 2 of the benefits 1 + ŷ - y."""
    benefits = 1.0 + sample.predicted - sample.label
    mean = _ratio(benefits.sum(), len(benefits), "row")
    if not mean:
        raise UndefinedError("Nobody has a benefit.")
    return float((((benefits / mean) ** 2 - 1).sum()) / (2 * len(benefits)))


def flip_test(sample: Sample) -> float:
    """FT: members of d whose nearest members of a are mostly accepted while they are not, less the reverse, by n_d."""
    from sklearn.neighbors import KNeighborsClassifier

    if sample.features is None or not sample.features.shape[1]:
        raise UndefinedError("There are no features to compare members by.")
    if (~sample.facet).sum() < _NEIGHBOURS or not sample.facet.any():
        raise UndefinedError("There are too few members of a facet.")
    neighbours = KNeighborsClassifier(_NEIGHBOURS).fit(sample.features[~sample.facet], sample.predicted[~sample.facet])
    expected, got = neighbours.predict(sample.features[sample.facet]), sample.predicted[sample.facet]
    return float(((expected & ~got).sum() - (~expected & got).sum()) / sample.facet.sum())


Metric = tuple[str, Callable[[Sample], float]]
PRE_TRAINING: dict[str, Metric] = {
    "CDDL": ("Conditional Demographic Disparity in Labels (CDDL)", conditional_disparity_of_labels),
    "CI": ("Class Imbalance (CI)", class_imbalance),
    "DPL": ("Difference in Positive Proportions in Labels (DPL)", label_proportions),
    "JS": ("Jensen-Shannon Divergence (JS)", jensen_shannon),
    "KL": ("Kullback-Liebler Divergence (KL)", kullback_leibler),
    "KS": ("Kolmogorov-Smirnov Distance (KS)", kolmogorov_smirnov),
    "LP": ("L-p Norm (LP)", lp_norm),
    "TVD": ("Total Variation Distance (TVD)", total_variation),
}
POST_TRAINING: dict[str, Metric] = {
    "AD": ("Accuracy Difference (AD)", accuracy_difference),
    "CDDPL": ("Conditional Demographic Disparity in Predicted Labels (CDDPL)", conditional_disparity_of_predictions),
    "DAR": ("Difference in Acceptance Rates (DAR)", acceptance_rates),
    "DCA": ("Difference in Conditional Acceptance (DCA)", conditional_acceptance),
    "DCR": ("Difference in Conditional Rejection (DCR)", conditional_rejection),
    "DI": ("Disparate Impact (DI)", disparate_impact),
    "DPPL": ("Difference in Positive Proportions in Predicted Labels (DPPL)", predicted_proportions),
    "DRR": ("Difference in Rejection Rates (DRR)", rejection_rates),
    "FT": ("Flip Test (FT)", flip_test),
    "GE": ("Generalized Entropy (GE)", generalized_entropy),
    "RD": ("Recall Difference (RD)", recall_difference),
    "SD": ("Specificity Difference (SD)", specificity_difference),
    "TE": ("Treatment Equality (TE)", treatment_equality),
}


def measure(sample: Sample, metrics: dict[str, Metric], names: list[str] | str) -> list[dict]:
    """The metrics of these names, or `all`, in the format of analysis.json; one without a value says why."""
    found = []
    for name, (description, compute) in metrics.items():
        if names == "all" or name in names:
            try:
                result: dict = {"value": compute(sample)}
            except UndefinedError as error:
                result = {"value": None, "error": str(error)}
            found.append({"name": name, "description": description} | result)
    return found
