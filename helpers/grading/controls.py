"""Negative controls around a test that has to run in the student's interpreter: each of them must fail.

Code in the same interpreter as a test can make any test pass: assertions dropped, comparisons patched, results forged.
Whoever does that makes these pass too, because nothing tells them from the test.
"""

from __future__ import annotations

import ast
import random

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
    return [*mutants(test), *chosen.sample(_CANARIES, 4)]


def mutants(test: str) -> list[str]:
    """The test with its first or its last unconditional assertion turned round, and with one that fails at its end."""
    made = [f"{test}\nraise AssertionError({str(len(test))!r})"]
    places = [place for place, node in enumerate(ast.parse(test).body) if isinstance(node, ast.Assert)]
    for place in dict.fromkeys((places[0], places[-1]) if places else ()):
        tree = ast.parse(test)
        assertion = tree.body[place]
        assertion.test = ast.UnaryOp(ast.Not(), assertion.test)
        made.append(ast.unparse(ast.fix_missing_locations(tree)))
    return made
