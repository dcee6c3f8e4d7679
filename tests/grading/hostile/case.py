"""What a hostile submission is, and two ways to write one down: code in a cell of its own, or as the answer to a task.

The corpus is bounded, so that a sandbox that fails cannot hurt the machine that tests it: no signal to processes by
name or to all, at most 600 forks, at most 3 GiB, sleeps that end.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FULL = {"test_double": 2.0, "test_totals": 3.0, "test_claim": 4.0, "test_inside": 5.0}
NOTHING = dict.fromkeys(FULL, 0.0)
MARKER = "20_260_301"
WRONG = {
    "double": "def double(number):\n    return -1.0",
    "totals": "def totals(frame):\n    return frame.groupby('key')['value'].mean() - 7",
    "inside": "def inside(number):\n    return -1.0",
}
# Prints the files that hold a pattern.
LOOK = """\
import os, re
def look(paths, pattern):
    for path in paths:
        try:
            text = open(path, "rb").read(50_000_000)
        except (OSError, ValueError):
            continue
        if re.search(pattern, text):
            print("FOUND", path)
"""
Notebook = dict[str, Any]
Build = Callable[[Notebook], Any]


@dataclass(frozen=True)
class Case:
    """One hostile submission.

    Attributes:
        name: also the student's id where the id is not the attack.
        build: makes of the solved notebook what is submitted: a notebook as JSON, or bytes.
        scores: by test, for the tests that matter; None if the submission must be refused.
        flagged: part of a flag that must be raised, "" if none may be, "?" if both are well.
        refusal: part of the refusal.
        prepare: puts further files into the submission's folder.
        student: the id, if it is the attack.
        reads: the code looks for secrets, and prints FOUND with what it got.
    """

    name: str
    build: Build
    scores: dict[str, float] | None = field(default_factory=lambda: dict(FULL))
    flagged: str = ""
    refusal: str = ""
    prepare: Callable[[Path], object] | None = None
    student: str = ""
    reads: bool = False


CASES: list[Case] = []


def cell(
    before: str = "totals", wrong: tuple[str, ...] = (), looks: bool = False, **expected: Any
) -> Callable[[Callable], Callable]:
    """The function's body runs in a cell above the solution `before`; the answers to `wrong` are wrong ones.

    With `looks` it can call `look(paths, pattern)`.
    """

    def register(function: Callable) -> Callable:
        def build(solved: Notebook) -> Notebook:
            for task in wrong:
                solution(solved, task)["source"] = WRONG[task]
            return with_cell(solved, LOOK * looks + body_of(function), before)

        CASES.append(Case(function.__name__.replace("_", "-"), build, **expected))
        return function

    return register


def answer(task: str, **expected: Any) -> Callable[[Callable], Callable]:
    """The function's body is the solution of a task."""

    def register(function: Callable) -> Callable:
        def build(solved: Notebook) -> Notebook:
            solution(solved, task)["source"] = body_of(function)
            return solved

        CASES.append(Case(function.__name__.replace("_", "-"), build, **expected))
        return function

    return register


def case(name: str, build: Build, scores: dict[str, float] | None = None, **expected: Any) -> None:
    """A case that is built otherwise; without scores it must be refused."""
    CASES.append(Case(name, build, scores, **expected))


def without(*tests: str) -> dict[str, float]:
    """All points but those of some tests."""
    return FULL | dict.fromkeys(tests, 0.0)


def solution(notebook: Notebook, task: str) -> dict[str, Any]:
    """The cell that solves a task."""
    return next(entry for entry in notebook["cells"] if entry["id"] == task)


def with_cell(notebook: Notebook, source: str, before: str) -> Notebook:
    """The notebook with a code cell above another one."""
    place = next(number for number, entry in enumerate(notebook["cells"]) if entry["id"] == before)
    made = {"cell_type": "code", "id": f"hostile-{place}", "metadata": {}, "source": source}
    notebook["cells"].insert(place, made | {"outputs": [], "execution_count": None})
    return notebook


def body_of(function: Callable) -> str:
    """The source of a function's body, as it stands at the top of a cell."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return "\n".join(ast.unparse(statement) for statement in definition.body)
