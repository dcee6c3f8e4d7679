"""The scripts of labs/*/src run in AWS's public containers: what they import, and that they do their work."""

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tasks

SCRIPTS = sorted(tasks.LABS.glob("*/src/*.py"))
XGBOOST_CONTAINER = {"numpy", "pandas", "sklearn", "xgboost", "scipy"}


@pytest.mark.parametrize("script", SCRIPTS, ids=[f"{s.parts[-3]}-{s.name}" for s in SCRIPTS])
def test_a_script_imports_what_the_container_holds(script):
    own = {path.stem for path in script.parent.glob("*.py")} | {"scoring"}
    imported = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.split(".")[0])
    assert imported <= set(sys.stdlib_module_names) | XGBOOST_CONTAINER | own


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
    script = tasks.LABS / "01-fraud" / "src" / "train.py"
    command = [sys.executable, str(script), "--num_round", "20", "--unknown_option", "1"]
    done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["validation_auc"] > 0.99
    assert (tmp_path / "model" / "model.json").is_file()
    assert "validation_auc=" in done.stdout


def test_train_names_a_channel_without_files(tmp_path):
    script = tasks.LABS / "01-fraud" / "src" / "train.py"
    command = [sys.executable, str(script), "--train", str(tmp_path), "--validation", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "holds no .csv file" in done.stderr
