"""The analysis configuration of Clarify, and the data that it speaks of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import datasets
from .job import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_FORMATS = {
    "text/csv": {"csv": {}},
    "application/jsonlines": {"json": {"lines": True}},
    "application/json": {"json": {"lines": False}},
    "application/x-parquet": {"parquet": {}},
}
_FEWEST_REPEATS = 0.05  # a numeric column with fewer distinct values than this share of rows holds categories


@dataclass(frozen=True)
class Data:
    """The data of an analysis.

    Attributes:
        frame: one row per member, columns by their headers.
        config: the analysis configuration.
        predicted: the column with predicted labels, None where a model is asked.
    """

    frame: pd.DataFrame
    config: dict
    predicted: str | None

    @property
    def label(self) -> str | None:
        """The column with the observed label."""
        return self.column(self.config["label"]) if "label" in self.config else None

    @property
    def features(self) -> pd.DataFrame:
        """What a model is asked with: all columns but labels and those that are excluded."""
        names = [*self.config.get("excluded_columns", []), self.config.get("joinsource_name_or_index")]
        left_out = {self.column(name) for name in names if name is not None} | {self.label, self.predicted}
        return self.frame[[name for name in self.frame.columns if name not in left_out]]

    def column(self, name: str | int) -> str:
        """The column of a name or an index.

        Raises:
            DataError: there is none.
        """
        columns = list(self.frame.columns)
        if isinstance(name, int) and 0 <= name < len(columns):
            return columns[name]
        if name not in columns:
            raise DataError(f"The dataset has no column {name!r}. It has {', '.join(map(str, columns))}.")
        return name


def configuration(ml: Path) -> dict:
    """The analysis_config.json of a job.

    Raises:
        DataError: there is none, or it asks for what is not to be had here.
    """
    path = ml / "processing" / "input" / "config" / "analysis_config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"analysis_config.json cannot be read: {error}") from error
    known = {"pre_training_bias", "post_training_bias", "shap", "pdp", "report"}
    unknown = set(config.get("methods", {})) - known
    if unknown:
        raise DataError(f"methods {', '.join(sorted(unknown))} are not available in the local SageMaker.")
    return config


def read(source: Path, config: dict) -> Data:
    """The data of a job, with the configuration's headers.

    Raises:
        DataError: it is not as configured.
    """
    kind = config.get("dataset_type", "text/csv")
    if kind not in _FORMATS:
        raise DataError(f"dataset_type {kind} is not available in the local SageMaker.")
    headers = config.get("headers")
    data_format = {"csv": {"header": headers is None}} if kind == "text/csv" else _FORMATS[kind]
    frame = interpreted(datasets.read(source, data_format).to_pandas())
    if headers is not None:
        # A file may bring its own header, which then is the first row.
        if len(headers) != frame.shape[1]:
            raise DataError(f"There are {len(headers)} headers for {frame.shape[1]} columns.")
        if kind == "text/csv" and [str(value) for value in frame.iloc[0]] == list(map(str, headers)):
            frame = interpreted(frame.iloc[1:].reset_index(drop=True))
        frame.columns = headers
    data = Data(frame, config, None)
    return data if "predicted_label" not in config else Data(frame, config, data.column(config["predicted_label"]))


def interpreted(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of text that hold numbers only become numeric."""
    import pandas as pd

    def numeric(values: pd.Series) -> pd.Series:
        try:
            return pd.to_numeric(values)
        except (ValueError, TypeError):
            return values

    return frame.apply(numeric)


def chosen(values: pd.Series, wanted: list | None) -> np.ndarray:
    """Which values are among the wanted categories, or above a threshold where they are a continuous quantity."""
    import pandas as pd

    is_number = pd.api.types.is_numeric_dtype(values)
    distinct = values.nunique()
    if is_number and wanted and len(wanted) == 1 and distinct > 2 and distinct >= _FEWEST_REPEATS * len(values):
        return (values > float(wanted[0])).to_numpy()
    if not wanted:
        wanted = [values.dropna().max() if is_number else sorted(values.dropna().astype(str))[-1]]
    if is_number:
        return values.isin([float(each) for each in wanted]).to_numpy()
    return values.astype(str).isin([str(each) for each in wanted]).to_numpy()


def encoded(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as the numbers of its categories."""
    import pandas as pd

    return frame.apply(lambda values: values if pd.api.types.is_numeric_dtype(values) else pd.factorize(values)[0])
