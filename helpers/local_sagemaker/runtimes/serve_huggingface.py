"""What the Hugging Face container does without a script: a `transformers` pipeline, by task.

The task is HF_TASK, or what the architecture in the model's config.json is made for. The model is in `model.tar.gz`, or
on the Hub under HF_MODEL_ID.

Source: the public SageMaker Hugging Face inference toolkit.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import serve_codecs as codecs

_TASK_OF_ARCHITECTURE = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "TapasForQuestionAnswering": "table-question-answering",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "EncoderDecoderModel": "text2text-generation",
    "ForImageClassification": "image-classification",
}
_NESTED_TASKS = ("zero-shot-classification", "table-question-answering")
_IMAGES = ("image/jpeg", "image/png", "image/tiff", "image/bmp", "image/gif", "image/webp", "image/x-image")
_SOUNDS = ("audio/flac", "audio/mpeg", "audio/wave", "audio/ogg", "audio/x-audio")
_KNOWN = (codecs.JSON, codecs.CSV, codecs.NPY, *_IMAGES, *_SOUNDS)
_CONNECT_SECONDS = 5


def load_pipeline(model_dir: str) -> Any:
    """The pipeline of the model's task.

    Raises:
        ValueError: neither HF_TASK nor the model's configuration tells the task, or transformers does not know it.
        RuntimeError: the Hub cannot be reached for HF_MODEL_ID.
    """
    from transformers import pipeline

    model_id = os.environ.get("HF_MODEL_ID")
    if not model_id:
        return pipeline(os.environ.get("HF_TASK") or _task_of(Path(model_dir)), model=model_dir)
    if not Path(model_id).is_dir():
        _require_hub(model_id)
    revision, token = os.environ.get("HF_MODEL_REVISION"), os.environ.get("HF_API_TOKEN")
    return pipeline(os.environ.get("HF_TASK") or None, model=model_id, revision=revision, token=token)


def _task_of(model_dir: Path) -> str:
    path = model_dir / "config.json"
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in model_dir.iterdir())) or "nothing"
        raise ValueError(
            "There is no model to serve: set HF_MODEL_ID, or put a saved model with its config.json and tokenizer at "
            f"the top of model.tar.gz, which holds {found}."
        )
    architecture = next(iter(json.loads(path.read_text()).get("architectures") or []), "")
    for ending, task in _TASK_OF_ARCHITECTURE.items():
        if architecture.endswith(ending):
            return task
    raise ValueError(
        f"The task of {architecture or 'a model without architectures in config.json'} cannot be inferred, only that "
        f"of architectures that end with {', '.join(_TASK_OF_ARCHITECTURE)}. Name the task by HF_TASK."
    )


def _require_hub(model_id: str) -> None:
    """Says at once what the Hub's own client says after many retries."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    address = urlsplit(endpoint)
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), _CONNECT_SECONDS).close()
    except OSError as error:
        raise RuntimeError(
            f"HF_MODEL_ID is {model_id}, and {endpoint} cannot be reached from here ({error}). Without a network, put "
            "the saved model and its tokenizer into model.tar.gz, give it as ModelDataUrl, and leave HF_MODEL_ID out."
        ) from None


def decode_payload(data: bytes | str, content_type: str) -> Any:
    """The request as the pipeline's `inputs` and `parameters`.

    Raises:
        UnsupportedFormat: the type is none that the container knows.
        ValueError: a CSV payload lacks its header, or the task takes no CSV.
    """
    kind = codecs.media_type(content_type)
    if kind == codecs.JSON:
        return json.loads(codecs.as_text(data))
    if kind == codecs.CSV:
        return _decode_csv(codecs.as_text(data))
    if kind == codecs.NPY:
        return {"inputs": codecs.decode(data, kind)}
    if kind in _IMAGES:
        from PIL import Image

        return {"inputs": Image.open(io.BytesIO(data)).convert("RGB")}
    if kind in _SOUNDS:
        return {"inputs": bytes(data)}
    raise codecs.UnsupportedFormat(content_type, 415, _KNOWN)


def _decode_csv(text: str) -> dict:
    task = os.environ.get("HF_TASK")
    if task in _NESTED_TASKS:
        raise ValueError(f"content type {codecs.CSV} is not supported with {task}, use {codecs.JSON}")
    header, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    if not {"inputs", "question", "context"} & {name.lower() for name in header}:
        raise ValueError("a CSV payload needs a header: the column inputs, or the columns question and context")
    records = [dict(zip(header, row, strict=False)) for row in rows if row]
    return {"inputs": [record["inputs"] for record in records] if "inputs" in header else records}


def predict(data: Any, model: Any) -> Any:
    """What the pipeline says to `{"inputs": ..., "parameters": {...}}`, or to the request itself."""
    if not isinstance(data, dict):
        return model(data)
    parameters = data.get("parameters") or {}
    inputs = data["inputs"] if "inputs" in data else {name: data[name] for name in data if name != "parameters"}
    return model(inputs, **parameters)


def encode_answer(prediction: Any, accept: str) -> tuple[bytes | str, str]:
    """The answer as JSON without spaces, CSV with a header, or NPY.

    Raises:
        UnsupportedFormat: the client accepts none of them.
    """
    kind = codecs.media_type(accept)
    if kind == codecs.JSON:
        text = json.dumps(prediction, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return text, codecs.JSON
    if kind == codecs.CSV:
        records = prediction if isinstance(prediction, list) else [prediction]
        stream = io.StringIO()
        writer = csv.DictWriter(stream, records[0])
        writer.writeheader()
        writer.writerows(records)
        return stream.getvalue(), codecs.CSV
    return codecs.encode(prediction, accept), accept


def error_body(message: str) -> str:
    """What the container answers, with status 400, to any request that fails."""
    return json.dumps({"code": 400, "type": "InternalServerException", "message": message}, indent=2)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "save"):  # a picture
        stream = io.BytesIO()
        value.save(stream, format="PNG")
        return base64.b64encode(stream.getvalue()).decode()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
