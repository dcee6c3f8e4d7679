"""How a lab is examined: which cells each test needs, which of the student's names it calls, where it runs.

Made once a lab, from its source notebook alone. A test runs in the examiner, a process that the student's code never
touches: there the lab's own cells give the test its data, and the names that a solution cell defines stand for the
student's functions, which are called in the student's interpreter. A test tagged `in-process` needs objects that cannot
cross, such as an endpoint's client: it runs in the student's interpreter, with controls around it. So does a test that
needs a class of the student's, a session to SageMaker, or cells that are not plain Python.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

IN_PROCESS = "in-process"
HIDDEN = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Names:
    """What a cell does with names at its top level.

    Attributes:
        binds: names that it binds.
        uses: names that it reads and does not bind before, functions' bodies included.
        changes: names whose object it changes in place.
        imports: names that it imports.
        defines: it defines functions or classes.
    """

    binds: frozenset[str]
    uses: frozenset[str]
    changes: frozenset[str]
    imports: frozenset[str]
    defines: bool


@dataclass(frozen=True)
class Test:
    """One graded test.

    Attributes:
        task: its grade_id.
        place: of its cell.
        points: that it is worth.
        source: visible and hidden part.
        first_hidden_line: counted from 1; beyond the end if nothing is hidden.
        context: places of the lab's own cells that it needs, in order.
        answers: names of the student's that it needs; True where a function is expected.
        inside: why it runs in the student's interpreter; empty if it runs in the examiner.
    """

    __test__ = False  # for pytest: no class of tests

    task: str
    place: int
    points: float
    source: str
    first_hidden_line: int
    context: tuple[int, ...]
    answers: dict[str, bool]
    inside: str = ""


@dataclass(frozen=True)
class Examination:
    """A lab's tests.

    Attributes:
        lab: its name.
        cells: sources of the lab's own code cells, by place in the notebook; solutions are not among them.
        tests: by grade_id, in the notebook's order.
        impure: places of cells that need the student's names, directly or through others.
        modules: what the lab imports anywhere, with the names that it takes from modules.
        names: what each cell does with names, by place.
        solutions: sources of the lab's own solutions, by place.
    """

    lab: str
    cells: dict[int, str]
    tests: dict[str, Test]
    impure: frozenset[int]
    modules: tuple[str, ...]
    names: dict[int, Names] = field(default_factory=dict)
    solutions: dict[int, str] = field(default_factory=dict)


def examination(lab: str, source: dict[str, Any]) -> Examination:
    """Read a lab's examination from its source notebook, nbformat 4 JSON."""
    code = {place: cell for place, cell in enumerate(source["cells"]) if cell["cell_type"] == "code"}
    trees = {place: _parse(_text(cell)) for place, cell in code.items()}
    names = {place: names_of(tree or _without_magics(_text(code[place]))) for place, tree in trees.items()}
    solutions = {place for place, cell in code.items() if _options(cell).get("solution")}
    graded = {place for place, cell in code.items() if _options(cell).get("grade")}
    own = {place: _text(cell) for place, cell in code.items() if place not in solutions | graded}
    functions = {place: _defined(trees[place] or _without_magics(_text(code[place]))) for place in solutions}
    tests, impure = {}, set()
    for place in sorted(graded - solutions):
        context, answers = needs(place, names, own, functions)
        impure |= _impure(context, names, own, functions)
        options = _options(code[place])
        tests[options["grade_id"]] = Test(
            task=options["grade_id"],
            place=place,
            points=float(options["points"]),
            source=_text(code[place]),
            first_hidden_line=first_hidden_line(_text(code[place])),
            context=tuple(sorted(context)),
            answers=answers,
            inside=_inside(code[place], place, context, answers, trees, solutions),
        )
    modules = tuple(dict.fromkeys(module for tree in trees.values() if tree for module in _imports(tree)))
    written = {place: _text(code[place]) for place in solutions}
    return Examination(lab, own, tests, frozenset(impure), modules, names, written)


def _inside(
    cell: dict[str, Any],
    place: int,
    context: set[int],
    answers: dict[str, bool],
    trees: dict[int, ast.Module | None],
    solutions: set[int],
) -> str:
    """Why a test cannot run in the examiner; empty if it can."""
    if IN_PROCESS in cell.get("metadata", {}).get("tags", []):
        return f"it is tagged {IN_PROCESS}"
    if magic := [needed for needed in (place, *sorted(context)) if trees[needed] is None]:
        return f"cell {magic[0] + 1} is not plain Python"
    if session := [needed for needed in sorted(context) if _opens_session(trees[needed])]:
        return f"cell {session[0] + 1} opens a session to SageMaker"
    solved = [node for needed in solutions for node in getattr(trees[needed], "body", [])]
    classes = {node.name for node in solved if isinstance(node, ast.ClassDef)}
    return f"it needs the class {min(classes & answers.keys())}" if classes & answers.keys() else ""


def _opens_session(tree: ast.Module | None) -> bool:
    """Whether a cell calls `connect`, as `helpers.connect` or by its name: what that reaches is the student's own."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree else []
    return any("connect" in (getattr(call, "id", ""), getattr(call, "attr", "")) for call in calls)


def first_hidden_line(source: str) -> int:
    """The line of the first hidden test, counted from 1; beyond the end if there is none."""
    lines = source.splitlines()
    return next((number for number, line in enumerate(lines, 1) if HIDDEN[0] in line), len(lines) + 1)


def visible(source: str) -> str:
    """A test without its hidden parts, as students get it."""
    kept, hidden = [], False
    for line in source.splitlines():
        hidden = hidden or HIDDEN[0] in line
        kept += [] if hidden else [line]
        hidden = hidden and HIDDEN[1] not in line
    return "\n".join(kept).strip("\n")


def names_of(tree: ast.Module) -> Names:
    """What a cell binds, needs from before, and changes."""
    binds: set[str] = set()
    uses: set[str] = set()
    changes: set[str] = set()
    everything = set().union(*(scopes(statement)[0] for statement in tree.body))
    for statement in tree.body:
        bound, read, read_later = scopes(statement)
        at_once = set() if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign) else bound
        uses |= (read - binds - at_once) | (read_later - everything)
        binds |= bound
        changes |= _changed(statement)
    defines = any(isinstance(node, (*_FUNCTIONS, ast.Lambda)) for node in ast.walk(tree))
    imports = {name for statement in tree.body for name in _imported(statement)}
    return Names(frozenset(binds), frozenset(uses), frozenset(changes), frozenset(imports), defines)


def _imported(statement: ast.stmt) -> set[str]:
    nodes = [node for node in ast.walk(statement) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name.partition(".")[0] for node in nodes for alias in node.names}


def scopes(statement: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Names that a statement binds, those that it reads at once, and those that its functions read when called."""
    table = symtable.symtable(ast.unparse(statement), "<cell>", "exec")
    bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    read_later: set[str] = set()
    waiting = table.get_children()
    while waiting:
        scope = waiting.pop()
        waiting += scope.get_children()
        outside = {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global() and symbol.is_referenced()}
        at_once = scope.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr")
        read |= outside if at_once else set()
        read_later |= set() if at_once else outside
    return bound, read, read_later


def _changed(statement: ast.stmt) -> set[str]:
    changed: set[str] = set()
    for node in ast.walk(statement) if not isinstance(statement, _FUNCTIONS) else ():
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            changed |= _root(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            method = node.value.func
            plain = isinstance(method, ast.Attribute) and isinstance(method.value, ast.Name)
            changed |= {method.value.id} if plain else set()
    return changed


def needs(
    place: int, names: dict[int, Names], own: dict[int, str], functions: dict[int, set[str]]
) -> tuple[set[int], dict[str, bool]]:
    """The lab's own cells that a cell needs, and the student's names that it or they need.

    Args:
        place: of the cell.
        names: what each cell does with names.
        own: the lab's own cells.
        functions: by place of a solution cell, the functions that it defines.
    """
    context: set[int] = set()
    answers: dict[str, bool] = {}
    waiting = [(place, name) for name in names[place].uses]
    seen: set[tuple[int, str]] = set()
    while waiting:
        before, name = waiting.pop()
        if (before, name) in seen or (hasattr(builtins, name) and not _binder(before, name, names)):
            continue
        seen.add((before, name))
        binder = _binder(before, name, names)
        if binder is None:
            continue
        if binder in functions:
            answers[name] = name in functions[binder]
            continue
        imported = name in names[binder].imports
        changers = [p for p in range(binder + 1, before) if p in own and not imported and name in names[p].changes]
        for needed in (binder, *changers):
            if needed in own and needed not in context:
                context.add(needed)
                waiting += [(needed, used) for used in names[needed].uses]
    return context, answers


def _binder(before: int, name: str, names: dict[int, Names]) -> int | None:
    """The last cell above that binds a name."""
    return next((p for p in sorted(names, reverse=True) if p < before and name in names[p].binds), None)


def _impure(
    context: set[int], names: dict[int, Names], own: dict[int, str], functions: dict[int, set[str]]
) -> set[int]:
    return {place for place in context if needs(place, names, own, functions)[1]}


def _root(node: ast.AST) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _defined(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, _FUNCTIONS)}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")


def _parse(source: str) -> ast.Module | None:
    """The tree of a cell; None if it is not plain Python, as with IPython's magics."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _without_magics(source: str) -> ast.Module:
    kept = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    return _parse("\n".join(kept)) or ast.Module(body=[], type_ignores=[])


def _options(cell: dict[str, Any]) -> dict[str, Any]:
    return cell.get("metadata", {}).get("nbgrader", {})


def _text(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return "".join(source) if isinstance(source, list) else source
