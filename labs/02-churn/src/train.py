"""Trains the churn model in AWS's scikit-learn container, in script mode.

The channel `train` holds CSV files with a header: the label `churned` (0 or 1) and the
features, not negative. Writes model.joblib, features.json and metrics.json to the
model's folder.
"""

import argparse
import json
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

LABEL = "churned"


def read_channel(folder: str) -> pd.DataFrame:
    """All CSV files of a channel as one frame.

    Raises:
        FileNotFoundError: the channel holds no CSV file.
        ValueError: a file lacks the label.
    """
    files = sorted(Path(folder).rglob("*.csv"))
    if not files:
        raise FileNotFoundError(f"the channel {folder} holds no .csv file")
    frame = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    if LABEL not in frame:
        raise ValueError(
            f"the rows of {folder} lack the label {LABEL!r}: columns are"
            f" {list(frame.columns)}"
        )
    return frame


def pipeline(c: float) -> Pipeline:
    """Logistic regression on the logarithms of rates, standardised."""
    return make_pipeline(
        FunctionTransformer(np.log1p),
        StandardScaler(),
        LogisticRegression(C=c, max_iter=1000),
    )


def parse_options() -> argparse.Namespace:
    """Hyperparameters as SageMaker passes them, folders from its environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model_dir", default=os.environ.get("SM_MODEL_DIR"))
    return parser.parse_known_args()[0]


def main() -> None:
    """Read the channel, train, write the model, its features and its metrics."""
    options = parse_options()
    rows = read_channel(options.train)
    X, y = rows.drop(columns=LABEL), rows[LABEL]
    score = cross_val_predict(pipeline(options.C), X, y, method="predict_proba")[:, 1]
    metrics = {
        "cross_validated_auc": float(roc_auc_score(y, score)),
        "cross_validated_average_precision": float(average_precision_score(y, score)),
    }
    folder = Path(options.model_dir)
    joblib.dump(pipeline(options.C).fit(X.to_numpy(), y), folder / "model.joblib")
    (folder / "features.json").write_text(json.dumps(list(X.columns)))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    print(" ".join(f"{name}={value:.4f};" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
