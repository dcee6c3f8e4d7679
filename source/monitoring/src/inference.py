"""Serves the fraud model: text/csv rows without a header in, one score a line out."""

import io

import numpy as np
import xgboost as xgb


def model_fn(model_dir: str) -> xgb.Booster:
    return xgb.Booster(model_file=f"{model_dir}/model.json")


def input_fn(body: bytes | str, content_type: str) -> np.ndarray:
    if not content_type.startswith("text/csv"):
        raise ValueError(f"this model reads text/csv, got {content_type}")
    text = body.decode() if isinstance(body, bytes) else body
    return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)


def predict_fn(rows: np.ndarray, booster: xgb.Booster) -> np.ndarray:
    if rows.shape[1] != booster.num_features():
        raise ValueError(
            f"a row has {booster.num_features()} features, got {rows.shape[1]}"
        )
    return booster.inplace_predict(rows, validate_features=False)


def output_fn(scores: np.ndarray, accept: str) -> tuple[str, str]:
    return "\n".join(f"{score:.6f}" for score in scores), "text/csv"
