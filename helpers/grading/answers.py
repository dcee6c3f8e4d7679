"""A student's functions as the examiner sees them: called over a channel that carries data only."""

from __future__ import annotations

import ast
import builtins
from typing import Any

import numpy as np
import pandas as pd

from helpers.grading import wire
from helpers.grading.channel import Message
from helpers.grading.student import Student


class AnswerError(Exception):
    """An answer raised what no built-in exception stands for."""


class Answer:
    """One of the student's functions.

    Args:
        student: whose interpreter has it.
        name: that it has there.
    """

    def __init__(self, student: Student, name: str) -> None:
        self._student, self.__name__ = student, name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """What the function returns for these arguments, or the exception that it raises."""
        told = self._student.call(self.__name__, arguments, keywords)
        if "error" in told.body:
            raise exception(told.body["error"])
        value = decoded(told, f"{self.__name__} returned")
        changed = told.body.get("changed")
        if isinstance(changed, list) and isinstance(value, tuple) and len(value) == 2:
            value, new = value
            given = [*arguments, *keywords.values()]
            for place, content in zip(changed, new, strict=False):
                _change(given[place], content)
        return value


def decoded(told: Message, what: str) -> Any:
    """The value in an interpreter's answer.

    Raises:
        AssertionError: it is no plain data; the message says what it is.
    """
    if "not_data" in told.body:
        raise AssertionError(f"{what} {str(told.body['not_data'])[:200]}, which no test can read: return plain data")
    try:
        return wire.decode(told.body.get("value"), told.blobs)
    except wire.Damaged as error:
        raise AssertionError(f"{what} what is no value: {error}") from error


def exception(described: Any) -> BaseException:
    """An exception like the one that the student's code raised: of the nearest built-in class, with its text."""
    described = described if isinstance(described, dict) else {}
    text = str(described.get("text", ""))[:2000]
    bases = described.get("bases")
    for name in bases if isinstance(bases, list) else []:
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception:
            try:
                raised = kind(text)
            except TypeError:  # such as UnicodeDecodeError, which takes more than a text
                continue
            break
    else:
        raised = AnswerError(f"{str(described.get('type'))[:200]}: {text}")
    raised.told_traceback = [str(line)[:1000] for line in described.get("traceback", [])[:8]]  # type: ignore[attr-defined]
    return raised


def _change(given: Any, content: Any) -> None:
    """Do to the examiner's object what the function did to its copy, so that tests for changed arguments see it."""
    if isinstance(given, np.ndarray) and isinstance(content, np.ndarray) and given.shape == content.shape:
        given[...] = content
    elif isinstance(given, pd.DataFrame | pd.Series) and type(given) is type(content):
        given._update_inplace(content)
    elif isinstance(given, list) and isinstance(content, list):
        given[:] = content
    elif (isinstance(given, dict) and isinstance(content, dict)) or (
        isinstance(given, set) and isinstance(content, set)
    ):
        given.clear()
        given.update(content)


def is_expression(source: str) -> bool:
    """Whether the last statement is an expression, whose value is a test's partial credit; a text is a remark."""
    body = ast.parse(source).body
    if not body or not isinstance(body[-1], ast.Expr):
        return False
    last = body[-1].value
    return not (isinstance(last, ast.Constant) and isinstance(last.value, str))
