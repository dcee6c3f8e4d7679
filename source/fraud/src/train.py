"""Trains the fraud model in AWS's XGBoost container, in script mode.

Channels `train` and `validation` hold CSV files with a header: the label `fraud` (0 or
1) and the features. Writes model.json and metrics.json to the model's folder.
"""

import argparse
import json
import os
from pathlib import Path

import pandas as pd
import xgboost as xgb
from sklearn.metrics import average_precision_score, roc_auc_score

LABEL = "fraud"


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


def matrix(frame: pd.DataFrame) -> xgb.DMatrix:
    """Features and label as XGBoost takes them."""
    return xgb.DMatrix(frame.drop(columns=LABEL), label=frame[LABEL])


def train(
    train_rows: pd.DataFrame, validation_rows: pd.DataFrame, options: argparse.Namespace
) -> tuple:
    """A booster of num_round trees, and its metrics on the validation rows."""
    parameters = {
        "objective": "binary:logistic",
        "eval_metric": "aucpr",
        "tree_method": "hist",
        "max_depth": options.max_depth,
        "eta": options.eta,
        "subsample": options.subsample,
        "seed": options.seed,
    }
    validation = matrix(validation_rows[train_rows.columns])
    booster = xgb.train(
        parameters,
        matrix(train_rows),
        num_boost_round=options.num_round,
        evals=[(validation, "validation")],
        verbose_eval=50,
    )
    score = booster.predict(validation)
    return booster, {
        "validation_auc": float(roc_auc_score(validation_rows[LABEL], score)),
        "validation_average_precision": float(
            average_precision_score(validation_rows[LABEL], score)
        ),
    }


def parse_options() -> argparse.Namespace:
    """Hyperparameters as SageMaker passes them, folders from its environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max_depth", type=int, default=4)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--subsample", type=float, default=0.8)
    parser.add_argument("--num_round", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", default=os.environ.get("SM_CHANNEL_VALIDATION"))
    parser.add_argument("--model_dir", default=os.environ.get("SM_MODEL_DIR"))
    return parser.parse_known_args()[0]


def main() -> None:
    """Read the channels, train, write the model and its metrics."""
    options = parse_options()
    booster, metrics = train(
        read_channel(options.train), read_channel(options.validation), options
    )
    folder = Path(options.model_dir)
    booster.save_model(folder / "model.json")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    print(" ".join(f"{name}={value:.4f};" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
