# ---
# title: "Lab 4: sentiment in five languages, an A/B test and a canary"
# minutes: 240
# module: sentiment
# ---

# %% [markdown]
# # Lab 4: sentiment in five languages, an A/B test and a canary
#
# A model of reviews is to replace another one, in five languages, while customers use it. You build the parts that decide whether it may: what a tokenizer costs each language, a gate that no average can talk its way through, an experiment that may be looked at every day, a canary that rolls itself back, and labels from raters who disagree.
#
# **You will**
#
# 1. measure a tokenizer's fertility and bill it by language;
# 2. turn raters' votes into probabilities that a model can be trained on;
# 3. release by the worst language, judged by the lower bound of its accuracy;
# 4. size an experiment, and find out when its traffic is not split as planned;
# 5. decide an experiment that is looked at twenty times, at a false-positive rate of 5 %;
# 6. size a canary's bake, and write the requests that roll it back.
#
# About four hours; 33 points are graded by tests, 5 by a person. The lab runs on the local SageMaker unless `COURSE_BACKEND=aws`.

# %% tags=["parameters"]
SEED = 31

# %% tags=["setup"]
import functools
import json
import shutil
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

import botocore.session
import joblib
import numpy as np
import pandas as pd
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from scipy import signal, stats

from helpers import cleanup, connect, costs, deployment, plots, rehearsal
from helpers.data import reviews
from helpers.encoders import multilingual
from helpers.experiments import assign, difference_interval
from helpers.session import scale

plots.use_style()

# %% [markdown]
# ## The data
#
# Simulated reviews of three product areas in five languages, written from sentences of each language's own, no sentence of one split in another. `label` is the class of what the review feels; `ratings` are what five raters said about it, some of whom do not read and some of whom say the opposite. `label` is used to judge, never to train.

# %%
corpus = reviews.at_scale(seed=SEED)
SCALE = scale()
# Texts of each language that are embedded: the encoder takes most of the lab's time.
N_TRAIN, N_TEST = {"smoke": (40, 30), "lab": (360, 160), "full": (6000, 2000)}[SCALE]
by_split = dict(iter(corpus.reviews.groupby("split")))
train = by_split["train"].groupby("language").head(N_TRAIN).reset_index(drop=True)
test = by_split["test"].groupby("language").head(N_TEST).reset_index(drop=True)
print(f"{len(train):,} reviews to train with, {len(test):,} to judge")
test.groupby("language")[["text", "label"]].first()

# %% [markdown]
# ## Task 1: what a tokenizer makes of each language
#
# *Fertility* is the number of tokens per word. A vocabulary that was learnt on English cuts other languages into more pieces (Rust et al., 2021), and a piece is what a model reads, waits for and is billed by (Petrov et al., 2023). Three traps hide in so small a number: Japanese has no spaces, so a word count by spaces is a count of sentences; an accent may be one code point or two; and a tokenizer that knows no character of a text is cheap, because it answers with one *unknown* token for all of it.


# %% nbgrader="solution" grade_id="token_bill"
def token_bill(
    reviews: pd.DataFrame,
    usd_per_million_tokens: float,
    max_tokens: int,
    reference: str = "en",
    unspaced: tuple[str, ...] = ("ja",),
) -> pd.DataFrame:
    """Fertility of a tokenizer by language, and what a language's reviews cost.

    Args:
        reviews: one review a row, in any order; columns language (str), text (str),
            tokens (int: pieces of the text, without the two special tokens), unknown
            (int: how many of them are the unknown token). It is not changed.
        usd_per_million_tokens: price of what the model reads, special tokens included.
        max_tokens: the most tokens of a review that the model reads, two special ones
            among them; longer reviews are cut.
        reference: the language that premium compares with.
        unspaced: languages that are written without spaces.

    Returns:
        One row per language, index language, ascending. Columns, all floats:
        tokens_per_word: tokens of all reviews over words of all reviews. A word is a
            run of characters between white space that holds at least one letter or
            digit. NaN for the languages in unspaced.
        tokens_per_character: tokens over characters of the text in Unicode's form NFC,
            white space not counted, both of all reviews.
        unknown: share of the tokens that are unknown.
        truncated: share of the reviews that are cut.
        usd_per_1000: price of what the model reads of 1,000 reviews.
        premium: usd_per_1000 over that of the reference.

    Raises:
        ValueError: no review is written in the reference language.
    """
    ### BEGIN SOLUTION
    if reference not in set(reviews["language"]):
        raise ValueError(f"no review is written in {reference!r}")
    text = reviews["text"].map(lambda text: unicodedata.normalize("NFC", text))
    words = text.map(
        lambda text: sum(any(c.isalnum() for c in run) for run in text.split())
    )
    rows = pd.DataFrame(
        {
            "language": reviews["language"],
            "tokens": reviews["tokens"],
            "unknown": reviews["unknown"],
            "words": words,
            "characters": text.map(lambda text: sum(not c.isspace() for c in text)),
            "read": (reviews["tokens"] + 2).clip(upper=max_tokens),
            "cut": reviews["tokens"] + 2 > max_tokens,
            "reviews": 1,
        }
    )
    total = rows.groupby("language").sum().astype(float)
    bill = pd.DataFrame(
        {
            "tokens_per_word": total["tokens"] / total["words"],
            "tokens_per_character": total["tokens"] / total["characters"],
            "unknown": total["unknown"] / total["tokens"],
            "truncated": total["cut"] / total["reviews"],
            "usd_per_1000": total["read"]
            / total["reviews"]
            * usd_per_million_tokens
            / 1000,
        }
    )
    bill.loc[bill.index.isin(unspaced), "tokens_per_word"] = np.nan
    return bill.assign(
        premium=bill["usd_per_1000"] / bill.loc[reference, "usd_per_1000"]
    )
    ### END SOLUTION


# %%
four_reviews = pd.DataFrame(
    {
        "language": ["en", "de", "en", "ja"],
        "text": ["Works well .", "Ladegerät geht nicht", "Great", "音が良い"],
        "tokens": [3, 8, 1, 4],
        "unknown": [0, 0, 0, 3],
    }
)
token_bill(four_reviews, usd_per_million_tokens=2.0, max_tokens=8)

# %% nbgrader="test" grade_id="test_token_bill" points=3
"""Ratios of sums, words with a letter or digit, and a bill for what is read."""
bill = token_bill(four_reviews, usd_per_million_tokens=2.0, max_tokens=8)
assert list(bill.index) == ["de", "en", "ja"], f"one row per language, got {bill.index}"
assert np.isclose(bill.loc["en", "tokens_per_word"], 4 / 3), (
    "English: 4 tokens over 3 words, the lone full stop is none; got"
    f" {bill.loc['en', 'tokens_per_word']}"
)
assert np.isnan(bill.loc["ja", "tokens_per_word"]), (
    "Japanese is written without spaces: tokens_per_word must be NaN"
)
assert np.isclose(bill.loc["de", "tokens_per_character"], 8 / 18), (
    f"German: 8 tokens over 18 characters, got {bill.loc['de', 'tokens_per_character']}"
)
assert np.isclose(bill.loc["ja", "unknown"], 0.75), "3 of 4 Japanese tokens are unknown"
assert bill.loc["de", "truncated"] == 1, (
    "8 tokens and 2 special ones do not fit into 8: the German review is cut"
)
assert np.allclose(bill["usd_per_1000"], [0.016, 0.008, 0.012]), (
    "the model reads 8 (cut from 10), (5 + 3) / 2 and 6 tokens of a review, special"
    f" ones included; got {bill['usd_per_1000'].tolist()}"
)
assert np.allclose(bill["premium"], [2.0, 1.0, 1.5]), "premium: cost over English's"
### BEGIN HIDDEN TESTS
BITS = ["né", "Übel", "42", "x-y", "...", "—", "ça", "don't", "5★", "★", "ñandú", "ok"]


def drawn_reviews(seed, n):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(BITS, rng.integers(1, 30))) for _ in range(n)]
    tokens = [len(text) // 2 + int(rng.integers(1, 9)) for text in texts]
    return pd.DataFrame(
        {
            "language": rng.choice(["en", "fr", "ja", "th", "es"], n),
            "text": texts,
            "tokens": tokens,
            "unknown": [int(rng.integers(0, count)) for count in tokens],
        },
        index=rng.permutation(n),
    )


def expected_bill(reviews, price, limit, reference, unspaced):
    rows = {}
    for language, own in reviews.groupby("language"):
        words = sum(
            sum(any(c.isalnum() for c in part) for part in text.split())
            for text in own["text"]
        )
        characters = sum(
            len("".join(unicodedata.normalize("NFC", text).split()))
            for text in own["text"]
        )
        read = [min(count + 2, limit) for count in own["tokens"]]
        rows[language] = {
            "tokens_per_word": np.nan
            if language in unspaced
            else own["tokens"].sum() / words,
            "tokens_per_character": own["tokens"].sum() / characters,
            "unknown": own["unknown"].sum() / own["tokens"].sum(),
            "truncated": np.mean([count + 2 > limit for count in own["tokens"]]),
            "usd_per_1000": np.mean(read) * price / 1000,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").sort_index()
    return table.assign(
        premium=table["usd_per_1000"] / table["usd_per_1000"][reference]
    )


def same_bill(got, want, why):
    assert isinstance(got, pd.DataFrame), f"{why}: return a frame, got {type(got)}"
    assert list(got.index) == list(want.index), f"{why}: the languages differ"
    for column in want:
        assert column in got, f"{why}: column {column} is missing"
        assert np.allclose(got[column].astype(float), want[column], equal_nan=True), (
            f"{why}: {column} is {got[column].tolist()}, expected"
            f" {want[column].tolist()}"
        )


for seed, n, limit, reference, unspaced in (
    (1, 60, 40, "en", ("ja",)),
    (2, 200, 16, "fr", ("ja", "th")),
    (3, 90, 512, "ja", ()),
):
    table = drawn_reviews(seed, n)
    given = table.copy()
    want = expected_bill(table, 1.5, limit, reference, unspaced)
    call = functools.partial(
        token_bill, max_tokens=limit, reference=reference, unspaced=unspaced
    )
    same_bill(call(table, 1.5), want, f"{n} reviews, at most {limit} tokens")
    assert table.equals(given), "the argument was changed"
    decomposed = table.assign(
        text=table["text"].map(lambda text: unicodedata.normalize("NFD", text))
    )
    same_bill(call(decomposed, 1.5), want, "accents as code points of their own")
    same_bill(call(table.sample(frac=1, random_state=0), 1.5), want, "other order")
    same_bill(call(pd.concat([table, table]), 1.5), want, "every review twice")
    spaced = table.assign(text="  " + table["text"].str.replace(" ", " \t\n"))
    same_bill(call(spaced, 1.5), want, "more white space")
    dearer = want.assign(usd_per_1000=want["usd_per_1000"] * 3)
    same_bill(call(table, 4.5), dearer, "three times the price")
edge = four_reviews.assign(tokens=[6, 7, 6, 6])
assert token_bill(edge, 1.0, 8)["truncated"].tolist() == [1, 0, 0], (
    "a review of 6 tokens and 2 special ones fits into 8"
)
try:
    token_bill(four_reviews, 2.0, 8, reference="it")
except ValueError:
    pass
else:
    raise AssertionError("no review in the reference language: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### What our reviews cost
#
# Two vocabularies: the word pieces of the multilingual encoder, and plain UTF-8 bytes, which byte-level models read. At 0.10 USD for a million tokens and 128 tokens a review:

# %%
sample = test.groupby("language").head(40)
tokenizers = {"word pieces": multilingual.pieces, "bytes": lambda text: text.encode()}
bills = {}
for name, tokenize in tokenizers.items():
    tokens = sample["text"].map(tokenize)
    counted = sample.assign(
        tokens=tokens.map(len), unknown=tokens.map(lambda t: list(t).count("<unk>"))
    )
    bills[name] = token_bill(counted, usd_per_million_tokens=0.10, max_tokens=128)
pd.concat(bills, names=["tokenizer"]).round(3)

# %% [markdown]
# The word pieces were learnt on all five languages and bill them nearly alike. In bytes, a Japanese character costs three: its reviews, which are the shortest in characters, become the dearest, and most of what is cut is Japanese. The number per word says nothing of this, because there is none.

# %% [markdown]
# ### Vectors
#
# The encoder reads all five languages into the same 512 dimensions, so that a head can be trained in one language and asked in another. Each text is read once.

# %%
vectors = {
    name: multilingual.embed(rows["text"].tolist())
    for name, rows in {"train": train, "test": test}.items()
}
{name: array.shape for name, array in vectors.items()}

# %% [markdown]
# ## Task 2: labels from raters who disagree
#
# A majority vote makes three against two look like five against none, and lets a careless rater vote like a careful one. What a model can use is the *probability* of each class, given who said what. How good a rater is shows without any truth: by how he agrees with the others, class by class. That is the idea of Dawid and Skene (1979): probabilities of the classes give each rater's confusion matrix, and the matrices give new probabilities, in turn.
#
# Some raters of the panel below answer almost at random, some see everything one step brighter than it is.


# %% nbgrader="solution" grade_id="soft_labels"
def soft_labels(ratings: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Probability of each class of each review, from its raters' votes alone.

    Args:
        ratings: one vote a row, in any order: review_id, rater_id, rating (one of
            labels). A review has one vote or more; raters differ in how often they are
            right, and in the classes that they confuse. It is not changed.
        labels: the classes.

    Returns:
        One row per review, index review_id, ascending; columns labels, in their order;
        each row sums to 1, each value lies strictly between 0 and 1. The same votes give
        the same probabilities, whatever the order of the rows and the names of raters
        and reviews.

        Over simulated panels as below, the mean log loss against the true classes is
        asked to be at most .60. Majority votes, at .97 for the class and .015 for each
        other one, reach 1.15; shares of the votes, smoothed by half a vote, .70; who
        knows each rater's bias and noise comes to .43.
    """
    ### BEGIN SOLUTION
    ratings = ratings.sort_values(["review_id", "rater_id", "rating"])
    review, reviews = pd.factorize(ratings["review_id"], sort=True)
    rater = pd.factorize(ratings["rater_id"])[0]
    vote = pd.Index(labels).get_indexer(ratings["rating"])
    n_classes, said = len(labels), np.eye(len(labels))[vote]
    share = np.full((len(reviews), n_classes), 0.5)
    np.add.at(share, review, said)
    share /= share.sum(axis=1, keepdims=True)
    for _ in range(30):
        # Confusion of each rater: true class by vote, begun with a few votes of a
        # rater who is more often right than wrong.
        confusion = np.tile(np.eye(n_classes) * 2 + 1, (rater.max() + 1, 1, 1))
        np.add.at(confusion, rater, share[review][:, :, None] * said[:, None, :])
        confusion /= confusion.sum(axis=2, keepdims=True)
        score = np.tile(np.log(share.mean(axis=0)), (len(reviews), 1))
        np.add.at(score, review, np.log(confusion[rater, :, vote]))
        share = np.exp(score - score.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
    # Votes of one review err together where its text is ambiguous: a little less sure.
    share = 0.97 * share + 0.03 / n_classes
    return pd.DataFrame(
        share, index=pd.Index(reviews, name="review_id"), columns=list(labels)
    )
    ### END SOLUTION


# %% tags=["setup"]
CLASSES = ("negative", "neutral", "positive")


def panel(seed: int, n_reviews: int = 600) -> tuple[pd.DataFrame, pd.Series]:
    """Votes of a simulated panel, and the true class of each review."""
    rng = np.random.default_rng(seed)
    sentiment, cuts = rng.uniform(-1, 1, n_reviews), [-0.33, 0.33]
    noise = rng.permutation([0.15, 0.15, 0.2, 0.25, 0.25, 0.3, 0.9, 1.5, 1.5, 1.5])
    bias = rng.normal(0, 0.12, 10)
    bias[rng.integers(10)] += 0.35
    votes = []
    for review, value in enumerate(sentiment):
        for rater in rng.choice(10, rng.integers(2, 6), replace=False):
            seen = value + bias[rater] + noise[rater] * rng.normal()
            votes.append(
                (review, f"rater-{rater}", CLASSES[np.searchsorted(cuts, seen)])
            )
    true = pd.Series([CLASSES[np.searchsorted(cuts, value)] for value in sentiment])
    return pd.DataFrame(votes, columns=["review_id", "rater_id", "rating"]), true


def log_loss_of(probability: pd.DataFrame, true: pd.Series) -> float:
    """Mean of -log of the probability of the true class."""
    given = probability.loc[true.index, list(CLASSES)].to_numpy(float)
    return float(-np.log(given[np.arange(len(true)), true.map(CLASSES.index)]).mean())


# %%
votes, truth = panel(seed=1)
probability = soft_labels(votes, CLASSES)
majority = pd.crosstab(votes["review_id"], votes["rating"])[list(CLASSES)]
winner = np.eye(3)[majority.to_numpy().argmax(axis=1)] * 0.955 + 0.015
pd.Series(
    {
        "majority vote": log_loss_of(majority * 0 + winner, truth),
        "soft labels": log_loss_of(probability, truth),
    },
    name="log loss",
).round(3)

# %% nbgrader="test" grade_id="test_soft_labels" points=4
"""Probabilities, review by review, better than shares of votes."""
assert list(probability.columns) == list(CLASSES), (
    f"columns {list(probability.columns)}"
)
assert list(probability.index) == sorted(votes["review_id"].unique()), (
    "one row per review, ascending"
)
values = probability.to_numpy(float)
assert ((values > 0) & (values < 1)).all(), "each value lies strictly between 0 and 1"
assert np.allclose(values.sum(axis=1), 1), "each row sums to 1"
loss = log_loss_of(probability, truth)
assert loss < 0.68, (
    f"log loss {loss:.3f}: smoothed shares reach .66 on this panel. Does a careless"
    " rater's vote weigh as much as a careful one's?"
)
### BEGIN HIDDEN TESTS
losses, gaps = [], []
for seed in range(20, 26):
    drawn, true = panel(seed)
    given = drawn.copy()
    soft = soft_labels(drawn, CLASSES)
    assert drawn.equals(given), "the argument was changed"
    values = soft.to_numpy(float)
    assert ((values > 0) & (values < 1)).all() and np.allclose(values.sum(axis=1), 1)
    losses.append(log_loss_of(soft, true))
    sure = soft.max(axis=1)
    gaps.append(sure.mean() - (soft.idxmax(axis=1) == true).mean())
assert np.mean(losses) <= 0.60, (
    f"mean log loss {np.mean(losses):.3f}, at most .60 is asked: are raters weighed?"
)
assert np.mean(losses) > 0.36, (
    f"mean log loss {np.mean(losses):.3f} is better than the votes allow"
)
assert abs(np.mean(gaps)) < 0.15, (
    f"the likeliest class is given {np.mean(gaps):+.2f} more than it is right"
)
base = soft_labels(drawn, CLASSES)
for why, changed, back in (
    ("rows in another order", drawn.sample(frac=1, random_state=3), None),
    (
        "raters under other names",
        drawn.assign(rater_id="x" + drawn["rater_id"].str[::-1]),
        None,
    ),
    (
        "reviews under other names",
        drawn.assign(review_id="r" + (9999 - drawn["review_id"]).astype(str)),
        lambda soft: soft.set_axis(9999 - soft.index.str[1:].astype(int)).sort_index(),
    ),
):
    got = soft_labels(changed, CLASSES)
    got = back(got) if back else got
    assert list(got.index) == list(base.index), f"{why}: the reviews differ"
    assert np.allclose(got, base, atol=1e-6), f"{why}: the probabilities differ"
mirrored = dict(zip(CLASSES, CLASSES[::-1], strict=True))
turned = soft_labels(drawn.assign(rating=drawn["rating"].map(mirrored)), CLASSES)
assert np.allclose(turned[list(CLASSES[::-1])], base, atol=1e-6), (
    "negative and positive change their places: so must their probabilities"
)
five = drawn.replace({"rating": {"positive": "good", "negative": "bad"}})
named = soft_labels(five, ("bad", "neutral", "good"))
assert list(named.columns) == ["bad", "neutral", "good"], "classes by other names"
assert np.allclose(named, base, atol=1e-6), "classes by other names: values differ"
rng = np.random.default_rng(5)
loners = pd.DataFrame(
    {
        "review_id": np.arange(300),
        "rater_id": "only one",
        "rating": rng.choice(CLASSES, 300),
    }
)
values = soft_labels(loners, CLASSES).to_numpy(float)
assert np.isfinite(values).all() and np.allclose(values.sum(axis=1), 1), "one vote each"
### END HIDDEN TESTS

# %% [markdown]
# ### What our raters said
#
# The same function, on the ratings of the training reviews. The true classes judge it; nothing is trained on them.

# %%
ratings = corpus.ratings[corpus.ratings["review_id"].isin(train["review_id"])]
LABELS = reviews.LABELS
soft = soft_labels(ratings, LABELS).loc[train["review_id"]].to_numpy()
counts = pd.crosstab(ratings["review_id"], ratings["rating"]).loc[train["review_id"]]
votes_of_majority = np.eye(3)[counts[list(LABELS)].to_numpy().argmax(axis=1)]
true_class = train["label"].map(LABELS.index).to_numpy()
rows = np.arange(len(train))
pd.DataFrame(
    {
        name: {
            "accuracy": (given.argmax(axis=1) == true_class).mean(),
            "log loss": -np.log(given[rows, true_class]).mean(),
        }
        for name, given in {
            "majority vote": votes_of_majority * 0.955 + 0.015,
            "soft labels": soft,
        }.items()
    }
).T.round(3)

# %% [markdown]
# ## Two heads, trained on SageMaker
#
# `src/train.py` fits a logistic regression on vectors and probabilities, in AWS's scikit-learn container. The *champion* was trained when there were only English ratings, and answers other languages *zero-shot*. The *candidate* has ratings of each language.

# %%
aws = connect(lab="sentiment")
print(aws, aws.instance_type("training"), aws.instance_type("endpoint"))
work = Path(mkdtemp(prefix="sentiment-lab-"))
(work / "train").mkdir()
columns = [f"v{i}" for i in range(vectors["train"].shape[1])]
table = pd.concat(
    [
        train["language"],
        pd.DataFrame(soft, columns=[f"p_{name}" for name in LABELS]),
        pd.DataFrame(vectors["train"], columns=columns),
    ],
    axis=1,
)
table.to_csv(work / "train" / "rows.csv", index=False, float_format="%.5f")
train_uri = aws.upload(work / "train", "data/train")

# %%
from sagemaker.train import ModelTrainer, configs


def start_training(name: str, languages: str) -> str:
    """Start the training job of a head; returns the job's name."""
    prefix = f"{aws.prefix}{name}"
    ModelTrainer(
        training_image=aws.image("sklearn"),
        source_code=configs.SourceCode(source_dir="src", entry_script="train.py"),
        compute=configs.Compute(
            instance_type=aws.instance_type("training"), instance_count=1
        ),
        hyperparameters={"languages": languages},
        stopping_condition=configs.StoppingCondition(max_runtime_in_seconds=1800),
        output_data_config=configs.OutputDataConfig(
            s3_output_path=f"s3://{aws.bucket}/course/sentiment/models"
        ),
        base_job_name=prefix,
        sagemaker_session=aws.sdk_session(),
        role=aws.role,
    ).train(
        input_data_config=[
            configs.InputData(channel_name="train", data_source=train_uri)
        ],
        wait=False,
    )
    jobs = aws.sagemaker.list_training_jobs(
        NameContains=prefix, SortBy="CreationTime", SortOrder="Descending", MaxResults=1
    )
    return jobs["TrainingJobSummaries"][0]["TrainingJobName"]


jobs = {
    name: start_training(name, languages)
    for name, languages in {"champion": "en", "candidate": "all"}.items()
}

# %%
packages = {}
(work / "code").mkdir()
shutil.copy("src/inference.py", work / "code")
for name, job_name in jobs.items():
    job = deployment.wait_for_training(aws, job_name)
    artifact = aws.download(
        job["ModelArtifacts"]["S3ModelArtifacts"], work / f"{name}-trained.tar.gz"
    )
    shutil.unpack_archive(artifact, work / name, filter="data")
    print(name, (work / name / "metrics.json").read_text())
    archive = work / f"{name}.tar.gz"
    deployment.package_model(work / name, work / "code", archive)
    packages[name] = aws.upload(archive, f"models/{name}")

# %% [markdown]
# ## Task 3: a gate that no average can talk its way through
#
# A mean over languages lets four easy ones pay for a broken fifth, and a slice of forty reviews passes by luck. The gate asks each language for itself, and asks for evidence: the *lower* confidence bound of its accuracy must reach its floor. A language whose interval holds the floor has neither passed nor failed; it needs more labels.
#
# The bounds are Wilson's (1927), one-sided each. With *k* languages they shall hold all together, so each is computed at the level 1 − (1 − confidence) / *k*.


# %% nbgrader="solution" grade_id="release_gate"
def release_gate(
    results: pd.DataFrame, floors: dict[str, float], confidence: float = 0.95
) -> dict:
    """Decide on a release by its worst language.

    Args:
        results: one judged review a row: language (str), correct (bool). Any order.
        floors: by language, the accuracy that it must have. Each of them is gated.
        confidence: with which all lower bounds hold together, and all upper ones too.

    Returns:
        released (bool): every language of floors passes.
        worst (str): the language with the smallest lower bound less its floor; the
            first of them in alphabetical order.
        table: frame, index the languages of floors, ascending; columns n (int),
            accuracy, lower, upper (floats; Wilson's one-sided bounds) and verdict:
            "pass" if lower is at least the floor, "fail" if upper is below it, else
            "collect". A language without a result has accuracy NaN, bounds 0 and 1,
            and the verdict "collect".

    Raises:
        ValueError: results hold a language without a floor: it would go out ungated.
    """
    ### BEGIN SOLUTION
    if ungated := set(results["language"]) - set(floors):
        raise ValueError(f"languages without a floor: {sorted(ungated)}")
    z = stats.norm.isf((1 - confidence) / len(floors))
    rows = {}
    for language in sorted(floors):
        correct = results.loc[results["language"] == language, "correct"]
        n, floor, share, lower, upper = len(correct), floors[language], np.nan, 0.0, 1.0
        if n:
            share = correct.mean()
            middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
            half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
            half /= 1 + z**2 / n
            lower, upper = middle - half, middle + half
        verdict = "pass" if lower >= floor else "fail" if upper < floor else "collect"
        rows[language] = [n, share, lower, upper, verdict]
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["n", "accuracy", "lower", "upper", "verdict"]
    )
    slack = table["lower"] - pd.Series(floors)
    return {
        "released": bool((table["verdict"] == "pass").all()),
        "worst": str(slack.idxmin()),
        "table": table,
    }
    ### END SOLUTION


# %%
judged = pd.DataFrame(
    {
        "language": ["en"] * 400 + ["de"] * 400 + ["ja"] * 40,
        "correct": [True] * 360 + [False] * 40  # en: .90
        + [True] * 336 + [False] * 64  # de: .84
        + [True] * 36 + [False] * 4,  # ja: .90 of 40
    }
)  # fmt: skip
gate = release_gate(judged, {"en": 0.8, "de": 0.8, "ja": 0.8})
print("released:", gate["released"], "| worst:", gate["worst"])
gate["table"].round(4)

# %% nbgrader="test" grade_id="test_release_gate" points=4
"""Wilson's bounds at 1 - .05 / 3, three verdicts, and the slice that decides."""
gate = release_gate(judged, {"en": 0.8, "de": 0.8, "ja": 0.8})
table = gate["table"]
assert list(table.index) == ["de", "en", "ja"] and list(table["n"]) == [400, 400, 40]
assert np.allclose(table["lower"], [0.7972, 0.8635, 0.7554], atol=2e-4), (
    "lower bounds: .7972, .8635 and .7554 at a one-sided level of 1 - .05 / 3, got"
    f" {table['lower'].round(4).tolist()}"
)
assert list(table["verdict"]) == ["collect", "pass", "collect"], (
    "the intervals of German and Japanese hold .8: more labels are needed; got"
    f" {table['verdict'].tolist()}"
)
assert gate["released"] is False and gate["worst"] == "ja", (
    "two languages have not passed; Japanese has the lowest bound, whatever its mean:"
    f" got {gate['released']}, {gate['worst']}"
)
got = release_gate(judged, {"en": 0.95, "de": 0.75, "ja": 0.7})
assert list(got["table"]["verdict"]) == ["pass", "fail", "pass"], (
    "floors are each one's"
)
assert got["worst"] == "en", "worst: the smallest lower bound less the language's floor"
assert release_gate(judged, {"en": 0.8, "de": 0.75, "ja": 0.7})["released"] is True
### BEGIN HIDDEN TESTS
from statsmodels.stats import proportion

for seed in range(8):
    rng = np.random.default_rng(seed)
    names = sorted(rng.choice(["ar", "de", "en", "es", "fr", "it", "ja"], 5, False))
    sizes = {str(name): int(rng.integers(1, 900)) for name in names}
    floors = {name: float(rng.uniform(0.6, 0.9)) for name in sizes}
    results = pd.DataFrame(
        [
            (name, bool(rng.random() < floors[name] + 0.06))
            for name, size in sizes.items()
            for _ in range(size)
        ],
        columns=["language", "correct"],
    ).sample(frac=1, random_state=seed + 1)
    floors["zh"] = 0.5  # without a result
    confidence = float(rng.choice([0.8, 0.95, 0.99]))
    got = release_gate(results, floors, confidence)
    table = got["table"]
    assert list(table.index) == [*sizes, "zh"], "one row for each language of floors"
    slack = {}
    for name, floor in floors.items():
        own = results.loc[results["language"] == name, "correct"]
        low, high = 0.0, 1.0
        if len(own):
            alpha = 2 * (1 - confidence) / len(floors)
            low, high = proportion.proportion_confint(
                own.sum(), len(own), alpha, "wilson"
            )
        slack[name] = low - floor
        row = table.loc[name]
        assert row["n"] == len(own), f"{name}: n is {row['n']}, expected {len(own)}"
        assert np.allclose([row["lower"], row["upper"]], [low, high]), (
            f"{name}, {len(own)} rows, confidence {confidence}, {len(floors)} languages:"
            f" bounds {row['lower']:.4f}, {row['upper']:.4f}, expected {low:.4f},"
            f" {high:.4f}"
        )
        want = "pass" if low >= floor else "fail" if high < floor else "collect"
        assert row["verdict"] == want, f"{name}: expected {want}, got {row['verdict']}"
    assert np.isnan(table.loc["zh", "accuracy"]), "no result: accuracy is NaN"
    assert got["worst"] == min(slack, key=slack.get), f"worst is {got['worst']}"
    assert got["released"] is False, "a language without a result does not pass"
    passing = {name: table.loc[name, "lower"] - 1e-9 for name in sizes}
    fresh = release_gate(results, passing, 1 - (1 - confidence) * 5 / 6)
    assert fresh["released"] is True, "every lower bound reaches its floor: release"
    assert type(got["released"]) is bool, "released must be a bool"
easy = pd.concat([judged, judged[judged["language"] == "en"].assign(language="fr")] * 9)
assert not release_gate(easy.query("language != 'de'"), dict.fromkeys(
    ("en", "fr", "ja"), 0.89))["released"], "easy languages must not pay for another"  # fmt: skip
tie = pd.DataFrame({"language": ["b", "a"] * 50, "correct": True})
assert release_gate(tie, {"b": 0.5, "a": 0.5})["worst"] == "a", "ties: alphabetical"
try:
    release_gate(judged, {"en": 0.8, "de": 0.8})
except ValueError:
    pass
else:
    raise AssertionError("ja has results and no floor: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### The candidate at the gate
#
# A floor for each language: what the champion reaches there, less two points that nobody would notice.

# %%
correct = {}
for name in jobs:
    head = joblib.load(work / name / "model.joblib")
    classes = json.loads((work / name / "classes.json").read_text())
    guess = np.array(classes)[head.predict(vectors["test"])]
    correct[name] = guess == test["label"].to_numpy()
by_language = pd.DataFrame(correct).groupby(test["language"].to_numpy()).mean()
floors = (by_language["champion"] - 0.02).to_dict()
judged = pd.DataFrame({"language": test["language"], "correct": correct["candidate"]})
gate = release_gate(judged, floors)
print(f"released: {gate['released']}, worst: {gate['worst']}")
by_language.join(gate["table"].drop(columns="accuracy")).round(3)

# %% [markdown]
# *Collect* is what a gate says most often: with a few hundred reviews a language, an interval is some ten points wide. The means of the table look like a decision and are none. More labels are one way on; letting customers decide, in an experiment, is another.

# %% [markdown]
# ## An endpoint with two variants
#
# Both models serve behind one endpoint, as *production variants* of equal weight. SageMaker draws a variant for each **request**; `TargetVariant` names one, and is how a user keeps his.

# %%
IMAGE = aws.image("sklearn", "inference")


def create_model(name: str, head: str, **faults: str) -> str:
    """A model of one of the heads; `faults` are for the game day further down."""
    model = aws.name(name)
    environment = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "RELEASE": name,
    }
    aws.sagemaker.create_model(
        ModelName=model,
        ExecutionRoleArn=aws.role,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": packages[head],
            "Environment": environment | faults,
        },
    )
    return model


def variant(name: str, model: str, instances: int = 1) -> dict:
    """A production variant of weight 1."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": aws.instance_type("endpoint"),
        "InitialInstanceCount": instances,
        "InitialVariantWeight": 1.0,
    }


# %%
endpoint = aws.name("reviews")
experiment = aws.name("ab")
aws.sagemaker.create_endpoint_config(
    EndpointConfigName=experiment,
    ProductionVariants=[variant(name, create_model(name, name)) for name in jobs],
)
aws.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=experiment)
serving = deployment.wait_in_service(aws, endpoint)
{each["VariantName"]: each["CurrentWeight"] for each in serving["ProductionVariants"]}

# %% [markdown]
# The encoder runs where the reviews come in; the endpoint is sent vectors. A failed request is a row like any other.


# %%
def ask(review: int, target: str | None = None) -> dict:
    """Send one test review to the endpoint, and time it."""
    vector = vectors["test"][review].round(5).tolist()
    options = {"TargetVariant": target} if target else {}
    began, answer = time.perf_counter(), {"label": None, "release": None}
    try:
        body = deployment.invoke(
            aws,
            endpoint,
            json.dumps({"vectors": [vector]}),
            content_type="application/json",
            **options,
        )
        answer = json.loads(body)[0]
    except ClientError:  # a 5xx of the model, botocore's ModelError
        pass
    return {
        "review": review,
        "release": answer["release"],
        "agrees": answer["label"] == test["label"].iloc[review],
        "failed": answer["label"] is None,
        "seconds": time.perf_counter() - began,
    }


ask(0), ask(0, target="candidate")

# %% [markdown]
# ## Task 4: before the first user is drawn
#
# ### 4a. How many users, and for how long
#
# The difference that is worth finding, the level and the power fix the size. A share other than one half makes the experiment longer. Weekdays and weekends differ, so it runs for whole weeks. A test that is looked at while it runs needs more users than one that is looked at once: `inflation` times as many.


# %% nbgrader="solution" grade_id="experiment_plan"
def experiment_plan(
    p0: float,
    p1: float,
    treated_share: float,
    users_per_day: int,
    alpha: float = 0.05,
    power: float = 0.8,
    inflation: float = 1.0,
) -> dict[str, int]:
    """Users of each arm, and days, of a two-sided z test on two proportions.

    The variance of a proportion is its own, p(1 - p), in both arms (not pooled). The
    chance that the test finds a difference of the wrong sign is neglected.

    Args:
        p0: rate of the control that is expected.
        p1: rate of the treatment that is to be found.
        treated_share: share of the users in the treatment, in (0, 1).
        users_per_day: new users a day, both arms together.
        alpha: two-sided level.
        power: probability of finding p1.
        inflation: how many times the users of a test with one look are needed.

    Returns:
        control, treatment: users of each arm, each rounded up.
        days: the smallest whole number of weeks, in days, with so many users.

    Raises:
        ValueError: the rates are equal or out of (0, 1), or treated_share is.
    """
    ### BEGIN SOLUTION
    if p0 == p1 or not all(0 < value < 1 for value in (p0, p1, treated_share)):
        raise ValueError(f"nothing to find between {p0} and {p1} at {treated_share}")
    z = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    variance = p0 * (1 - p0) / (1 - treated_share) + p1 * (1 - p1) / treated_share
    users = inflation * z**2 * variance / (p1 - p0) ** 2
    control, treatment = users * (1 - treated_share), users * treated_share
    weeks = int(np.ceil(np.ceil(users) / users_per_day / 7))
    return {
        "control": int(np.ceil(control)),
        "treatment": int(np.ceil(treatment)),
        "days": 7 * weeks,
    }
    ### END SOLUTION


# %%
experiment_plan(0.20, 0.22, treated_share=0.5, users_per_day=1500)

# %% nbgrader="test" grade_id="test_experiment_plan" points=2
"""6,507 users an arm for .20 against .22, and whole weeks."""
plan = experiment_plan(0.20, 0.22, treated_share=0.5, users_per_day=1500)
assert abs(plan["control"] - 6507) <= 1 and abs(plan["treatment"] - 6507) <= 1, (
    f"6,507 users in each arm find .20 against .22 with power .8, got {plan}"
)
assert plan["days"] == 14, f"13,014 users at 1,500 a day take two weeks, got {plan}"
uneven = experiment_plan(0.20, 0.22, treated_share=0.1, users_per_day=1500)
assert np.isclose(uneven["control"] / uneven["treatment"], 9, atol=0.01), (
    f"a tenth of the users is treated, got {uneven}"
)
assert 37000 < uneven["control"] + uneven["treatment"] < 37400, (
    f"an uneven split needs 2.9 times the users, got {uneven}"
)
### BEGIN HIDDEN TESTS
for seed in range(12):
    rng = np.random.default_rng(seed)
    p0, share = float(rng.uniform(0.05, 0.9)), float(rng.uniform(0.05, 0.95))
    p1 = float(np.clip(p0 + rng.choice([-1, 1]) * rng.uniform(0.01, 0.04), 0.01, 0.99))
    alpha, power = float(rng.choice([0.01, 0.05, 0.1])), float(rng.uniform(0.7, 0.95))
    inflation, per_day = float(rng.choice([1.0, 1.5])), int(rng.integers(50, 5000))
    got = experiment_plan(p0, p1, share, per_day, alpha, power, inflation)
    counts = np.array([got["control"], got["treatment"]]) / inflation
    error = np.sqrt(np.sum(np.array([p0 * (1 - p0), p1 * (1 - p1)]) / counts))
    reached = stats.norm.cdf(abs(p1 - p0) / error - stats.norm.isf(alpha / 2))
    assert abs(reached - power) < 2e-3, (
        f"{p0:.2f} against {p1:.2f}, {share:.0%} treated, alpha {alpha}, inflation"
        f" {inflation}: power {reached:.3f}, planned {power:.3f}"
    )
    total = sum(counts) * inflation
    assert np.isclose(got["treatment"] / total, share, atol=0.01), "the share treated"
    assert got["days"] % 7 == 0 and (got["days"] - 7) * per_day < total, "whole weeks"
    assert got["days"] * per_day >= total - 2, "too few days for so many users"
    turned = experiment_plan(p1, p0, 1 - share, per_day, alpha, power, inflation)
    assert abs(turned["control"] - got["treatment"]) <= 1, "arms change their places"
for bad in ((0.2, 0.2, 0.5), (0.0, 0.1, 0.5), (0.2, 1.0, 0.5), (0.2, 0.3, 0.0)):
    try:
        experiment_plan(*bad, 100)
    except ValueError:
        continue
    raise AssertionError(f"{bad}: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### 4b. Is the traffic split as planned?
#
# A *sample ratio mismatch* is the cheapest alarm that an experiment has: 50.8 % where 50 % were planned, of enough users, says that something chooses who is counted, and then no metric of the experiment can be believed (Fabijan et al., 2019). The test is Pearson's χ² on what was *drawn*. Users are drawn; requests are what they do, and a heavy user makes hundreds. A user who turns up in two arms has seen both models: he counts for none, and already one of them says that the assignment does not stick.


# %% nbgrader="solution" grade_id="ratio_mismatch"
def ratio_mismatch(
    requests: pd.DataFrame, weights: dict[str, float], alpha: float = 0.001
) -> dict:
    """Compare the split of an experiment's users with the planned one.

    Args:
        requests: one request a row, in any order; columns user_id and variant (str).
        weights: planned weight of each variant, in any unit.
        alpha: level of the test.

    Returns:
        users: number of users of each variant in weights, those who met one variant
            only.
        crossed (int): number of users who met more than one.
        p_value (float): of Pearson's chi-squared test of users against weights.
        trusted (bool): no user crossed, and p_value is at least alpha.

    Raises:
        ValueError: a request went to a variant without a weight.
    """
    ### BEGIN SOLUTION
    if strangers := set(requests["variant"]) - set(weights):
        raise ValueError(f"variants without a weight: {sorted(strangers)}")
    pairs = requests[["user_id", "variant"]].drop_duplicates()
    met = pairs.groupby("user_id")["variant"].agg(["size", "first"])
    loyal = met.loc[met["size"] == 1, "first"]
    users = {name: int((loyal == name).sum()) for name in weights}
    observed, planned = np.array([*users.values()]), np.array([*weights.values()])
    expected = observed.sum() * planned / planned.sum()
    p_value = float(stats.chisquare(observed, expected).pvalue)
    crossed = int((met["size"] > 1).sum())
    return {
        "users": users,
        "crossed": crossed,
        "p_value": p_value,
        "trusted": bool(crossed == 0 and p_value >= alpha),
    }
    ### END SOLUTION


# %%
hundred = pd.DataFrame(
    {
        "user_id": [*range(60), *range(60, 100), *([0] * 500)],
        "variant": ["a"] * 60 + ["b"] * 40 + ["a"] * 500,
    }
)
ratio_mismatch(hundred, {"a": 1, "b": 1})

# %% nbgrader="test" grade_id="test_ratio_mismatch" points=3
"""Users are counted, not requests; a user in both arms is no evidence for either."""
got = ratio_mismatch(hundred, {"a": 1, "b": 1})
assert got["users"] == {"a": 60, "b": 40}, (
    f"60 and 40 users, one of them with 501 requests; got {got['users']}"
)
assert np.isclose(got["p_value"], 0.0455, atol=1e-4) and got["trusted"] is True, (
    f"60 to 40 has a p-value of .0455: no alarm at .001; got {got}"
)
assert np.isclose(ratio_mismatch(hundred, {"a": 60, "b": 40})["p_value"], 1), (
    "weights come in any unit: 60 to 40 is what was planned"
)
crossing = pd.concat([hundred, pd.DataFrame({"user_id": [3], "variant": ["b"]})])
got = ratio_mismatch(crossing, {"a": 1, "b": 1})
assert got["crossed"] == 1 and got["users"] == {"a": 59, "b": 40}, (
    f"user 3 met both variants and counts for none; got {got}"
)
assert got["trusted"] is False, "one user who crossed: the assignment does not stick"
### BEGIN HIDDEN TESTS
for seed, weights in (
    (1, {"a": 1.0, "b": 1.0}),
    (2, {"old": 9, "new": 1}),
    (3, {"x": 0.5, "y": 0.25, "z": 0.25}),
    (4, {"a": 2.0, "b": 2.0, "idle": 0.5}),
):
    rng = np.random.default_rng(seed)
    names, n = list(weights), 3000
    share = np.array([*weights.values()]) / sum(weights.values())
    arm = rng.choice(len(names) - (seed == 4), n, p=None if seed == 4 else share)
    crossed = rng.random(n) < (0.01 if seed % 2 else 0)
    rows = [(f"u{i}", names[arm[i]]) for i in range(n)]
    rows += [(f"u{i}", names[arm[i] - 1]) for i in np.flatnonzero(crossed)]
    heavy = rng.zipf(1.6, n).clip(max=300)
    rows += [rows[i] for i in range(n) for _ in range(heavy[i])]
    log = pd.DataFrame(rows, columns=["user_id", "variant"])
    log = log.sample(frac=1, random_state=seed)
    counts = np.bincount(arm[~crossed], minlength=len(names))
    want = stats.chisquare(counts, counts.sum() * share).pvalue
    got = ratio_mismatch(log, weights)
    assert got["users"] == dict(zip(names, counts.tolist(), strict=True)), (
        f"{weights}: users {got['users']}, expected {counts.tolist()}"
    )
    assert got["crossed"] == crossed.sum() and np.isclose(got["p_value"], want), (
        f"{weights}: expected {crossed.sum()} crossed, p {want:.4g}, got {got}"
    )
    assert got["trusted"] is bool(not crossed.any() and want >= 0.001), f"{got}"
    scaled = ratio_mismatch(log, {name: 37 * value for name, value in weights.items()})
    assert np.isclose(scaled["p_value"], want), "weights in another unit"
    numbered = log.assign(user_id=log["user_id"].str[1:].astype(int))
    assert ratio_mismatch(numbered, weights) == got, "ids may be numbers"
trusted = ratio_mismatch(hundred, {"a": 1, "b": 1}, alpha=0.05)["trusted"]
assert trusted is False, "alpha is a parameter"
try:
    ratio_mismatch(hundred, {"a": 1.0})
except ValueError:
    pass
else:
    raise AssertionError("variant b has no weight: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### The traffic of the experiment
#
# First as SageMaker splits it: by request. Then by user, with a hash of the user's id that names the variant.

# %%
N_USERS = {"smoke": 160, "lab": 2400, "full": 24000}[SCALE]
rng = np.random.default_rng(SEED)
users = pd.DataFrame({"user_id": rng.integers(0, N_USERS, 3 * N_USERS // 2)})
users["review"] = rng.integers(0, len(test), len(users))
weights = {"champion": 1.0, "candidate": 1.0}
few = pd.DataFrame({"user_id": np.repeat(range(20), 3)})
few["review"] = rng.integers(0, len(test), len(few))
with ThreadPoolExecutor(4) as pool:
    drawn = list(pool.map(ask, few["review"]))
by_request = few.assign(variant=[answer["release"] for answer in drawn])
ratio_mismatch(by_request, weights)

# %%
users["variant"] = assign(users["user_id"], weights, salt=f"sentiment-{SEED}")
with ThreadPoolExecutor(4) as pool:
    answers = pd.DataFrame(pool.map(ask, users["review"], users["variant"]))
log = pd.concat([users.drop(columns="review"), answers], axis=1)
assert (log["variant"] == log["release"]).all(), "a user met another variant"
ratio_mismatch(log, weights)

# %% [markdown]
# Users who crossed make the first log worthless, whatever its ratio: what they said of one model they may have said because of the other. The second one can be read.

# %% [markdown]
# ## Task 5: an experiment that is looked at twenty times
#
# Somebody looks every day, and stops when p < .05: with twenty looks, one in four experiments without any difference finds a winner (Armitage et al., 1969). Dividing α by twenty mends that and throws away a quarter of the power. *Group-sequential* boundaries know that successive looks share their data, and spend the level over the looks exactly: Pocock's constant one (1977), O'Brien and Fleming's (1979), which asks for much at first and almost nothing extra at the end, or any spending function (Lan and DeMets, 1983). Choose one; the tests accept what holds the level, has the power and stops early when it can.
#
# The plan for this lab: 20 looks at equal steps, and 1.5 times the users of a test with a single look. A method that stays valid for *any* number of looks, such as a mixture SPRT, has its place elsewhere: at this size its power is about .72, no more than Bonferroni's.
#
# ### 5a. The bounds
#
# The lesson on A/B tests has them in `helpers.experiments`; here you derive your own, for a test in which the first looks may not stop, so that no decision falls before a whole week is over.


# %% nbgrader="solution" grade_id="stopping_bounds"
def stopping_bounds(
    n_looks: int = 20, alpha: float = 0.05, first_look: int = 1
) -> np.ndarray:
    """Bounds of a two-sided group-sequential test: stop at look k when |z| reaches them.

    Looks are at equal steps of the users, so that without a difference z at look k is
    the sum of k independent standard normal numbers over the root of k.

    Args:
        n_looks: planned number of looks, at least 1.
        alpha: probability that any look stops when there is no difference. The tests
            allow 1.2 alpha.
        first_look: the first look that may stop, from 1 to n_looks. Those before it,
            of a week that is not over, have the bound infinity and spend nothing: what
            they save belongs to the others.

    Returns:
        One bound for each look, positive, shape (n_looks,). With 1.5 times the users at
        which a single look has power .8 at alpha, the whole test has at least that. Of
        20 looks, all of which may stop, an effect three times as large as the planned
        one needs no more than 10 in the mean.
    """
    ### BEGIN SOLUTION
    time = np.arange(1, n_looks + 1) / n_looks
    # Lan and DeMets' spending function of the O'Brien-Fleming kind.
    spent = 4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(time))
    spent[: first_look - 1] = 0
    # Density of the score z sqrt(time) among the experiments that still run.
    score = np.linspace(-6, 6, 4001)
    step, before, bounds = score[1] - score[0], 0.0, []
    density = increment = stats.norm.pdf(score, scale=np.sqrt(1 / n_looks))
    for look in range(n_looks):
        tail = 2 * np.cumsum(density[:2000]) * step
        edge = -np.interp(spent[look] - before, tail, score[:2000])
        may_stop = look + 1 >= first_look
        bounds.append(edge / np.sqrt(time[look]) if may_stop else np.inf)
        running = np.where(np.abs(score) < edge, density, 0)
        density = signal.fftconvolve(running, increment, mode="same") * step
        before = spent[look]
    return np.array(bounds)
    ### END SOLUTION


# %%
bounds = stopping_bounds(n_looks=20, alpha=0.05)
pd.Series(bounds, index=range(1, 21), name="bound").round(2).loc[[1, 5, 10, 15, 20]]

# %% nbgrader="test" grade_id="test_stopping_bounds" points=4
"""Twenty bounds that hold the level together."""
bounds = np.asarray(stopping_bounds(n_looks=20, alpha=0.05), dtype=float)
assert bounds.shape == (20,) and (bounds > 0).all(), "one positive bound for each look"
assert np.isinf(stopping_bounds(20, 0.05, first_look=7)[:6]).all(), (
    "looks 1 to 6 may not stop: their bounds are infinite"
)
assert np.isclose(stopping_bounds(1, 0.05)[0], 1.96, atol=0.05), (
    "with a single look it is the ordinary z test"
)


### BEGIN HIDDEN TESTS
def z_at_looks(n_looks, drift, seed, n=40_000):
    """z of n experiments at each look; drift is the mean of z at the last one."""
    steps = np.random.default_rng(seed).normal(size=(n, n_looks))
    time = np.arange(1, n_looks + 1) / n_looks
    return steps.cumsum(axis=1) / np.sqrt(np.arange(1, n_looks + 1)) + drift * np.sqrt(
        time
    )


for seed, (n_looks, alpha, first_look) in enumerate(
    ((20, 0.05, 1), (10, 0.05, 1), (5, 0.1, 1), (20, 0.01, 1), (1, 0.05, 1),
     (2, 0.05, 1), (20, 0.05, 7), (12, 0.1, 6), (8, 0.05, 8))
):  # fmt: skip
    bound = np.asarray(stopping_bounds(n_looks, alpha, first_look), dtype=float)
    assert bound.shape == (n_looks,), f"{n_looks} looks, bounds {bound.shape}"
    assert (bound > 0).all() and np.isinf(bound[: first_look - 1]).all(), (
        f"no look before look {first_look} may stop: {bound}"
    )
    if first_look == n_looks:
        assert np.isclose(bound[-1], stats.norm.isf(alpha / 2), atol=0.05), (
            f"a single look that may stop has the whole level, got {bound[-1]:.2f}"
        )
    crossed = np.abs(z_at_looks(n_looks, 0.0, seed)) >= bound
    false = crossed.any(axis=1).mean()
    assert false <= 1.2 * alpha, (
        f"{n_looks} looks at alpha {alpha}: {false:.1%} of the experiments without any"
        " difference have a winner. Does every look spend the whole level?"
    )
    fixed = stats.norm.isf(alpha / 2) + stats.norm.ppf(0.8)
    z = z_at_looks(n_looks, fixed * np.sqrt(1.5), seed + 50)
    found = (np.abs(z) >= bound).any(axis=1).mean()
    assert found >= 0.8, (
        f"{n_looks} looks at alpha {alpha}: power {found:.1%} at 1.5 times the users of"
        " a single look. Successive looks share their data: the bounds may be lower"
    )
    if n_looks == 20 and first_look == 1:
        early = np.abs(z_at_looks(20, 3 * fixed * np.sqrt(1.5), seed + 90)) >= bound
        first = np.where(early.any(axis=1), early.argmax(axis=1) + 1, 20).mean()
        assert first <= 10, (
            f"three times the planned effect is noticed at look {first:.1f} of 20: a"
            " test that only looks at the end lets harm go on"
        )
### END HIDDEN TESTS

# %% [markdown]
# ### 5b. The verdicts
#
# Counts come in, a verdict comes out at each look, and none of them may know a later look. An experiment that has stopped stays stopped: the winner of day 6 is not taken back on day 9.


# %% nbgrader="solution" grade_id="sequential_verdicts"
def sequential_verdicts(looks, bounds) -> list[str]:
    """What each look at a running experiment says.

    Args:
        looks: cumulative counts at the looks so far, shape (k, 4), k at least 1: users
            of a, successes of a, users of b, successes of b.
        bounds: bound of |z| at each planned look, shape (n_looks,), n_looks >= k. z is
            the difference of the rates over its standard error under equal rates
            (pooled); it is 0 when neither arm, or every user of both, succeeded.

    Returns:
        One verdict per look, each from that look and those before it: "continue" while
        |z| has not reached its bound; from the first look that reaches it on "a" or
        "b", the arm with the higher rate at that look; "no difference" at look n_looks
        of an experiment that never stopped.

    Raises:
        ValueError: there are more looks than bounds, or a count falls from one look to
            the next: then the counts are not cumulative.
    """
    ### BEGIN SOLUTION
    looks, bounds = np.asarray(looks, dtype=float), np.asarray(bounds, dtype=float)
    if len(looks) > len(bounds) or (np.diff(looks, axis=0) < 0).any():
        raise ValueError("looks must be planned ones, with cumulative counts")
    n_a, a, n_b, b = looks.T
    pooled = (a + b) / (n_a + n_b)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    difference = b / n_b - a / n_a
    z = np.divide(difference, error, out=np.zeros(len(looks)), where=error > 0)
    verdicts = ["continue"] * len(looks)
    if len(looks) == len(bounds):
        verdicts[-1] = "no difference"
    stopped = np.flatnonzero(np.abs(z) >= bounds[: len(looks)])
    if len(stopped):
        first = stopped[0]
        winner = "b" if z[first] > 0 else "a"
        verdicts[first:] = [winner] * (len(looks) - first)
    return verdicts
    ### END SOLUTION


# %%
three_looks = [[100, 40, 100, 44], [200, 80, 200, 120], [300, 150, 300, 160]]
sequential_verdicts(three_looks, bounds=[4.0, 2.8, 2.3])

# %% nbgrader="test" grade_id="test_sequential_verdicts" points=3
"""A look that reaches its bound stops the experiment for good."""
got = sequential_verdicts(three_looks, bounds=[4.0, 2.8, 2.3])
assert got == ["continue", "b", "b"], (
    "z is 0.57, 4.00 and 0.82: the second look stops it, and the third takes nothing"
    f" back; got {got}"
)
assert sequential_verdicts(three_looks[:1], [4.0, 2.8, 2.3]) == ["continue"], (
    "the first of three planned looks, below its bound: the experiment goes on"
)
got = sequential_verdicts(three_looks, bounds=[9.0, 9.0, 9.0])
assert got == ["continue", "continue", "no difference"], f"never stopped: got {got}"
swapped = [[n_b, b, n_a, a] for n_a, a, n_b, b in three_looks]
assert sequential_verdicts(swapped, [4.0, 2.8, 2.3])[-1] == "a", "the other arm wins"
### BEGIN HIDDEN TESTS
OBRIEN_FLEMING = 2.126 / np.sqrt(np.arange(1, 21) / 20)


def drawn_looks(seed, rate_a, rate_b, users, n_looks=20):
    """Cumulative counts of two arms, `users` in each at the last look."""
    rng, per_look = np.random.default_rng(seed), users // n_looks
    n = per_look * np.arange(1, n_looks + 1)
    a = rng.binomial(per_look, rate_a, n_looks).cumsum()
    b = rng.binomial(per_look, rate_b, n_looks).cumsum()
    return np.stack([n, a, n, b], axis=1)


def last_verdicts(rate_a, rate_b, users, experiments, seed):
    return pd.Series(
        [
            sequential_verdicts(
                drawn_looks((seed, i), rate_a, rate_b, users), OBRIEN_FLEMING
            )[-1]
            for i in range(experiments)
        ]
    ).value_counts(normalize=True)


same = last_verdicts(0.8, 0.8, 6000, 1200, seed=3)
assert same.get("a", 0) + same.get("b", 0) <= 0.06, (
    f"equal rates: {1 - same['no difference']:.1%} of 1,200 experiments have a winner"
)
apart = last_verdicts(0.80, 0.83, int(2629 * 1.5), 500, seed=4)
assert apart.get("b", 0) >= 0.8 and apart.get("a", 0) < 0.01, (
    f".80 against .83: b wins {apart.get('b', 0):.1%} of 500 experiments"
)
for seed in range(40):
    rng = np.random.default_rng(seed)
    n_looks = int(rng.integers(2, 21))
    bound = np.sort(rng.uniform(1.2, 4.0, n_looks))[::-1]
    looks = drawn_looks(seed, 0.3, 0.3 + 0.02 * rng.normal(), 2000, n_looks)
    looks[:, :2] = np.ceil(looks[:, :2] * (1.0 if seed % 2 else 0.5)).astype(int)
    want, stopped = [], None
    for k, (n_a, a, n_b, b) in enumerate(looks):
        pooled = (a + b) / (n_a + n_b)
        error = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
        z = (b / n_b - a / n_a) / error if error else 0.0
        if stopped is None and abs(z) >= bound[k]:
            stopped = "b" if z > 0 else "a"
        last = k == n_looks - 1
        want.append(stopped or ("no difference" if last else "continue"))
    got = sequential_verdicts(looks, bound)
    assert list(got) == want, f"{n_looks} looks: got {got}, expected {want}"
    for k in range(1, n_looks):
        assert list(sequential_verdicts(looks[:k], bound)) == want[:k], (
            "a look's verdict changes with later looks"
        )
    assert list(sequential_verdicts(looks.tolist(), bound.tolist())) == want, "lists"
    turned = [{"a": "b", "b": "a"}.get(verdict, verdict) for verdict in want]
    assert list(sequential_verdicts(looks[:, [2, 3, 0, 1]], bound)) == turned, (
        "arms change their places, and the winner with them"
    )
empty = [[50, 0, 50, 0], [100, 0, 100, 0]]
assert sequential_verdicts(empty, [1.9, 1.9]) == ["continue", "no difference"], (
    "no success in either arm: z is 0"
)
full = [[50, 50, 50, 50], [100, 100, 100, 100]]
assert sequential_verdicts(full, [1.9, 1.9]) == ["continue", "no difference"]
for bad in (
    (three_looks, [3.0, 2.0]),
    ([[100, 40, 100, 44], [100, 45, 100, 40]], [3.0, 2.0]),
):
    try:
        sequential_verdicts(*bad)
    except ValueError:
        continue
    raise AssertionError(f"{bad}: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### The level, with your bounds
#
# A thousand experiments without any difference, looked at twenty times: how many have named a winner by each look? Once with p < .05 at each look, once with your bounds.

# %%
looks_at, users_per_look = 20, 150
steps = users_per_look * np.arange(1, looks_at + 1)
rng = np.random.default_rng(SEED)
arms = rng.binomial(users_per_look, 0.6, (1000, 2, looks_at)).cumsum(axis=2)
winners = {}
for name, own in {
    "p < .05 at each look": np.full(looks_at, 1.96),
    "your bounds": stopping_bounds(looks_at, 0.05),
}.items():
    told = [
        sequential_verdicts(np.stack([steps, a, steps, b], axis=1), own)
        for a, b in arms
    ]
    named = np.isin(np.array(told), ["a", "b"]).mean(axis=0)
    winners[name] = pd.Series(named, index=range(1, looks_at + 1))

# %%
plots.false_positives(winners)

# %% [markdown]
# ### The verdict on our experiment
#
# A user counts once, by his first review. The twenty looks are at equal steps of the users.

# %%
first = log.drop_duplicates("user_id").reset_index(drop=True)
agreed = first["agrees"] & ~first["failed"]
cumulative = {}
for name in weights:
    mine = first["variant"] == name
    cumulative[f"{name} users"] = mine.cumsum()
    cumulative[f"{name} agreed"] = (mine & agreed).cumsum()
edges = np.linspace(0, len(first), 21).astype(int)[1:] - 1
looks = pd.DataFrame(cumulative).iloc[edges].reset_index(drop=True)
verdicts = sequential_verdicts(looks.to_numpy(), stopping_bounds(20, 0.05))
looks.assign(verdict=verdicts).iloc[[0, 4, 9, 14, 19]]

# %%
stop = next((k for k, verdict in enumerate(verdicts) if verdict != "continue"), 19)
n_a, a, n_b, b = looks.iloc[stop]
gap = difference_interval(int(a), int(n_a), int(b), int(n_b))
names = {"a": "champion", "b": "candidate"}
print(f"stopped at look {stop + 1}: {names.get(verdicts[stop], verdicts[stop])}")
print(f"agreement {a / n_a:.3f} and {b / n_b:.3f}")
print(f"difference {gap.estimate:+.3f}, 95 % from {gap.low:+.3f} to {gap.high:+.3f}")

# %% [markdown]
# Two things to keep in mind. The interval is that of a test with one look: of an experiment that stopped early it is too short, and its middle too far from 0. And *no difference* means that this experiment, of this size, has found none: the plan of task 4 says what it could have found.

# %%
experiment_plan(
    p0=float(a / n_a),
    p1=float(a / n_a) + 0.03,
    treated_share=0.5,
    users_per_day=len(first),
    inflation=1.5,
)

# %% [markdown]
# ## Task 6: a canary that rolls itself back
#
# The winner of the experiment goes into service by `UpdateEndpoint`: a part of the traffic first, the rest after a *bake* without alarm. A canary of 10 % of 600 requests, at a fault that hits 1 % of them, sees no fault at all with probability .99⁶⁰ = .55, and is promoted.
#
# ### 6a. How long to bake, and how many faults to wait for
#
# One failed request rolls a healthy release back if its old rate of failures is not zero. So the alarm waits for *k* of them, and the bake is as long as it takes to tell the two rates apart. `WaitIntervalInSeconds` is at most 3,600.


# %% nbgrader="solution" grade_id="bake_plan"
def bake_plan(
    requests_per_minute: int,
    percent: int,
    healthy: float,
    faulty: float,
    detection: float = 0.95,
    false_alarm: float = 0.01,
) -> dict[str, int]:
    """Bake time of a canary, and the number of failures that rolls it back.

    Failures are independent. The canary has answered
    requests_per_minute * percent * minutes / 100 requests, rounded down, by then.

    Args:
        requests_per_minute: of the whole endpoint.
        percent: of the requests that go to the canary, a whole number.
        healthy: probability that a request to a healthy release fails.
        faulty: the same for a release that is to be rolled back, above healthy.
        detection: probability, at least, of rolling the faulty one back.
        false_alarm: probability, at most, of rolling the healthy one back.

    Returns:
        minutes: the smallest whole number, at most 60, at which a threshold exists.
        threshold: the smallest such one: failures in the whole bake, reached or
            exceeded, that roll back.

    Raises:
        ValueError: 60 minutes are not enough.
    """
    ### BEGIN SOLUTION
    for minutes in range(1, 61):
        n = requests_per_minute * percent * minutes // 100
        threshold = int(stats.binom.isf(false_alarm, n, healthy)) + 1
        while threshold > 0 and (
            stats.binom.sf(threshold - 2, n, healthy) <= false_alarm
        ):
            threshold -= 1
        if stats.binom.sf(threshold - 1, n, faulty) >= detection:
            return {"minutes": minutes, "threshold": threshold}
    raise ValueError(
        f"an hour of {percent} % of {requests_per_minute} requests a minute does not"
        f" tell {faulty} from {healthy}"
    )
    ### END SOLUTION


# %%
bake_plan(requests_per_minute=600, percent=10, healthy=0.0, faulty=0.01)

# %% nbgrader="test" grade_id="test_bake_plan" points=3
"""Long enough to see the fault, and not a failure too nervous."""
got = bake_plan(requests_per_minute=600, percent=10, healthy=0.0, faulty=0.01)
assert got == {"minutes": 5, "threshold": 1}, (
    "a healthy release never fails, so one failure is enough: 1 - .99^n reaches .95 at"
    f" n = 299, the canary has answered 300 after 5 minutes; got {got}"
)
got = bake_plan(requests_per_minute=600, percent=10, healthy=0.002, faulty=0.02)
assert got == {"minutes": 8, "threshold": 5}, (
    "480 requests: a healthy release fails 5 times with probability .003, a faulty one"
    f" at least 5 times with .96; got {got}"
)
### BEGIN HIDDEN TESTS
import math


def tail(k, n, p):
    """P(X >= k) of a binomial distribution, summed from its definition."""
    below = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k))
    return 1 - below


def brute_plan(rate, percent, healthy, faulty, detection, false_alarm):
    for minutes in range(1, 61):
        n = rate * percent * minutes // 100
        for k in range(1, n + 1):
            if tail(k, n, healthy) <= false_alarm:
                if tail(k, n, faulty) >= detection:
                    return {"minutes": minutes, "threshold": k}
                break
    return None


rng, unanswered = np.random.default_rng(12), 0
for _ in range(40):
    rate, percent = int(rng.integers(5, 300)), int(rng.integers(5, 51))
    healthy = float(rng.choice([0.0, 0.001, 0.005, 0.01]))
    faulty = healthy + float(rng.choice([0.02, 0.05, 0.1]))
    levels = (
        float(rng.choice([0.8, 0.95, 0.99])),
        float(rng.choice([0.001, 0.01, 0.05])),
    )
    want = brute_plan(rate, percent, healthy, faulty, *levels)
    arguments = f"{rate} a minute, {percent} %, {healthy} against {faulty}, {levels}"
    try:
        got = bake_plan(rate, percent, healthy, faulty, *levels)
    except ValueError:
        assert want is None, f"{arguments}: expected {want}, got a ValueError"
        unanswered += 1
        continue
    assert got == want, f"{arguments}: expected {want}, got {got}"
assert unanswered, "some of these canaries cannot be planned"
### END HIDDEN TESTS

# %% [markdown]
# ### 6b. The requests
#
# Failures are one of three ways to be worse. The new model may answer slowly, and it may answer promptly and wrong. CloudWatch knows, one value a minute or more:
#
# | Namespace | Metric | Value |
# |---|---|---|
# | `AWS/SageMaker` | `Invocation5XXErrors` | 1 for a request that was answered with 5xx, else 0 |
# | `AWS/SageMaker` | `ModelLatency` | of each request, in **microseconds** |
# | `Course/Sentiment` | `Agreement` | 1 if the answer agrees with the customer's later label, else 0; reported when the label comes |
#
# Each comes with the dimensions `EndpointName` and `VariantName` for both fleets together, and with `EndpointConfigName` added for the fleet of one configuration. Before the update, the new fleet has reported nothing; until the first labels come, it has no agreement. What an alarm makes of a minute without data is `TreatMissingData`.
#
# `rehearsal.rehearse` plays the canary stage with a release of your choice and evaluates your alarms as CloudWatch does: use it.


# %% nbgrader="solution" grade_id="canary_requests"
def canary_requests(service: dict, limits: dict) -> dict:
    """Alarms and update of a canary that rolls back on errors, latency or quality.

    Args:
        service: endpoint, variant, endpoint_config (str: the new configuration);
            requests_per_minute (int, 300 or more, of the whole endpoint); max_percent
            (int: the largest canary allowed); label_share (share of the requests that
            get a label, .2 or more); label_delay_minutes (int, at most 15).
        limits: error_share, p99_ms and agreement: the values at which a release is
            neither good nor bad. Good ones fail a tenth as often, are three times as
            fast and agree .1 more often; bad ones fail four times as often, twice as
            slow (p99), or agree .13 less often. Any one of these is bad.

    Returns:
        alarms: three requests of PutMetricAlarm, each on one metric (no metric math),
            with periods of whole minutes.
        update: a request of UpdateEndpoint: a CANARY by CAPACITY_PERCENT of at most
            max_percent, baked for at most an hour, that the three alarms roll back.

        Of the bad releases of each kind, 95 % are rolled back within the canary stage;
        of the good ones, at most 5 %.
    """
    ### BEGIN SOLUTION
    dimensions = [
        {"Name": "EndpointName", "Value": service["endpoint"]},
        {"Name": "VariantName", "Value": service["variant"]},
        {"Name": "EndpointConfigName", "Value": service["endpoint_config"]},
    ]
    common = {"Dimensions": dimensions, "TreatMissingData": "notBreaching"}
    above = {"ComparisonOperator": "GreaterThanThreshold"}
    failures = "Invocation5XXErrors"
    errors = {
        "AlarmName": f"{service['endpoint_config']}-errors",
        "Namespace": "AWS/SageMaker",
        "MetricName": failures,
        "Statistic": "Average",
        "Threshold": limits["error_share"],
        **above,
        **{"Period": 60, "EvaluationPeriods": 5, "DatapointsToAlarm": 3},
    }
    latency = {
        "AlarmName": f"{service['endpoint_config']}-latency",
        "Namespace": "AWS/SageMaker",
        "MetricName": "ModelLatency",
        "ExtendedStatistic": "p99",
        "Threshold": limits["p99_ms"] * 1000,
        **above,
        **{"Period": 60, "EvaluationPeriods": 5, "DatapointsToAlarm": 3},
    }
    quality = {
        "AlarmName": f"{service['endpoint_config']}-quality",
        "Namespace": "Course/Sentiment",
        "MetricName": "Agreement",
        "Statistic": "Average",
        "Threshold": limits["agreement"],
        "ComparisonOperator": "LessThanThreshold",
        **{"Period": 300, "EvaluationPeriods": 3, "DatapointsToAlarm": 3},
    }
    alarms = [alarm | common for alarm in (errors, latency, quality)]
    # Three periods of labels after the first has come, and some minutes to spare.
    bake = min(service["label_delay_minutes"] + 24, 60) * 60
    routing = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": service["max_percent"]},
        "WaitIntervalInSeconds": bake,
    }
    names = [{"AlarmName": alarm["AlarmName"]} for alarm in alarms]
    update = {
        "EndpointName": service["endpoint"],
        "EndpointConfigName": service["endpoint_config"],
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": 120,
            },
            "AutoRollbackConfiguration": {"Alarms": names},
        },
    }
    return {"alarms": alarms, "update": update}
    ### END SOLUTION


# %%
SERVICE = {
    "endpoint": "sentiment",
    "variant": "champion",
    "endpoint_config": "sentiment-2",
    "requests_per_minute": 600,
    "max_percent": 10,
    "label_share": 0.3,
    "label_delay_minutes": 10,
}
LIMITS = {"error_share": 0.02, "p99_ms": 150.0, "agreement": 0.75}
RELEASES = {
    "good": rehearsal.Release(),
    "5xx": rehearsal.Release(error_share=0.08),
    "slow": rehearsal.Release(slow_share=0.06),
    "wrong": rehearsal.Release(agreement=0.62),
}
plan = canary_requests(SERVICE, LIMITS)
for name, release in RELEASES.items():
    print(name, rehearsal.rehearse(SERVICE, plan["alarms"], plan["update"], release, 1))

# %% nbgrader="test" grade_id="test_canary_requests" points=5
"""Requests that AWS would take, and a rollback for each fault."""


def check_request(service_name: str, operation: str, request: dict) -> None:
    """Hold a request to botocore's model of the API."""
    model = botocore.session.get_session().get_service_model(service_name)
    shape = model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), f"{operation}: {report.generate_report()}"


def check_plan(plan: dict, service: dict) -> None:
    """The form of a plan: three alarms that AWS takes, a canary that they watch."""
    assert set(plan) == {"alarms", "update"}, f"keys alarms and update, got {set(plan)}"
    alarms, update = plan["alarms"], plan["update"]
    for alarm in alarms:
        check_request("cloudwatch", "PutMetricAlarm", alarm)
        statistics = {"Statistic", "ExtendedStatistic"} & set(alarm)
        assert len(statistics) == 1, f"one statistic each, got {sorted(statistics)}"
        assert alarm["Period"] % 60 == 0, "periods are whole minutes"
        seconds = alarm["Period"] * alarm["EvaluationPeriods"]
        assert seconds <= 86400, "CloudWatch evaluates at most a day"
    names = {alarm["AlarmName"] for alarm in alarms}
    assert len(names) == len(alarms) == 3, "three alarms with three names"
    check_request("sagemaker", "UpdateEndpoint", update)
    assert update["EndpointName"] == service["endpoint"], "another endpoint"
    assert update["EndpointConfigName"] == service["endpoint_config"], "another config"
    deployment = update["DeploymentConfig"]
    routing = deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "CANARY", f"a canary, not {routing['Type']}"
    wait = routing["WaitIntervalInSeconds"]
    assert 0 < wait <= 3600, f"the bake is an hour at most, got {wait} s"
    size = routing["CanarySize"]
    assert size["Type"] == "CAPACITY_PERCENT", f"a share of the capacity, got {size}"
    assert 1 <= size["Value"] <= service["max_percent"], (
        f"a canary of 1 to {service['max_percent']} %, got {size['Value']}"
    )
    watched = deployment["AutoRollbackConfiguration"]["Alarms"]
    assert {entry["AlarmName"] for entry in watched} == names, (
        "an alarm that AutoRollbackConfiguration does not name rolls nothing back"
    )


plan = canary_requests(SERVICE, LIMITS)
check_plan(plan, SERVICE)
for name, release in RELEASES.items():
    rolled_back = rehearsal.rehearse(
        SERVICE, plan["alarms"], plan["update"], release, seed=1
    )
    assert (rolled_back is None) == (name == "good"), f"{name}: {rolled_back}"
### BEGIN HIDDEN TESTS
for number, (changes, limits) in enumerate(
    (
        ({}, LIMITS),
        (
            {"requests_per_minute": 1200, "label_delay_minutes": 15, "max_percent": 5},
            {"error_share": 0.03, "p99_ms": 120.0, "agreement": 0.8},
        ),
        (
            {
                "requests_per_minute": 300,
                "label_share": 0.5,
                "label_delay_minutes": 2,
                "endpoint": "reviews",
                "variant": "blue",
                "endpoint_config": "reviews-17",
            },
            {"error_share": 0.02, "p99_ms": 300.0, "agreement": 0.7},
        ),
    )
):
    service = SERVICE | changes
    plan = canary_requests(service, limits)
    check_plan(plan, service)
    # p99 of a log-normal latency is 2.26 medians.
    good = rehearsal.Release(
        error_share=limits["error_share"] / 10,
        median_ms=limits["p99_ms"] / 3 / 2.26,
        slow_ms=2 * limits["p99_ms"],
        agreement=limits["agreement"] + 0.1,
    )
    bad = {
        "5xx": {"error_share": 4 * limits["error_share"]},
        "latency": {"slow_share": 0.06},
        "quality": {"agreement": limits["agreement"] - 0.13},
    }
    for kind, change in ({"none": {}} | bad).items():
        release = rehearsal.Release(**{**vars(good), **change})
        rolled_back = [
            rehearsal.rehearse(
                service, plan["alarms"], plan["update"], release, (number, i), good
            )
            is not None
            for i in range(24)
        ]
        share = np.mean(rolled_back)
        assert share <= 0.05 if kind == "none" else share >= 0.95, (
            f"{service['requests_per_minute']} requests a minute, labels after"
            f" {service['label_delay_minutes']} minutes, fault {kind}:"
            f" {share:.0%} of 24 releases are rolled back"
        )
### END HIDDEN TESTS

# %% [markdown]
# ## Game day: releases, one after the other
#
# Your plan now watches the real endpoint. Each release serves the candidate's head; some have a fault that the environment switches on. A client loop keeps sending reviews while `UpdateEndpoint` works, and reports the agreement of a half of the answers, some minutes later, as labels come.
#
# On the local SageMaker alarm periods, bakes and this label delay run sixty times faster, and requests are real ones: 40 a second are 2,400 a minute by rate, of which an alarm sees one second's worth for each of its minutes. That is few, so the canary is half of the traffic here, and the faults are coarse.

# %%
FAULTS = {
    "fails": {"FAIL_SHARE": "0.3"},
    "dawdles": {"SLOW_SHARE": "0.12"},
    "errs": {"WRONG_SHARE": "0.95"},
    "good": {},
}
if SCALE == "smoke":
    FAULTS = {name: FAULTS[name] for name in ("fails", "good")}
accuracy = float(correct["candidate"].mean())
spoilt = 0.05 * accuracy + 0.95 * (1 - accuracy) / 2
limits = {"error_share": 0.08, "p99_ms": 700.0, "agreement": (accuracy + spoilt) / 2}
watched = {
    "endpoint": endpoint,
    "variant": "live",
    "requests_per_minute": 2400,
    "max_percent": 50,
    "label_share": 0.5,
    "label_delay_minutes": 3,
}
minute = 1 if aws.backend == "local" else 60  # seconds of the wall clock
limits

# %%
config_of, records = {}, []


def report_labels(due: list[dict]) -> None:
    """Tell CloudWatch which answers agree with labels that have come."""
    for name in {row["release"] for row in due} & set(config_of):
        dimensions = {"EndpointName": endpoint, "VariantName": "live"}
        dimensions["EndpointConfigName"] = config_of[name]
        datum = {
            "MetricName": "Agreement",
            "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
            "Values": [float(row["agrees"]) for row in due if row["release"] == name],
        }
        aws.cloudwatch.put_metric_data(Namespace="Course/Sentiment", MetricData=[datum])


def customers(stop: threading.Event, rate: int = 40) -> None:
    """Send reviews at a steady rate; half of the answers get a label later."""
    rng, labels, reported = np.random.default_rng(SEED), [], time.time()
    with ThreadPoolExecutor(24) as pool:

        def answered(future):
            records.append(future.result() | {"at": time.time()})
            if not records[-1]["failed"] and rng.random() < watched["label_share"]:
                labels.append(records[-1])

        while not stop.wait(1 / rate):
            pool.submit(ask, int(rng.integers(len(test)))).add_done_callback(answered)
            if time.time() - reported > minute / 2:
                reported = time.time()
                until = reported - watched["label_delay_minutes"] * minute
                due = [row for row in list(labels) if row["at"] <= until]
                del labels[: len(due)]
                report_labels(due)


# %%
def roll_out(name: str) -> dict:
    """Update the endpoint to a release under your plan; say what became of it."""
    config = config_of[name] = aws.name(f"release-{name}")
    model = create_model(name, "candidate", **FAULTS[name])
    aws.sagemaker.create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[variant("live", model, instances=2)],
    )
    plan = canary_requests(watched | {"endpoint_config": config}, limits)
    for alarm in plan["alarms"]:
        aws.cloudwatch.put_metric_alarm(**alarm)
    began = time.time()
    aws.sagemaker.update_endpoint(**plan["update"])
    after = deployment.wait_in_service(aws, endpoint)
    alarms = [alarm["AlarmName"] for alarm in plan["alarms"]]
    aws.cloudwatch.delete_alarms(AlarmNames=alarms)
    return {
        "released": after["EndpointConfigName"] == config,
        "minutes": (time.time() - began) / minute,
        "by": [alarm for alarm in alarms if alarm in after.get("FailureReason", "")],
        "until": time.time(),
    }


stop = threading.Event()
loop = threading.Thread(target=customers, args=(stop,), daemon=True)
loop.start()
try:
    outcomes = {name: roll_out(name) for name in FAULTS}
finally:
    stop.set()
    loop.join()
pd.DataFrame(outcomes).T.drop(columns="until")

# %% [markdown]
# Each faulty release is taken back by the alarm that was made for it, and the good one stays. The client loop saw this:

# %%
seen = pd.DataFrame(records).sort_values("at")
seen["release"] = seen["release"].fillna("(failed)")
seen["second"] = (seen["at"] - seen["at"].min()).astype(int)
per_second = seen.groupby(["second", "release"]).size().unstack(fill_value=0)
order = ["champion", "candidate", *FAULTS, "(failed)"]
per_second = per_second.reindex(columns=order, fill_value=0)
colours = [*plots.COLOURS[: len(order) - 1], "black"]
ax = per_second.plot.area(linewidth=0, figsize=(7, 3.6), color=colours)
for outcome in outcomes.values():
    ax.axvline(outcome["until"] - seen["at"].min(), color=plots.REFERENCE, ls=":")
ax.set(xlabel="time (s)", ylabel="answers per second, by release")
ax.legend(ncols=4, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
print(f"{seen['failed'].mean():.2%} of {len(seen):,} requests failed")

# %% nbgrader="test" grade_id="test_rollback" points=2 tags=["in-process"]
"""The faulty release was rolled back under load, and the good one serves."""
assert not outcomes["fails"]["released"], "the failing release has all the traffic"
assert len(outcomes["fails"]["by"]) >= 1, (
    "the failing release went by no alarm of yours"
)
assert outcomes["good"]["released"], (
    f"the good release was rolled back by {outcomes['good']['by']}"
)
### BEGIN HIDDEN TESTS
in_force = aws.sagemaker.describe_endpoint(EndpointName=endpoint)
assert in_force["EndpointStatus"] == "InService", in_force["EndpointStatus"]
assert in_force["EndpointConfigName"] == config_of["good"], (
    f"the endpoint serves {in_force['EndpointConfigName']}"
)
serving_now = {ask(review)["release"] for review in range(5)}
assert serving_now == {"good"}, f"the endpoint is answered by {serving_now}"
for name, outcome in outcomes.items():
    assert outcome["released"] is (name == "good"), f"{name}: {outcome}"
answered = pd.DataFrame(records)
assert set(answered["release"].dropna()) >= {"champion", "candidate", *FAULTS}, (
    "every release had its canary"
)
assert answered["failed"].mean() < 0.2, "customers were not served meanwhile"
### END HIDDEN TESTS

# %% [markdown] nbgrader="manual" grade_id="design_question" points=5
# ## Design question: the language that has no vote
#
# Japanese is 4 % of the traffic, its labels come from three raters, one of whom is a competitor's freelancer, and its reviews are the ones that management reads. The new model is better over all languages together. In at most 400 words: design the release. State the gate for Japanese and the labels that it needs, what is randomised and for how long, the stopping rule, the canary with its alarms for a language of so little traffic, and what you do when the experiment ends without a verdict. State what your proposal costs.
#
# *Rubric, one point each:* a gate for Japanese with its number of labels, and where these come from when raters are few and one is hostile; unit of randomisation, size and time for the language by itself; a stopping rule that is written down before, with the number of looks and what happens to the other languages; a canary whose alarms can see a fault in 4 % of the traffic; what is done without a verdict, with a reason and a price.
#
# <!-- BEGIN SOLUTION -->
# **Gate.** Japanese accuracy must not be more than 3 points below the old model's, by a one-sided lower bound on the *paired* difference over the same reviews. If the models disagree on 15 % of the reviews, a paired difference has a standard deviation of about .39: (1.64 + .84)² · .39² / .03² ≈ 1,040 reviews, at three votes each. With three raters the hostile one shows in his confusion matrix (agreement far below chance), but one of three is a third of the evidence: two paid raters for a week are added, 5,200 votes at 0.10 USD ≈ 520 USD, and 50 reviews in every 1,000 are gold ones with a known answer.
#
# **Experiment.** By user, hash of the id and the experiment's name, so that a user keeps his model. Japanese is a stratum with its own plan: at an agreement of .60, three points need 4,160 users an arm at one look, 4,370 with an O'Brien–Fleming spending of 20 looks (1.05 times as many). With 500 new Japanese users a day that is 18 days, so three weeks; the other languages have finished within one, and wait, because the release is one.
#
# **Stopping rule.** Written down before: 20 looks, Lan–DeMets spending, two-sided .05 for the whole and one-sided .025 for harm to Japanese. A worse Japanese stops its arm at once and routes Japanese to the old model, which stays up as a second variant; the other languages go on, and their looks are not restarted. Sample ratio is checked at each look at .001, by language too.
#
# **Canary.** 10 % of the traffic at 600 requests a minute has 2.4 Japanese requests a minute: faults in them alone drown in the average. So Japanese gets its own metric dimension, and a canary by language, 50 % of the Japanese traffic, 12 requests a minute: a 10 % fault shows with probability .95 within 3 minutes at a threshold of one failure where the healthy rate is below .0005. Quality: 30 % labelled within a day is no use for a bake of an hour; agreement with the old model, in shadow, is: below .7 over 200 requests rolls back. Missing data do not breach.
#
# **Without a verdict.** The upper and lower bounds say what is left: if harm beyond 3 points is excluded, release for the gain elsewhere; if not, Japanese stays on the old model for a quarter: a second endpoint of one ml.m5.large, 84 USD a month, and 4 % of the users without the gain.
# <!-- END SOLUTION -->

# %% [markdown]
# ## Clean up
#
# An endpoint is billed for every second it exists, and during a blue/green update both fleets are. The cell prices what ran, and deletes everything that this lab made.

# %% tags=["cleanup"]
priced = costs.estimate(aws.ledger)
print(f"on AWS: {priced['usd'].sum():.4f} USD at list prices")
shutil.rmtree(work)
cleanup.delete_lab(aws)
