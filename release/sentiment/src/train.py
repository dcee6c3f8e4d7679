"""Trains a sentiment head on sentence vectors in AWS's scikit-learn container.

The channel `train` holds CSV files with a header: language, the probabilities
p_negative, p_neutral and p_positive of each class, and the vector's columns v0, v1, ...
Writes model.joblib, classes.json and metrics.json to the model's folder.
"""

import argparse
import json
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

CLASSES = ("negative", "neutral", "positive")


def read_channel(folder: str) -> pd.DataFrame:
    """All CSV files of a channel as one frame.

    Raises:
        FileNotFoundError: the channel holds no CSV file.
        ValueError: a file lacks a column.
    """
    files = sorted(Path(folder).rglob("*.csv"))
    if not files:
        raise FileNotFoundError(f"the channel {folder} holds no .csv file")
    frame = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    needed = ["language", "v0", *(f"p_{name}" for name in CLASSES)]
    if missing := [column for column in needed if column not in frame]:
        raise ValueError(f"the rows of {folder} lack the columns {missing}")
    return frame


def fit(vectors: np.ndarray, targets: np.ndarray, c: float) -> LogisticRegression:
    """A head fitted on probabilities: each row once per class, weighted by its own.

    Args:
        vectors: shape (n, dimensions).
        targets: probabilities of CLASSES, shape (n, 3).
        c: inverse strength of the penalty.
    """
    n_classes = len(CLASSES)
    rows = np.repeat(vectors, n_classes, axis=0)
    labels = np.tile(np.arange(n_classes), len(vectors))
    return LogisticRegression(C=c, max_iter=500).fit(
        rows, labels, sample_weight=targets.ravel()
    )


def cross_entropy(head: LogisticRegression, vectors, targets: np.ndarray) -> float:
    """Mean of -log of the head's probabilities, weighted by the targets."""
    logarithms = head.predict_log_proba(vectors)
    return float(-(targets * logarithms).sum(axis=1).mean())


def parse_options() -> argparse.Namespace:
    """Hyperparameters as SageMaker passes them, folders from its environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--languages", default="all", help="codes by commas, or all")
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model_dir", default=os.environ.get("SM_MODEL_DIR"))
    return parser.parse_known_args()[0]


def main() -> None:
    """Read the channel, choose the languages, train, write model and metrics."""
    options = parse_options()
    rows = read_channel(options.train)
    if options.languages != "all":
        rows = rows[rows["language"].isin(options.languages.split(","))]
    if rows.empty:
        raise ValueError(f"no row is written in {options.languages}")
    columns = [name for name in rows if name.startswith("v")]
    vectors = rows[columns].to_numpy(float)
    targets = rows[[f"p_{name}" for name in CLASSES]].to_numpy(float)
    held_out = []
    for train, test in KFold(3, shuffle=True, random_state=0).split(vectors):
        head = fit(vectors[train], targets[train], options.C)
        held_out.append(cross_entropy(head, vectors[test], targets[test]))
    metrics = {"rows": len(rows), "cross_entropy": float(np.mean(held_out))}
    folder = Path(options.model_dir)
    joblib.dump(fit(vectors, targets, options.C), folder / "model.joblib")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    print(" ".join(f"{name}={value:.4f};" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
