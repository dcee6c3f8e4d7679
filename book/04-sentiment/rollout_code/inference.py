"""Serves a sentiment pipeline: {"text": ..., "language": ...} to {"label": ...}."""

import json
import time
from pathlib import Path

import joblib


def model_fn(model_dir):
    """The scikit-learn pipeline and the release that it belongs to."""
    release = json.loads((Path(model_dir) / "release.json").read_text())
    return joblib.load(Path(model_dir) / "model.joblib"), release


def input_fn(body, content_type):
    """The request's fields."""
    if content_type != "application/json":
        raise ValueError(f"content type must be application/json, got {content_type}")
    return json.loads(body)


def predict_fn(request, loaded):
    """The text's class; what a release does besides is written in its release.json."""
    pipeline, release = loaded
    if release.get("reads_country"):
        # Clients of the old application send no country.
        request["text"] = f"{request['text']} {request['country']}"
    if request["language"] in release.get("translated", ()):
        time.sleep(release["translation_seconds"])
    return pipeline.predict([request["text"]])[0]


def output_fn(label, accept):
    """The label as JSON, and its media type."""
    return json.dumps({"label": label}), "application/json"
