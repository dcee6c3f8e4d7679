"""A text classifier of PyTorch as an ONNX graph, in float32 and with weights of 8 bits.

Dynamic quantisation keeps the weights of matrix products as int8 and quantises activations when the graph runs, so it
needs no calibration data.
Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

INPUTS = ("input_ids", "attention_mask")


def export(model: Any, out: str | Path) -> Path:
    """Write a model as ONNX, for batches and texts of any length.

    Args:
        model: a torch module in evaluation mode; input_ids and attention_mask, both int64 of shape (n, length), give
            logits of shape (n, classes).
        out: path of the file to write.
    """
    import torch

    example = torch.randint(5, 100, (2, 16)), torch.ones(2, 16, dtype=torch.long)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    # It says which operators of packages that are not installed it leaves out, and uses a deprecated part of torch.
    with _quiet("torch.onnx._internal.exporter._registration"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            model,
            example,
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=(free, free),
            dynamo=True,
            verbose=False,
        )
    program.save(out, external_data=False)
    return Path(out)


def quantise(model: str | Path, out: str | Path) -> Path:
    """Write an ONNX model with the weights of its matrix products in int8, one scale for each channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # It asks for a preparation by shape inference, which the exporter has done.
    with _quiet(None):
        quantize_dynamic(model, out, per_channel=True, weight_type=QuantType.QInt8)
    return Path(out)


@contextmanager
def _quiet(name: str | None) -> Iterator[None]:
    """Lets a logger say errors only."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Graph:
    """An ONNX model that onnxruntime runs on the CPU.

    Args:
        path: the model's file.
        threads: of one call; 0 lets onnxruntime choose.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = threads
        self._session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Logits, float32 of shape (n, classes), of int64 tokens and mask, both of shape (n, length)."""
        (logits,) = self._session.run(None, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        return logits
