"""The gate of the ticket corpus: words alone do not suffice, and a fine-tuned encoder gets further than they do."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from helpers.data import tickets
from helpers.encoders import minilm

SRC = Path(__file__).parents[2] / "labs" / "03-text" / "src"
TFIDF_BAND = (0.55, 0.85)
MARGIN = 0.05
FINE_TUNING = {
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 2e-4,
    "head_learning_rate": 2e-3,
    "max_seq_len": 64,
    "patience": 0,
}


def macro_f1(corpus: tickets.Corpus, predicted) -> float:
    return float(f1_score(corpus.test["label"], predicted, average="macro"))


def words_alone(corpus: tickets.Corpus) -> np.ndarray:
    """The answers of a linear model on TF-IDF of words and pairs of words."""
    linear = LogisticRegression(C=10, max_iter=2_000, class_weight="balanced")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), linear)
    return model.fit(corpus.train["text"], corpus.train["label"]).predict(corpus.test["text"])


@pytest.fixture
def inference(monkeypatch):
    """The serving functions of the text lab, imported as its container does."""
    monkeypatch.syspath_prepend(str(SRC))
    before = set(sys.modules)
    yield importlib.import_module("inference")
    for name in (set(sys.modules) - before) & {path.stem for path in SRC.glob("*.py")}:
        del sys.modules[name]


def fine_tune(corpus: tickets.Corpus, folder: Path, seed: int) -> Path:
    """The folder of MiniLM with all its layers fine-tuned by the text lab's training script."""
    for split in ("train", "validation"):
        (folder / split).mkdir()
        getattr(corpus, split)[["text", "label"]].to_csv(folder / split / "rows.csv", index=False)
    options = FINE_TUNING | {
        "seed": seed,
        "encoder": minilm.folder(),
        "train": folder / "train",
        "validation": folder / "validation",
        "model_dir": folder / "model",
        "checkpoint_dir": folder / "nowhere",
    }
    arguments = [str(argument) for name, value in options.items() for argument in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, str(SRC / "train.py"), *arguments],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "model"


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fine_tuned_encoder_is_ahead_of_words_alone_which_are_neither_useless_nor_enough(seed, tmp_path, inference):
    corpus = tickets.corpus(n_train=700, n_validation=100, n_test=500, seed=seed)
    words = macro_f1(corpus, words_alone(corpus))
    model = inference.model_fn(str(fine_tune(corpus, tmp_path, seed)))
    answers = inference.predict_fn(corpus.test["text"].tolist(), model)
    named = np.array([answer["label"] for answer in answers])
    tuned = macro_f1(corpus, named)
    print(f"\nseed {seed}: macro-F1 of TF-IDF {words:.3f}, of the fine-tuned encoder {tuned:.3f}")
    assert TFIDF_BAND[0] <= words <= TFIDF_BAND[1], f"seed {seed}: TF-IDF reaches {words:.3f}"
    assert tuned >= words + MARGIN, f"seed {seed}: fine-tuned {tuned:.3f}, TF-IDF {words:.3f}"
    assert (named == corpus.test["label"]).mean() < corpus.ceiling, "better than what chance leaves to any reader"
