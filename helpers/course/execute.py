"""Executes one lab's solution with papermill, and remembers how it went."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from helpers.course.project import put_environment_on_path, skip_slow_grammars

TRACEBACK_LINES = 15
CELL_TIMEOUT = 1800
KERNEL_OPTIONS = ["--HistoryManager.hist_file=:memory:", "--IPKernelApp.log_level=ERROR"]
MACHINERY = ("helpers/course", "helpers/grading")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Outcome:
    """How the execution of one lab went.

    Attributes:
        lab: its name.
        seconds: wall time of the whole execution.
        cells: id and seconds of each code cell that ran.
        costs: rows of `helpers.costs.estimate`.
        failure: cell and end of the traceback; empty when all is well.
        notebook: path of the executed notebook.
        unchanged: the outcome is the kept one of an earlier run.
    """

    lab: str
    seconds: float
    cells: list[tuple[str, float]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""
    notebook: str = ""
    unchanged: bool = False


def execute_lab(root: Path, name: str, parameters: dict[str, Any], folder: Path, scratch: Path) -> Outcome:
    """Execute source/<name> in a copy of its folder and put the executed notebook into `folder`.

    Args:
        root: the course's folder.
        name: the lab.
        parameters: papermill's.
        folder: where the executed notebook goes, `<name>.ipynb`.
        scratch: an existing folder for the copy and the ledger.
    """
    put_environment_on_path()
    skip_slow_grammars()
    import papermill
    from papermill.exceptions import PapermillExecutionError

    work = scratch / name
    shutil.copytree(root / "source" / name, work)
    executed, ledger = work / f"{name}.executed.ipynb", scratch / f"{name}.ledger.jsonl"
    os.environ["COURSE_LEDGER"] = str(ledger)
    outcome = Outcome(name, 0.0, notebook=str(folder / f"{name}.ipynb"))
    started = time.perf_counter()
    try:
        papermill.execute_notebook(
            str(work / f"{name}.ipynb"),
            str(executed),
            parameters=parameters,
            cwd=str(work),
            progress_bar=False,
            execution_timeout=CELL_TIMEOUT,
            extra_arguments=KERNEL_OPTIONS,
        )
    except PapermillExecutionError as error:
        tail = "\n".join(ANSI.sub("", "\n".join(error.traceback)).splitlines()[-TRACEBACK_LINES:])
        outcome.failure = f"cell {_failed_cell(executed)}: {error.ename}: {error.evalue}\n{tail}"
    except Exception as error:
        outcome.failure = f"cell {_running_cell(executed)}: {type(error).__name__}: {error}"
    outcome.seconds = time.perf_counter() - started
    if executed.is_file():
        outcome.cells = _durations(executed)
        shutil.move(executed, folder / f"{name}.ipynb")
    if ledger.is_file():
        from helpers.costs import estimate, read_ledger

        outcome.costs = estimate(read_ledger(ledger)).to_dict("records")
    return outcome


def digest(root: Path, name: str, parameters: dict[str, Any], scale: str, backend: str) -> str:
    """Hash of all that decides what a lab's execution does: its folder, helpers, the pins, parameters and scale."""
    total = hashlib.sha256(json.dumps([parameters, scale, backend], sort_keys=True, default=str).encode())
    paths = [path for path in (root / "source" / name).rglob("*") if path.is_file()]
    paths += (root / "helpers").rglob("*.py")
    paths += [path for path in (root / "requirements.txt",) if path.is_file()]
    for path in sorted(paths):
        where = path.relative_to(root).as_posix()
        if where.startswith(MACHINERY) or "__pycache__" in path.parts:
            continue
        total.update(f"{where}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def read_stamp(folder: Path, name: str, wanted: str) -> Outcome | None:
    """The outcome kept from a run of the same inputs that went well, if its notebook is still there."""
    path = folder / f"{name}.stamp.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if kept.pop("digest", None) != wanted or not (folder / f"{name}.ipynb").is_file():
        return None
    return Outcome(**kept | {"unchanged": True, "cells": [tuple(cell) for cell in kept["cells"]]})


def write_stamp(folder: Path, outcome: Outcome, digest: str) -> None:
    """Keep the outcome of a run that went well; after a failure none is kept."""
    path = folder / f"{outcome.lab}.stamp.json"
    if outcome.failure:
        path.unlink(missing_ok=True)
    else:
        path.write_text(json.dumps({"digest": digest, **asdict(outcome)}, indent=1), encoding="utf-8")


def _cells(executed: Path) -> list[dict[str, Any]]:
    if not executed.is_file():
        return []
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code" and "papermill" in cell["metadata"]]


def _durations(executed: Path) -> list[tuple[str, float]]:
    found = ((cell.get("id", "?"), cell["metadata"]["papermill"].get("duration")) for cell in _cells(executed))
    return [(name, seconds) for name, seconds in found if seconds is not None]


def _failed_cell(executed: Path) -> str:
    failed = [cell for cell in _cells(executed) if cell["metadata"]["papermill"].get("status") == "failed"]
    return failed[0].get("id", "?") if failed else "?"


def _running_cell(executed: Path) -> str:
    begun = [cell for cell in _cells(executed) if cell["metadata"]["papermill"].get("start_time")]
    return begun[-1].get("id", "?") if begun else "none"
