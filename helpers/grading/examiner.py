"""Takes one submission through its lab: cells in the student's interpreter, tests here.

Runs in a process of its own, forked off the worker: what a submission's values might break here, breaks no other
submission's verdict.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import math
import numbers
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from helpers.grading import answers, controls
from helpers.grading.answers import Answer
from helpers.grading.channel import Channel, Message
from helpers.grading.examination import Examination, Test
from helpers.grading.rehearsal import Memory
from helpers.grading.sandbox import Limits
from helpers.grading.student import InterpreterDied, Student

MAX_DEATHS = 3
_DECORATOR = "__remembering__"


@dataclass
class Result:
    """How one test went.

    Attributes:
        task: its grade_id.
        score: points earned.
        points: that it is worth.
        reason: why it is not all of them; empty if it is.
        hidden: the reason comes from a hidden test.
        flags: why a person should look.
        seconds: wall time.
        traceback: end of the student's own traceback, if the student's code raised.
    """

    task: str
    score: float
    points: float
    reason: str = ""
    hidden: bool = False
    flags: list[str] = field(default_factory=list)
    seconds: float = 0.0
    traceback: list[str] = field(default_factory=list)


class TookTooLong(BaseException):
    """A test's time is over; no `except Exception` of the test keeps it from ending."""


class Namespaces:
    """The lab's own data, as tests see it: cells that need nothing of the student's are executed once, before forks.

    Attributes:
        failed: cells that cannot be executed here, and why: tests that need them run in the student's interpreter.
    """

    def __init__(self, exam: Examination) -> None:
        self._exam = exam
        self._bound: dict[int, dict[str, Any]] = {}
        base: dict[str, Any] = {"__name__": "__lab__"}
        self.failed: dict[int, str] = {}
        needed = {place for test in exam.tests.values() if not test.inside for place in test.context}
        for place in sorted(needed - exam.impure):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    execute(exam.cells[place], base, f"<cell {place}>")
            except Exception as error:  # such as a cell that asks for the notebook's own kernel
                self.failed[place] = f"cell {place + 1} fails in the examiner, {type(error).__name__}: {error}"[:300]
            self._bound[place] = {name: base[name] for name in exam.names[place].binds if name in base}

    def inside(self, test: Test) -> str:
        """Why a test runs in the student's interpreter; empty if it runs here."""
        return test.inside or next((self.failed[place] for place in test.context if place in self.failed), "")

    def of(self, test: Test, student: Student) -> tuple[dict[str, Any], str]:
        """A test's namespace, and why a cell above it failed, if one did."""
        namespace: dict[str, Any] = {"__name__": "__lab__"}
        failed = ""
        for name, is_function in test.answers.items():
            if is_function:
                namespace[name] = Answer(student, name)
        for place in test.context:
            if place in self._bound and not self._exam.names[place].defines:
                namespace.update(self._bound[place])
                continue
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    execute(self._exam.cells[place], namespace, f"<cell {place}>")
            except InterpreterDied:
                raise
            except Exception as error:
                failed = failed or f"{type(error).__name__}: {error}"
        for name, is_function in test.answers.items():
            if not is_function:
                told = student.value(name)
                if "error" not in told.body:
                    namespace[name] = answers.decoded(told, f"{name} is")
        return namespace, failed


class Examiner:
    """One submission on its way through the lab.

    Args:
        exam: the lab's tests.
        namespaces: the lab's data.
        memory: what tests computed before.
        control: of the fork server.
        limits: of the submission.
        report: is told of each cell and each test as it is done.
    """

    def __init__(
        self,
        exam: Examination,
        namespaces: Namespaces,
        memory: Memory,
        control: Channel,
        limits: Limits,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self._exam, self._namespaces, self._control, self._limits = exam, namespaces, control, limits
        self._memory, self._report = memory, report
        self._deadline = time.monotonic() + limits.notebook_seconds
        self._done: list[str] = []
        self._deaths: list[str] = []
        self._peaks: list[int] = []
        self._student: Student | None = None

    def examine(self, cells: list[dict[str, Any]]) -> None:
        """Go through the cells of a repaired notebook."""
        withheld = False
        try:
            for place, cell in enumerate(cells):
                if cell["cell_type"] != "code":
                    continue
                test = self._exam.tests.get(_grade_id(cell))
                if test is None:
                    outputs, count = self._cell(cell["source"])
                    self._report({"cell": place, "outputs": outputs, "count": count, "withheld": withheld})
                    continue
                result = self._test(test)
                # The visible part runs where it ran at the student's desk: later cells may use its names.
                outputs, count = self._cell(cell["source"])
                if self._namespaces.inside(test) and any(_is_error(output) for output in outputs):
                    result.hidden = False
                entry = {"cell": place, "outputs": outputs, "count": count, "withheld": withheld}
                self._report(entry | {"test": asdict(result)})
                # The student's process has seen the hidden part: nothing that it prints from now on is shown to it.
                hidden = test.first_hidden_line <= len(test.source.splitlines())
                withheld = withheld or (hidden and bool(self._namespaces.inside(test)))
        finally:
            if self._student is not None:
                self._student.end()
                self._peaks.append(self._student.peak)
            self._report({"memory": max(self._peaks, default=0)})

    def _cell(self, source: str) -> tuple[list[dict[str, Any]], int | None]:
        try:
            told = self._interpreter().run(source)
        except InterpreterDied as death:
            self._buried(str(death))
            return [_error_output("InterpreterDied", str(death))], None
        self._done.append(source)
        outputs, count = told.body.get("outputs"), told.body.get("count")
        return outputs if isinstance(outputs, list) else [], count if type(count) is int else None

    def _interpreter(self) -> Student:
        """The student's interpreter; a new one, brought to where the last one died, when there is none.

        Raises:
            InterpreterDied: there were too many already, or the replay died.
        """
        if self._student is None:
            if len(self._deaths) > MAX_DEATHS:
                raise InterpreterDied(f"not reached: {self._deaths[-1].removeprefix('not reached: ')}")
            self._student = Student(self._control, self._limits, self._deadline)
            self._report({"interpreter": self._student.pid})
            for source in self._done:
                self._student.run(source)
        return self._student

    def _buried(self, reason: str) -> None:
        if self._student is not None:
            self._peaks.append(self._student.peak)
        self._student = None
        if time.monotonic() >= self._deadline:
            self._deaths += [reason] * (MAX_DEATHS + 1)
        self._deaths.append(reason)

    def _test(self, test: Test) -> Result:
        began = time.perf_counter()
        result = Result(test.task, 0.0, test.points)
        try:
            student = self._interpreter()
            if self._namespaces.inside(test):
                self._inside(test, student, result)
            else:
                self._outside(test, student, result)
        except InterpreterDied as death:
            self._buried(str(death))
            result.score, result.reason = 0.0, str(death)
        result.seconds = round(time.perf_counter() - began, 3)
        return result

    def _outside(self, test: Test, student: Student, result: Result) -> None:
        """The test here, the student's functions there."""
        name, failed = f"<{test.task}>", ""
        try:
            with _time_limit(self._limits.cell_seconds):
                namespace, failed = self._namespaces.of(test, student)
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    value = execute(test.source, namespace, name, self._memory.decorators(test))
        except InterpreterDied:
            raise
        except TookTooLong:
            result.reason = f"the test took more than {self._limits.cell_seconds:g} s"
        except BaseException as error:
            result.reason, result.hidden = _reason(error, failed), _line(error, name) >= test.first_hidden_line
            result.traceback = list(getattr(error, "told_traceback", []))
        else:
            _credit(result, value)

    def _inside(self, test: Test, student: Student, result: Result) -> None:
        """The test among controls that must fail, in an order that nobody knows beforehand."""
        chosen = random.SystemRandom()
        probes = [*controls.controls(test.source, chosen), None]
        chosen.shuffle(probes)
        value, error, passed = None, None, 0
        for probe in probes:
            told = student.run(test.source if probe is None else probe, value=True)
            if probe is None:
                value, error = _inside_outcome(told)
            else:
                passed += told.body.get("ok") is True
        if error is not None:
            result.reason, result.hidden = _reason(error, ""), True
        else:
            _credit(result, value)
        if passed:
            result.score = 0.0
            result.flags.append(f"{passed} of {len(probes) - 1} tests that must fail passed in this interpreter")
            result.reason = result.reason or "tests pass here that must fail: a person decides"


def _inside_outcome(told: Message) -> tuple[Any, BaseException | None]:
    """What an interpreter says of a test: the value of its last expression, or the exception that it raised."""
    if told.body.get("ok") is not True:
        return None, answers.exception(told.body.get("error"))
    if "value" not in told.body and "not_data" not in told.body:
        return None, None
    try:
        return answers.decoded(told, "the test gave"), None
    except AssertionError as error:
        return None, error


def execute(
    source: str, namespace: dict[str, Any], name: str, decorators: Mapping[str, Callable] = MappingProxyType({})
) -> Any:
    """Execute a cell as a notebook does; returns the value of its last line if that is an expression.

    Args:
        source: the cell's.
        namespace: where it executes.
        name: that tracebacks give it.
        decorators: of functions that it defines.
    """
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in decorators:
            namespace[_DECORATOR] = decorators[node.name]
            node.decorator_list.append(ast.copy_location(ast.Name(_DECORATOR, ast.Load()), node))
    last = tree.body.pop() if answers.is_expression(source) else None
    exec(compile(tree, name, "exec"), namespace)  # noqa: S102 - the lab's own cells
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace)  # noqa: S307


def _credit(result: Result, value: Any) -> None:
    """All points, or the part that the test's last expression says: a finite number from 0 to the points."""
    if value is None:
        result.score = result.points
        return
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and 0 <= value <= result.points):
        result.flags.append(f"the test gave {value!r:.100} of {result.points:g} points")
        result.reason = "the test gave no number of points: a person decides"
        return
    result.score = float(value)
    if result.score < result.points:
        result.reason = f"{result.score:g} of {result.points:g} points"


def _reason(error: BaseException, failed_above: str) -> str:
    text = str(error)[:1500]
    if isinstance(error, NameError) and failed_above:
        return f"a cell above the test failed: {failed_above[:1500]}"
    if isinstance(error, AssertionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line(error: BaseException, name: str) -> int:
    """The line of a test that an exception passed through, 0 if none."""
    frames = traceback.extract_tb(error.__traceback__)
    return max((frame.lineno or 0 for frame in frames if frame.filename == name), default=0)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def over(*_: Any) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _grade_id(cell: dict[str, Any]) -> str | None:
    return cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")


def _is_error(output: Any) -> bool:
    return isinstance(output, dict) and output.get("output_type") == "error"


def _error_output(name: str, value: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": [f"{name}: {value}"]}
