"""The metrics of model quality, computed by scikit-learn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .job import DataError

if TYPE_CHECKING:
    import numpy as np

_CURVE_POINTS = 100
_BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


@dataclass(frozen=True)
class Predictions:
    """What was true and what was predicted, shape (n,): labels as text, or numbers.

    Attributes:
        truth: the ground truth.
        predicted: the predictions.
        probability: of the positive label.
    """

    truth: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray | None

    def take(self, rows: np.ndarray) -> Predictions:
        """Some of them."""
        probability = None if self.probability is None else self.probability[rows]
        return Predictions(self.truth[rows], self.predicted[rows], probability)


def binary(predictions: Predictions) -> dict:
    """Of two labels, the greater one is positive: 1 of 0 and 1, `yes` of `no` and `yes`.

    Raises:
        DataError: there are more labels.
    """
    truth, predicted = predictions.truth, predictions.predicted
    labels = _labels(predictions)
    if len(labels) > 2:
        raise DataError(f"BinaryClassification has two labels, the data has {', '.join(labels)}.")
    negative, positive = labels if len(labels) == 2 else (f"not {labels[0]}", labels[0])
    actual, guessed = truth == positive, predicted == positive
    confusion = {
        label: {
            other: int((actual == (label == positive)).astype(int) @ (guessed == (other == positive)).astype(int))
            for other in (negative, positive)
        }
        for label in (negative, positive)
    }
    (tn, fp), (fn, tp) = [tuple(confusion[label].values()) for label in (negative, positive)]
    metrics: dict = {"confusion_matrix": confusion} | _classification(tp, fp, tn, fn)
    rates = {
        "true_positive_rate": _ratio(tp, tp + fn),
        "true_negative_rate": _ratio(tn, tn + fp),
        "false_positive_rate": _ratio(fp, tn + fp),
        "false_negative_rate": _ratio(fn, tp + fn),
    }
    constant = _classification(tp + fn, tn + fp, 0, 0) if tp + fn > tn + fp else _classification(0, 0, tn + fp, tp + fn)
    metrics |= rates | {f"{name}_best_constant_classifier": value for name, value in constant.items()}
    if predictions.probability is not None and 0 < actual.sum() < len(actual):
        metrics |= _curves(actual, predictions.probability)
    return metrics


def multiclass(predictions: Predictions) -> dict:
    """Averages over the labels, weighted by how often each is true."""
    import numpy as np
    from sklearn.metrics import confusion_matrix

    labels = _labels(predictions)
    counts = confusion_matrix(predictions.truth, predictions.predicted, labels=labels)
    values, frequency = np.unique(predictions.truth, return_counts=True)
    constant = np.full_like(predictions.truth, values[frequency.argmax()])
    best = _weighted(predictions.truth, constant)
    return {
        "confusion_matrix": {
            label: {other: int(count) for other, count in zip(labels, row, strict=True)}
            for label, row in zip(labels, counts, strict=True)
        },
        **_weighted(predictions.truth, predictions.predicted),
        **{f"{name}_best_constant_classifier": value for name, value in best.items()},
    }


def regression(predictions: Predictions) -> dict:
    """Of numbers."""
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    both = predictions.truth, predictions.predicted
    squared = float(mean_squared_error(*both))
    metrics = {"mae": float(mean_absolute_error(*both)), "mse": squared, "rmse": math.sqrt(squared)}
    return metrics | ({"r2": float(r2_score(*both))} if len(predictions.truth) > 1 else {})


METRICS = {"BinaryClassification": binary, "MulticlassClassification": multiclass, "Regression": regression}


def _labels(predictions: Predictions) -> list[str]:
    labels = sorted({*predictions.truth.tolist(), *predictions.predicted.tolist()})
    return ["0", "1"] if {*labels} <= {"0", "1"} else labels


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _classification(tp: int, fp: int, tn: int, fn: int) -> dict[str, float]:
    recall, precision = _ratio(tp, tp + fn), _ratio(tp, tp + fp)
    scores = {
        name: _ratio((1 + beta**2) * precision * recall, beta**2 * precision + recall) for name, beta in _BETAS.items()
    }
    return {"recall": recall, "precision": precision, "accuracy": _ratio(tp + tn, tp + fp + tn + fn)} | scores


def _weighted(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    metrics = {"accuracy": float(accuracy_score(truth, predicted))}
    for name, beta in _BETAS.items():
        precision, recall, score, _ = precision_recall_fscore_support(
            truth, predicted, beta=beta, average="weighted", zero_division=0
        )
        metrics |= {"weighted_recall": float(recall), "weighted_precision": float(precision)}
        metrics[f"weighted_{name}"] = float(score)
    return metrics


def _curves(actual: np.ndarray, probability: np.ndarray) -> dict:
    """The area under the ROC curve, and both curves with no more points than a plot shows."""
    from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

    false_rates, true_rates, _ = roc_curve(actual, probability)
    precisions, recalls, _ = precision_recall_curve(actual, probability)
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": _thinned(false_rates),
            "true_positive_rates": _thinned(true_rates),
        },
        "precision_recall_curve": {"precisions": _thinned(precisions), "recalls": _thinned(recalls)},
        "auc": float(roc_auc_score(actual, probability)),
    }


def _thinned(values: np.ndarray) -> list[float]:
    import numpy as np

    return values[np.linspace(0, len(values) - 1, min(len(values), _CURVE_POINTS)).astype(int)].tolist()
