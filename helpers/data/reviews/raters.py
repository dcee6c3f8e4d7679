"""What people say of a review: a class each, by their own border and mood."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

LABELS = ("negative", "neutral", "positive")
BORDER = 0.25  # of sentiment, between neutral and either side

BIAS = 0.1  # standard deviation of a rater's own shift of the borders
NOISE = (0.15, 0.35)  # lowest and highest standard deviation of what a rater reads into one text
ASLEEP = 0.85  # share of a lazy rater's answers that are given without reading


def classes(sentiment: Sequence[float] | np.ndarray) -> np.ndarray:
    """The class of each sentiment.

    Args:
        sentiment: shape (n,), from -1 (negative) to 1 (positive).

    Returns:
        array of names from `LABELS`, shape (n,).
    """
    return np.array(LABELS, dtype=object)[np.digitize(sentiment, (-BORDER, BORDER))]


def opinion(sentiment: Sequence[float] | np.ndarray) -> np.ndarray:
    """What a careful rater, drawn anew, says of texts of a known sentiment: the best that any model can predict.

    Args:
        sentiment: shape (n,).

    Returns:
        probabilities in the order of `LABELS`, shape (n, 3); rows sum to 1.
    """
    sentiment = np.asarray(sentiment, float)[:, None]
    noise = np.linspace(*NOISE, 21)
    spread = np.hypot(BIAS, (noise[:-1] + noise[1:]) / 2)
    below = [norm.cdf((border - sentiment) / spread).mean(axis=1) for border in (-BORDER, BORDER)]
    return np.column_stack([below[0], below[1] - below[0], 1 - below[1]])


def draw_raters(rng: np.random.Generator, language: str, first_id: int, kinds: Sequence[str]) -> pd.DataFrame:
    """A language's raters: rater_id, language, kind, bias, noise and favourite (a lazy rater's usual answer)."""
    n = len(kinds)
    return pd.DataFrame(
        {
            "rater_id": np.arange(first_id, first_id + n),
            "language": language,
            "kind": rng.permutation(np.array(kinds, dtype=object)),
            "bias": rng.normal(0, BIAS, n),
            "noise": rng.uniform(*NOISE, n),
            "favourite": rng.choice(np.array(LABELS[1:], dtype=object), n),
        }
    )


def rate(
    rng: np.random.Generator, review_id: np.ndarray, sentiment: np.ndarray, raters: pd.DataFrame, per_review: int
) -> pd.DataFrame:
    """The ratings of reviews by `per_review` of the raters each: review_id, rater_id, rating."""
    n = len(review_id)
    who = rng.permuted(np.tile(np.arange(len(raters)), (n, 1)), axis=1)[:, :per_review].ravel()
    by = {name: raters[name].to_numpy()[who] for name in ("kind", "bias", "noise", "favourite")}
    read = np.repeat(sentiment, per_review) + by["bias"] + by["noise"] * rng.normal(size=len(who))
    rating = classes(np.where(by["kind"] == "hostile", -read, read))
    asleep = (by["kind"] == "lazy") & (rng.random(len(who)) < ASLEEP)
    return pd.DataFrame(
        {
            "review_id": np.repeat(review_id, per_review),
            "rater_id": raters["rater_id"].to_numpy()[who],
            "rating": np.where(asleep, by["favourite"], rating),
        }
    )
