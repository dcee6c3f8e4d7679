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
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

GRAM_TOKENS = 12
WINDOW = 8
LEAST_FINGERPRINTS = 15
COMMON_SHARE = 0.3  # a fingerprint that more of the class has says nothing


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
    known = fingerprints(released)
    prints = {student: fingerprints(source) - known for student, source in answers.items()}
    owners: dict[int, list[str]] = defaultdict(list)
    for student, found in prints.items():
        for fingerprint in found:
            owners[fingerprint].append(student)
    common = {fingerprint for fingerprint, who in owners.items() if len(who) > max(2, COMMON_SHARE * len(answers))}
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for fingerprint, who in owners.items():
        if fingerprint not in common:
            for pair in combinations(sorted(who), 2):
                shared[pair] += 1
    pairs = []
    for (first, second), count in shared.items():
        smaller = min(len(prints[first] - common), len(prints[second] - common))
        if smaller >= LEAST_FINGERPRINTS and count / smaller >= least:
            pairs.append(Pair((first, second), count / smaller, count))
    return sorted(pairs, key=lambda pair: (-pair.share, -pair.fingerprints, pair.students))


def fingerprints(source: str) -> set[int]:
    """The winnowed fingerprints of code: the smallest hash of each window of grams of tokens."""
    tokens = normalised(source)
    grams = [" ".join(tokens[start : start + GRAM_TOKENS]) for start in range(len(tokens) - GRAM_TOKENS + 1)]
    hashes = [int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest()) for gram in grams]
    return {min(hashes[start : start + WINDOW]) for start in range(max(len(hashes) - WINDOW + 1, min(1, len(hashes))))}


def normalised(source: str) -> list[str]:
    """The tokens of code, with every name, number and text as one of a kind."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME:
                found.append(token.string if keyword.iskeyword(token.string) else "name")
            elif token.type == tokenize.OP:
                found.append(token.string)
            elif token.type in (tokenize.NUMBER, tokenize.STRING):
                found.append("value")
    except (tokenize.TokenError, SyntaxError):  # the rest of an unfinished cell
        return found
    return found
