"""Metric math of alarms: arithmetic over metrics, datapoint by datapoint."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping

from helpers.local_sagemaker import errors

Value = float | list | None  # None: no datapoint

_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type, Callable[[float, float], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_OF_ONE = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_OF_MANY: dict[str, Callable[[list[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
_FUNCTIONS = {**dict.fromkeys(_OF_ONE, 1), **dict.fromkeys(_OF_MANY, 1), "FILL": 2, "IF": 3, "METRICS": 0}


class Expression:
    """A parsed expression.

    Knows numbers, the ids of metrics, `+ - * / ^`, comparisons, ABS, CEIL, FLOOR, and SUM, AVG, MIN and MAX over a list
    such as `[m1, m2]` or `METRICS()`, FILL with a number, and IF. A datapoint is missing where an operand's is.

    Args:
        text: as in a MetricDataQuery.

    Raises:
        AwsError: it is no expression, or uses what the local SageMaker does not know.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._root = ast.parse(re.sub(r"\^", "**", text.strip()), mode="eval").body
        except SyntaxError:
            raise _invalid(text, "it cannot be parsed") from None
        self.names = {
            node.id for node in ast.walk(self._root) if isinstance(node, ast.Name) and node.id not in _FUNCTIONS
        }
        self._check(self._root)

    def value(self, known: Mapping[str, float | None], metrics: list[float | None]) -> float | None:
        """The expression's datapoint.

        Args:
            known: those of the metrics and of other expressions, by their ids.
            metrics: those of all metrics, for METRICS().
        """
        try:
            result = self._visit(self._root, {**known, "METRICS": metrics})
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return None if result is None or isinstance(result, list | complex) else float(result)

    def _check(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name not in _FUNCTIONS or node.keywords:
                raise _invalid(self.text, f"the function {name or 'in it'} is not available in the local SageMaker")
            if len(node.args) != _FUNCTIONS[name]:
                raise _invalid(self.text, f"{name} takes {_FUNCTIONS[name]} arguments")
            children = node.args
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            children = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            children = [node.operand]
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
            children = [node.left, *node.comparators]
        elif isinstance(node, ast.List):
            children = node.elts
        elif isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and type(node.value) in (int, float)):
            children = []
        else:
            raise _invalid(self.text, "it uses what is not available in the local SageMaker")
        for child in children:
            self._check(child)

    def _visit(self, node: ast.AST, known: Mapping[str, Value]) -> Value:
        if isinstance(node, ast.Constant):
            return float(node.value)
        if isinstance(node, ast.Name):
            return known[node.id]
        if isinstance(node, ast.List):
            return [self._visit(child, known) for child in node.elts]
        if isinstance(node, ast.Call):
            return self._call(node.func.id, node.args, known)
        if isinstance(node, ast.UnaryOp):
            value = self._visit(node.operand, known)
            return _each(operator.neg if isinstance(node.op, ast.USub) else operator.pos, value)
        if isinstance(node, ast.Compare):
            compare = _COMPARISONS[type(node.ops[0])]
            left, right = self._visit(node.left, known), self._visit(node.comparators[0], known)
            return None if None in (left, right) else float(compare(left, right))
        left, right = self._visit(node.left, known), self._visit(node.right, known)
        if isinstance(left, list):
            return [_combined(node.op, value, right) for value in left]
        if isinstance(right, list):
            return [_combined(node.op, left, value) for value in right]
        return _combined(node.op, left, right)

    def _call(self, name: str, arguments: list[ast.AST], known: Mapping[str, Value]) -> Value:
        if name == "METRICS":
            return known["METRICS"]
        first = self._visit(arguments[0], known)
        if name in _OF_ONE:
            return _each(_OF_ONE[name], first)
        if name in _OF_MANY:
            values = [value for value in (first if isinstance(first, list) else [first]) if value is not None]
            return _OF_MANY[name](values) if values else None
        if name == "FILL":
            filler = self._visit(arguments[1], known)
            return (
                [filler if value is None else value for value in first]
                if isinstance(first, list)
                else (filler if first is None else first)
            )
        return None if first is None else self._visit(arguments[1 if first else 2], known)


def evaluated(expressions: Mapping[str, Expression], values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The values of metrics at one time, and those of expressions over them and over each other.

    Raises:
        AwsError: `ValidationError`, an expression needs what is unknown, or itself.
    """
    known, metrics, waiting = dict(values), list(values.values()), dict(expressions)
    while waiting:
        ready = [name for name, expression in waiting.items() if expression.names <= known.keys()]
        if not ready:
            name, expression = next(iter(waiting.items()))
            unknown = ", ".join(sorted(expression.names - known.keys()))
            raise _invalid(expression.text, f"{name} needs {unknown}, which is not known")
        for name in ready:
            known[name] = waiting.pop(name).value(known, metrics)
    return known


def _each(function: Callable, value: Value) -> Value:
    if isinstance(value, list):
        return [_each(function, member) for member in value]
    return None if value is None else function(value)


def _combined(kind: ast.operator, left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else _OPERATORS[type(kind)](left, right)


def _invalid(text: str, why: str) -> errors.AwsError:
    return errors.AwsError("ValidationError", f"Invalid metrics list: Error in expression {text!r}: {why}.")
