"""What a test computes by itself is computed once, and only what cannot depend on the student's code."""

import time

import pytest
from test_examination import notebook

from helpers.grading.examination import examination
from helpers.grading.examiner import execute
from helpers.grading.rehearsal import Memory, Rehearsal

SOLUTION = ("solution:double", "def double(x):\n    return [2 * v for v in x]")
SLOW = "import time\ndef slow(x):\n    time.sleep(0.01)\n    return [2 * v for v in x]\n"


def memory_of(*cells: tuple[str, str]) -> Memory:
    return Memory(examination("lab", notebook(("lab", "import numpy as np\nN = 3"), *cells)))


@pytest.mark.parametrize(
    ("function", "pure"),
    [
        ("def g(x):\n    return np.sum(x)", True),
        ("def g(x):\n    return [v for v in sorted(x)]", True),
        ("def g(x):\n    return double(x)", False),
        ("def g(x):\n    return x * N", False),
        ("def g(x):\n    return x * here", False),
        ("def g(x):\n    global made\n    made = x", False),
        ("def g(x, y=double):\n    return y(x)", False),
        ("def h(x):\n    return double(x)\ndef g(x):\n    return h(x)", False),
        ("def g(x):\n    return x\ng = double", False),
        ("@np.vectorize\ndef g(x):\n    return x", False),
    ],
)
def test_functions_that_may_meet_the_students_code_are_not_pure(function, pure):
    memory = memory_of(SOLUTION, ("test:t", f"here = 1\n{function}\nassert g([1])"))
    assert ("g" in memory.pure["t"]) is pure


def test_what_was_rehearsed_is_not_computed_again_and_each_call_has_a_value_of_its_own(monkeypatch):
    memory = memory_of(
        SOLUTION, ("test:t", SLOW + "first = slow([1])\nfirst.append(0)\nassert slow([1]) == double([1])")
    )
    memory.rehearse(execute)
    assert len(memory.values) == 1
    test = memory._exam.tests["t"]
    namespace = {"double": lambda x: [2, 2]}
    with pytest.raises(AssertionError):
        execute(test.source, namespace, "t", memory.decorators(test))
    assert namespace["first"] == [2, 0]
    monkeypatch.setattr(time, "sleep", None)
    assert namespace["slow"]([1]) == [2]
    with pytest.raises(TypeError):
        namespace["slow"]([5])


@pytest.mark.parametrize(
    "body",
    ["x.append(1)\n    return 3", "return np.random.rand()", "return object()", "return (v for v in x)"],
    ids=["changes its argument", "draws", "gives no data", "gives an iterator"],
)
def test_a_function_that_does_more_than_give_a_value_is_called_each_time(body):
    source = f"import time\ndef g(x):\n    time.sleep(0.01)\n    {body}\ng([1])\n"
    memory = memory_of(SOLUTION, ("test:t", source))
    assert memory.pure["t"] == {"g"}
    memory.rehearse(execute)
    assert memory.values == {}


def test_a_rehearsal_runs_beside_and_what_fails_in_it_is_only_slower():
    broken = ("test:broken", SLOW.replace("slow", "other") + "other([7])\nraise ValueError")
    memory = memory_of(SOLUTION, ("test:t", SLOW + "assert slow([1]) == double([1])"), broken)
    rehearsal = Rehearsal(memory, execute)
    deadline = time.monotonic() + 60
    while not memory.values and time.monotonic() < deadline:
        rehearsal.look()
        time.sleep(0.01)
    assert len(memory.values) == 2
