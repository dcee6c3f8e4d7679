"""The scripts of labs/*/src run in AWS's public containers: what they import, and that they do their work."""

import ast
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tasks

SCRIPTS = sorted(tasks.LABS.glob("*/src/*.py"))
CONTAINERS = {
    "01-fraud": {"numpy", "pandas", "scipy", "sklearn", "xgboost"},
    "02-churn": {"joblib", "numpy", "pandas", "scipy", "sklearn"},
    "04-sentiment": {"joblib", "numpy", "pandas", "scipy", "sklearn"},
    "03-text": {"numpy", "pandas", "safetensors", "sklearn", "torch", "transformers"},
    "05-monitoring": {"boto3", "numpy", "pandas", "xgboost"},
}


@pytest.mark.parametrize("script", SCRIPTS, ids=[f"{s.parts[-3]}-{s.name}" for s in SCRIPTS])
def test_a_script_imports_what_the_container_holds(script):
    own = {path.stem for path in script.parent.glob("*.py")} | {"scoring"}
    imported = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.split(".")[0])
    assert imported <= set(sys.stdlib_module_names) | CONTAINERS[script.parts[-3]] | own


def run(script: str, *options: str, **places: str) -> subprocess.CompletedProcess:
    """A script below labs/, run as a container runs it."""
    command = [sys.executable, str(tasks.LABS / script), *options]
    return subprocess.run(command, env=os.environ | places, capture_output=True, text=True, check=False)


def test_train_writes_a_model_and_its_metrics(tmp_path):
    rng = np.random.default_rng(0)
    for channel in ("train", "validation"):
        (tmp_path / channel).mkdir()
        rows = pd.DataFrame({"amount": rng.uniform(0, 300, 400), "risk": rng.random(400)})
        rows.insert(0, "fraud", (rows["amount"] > 220).astype(int))
        rows.to_csv(tmp_path / channel / "rows.csv", index=False)
    (tmp_path / "model").mkdir()
    places = {
        "SM_CHANNEL_TRAIN": str(tmp_path / "train"),
        "SM_CHANNEL_VALIDATION": str(tmp_path / "validation"),
        "SM_MODEL_DIR": str(tmp_path / "model"),
    }
    done = run("01-fraud/src/train.py", "--num_round", "20", "--unknown_option", "1", **places)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["validation_auc"] > 0.99
    assert (tmp_path / "model" / "model.json").is_file()
    assert "validation_auc=" in done.stdout


@pytest.mark.parametrize("lab", [lab for lab in CONTAINERS if (tasks.LABS / lab / "src/train.py").is_file()])
def test_train_names_a_channel_without_files(lab, tmp_path):
    done = run(f"{lab}/src/train.py", "--train", str(tmp_path), "--encoder", str(tmp_path))
    assert done.returncode != 0
    assert "holds no .csv file" in done.stderr


@pytest.fixture(scope="module")
def churn_model(tmp_path_factory):
    """Folder of a trained churn model, and the serving functions beside it."""
    folder = tmp_path_factory.mktemp("churn")
    (folder / "train").mkdir()
    (folder / "model").mkdir()
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"login": rng.gamma(2, 5, 600), "ticket": rng.poisson(1, 600).astype(float)})
    rows.insert(0, "churned", (rng.random(600) < 1 / (1 + np.exp(0.5 * rows["login"] - 2))).astype(int))
    rows.to_csv(folder / "train" / "rows.csv", index=False)
    done = run("02-churn/src/train.py", SM_CHANNEL_TRAIN=str(folder / "train"), SM_MODEL_DIR=str(folder / "model"))
    assert done.returncode == 0, done.stderr
    assert "cross_validated_auc=" in done.stdout
    specification = importlib.util.spec_from_file_location("churn_inference", tasks.LABS / "02-churn/src/inference.py")
    inference = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(inference)
    return folder / "model", inference


def test_the_churn_model_answers_a_csv_body_line_by_line(churn_model):
    folder, inference = churn_model
    model = inference.model_fn(str(folder))
    assert model[1] == ["login", "ticket"]
    body = b"0.5,3\n60,0\n"
    probability = inference.predict_fn(inference.input_fn(body, "text/csv; charset=utf-8"), model)
    assert probability[0] > 0.5 > probability[1]
    text, media_type = inference.output_fn(probability, "text/csv")
    assert [float(line) for line in text.splitlines()] == pytest.approx(list(probability), abs=1e-6)
    assert media_type == "text/csv"
    one = inference.predict_fn(inference.input_fn("0.5,3", "text/csv"), model)
    assert one == pytest.approx(probability[:1])


def test_the_churn_model_refuses_what_it_cannot_read(churn_model):
    folder, inference = churn_model
    with pytest.raises(ValueError, match="text/csv"):
        inference.input_fn("{}", "application/json")
    with pytest.raises(ValueError, match="2 features, login to ticket, got 3 columns"):
        inference.predict_fn(inference.input_fn("1,2,3", "text/csv"), inference.model_fn(str(folder)))


@pytest.fixture(scope="module")
def sentiment_model(tmp_path_factory):
    """Folder of a trained sentiment head, and the serving functions beside it."""
    folder = tmp_path_factory.mktemp("sentiment")
    (folder / "train").mkdir()
    (folder / "model").mkdir()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 4))
    likely = np.digitize(vectors[:, 0], [-0.5, 0.5])
    rows = pd.DataFrame(np.eye(3)[likely] * 0.9 + 1 / 30, columns=["p_negative", "p_neutral", "p_positive"])
    rows = rows.join(pd.DataFrame(vectors, columns=[f"v{i}" for i in range(4)]))
    rows.insert(0, "language", np.where(np.arange(400) % 4, "en", "ja"))
    rows.to_csv(folder / "train" / "rows.csv", index=False)
    places = {"SM_CHANNEL_TRAIN": str(folder / "train"), "SM_MODEL_DIR": str(folder / "model")}
    done = run("04-sentiment/src/train.py", "--languages", "en", **places)
    assert done.returncode == 0, done.stderr
    assert "cross_entropy=" in done.stdout
    specification = importlib.util.spec_from_file_location(
        "sentiment_inference", tasks.LABS / "04-sentiment/src/inference.py"
    )
    inference = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(inference)
    return folder, inference


def test_the_sentiment_head_learns_the_probabilities_of_the_languages_it_is_told(sentiment_model):
    folder, _ = sentiment_model
    metrics = json.loads((folder / "model" / "metrics.json").read_text())
    assert metrics["rows"] == 300
    assert metrics["cross_entropy"] < 0.7


def test_the_sentiment_head_answers_vectors_with_label_probability_and_release(sentiment_model, monkeypatch):
    folder, inference = sentiment_model
    monkeypatch.setenv("RELEASE", "candidate")
    model = inference.model_fn(str(folder / "model"))
    body = json.dumps({"vectors": [[-2, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]})
    answers = inference.predict_fn(inference.input_fn(body, "application/json"), model)
    assert [answer["label"] for answer in answers] == ["negative", "neutral", "positive"]
    assert all(sum(answer["probability"].values()) == pytest.approx(1, abs=1e-3) for answer in answers)
    text, media_type = inference.output_fn(answers, "application/json")
    assert json.loads(text)[0]["release"] == "candidate"
    assert media_type == "application/json"


def test_the_sentiment_head_refuses_what_it_cannot_read(sentiment_model):
    folder, inference = sentiment_model
    model = inference.model_fn(str(folder / "model"))
    with pytest.raises(ValueError, match="application/json"):
        inference.input_fn("1,2", "text/csv")
    for body in ("{}", '{"vectors": [1, 2]}'):
        with pytest.raises(ValueError, match="one list of numbers per text"):
            inference.input_fn(body, "application/json")
    with pytest.raises(ValueError, match="a vector has 4 numbers, got 2"):
        inference.predict_fn(np.zeros((1, 2)), model)


def test_a_sentiment_release_fails_dawdles_and_errs_as_its_environment_says(sentiment_model, monkeypatch):
    folder, inference = sentiment_model
    model, vectors = inference.model_fn(str(folder / "model")), np.array([[2.0, 0, 0, 0]])
    slept = []
    monkeypatch.setattr(inference.time, "sleep", slept.append)
    monkeypatch.setenv("SLOW_SHARE", "1")
    monkeypatch.setenv("WRONG_SHARE", "1")
    assert inference.predict_fn(vectors, model)[0]["label"] != "positive"
    assert slept == [inference.SLOW_SECONDS]
    monkeypatch.setenv("FAIL_SHARE", "1")
    with pytest.raises(RuntimeError, match="fails on some requests"):
        inference.predict_fn(vectors, model)
