"""A corpus of reviews, split for training, validation and test, and their ratings."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.data.reviews.banks import DOMAINS, LANGUAGES, SPLITS, bank
from helpers.data.reviews.raters import classes, draw_raters, rate
from helpers.data.reviews.writer import Text, Writer

# Reviews of a language with a share of 1.
SCALES = {
    "smoke": {"train": 400, "validation": 120, "test": 240},
    "lab": {"train": 1_200, "validation": 300, "test": 600},
    "full": {"train": 6_000, "validation": 1_000, "test": 2_000},
}
# A shop's small markets write, and are rated, less.
SHARES = {"en": 1.0, "de": 0.9, "fr": 0.8, "es": 0.8, "ja": 0.6}

UNSAID = 0.08  # standard deviation of the sentiment that a text does not tell
MOST = 100_000  # reviews of a language and split, for which there are numbers
TRIES = 200  # draws of a text that is not there yet


@dataclass(frozen=True)
class Reviews:
    """Reviews, what people said of them, and what only the simulator knows.

    Attributes:
        reviews: one row per review: review_id (int), language, domain, text, kind (how it is written: single,
            agreeing, contrast, ironic), sentiment (latent, from -1 to 1), label (the class of the sentiment), split.
        ratings: one row per rating: review_id, rater_id, rating (a class).
        raters: one row per rater, each of one language: rater_id, language, kind (careful, lazy, hostile), bias and
            noise (of sentiment), favourite (the usual answer, if lazy).
    """

    reviews: pd.DataFrame
    ratings: pd.DataFrame
    raters: pd.DataFrame


def simulate(
    sizes: Mapping[str, Mapping[str, int]],
    seed: int = 0,
    *,
    domains: Sequence[str] = DOMAINS,
    careful: int = 7,
    lazy: int = 1,
    hostile: int = 1,
    ratings_per_review: int = 5,
    rater_seed: int | None = None,
) -> Reviews:
    """Write reviews and have them rated.

    Args:
        sizes: number of reviews by language and split, for example {"en": {"train": 400, "test": 200}}.
        seed: the same seed gives the same bytes. A language's reviews do not depend on which other ones are asked for.
        domains: product areas, drawn in equal shares.
        careful: raters of a language who read each text.
        lazy: raters who mostly give the same answer without reading.
        hostile: raters who say the opposite of what they read.
        ratings_per_review: by different raters.
        rater_seed: another value has the same reviews rated by other people; the value of `seed` when None.

    Raises:
        ValueError: a language, split, domain or size is unknown or impossible, or more texts are asked for than the
            bank can write without repeating one.
    """
    kinds = ["careful"] * careful + ["lazy"] * lazy + ["hostile"] * hostile
    _check(sizes, domains, len(kinds), ratings_per_review)
    reviews, ratings, raters = [], [], []
    for index, language in enumerate(LANGUAGES):
        if language not in sizes:
            continue
        streams = np.random.SeedSequence([seed, index]).spawn(len(SPLITS))
        people = seed if rater_seed is None else rater_seed
        rater_rng = np.random.default_rng(np.random.SeedSequence([people, index], spawn_key=(len(SPLITS),)))
        raters.append(draw_raters(rater_rng, language, 100 * (index + 1), kinds))
        for place, split in enumerate(SPLITS):
            first_id = 10 * MOST * (index + 1) + MOST * place
            rng = np.random.default_rng(streams[place])
            rows = _reviews(rng, language, split, sizes[language].get(split, 0), tuple(domains), first_id)
            reviews.append(rows)
            who_and_what = rows["review_id"].to_numpy(), rows["sentiment"].to_numpy()
            ratings.append(rate(rater_rng, *who_and_what, raters[-1], ratings_per_review))
    return Reviews(*(pd.concat(frames, ignore_index=True) for frames in (reviews, ratings, raters)))


def at_scale(seed: int = 0, scale: str | None = None, **options) -> Reviews:
    """Simulate all languages at a course scale.

    Args:
        seed: the same seed gives the same bytes.
        scale: smoke, lab or full; the environment's COURSE_SCALE when None, and lab when that is unset.
        options: passed to `simulate`.

    Raises:
        ValueError: the scale is unknown.
    """
    scale = scale or os.environ.get("COURSE_SCALE", "lab")
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}, choose one of {', '.join(SCALES)}")
    sizes = {
        language: {split: round(size * share) for split, size in SCALES[scale].items()}
        for language, share in SHARES.items()
    }
    return simulate(sizes, seed, **options)


def _reviews(
    rng: np.random.Generator, language: str, split: str, n: int, domains: tuple[str, ...], first_id: int
) -> pd.DataFrame:
    writers = {domain: Writer(bank(language), domain, split, rng) for domain in domains}
    domain = np.array(domains, dtype=object)[rng.integers(len(domains), size=n)]
    texts: dict[str, Text] = {}
    for name in domain:
        text = _new(writers[name], texts)
        texts[text.text] = text
    valence = np.array([text.valence for text in texts.values()], float)
    sentiment = np.clip(valence + rng.normal(0, UNSAID, n), -1, 1)
    return pd.DataFrame(
        {
            "review_id": np.arange(first_id, first_id + n),
            "language": language,
            "domain": domain,
            "text": list(texts),
            "kind": [text.kind for text in texts.values()],
            "sentiment": sentiment,
            "label": classes(sentiment),
            "split": split,
        }
    )


def _new(writer: Writer, written: Mapping[str, Text]) -> Text:
    for _ in range(TRIES):
        text = writer.write()
        if text.text not in written:
            return text
    raise ValueError(f"the bank's clauses make no more than about {len(written):,} different texts: ask for fewer")


def _check(sizes: Mapping, domains: Sequence[str], n_raters: int, ratings_per_review: int) -> None:
    for asked, known, what in (
        (sizes, LANGUAGES, "languages"),
        ({split for by_split in sizes.values() for split in by_split}, SPLITS, "splits"),
        (domains, DOMAINS, "domains"),
    ):
        if not asked or set(asked) - set(known):
            raise ValueError(f"choose {what} among {', '.join(known)}, got {', '.join(map(str, asked)) or 'none'}")
    if any(not 0 <= size <= MOST for by_split in sizes.values() for size in by_split.values()):
        raise ValueError(f"a language and split has between 0 and {MOST:,} reviews, got {sizes}")
    if not 1 <= ratings_per_review <= n_raters:
        raise ValueError(f"a review has 1 to {n_raters} ratings, as many as there are raters, got {ratings_per_review}")
