"""What hands do to a text: typing errors, careless style, and the light edits of a ticket that is sent again."""

import re

import numpy as np

from helpers.data.tickets.banks import bank, fill, pick

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {key: row[max(i - 1, 0) : i] + row[i + 1 : i + 2] for row in _ROWS for i, key in enumerate(row)}
_WORD = re.compile(r"[a-z]{4,}")


def mistype(text: str, n_errors: int, rng: np.random.Generator) -> str:
    """Mistype as many words of four letters and more, each once: two letters swapped, one lost, doubled or beside."""
    for _ in range(n_errors):
        words = list(_WORD.finditer(text))
        if not words:
            return text
        word = words[rng.integers(len(words))]
        text = text[: word.start()] + _slip(word.group(), rng) + text[word.end() :]
    return text


def _slip(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word) - 1))
    match int(rng.integers(4)):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[: at + 1] + word[at:]
        case _:
            keys = NEIGHBOURS[word[at]]
            return word[:at] + keys[rng.integers(len(keys))] + word[at + 1 :]


def restyle(text: str, rng: np.random.Generator) -> str:
    """Write as some do: one in eight without capitals, one in sixteen without commas or full stops, few in capitals."""
    draw = rng.random()
    if draw < 0.125:
        return text.lower()
    if draw < 0.1875:
        return re.sub(r"[.,;](?=\s|$)", "", text)
    return text.upper() if draw < 0.1975 else text


def edit(text: str, split: str, rng: np.random.Generator) -> str:
    """The same ticket sent again: one or two light edits that leave its matter alone."""
    for kind in rng.permutation(5)[: rng.integers(1, 3)]:
        match kind:
            case 0:
                text = f"{pick(bank('frames')[f'{split}.resends'], rng)} {text}"
            case 1:
                text = f"{text} {pick(bank('frames')[f'{split}.closings'], rng)}"
            case 2:
                text = re.sub(r"\d{4,6}", lambda _: fill("order", rng).lstrip("#A-no. "), text)
            case 3:
                text = text.lower()
            case _:
                text = mistype(text, int(rng.integers(1, 4)), rng)
    return text
