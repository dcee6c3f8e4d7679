"""Find values far from the bulk, and clip them."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, OutlierMixin, TransformerMixin
from sklearn.ensemble import IsolationForest
from sklearn.utils.validation import check_is_fitted, validate_data

# A normal distribution's median absolute deviation is .6745 standard deviations.
MAD_TO_SD = 1.4826


class OutlierClipper(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Clip each column to the limits that its training values set.

    Missing values stay missing. A column without spread, or without values, is not clipped.

    Args:
        factor: the limits lie this many interquartile ranges outside the quartiles, 1.5 is Tukey's fence.
    """

    def __init__(self, factor: float = 1.5) -> None:
        self.factor = factor

    def fit(self, X: ArrayLike, y=None) -> "OutlierClipper":
        """Learn `low_` and `high_` from X, shape (n_rows, n_columns)."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if self.factor < 0:
            raise ValueError(f"factor must not be negative, got {self.factor}")
        low, high = _quartiles(X)
        spread = high - low
        judged = spread > 0
        self.low_ = np.where(judged, low - self.factor * spread, -np.inf)
        self.high_ = np.where(judged, high + self.factor * spread, np.inf)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """X with values moved to the nearest limit, shape (n_rows, n_columns)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return np.clip(X, self.low_, self.high_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Flag rows that have a value far from the bulk of its column, or that a forest isolates quickly.

    Args:
        method: "iqr", interquartile ranges outside the quartiles; "robust_z", distance from the median in robust
            standard deviations (1.4826 times the median absolute deviation); "isolation_forest".
        factor: a row is an outlier when its farthest value lies beyond this; 1.5 for iqr and 3.5 for robust_z when
            None. The forest's own threshold applies to "isolation_forest".
        random_state: seed of the forest.

    Missing values are never outliers for iqr and robust_z. A column without spread is not judged.

    Source: Tukey, Exploratory Data Analysis, 1977; Iglewicz, Hoaglin, How to Detect and Handle Outliers, 1993;
        Liu, Ting, Zhou, "Isolation forest", ICDM 2008.
    """

    def __init__(self, method: str = "iqr", factor: float | None = None, random_state: int | None = 0) -> None:
        self.method = method
        self.factor = factor
        self.random_state = random_state

    def fit(self, X: ArrayLike, y=None) -> "OutlierDetector":
        """Learn what is usual from X, shape (n_rows, n_columns)."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if self.method == "isolation_forest":
            self.forest_ = IsolationForest(random_state=self.random_state).fit(X)
            self.offset_ = self.forest_.offset_
            return self
        if self.method == "iqr":
            self.low_, self.high_ = _quartiles(X)
            self.spread_ = self.high_ - self.low_
        elif self.method == "robust_z":
            self.low_ = self.high_ = _quantile(X, 0.5)
            self.spread_ = MAD_TO_SD * _quantile(np.abs(X - self.low_), 0.5)
        else:
            raise ValueError(f"method must be iqr, robust_z or isolation_forest, got {self.method!r}")
        default = {"iqr": 1.5, "robust_z": 3.5}[self.method]
        self.offset_ = -float(default if self.factor is None else self.factor)
        return self

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Negative distance of each row's farthest value, shape (n_rows,); lower is stranger."""
        check_is_fitted(self, "offset_")
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        if self.method == "isolation_forest":
            return self.forest_.score_samples(X)
        beyond = np.maximum(np.maximum(self.low_ - X, X - self.high_), 0)
        judged = (self.spread_ > 0) & ~np.isnan(beyond)
        distance = np.divide(beyond, self.spread_, out=np.zeros_like(beyond), where=judged)
        return -distance.max(axis=1)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """score_samples above the threshold, shape (n_rows,); negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """-1 for outliers and 1 for all other rows, shape (n_rows,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _quartiles(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _quantile(X, 0.25), _quantile(X, 0.75)


def _quantile(X: np.ndarray, q: float) -> np.ndarray:
    """Quantile of each column without its missing values; 0 for a column that has no others."""
    empty = np.isnan(X).all(axis=0)
    return np.nanquantile(np.where(empty, 0.0, X), q, axis=0)
