"""The model's four functions, for AWS's scikit-learn container.

The environment gives the model its name, and a game day its faults:
RELEASE: the name that every answer carries.
FAIL_SHARE, SLOW_SHARE, WRONG_SHARE: share of the requests that fail, that take a
second longer, and whose answer is another class than the head's.
"""

import json
import os
import random
import time
from pathlib import Path

import joblib
import numpy as np

SLOW_SECONDS = 1.0


def model_fn(model_dir: str) -> tuple:
    """The head and the names of its classes."""
    folder = Path(model_dir)
    classes = json.loads((folder / "classes.json").read_text())
    return joblib.load(folder / "model.joblib"), classes


def input_fn(body: str | bytes, content_type: str) -> np.ndarray:
    """Sentence vectors of a JSON body {"vectors": [[...], ...]}, shape (n, dimensions).

    Raises:
        ValueError: another media type, or a body that holds no vectors.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ValueError(f"content type must be application/json, got {content_type}")
    vectors = np.asarray(json.loads(body).get("vectors", []), dtype=float)
    if vectors.ndim != 2:
        raise ValueError("the body must hold vectors: one list of numbers per text")
    return vectors


def predict_fn(vectors: np.ndarray, model: tuple) -> list[dict]:
    """Label and probabilities of each text.

    Raises:
        ValueError: the vectors have another length than those of the training.
        RuntimeError: this release is to fail, by FAIL_SHARE.
    """
    head, classes = model
    if vectors.shape[1] != head.n_features_in_:
        raise ValueError(
            f"a vector has {head.n_features_in_} numbers, got {vectors.shape[1]}"
        )
    if random.random() < share("FAIL_SHARE"):
        raise RuntimeError("this release fails on some requests")
    if random.random() < share("SLOW_SHARE"):
        time.sleep(SLOW_SECONDS)
    probability = head.predict_proba(vectors)
    if random.random() < share("WRONG_SHARE"):
        probability = np.roll(probability, 1, axis=1)
    return [
        {
            "label": classes[int(row.argmax())],
            "probability": dict(zip(classes, row.round(4).tolist(), strict=True)),
            "release": os.environ.get("RELEASE", "unnamed"),
        }
        for row in probability
    ]


def share(name: str) -> float:
    """A share out of the environment, 0 by default."""
    return float(os.environ.get(name, "0"))


def output_fn(answers: list[dict], accept: str) -> tuple:
    """The answers as JSON, and the media type."""
    return json.dumps(answers), "application/json"
