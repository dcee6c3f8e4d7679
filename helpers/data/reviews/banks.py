"""The sentences that reviews are made of: one file for each language."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "de", "fr", "es", "ja")
DOMAINS = ("kitchen", "app", "hotel", "film")
SPLITS = ("train", "validation", "test")

# What a clause says of the product, from -1 to 1.
VALENCE = {"hate": -0.9, "dislike": -0.5, "neutral": 0.0, "like": 0.5, "love": 0.9}
IRONY = -0.8

# Source: the two styles of Japanese prose, desu/masu and da/dearu; a writer keeps to one of them.
_POLITE = re.compile(r"(です|ます|ません|ました|でした)(。|$)")


@dataclass(frozen=True)
class Bank:
    """The sentences of one language.

    Attributes:
        language: one of `LANGUAGES`.
        stop: what ends a sentence.
        space: what stands between two sentences.
        contrast: what joins two clauses that disagree.
        lukewarm: what a lukewarm verdict ("moyen", "regular", "geht so") adds to what a text says of the product. In
            English "it's okay" is meant as it is said; elsewhere it is a polite no.
        apart: patterns; clauses that match different ones speak of different devices.
        clauses: by domain (or "any", for every product), split and kind: a clause without its stop for the kinds of
            `VALENCE` and "lukewarm", a whole sentence for "ironic" and "opening". `{n}` stands for a number.
    """

    language: str
    stop: str
    space: str
    contrast: tuple[str, ...]
    lukewarm: float
    apart: tuple[re.Pattern, ...]
    clauses: Mapping[str, Mapping[str, Mapping[str, list[str]]]]

    def fit(self, first: str, second: str) -> bool:
        """Whether one writer could put the two clauses into one review."""
        if first == second:
            return False
        devices = [{pattern for pattern in self.apart if pattern.search(clause)} for clause in (first, second)]
        if all(devices) and devices[0] != devices[1]:
            return False
        return self.language != "ja" or bool(_POLITE.search(first)) == bool(_POLITE.search(second))


@cache
def bank(language: str) -> Bank:
    """The sentences of a language.

    Raises:
        ValueError: there is no bank for the language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"there is no bank for {language!r}, only for {', '.join(LANGUAGES)}")
    text = files(__package__).joinpath("banks", f"{language}.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    frame = content.pop("frame")
    return Bank(
        language=language,
        stop=frame["stop"],
        space=frame["space"],
        contrast=tuple(frame["contrast"]),
        lukewarm=frame["lukewarm"],
        apart=tuple(re.compile(pattern) for pattern in frame["apart"]),
        clauses=content,
    )
