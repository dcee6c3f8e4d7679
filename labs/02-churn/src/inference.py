"""The model's four functions, for AWS's scikit-learn container."""

import io
import json
from pathlib import Path

import joblib
import numpy as np


def model_fn(model_dir: str) -> tuple:
    """The fitted pipeline and the names of its features."""
    folder = Path(model_dir)
    return joblib.load(folder / "model.joblib"), json.loads(
        (folder / "features.json").read_text()
    )


def input_fn(body: str | bytes, content_type: str) -> np.ndarray:
    """Rows of a CSV body without header, shape (n, features).

    Raises:
        ValueError: another media type, or something that is no number.
    """
    if content_type.split(";")[0].strip().lower() != "text/csv":
        raise ValueError(f"content type must be text/csv, got {content_type}")
    text = body.decode() if isinstance(body, bytes) else body
    return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)


def predict_fn(rows: np.ndarray, model: tuple) -> np.ndarray:
    """Probability of churn of each row.

    Raises:
        ValueError: the rows have another number of columns than the model's features.
    """
    fitted, features = model
    if rows.shape[1] != len(features):
        raise ValueError(
            f"a row has {len(features)} features, {features[0]} to {features[-1]}, got"
            f" {rows.shape[1]} columns"
        )
    return fitted.predict_proba(rows)[:, 1]


def output_fn(probability: np.ndarray, accept: str) -> tuple:
    """One probability a line, and the media type."""
    return "".join(f"{value:.6f}\n" for value in probability), "text/csv"
