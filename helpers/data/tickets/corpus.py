"""Support tickets in three splits with listed label noise, near-duplicate families and dates."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.data.tickets.compose import LABELS, Draft, draft, draft_ambiguous
from helpers.data.tickets.surface import edit, mistype, restyle

PERIODS = {
    "train": ("2026-01-05", "2026-08-31"),
    "validation": ("2026-08-31", "2026-09-28"),
    "test": ("2026-09-28", "2026-12-21"),
}
"""First day of each split and the day after its last."""

NEW_TOPIC_DATE = pd.Timestamp("2026-11-02")
"""From this day on, the test split holds tickets on a duty that no earlier ticket mentions."""

SCALES = {
    "smoke": {"n_train": 700, "n_validation": 250, "n_test": 400, "imbalance": 4.0},
    "lab": {"n_train": 3_000, "n_validation": 700, "n_test": 1_500, "imbalance": 40.0},
    "full": {"n_train": 30_000, "n_validation": 5_000, "n_test": 8_000, "imbalance": 40.0},
}

SHARES = {"hard_negative": 0.16, "contrast": 0.14, "second_intent": 0.10}
"""Share of the tickets of these kinds among those that one class has to itself; the rest are plain."""


@dataclass(frozen=True)
class Corpus:
    """Three splits of tickets, and what only the simulator knows.

    Attributes:
        train, validation, test: one row per ticket in order of `created`: ticket_id (int), created (datetime64),
            text (str), label (str, what the annotator chose), true_label (str, what the team's rules give),
            family (int, shared by near-duplicates), kind (str, one of `KINDS`).
        noisy: ticket_id of the tickets whose label differs from the true one, in order; none is in test.
        likeliest: the label that the best possible reader would name, by ticket_id.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    noisy: np.ndarray
    likeliest: pd.Series

    @property
    def ceiling(self) -> float:
        """Accuracy on test of the best possible reader: what `AMBIGUOUS` texts leave to chance is lost."""
        return float((self.likeliest.loc[self.test["ticket_id"]].to_numpy() == self.test["true_label"]).mean())


def corpus(
    n_train: int = 700,
    n_validation: int = 250,
    n_test: int = 400,
    seed: int = 0,
    *,
    noise: float = 0.05,
    imbalance: float = 4.0,
    ambiguous: float = 0.04,
    near_duplicates: float = 0.12,
    new_topic: float = 0.04,
    typos: float = 0.25,
) -> Corpus:
    """Compose a corpus.

    Args:
        n_train: tickets of the training split; likewise `n_validation` and `n_test`.
        seed: the same seed gives the same bytes.
        noise: share of labels of train and of validation that an annotator got wrong, in [0, 0.5).
        imbalance: frequency of the most frequent class over that of the rarest, at least 1; the others lie between
            them in a geometric series.
        ambiguous: share of texts that two classes share with known odds.
        near_duplicates: share of tickets that are light edits of another one of their split.
        new_topic: share of the test split on the duty that starts on `NEW_TOPIC_DATE`.
        typos: share of tickets with one to three mistyped words.

    Raises:
        ValueError: a share or size is out of range, or a split is too small to hold every class.
    """
    sizes = {"train": n_train, "validation": n_validation, "test": n_test}
    _check(sizes, noise, imbalance, ambiguous + near_duplicates + new_topic, typos)
    streams = dict(zip(sizes, np.random.SeedSequence(seed).spawn(len(sizes)), strict=True))
    frames, first = {}, 0
    for split, size in sizes.items():
        rng = np.random.default_rng(streams[split])
        shares = {"ambiguous": ambiguous, "new_topic": new_topic if split == "test" else 0.0}
        drafts = _drafts(split, round(size * (1 - near_duplicates)), imbalance, shares, rng)
        frame = _frame(_type(drafts, split, size, typos, rng), split, first, rng)
        frames[split] = _mislabel(frame, noise if split != "test" else 0.0, rng)
        first += size
    rows = pd.concat(frames.values())
    return Corpus(
        **{split: frame.drop(columns=["likeliest", "other"]) for split, frame in frames.items()},
        noisy=rows.loc[rows["label"] != rows["true_label"], "ticket_id"].to_numpy(),
        likeliest=rows.set_index("ticket_id")["likeliest"],
    )


def at_scale(seed: int = 0, scale: str | None = None, **options) -> Corpus:
    """Compose a corpus at a course scale.

    Args:
        seed: as in `corpus`.
        scale: "smoke" (700, 250 and 400 tickets, classes up to 4:1), "lab" (3,000, 700 and 1,500, up to 40:1) or
            "full" (30,000, 5,000 and 8,000, up to 40:1); the environment variable COURSE_SCALE, else "lab", when None.
        options: as in `corpus`.

    Raises:
        ValueError: the scale is unknown.
    """
    scale = scale or os.environ.get("COURSE_SCALE") or "lab"
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: COURSE_SCALE must be one of {', '.join(SCALES)}")
    return corpus(**SCALES[scale] | options, seed=seed)


def _check(sizes: dict[str, int], noise: float, imbalance: float, special: float, typos: float) -> None:
    if not 0 <= noise < 0.5 or not 0 <= typos <= 1 or not 0 <= special < 0.8:
        raise ValueError(
            f"shares must lie in [0, 1], noise below 0.5 and the special shares together below 0.8, "
            f"got noise={noise}, typos={typos} and {special} together"
        )
    if imbalance < 1:
        raise ValueError(f"imbalance must be at least 1, got {imbalance}")
    for split, size in sizes.items():
        if size < 4 * len(LABELS):
            raise ValueError(f"{split} needs at least {4 * len(LABELS)} tickets, got {size}")


def _drafts(split: str, n: int, imbalance: float, shares: dict[str, float], rng: np.random.Generator) -> list[Draft]:
    """n different drafts: the shared and the new texts by their shares, the rest by class quota."""
    special = {kind: round(n * share) for kind, share in shares.items()}
    plan = ["ambiguous"] * special["ambiguous"] + ["new_topic"] * special["new_topic"]
    labels = [""] * special["ambiguous"] + ["invoice"] * special["new_topic"]
    left = n - len(plan)
    kinds = ["plain", *SHARES]
    plan += list(rng.choice(kinds, left, p=[1 - sum(SHARES.values()), *SHARES.values()]))
    labels += _quota(left, imbalance)
    seen: set[str] = set()
    made = []
    for label, kind in zip(labels, plan, strict=True):
        while (one := _one(label, str(kind), split, rng)).text in seen:
            continue
        seen.add(one.text)
        made.append(one)
    return [made[i] for i in rng.permutation(n)]


def _one(label: str, kind: str, split: str, rng: np.random.Generator) -> Draft:
    return draft_ambiguous(split, rng) if kind == "ambiguous" else draft(label, kind, split, rng)


def _quota(n: int, imbalance: float) -> list[str]:
    """n labels in a geometric series from the most frequent class to the rarest, at least one each."""
    weights = imbalance ** -np.linspace(0, 1, len(LABELS))
    ends = np.round(np.cumsum(weights / weights.sum()) * n).astype(int)
    counts = np.maximum(np.diff(ends, prepend=0), 1)
    counts[0] -= counts.sum() - n
    return [label for label, count in zip(LABELS, counts, strict=True) for _ in range(count)]


def _type(drafts: list[Draft], split: str, size: int, typos: float, rng: np.random.Generator) -> pd.DataFrame:
    """The drafts as typed, and light edits of some of them up to the split's size."""
    texts, seen = [], set()
    for one in drafts:
        text = restyle(one.text, rng)
        while (typed := mistype(text, int(rng.integers(1, 4)) if rng.random() < typos else 0, rng)) in seen:
            text = one.text
        seen.add(typed)
        texts.append(typed)
    frame = pd.DataFrame(drafts).assign(text=texts, family=np.arange(len(drafts)))
    parents = rng.choice(len(drafts), size - len(drafts))
    copies = frame.iloc[parents].copy()
    again = []
    for text in copies["text"]:
        while (edited := edit(text, split, rng)) in seen:
            continue
        seen.add(edited)
        again.append(edited)
    return pd.concat([frame, copies.assign(text=again)], ignore_index=True)


def _frame(frame: pd.DataFrame, split: str, first: int, rng: np.random.Generator) -> pd.DataFrame:
    """Dates, ids and families: a near-duplicate follows within three days."""
    start, end = (pd.Timestamp(day) for day in PERIODS[split])
    day = pd.Timedelta("1D")
    opens = np.where(frame["kind"] == "new_topic", (NEW_TOPIC_DATE - start) / day, 0.0)
    span = (end - start) / day
    family = frame["family"].to_numpy()
    follows = frame["family"].duplicated().to_numpy()
    at = opens + rng.random(len(frame)) * (span - 3 - opens)
    at = at[family] + np.where(follows, rng.random(len(frame)) * 3, 0)  # a draft's row number is its family
    frame = frame.assign(created=(start + pd.to_timedelta(at, unit="D")).floor("s"))
    frame = frame.sort_values("created", kind="stable", ignore_index=True)
    frame["ticket_id"] = np.arange(first, first + len(frame))
    frame["family"] = first + frame["family"]
    frame["true_label"] = frame["label"]
    columns = ["ticket_id", "created", "text", "label", "true_label", "family", "kind", "likeliest", "other"]
    return frame[columns]


def _mislabel(frame: pd.DataFrame, noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """Exactly the share `noise` of labels becomes the class that a hurried annotator would name."""
    wrong = rng.choice(len(frame), round(noise * len(frame)), replace=False)
    label = frame["label"].to_numpy(copy=True)
    label[wrong] = frame["other"].to_numpy()[wrong]
    return frame.assign(label=label)
