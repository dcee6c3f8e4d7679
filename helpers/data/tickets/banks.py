"""Phrase banks: sentences written by hand, one a line, with alternatives in braces and fillers after a dollar sign.

`The {code|text message} never came on $weekday.` has two surface forms; fillers (names, numbers, days) count as one.
A bank's sections are named `split.part`: no sentence stands in the banks of two splits.
"""

import configparser
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from math import prod

import numpy as np

FILLERS: dict[str, tuple[str, ...]] = {
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "month": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    "name": ("Marta", "J. Okafor", "Lena", "Tom", "Priya", "S. Novak", "Irene", "Paul K.", "Aiko", "Mrs Duval", "Omar"),
    "company": ("Café Linde", "Harbour Books", "Rossi & Figli", "The Green Door", "Velo Nord", "Casa Marisol"),
}
_HOLE = re.compile(r"\{([^{}]*)\}|\$([a-z]+)")


@dataclass(frozen=True)
class Phrase:
    """One line of a bank.

    Attributes:
        line: as written, with braces and fillers.
    """

    line: str

    @cached_property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """The line cut at its braces, each part with its alternatives."""
        cuts, start = [], 0
        for hole in _HOLE.finditer(self.line):
            cuts.append((self.line[start : hole.start()],))
            cuts.append((hole.group(0),) if hole.group(1) is None else tuple(hole.group(1).split("|")))
            start = hole.end()
        return (*cuts, (self.line[start:],))

    @property
    def n_forms(self) -> int:
        """Surface forms: the product of the alternatives, fillers not counted."""
        return prod(len(part) for part in self.parts)

    def say(self, rng: np.random.Generator) -> str:
        """One surface form, drawn evenly, with its fillers filled."""
        draws = rng.random(len(self.parts))
        text = "".join(part[int(draw * len(part))] for part, draw in zip(self.parts, draws, strict=True))
        if "$" in text:
            text = re.sub(r"\$([a-z]+)", lambda hole: fill(hole.group(1), rng), text)
        return text[:1].upper() + text[1:]


def fill(filler: str, rng: np.random.Generator) -> str:
    """A value for a filler: weekday, month, name, company, amount, order, time or version.

    Raises:
        KeyError: there is no such filler.
    """
    if filler in FILLERS:
        return FILLERS[filler][rng.integers(len(FILLERS[filler]))]
    number = int(rng.integers(1_000, 100_000))
    return {
        "amount": f"{number / 100:.2f} {('EUR', 'euros', 'GBP')[number % 3]}",
        "order": f"{('#', 'no. ', 'A-', '')[number % 4]}{number}",
        "time": f"{7 + number % 14}:{number % 6}0",
        "version": f"{1 + number % 4}.{number % 10}.{number % 7}",
    }[filler]


@cache
def bank(name: str) -> dict[str, tuple[Phrase, ...]]:
    """The sections of a bank.

    Args:
        name: a class of `LABELS`, "frames", "ambiguous" or "new_topic".

    Returns:
        Phrases by section, such as "train.situations".

    Raises:
        FileNotFoundError: there is no such bank.
    """
    lines = configparser.ConfigParser(
        allow_no_value=True,
        delimiters=("\0",),
        comment_prefixes=("#",),
        interpolation=None,
        empty_lines_in_values=False,
    )
    lines.optionxform = str
    lines.read_string((files("helpers.data.tickets") / "banks" / f"{name}.ini").read_text(encoding="utf-8"))
    return {section: tuple(Phrase(line) for line in lines[section]) for section in lines.sections()}


def pick(phrases: Sequence[Phrase], rng: np.random.Generator) -> str:
    """A surface form of one of the phrases, all phrases alike."""
    return phrases[int(rng.random() * len(phrases))].say(rng)
