"""How a ticket is put together from the banks, by kind."""

from typing import NamedTuple

import numpy as np

from helpers.data.tickets.banks import Phrase, bank, pick

LABELS: tuple[str, ...] = (
    "login",
    "delivery",
    "invoice",
    "refund",
    "outage",
    "damaged",
    "cancel",
    "integration",
    "data_export",
    "feature_request",
)
"""The classes, the most frequent first."""

PRIORITY: tuple[str, ...] = (
    "outage",
    "login",
    "cancel",
    "damaged",
    "delivery",
    "refund",
    "invoice",
    "integration",
    "data_export",
    "feature_request",
)
"""Of two matters in one ticket, the team files it under the one that stands first here."""

AMBIGUOUS: dict[tuple[str, str], float] = {
    ("login", "outage"): 0.65,
    ("delivery", "damaged"): 0.6,
    ("invoice", "refund"): 0.7,
    ("delivery", "refund"): 0.75,
}
"""Odds of the first class, for texts that no reader can tell apart."""

MISREAD: dict[str, tuple[str, ...]] = {
    "login": ("outage", "integration"),
    "delivery": ("damaged", "refund"),
    "invoice": ("refund", "data_export"),
    "refund": ("invoice", "cancel"),
    "outage": ("login", "damaged"),
    "damaged": ("delivery", "refund"),
    "cancel": ("refund", "invoice"),
    "integration": ("data_export", "outage"),
    "data_export": ("integration", "invoice"),
    "feature_request": ("data_export", "integration"),
}
"""What a hurried annotator takes a class for."""

SUBJECTS: dict[str, float] = {"plain": 0.4, "hard_negative": 0.2, "contrast": 0.4, "second_intent": 0.4}
"""Share of tickets with a subject line. Where there are two matters it names either, as in an answer to an old mail."""

KINDS: tuple[str, ...] = ("plain", "hard_negative", "contrast", "second_intent", "ambiguous", "new_topic")


class Draft(NamedTuple):
    """A ticket before the hand that types it.

    Attributes:
        text: sentences, openings and closings.
        label: the class that the team's rules give it.
        likeliest: the class that the best possible reader would name.
        other: the class that a hurried annotator would name.
        kind: one of `KINDS`.
    """

    text: str
    label: str
    likeliest: str
    other: str
    kind: str


def draft(label: str, kind: str, split: str, rng: np.random.Generator) -> Draft:
    """Compose a ticket of a class and kind from a split's banks.

    The lowest class of `PRIORITY` has no second intents: they become plain.
    """
    other = MISREAD[label][rng.integers(len(MISREAD[label]))]
    likeliest = label
    if kind == "second_intent" and label == PRIORITY[-1]:
        kind = "plain"
    if kind == "plain":
        body = matter(label, split, rng)
    elif kind == "hard_negative":
        body = _with_detail(bank(label)[f"{split}.hard"], label, split, rng, 0.5)
    elif kind == "contrast":
        other = _another(LABELS, label, rng)
        turn = pick(bank("frames")[f"{split}.resolutions"], rng)
        body = f"{_situation(other, split, rng)} {turn} {matter(label, split, rng, detail=0.6)}"
    elif kind == "second_intent":
        other = _another(PRIORITY[PRIORITY.index(label) + 1 :], label, rng)
        first, second = rng.permutation([label, other])
        link = pick(bank("frames")[f"{split}.links"], rng)
        body = f"{_situation(first, split, rng)} {link} {_situation(second, split, rng)}"
    elif kind == "new_topic":
        sections = bank("new_topic")
        body = _join(pick(sections[f"{split}.situations"], rng), sections[f"{split}.details"], rng, 0.5)
    else:
        pairs = [pair for pair in AMBIGUOUS if label in pair]
        raise ValueError(f"{kind!r} texts are composed by draft_ambiguous: {pairs}")
    if kind in SUBJECTS and rng.random() < SUBJECTS[kind]:
        about = other if kind in ("contrast", "second_intent") and rng.random() < 0.5 else label
        subject = pick(bank(about)[f"{split}.subjects"], rng)
        return Draft(f"{subject}. {_dress(body, split, rng)}", label, likeliest, other, kind)
    return Draft(_dress(body, split, rng), label, likeliest, other, kind)


def draft_ambiguous(split: str, rng: np.random.Generator) -> Draft:
    """Compose a text that two classes share; its class is drawn with the odds of `AMBIGUOUS`."""
    pairs = list(AMBIGUOUS)
    pair = pairs[rng.integers(len(pairs))]
    body = pick(bank("ambiguous")[f"{split}.{'/'.join(pair)}"], rng)
    label, other = pair if rng.random() < AMBIGUOUS[pair] else pair[::-1]
    return Draft(_dress(body, split, rng), label, pair[0], other, "ambiguous")


def matter(label: str, split: str, rng: np.random.Generator, detail: float = 0.7) -> str:
    """A situation of a class and, with the probability `detail`, a sentence more about it."""
    return _with_detail(bank(label)[f"{split}.situations"], label, split, rng, detail)


def _situation(label: str, split: str, rng: np.random.Generator) -> str:
    return pick(bank(label)[f"{split}.situations"], rng)


def _with_detail(phrases: tuple[Phrase, ...], label: str, split: str, rng: np.random.Generator, detail: float) -> str:
    return _join(pick(phrases, rng), bank(label)[f"{split}.details"], rng, detail)


def _join(text: str, more: tuple[Phrase, ...], rng: np.random.Generator, probability: float) -> str:
    return f"{text} {pick(more, rng)}" if rng.random() < probability else text


def _another(labels: tuple[str, ...], label: str, rng: np.random.Generator) -> str:
    others = [other for other in labels if other != label]
    return others[rng.integers(len(others))]


def _dress(body: str, split: str, rng: np.random.Generator) -> str:
    """Openings, contexts, requests and closings around a body, each of them in some tickets only."""
    frames = bank("frames")
    before = [("openings", 0.4), ("contexts", 0.3), ("contexts", 0.1)]
    after = [("requests", 0.35), ("closings", 0.35)]
    draws = rng.random(len(before) + len(after))
    said = [
        pick(frames[f"{split}.{part}"], rng) if draw < probability else ""
        for (part, probability), draw in zip(before + after, draws, strict=True)
    ]
    return " ".join(piece for piece in [*said[: len(before)], body, *said[len(before) :]] if piece)
