"""Joins labels that become known late to the predictions they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Joined:
    """Predictions whose labels are known at some time.

    Attributes:
        rows: the predictions with `label` and `label_delay` (Timedelta), in their order.
        coverage: share of the predictions old enough to be judged whose label is known, NaN if none is old enough.
        pending: number of predictions too young to be judged.
        unmatched: number of known labels without a prediction.
    """

    rows: pd.DataFrame
    coverage: float
    pending: int
    unmatched: int


def join_labels(predictions: pd.DataFrame, labels: pd.DataFrame, as_of: pd.Timestamp, maturity: pd.Timedelta) -> Joined:
    """Join labels by inference id, with what was known at one time.

    A label that arrives early is not a typical one: chargebacks come first from customers who look. So predictions
    younger than `maturity` are left out, whether their label is known or not.

    Args:
        predictions: one row per prediction, with inference_id (unique) and time.
        labels: one row per label, with inference_id, label and known_at. Of several, the last known one counts.
        as_of: labels known later than this are not used.
        maturity: age from which nearly all labels are known.

    Raises:
        ValueError: an inference id is missing in the predictions, or occurs twice.
    """
    if predictions["inference_id"].isna().any() or predictions["inference_id"].duplicated().any():
        missing, twice = predictions["inference_id"].isna().sum(), predictions["inference_id"].duplicated().sum()
        raise ValueError(
            f"every prediction needs an inference id of its own, got {missing} missing and {twice} repeated: "
            "pass InferenceId to InvokeEndpoint"
        )
    known = labels[labels["known_at"] <= as_of].sort_values("known_at").drop_duplicates("inference_id", keep="last")
    old = predictions["time"] <= as_of - maturity
    joined = predictions[old].merge(known[["inference_id", "label", "known_at"]], on="inference_id", how="inner")
    joined["label_delay"] = joined.pop("known_at") - joined["time"]
    coverage = len(joined) / int(old.sum()) if old.any() else float("nan")
    unmatched = int((~known["inference_id"].isin(predictions["inference_id"])).sum())
    return Joined(joined, coverage, int((~old).sum()), unmatched)


def observed_metric(
    joined: pd.DataFrame,
    metric: Callable[[np.ndarray, np.ndarray], float],
    score: str = "score",
    n_resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A metric on joined rows and its bootstrap interval: value, low, high.

    Args:
        joined: rows of `join_labels`, with `label` and the score's column.
        metric: metric(label, score).
        score: the column of scores.
        n_resamples: number of bootstrap samples.
        confidence: coverage of the percentile interval.
        seed: of the resampling.

    Raises:
        ValueError: labels are of fewer than two classes.
    """
    label, scores = joined["label"].to_numpy(), joined[score].to_numpy()
    if len(np.unique(label)) < 2:
        raise ValueError(f"{len(label)} joined rows hold {len(np.unique(label))} class(es), a metric needs two")
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < n_resamples:
        drawn = rng.integers(len(label), size=len(label))
        if len(np.unique(label[drawn])) > 1:
            found.append(metric(label[drawn], scores[drawn]))
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(metric(label, scores)), float(low), float(high)
