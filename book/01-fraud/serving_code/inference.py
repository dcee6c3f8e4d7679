"""Serves the fraud model: refuses rows that miss the schema, answers probabilities."""

import json
from pathlib import Path

import xgboost as xgb

FEATURES = json.loads((Path(__file__).parent / "features.json").read_text())


def model_fn(model_dir):
    """The booster that SageMaker's built-in XGBoost algorithm saved."""
    booster = xgb.Booster(model_file=str(Path(model_dir) / "xgboost-model"))
    booster.set_param({"nthread": 1})
    return booster


def input_fn(body, content_type):
    """Numbers in the model's order, from {"rows": [{feature: number, ...}, ...]}."""
    if content_type != "application/json":
        raise ValueError(f"content type must be application/json, got {content_type}")
    rows = json.loads(body)["rows"]
    for i, row in enumerate(rows):
        missing = sorted(set(FEATURES) - set(row))
        unknown = sorted(set(row) - set(FEATURES))
        if missing or unknown:
            raise ValueError(f"row {i}: missing {missing}, unknown {unknown}")
        if wrong := sorted(
            name for name, value in row.items() if not isinstance(value, (int, float))
        ):
            raise ValueError(f"row {i}: not a number: {wrong}")
    return xgb.DMatrix([[row[name] for name in FEATURES] for row in rows])


def predict_fn(rows, booster):
    """Probability of fraud of each row."""
    return booster.predict(rows)


def output_fn(probability, accept):
    """The probabilities as JSON, and their media type."""
    answer = {"fraud": [round(float(p), 6) for p in probability]}
    return json.dumps(answer), "application/json"
