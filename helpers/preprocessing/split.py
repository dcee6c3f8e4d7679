"""Splits into training and test rows."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split


def time_split(
    frame: pd.DataFrame,
    time: str,
    train_end: str | pd.Timestamp | float,
    gap: str | pd.Timedelta | float = 0,
    test_length: str | pd.Timedelta | float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in time: train before train_end, nothing for a gap, test after it.

    Args:
        frame: rows in any order; the index is kept and may have duplicates.
        time: name of the column of datetimes or numbers (days, seconds).
        train_end: first moment that is no longer training.
        gap: time between train_end and the first test row whose labels would not be known in training; text such as
            "7D" or a Timedelta for datetimes, the column's unit for numbers.
        test_length: length of the test period, as gap; None: to the end.

    Returns:
        Rows with time < train_end, and rows with train_end + gap <= time < train_end + gap + test_length.

    Raises:
        KeyError: there is no such column.
        ValueError: times are missing, gap is negative, or either part is empty.
    """
    if time not in frame.columns:
        raise KeyError(f"no column {time!r}: the frame has {list(frame.columns)}")
    moments = frame[time]
    if moments.isna().any():
        raise ValueError(f"{moments.isna().sum()} of {len(moments)} values of {time!r} are missing: drop or fill them")
    if pd.api.types.is_datetime64_any_dtype(moments):
        train_end, gap = pd.Timestamp(train_end), pd.Timedelta(gap)
        test_length = None if test_length is None else pd.Timedelta(test_length)
        if train_end.tz is None:
            train_end = train_end.tz_localize(moments.dt.tz)
        elif moments.dt.tz is None:
            raise ValueError(
                f"train_end has the time zone {train_end.tz} and {time!r} has none: give both one, or neither"
            )
    elif not pd.api.types.is_numeric_dtype(moments):
        raise ValueError(f"{time!r} holds {moments.dtype}: turn it into datetimes with pd.to_datetime first")
    if gap < type(gap)(0):
        raise ValueError(f"gap must not be negative, got {gap}: test rows would lie in the training period")
    test_start = train_end + gap
    in_test = moments >= test_start
    if test_length is not None:
        in_test &= moments < test_start + test_length
    train, test = frame[(moments < train_end).to_numpy()], frame[in_test.to_numpy()]
    for name, part in {"train": train, "test": test}.items():
        if part.empty:
            seen = f"{moments.min()} to {moments.max()}" if len(moments) else "nothing"
            raise ValueError(
                f"no {name} rows: train ends at {train_end}, test starts at {test_start}, {time!r} has {seen}"
            )
    return train, test


def stratified_split(
    frame: pd.DataFrame, target: str, test_share: float = 0.2, group: str | None = None, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows at random with the target's classes in equal shares, and no group on both sides.

    Args:
        frame: rows; the index is kept and may have duplicates.
        target: name of the class column.
        test_share: share of rows in the test part, above 0 and below 1. With groups it is met as nearly as whole
            groups allow, as one part of round(1 / test_share), at least 2.
        group: name of a column whose values must not be on both sides, such as customer_id.
        seed: the same seed gives the same split.

    Raises:
        KeyError: there is no such column.
        ValueError: target or group values are missing, a class has fewer than two rows, or test_share is out of range.
    """
    columns = [target] if group is None else [target, group]
    if unknown := [column for column in columns if column not in frame.columns]:
        raise KeyError(f"no columns {unknown}: the frame has {list(frame.columns)}")
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be above 0 and below 1, got {test_share}")
    for column in columns:
        if missing := int(frame[column].isna().sum()):
            raise ValueError(f"{missing} of {len(frame)} values of {column!r} are missing: drop or fill them")
    counts = frame[target].value_counts()
    if rare := counts[counts < 2].index.tolist():
        raise ValueError(f"classes {rare[:5]} of {target!r} have fewer than two rows: they cannot be on both sides")
    classes = pd.factorize(frame[target])[0]
    if group is None:
        train, test = train_test_split(np.arange(len(frame)), test_size=test_share, stratify=classes, random_state=seed)
    else:
        folds = StratifiedGroupKFold(max(2, round(1 / test_share)), shuffle=True, random_state=seed)
        train, test = next(folds.split(frame, classes, pd.factorize(frame[group])[0]))
    return frame.iloc[np.sort(train)], frame.iloc[np.sort(test)]
