"""The ticket corpus keeps its own rules, and what it plants can be found in what it returns."""

import difflib
import hashlib
import itertools
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from helpers.data import tickets

SPLITS = ("train", "validation", "test")
PAIRS = tuple(itertools.combinations(SPLITS, 2))


@pytest.fixture(scope="module")
def lab():
    return tickets.at_scale(seed=1, scale="lab")


def splits(corpus):
    return {split: getattr(corpus, split) for split in SPLITS}


def every_row(corpus):
    return pd.concat(splits(corpus), names=["split"]).reset_index("split")


def fingerprint(corpus):
    hashes = [pd.util.hash_pandas_object(frame).to_numpy().tobytes() for frame in splits(corpus).values()]
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def test_the_same_seed_gives_the_same_tickets_in_another_process():
    program = (
        "import hashlib, pandas as pd; from helpers.data import tickets; c = tickets.at_scale(seed=5, scale='smoke');"
        f"rows = [pd.util.hash_pandas_object(getattr(c, split)).to_numpy().tobytes() for split in {SPLITS}];"
        "print(hashlib.sha256(b''.join(rows)).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == fingerprint(tickets.at_scale(seed=5, scale="smoke"))
    assert there.stdout.strip() != fingerprint(tickets.at_scale(seed=6, scale="smoke"))


def test_splits_have_their_promised_columns_sizes_and_dates(lab):
    for split, frame in splits(lab).items():
        assert {column: kind.kind for column, kind in frame.dtypes.items()} == {
            "ticket_id": "i",
            "created": "M",
            "text": "O",
            "label": "O",
            "true_label": "O",
            "family": "i",
            "kind": "O",
        }
        assert len(frame) == tickets.SCALES["lab"][f"n_{split}"]
        assert set(frame["true_label"]) == set(frame["label"]) == set(tickets.LABELS)
        assert set(frame["kind"]) <= set(tickets.KINDS)
        assert frame["created"].is_monotonic_increasing
        start, end = map(pd.Timestamp, tickets.PERIODS[split])
        assert frame["created"].between(start, end, inclusive="left").all(), split
    assert every_row(lab)["ticket_id"].is_unique
    assert sorted(tickets.PRIORITY) == sorted(tickets.LABELS)


def test_no_text_is_in_a_split_twice_or_in_two_splits(lab):
    assert every_row(lab)["text"].is_unique


def test_the_largest_class_of_the_lab_is_forty_times_the_smallest(lab):
    counts = lab.train["true_label"].value_counts()
    assert 30 <= counts.max() / counts.min() <= 55
    assert counts.idxmax() == tickets.LABELS[0]
    smoke = tickets.at_scale(seed=1, scale="smoke").train["true_label"].value_counts()
    assert smoke.max() / smoke.min() < 12


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.08])
def test_label_noise_is_listed_exact_and_never_in_the_test_split(noise):
    corpus = tickets.corpus(n_train=1_000, n_validation=300, seed=2, noise=noise)
    assert (corpus.test["label"] == corpus.test["true_label"]).all()
    rows = every_row(corpus)
    assert rows.loc[rows["label"] != rows["true_label"], "ticket_id"].tolist() == corpus.noisy.tolist()
    assert len(corpus.noisy) == round(noise * 1_000) + round(noise * 300)


def test_the_default_label_noise_lies_between_three_and_eight_percent(lab):
    for frame in (lab.train, lab.validation):
        assert 0.03 <= (frame["label"] != frame["true_label"]).mean() <= 0.08


def test_families_are_light_edits_that_stay_in_one_split(lab):
    rows = every_row(lab)
    families = rows.groupby("family")
    assert (families["split"].nunique() == 1).all()
    assert (families["true_label"].nunique() == 1).all()
    assert (families["created"].max() - families["created"].min() <= pd.Timedelta("3D")).all()
    copies = len(rows) - families.ngroups
    assert copies / len(rows) == pytest.approx(0.12, abs=0.01)
    likeness = [
        difflib.SequenceMatcher(None, first.lower(), other.lower(), autojunk=False).ratio()
        for _, texts in itertools.islice(((k, t) for k, t in families["text"] if len(t) > 1), 150)
        for first, other in itertools.pairwise(texts)
    ]
    assert np.quantile(likeness, 0.05) > 0.6
    strangers = lab.train["text"].to_numpy()[:300].reshape(2, -1).T
    assert np.median([difflib.SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in strangers]) < 0.45


def test_the_new_topic_starts_on_its_date_in_the_test_split_only(lab):
    new = lab.test["kind"] == "new_topic"
    assert 0.03 <= new.mean() <= 0.06
    assert lab.test.loc[new, "created"].min() >= tickets.NEW_TOPIC_DATE
    assert set(lab.test.loc[new, "true_label"]) == {"invoice"}
    for frame in (lab.train, lab.validation, lab.test[~new]):
        assert not frame["kind"].eq("new_topic").any()
        assert not frame["text"].str.contains("e-invoic|peppol|xml file", case=False).any()


def test_no_reader_gets_past_the_ceiling_that_the_odds_of_the_shared_texts_leave():
    assert tickets.corpus(seed=3, ambiguous=0.0).ceiling == 1.0
    corpus = tickets.corpus(n_test=4_000, seed=3, ambiguous=0.5, near_duplicates=0.0, new_topic=0.0)
    lost = 0.5 * (1 - np.mean(list(tickets.AMBIGUOUS.values())))
    assert corpus.ceiling == pytest.approx(1 - lost, abs=0.02)
    shared = corpus.test[corpus.test["kind"] == "ambiguous"]
    told_apart = corpus.likeliest.loc[shared["ticket_id"]].to_numpy() == shared["true_label"]
    assert corpus.ceiling == pytest.approx(1 - (~told_apart).sum() / len(corpus.test))


def test_a_lab_corpus_is_made_in_seconds():
    start = time.process_time()
    tickets.at_scale(seed=4, scale="lab")
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 0.5}, "noise=0.5"),
        ({"imbalance": 0.5}, "imbalance must be at least 1, got 0.5"),
        ({"n_test": 12}, "test needs at least 40 tickets, got 12"),
        ({"ambiguous": 0.9}, "special shares"),
        ({"typos": -0.1}, "typos=-0.1"),
    ],
)
def test_options_out_of_range_are_refused_with_their_value(options, message):
    with pytest.raises(ValueError, match=message):
        tickets.corpus(**options)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="unknown scale 'huge'"):
        tickets.at_scale(scale="huge")
