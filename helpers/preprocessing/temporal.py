"""Calendar features of timestamps."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from helpers.preprocessing.tabular import check_unique_columns

# What each part reads, and the length of its cycle where it has one.
PARTS = {
    "hour": (lambda t: t.dt.hour + t.dt.minute / 60, 24),
    "weekday": (lambda t: t.dt.weekday, 7),
    "day": (lambda t: t.dt.day - 1, 31),
    "month": (lambda t: t.dt.month - 1, 12),
    "year": (lambda t: t.dt.year, None),
    "is_weekend": (lambda t: (t.dt.weekday >= 5).where(t.notna()), None),
}


class TemporalFeatures(TransformerMixin, BaseEstimator):
    """Derive calendar features from every column of timestamps.

    Columns may hold datetimes, ISO 8601 text, or numbers, which are read as seconds since 1970-01-01 UTC. A missing
    timestamp gives missing features.

    Args:
        parts: any of hour (with its fraction), weekday (0 is Monday), day (0 is the first), month (0 is January), year,
            is_weekend.
        cyclic: give each part that has a cycle as sine and cosine, so that 23:59 lies beside 00:00.
        timezone: name of the zone whose calendar applies; timestamps without zone are taken as UTC then. None: the
            calendar that the column itself shows.

    Raises:
        ValueError: on fit, an unknown part; on fit or transform, a column that cannot be read as timestamps.
    """

    def __init__(
        self,
        parts: Sequence[str] = ("hour", "weekday", "month", "is_weekend"),
        cyclic: bool = True,
        timezone: str | None = None,
    ) -> None:
        self.parts = parts
        self.cyclic = cyclic
        self.timezone = timezone

    def fit(self, X: pd.DataFrame | ArrayLike, y=None) -> "TemporalFeatures":
        """Check that every column of X, shape (n_rows, n_columns), can be read as timestamps."""
        if unknown := [part for part in self.parts if part not in PARTS]:
            raise ValueError(f"unknown parts {unknown}: choose among {', '.join(PARTS)}")
        if self.timezone is not None:
            try:
                pd.Timestamp(0, tz=self.timezone)
            except KeyError as error:
                raise ValueError(f"unknown timezone {self.timezone!r}: name one as in Europe/Paris") from error
        self._features(self._validated(X, reset=True))
        return self

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Features of X, shape (n_rows, n_features_out), float64, columns as get_feature_names_out names them."""
        check_is_fitted(self, "n_features_in_")
        return self._features(self._validated(X, reset=False))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """`<column>_<part>`, or `<column>_<part>_sin` and `_cos`, column by column."""
        check_is_fitted(self, "n_features_in_")
        columns = _check_feature_names_in(self, input_features)
        names = [
            f"{column}_{part}{suffix}" for column in columns for part in self.parts for suffix in self._kinds(part)
        ]
        return np.array(names, dtype=object)

    def _kinds(self, part: str) -> tuple[str, ...]:
        return ("_sin", "_cos") if self.cyclic and PARTS[part][1] else ("",)

    def _validated(self, X, reset: bool) -> pd.DataFrame:
        if isinstance(X, pd.Series):
            X = X.to_frame()
        if isinstance(X, pd.DataFrame):
            check_unique_columns(X)
            if not X.shape[1]:
                raise ValueError(f"0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset and not len(X):
                raise ValueError(f"0 sample(s) (shape={X.shape}) while a minimum of 1 is required.")
            return X
        X = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=1 if reset else 0
        )
        return pd.DataFrame(X).infer_objects()

    def _features(self, frame: pd.DataFrame) -> np.ndarray:
        features = []
        for i in range(frame.shape[1]):
            timestamps = self._timestamps(frame.iloc[:, i])
            for part in self.parts:
                read, cycle = PARTS[part]
                values = read(timestamps).to_numpy(dtype=np.float64, na_value=np.nan)
                if self.cyclic and cycle:
                    angle = 2 * np.pi * values / cycle
                    features += [np.sin(angle), np.cos(angle)]
                else:
                    features.append(values)
        return np.column_stack(features) if features else np.empty((len(frame), 0))

    def _timestamps(self, column: pd.Series) -> pd.Series:
        numeric = pd.api.types.is_numeric_dtype(column)
        try:
            if numeric and pd.api.types.is_complex_dtype(column):
                raise ValueError("Complex data not supported")
            if numeric:
                seconds = column.to_numpy(dtype=np.float64, na_value=np.nan)
                timestamps = pd.Series(pd.to_datetime(seconds, unit="s"), index=column.index)
            else:
                timestamps = self._parsed(column)
        except FutureWarning as error:
            raise ValueError(f"column {column.name!r} has several UTC offsets: choose their timezone") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"column {column.name!r} cannot be read as timestamps: {error}") from error
        if self.timezone is None:
            return timestamps
        zoned = timestamps if timestamps.dt.tz is not None else timestamps.dt.tz_localize("UTC")
        return zoned.dt.tz_convert(self.timezone)

    def _parsed(self, column: pd.Series) -> pd.Series:
        if pd.api.types.is_datetime64_any_dtype(column):
            return column
        with warnings.catch_warnings():
            # Several offsets in one column have no common calendar unless a timezone is chosen; pandas only warns.
            warnings.simplefilter("error", FutureWarning)
            return pd.to_datetime(column, format="ISO8601", utc=self.timezone is not None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags
