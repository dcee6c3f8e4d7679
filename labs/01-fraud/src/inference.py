"""The endpoint's four functions, for AWS's XGBoost container.

`scoring.py`, written by the lab, lies beside this file: the request's schema and the
two functions behind the answer.
"""

import json
from pathlib import Path

import pandas as pd
import xgboost as xgb
from scoring import SCHEMA, parse_request, predict_with_reasons


def model_fn(model_dir: str) -> xgb.Booster:
    """The trained booster, on one thread: small requests run side by side."""
    booster = xgb.Booster(model_file=str(Path(model_dir) / "model.json"))
    booster.set_param({"nthread": 1})
    return booster


def input_fn(body: str | bytes, content_type: str) -> pd.DataFrame:
    """The request's rows; what the schema refuses is answered with an error."""
    return parse_request(body, content_type, SCHEMA)


def predict_fn(rows: pd.DataFrame, booster: xgb.Booster) -> list:
    """Probability, margin, SHAP values and reasons of each row."""
    return predict_with_reasons(rows, booster)


def output_fn(answers: list, accept: str) -> tuple:
    """The answers as JSON, and their media type."""
    return json.dumps({"predictions": answers}), "application/json"
