"""Reads labs/*/lab.py into graded tasks, and runs one task's tests on a given answer."""

import ast
import functools
import importlib.util
import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import jupytext

LABS = Path(__file__).parents[2] / "labs"


@dataclass(frozen=True)
class Task:
    """One graded task: the cells that its tests need, in the order of the notebook.

    Attributes:
        lab: folder below labs/.
        name: grade_id of the solution cell, and the name of the student's function in it.
        setup: cells tagged `setup` above the solution.
        solution: the solution cell.
        examples: cells between solution and test.
        test: the test cell, visible and hidden part.
        points: points of the test.
    """

    lab: str
    name: str
    setup: tuple[str, ...]
    solution: str
    examples: tuple[str, ...]
    test: str
    points: int

    @property
    def parameter(self) -> str:
        """Name in a test report."""
        return f"{self.lab}-{self.name}"


@functools.cache
def tasks() -> tuple[Task, ...]:
    """All tasks of all labs whose solution cell defines the function that its grade_id names."""
    found = []
    for source in sorted(LABS.glob("*/lab.py")):
        cells = [cell for cell in jupytext.read(source, fmt="py:percent").cells if cell.cell_type == "code"]
        for place, cell in enumerate(cells):
            if cell.metadata.get("nbgrader") != "solution":
                continue
            name = cell.metadata["grade_id"]
            end = next(i for i in range(place, len(cells)) if cells[i].metadata.get("grade_id") == f"test_{name}")
            setup = tuple(c.source for c in cells[:place] if "setup" in c.metadata.get("tags", []))
            examples = tuple(c.source for c in cells[place + 1 : end])
            points = int(cells[end].metadata["points"])
            found.append(Task(source.parent.name, name, setup, cell.source, examples, cells[end].source, points))
    return tuple(found)


def run(task: Task, answer: Callable | None = None) -> float:
    """Execute a task's cells in one namespace, with `answer` in the place of the student's function if it is given.

    Returns:
        The points earned: all, or the number that the test cell ends with (nbgrader's partial credit).

    Raises:
        AssertionError: the tests reject the answer. Whatever else the answer raises.
    """
    namespace: dict = {"__name__": "__lab__"}
    for cell in task.setup:
        execute(cell, namespace)
    if answer is None:
        execute(task.solution, namespace)
    else:
        namespace[task.name] = answer
    for cell in task.examples:
        execute(cell, namespace)
    partial = execute(task.test, namespace)
    return float(task.points if partial is None else partial)


def stub(task: Task) -> Callable:
    """The function as the student gets it: its signature, and a body that raises NotImplementedError."""
    before, _, rest = task.solution.partition("### BEGIN SOLUTION")
    after = rest.partition("### END SOLUTION")[2]
    indent = before[len(before.rstrip(" ")) :]
    namespace = run_setup(task)
    execute(f'{before}raise NotImplementedError("Student exercise: {task.name}"){after}', namespace)
    assert indent, f"{task.parameter}: the solution's marker must stand inside the function"
    return namespace[task.name]


def run_setup(task: Task) -> dict:
    """The namespace after the setup cells."""
    namespace: dict = {"__name__": "__lab__"}
    for cell in task.setup:
        execute(cell, namespace)
    return namespace


def variants(task: Task) -> dict[str, Callable]:
    """The `right_*` and `wrong_*` functions beside a task."""
    path = LABS / task.lab / "variants" / f"{task.name}.py"
    if not path.is_file():
        return {}
    specification = importlib.util.spec_from_file_location(f"variants_{task.lab}_{task.name}".replace("-", "_"), path)
    module: ModuleType = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    functions = inspect.getmembers(module, inspect.isfunction)
    return {name: function for name, function in functions if name.startswith(("right_", "wrong_"))}


def execute(source: str, namespace: dict) -> object:
    """Execute a cell as a notebook does; returns the value of its last line if that is an expression."""
    name = f"<cell {abs(hash(source))}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace) if last else None
