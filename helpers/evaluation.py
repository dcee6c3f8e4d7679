"""Judge scores: statistical metrics, comparison of models, card precision, and what decisions cost."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics as sklearn_metrics
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import RepeatedStratifiedKFold


def expected_calibration_error(
    y_true: ArrayLike, probability: ArrayLike, n_bins: int = 10, strategy: str = "uniform"
) -> float:
    """Mean gap between predicted probability and observed frequency, over bins weighted by their rows.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        probability: predicted probability of the positive class, shape (n,).
        n_bins: bins of the probability.
        strategy: "uniform" for bins of equal width, "quantile" for bins of about equal size, "log" for bins of equal
            ratio from 1e-4 to 1, which tell the high scores apart when positives are rare.

    Raises:
        ValueError: shapes differ, values are missing, or a probability lies outside [0, 1].

    Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
    """
    table = reliability_table(y_true, probability, n_bins, strategy)
    gaps = (table["observed"] - table["predicted"]).abs()
    return float(np.average(gaps, weights=table["rows"]))


def reliability_table(
    y_true: ArrayLike, probability: ArrayLike, n_bins: int = 10, strategy: str = "uniform"
) -> pd.DataFrame:
    """Mean predicted probability and observed frequency per bin of the predicted probability.

    Args:
        y_true: labels, 0 and 1 or booleans, shape (n,).
        probability: predicted probability of the positive class, shape (n,).
        n_bins: bins of the probability; a bin is closed below, the last one also above. Empty bins are left out.
        strategy: "uniform" for bins of equal width, "quantile" for bins of about equal size, "log" for bins of equal
            ratio from 1e-4 to 1, which tell the high scores apart when positives are rare.

    Returns:
        Frame with the columns predicted, observed and rows, one row per bin that is not empty.

    Raises:
        ValueError: shapes differ, values are missing, or a probability lies outside [0, 1].
    """
    label, probability = _labels_and_scores(y_true, probability)
    if not _are_probabilities(probability):
        raise ValueError(f"probabilities must lie in [0, 1], got {probability.min():g} to {probability.max():g}")
    if n_bins < 1 or strategy not in ("uniform", "quantile", "log"):
        raise ValueError(f"n_bins must be at least 1, strategy uniform, quantile or log: got {n_bins} and {strategy!r}")
    inner = np.geomspace(1e-4, 1, n_bins + 1)[:-1] if strategy == "log" else np.linspace(0, 1, n_bins + 1)[1:-1]
    if strategy == "quantile":
        inner = np.unique(np.quantile(probability, inner))
    table = pd.DataFrame({"predicted": probability, "observed": label.astype(float)})
    groups = table.groupby(np.searchsorted(inner, probability, side="right"))
    return groups.mean().assign(rows=groups.size()).reset_index(drop=True)


def card_precision_by_day(scored: pd.DataFrame, k: int, remove_detected: bool = True) -> pd.Series:
    """Compromised cards found among the k riskiest cards of each day, divided by k.

    A card's score is that of its riskiest transaction of the day. Cards with equal scores are taken in order of
    customer_id.

    Args:
        scored: one row per transaction, columns day (int), customer_id (int), score (float, higher is riskier), fraud
            (bool).
        k: cards checked each day. The count is divided by k also on a day that has fewer cards.
        remove_detected: a compromised card that was found is blocked, and is not counted on later days.

    Returns:
        Series of precisions indexed by day.

    Raises:
        KeyError: a column is missing.
        ValueError: k is below 1, or scored is empty or has missing scores.

    Source: Le Borgne et al., Fraud Detection Handbook, section 4.4 (`card_precision_top_k`).
    """
    if missing := [name for name in ("day", "customer_id", "score", "fraud") if name not in scored.columns]:
        raise KeyError(f"scored lacks the columns {missing}: it has {list(scored.columns)}")
    if k < 1 or scored.empty:
        raise ValueError(f"k must be at least 1 and scored must have rows, got k={k} and {len(scored)} rows")
    if scored["score"].isna().any():
        raise ValueError(f"{scored['score'].isna().sum()} of {len(scored)} scores are missing")
    cards = scored.groupby(["day", "customer_id"], as_index=False)[["score", "fraud"]].max()
    cards = cards.sort_values(["day", "score", "customer_id"], ascending=[True, False, True])
    detected: set = set()
    precision = {}
    for day, of_day in cards.groupby("day"):
        checked = of_day[~of_day["customer_id"].isin(detected)].head(k)
        found = checked.loc[checked["fraud"].astype(bool), "customer_id"]
        precision[day] = len(found) / k
        if remove_detected:
            detected.update(found)
    return pd.Series(precision, name="card_precision").rename_axis("day")


def card_precision_top_k(scored: pd.DataFrame, k: int, remove_detected: bool = True) -> float:
    """Mean over days of `card_precision_by_day`: the handbook's CP@k.

    Arguments, errors and source are those of `card_precision_by_day`.
    """
    return float(card_precision_by_day(scored, k, remove_detected).mean())


@dataclass(frozen=True)
class ModelEvaluator:
    """Metrics of scores, over one test set or over the folds of a cross-validation.

    Attributes:
        threshold: a row is flagged when its score is at least this.
        n_bins: bins of the expected calibration error.
    """

    threshold: float = 0.5
    n_bins: int = 10

    def metrics(self, y_true: ArrayLike, score: ArrayLike) -> dict[str, float]:
        """Metrics of one model's scores.

        Args:
            y_true: labels, 0 and 1 or booleans, shape (n,), both classes present.
            score: scores, higher is more likely positive, shape (n,).

        Returns:
            roc_auc, average_precision, brier, log_loss, ece; accuracy, precision, recall and f1 at the threshold.
            brier, log_loss and ece are NaN for scores outside [0, 1], which are no probabilities.

        Raises:
            ValueError: shapes differ, values are missing, or y_true holds one class only.
        """
        label, score = _labels_and_scores(y_true, score)
        if label.all() or not label.any():
            raise ValueError(f"y_true holds one class only ({label[0]:d}): ranking metrics need both")
        flagged = score >= self.threshold
        probabilistic = _are_probabilities(score)
        return {
            "roc_auc": float(sklearn_metrics.roc_auc_score(label, score)),
            "average_precision": float(sklearn_metrics.average_precision_score(label, score)),
            "brier": float(np.mean((score - label) ** 2)) if probabilistic else np.nan,
            "log_loss": float(sklearn_metrics.log_loss(label, score)) if probabilistic else np.nan,
            "ece": expected_calibration_error(label, score, self.n_bins) if probabilistic else np.nan,
            "accuracy": float(np.mean(flagged == label)),
            "precision": float(sklearn_metrics.precision_score(label, flagged, zero_division=0)),
            "recall": float(sklearn_metrics.recall_score(label, flagged)),
            "f1": float(sklearn_metrics.f1_score(label, flagged, zero_division=0)),
        }

    def table(self, y_true: ArrayLike, scores: Mapping[str, ArrayLike]) -> pd.DataFrame:
        """Metrics of several models on the same rows: one row per model, in the order of `scores`.

        Raises:
            ValueError: as in `metrics`; the message names the model.
        """
        rows = {}
        for name, score in scores.items():
            try:
                rows[name] = self.metrics(y_true, score)
            except ValueError as error:
                raise ValueError(f"model {name!r}: {error}") from error
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def cross_validate(self, model: BaseEstimator, X, y: ArrayLike, cv=None) -> pd.DataFrame:
        """Metrics of a model on each fold, fitted on the others.

        Resampling belongs inside `model`, in an imbalanced-learn pipeline, so that it sees training rows only.

        Args:
            model: classifier with predict_proba or decision_function; it is cloned.
            X: features, shape (n, p), array or frame.
            y: labels, 0 and 1 or booleans, shape (n,).
            cv: splitter or iterable of (train, test) positions; stratified 5 folds, twice, when None.

        Returns:
            Frame with one row per fold: train_rows, test_rows and the columns of `metrics`.
        """
        label = _labels(y)
        cv = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0) if cv is None else cv
        folds = cv.split(X, label) if hasattr(cv, "split") else cv
        rows = []
        for train, test in folds:
            fitted = clone(model).fit(_rows(X, train), label[train])
            counts = {"train_rows": len(train), "test_rows": len(test)}
            rows.append(counts | self.metrics(label[test], _score(fitted, _rows(X, test))))
        return pd.DataFrame(rows).rename_axis("fold")

    def compare(self, first: pd.DataFrame, second: pd.DataFrame, metric: str = "average_precision") -> "Comparison":
        """Test whether two models differ in a metric, from their `cross_validate` frames over the same folds.

        Raises:
            KeyError: a frame has no such metric.
            ValueError: the frames come from different folds.
        """
        sizes = ["train_rows", "test_rows"]
        if len(first) != len(second) or not (first[sizes].to_numpy() == second[sizes].to_numpy()).all():
            raise ValueError("the two models were evaluated on different folds: pass the same cv to cross_validate")
        test_to_train = float((first["test_rows"] / first["train_rows"]).mean())
        return corrected_resampled_t_test(first[metric], second[metric], test_to_train)


@dataclass(frozen=True)
class Comparison:
    """Difference between two models, first minus second, with its two-sided test.

    Attributes:
        difference: mean difference over the folds.
        low, high: 95 % confidence interval of the difference.
        statistic: t statistic.
        p_value: two-sided.
    """

    difference: float
    low: float
    high: float
    statistic: float
    p_value: float


def corrected_resampled_t_test(first: ArrayLike, second: ArrayLike, test_to_train: float) -> Comparison:
    """Paired t-test whose variance allows for the overlap of training sets between folds.

    Args:
        first: metric of one model on each fold, shape (n_folds,).
        second: metric of the other on the same folds, shape (n_folds,).
        test_to_train: rows of a test fold divided by rows of its training set, .25 for 5 folds.

    Raises:
        ValueError: shapes differ, there are fewer than two folds, or test_to_train is not positive.

    Source: Nadeau, Bengio, "Inference for the generalization error", Machine Learning 52, 2003.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(f"need two arrays over the same folds, at least two: got shapes {first.shape}, {second.shape}")
    if test_to_train <= 0:
        raise ValueError(f"test_to_train must be positive, got {test_to_train}")
    differences = first - second
    mean, n = float(differences.mean()), len(differences)
    standard_error = float(np.sqrt((1 / n + test_to_train) * differences.var(ddof=1)))
    if standard_error == 0:
        statistic = 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
        return Comparison(mean, mean, mean, statistic, 1.0 if mean == 0 else 0.0)
    half_width = float(stats.t.ppf(0.975, n - 1)) * standard_error
    statistic = mean / standard_error
    p_value = float(2 * stats.t.sf(abs(statistic), n - 1))
    return Comparison(mean, mean - half_width, mean + half_width, statistic, p_value)


@dataclass(frozen=True)
class BusinessMetrics:
    """What decisions cost, with one cost for each kind of error, and how well a ranking concentrates the positives.

    Attributes:
        false_positive_cost: cost of a flagged negative, currency units.
        false_negative_cost: cost of a positive that is not flagged, currency units.
        true_positive_cost: cost of handling a flagged positive, currency units.
    """

    false_positive_cost: float = 5.0
    false_negative_cost: float = 100.0
    true_positive_cost: float = 0.0

    def expected_cost(self, y_true: ArrayLike, score: ArrayLike, threshold: float) -> float:
        """Mean cost per row when rows with a score of at least `threshold` are flagged, currency units."""
        label, score = _labels_and_scores(y_true, score)
        flagged = score >= threshold
        total = (
            self.false_positive_cost * (flagged & ~label).sum()
            + self.true_positive_cost * (flagged & label).sum()
            + self.false_negative_cost * (~flagged & label).sum()
        )
        return float(total / len(label))

    def cost_curve(self, y_true: ArrayLike, score: ArrayLike) -> pd.DataFrame:
        """Expected cost at every threshold that changes a decision.

        Returns:
            Frame sorted by falling threshold: threshold (infinity flags nothing, then every distinct score),
            flagged_share, expected_cost (per row, currency units).
        """
        label, score = _labels_and_scores(y_true, score)
        threshold, flagged, caught = _cumulative(label, score)
        missed = label.sum() - caught
        cost = (
            self.false_positive_cost * (flagged - caught)
            + self.true_positive_cost * caught
            + self.false_negative_cost * missed
        )
        n = len(label)
        return pd.DataFrame({"threshold": threshold, "flagged_share": flagged / n, "expected_cost": cost / n})

    def gain(self, y_true: ArrayLike, score: ArrayLike, share: float) -> float:
        """Share of all positives found in the riskiest `share` of the rows.

        Rows with the score at the cut count in proportion: the value is the mean over all orders of equal scores, and
        does not depend on the order of rows.

        Raises:
            ValueError: share is outside (0, 1], or there is no positive.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        curve = self.gain_curve(y_true, score)
        return float(np.interp(share, curve["share"], curve["gain"]))

    def lift(self, y_true: ArrayLike, score: ArrayLike, share: float) -> float:
        """Rate of positives in the riskiest `share` of the rows, divided by the rate among all rows.

        Ties and errors are those of `gain`.
        """
        return self.gain(y_true, score, share) / share

    def gain_curve(self, y_true: ArrayLike, score: ArrayLike) -> pd.DataFrame:
        """Corner points of the cumulative gain: columns share (of rows), gain (share of positives), lift.

        lift is NaN at the first point, where no row is taken.

        Raises:
            ValueError: there is no positive.
        """
        label, score = _labels_and_scores(y_true, score)
        if not label.any():
            raise ValueError("y_true has no positive: gain and lift are undefined")
        _, flagged, caught = _cumulative(label, score)
        share, gain = flagged / len(label), caught / label.sum()
        lift = np.divide(gain, share, out=np.full(len(share), np.nan), where=share > 0)
        return pd.DataFrame({"share": share, "gain": gain, "lift": lift})


def _cumulative(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Falling thresholds from infinity, and how many rows and positives each of them flags."""
    distinct, group = np.unique(-score, return_inverse=True)
    rows = np.bincount(group, minlength=len(distinct))
    positives = np.bincount(group, weights=label, minlength=len(distinct))
    threshold = np.concatenate([[np.inf], -distinct])
    return threshold, np.concatenate([[0], rows.cumsum()]), np.concatenate([[0.0], positives.cumsum()])


def _labels(y_true: ArrayLike) -> np.ndarray:
    label = np.asarray(y_true)
    if label.ndim != 1 or not len(label):
        raise ValueError(f"labels must be one-dimensional and not empty, got shape {label.shape}")
    if pd.isna(label).any():
        raise ValueError(f"{pd.isna(label).sum()} of {len(label)} labels are missing")
    if not np.isin(label, [0, 1]).all():
        raise ValueError(f"labels must be 0 and 1 or booleans, got {pd.unique(label)[:5].tolist()}")
    return label.astype(bool)


def _labels_and_scores(y_true: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    label = _labels(y_true)
    if isinstance(score, (pd.Series, pd.DataFrame)):
        score = score.to_numpy(dtype=float, na_value=np.nan)
    score = np.asarray(score, dtype=float)
    if score.shape != label.shape:
        hint = ": pass the column of the positive class" if score.ndim == 2 else ""
        raise ValueError(f"scores have shape {score.shape} and labels {label.shape}{hint}")
    if not np.isfinite(score).all():
        raise ValueError(f"{(~np.isfinite(score)).sum()} of {len(score)} scores are not finite")
    return label, score


def _are_probabilities(score: np.ndarray) -> bool:
    return bool(score.min() >= 0 and score.max() <= 1)


def _rows(X, positions: np.ndarray):
    return X.iloc[positions] if hasattr(X, "iloc") else np.asarray(X)[positions]


def _score(model: BaseEstimator, X) -> np.ndarray:
    return model.predict_proba(X)[:, 1] if hasattr(model, "predict_proba") else model.decision_function(X)
