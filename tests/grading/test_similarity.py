"""Copies are found whatever was renamed; answers that people reached on their own roads are not."""

import ast
import random
import re
from itertools import combinations
from pathlib import Path

import pytest

from helpers.grading.similarity import Pair, fingerprints, groups, shared_lines, similar_pairs

HONEST = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "honest").glob("*.py"))}
STUBS = """def sessions(clicks, gap):
    raise NotImplementedError


def busiest(clicks, k):
    raise NotImplementedError
"""
CLICKS = [("b", 5), ("a", 1), ("a", 2), ("b", 50), ("a", 90), ("c", 7), ("c", 8), ("c", 9), ("a", 91)]


@pytest.mark.parametrize("student", HONEST)
def test_the_honest_answers_are_right(student: str):
    made: dict = {}
    exec(HONEST[student], made)
    assert sorted(made["sessions"](CLICKS, 10)) == [[1, 2], [5], [7, 8, 9], [50], [90, 91]]
    assert made["busiest"](CLICKS, 2) == ["a", "c"]


class Renamed(ast.NodeTransformer):
    """Other names for all that the student named."""

    def __init__(self, names: set[str]) -> None:
        self.names = {name: f"value_{number}" for number, name in enumerate(sorted(names))}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self.names.get(node.arg, node.arg)
        return node


def renamed(source: str) -> str:
    tree = ast.parse(source)
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return ast.unparse(Renamed(stored | arguments).visit(tree))


def commented(source: str) -> str:
    return re.sub(r"\n(    +)(\w)", r"\n\1# my own idea\n\n\1\2", source)


def other_values(source: str) -> str:
    return source.replace("1", "2").replace('"', "'").replace("session", "visit")


def other_order(source: str) -> str:
    head, *functions = re.split(r"\n\n\n(?=def |class )", source)
    return "\n\n\n".join([head, *reversed(functions)])


@pytest.mark.parametrize(
    "disguise", [str, renamed, commented, other_values, other_order], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("student", ["ann", "cleo", "dev", "eve"])
def test_a_copy_is_found_and_nobody_else(student: str, disguise):
    answers = HONEST | {"copy": disguise(HONEST[student])}
    pairs = similar_pairs(answers, STUBS)
    assert [pair.students for pair in pairs] == [tuple(sorted(("copy", student)))]
    assert pairs[0].share >= 0.8


def test_a_part_that_was_copied_into_a_longer_answer_is_found():
    answers = HONEST | {"longer": HONEST["bob"] + renamed(HONEST["ann"])}
    assert {pair.students for pair in similar_pairs(answers, STUBS)} == {("ann", "longer"), ("bob", "longer")}


def test_independent_answers_are_far_from_alike():
    pairs = similar_pairs(HONEST, STUBS, least=0.0)
    assert all(pair.share < 0.3 for pair in pairs)
    assert similar_pairs(HONEST, STUBS) == []


def test_what_was_released_is_nobody_s_copy():
    given = HONEST["ann"]
    answers = {"one": given + "\nx = 1\n", "two": given + "\ny = 'a'\n"}
    assert similar_pairs(answers, given) == []


def test_what_a_large_part_of_the_class_has_is_nobody_s_copy():
    """Forty students begin with the same idiom of the lectures; two of them share the rest as well."""
    chosen = random.Random(1)
    own = {f"student-{number}": program(chosen) for number in range(40)}
    answers = {student: HONEST["ann"] + source for student, source in own.items()}
    answers["copy"] = HONEST["ann"] + renamed(own["student-7"])
    assert [pair.students for pair in similar_pairs(answers, STUBS)] == [("copy", "student-7")]


def program(chosen: random.Random) -> str:
    """A program of random shape."""

    def term(depth: int) -> str:
        kind = chosen.randrange(6 if depth < 3 else 1)
        inner = [term(depth + 1) for _ in range(2 if kind else 0)]
        shapes = ("x", "{} + {}", "{}[{}]", "f({}, {})", "[{} for x in {}]", "({} if {} else x)")
        return shapes[kind].format(*inner)

    return "\n".join(f"x = {term(0)}" for _ in range(40)) + "\n"


@pytest.mark.parametrize(
    "source", ["", "x", "def f(:\n  )", "'''", "!ls\n%time x = 1", "\x00", "(" * 5000, "if x:\n\ty\n        z"]
)
def test_code_that_is_none_has_no_more_than_its_beginning(source: str):
    assert len(fingerprints(source)) < 5
    assert similar_pairs({"one": source, "two": source}, "") == []


def test_an_answer_of_any_size_is_soon_compared():
    assert len(fingerprints("x = [y for y in z]\n" * 500_000)) < 100


def test_pairs_that_hang_together_are_a_group():
    pairs = [Pair(students, share, 20) for students, share in ((("a", "b"), 0.7), (("c", "d"), 0.9), (("b", "e"), 1.0))]
    found = groups(pairs)
    assert [sorted({name for pair in group for name in pair.students}) for group in found] == [
        ["a", "b", "e"],
        ["c", "d"],
    ]
    assert found[0][0].share == 1.0


def test_every_pair_of_a_ring_is_in_one_group():
    pairs = [Pair(pair, 1.0, 20) for pair in combinations([f"student-{number:03d}" for number in range(200)], 2)]
    [group] = groups(pairs)
    assert len(group) == len(pairs)


def test_the_lines_that_are_shared_are_told_and_no_others():
    first = "a = 1\nb = 2\n" + HONEST["finn"]
    second = HONEST["bob"] + HONEST["finn"]
    lines, others = shared_lines(first, second, STUBS)
    begin = len(HONEST["bob"].splitlines())
    assert lines and min(lines) > 2 and others and min(others) > begin
