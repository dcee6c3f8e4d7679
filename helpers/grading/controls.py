"""Negative controls around a test that has to run in the student's interpreter: each of them must fail.

Code in the same interpreter as a test can make any test pass: assertions dropped, comparisons patched, results forged.
Whoever does that makes these pass too, because nothing tells them from the test.
"""

from __future__ import annotations

import ast
import random

MOST_MUTANTS = 6
_CLOSE = ("isclose", "allclose", "array_equal")
# What a test relies on, with values for which it must object.
_CANARIES = (
    "assert 1 == 2",
    "import math\nassert math.isclose(1.0, 1.5)",
    "import numpy as np\nnp.testing.assert_allclose([1.0, 2.0], [1.0, 2.5])",
    "import numpy as np\nassert np.isclose(1.0, 1.5)",
    "import numpy as np\nassert np.allclose([1.0, 2.0], [1.0, 2.5]) or np.array_equal([1], [2])",
    "import pandas as pd\npd.testing.assert_frame_equal(pd.DataFrame({'a': [1]}), pd.DataFrame({'a': [2]}))",
    "import pandas as pd\nassert pd.Series([1]).equals(pd.Series([2]))",
    "raise AssertionError('a failed test')",
)


def controls(test: str, chosen: random.Random) -> list[str]:
    """Sources that must all fail: mutants of the test, and canaries for the tools of tests."""
    made = mutants(test)
    return [f"{test}\nraise AssertionError", *chosen.sample(made, min(len(made), MOST_MUTANTS)), *_CANARIES]


def mutants(test: str) -> list[str]:
    """The test with one assertion that cannot hold: turned round, or with another value in its place.

    An object that equals everything passes an assertion and fails it turned round; it cannot tell a wrong value.
    """
    made = []
    for place in range(len(_assertions(ast.parse(test)))):
        for change in (_turned_round, _with_another_value):
            tree = ast.parse(test)
            assertion = _assertions(tree)[place]
            changed = change(assertion.test)
            if changed is not None:
                assertion.test = changed
                made.append(ast.unparse(ast.fix_missing_locations(tree)))
    return made


def _assertions(tree: ast.Module) -> list[ast.Assert]:
    """Assertions that are executed with the test and whose failure nothing catches."""
    found, waiting = [], list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Assert):
            found.append(node)
        elif isinstance(node, ast.For | ast.With):
            waiting += node.body
    return found


def _turned_round(condition: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), condition)


def _with_another_value(condition: ast.expr) -> ast.expr | None:
    """The condition whose first comparison is with another value than the test's; None if it compares nothing."""
    for node in ast.walk(condition):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
            node.comparators[0] = ast.Call(ast.Name("object", ast.Load()), [], [])
            return condition
        if isinstance(node, ast.Call) and len(node.args) > 1 and _name(node.func) in _CLOSE:
            node.args[1] = ast.BinOp(node.args[1], ast.Add(), ast.Constant(1_000_003))
            return condition
    return None


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
