"""Reviews put together from the clauses of a language's bank."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from helpers.data.reviews.banks import IRONY, VALENCE, Bank

# Shares of the ways to write a review, and of what it begins with.
KINDS = {"single": 0.26, "agreeing": 0.52, "contrast": 0.17, "ironic": 0.05}
LEVELS = {"hate": 0.13, "dislike": 0.15, "neutral": 0.36, "like": 0.18, "love": 0.18}

LAST_WORD = 0.7  # weight of what follows a "but"
ASIDE = 0.3  # weight of a neutral clause beside one with an opinion
VERDICT = 0.75  # share of texts that also judge the product as a whole, and of these:
ALONE = 0.2  # share that say no more
BEFORE = 0.3  # share that judge first
LUKEWARM = 0.4  # share of the verdicts on the neutral that are lukewarm
OPENED = 0.35
CARELESS = 0.08  # share of texts without capitals, and as many without a full stop

_BAD, _GOOD = ("hate", "dislike"), ("like", "love")
_AGREEING = {
    "hate": (*_BAD, *_BAD, "neutral"),
    "dislike": (*_BAD, *_BAD, "neutral"),
    "neutral": ("neutral", "neutral", "neutral", *_BAD, *_GOOD),
    "like": (*_GOOD, *_GOOD, "neutral"),
    "love": (*_GOOD, *_GOOD, "neutral"),
}
_OPPOSED = {"hate": _GOOD, "dislike": _GOOD, "like": _BAD, "love": _BAD}


@dataclass(frozen=True)
class Text:
    """A review's text, how it is made (one of `KINDS`), and what it says of the product, from -1 to 1."""

    text: str
    kind: str
    valence: float


class Writer:
    """Writes reviews of one domain in one language with the clauses of one split."""

    def __init__(self, bank: Bank, domain: str, split: str, rng: np.random.Generator):
        self._bank = bank
        self._own = bank.clauses[domain][split]
        self._verdicts = bank.clauses["any"][split]
        self._rng = rng
        self._ways = {"single": self._single, "agreeing": self._agreeing, "contrast": self._contrast}
        self._ways["ironic"] = self._ironic
        self._draw_kind = partial(self._draw_by_share, *_cumulated(KINDS))
        self._draw_level = partial(self._draw_by_share, *_cumulated(LEVELS))
        self._fitting: dict[tuple[str, str], list[str]] = {}

    def write(self) -> Text:
        """The next review."""
        kind, made = self._draw_kind(), None
        while made is None:
            made = self._ways[kind]()
        text, valence = made
        if kind != "ironic" and self._rng.random() < VERDICT:
            text, valence = self._judged(text, valence, alone=kind == "single" and self._rng.random() < ALONE)
        if self._rng.random() < OPENED:
            text = self._draw(self._own["opening"]) + self._bank.space + text
        return Text(self._typed(text), kind, valence)

    def _judged(self, text: str, valence: float, alone: bool) -> tuple[str, float]:
        level = min(VALENCE, key=lambda name: abs(VALENCE[name] - valence))
        if level == "neutral" and self._rng.random() < LUKEWARM:
            level = "lukewarm"
            valence += self._bank.lukewarm
        verdict = self._sentence(self._draw(self._verdicts[level]))
        if alone:
            return verdict, valence
        order = (verdict, text) if self._rng.random() < BEFORE else (text, verdict)
        return self._bank.space.join(order), valence

    def _single(self) -> tuple[str, float]:
        level = self._draw_level()
        return self._sentence(self._draw(self._own[level])), VALENCE[level]

    def _agreeing(self) -> tuple[str, float] | None:
        levels = first, second = self._pair_of_levels(_AGREEING)
        clause = self._draw(self._own[first])
        other = self._beside(clause, second)
        if other is None:
            return None
        weight = 0.5
        if levels.count("neutral") == 1:
            weight = ASIDE if first == "neutral" else 1 - ASIDE
        valence = weight * VALENCE[first] + (1 - weight) * VALENCE[second]
        return self._bank.space.join([self._sentence(clause), self._sentence(other)]), valence

    def _contrast(self) -> tuple[str, float] | None:
        first, second = self._pair_of_levels(_OPPOSED)
        before = self._draw(self._own[first])
        after = self._beside(before, second)
        if after is None:
            return None
        text = before + self._draw(self._bank.contrast) + after
        return self._sentence(text), (1 - LAST_WORD) * VALENCE[first] + LAST_WORD * VALENCE[second]

    def _ironic(self) -> tuple[str, float]:
        sentence = self._draw(self._own["ironic"] + self._verdicts["ironic"])
        other = self._beside(sentence, "dislike")
        if other is None or self._rng.random() < 0.5:
            return sentence, IRONY
        return sentence + self._bank.space + self._sentence(other), IRONY

    def _pair_of_levels(self, partners: dict[str, Sequence[str]]) -> tuple[str, str]:
        first = self._draw_level()
        while first not in partners:
            first = self._draw_level()
        return first, self._draw(partners[first])

    def _beside(self, clause: str, level: str) -> str | None:
        """A clause of the product that fits beside another one; None if there is none."""
        if (clause, level) not in self._fitting:
            fitting = [other for other in self._own[level] if self._bank.fit(clause, other)]
            self._fitting[clause, level] = fitting
        fitting = self._fitting[clause, level]
        return self._draw(fitting) if fitting else None

    def _sentence(self, clause: str) -> str:
        return clause[0].upper() + clause[1:] + self._bank.stop

    def _typed(self, text: str) -> str:
        text = text.replace("{n}", str(self._rng.integers(2, 10)))
        if self._rng.random() < CARELESS:
            text = text.lower()
        if self._rng.random() < CARELESS:
            text = text.removesuffix(self._bank.stop)
        return text

    def _draw(self, options: Sequence[str]) -> str:
        return options[int(self._rng.random() * len(options))]

    def _draw_by_share(self, names: Sequence[str], ends: np.ndarray) -> str:
        return names[int(np.searchsorted(ends, self._rng.random(), side="right"))]


def _cumulated(shares: dict[str, float]) -> tuple[tuple[str, ...], np.ndarray]:
    ends = np.cumsum(list(shares.values()))
    return tuple(shares), ends / ends[-1]
