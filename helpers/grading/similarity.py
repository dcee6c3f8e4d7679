"""Which answers resemble each other more than chance makes them: winnowed fingerprints of normalised code.

Names, numbers, texts and comments do not count, and what the release already holds does not count either. A report for
a person to read: two right answers to a small task are often alike.

Source: Schleimer, Wilkerson and Aiken, Winnowing: Local Algorithms for Document Fingerprinting, SIGMOD 2003.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

GRAM_TOKENS = 12
WINDOW = 8
LEAST_FINGERPRINTS = 15
COMMON_SHARE = 0.1  # a fingerprint that more of the class has says nothing
LONGEST_SOURCE = 200_000  # characters of an answer that are compared
NEVER_COMMON = 8  # students that may have one in a small class


@dataclass(frozen=True)
class Pair:
    """Two students whose answers share code.

    Attributes:
        students: their ids.
        share: of the smaller answer's fingerprints that the larger one has too, from 0 to 1.
        fingerprints: how many they share.
    """

    students: tuple[str, str]
    share: float
    fingerprints: int


def similar_pairs(answers: Mapping[str, str], released: str, least: float = 0.6) -> list[Pair]:
    """Pairs of students whose code is alike, the most alike first.

    Args:
        answers: student to source of all of the student's solution cells.
        released: source of the stubs.
        least: share from which on a pair is told.
    """
    known = fingerprints(released).keys()
    prints = {student: fingerprints(source).keys() - known for student, source in answers.items()}
    owners: dict[int, list[str]] = defaultdict(list)
    for student in sorted(prints):
        for fingerprint in prints[student]:
            owners[fingerprint].append(student)
    most = max(NEVER_COMMON, COMMON_SHARE * len(answers))
    common = {fingerprint for fingerprint, who in owners.items() if len(who) > most}
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for fingerprint, who in owners.items():
        if fingerprint not in common:
            for pair in combinations(who, 2):
                shared[pair] += 1
    sizes = {student: len(found - common) for student, found in prints.items()}
    pairs = []
    for (first, second), count in shared.items():
        smaller = min(sizes[first], sizes[second])
        if smaller >= LEAST_FINGERPRINTS and count / smaller >= least:
            pairs.append(Pair((first, second), count / smaller, count))
    return sorted(pairs, key=lambda pair: (-pair.share, -pair.fingerprints, pair.students))


def groups(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Pairs by groups of students that they join; the most alike pair and its group first."""
    parent: dict[str, str] = {}

    def root(student: str) -> str:
        while parent.setdefault(student, student) != student:
            parent[student] = parent[parent[student]]
            student = parent[student]
        return student

    pairs = sorted(pairs, key=lambda pair: -pair.share)
    for pair in pairs:
        parent[root(pair.students[0])] = root(pair.students[1])
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[root(pair.students[0])].append(pair)
    return list(found.values())


def shared_lines(first: str, second: str, released: str) -> tuple[set[int], set[int]]:
    """The lines of two answers, counted from 1, that hold code which both have and the release has not."""
    known, prints = fingerprints(released), (fingerprints(first), fingerprints(second))
    both = prints[0].keys() & prints[1].keys() - known.keys()
    return tuple({line for fingerprint in both for line in found[fingerprint]} for found in prints)


def fingerprints(source: str) -> dict[int, set[int]]:
    """The winnowed fingerprints of code, the smallest hash of each window of grams of tokens, and where each lies.

    Returns:
        Fingerprint to the lines that it stems from, counted from 1.
    """
    tokens = normalised(source)
    hashes = []
    for start in range(len(tokens) - GRAM_TOKENS + 1):
        gram = tokens[start : start + GRAM_TOKENS]
        text = " ".join(kind for kind, _ in gram)
        hashes.append((int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()), start))
    found: dict[int, set[int]] = defaultdict(set)
    for begin in range(max(len(hashes) - WINDOW + 1, min(1, len(hashes)))):
        smallest, start = min(hashes[begin : begin + WINDOW])
        found[smallest].update(range(tokens[start][1], tokens[start + GRAM_TOKENS - 1][1] + 1))
    return dict(found)


def normalised(source: str) -> list[tuple[str, int]]:
    """The tokens of code, with every name, number and text as one of a kind, and their lines."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source[:LONGEST_SOURCE]).readline):
            line = token.start[0]
            if token.type == tokenize.NAME:
                found.append((token.string if keyword.iskeyword(token.string) else "name", line))
            elif token.type == tokenize.OP:
                found.append((token.string, line))
            elif token.type in (tokenize.NUMBER, tokenize.STRING):
                found.append(("value", line))
    except (tokenize.TokenError, SyntaxError):  # the rest of an unfinished cell
        return found
    return found
