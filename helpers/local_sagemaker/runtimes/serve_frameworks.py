"""Default handlers per framework, as in the public containers; a script's own functions replace them one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import serve_codecs as codecs
from . import serve_huggingface as huggingface

if TYPE_CHECKING:
    import xgboost

# Their containers fall back on functions of their own when the script that SAGEMAKER_PROGRAM names is not there. The
# SDK 3 relies on it: ModelBuilder(model=<a ModelTrainer>) names a script that it does not put into the artifacts.
SERVES_WITHOUT_SCRIPT = ("pytorch", "huggingface")


@dataclass(frozen=True)
class Handlers:
    """The functions that a container calls, the media type that it answers when the client names none, and its errors.

    `error_body` words an exception's message where the container answers status 400 to all of them; None stands for
    status 500 and the traceback.
    """

    model_fn: Callable[..., Any]
    input_fn: Callable[..., Any]
    predict_fn: Callable[..., Any]
    output_fn: Callable[..., Any]
    default_accept: str = codecs.JSON
    error_body: Callable[[str], str] | None = None


def framework(name: str, script: bool) -> Handlers:
    """The defaults of a framework.

    Args:
        name: `xgboost`, `sklearn`, `pytorch`, `huggingface`, or another, whose script must bring all that it needs.
        script: the model has a script of its own; XGBoost without one serves as the built-in algorithm.
    """
    if name == "xgboost":
        return XGBOOST_SCRIPT if script else XGBOOST_ALGORITHM
    return {"sklearn": SKLEARN, "pytorch": PYTORCH, "huggingface": HUGGINGFACE}.get(name, GENERIC)


def no_model_fn(model_dir: str) -> Any:
    """Stands in for a model_fn that only a script can give."""
    raise NotImplementedError(
        f"Please provide a model_fn implementation that loads the model from {model_dir}: put it in code/inference.py "
        "of model.tar.gz, or name a script by SAGEMAKER_PROGRAM and SAGEMAKER_SUBMIT_DIRECTORY."
    )


def decode_array(data: bytes | str, content_type: str) -> np.ndarray:
    """Text payloads come as float32, NPY as it was saved."""
    array = codecs.decode(data, content_type)
    return array.astype(np.float32) if codecs.media_type(content_type) in codecs.TEXT_TYPES else array


def predict(data: Any, model: Any) -> Any:
    """What `model.predict` says."""
    return model.predict(data)


def encode_answer(prediction: Any, accept: str) -> tuple[bytes | str, str]:
    """The encoded prediction and its media type."""
    return codecs.encode(prediction, accept), accept


def booster(model_dir: str) -> xgboost.Booster:
    """The built-in algorithm's model: the file `xgboost-model`, saved by XGBoost or pickled.

    Raises:
        FileNotFoundError: the folder has no such file.
    """
    import pickle

    import xgboost

    path = Path(model_dir) / "xgboost-model"
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in Path(model_dir).iterdir())) or "nothing"
        raise FileNotFoundError(f"the built-in XGBoost algorithm serves the file {path}; model.tar.gz holds {found}")
    content = path.read_bytes()
    if content[:1] == b"\x80":
        return pickle.loads(content)  # noqa: S301 (the container unpickles it too)
    return xgboost.Booster(model_file=bytearray(content))


def decode_rows(data: bytes | str, content_type: str) -> Any:
    """CSV without a header as a dense array, libsvm as a sparse matrix.

    Raises:
        UnsupportedFormat: the type is another.
    """
    kind = codecs.media_type(content_type)
    if kind == codecs.CSV:
        return codecs.csv_rows(data)
    if kind in codecs.LIBSVM:
        return libsvm_rows(data)
    raise codecs.UnsupportedFormat(content_type, 415, (codecs.CSV, *codecs.LIBSVM))


def decode_matrix(data: bytes | str, content_type: str) -> xgboost.DMatrix:
    """CSV or libsvm as the DMatrix that a script's predict_fn takes."""
    import xgboost

    return xgboost.DMatrix(decode_rows(data, content_type))


def libsvm_rows(data: bytes | str) -> Any:
    """Rows `[label] index:value ...` as a sparse matrix; indices count as written, as XGBoost reads them."""
    from scipy.sparse import csr_matrix

    values, columns, starts = [], [], [0]
    for line in filter(None, map(str.strip, codecs.as_text(data).splitlines())):
        for entry in line.split():
            column, colon, value = entry.partition(":")
            if colon:
                columns.append(int(column))
                values.append(float(value))
        starts.append(len(values))
    shape = (len(starts) - 1, max(columns, default=-1) + 1)
    return csr_matrix((np.array(values, dtype=np.float32), columns, starts), shape=shape)


def score_matrix(data: xgboost.DMatrix, model: xgboost.Booster) -> np.ndarray:
    """Scores of a Booster, from the best iteration when training stopped early."""
    best = model.attr("best_iteration")
    return model.predict(data, iteration_range=(0, int(best) + 1) if best else (0, 0), validate_features=False)


def score_rows(rows: Any, model: xgboost.Booster) -> np.ndarray:
    """Scores of dense or sparse rows.

    Raises:
        ValueError: CSV rows have another number of features than the training data, or libsvm rows have more.
    """
    import xgboost

    wanted, got = model.num_features(), rows.shape[-1]
    if got > wanted or (got < wanted and isinstance(rows, np.ndarray)):
        raise ValueError(
            f"Feature size of the inference data {got} is not consistent with feature size of trained model {wanted}."
        )
    return score_matrix(xgboost.DMatrix(rows), model)


def algorithm_answer(scores: np.ndarray, accept: str) -> tuple[str, str]:
    """The built-in algorithm's answer: scores with commas between, one a line in a batch job, or JSON predictions.

    Raises:
        UnsupportedFormat: the client accepts neither CSV nor JSON.
    """
    kind = codecs.media_type(accept)
    if kind == codecs.JSON:
        return codecs.encode({"predictions": [{"score": score} for score in scores.tolist()]}, codecs.JSON), codecs.JSON
    if kind != codecs.CSV:
        raise codecs.UnsupportedFormat(accept, 406, (codecs.CSV, codecs.JSON))
    if os.environ.get("SAGEMAKER_BATCH") == "true":
        return "".join(f"{score}\n" for score in scores.tolist()), codecs.CSV
    return ",".join(map(str, scores.tolist())), codecs.CSV


def load_torchscript(model_dir: str) -> Any:
    """PyTorch's default: a TorchScript module in model.pt, or in the one file whose name ends with .pt or .pth.

    Raises:
        NotImplementedError: there is no such file; only a script can load the model.
        ValueError: there are several, or the file holds no TorchScript.
    """
    import torch

    files = sorted(path for path in Path(model_dir).iterdir() if path.suffix in (".pt", ".pth"))
    if not files:
        return no_model_fn(model_dir)
    chosen = [path for path in files if path.name == "model.pt"] or files
    if len(chosen) > 1:
        raise ValueError(
            f"Exactly one .pth or .pt file is required for PyTorch models: {[path.name for path in files]}"
        )
    try:
        return torch.jit.load(chosen[0], map_location="cpu").eval()
    except RuntimeError as error:
        raise ValueError(
            f"Failed to load {chosen[0]}. Please ensure model is saved using torchscript, or write a model_fn. {error}"
        ) from error


def decode_tensor(data: bytes | str, content_type: str) -> Any:
    """The payload as a tensor."""
    import torch

    return torch.from_numpy(decode_array(data, content_type))


def predict_tensor(data: Any, model: Any) -> Any:
    """The module's answer, without gradients."""
    import torch

    with torch.no_grad():
        return model(data)


def encode_tensor(prediction: Any, accept: str) -> tuple[bytes | str, str]:
    """The tensor's values and their media type."""
    values = prediction.detach().cpu().numpy() if hasattr(prediction, "detach") else prediction
    return encode_answer(values, accept)


GENERIC = Handlers(no_model_fn, decode_array, predict, encode_answer)
SKLEARN = Handlers(no_model_fn, decode_array, predict, encode_answer)
PYTORCH = Handlers(load_torchscript, decode_tensor, predict_tensor, encode_tensor)
HUGGINGFACE = Handlers(
    huggingface.load_pipeline,
    huggingface.decode_payload,
    huggingface.predict,
    huggingface.encode_answer,
    error_body=huggingface.error_body,
)
XGBOOST_SCRIPT = Handlers(no_model_fn, decode_matrix, score_matrix, encode_answer)
XGBOOST_ALGORITHM = Handlers(booster, decode_rows, score_rows, algorithm_answer, codecs.CSV)
