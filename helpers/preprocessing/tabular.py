"""Missing values, clipping, scaling and encoding of mixed tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from helpers.preprocessing.outliers import OutlierClipper

SCALERS = {"standard": StandardScaler, "robust": RobustScaler, "minmax": MinMaxScaler}
MISSING = "missing"


def check_unique_columns(frame: pd.DataFrame) -> None:
    """Raise ValueError when a column name occurs more than once."""
    if duplicated := frame.columns[frame.columns.duplicated()].unique().tolist():
        raise ValueError(f"columns {duplicated} occur more than once: rename or drop them")


class DataPreprocessor(TransformerMixin, BaseEstimator):
    """Turn a table with numeric and categorical columns into a numeric matrix.

    Numeric columns (numbers and booleans, also pandas' nullable ones) are imputed, clipped and scaled. Categorical
    columns (everything else) are one-hot encoded: a missing value is a category of its own, an unseen one encodes as
    zeros, or as the infrequent category where there is one. A numeric column that was empty in training becomes 0.

    Args:
        numeric: names of the numeric columns, or positions for arrays; by type when None.
        categorical: names of the categorical columns, or positions; by type when None. When either list is given, a
            column in neither list is dropped unless the other list is None and its type fits.
        impute: "median", "mean" or "most_frequent", for numeric columns.
        indicate_missing: add a 0/1 column for each numeric column that had missing values in training.
        clip: clip numeric values beyond the quartiles by more than this many interquartile ranges; None: no clipping.
        scale: "standard", "robust", "minmax" or None.
        min_frequency: categories with fewer rows (int) or a smaller share of rows (float) are pooled; None: none.

    Raises:
        ValueError: on fit or transform, when a column holds infinities, datetimes, or text where numbers are needed,
            when columns are duplicated, or when those of transform are not those of fit. The message names the column.
    """

    def __init__(
        self,
        numeric: Sequence | None = None,
        categorical: Sequence | None = None,
        impute: str = "median",
        indicate_missing: bool = False,
        clip: float | None = None,
        scale: str | None = "standard",
        min_frequency: float | None = None,
    ) -> None:
        self.numeric = numeric
        self.categorical = categorical
        self.impute = impute
        self.indicate_missing = indicate_missing
        self.clip = clip
        self.scale = scale
        self.min_frequency = min_frequency

    def fit(self, X: pd.DataFrame | ArrayLike, y=None) -> "DataPreprocessor":
        """Learn fill values, limits, scales and categories from X, shape (n_rows, n_columns)."""
        if self.scale is not None and self.scale not in SCALERS:
            raise ValueError(f"scale must be one of {', '.join(SCALERS)} or None, got {self.scale!r}")
        frame = self._validated(X, reset=True)
        if not len(frame):
            raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
        self.numeric_, self.categorical_ = self._choose_columns(frame)
        numbers = self._numbers(frame)
        if self.numeric_:
            self.imputer_ = SimpleImputer(strategy=self.impute, keep_empty_features=True).fit(numbers)
            self.had_missing_ = np.isnan(numbers).any(axis=0)
            self.clipper_ = None if self.clip is None else OutlierClipper(factor=self.clip).fit(numbers)
            self.scaler_ = None if self.scale is None else SCALERS[self.scale]()
            filled = self._fill(numbers)
            if self.scaler_ is not None:
                self.scaler_.fit(filled)
        if self.categorical_:
            unknown = "ignore" if self.min_frequency is None else "infrequent_if_exist"
            self.encoder_ = OneHotEncoder(handle_unknown=unknown, min_frequency=self.min_frequency, sparse_output=False)
            self.encoder_.fit(_categories(frame, self.categorical_))
        return self

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Numeric matrix of X, shape (n_rows, n_features_out), float64, columns as get_feature_names_out names them."""
        check_is_fitted(self, "numeric_")
        frame = self._validated(X, reset=False)
        if not len(frame):
            return np.empty((0, len(self.get_feature_names_out())))
        parts = []
        if self.numeric_:
            numbers = self._numbers(frame)
            filled = self._fill(numbers)
            parts.append(filled if self.scaler_ is None else self.scaler_.transform(filled))
            if self.indicate_missing:
                parts.append(np.isnan(numbers[:, self.had_missing_]).astype(np.float64))
        if self.categorical_:
            parts.append(self.encoder_.transform(_categories(frame, self.categorical_)))
        return np.hstack(parts)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the columns of transform: numeric, then `<column>_missing`, then `<column>_<category>`."""
        check_is_fitted(self, "numeric_")
        names = _check_feature_names_in(self, input_features)
        numeric = list(names[self.numeric_])
        if self.numeric_ and self.indicate_missing:
            numeric += [f"{name}_missing" for name in names[self.numeric_][self.had_missing_]]
        encoded = self.encoder_.get_feature_names_out(names[self.categorical_]) if self.categorical_ else []
        return np.array([*numeric, *encoded], dtype=object)

    def _numbers(self, frame: pd.DataFrame) -> np.ndarray:
        numbers = np.empty((len(frame), len(self.numeric_)))
        for i, position in enumerate(self.numeric_):
            column = frame[position]
            if pd.api.types.is_complex_dtype(column):
                raise ValueError(f"Complex data not supported: column {self._name(position)!r}")
            try:
                numbers[:, i] = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
            except (ValueError, TypeError) as error:
                raise ValueError(f"numeric column {self._name(position)!r} holds other things: {error}") from error
            if np.isinf(numbers[:, i]).any():
                rows = np.flatnonzero(np.isinf(numbers[:, i]))[:5].tolist()
                raise ValueError(f"numeric column {self._name(position)!r} holds infinity, first at rows {rows}")
        return numbers

    def _fill(self, numbers: np.ndarray) -> np.ndarray:
        clipped = numbers if self.clipper_ is None else self.clipper_.transform(numbers)
        return self.imputer_.transform(clipped)

    def _validated(self, X, reset: bool) -> pd.DataFrame:
        """X as a frame with positions for column names, checked against what fit saw."""
        if isinstance(X, pd.DataFrame):
            check_unique_columns(X)
            if not X.shape[1]:
                raise ValueError(f"0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset:
                self.columns_ = list(X.columns)
            elif list(X.columns) != self.columns_ and not hasattr(self, "feature_names_in_"):
                raise ValueError(f"columns must be those of fit, {self.columns_}: got {list(X.columns)}")
            return X.set_axis(range(X.shape[1]), axis=1)
        X = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite=False, ensure_min_samples=1 if reset else 0
        )
        if reset:
            self.columns_ = list(range(X.shape[1]))
        return pd.DataFrame(X).infer_objects()

    def _choose_columns(self, frame: pd.DataFrame) -> tuple[list[int], list[int]]:
        by_type = [position for position in frame if pd.api.types.is_numeric_dtype(frame[position])]
        numeric = self._positions(self.numeric)
        categorical = self._positions(self.categorical)
        if both := set(numeric or []) & set(categorical or []):
            names = [self._name(position) for position in sorted(both)]
            raise ValueError(f"columns {names} are listed as numeric and as categorical")
        if numeric is None:
            numeric = [position for position in by_type if position not in (categorical or [])]
        if categorical is None:
            categorical = [position for position in frame if position not in {*numeric, *by_type}]
        for position in {*numeric, *categorical}:
            _refuse_times(frame[position], self._name(position))
        if not numeric and not categorical:
            raise ValueError("no column is left to preprocess: numeric and categorical are both empty")
        return numeric, categorical

    def _positions(self, columns: Sequence | None) -> list[int] | None:
        if columns is None:
            return None
        if unknown := [column for column in columns if column not in self.columns_]:
            raise ValueError(f"columns {unknown} are not in X: it has {self.columns_}")
        return [self.columns_.index(column) for column in columns]

    def _name(self, position: int) -> str:
        return _check_feature_names_in(self)[position]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _refuse_times(column: pd.Series, name: str) -> None:
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise ValueError(f"column {name!r} holds {column.dtype}: derive numbers from it first, see TemporalFeatures")


def _categories(frame: pd.DataFrame, positions: list[int]) -> np.ndarray:
    categories = np.empty((len(frame), len(positions)), dtype=object)
    for i, position in enumerate(positions):
        column = frame[position]
        missing = column.isna().to_numpy()
        categories[:, i] = [MISSING if gone else _label(value) for gone, value in zip(missing, column, strict=True)]
    return categories


def _label(value: object) -> str:
    """Text of a category; codes read as 3.0, because another row of their column is missing, are still 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
