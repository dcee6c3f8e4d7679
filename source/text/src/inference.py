"""The model's four functions, for AWS's Hugging Face container.

A request is JSON, {"inputs": ["text", ...]} or {"inputs": "text"}, or JSON lines with
one {"inputs": "text"} or "text" a line. The answer is a list with, for each text, its
label, the probability of every class, and whether its end was cut off.
"""

import json
import os
from pathlib import Path

import batches
import classifier
import torch
from transformers import AutoTokenizer

JSON, JSON_LINES = (
    "application/json",
    ("application/jsonlines", "application/x-jsonlines"),
)
MAX_TEXTS = int(os.environ.get("MAX_TEXTS", "1000"))
BATCH_SIZE = 32
BLANK = {"label": None, "scores": {}, "truncated": False}


def model_fn(model_dir: str) -> tuple:
    """The classifier, its tokenizer and its labels."""
    folder = Path(model_dir)
    model, labels = classifier.load(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), AutoTokenizer.from_pretrained(folder), labels


def input_fn(body: str | bytes, content_type: str) -> list[str]:
    """The texts of a request; an empty list of inputs is one.

    Raises:
        ValueError: another media type, no JSON, another shape, or too many texts.
    """
    kind = content_type.split(";")[0].strip().lower()
    text = body if isinstance(body, str) else bytes(body).decode("utf-8")
    if kind == JSON:
        inputs = _inputs_of(_parsed(text, "the body"))
    elif kind in JSON_LINES:
        lines = [line for line in text.split("\n") if line.strip()]
        inputs = [
            _inputs_of(_parsed(line, f"line {number}"), one=True)
            for number, line in enumerate(lines, start=1)
        ]
    else:
        known = ", ".join((JSON, *JSON_LINES))
        raise ValueError(f"content type must be one of {known}, got {content_type}")
    if isinstance(inputs, str):
        inputs = [inputs]
    if len(inputs) > MAX_TEXTS:
        raise ValueError(
            f"at most {MAX_TEXTS} texts a request, got {len(inputs)}: send several, or"
            " set MAX_TEXTS in the model's environment"
        )
    # JSON may hold half of a surrogate pair, which is no text to the tokenizer.
    return [text.encode(errors="replace").decode() for text in inputs]


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is no JSON: {error}") from error


def _inputs_of(parsed: object, one: bool = False) -> list[str] | str:
    inputs = parsed.get("inputs") if isinstance(parsed, dict) else parsed
    if isinstance(inputs, str):
        return inputs
    if not one and isinstance(parsed, dict) and isinstance(inputs, list):
        wrong = [i for i, text in enumerate(inputs) if not isinstance(text, str)]
        if not wrong:
            return inputs
        raise ValueError(
            f"inputs must be texts; number {wrong[0]} is {inputs[wrong[0]]!r}"
        )
    raise ValueError('a request is {"inputs": ["text", ...]}, or one text a JSON line')


def predict_fn(texts: list[str], model: tuple) -> list[dict]:
    """Label, probabilities and whether it was cut, of each text; None for a blank."""
    fitted, tokenizer, labels = model
    limit = tokenizer.model_max_length
    answers = [dict(BLANK) for _ in texts]
    filled = [place for place, text in enumerate(texts) if text.strip()]
    # One token more than is used tells whether there was more.
    tokens = batches.tokenise(tokenizer, [texts[i] for i in filled], limit + 1)
    lengths = [len(ids) for ids in tokens]
    device = next(fitted.parameters()).device
    with torch.inference_mode():
        for rows in batches.by_length(lengths, BATCH_SIZE):
            cut = [_shortened(tokens[row], limit) for row in rows]
            batch = batches.pad(tokenizer, cut)
            logits = fitted(**{name: part.to(device) for name, part in batch.items()})
            for row, p in zip(rows, torch.softmax(logits, 1).tolist(), strict=True):
                scores = dict(zip(labels, p, strict=True))
                answers[filled[row]] = {
                    "label": max(scores, key=scores.get),
                    "scores": scores,
                    "truncated": lengths[row] > limit,
                }
    return answers


def _shortened(ids: list[int], limit: int) -> list[int]:
    """Ids cut as the tokenizer cuts them: the last one, which ends a text, stays."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def output_fn(answers: list[dict], accept: str) -> str:
    """The answers as JSON, or as JSON lines.

    Raises:
        ValueError: the client takes neither.
    """
    wanted = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    if {JSON, "*/*", "application/*"} & set(wanted):
        return json.dumps(answers, ensure_ascii=False)
    if set(JSON_LINES) & set(wanted):
        return "".join(json.dumps(a, ensure_ascii=False) + "\n" for a in answers)
    raise ValueError(f"accept must be {JSON} or {JSON_LINES[0]}, got {accept}")
