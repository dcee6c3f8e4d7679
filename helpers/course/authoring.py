"""Reads a lab's source, a py:percent script with compact nbgrader headers, and finds its faults."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("solution", "test", "manual", "readonly")
MARKERS = {
    "solution": ("BEGIN SOLUTION", "END SOLUTION"),
    "hidden": ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS"),
}
HEADER = re.compile(r"# %%(?!%)")
HEADER_KEYS = {"nbgrader", "grade_id", "points", "tags"}
FRONT_MATTER = {"title": str, "minutes": int, "module": str}
# What a submission may write while it is graded, for labs that need more than the sandbox gives by itself.
OPTIONAL_FRONT_MATTER = {"disk_mib": int}


@dataclass(frozen=True)
class Fault:
    """One fault of a source file.

    Attributes:
        path: the file.
        line: counted from 1.
        message: what is wrong and what to do.
    """

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Cell:
    """One cell of a lab.

    Attributes:
        line: of its header in the file, counted from 1.
        cell_type: "code" or "markdown".
        source: its text.
        options: what the header says: nbgrader, grade_id, points, tags, each if given.
    """

    line: int
    cell_type: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str | None:
        """What nbgrader makes of the cell: solution, test, manual, readonly, or None."""
        return self.options.get("nbgrader")

    @property
    def grade_id(self) -> str | None:
        """The cell's name in the gradebook."""
        return self.options.get("grade_id")

    @property
    def tags(self) -> list[str]:
        """The cell's tags, such as `parameters` and `cleanup`."""
        return self.options.get("tags", [])


@dataclass(frozen=True)
class LabSource:
    """A parsed lab.

    Attributes:
        path: the script.
        front: the front matter: title, minutes, module, and disk_mib where a lab needs it.
        cells: in the order of the file.
    """

    path: Path
    front: dict[str, Any]
    cells: list[Cell]


def read_lab(path: Path) -> tuple[LabSource, list[Fault]]:
    """Parse a lab's script and find all of its faults, in the order of the file."""
    import jupytext
    import yaml

    text = path.read_text(encoding="utf-8")
    faults: list[Fault] = []
    block, body, skipped = _split_front_matter(text)
    front: dict[str, Any] = {}
    try:
        loaded = yaml.safe_load(block) or {}
        front = loaded if isinstance(loaded, dict) else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        faults.append(Fault(path, 2 + (mark.line if mark else 0), f"front matter is not YAML: {error.problem}"))
    for key, kind in FRONT_MATTER.items():
        if not isinstance(front.get(key), kind):
            faults.append(
                Fault(path, 1, f"front matter: {key} ({kind.__name__}) is missing; begin with # --- and # {key}: ...")
            )

    for key, kind in OPTIONAL_FRONT_MATTER.items():
        if not isinstance(front.get(key, kind()), kind):
            faults.append(Fault(path, 1, f"front matter: {key} must be {kind.__name__}, got {front[key]!r}"))
    parsed = jupytext.reads(body, fmt="py:percent").cells
    lines = [number for number, line in enumerate(body.splitlines(), skipped + 1) if HEADER.match(line)]
    if parsed and not HEADER.match(body):
        lines.insert(0, skipped + 1)
        faults.append(Fault(path, skipped + 1, "code before the first `# %%` header: give it a header"))
    if len(lines) != len(parsed):
        faults.append(Fault(path, 1, f"{len(lines)} `# %%` headers but {len(parsed)} cells: is one inside a string?"))
        lines = (lines + [lines[-1] if lines else 1] * len(parsed))[: len(parsed)]
    cells = [
        Cell(
            line, cell.cell_type, cell.source, {key: cell.metadata[key] for key in cell.metadata if key in HEADER_KEYS}
        )
        for line, cell in zip(lines, parsed, strict=True)
    ]
    for line, cell in zip(lines, parsed, strict=True):
        for key in sorted(set(cell.metadata) - HEADER_KEYS - {"lines_to_next_cell"}):
            faults.append(
                Fault(path, line, f"unknown option {key!r} in the header; known are {', '.join(sorted(HEADER_KEYS))}")
            )
    lab = LabSource(path, front, cells)
    faults.extend(_faults_of(lab))
    return lab, sorted(faults, key=lambda fault: fault.line)


def without_marked(source: str, marker: str) -> str:
    """A cell's text without the regions of a marker, `solution` or `hidden`, and without the marker lines."""
    begin, end = MARKERS[marker]
    kept, inside = [], False
    for line in source.splitlines():
        if begin in line:
            inside = True
        elif end in line:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _split_front_matter(text: str) -> tuple[str, str, int]:
    """The YAML block, the text after it without leading blank lines, and the number of lines before that text."""
    lines = text.splitlines(keepends=True)
    block: list[str] = []
    start = 0
    if lines and lines[0].rstrip() == "# ---":
        ends = [number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "# ---"]
        if ends:
            block = [line.removeprefix("#").removeprefix(" ") for line in lines[1 : ends[0]]]
            start = ends[0] + 1
    while start < len(lines) and not lines[start].strip():
        start += 1
    return "".join(block), "".join(lines[start:]), start


def _faults_of(lab: LabSource) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for cell in lab.cells:
        for line, message in _cell_faults(cell):
            yield Fault(lab.path, line, message)
        name = cell.grade_id
        if name is None:
            continue
        if name in seen:
            yield Fault(lab.path, cell.line, f"duplicate grade_id {name!r}: line {seen[name]} has it too. Rename one")
        seen.setdefault(str(name), cell.line)
    yield from _cleanup_faults(lab)
    yield from _parameters_faults(lab)
    yield from _variants_faults(lab)


def _cell_faults(cell: Cell) -> Iterator[tuple[int, str]]:
    kind, name, points = cell.kind, cell.grade_id, cell.options.get("points")
    if kind is not None and kind not in KINDS:
        yield cell.line, f"unknown nbgrader kind {kind!r}; known are {', '.join(KINDS)}"
        return
    if kind is None and name is not None:
        yield cell.line, f'grade_id {name!r} without a kind: add nbgrader="solution" or another of {", ".join(KINDS)}'
    if kind is not None and name is None:
        yield cell.line, f'a {kind} cell needs a grade_id: add grade_id="..."'
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name)):
        yield (
            cell.line,
            f"grade_id {name!r} is no identifier: letters, digits and underscores, at most 64, no digit first",
        )
    if kind in ("test", "manual"):
        if isinstance(points, bool) or not isinstance(points, int | float) or points <= 0:
            yield cell.line, f"a {kind} cell needs points above 0, got {points!r}: add points=1"
    elif points is not None:
        yield cell.line, "points count in test and manual cells only: remove them"
    if kind in ("solution", "test") and cell.cell_type != "code":
        yield cell.line, f'a {kind} cell must be code: written answers are nbgrader="manual"'
    balanced = True
    for marker in MARKERS:
        for fault in _marker_faults(cell, marker):
            balanced = False
            yield fault
    if kind in ("solution", "manual") and MARKERS["solution"][0] not in cell.source:
        style = "### BEGIN SOLUTION ... ### END SOLUTION" if cell.cell_type == "code" else "<!-- BEGIN SOLUTION --> ..."
        yield cell.line, f"a {kind} cell without solution markers: put the answer between {style}"
    if balanced and cell.cell_type == "code":
        yield from _python_faults(cell)


def _marker_faults(cell: Cell, marker: str) -> Iterator[tuple[int, str]]:
    begin, end = MARKERS[marker]
    allowed = ("solution", "manual") if marker == "solution" else ("test",)
    opened = None
    for number, text in enumerate(cell.source.splitlines(), cell.line + 1):
        if begin in text:
            if cell.kind not in allowed:
                yield (
                    number,
                    f"{begin} outside a {' or '.join(allowed)} cell: students would see it. Move it or mark the cell",
                )
            if opened is not None:
                yield number, f"{begin} inside the region that begins in line {opened}: close that one first"
            opened = number
        elif end in text:
            if opened is None:
                yield number, f"{end} without {begin}: open the region or remove the marker"
            opened = None
    if opened is not None:
        yield opened, f"{begin} without {end}: students would get nothing of the rest. Close the region in this cell"


def _python_faults(cell: Cell) -> Iterator[tuple[int, str]]:
    if any(line.lstrip().startswith(("%", "!")) for line in cell.source.splitlines()):
        return
    solved = _parse(cell.source)
    if isinstance(solved, SyntaxError):
        yield cell.line + (solved.lineno or 0), f"not Python: {solved.msg}"
        return
    if cell.kind == "solution":
        yield from _stub_faults(cell, solved)
    if (
        cell.kind == "test"
        and (hidden := _parse(without_marked(cell.source, "hidden")))
        and isinstance(hidden, SyntaxError)
    ):
        yield (
            cell.line,
            f"without its hidden tests the cell is not Python: {hidden.msg}. Move the markers to whole statements",
        )


def _stub_faults(cell: Cell, solved: ast.Module) -> Iterator[tuple[int, str]]:
    """What the student must get: every public name of the solution's top level, with its docstring."""
    stubbed = _parse(_stubbed(cell.source))
    if isinstance(stubbed, SyntaxError):
        yield (
            cell.line,
            f"without its solution the cell is not Python: {stubbed.msg}. Move the markers to whole statements",
        )
        return
    left = {
        node.name: ast.get_docstring(node) for node in stubbed.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    for node in solved.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name != cell.grade_id:
            continue
        line = cell.line + node.lineno
        if node.name not in left:
            yield line, f"solution stub lost: the signature of {node.name} is inside the markers. Begin them below it"
        elif left[node.name] is None:
            yield (
                line,
                f"solution stub lost: {node.name} has no docstring outside the markers. Tell the student what to write",
            )


def _stubbed(source: str) -> str:
    begin, _ = MARKERS["solution"]
    lines = []
    for line in source.splitlines():
        if begin in line:
            lines.append(line[: len(line) - len(line.lstrip())] + "raise NotImplementedError")
        lines.append(line)
    return without_marked("\n".join(lines), "solution")


def _parse(source: str) -> ast.Module | SyntaxError:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        return error


def _cleanup_faults(lab: LabSource) -> Iterator[Fault]:
    cleanups = [cell for cell in lab.cells if "cleanup" in cell.tags]
    if not cleanups:
        last = lab.cells[-1].line if lab.cells else 1
        yield Fault(
            lab.path, last, 'no cleanup cell: end the lab with `# %% tags=["cleanup"]` that deletes what it made'
        )
    for extra in cleanups[1:]:
        yield Fault(
            lab.path, extra.line, f"a second cleanup cell: line {cleanups[0].line} has one. Keep one, at the end"
        )
    code = [cell for cell in lab.cells if cell.cell_type == "code"]
    if len(cleanups) == 1 and code and code[-1] is not cleanups[0]:
        yield Fault(
            lab.path, cleanups[0].line, f"the cleanup cell must be the last code cell; line {code[-1].line} follows it"
        )


def _parameters_faults(lab: LabSource) -> Iterator[Fault]:
    found = [cell for cell in lab.cells if "parameters" in cell.tags]
    for extra in found[1:]:
        yield Fault(
            lab.path, extra.line, f"a second parameters cell: line {found[0].line} has one. papermill reads the first"
        )


def _variants_faults(lab: LabSource) -> Iterator[Fault]:
    folder = lab.path.parent / "variants"
    if not any(folder.glob("*.py")):
        return
    tasks = {cell.grade_id: cell for cell in lab.cells if cell.kind == "solution" and isinstance(cell.grade_id, str)}
    for task, cell in tasks.items():
        if not (folder / f"{task}.py").is_file():
            yield Fault(lab.path, cell.line, f"task {task!r} has no variants/{task}.py with right and wrong answers")
    for extra in sorted(path for path in folder.glob("*.py") if path.stem not in tasks and path.stem != "__init__"):
        yield Fault(extra, 1, f"no task {extra.stem!r} in {lab.path.name}: rename the file after a solution's grade_id")
