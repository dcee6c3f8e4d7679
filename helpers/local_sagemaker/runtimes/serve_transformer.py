"""Finds a model's handler functions and runs one request through them, in the order of AWS's toolkits."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from . import serve_codecs as codecs
from .serve_frameworks import SERVES_WITHOUT_SCRIPT, Handlers, framework

STEPS = ("input_fn", "predict_fn", "output_fn")


@dataclass
class Answer:
    """What goes back over HTTP; `rest` yields what follows the body as the model makes it, None for nothing."""

    body: bytes
    status: int = 200
    content_type: str = codecs.JSON
    headers: dict[str, str] = field(default_factory=dict)
    rest: Generator[bytes] | None = None


class Context:
    """The `context` argument of a handler function: the request's headers, and those of the answer."""

    def __init__(self, model_dir: str, request_headers: Mapping[str, str]) -> None:
        self.system_properties = {"model_dir": model_dir, "gpu_id": None, "server_name": "local SageMaker"}
        self.manifest = {"model": {"serializedFile": ""}}
        self._request_headers = request_headers
        self.content_type: str | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}

    def get_request_header(self, idx: int, key: str) -> str | None:
        """A header of the request; the name is case-insensitive."""
        return self._request_headers.get(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        """All headers of the request."""
        return dict(self._request_headers)

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Sets the answer's Content-Type."""
        self.content_type = value

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Adds a header to the answer."""
        self.headers[key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Sets the answer's status."""
        self.status = code


class Transformer:
    """A loaded model and the functions that a request runs through.

    Args:
        model_dir: folder with the extracted `model.tar.gz`.
        framework_name: the runtime's name, such as `xgboost`.

    Raises:
        Exception: whatever loading the script or the model raised.
    """

    def __init__(self, model_dir: str, framework_name: str) -> None:
        self.model_dir = model_dir
        script = load_script(model_dir, required=framework_name not in SERVES_WITHOUT_SCRIPT)
        transform = getattr(script, "transform_fn", None)
        own = [name for name in STEPS if hasattr(script, name)]
        if transform and own:
            raise ValueError(
                "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn "
                f"implementation; the script defines transform_fn and {', '.join(own)}."
            )
        handlers = framework(framework_name, script is not None)
        self._transform = _with_context(transform, 4) if transform else None
        self._input, self._predict, self._output = (_handler(script, handlers, name, 2) for name in STEPS)
        self._error_body = handlers.error_body
        self._has_own_output = "output_fn" in own
        self.default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or handlers.default_accept
        self.model = _handler(script, handlers, "model_fn", 1)(model_dir, Context(model_dir, {}))

    def answer(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Runs one request; an exception becomes status 500 with its traceback, an unsupported type 415 or 406.

        A framework with error bodies of its own answers them with status 400.
        """
        context = Context(self.model_dir, headers)
        accept = headers.get("Accept") or "*/*"
        try:
            return self._run(body, headers.get("Content-Type") or codecs.JSON, accept, context)
        except codecs.UnsupportedFormat as error:
            print(error, file=sys.stderr, flush=True)
            if self._error_body:
                return Answer(self._error_body(str(error)).encode(), 400)
            return Answer(str(error).encode(), error.status, "text/plain")
        except Exception as error:
            text = show_traceback(error)
            if self._error_body:
                return Answer(self._error_body(str(error)).encode(errors="replace"), 400)
            return Answer(f"{error}\n{text}".encode(errors="replace"), 500, "text/plain")

    def _run(self, body: bytes, content_type: str, accept: str, context: Context) -> Answer:
        if accept.split(",")[0].strip() == "*/*":
            accept = self.default_accept
        data = codecs.as_text(body) if codecs.media_type(content_type) in codecs.TEXT_TYPES else body
        if self._transform:
            result = self._transform(self.model, data, content_type, accept, context)
        else:
            prediction = self._predict(self._input(data, content_type, context), self.model, context)
            result = self._output_of(prediction, accept, context)
        payload, answer_type = result if isinstance(result, tuple) else (result, accept)
        rest = None
        if isinstance(payload, Iterator):
            # The first piece is made here: what raises before it is an error like any other.
            rest = _pieces(payload)
            payload = next(rest, b"")
        status, media_type = context.status or 200, context.content_type or answer_type
        return Answer(_as_bytes(payload), status, media_type, context.headers, rest)

    def _output_of(self, prediction: Any, accept: str, context: Context) -> Any:
        """What output_fn says; without one of the script's own, the pieces of an iterator are passed on one by one."""
        if isinstance(prediction, Iterator) and not self._has_own_output:
            return (self._piece(piece, accept, context) for piece in prediction), accept
        return self._output(prediction, accept, context)

    def _piece(self, piece: Any, accept: str, context: Context) -> Any:
        if isinstance(piece, str | bytes | bytearray | memoryview):
            return piece
        encoded = self._output(piece, accept, context)
        return encoded[0] if isinstance(encoded, tuple) else encoded


def load_script(model_dir: str, required: bool = True) -> ModuleType | None:
    """Imports the model's script: SAGEMAKER_PROGRAM, or code/inference.py when that exists.

    Args:
        model_dir: folder with the extracted `model.tar.gz`.
        required: whether SAGEMAKER_PROGRAM must be there; else the log says that it is not, and there is no script.

    Raises:
        FileNotFoundError: SAGEMAKER_PROGRAM names a script that is not there.
    """
    code_dir = _code_dir(model_dir)
    program = os.environ.get("SAGEMAKER_PROGRAM")
    if not program and not (code_dir / "inference.py").is_file():
        return None
    path = code_dir / (program or "inference.py")
    if not path.is_file():
        missing = (
            f"SAGEMAKER_PROGRAM is {program}, but {path} does not exist; put the script under code/ of model.tar.gz or "
            "name its folder or archive by SAGEMAKER_SUBMIT_DIRECTORY"
        )
        if required:
            raise FileNotFoundError(missing)
        print(f"{missing}. The container's own functions serve the model.", flush=True)
        return None
    sys.path[:0] = list(dict.fromkeys([str(path.parent), str(code_dir)]))
    return importlib.import_module(path.stem)


def _code_dir(model_dir: str) -> Path:
    submitted = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "").removeprefix("file://")
    return Path(submitted) if submitted else Path(model_dir, "code")


def _handler(script: ModuleType | None, handlers: Handlers, name: str, arguments: int) -> Callable[..., Any]:
    return _with_context(getattr(script, name, None) or getattr(handlers, name), arguments)


def _with_context(function: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """The function as one that takes its arguments and a context, whether or not its definition has one."""
    parameters = inspect.signature(function).parameters
    if "context" in parameters or len(parameters) == arguments + 1:
        return function
    if len(parameters) == arguments or any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return lambda *given: function(*given[:-1])
    raise TypeError(
        f"{function.__name__} is called with {arguments} arguments, or with {arguments + 1} when the last is the "
        f"context; its definition has {len(parameters)}."
    )


def show_traceback(error: Exception) -> str:
    """Logs the traceback without the toolkit's frames on top, which say nothing about the model's code."""
    frames = error.__traceback__
    while frames and frames.tb_next and Path(frames.tb_frame.f_code.co_filename).parent == Path(__file__).parent:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    print(text, file=sys.stderr, flush=True)
    return text


def _pieces(payload: Iterator[Any]) -> Generator[bytes]:
    """The pieces as bytes; closing it closes the model's own generator."""
    try:
        yield from map(_as_bytes, payload)
    finally:
        if isinstance(payload, Generator):
            payload.close()


def _as_bytes(payload: Any) -> bytes:
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    raise TypeError(
        "output_fn must return str or bytes, or an iterator of them, optionally with a content type, got "
        f"{type(payload).__name__}"
    )
