# ---
# title: "Lab 3: support tickets, from token lengths to an endpoint that sleeps"
# minutes: 240
# module: text
# disk_mib: 2048
# ---

# %% [markdown]
# # Lab 3: support tickets, from token lengths to an endpoint that sleeps
#
# A text classifier fails quietly: texts are cut where the deciding clause stands, near-duplicates make the test set easy, labels are wrong, and the endpoint that nobody calls costs as much as one that is busy. You build the parts that notice.
#
# **You will**
#
# 1. choose the length at which texts are cut, under a budget, for the class that suffers most;
# 2. find families of near-duplicates and keep each on one side of a split that does not move when the corpus grows;
# 3. find wrong labels from out-of-fold probabilities;
# 4. write the functions between an HTTP body and a fine-tuned encoder;
# 5. measure macro-F1 in the presence of abstention, and decide when not to answer;
# 6. scale an Amazon SageMaker asynchronous endpoint from zero and back, within a deadline.
#
# About four hours; 32 points are graded by tests, 5 by a person. The lab runs on the local SageMaker unless `COURSE_BACKEND=aws`.

# %% tags=["parameters"]
SEED = 31

# %% tags=["setup"]
import codecs
import csv
import hashlib
import importlib.util
import inspect
import io
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

import botocore.session
import numpy as np
import pandas as pd
import torch
from botocore.validate import validate_parameters
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from transformers import AutoTokenizer

from helpers import backlog, cleanup, connect, costs, deployment, plots
from helpers.data import tickets
from helpers.encoders import minilm

plots.use_style()

# %% [markdown]
# ## The data
#
# Simulated support tickets in ten classes. Texts of training, validation and test come from different phrase banks, so that a phrase learnt by heart is worth nothing. Some tickets are near-copies of one another (`family`), some labels of the training and validation part are wrong (`true_label` is the simulator's secret), and the largest class is many times as frequent as the smallest.

# %%
corpus = tickets.at_scale(seed=SEED)
train, validation, test = corpus.train, corpus.validation, corpus.test
print(f"{len(train):,} tickets to train on, {len(validation):,}, {len(test):,}")
train[["text", "label", "family"]].head()

# %% [markdown]
# ## Task 1: where to cut
#
# An encoder reads at most `max_seq_len` tokens of a text; the rest is cut off. What a text costs grows with its length: with *d* hidden units, a layer spends 24 *d*² floating-point operations on each of *m* tokens (its linear maps) and 4 *d* *m*² on attention. Batches of texts of similar length are padded to a multiple of 8, not to `max_seq_len`, so short texts stay cheap.
#
# The share of texts that are cut is an average, and the class with the longest texts pays for it. The rule here is about the worst class: cut at most `max_truncated` of *every* class; if the budget does not allow that, cut as late as the budget allows.


# %% nbgrader="solution" grade_id="choose_max_seq_len"
def choose_max_seq_len(
    n_tokens,
    label,
    flops_budget: float,
    max_truncated: float = 0.01,
    hidden_size: int = 384,
    n_layers: int = 6,
    limit: int = 512,
) -> tuple[int, pd.Series]:
    """The length at which texts are cut, and what that does to each class.

    A text of n tokens is cut to min(n, L) tokens and padded to the next multiple of 8,
    m. It costs n_layers * (24 * m * hidden_size**2 + 4 * hidden_size * m**2)
    floating-point operations.

    Args:
        n_tokens: tokens of each text, special tokens included, at least 1, shape (n,).
        label: class of each text, shape (n,).
        flops_budget: the mean cost of a text must not exceed it.
        max_truncated: share of a class that may be cut.
        hidden_size: of the encoder.
        n_layers: of the encoder.
        limit: the longest input of the encoder, a multiple of 8.

    Returns:
        L, a multiple of 8 from 8 to limit: the smallest at which no class has more than
        max_truncated of its texts cut, if there is one and it is within the budget;
        else the largest within the budget. And the share of the texts that L cuts
        (n > L) by class, float, index the classes in ascending order.

    Raises:
        ValueError: there are no texts, or even L = 8 exceeds the budget.
    """
    ### BEGIN SOLUTION
    n = np.asarray(n_tokens)
    if n.size == 0:
        raise ValueError("there are no texts")
    classes = np.asarray(label)
    chosen = None
    for length in range(8, limit + 1, 8):
        m = np.ceil(np.minimum(n, length) / 8) * 8
        cost = n_layers * (24 * m * hidden_size**2 + 4 * hidden_size * m**2)
        if cost.mean() > flops_budget:
            break
        chosen = length, pd.Series(n > length).groupby(classes).mean()
        if chosen[1].max() <= max_truncated:
            break
    if chosen is None:
        raise ValueError(f"8 tokens a text cost {cost.mean():.3g}, over {flops_budget}")
    return chosen
    ### END SOLUTION


# %%
six_lengths = [5, 9, 16, 17, 30, 70]
six_labels = ["refund", "refund", "outage", "outage", "outage", "refund"]
choose_max_seq_len(six_lengths, six_labels, flops_budget=1e9, max_truncated=0.4)

# %% nbgrader="test" grade_id="test_choose_max_seq_len" points=3
"""The worst class decides; the budget counts what is padded, not what is allowed."""
got, cut = choose_max_seq_len(six_lengths, six_labels, 1e9, max_truncated=0.4)
assert got == 24, (
    "16 cuts two of the three outages, 24 cuts one of three in both classes: expected"
    f" 24, got {got}"
)
assert list(cut.index) == ["outage", "refund"] and np.allclose(cut, 1 / 3), (
    f"one of three in each class is longer than 24, got {cut.to_dict()}"
)
got, cut = choose_max_seq_len(six_lengths, six_labels, 1e9, max_truncated=0)
assert got == 72 and cut.sum() == 0, f"72 cuts nothing, got {got} and {cut.to_dict()}"
got, _ = choose_max_seq_len([8] * 5 + [80], list("aaaaab"), 6 * 24 * 14 * 384**2, 0)
assert got == 40, (
    "the sixth text is cut at 40 to stay within a mean of some 14 padded tokens, the"
    f" five short ones stay at 8: expected 40, got {got}"
)
try:
    choose_max_seq_len([8], ["a"], 1.0)
    raise AssertionError("a budget of one operation must raise ValueError")
except ValueError:
    pass


### BEGIN HIDDEN TESTS
def cost_of(tokens, length, d, layers):
    """Mean operations of a text, text by text."""
    total = 0.0
    for n in tokens:
        m = -(-min(int(n), length) // 8) * 8
        total += layers * (24 * m * d * d + 4 * d * m * m)
    return total / len(tokens)


def definition(tokens, classes, budget, max_truncated, d, layers, limit):
    within = [
        length
        for length in range(8, limit + 1, 8)
        if cost_of(tokens, length, d, layers) <= budget
    ]
    for length in within:
        shares = pd.Series(np.asarray(tokens) > length).groupby(classes).mean()
        if shares.max() <= max_truncated:
            return length
    return within[-1]


for seed in range(4):
    rng = np.random.default_rng(seed)
    k, d, layers = int(rng.integers(2, 6)), int(rng.choice([128, 384])), 2 + seed
    classes = rng.choice([f"class {i}" for i in range(k)], 300).astype(object)
    classes[:k] = [f"class {i}" for i in range(k)]
    scale = {f"class {i}": 12 * 1.6**i for i in range(k)}
    tokens = np.array([1 + int(rng.gamma(3, scale[c] / 3)) for c in classes])
    limit = int(rng.choice([64, 128, 256]))
    free = cost_of(tokens, limit, d, layers)
    for share in (1.01, 0.9, 0.6):
        for max_truncated in (0.0, 0.02, 0.3):
            arguments = free * share, max_truncated, d, layers, limit
            want = definition(tokens, classes, *arguments)
            got, cut = choose_max_seq_len(tokens, classes, *arguments)
            assert got == want, (
                f"budget {share:.0%} of the cost of {limit} tokens, at most"
                f" {max_truncated:.0%} cut: expected {want}, got {got}"
            )
            assert isinstance(cut, pd.Series) and list(cut.index) == sorted(
                set(classes)
            ), f"one share per class, ascending, got {cut}"
            for one in cut.index:
                share_cut = np.mean(tokens[classes == one] > want)
                assert np.isclose(cut[one], share_cut), (
                    f"{one}: {share_cut:.3f} of the texts are cut, got {cut[one]:.3f}"
                )
    order = rng.permutation(len(tokens))
    arguments = free * 0.9, 0.02, d, layers, limit
    base = choose_max_seq_len(tokens, classes, *arguments)
    renamed = np.array([f"{9 - int(c[-1])} {c}" for c in classes])
    for change, (some_tokens, some_classes) in {
        "shuffled": (tokens[order], classes[order]),
        "every text twice": (np.tile(tokens, 2), np.tile(classes, 2)),
        "lists": (tokens.tolist(), list(classes)),
        "series with another index": (
            pd.Series(tokens, index=order),
            pd.Series(classes, index=order[::-1]),
        ),
        "classes in another order": (tokens, renamed),
    }.items():
        got, cut = choose_max_seq_len(some_tokens, some_classes, *arguments)
        assert got == base[0], f"{change}: {got} instead of {base[0]}"
        assert np.allclose(sorted(cut), sorted(base[1])), f"{change}: other shares"
exact = cost_of([8, 16], 16, 384, 6)
assert choose_max_seq_len([8, 16], ["a", "b"], exact, 0)[0] == 16, (
    "a mean that equals the budget does not exceed it"
)
rare = choose_max_seq_len([10] * 99 + [100], ["a"] * 99 + ["b"], 1e12, 0.05)
assert rare[0] == 104, (
    f"one text in a hundred is longer than 96, and it is all of class b: got {rare[0]}"
)
for bad in (([], [], 1e9), ([8, 8], ["a", "b"], 1e6)):
    try:
        choose_max_seq_len(*bad)
    except ValueError:
        continue
    raise AssertionError("no texts, or a budget below 8 tokens: a ValueError is due")
### END HIDDEN TESTS

# %%
tokenizer = AutoTokenizer.from_pretrained(minilm.folder())
n_tokens = np.array([len(ids) for ids in tokenizer(list(train["text"]))["input_ids"]])
FLOPS_BUDGET = 1.5e9
max_seq_len, cut = choose_max_seq_len(n_tokens, train["label"], FLOPS_BUDGET)
lengths = pd.Series(n_tokens).groupby(train["label"].to_numpy())
print(
    f"max_seq_len {max_seq_len}; {np.mean(n_tokens > max_seq_len):.2%} of all are cut"
)
pd.DataFrame(
    {
        "median": lengths.median(),
        "99th percentile": lengths.quantile(0.99),
        "longest": lengths.max(),
        "cut": cut,
    }
).round(3)

# %% [markdown]
# ## Task 2: near-duplicates
#
# Customers paste the same text twice, agents open a ticket for each mail of a thread, templates come back with another order number. When one copy is trained on and the other tested, the test measures memory.
#
# ### 2a. Families
#
# Two texts are near-duplicates when their sets of character 5-grams (*shingles*) overlap: the Jaccard index, intersection over union, is at least a threshold. A copy of a copy is in the family too, even if it no longer resembles the first: a family is a connected component of the graph of near-duplicates. MinHash approximates this for millions of texts (Broder, 1997); a sparse matrix does it exactly for thousands.


# %% nbgrader="solution" grade_id="find_families"
def find_families(texts: list[str], threshold: float = 0.5, n: int = 5) -> np.ndarray:
    """Numbers of the families of near-duplicates.

    Texts are compared in lower case, runs of white space as one blank, none at the
    ends. A text's shingles are the set of its substrings of n characters; a text
    shorter than n has one, itself.

    Args:
        texts: any texts.
        threshold: smallest Jaccard index of near-duplicates, above 0 and at most 1.
        n: length of a shingle, characters.

    Returns:
        Integers, shape (n_texts,): equal if, and only if, a chain of near-duplicates
        leads from one text to the other; families are numbered 0, 1, ... in the order
        of their first texts.

    Raises:
        ValueError: threshold is out of range.
    """
    ### BEGIN SOLUTION
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    if len(texts) == 0:
        return np.zeros(0, dtype=int)

    def shingles(text: str) -> list[str]:
        text = " ".join(text.lower().split())
        return list({text[i : i + n] for i in range(max(1, len(text) - n + 1))})

    found = CountVectorizer(analyzer=shingles, dtype=np.int32).fit_transform(texts)
    size = np.asarray(found.sum(axis=1)).ravel()
    pairs = []
    for start in range(0, len(texts), 2000):  # all pairs at once need too much memory
        common = (found[start : start + 2000] @ found.T).tocoo()
        row = common.row + start
        union = size[row] + size[common.col] - common.data
        near = common.data >= threshold * union
        pairs.append(np.stack([row[near], common.col[near]]))
    i, j = np.concatenate(pairs, axis=1)
    graph = sparse.coo_matrix((np.ones(len(i)), (i, j)), (len(texts), len(texts)))
    component = sparse.csgraph.connected_components(graph, directed=False)[1]
    return pd.factorize(component)[0]
    ### END SOLUTION


# %%
five_texts = [
    "The parcel 4411 never arrived.",
    "Please cancel my plan",
    "the parcel  4412 never arrived.",
    "please cancel my plan today",
    "Where is my invoice?",
]
find_families(five_texts, threshold=0.5)

# %% nbgrader="test" grade_id="test_find_families" points=3
"""Shingles as sets, case and white space ignored; chains make a family."""
got = list(find_families(five_texts, threshold=0.5))
assert got == [0, 1, 0, 1, 2], f"expected [0, 1, 0, 1, 2], got {got}"
strict = list(find_families(five_texts, threshold=0.9))
assert strict == [0, 1, 2, 3, 4], f"at .9 nothing is near enough, got {strict}"
chain = ["abcdefghij", "cdefghijkl", "efghijklmn"]
got = list(find_families(chain, threshold=0.4))
assert got == [0, 0, 0], (
    "the second text is near both others (4 of 8 shingles), the first and the last are"
    f" not near (2 of 10): all three are a family; got {got}"
)
got = list(find_families(["", "ab", "AB ", "abc"]))
assert got == [0, 1, 1, 2], (
    f"texts shorter than a shingle are near when they are equal, got {got}"
)


### BEGIN HIDDEN TESTS
def reference(texts_, threshold, n):
    """The definition, pair by pair."""
    sets = []
    for text in texts_:
        text = " ".join(text.lower().split())
        sets.append({text[i : i + n] for i in range(len(text) - n + 1)} or {text})
    family = list(range(len(texts_)))
    for i in range(len(texts_)):
        for j in range(i):
            common = len(sets[i] & sets[j])
            if common and common >= threshold * len(sets[i] | sets[j]):
                old, new = family[i], family[j]
                family = [new if one == old else one for one in family]
    return list(pd.factorize(np.array(family))[0])


def drawn_texts(seed, n_texts, alphabet="abcdefgh"):
    """Random sentences, and copies of copies with some characters changed."""
    rng = np.random.default_rng(seed)
    letters = np.array(list(alphabet))
    texts_ = []
    for _ in range(n_texts):
        if texts_ and rng.random() < 0.6:
            copied = list(texts_[int(rng.integers(len(texts_)))])
            for _ in range(int(rng.integers(0, 5))):
                copied[int(rng.integers(len(copied)))] = str(rng.choice(letters))
            text = "".join(copied)
            text = text.upper() if rng.random() < 0.3 else text.replace(" ", "\t  ")
            texts_.append(text)
        else:
            words = [
                "".join(rng.choice(letters, int(rng.integers(1, 8))))
                for _ in range(int(rng.integers(3, 12)))
            ]
            texts_.append(" ".join(words))
    return texts_


for seed, n_texts, threshold, n in (
    (1, 90, 0.5, 5),
    (2, 120, 0.7, 4),
    (3, 60, 0.35, 3),
    (4, 80, 1.0, 5),
    (5, 60, 0.2, 2),
):
    drawn = drawn_texts(seed, n_texts)
    want = reference(drawn, threshold, n)
    got = find_families(drawn, threshold, n)
    assert len(got) == len(drawn) and list(got) == want, (
        f"threshold {threshold}, shingles of {n}: {len(set(got))} families, the"
        f" definition gives {len(set(want))}"
    )
    order = np.random.default_rng(seed).permutation(n_texts)
    moved = find_families([drawn[i] for i in order], threshold, n)
    assert list(moved) == list(pd.factorize(np.array(want)[order])[0]), (
        "the families must not depend on the order of the texts"
    )
    loud = find_families([f"  {text.upper()}\n" for text in drawn], threshold, n)
    assert list(loud) == want, "case and white space must not matter"
long_chain = ["abcdefghijklmnopqrstuvwxyz0123456789"[i : i + 12] for i in range(24)]
assert set(find_families(long_chain, 0.6)) == {0}, "a chain of copies is one family"
repeated = ["na na na na na na na na", "na na na"]
assert len(set(find_families(repeated, 0.9))) == 1, "shingles are sets, not counts"
signs = [
    "!!! ??? !!! 12",
    "!!! ??? !!! 12",
    "字字字字字字字",
    "Ärger, Ärger!",
    "ärger, ärger!",
]
assert list(find_families(signs)) == [0, 0, 1, 2, 2], "characters are more than letters"
assert len(find_families([])) == 0, "no texts: no families"
many = [f"{text} {i % 700}" for i, text in enumerate(drawn_texts(6, 900))]
start = time.perf_counter()
assert len(find_families(many, 0.5)) == 900
assert time.perf_counter() - start < 20, "900 texts take too long: compare sparsely"
for bad in (0, 1.5, -0.1):
    try:
        find_families(["a", "b"], bad)
    except ValueError:
        continue
    raise AssertionError(f"threshold {bad} must raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ### 2b. A split that stays
#
# A random split of families keeps copies together today. Tomorrow new tickets arrive, the split is drawn again, and tickets that the model was trained on move into the test set. A split by *hash* has no memory and needs none: the side of a family is a function of its oldest ticket, and that does not change when younger copies join.


# %% nbgrader="solution" grade_id="split_by_family"
def split_by_family(
    ticket_id, created, family, test_share: float, salt: str = "split"
) -> np.ndarray:
    """Which tickets are in the test part: whole families, by their oldest ticket's hash.

    Let u be the first 8 bytes of SHA-256 of the text "{salt}:{ticket_id}" (UTF-8), as a
    big-endian unsigned integer, over 2**64. A family is in the test part if u of its
    oldest ticket is below test_share. Of tickets created at the same time, the one with
    the smallest ticket_id is the oldest.

    Args:
        ticket_id: unique integers, shape (n,).
        created: time of each ticket, datetime64 or numbers, shape (n,).
        family: number of each ticket's family, shape (n,).
        test_share: share of the families to test on, from 0 to 1.
        salt: another salt gives another split.

    Returns:
        Booleans, shape (n,), in the order of the arguments.

    Raises:
        ValueError: test_share is out of range, or a ticket_id is there twice.
    """
    ### BEGIN SOLUTION
    rows = pd.DataFrame(
        {
            "ticket_id": np.asarray(ticket_id),
            "created": np.asarray(created),
            "family": np.asarray(family),
        }
    )
    if not 0 <= test_share <= 1 or rows["ticket_id"].duplicated().any():
        raise ValueError("test_share must be in [0, 1] and each ticket_id be unique")
    ordered = rows.sort_values(["created", "ticket_id"])
    oldest = ordered.groupby("family")["ticket_id"].first()

    def position(ticket: int) -> float:
        digest = hashlib.sha256(f"{salt}:{ticket}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    is_test = oldest.map(position) < test_share
    return rows["family"].map(is_test).to_numpy(dtype=bool)
    ### END SOLUTION


# %%
six_tickets = pd.DataFrame(
    {
        "ticket_id": [11, 4, 15, 8, 23, 2],
        "created": pd.Timestamp("2026-03-01")
        + pd.to_timedelta([0, 4, 1, 1, 8, 8], unit="D"),
        "family": [0, 0, 1, 1, 2, 2],
    }
)
split_by_family(**six_tickets.to_dict("series"), test_share=0.5)

# %% nbgrader="test" grade_id="test_split_by_family" points=2
"""A family follows its oldest ticket, and younger copies do not move it."""
got = split_by_family(**six_tickets.to_dict("series"), test_share=0.5)
assert list(got) == [True, True, False, False, True, True], (
    "the oldest tickets are 11, 8 (as old as 15, smaller id) and 2; their u are"
    f" 0.32, 0.82, 0.00; got {list(got)}"
)
young = {"ticket_id": [1], "created": [pd.Timestamp("2026-04-01")], "family": [0]}
grown = pd.concat([pd.DataFrame(young), six_tickets], ignore_index=True)
later = split_by_family(**grown.to_dict("series"), test_share=0.5)
assert list(later[1:]) == list(got) and later[0] == got[0], (
    "a younger copy joins its family's side, and moves nobody"
)


### BEGIN HIDDEN TESTS
def tickets_in_families(seed, n):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "ticket_id": rng.permutation(10 * n)[:n] + 1000,
            "created": pd.Timestamp("2026-01-01")
            + pd.to_timedelta(rng.integers(0, 40, n), unit="D"),
            "family": rng.integers(0, max(1, n // 3), n) * 7,
        },
        index=rng.permutation(n),
    )


for seed, n, share, salt in (
    (1, 300, 0.2, "split"),
    (2, 150, 0.5, "a"),
    (3, 600, 0.1, "ü"),
    (4, 40, 1.0, "split"),
    (5, 40, 0.0, "split"),
):
    frame = tickets_in_families(seed, n)
    given = frame.copy()
    want = []
    for row in frame.itertuples():
        own = frame[frame["family"] == row.family]
        own = own[own["created"] == own["created"].min()]["ticket_id"].min()
        digest = hashlib.sha256(f"{salt}:{own}".encode()).hexdigest()[:16]
        want.append(int(digest, 16) / 2**64 < share)
    as_series = frame.to_dict("series")
    got = np.asarray(split_by_family(**as_series, test_share=share, salt=salt))
    assert got.dtype == bool and got.shape == (n,), "one boolean for each ticket"
    assert list(got) == want, (
        f"share {share}: {np.sum(got != want)} of {n} tickets are on the wrong side"
    )
    assert frame.equals(given), "an argument was changed"
    order = np.random.default_rng(seed).permutation(n)
    shuffled = split_by_family(
        **frame.iloc[order].to_dict("series"), test_share=share, salt=salt
    )
    assert list(shuffled) == list(got[order]), "rows in another order"
    renamed = frame.assign(family=frame["family"].max() - frame["family"])
    assert list(
        split_by_family(**renamed.to_dict("series"), test_share=share, salt=salt)
    ) == list(got), "a family's number means nothing"
    days = (frame["created"] - pd.Timestamp("2026-01-01")).dt.days
    as_days = frame.assign(created=days).to_dict("list")
    assert list(split_by_family(**as_days, test_share=share, salt=salt)) == list(got), (
        "times as numbers, lists instead of series"
    )
    is_early = (frame["created"] < "2026-01-20").to_numpy()
    early = frame[is_early].to_dict("series")
    before = split_by_family(**early, test_share=share, salt=salt)
    assert list(before) == list(got[is_early]), (
        "tickets that arrive later moved older ones to the other side"
    )
    smaller = split_by_family(**as_series, test_share=share / 2, salt=salt)
    assert not (smaller & ~got).any(), "a smaller test part lies within the larger one"
frame = tickets_in_families(9, 1500).to_dict("series")
sides = [split_by_family(**frame, test_share=0.3, salt=salt) for salt in "xy"]
assert 0.2 < np.mean(sides[0] == sides[1]) < 0.75, "another salt, another split"
for bad in ({"test_share": 1.2}, {"test_share": -0.1}, {"ticket_id": [3] * 6}):
    try:
        split_by_family(**{**six_tickets.to_dict("series"), "test_share": 0.5, **bad})
    except ValueError:
        continue
    raise AssertionError(f"{next(iter(bad))}: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### What the copies are worth
#
# The same TF-IDF baseline, measured three ways: on a random fifth of the tickets, on a fifth of the families, and on the test set, whose phrases are new.

# %%
family = find_families(list(train["text"]))
sizes = pd.Series(family).value_counts()
together = pd.crosstab(family, train["family"]) > 0
print(
    f"{(sizes > 1).sum()} families with more than one ticket, the largest has"
    f" {sizes.max()}; {(together.sum(axis=0) == 1).mean():.1%} of the simulator's"
    f" families are whole, {(together.sum(axis=1) == 1).mean():.1%} of ours are pure"
)


# %%
def baseline_f1(fitted: pd.DataFrame, asked: pd.DataFrame) -> float:
    """Macro-F1 of TF-IDF and a linear classifier against the true labels."""
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LinearSVC(class_weight="balanced")
    ).fit(fitted["text"], fitted["label"])
    return f1_score(asked["true_label"], model.predict(asked["text"]), average="macro")


# %%
results = []
for salt in ("a", "b", "c", "d", "e"):
    by_family = split_by_family(
        train["ticket_id"], train["created"], family, test_share=0.2, salt=salt
    )
    at_random = np.random.default_rng(ord(salt)).permutation(by_family)
    results.append(
        {
            "random rows": baseline_f1(train[~at_random], train[at_random]),
            "by family": baseline_f1(train[~by_family], train[by_family]),
        }
    )
means = pd.DataFrame(results).mean()
means["test set, new phrases"] = baseline_f1(train, test)
means.rename("macro-F1, mean of five splits").round(3)

# %% [markdown]
# The family split removes copies. It does not remove shared phrases: only texts from another source do, which is what the test set has, and why a test set is collected and not split off.

# %% [markdown]
# ## Task 3: labels that are wrong
#
# Agents label in a hurry. *Confident learning* (Northcutt et al., 2021) finds labels that a model contradicts with confidence. Two things decide whether it works: the probabilities must come from models that have not seen the ticket, nor a near-copy of it; and "confident" must be measured class by class, because a model is never as sure of a rare class as of a frequent one.
#
# ### 3a. Out-of-fold probabilities


# %% nbgrader="solution" grade_id="out_of_fold_probabilities"
def out_of_fold_probabilities(
    X: np.ndarray, label, family, n_folds: int = 5
) -> pd.DataFrame:
    """Class probabilities of each row, from a model fitted without the row's family.

    The model is a logistic regression on standardised columns, with scaler and
    classifier fitted on the other folds only.

    Args:
        X: embeddings, shape (n, d). It is not changed.
        label: class of each row, shape (n,), at least two classes.
        family: number of each row's family, shape (n,), at least n_folds families.
        n_folds: number of folds; a family is in one of them.

    Returns:
        One row for each row of X, in its order, index 0 to n - 1; one column for each
        class in ascending order; rows sum to 1. A class that the other folds lack has
        probability 0. The same arguments give the same probabilities.

    Raises:
        ValueError: there are fewer families than folds.
    """
    ### BEGIN SOLUTION
    label, family = np.asarray(label), np.asarray(family)
    if len(np.unique(family)) < n_folds:
        raise ValueError(f"{len(np.unique(family))} families, {n_folds} folds")
    probability = pd.DataFrame(0.0, index=range(len(X)), columns=np.unique(label))
    for fitted, asked in GroupKFold(n_folds).split(X, label, family):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, tol=1e-2, max_iter=500)
        ).fit(X[fitted], label[fitted])
        probability.loc[asked, model.classes_] = model.predict_proba(X[asked])
    return probability
    ### END SOLUTION


# %%
rng = np.random.default_rng(3)
blobs = rng.normal(size=(60, 4)) + 2 * np.repeat(np.eye(3, 4), 20, axis=0)
blob_labels = np.repeat(["a", "b", "c"], 20)
out_of_fold_probabilities(blobs, blob_labels, family=np.arange(60)).round(2).head(3)

# %% nbgrader="test" grade_id="test_out_of_fold_probabilities" points=2
"""Every row is judged by a model that has not seen its family."""
got = out_of_fold_probabilities(blobs, blob_labels, family=np.arange(60))
assert isinstance(got, pd.DataFrame) and got.shape == (60, 3), "60 rows, 3 classes"
assert list(got.columns) == ["a", "b", "c"], f"classes ascend, got {list(got.columns)}"
assert np.allclose(got.sum(axis=1), 1), "each row sums to 1"
right = (got.idxmax(axis=1).to_numpy() == blob_labels).mean()
assert right > 0.7, f"three clouds lie far apart: .8 are right, got {right:.2f}"


### BEGIN HIDDEN TESTS
def copies_with_random_labels(seed, n_families, copies, d):
    """Families of near-copies in a large space; a family's label is a coin's."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(n_families, d))
    family_ = np.repeat(np.arange(n_families), copies)
    order = rng.permutation(len(family_))
    X_ = (centre[family_] + rng.normal(0, 0.02, (len(family_), d)))[order]
    coin = rng.choice(["heads", "tails"], n_families)
    return X_, coin[family_][order], family_[order] * 5 + 2


for seed in (1, 2):
    X_, label_, family_ = copies_with_random_labels(seed, 80, 3, 50)
    given = X_.copy()
    p = out_of_fold_probabilities(X_, label_, family_)
    assert np.array_equal(X_, given), "X was changed"
    right = (p.idxmax(axis=1).to_numpy() == label_).mean()
    assert right < 0.72, (
        f"labels drawn by lot are predicted in {right:.0%} of the rows: models have seen"
        " the rows, or copies of them"
    )
    again = out_of_fold_probabilities(X_, label_, family_)
    assert np.allclose(p, again), "the same arguments must give the same probabilities"
for seed, spread in ((4, 1.0), (5, 2.0)):
    rng = np.random.default_rng(seed)
    label_ = rng.choice(["x", "y", "z", "w"], 300, p=[0.5, 0.3, 0.15, 0.05])
    centre = {name: rng.normal(size=12) for name in "xyzw"}
    X_ = np.array([centre[one] for one in label_]) + rng.normal(0, spread, (300, 12))
    wide = X_ * 10.0 ** rng.integers(-3, 4, 12)
    p = out_of_fold_probabilities(wide, label_, np.arange(300))
    assert list(p.columns) == ["w", "x", "y", "z"] and np.allclose(p.sum(axis=1), 1)
    assert list(p.index) == list(range(300)), "index 0 to n - 1, in the order of X"
    right = (p.idxmax(axis=1).to_numpy() == label_).mean()
    density = np.array(
        [
            np.log((label_ == one).mean())
            - ((X_ - centre[one]) ** 2).sum(axis=1) / (2 * spread**2)
            for one in p.columns
        ]
    )
    best = (p.columns.to_numpy()[density.argmax(axis=0)] == label_).mean()
    assert best - 0.15 < right <= best + 0.02, (
        f"{right:.0%} right; with the centres known {best:.0%} are, and a regression on"
        " standardised columns comes near"
    )
    own = p.to_numpy()[np.arange(300), p.columns.get_indexer(label_)]
    likelihood = np.log(np.maximum(own, 1e-9))
    prior = np.log(pd.Series(label_).map(pd.Series(label_).value_counts() / 300)).mean()
    assert likelihood.mean() > prior, (
        "the probabilities are worse than the class shares"
    )
rare = np.where(np.arange(60) < 2, "a", np.where(np.arange(60) % 2, "b", "c"))
p = out_of_fold_probabilities(blobs, rare, np.maximum(np.arange(60), 1))
assert list(p.columns) == ["a", "b", "c"] and np.allclose(p.loc[[0, 1], "a"], 0), (
    "class a is one family: the other folds lack it, its probability is 0 there"
)
assert np.allclose(p.sum(axis=1), 1), "the others still sum to 1"
try:
    out_of_fold_probabilities(blobs, blob_labels, np.arange(60) % 3)
except ValueError:
    pass
else:
    raise AssertionError("three families for five folds: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### 3b. Confident contradiction
#
# The threshold of class *j* is the mean probability of *j* among the rows that are labelled *j*: how sure the model usually is of it. A row is *confidently* of class *j* when its probability of *j* reaches the threshold; of several such classes, the one with the largest probability counts. A row is suspect when it is confidently of another class than its label. What the model has to say about a suspect is its *margin*: the probability of that class minus the one of the label.


# %% nbgrader="solution" grade_id="find_noisy_labels"
def find_noisy_labels(probability: pd.DataFrame, label) -> pd.DataFrame:
    """Rows whose label is confidently contradicted, the clearest first.

    Args:
        probability: out-of-fold probabilities, one row per text, one column per class;
            any index. It is not changed.
        label: class of each row, shape (n,), each a column of probability.

    Returns:
        One row per suspect, indexed as in probability: label, suggested (the class of
        which the row is confidently), margin (float). Ordered by margin, largest first;
        suspects with equal margins in the order of probability. A class that no row is
        labelled with is not suggested.

    Raises:
        ValueError: a label is no column of probability, or the lengths differ.
    """
    ### BEGIN SOLUTION
    label = np.asarray(label)
    column = probability.columns.get_indexer(label)
    if len(label) != len(probability) or (column < 0).any():
        raise ValueError("one label for each row, each a column of probability")
    p = probability.to_numpy(float)
    counts = np.bincount(column, minlength=p.shape[1])
    own = p[np.arange(len(p)), column]
    means = np.bincount(column, own, minlength=p.shape[1]) / np.maximum(counts, 1)
    confident = np.where(p >= np.where(counts > 0, means, np.inf), p, -1.0)
    suggested = confident.argmax(axis=1)
    suspect = (confident.max(axis=1) >= 0) & (suggested != column)
    found = pd.DataFrame(
        {
            "label": label,
            "suggested": probability.columns.to_numpy()[suggested],
            "margin": p[np.arange(len(p)), suggested] - own,
        },
        index=probability.index,
    )
    return found[suspect].sort_values("margin", ascending=False, kind="stable")
    ### END SOLUTION


# %%
six_probabilities = pd.DataFrame(
    {
        "billing": [0.9, 0.7, 0.3, 0.2, 0.1, 0.45],
        "outage": [0.1, 0.3, 0.7, 0.8, 0.9, 0.55],
    },
    index=list("uvwxyz"),
)
six_given = ["billing", "billing", "outage", "billing", "outage", "billing"]
find_noisy_labels(six_probabilities, six_given)

# %% nbgrader="test" grade_id="test_find_noisy_labels" points=3
"""Class by class: thresholds are the mean confidence of each class."""
got = find_noisy_labels(six_probabilities, six_given)
assert list(got.index) == ["x"], (
    "outage's threshold is (.7 + .9) / 2 = .8: x reaches it and is labelled billing; z"
    f" leans to outage without confidence; got {list(got.index)}"
)
assert got.loc["x", "suggested"] == "outage" and got.loc["x", "label"] == "billing"
assert np.isclose(got.loc["x", "margin"], 0.6), f"margin .8 - .2, got {got['margin']}"


### BEGIN HIDDEN TESTS
def by_definition(p, labels):
    threshold = {
        one: np.mean([p.iloc[i][one] for i in range(len(p)) if labels[i] == one])
        for one in p.columns
        if one in set(labels)
    }
    rows = []
    for i in range(len(p)):
        sure = {j: p.iloc[i][j] for j, t in threshold.items() if p.iloc[i][j] >= t}
        if sure and (best := max(sure, key=sure.get)) != labels[i]:
            margin = p.iloc[i][best] - p.iloc[i][labels[i]]
            rows.append((p.index[i], labels[i], best, margin))
    return sorted(rows, key=lambda row: -row[3])


def noisy_clouds(seed, n, noise, spread):
    """True classes, given labels, and probabilities that overlap as the clouds do."""
    rng = np.random.default_rng(seed)
    names = np.array(["delivery", "invoice", "login", "refund"])
    share = np.array([0.55, 0.25, 0.14, 0.06])
    true = rng.choice(4, n, p=share)
    given = np.where(rng.random(n) < noise, (true + rng.integers(1, 4, n)) % 4, true)
    X_ = 2.4 * np.eye(4)[true] + rng.normal(0, spread, (n, 4))
    score = 2.4 * X_ / spread**2 + np.log(share)
    score = 0.6 * (score - score.max(axis=1, keepdims=True))
    p = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    frame_ = pd.DataFrame(p, columns=names, index=rng.permutation(n) + 100)
    return frame_, names[given], given != true


for seed, n, noise, spread in ((1, 200, 0.1, 1.0), (2, 150, 0.2, 1.4), (3, 90, 0, 1.0)):
    p, given_, wrong = noisy_clouds(seed, n, noise, spread)
    kept = p.copy()
    want = by_definition(p, list(given_))
    got = find_noisy_labels(p, given_)
    assert p.equals(kept), "probability was changed"
    assert list(got.index) == [row[0] for row in want], (
        f"{len(got)} suspects, the definition gives {len(want)}, or another order"
    )
    assert list(got["suggested"]) == [row[2] for row in want], "other suggestions"
    assert list(got["label"]) == [row[1] for row in want], "label is the given one"
    assert np.allclose(got["margin"], [row[3] for row in want]), "other margins"
    assert set(got.columns) == {"label", "suggested", "margin"}, f"{list(got.columns)}"
    order = np.random.default_rng(seed).permutation(n)
    moved = find_noisy_labels(p.iloc[order], list(given_[order]))
    assert set(moved.index) == set(got.index), "rows in another order"
    swapped = find_noisy_labels(p[p.columns[::-1]], given_)
    assert list(swapped.index) == list(got.index), "columns in another order"
    renamed = find_noisy_labels(
        p.rename(columns=lambda name: f"{name[::-1]}!"),
        [f"{name[::-1]}!" for name in given_],
    )
    assert list(renamed.index) == list(got.index), "a class's name means nothing"
    empty_class = find_noisy_labels(p.assign(unused=0.0), given_)
    assert list(empty_class.index) == list(got.index), (
        "a class without labels has no threshold and is not suggested"
    )
for seed in (21, 22, 23):
    rng = np.random.default_rng(seed)
    p = pd.DataFrame(rng.dirichlet([3, 2, 1, 0.5], 80), columns=list("wxyz"))
    given_ = np.array([rng.choice(list("wxyz"), p=row) for row in p.to_numpy()])
    want = by_definition(p, list(given_))
    got = find_noisy_labels(p, given_)
    assert list(got.index) == [row[0] for row in want], "confident of several classes"
    assert list(got["suggested"]) == [row[2] for row in want], (
        "of several classes that reach their thresholds, the largest probability counts"
    )
precision, recall = [], []
for seed in (11, 12, 13):
    p, given_, wrong = noisy_clouds(seed, 3000, 0.06, 0.8)
    got = find_noisy_labels(p, given_)
    wrong = pd.Series(wrong, index=p.index)
    precision.append(wrong[got.index].mean())
    recall.append(wrong[got.index].sum() / wrong.sum())
    first = wrong[got.index[: wrong.sum() // 2]].mean()
    assert first > precision[-1], "the clearest contradictions must come first"
assert 0.6 < np.mean(precision) < 0.98 and 0.6 < np.mean(recall) < 0.995, (
    f"precision {np.mean(precision):.2f}, recall {np.mean(recall):.2f} against the"
    " injected errors"
)
for bad in (["billing"] * 5, ["billing"] * 5 + ["refund"]):
    try:
        find_noisy_labels(six_probabilities, bad)
    except ValueError:
        continue
    raise AssertionError("a missing or unknown label must raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ### The suspects among the tickets
#
# The embeddings come from the encoder as it is, before any fine-tuning. The simulator knows which labels it changed, so precision and recall can be computed here; in practice, somebody reads the first fifty.

# %%
embedding = minilm.embed(list(train["text"]))
probability = out_of_fold_probabilities(embedding, train["label"], family)
suspects = find_noisy_labels(probability, train["label"])
is_wrong = train["label"] != train["true_label"]
top = suspects.index[:50]
print(
    f"{is_wrong.sum()} of {len(train):,} labels are wrong. Suspects: {len(suspects)},"
    f" precision {is_wrong[suspects.index].mean():.2f}, recall"
    f" {is_wrong[suspects.index].sum() / is_wrong.sum():.2f}; of the first 50,"
    f" {is_wrong[top].mean():.0%} are wrong"
)
train.loc[suspects.index[:5], ["text", "label"]].join(suspects["suggested"])

# %% [markdown]
# The clearest suspects are left out of training; they are not relabelled, because a suggestion is right less often than a suspicion. How many is a parameter of the budget for reading; here it is the first three per cent.

# %%
dropped = suspects.index[: int(0.03 * len(train))]
clean = train.drop(index=dropped)
print(
    f"{len(dropped)} tickets dropped, {is_wrong[dropped].sum()} of them rightly;"
    f" {is_wrong[clean.index].mean():.1%} of the remaining labels are wrong, before it"
    f" was {is_wrong.mean():.1%}"
)

# %% [markdown]
# ## Fine-tuning on SageMaker
#
# `src/train.py` fine-tunes MiniLM-L6 in AWS's Hugging Face container: the encoder's folder is a channel, so the job needs no hub. AWS publishes this container for GPUs alone; the local SageMaker runs the same script on the processor. The validation part comes from phrase banks of its own, which is what early stopping and thresholds need.

# %%
aws = connect(lab="text")
print(aws, aws.instance_type("endpoint"))
work = Path(mkdtemp(prefix="text-lab-"))
parts = {"train": clean, "validation": validation}
uris = {}
for name, rows in parts.items():
    (work / name).mkdir()
    rows[["text", "label"]].to_csv(work / name / "rows.csv", index=False)
    uris[name] = aws.upload(work / name, f"data/{name}")
uris["model"] = aws.upload(minilm.folder(), "encoder")
{name: len(rows) for name, rows in parts.items()}

# %%
from sagemaker.train import ModelTrainer, configs

EPOCHS = {"smoke": 1, "lab": 3, "full": 4}[aws.scale]
job_prefix = f"{aws.prefix}finetune"
trainer = ModelTrainer(
    training_image=aws.image("huggingface"),
    source_code=configs.SourceCode(source_dir="src", entry_script="train.py"),
    compute=configs.Compute(instance_type="ml.g4dn.xlarge", instance_count=1),
    hyperparameters={
        "epochs": EPOCHS,
        "batch_size": 32,
        "learning_rate": 2e-4,
        "max_seq_len": max_seq_len,
        "seed": SEED,
    },
    stopping_condition=configs.StoppingCondition(max_runtime_in_seconds=3600),
    output_data_config=configs.OutputDataConfig(
        s3_output_path=f"s3://{aws.bucket}/course/text/models"
    ),
    base_job_name=job_prefix,
    sagemaker_session=aws.sdk_session(),
    role=aws.role,
)
trainer.train(
    input_data_config=[
        configs.InputData(channel_name=name, data_source=uri)
        for name, uri in uris.items()
    ],
    wait=False,
)

# %%
latest = aws.sagemaker.list_training_jobs(
    NameContains=job_prefix, SortBy="CreationTime", SortOrder="Descending", MaxResults=1
)
job = deployment.wait_for_training(
    aws, latest["TrainingJobSummaries"][0]["TrainingJobName"]
)
artifact = aws.download(
    job["ModelArtifacts"]["S3ModelArtifacts"], work / "trained.tar.gz"
)
shutil.unpack_archive(artifact, work / "model", filter="data")
print(
    job["TrainingJobStatus"],
    f"{job['TrainingTimeInSeconds']} s",
    (work / "model" / "metrics.json").read_text(),
)

# %% [markdown]
# ## Task 4: between the HTTP body and the model
#
# An asynchronous endpoint is sent files: thousands of tickets in JSON lines. SageMaker's containers call four functions: `model_fn` loads the model, `input_fn` reads the body, `predict_fn` answers, `output_fn` writes the answer. An exception in any of them sends the *whole file* to the failure path. So one bad line must not raise: it becomes a record with an error, and its answer says so.
#
# Each function has to stand alone; `codecs`, `json` and `torch` are imported where they run.
#
# ### 4a. Reading


# %% nbgrader="solution" grade_id="input_fn"
def input_fn(body: bytes | str, content_type: str, max_chars: int = 20_000) -> list:
    r"""The records of a request in JSON lines.

    Lines end with \n, or with \r\n, and with nothing else: U+2028 or U+0085 inside a
    text do not end a line. Lines of white space alone are left out. A UTF-8 byte order
    mark at the beginning of the body is ignored.

    Args:
        body: bytes, or text.
        content_type: application/jsonlines or application/x-jsonlines, in any case,
            with or without parameters such as charset.
        max_chars: the longest text that is accepted, characters.

    Returns:
        One dict for each line, in order: id, text, error. In a good line, an object
        with an id (a string or an integer; a boolean is neither) and a text (a string)
        and possibly others, error is None. In others, text is None and error is the
        first that applies:
        "encoding": the line's bytes are not UTF-8;
        "json": the line is not JSON;
        "schema": it is no object with id and text as above;
        "unicode": the text holds half of a surrogate pair, as in "\ud83d";
        "empty": the text is of white space alone;
        "oversize": the text has more than max_chars characters.
        The id is kept where the line has a good one, and None elsewhere.

    Raises:
        ValueError: the content type is another.
    """
    ### BEGIN SOLUTION
    media_type = content_type.split(";")[0].strip().lower()
    if media_type not in ("application/jsonlines", "application/x-jsonlines"):
        raise ValueError(
            f"content type must be application/jsonlines, got {media_type}"
        )
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")

    def read(line: bytes) -> dict:
        identifier = None
        try:
            found = json.loads(line.decode("utf-8"))
            if isinstance(found, dict) and type(found.get("id")) in (str, int):
                identifier = found["id"]
            if identifier is None or not isinstance(found.get("text"), str):
                return {"id": identifier, "text": None, "error": "schema"}
            found["text"].encode("utf-8")
        except UnicodeDecodeError:
            return {"id": None, "text": None, "error": "encoding"}
        except UnicodeEncodeError:
            return {"id": identifier, "text": None, "error": "unicode"}
        except ValueError:
            return {"id": None, "text": None, "error": "json"}
        text, error = found["text"], None
        if not text.strip():
            error = "empty"
        elif len(text) > max_chars:
            error = "oversize"
        return {"id": identifier, "text": None if error else text, "error": error}

    lines = bytes(body).removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [read(line.strip(b" \t\r")) for line in lines if line.strip(b" \t\r\v\f")]
    ### END SOLUTION


# %%
four_lines = (
    '{"id": 7, "text": "Où est mon colis ?"}\n'
    '{"id": "a-8", "text": "  "}\r\n'
    "\n"
    '{"id": 9, "text": "cut o\n'
    '{"text": "no id"}'
)
pd.DataFrame(input_fn(four_lines.encode(), "application/jsonlines; charset=utf-8"))

# %% nbgrader="test" grade_id="test_input_fn" points=2
"""One record a line, errors included; only another content type raises."""
got = input_fn(four_lines.encode(), "application/jsonlines; charset=utf-8")
want = [
    {"id": 7, "text": "Où est mon colis ?", "error": None},
    {"id": "a-8", "text": None, "error": "empty"},
    {"id": None, "text": None, "error": "json"},
    {"id": None, "text": None, "error": "schema"},
]
assert len(got) == 4, f"four lines that are not blank, got {len(got)} records"
for record, expected in zip(got, want, strict=True):
    assert record == expected, f"expected {expected}, got {record}"
for body in (b"", "", b"\n \n"):
    assert input_fn(body, "application/jsonlines") == [], f"{body!r} holds no record"
try:
    input_fn(b"{}", "text/csv")
    raise AssertionError("text/csv must raise ValueError")
except ValueError:
    pass
### BEGIN HIDDEN TESTS
cases = {
    "a line separator inside a text": (
        '{"id": 1, "text": "a\u2028b\u0085c\u2029d\x1ce"}'.replace("\x1c", "").encode(),
        [(1, "a\u2028b\u0085c\u2029de", None)],
    ),
    "a byte order mark": (
        b"\xef\xbb\xbf" + b'{"id": 1, "text": "x"}\n',
        [(1, "x", None)],
    ),
    "bytes that are not UTF-8": (
        b'{"id": 1, "text": "ok"}\n{"id": 2, "text": "\xff\xfe"}\n{"id":3,"text":"z"}',
        [(1, "ok", None), (None, None, "encoding"), (3, "z", None)],
    ),
    "a character cut in half": (
        '{"id": 1, "text": "Größe"}'.encode()[:-6],
        [(None, None, "encoding")],
    ),
    "half of a surrogate pair": (
        b'{"id": "q", "text": "\\ud83d"}\n{"id": 2, "text": "\\ud83d\\ude00"}',
        [("q", None, "unicode"), (2, "\U0001f600", None)],
    ),
    "ids of other types": (
        b'{"id": true, "text": "x"}\n{"id": null, "text": "x"}\n'
        b'{"id": 1.5, "text": "x"}\n{"id": [1], "text": "x"}\n{"id": 0, "text": "x"}',
        [(None, None, "schema")] * 4 + [(0, "x", None)],
    ),
    "texts of other types": (
        b'{"id": 4, "text": null}\n{"id": 5, "text": ["x"]}\n{"id": 6}\n{"id":7,"text":8}',
        [(one, None, "schema") for one in (4, 5, 6, 7)],
    ),
    "no objects": (b'"text"\n[1]\n3\nnull', [(None, None, "schema")] * 4),
    "white space of other scripts": (
        '{"id": 1, "text": "\u3000\u00a0\\n"}'.encode(),
        [(1, None, "empty")],
    ),
    "other members": (
        b'  {"text": "x", "priority": 3, "id": "y"}  \r\n',
        [("y", "x", None)],
    ),
    "a text of white space at its ends": (
        b'{"id": 1, "text": " x "}',
        [(1, " x ", None)],
    ),
}
for why, (body, want) in cases.items():
    for kind in ("application/jsonlines", "Application/X-JsonLines; charset=UTF-8"):
        got = input_fn(body, kind)
        found = [(one["id"], one["text"], one["error"]) for one in got]
        assert found == want, f"{why}: expected {want}, got {found}"
rng = np.random.default_rng(2)
alphabet = list('ab ä字😀\u200d\u2028"\\')
for max_chars in (5, 40):
    texts_ = [
        "x" + "".join(rng.choice(alphabet, int(rng.integers(0, 60)))) for _ in range(80)
    ]
    for ascii_only in (False, True):
        body = "\n".join(
            json.dumps({"id": i, "text": text}, ensure_ascii=ascii_only)
            for i, text in enumerate(texts_)
        )
        for given in (body, body.encode(), body.replace("\n", "\r\n\r\n")):
            got = input_fn(given, "application/x-jsonlines", max_chars=max_chars)
            assert [one["id"] for one in got] == list(range(80)), "one record a line"
            for record, text in zip(got, texts_, strict=True):
                if len(text) > max_chars:
                    assert record["error"] == "oversize" and record["text"] is None, (
                        f"{len(text)} characters of {max_chars}: got {record}"
                    )
                else:
                    assert record["text"] == text and record["error"] is None, (
                        f"{len(text)} characters of {max_chars} are allowed: {record}"
                    )
for kind in ("application/json", "text/plain", "", "application/jsonlinesx"):
    try:
        input_fn(b'{"id": 1, "text": "x"}', kind)
    except ValueError:
        continue
    raise AssertionError(f"content type {kind!r} must raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ### 4b. Answering
#
# The model is a tuple: a classifier (a `torch` module: token ids and attention mask in, logits out), its tokenizer and its labels. Batches are what makes it fast and what makes it wrong: padding that is not masked changes the answer of a text with its neighbours, sorting by length mixes up the answers, and a batch of long texts needs more memory than the instance has. The memory of a batch goes with its padded tokens, rows times longest, so that is what is limited.


# %% nbgrader="solution" grade_id="predict_fn"
def predict_fn(records: list, model: tuple, max_batch_tokens: int = 8192) -> list:
    """Answers for records of input_fn, in their order.

    Texts are cut to tokenizer.model_max_length tokens and go through the classifier
    in batches of texts of like length: rows times the longest row, in tokens, is at
    most max_batch_tokens, unless the batch is one text. Over all batches, padding adds
    less than a quarter to the tokens of the texts when there are many texts.

    Args:
        records: dicts with id, text, error, as input_fn gives them. Not changed.
        model: a torch module, called as module(input_ids=, attention_mask=) with int64
            tensors of shape (rows, longest) for logits (rows, k); a tokenizer of
            transformers; k labels in the order of the logits. It may be in training
            mode: it answers without dropout and without gradients.
        max_batch_tokens: the largest batch, padded tokens.

    Returns:
        One dict for each record: id; label, the most probable one; scores, probability
        by label (float); error. Of a record with an error, label is None, scores is {}
        and error is the record's.
    """
    ### BEGIN SOLUTION
    classifier, tokenizer, labels = model
    answers = [
        {"id": r["id"], "label": None, "scores": {}, "error": r["error"]}
        for r in records
    ]
    good = [i for i, record in enumerate(records) if record["error"] is None]
    if not good:
        return answers
    tokens = tokenizer(
        [records[i]["text"] for i in good],
        truncation=True,
        max_length=tokenizer.model_max_length,
    )["input_ids"]
    batches, batch = [], []
    for row in sorted(range(len(good)), key=lambda row: len(tokens[row])):
        if batch and (len(batch) + 1) * len(tokens[row]) > max_batch_tokens:
            batches, batch = [*batches, batch], []
        batch.append(row)
    classifier.eval()
    with torch.inference_mode():
        for rows in [*batches, batch]:
            padded = tokenizer.pad(
                {"input_ids": [tokens[row] for row in rows]}, return_tensors="pt"
            )
            logits = classifier(
                input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]
            )
            for row, p in zip(
                rows, torch.softmax(logits.double(), 1).tolist(), strict=True
            ):
                answer = answers[good[row]]
                answer["scores"] = dict(zip(labels, p, strict=True))
                answer["label"] = max(answer["scores"], key=answer["scores"].get)
    return answers
    ### END SOLUTION


# %% tags=["setup"]
class SmallClassifier(torch.nn.Module):
    """Random embeddings, dropout, and a mean over the tokens that are not padding."""

    def __init__(self, vocabulary: int, n_classes: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = torch.nn.Embedding(vocabulary, 16)
        self.dropout = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(16, n_classes)
        self.calls = []

    def forward(self, input_ids, attention_mask):
        """Logits, shape (rows, n_classes); every call is noted down."""
        self.calls.append((tuple(input_ids.shape), torch.is_grad_enabled()))
        position = 1 + torch.arange(input_ids.shape[1]) / 40
        kept = (attention_mask * position).unsqueeze(-1)
        tokens = self.embedding(input_ids) * kept
        return self.head(self.dropout(tokens.sum(1) / kept.sum(1).clamp(min=1)))


# %%
tokenizer = AutoTokenizer.from_pretrained(minilm.folder())
small_model = SmallClassifier(tokenizer.vocab_size, 3, 0), tokenizer, ["a", "b", "c"]
two_records = [
    {"id": 1, "text": None, "error": "json"},
    {"id": 2, "text": "Where is my parcel?", "error": None},
]
predict_fn(two_records, small_model)

# %% nbgrader="test" grade_id="test_predict_fn" points=3 tags=["in-process"]
"""Answers in order, independent of the neighbours, in batches of bounded size."""
answered = predict_fn(two_records, small_model)
assert len(answered) == 2, f"one answer for each record, got {len(answered)}"
assert answered[0] == {"id": 1, "label": None, "scores": {}, "error": "json"}, (
    f"a record with an error keeps it, got {answered[0]}"
)
assert answered[1]["id"] == 2 and answered[1]["error"] is None
assert set(answered[1]["scores"]) == {"a", "b", "c"}, "a score for each label"
assert abs(sum(answered[1]["scores"].values()) - 1) < 1e-6, "probabilities sum to 1"
assert answered[1]["label"] == max(answered[1]["scores"], key=answered[1]["scores"].get)
assert predict_fn([], small_model) == [], "no records: no answers"
### BEGIN HIDDEN TESTS
tokenizer_ = AutoTokenizer.from_pretrained(minilm.folder(), model_max_length=64)
drawn = np.random.default_rng(7)
vocabulary_ = [
    "parcel",
    "refund",
    "login",
    "broken",
    "äpfel",
    "字",
    "😀",
    "unbelievably",
]
texts_ = [
    " ".join(drawn.choice(vocabulary_, int(size)))
    for size in drawn.integers(1, 60, 150)
]
records_ = [
    {"id": f"t{i}", "text": text, "error": None} for i, text in enumerate(texts_)
]
for place in (0, 40, 149):
    records_[place] = {"id": place, "text": None, "error": "oversize"}
kept_ = [dict(record) for record in records_]
module_ = SmallClassifier(tokenizer_.vocab_size, 4, 3)
for budget in (256, 1000, 8192):
    module_.train()
    module_.calls.clear()
    got_ = predict_fn(records_, (module_, tokenizer_, list("wxyz")), budget)
    assert [one["id"] for one in got_] == [one["id"] for one in kept_], (
        "the order moved"
    )
    assert records_ == kept_, "records were changed"
    shapes_ = [shape for shape, _ in module_.calls]
    assert not any(gradients for _, gradients in module_.calls), "gradients are kept"
    assert all(rows * longest <= budget or rows == 1 for rows, longest in shapes_), (
        f"a batch of {max(r * n for r, n in shapes_)} padded tokens, allowed are {budget}"
    )
    assert sum(rows for rows, _ in shapes_) == 147, "147 texts go through the model"
    assert max(longest for _, longest in shapes_) <= 64, "texts are cut to 64 tokens"
    lengths_ = [
        len(tokenizer_(one["text"], truncation=True, max_length=64)["input_ids"])
        for one in kept_
        if one["error"] is None
    ]
    padded_ = sum(rows * longest for rows, longest in shapes_)
    if budget <= 1000:
        assert padded_ < 1.25 * sum(lengths_), (
            f"{padded_} padded tokens for {sum(lengths_)}: batch texts of like length"
        )
    assert len(shapes_) <= 2 * sum(lengths_) / budget + 3, (
        f"{len(shapes_)} batches for {sum(lengths_)} tokens: fill them"
    )
    module_.eval()
    with torch.no_grad():
        for one, record in zip(got_, kept_, strict=True):
            if record["error"] is not None:
                assert one == {
                    "id": record["id"],
                    "label": None,
                    "scores": {},
                    "error": record["error"],
                }
                continue
            alone_ = tokenizer_(
                [record["text"]], truncation=True, max_length=64, return_tensors="pt"
            )
            p_ = torch.softmax(
                module_(
                    input_ids=alone_["input_ids"],
                    attention_mask=alone_["attention_mask"],
                ),
                1,
            )[0].tolist()
            assert np.allclose(
                [one["scores"][name] for name in "wxyz"], p_, atol=1e-5
            ), (
                f"{record['id']}: the answer differs from the one it gets alone: mask the"
                " padding, leave out dropout, keep the order"
            )
            assert one["label"] == "wxyz"[int(np.argmax(p_))], f"{record['id']}: label"
            assert isinstance(one["scores"]["w"], float), (
                "scores are floats, not tensors"
            )
json.dumps(got_)
errors_ = [{"id": i, "text": None, "error": "empty"} for i in range(3)]
assert [one["error"] for one in predict_fn(errors_, small_model)] == ["empty"] * 3
### END HIDDEN TESTS

# %% [markdown]
# ### 4c. Writing
#
# The client says in `Accept` what it can read, possibly several media types with weights *q* (RFC 9110): `text/csv;q=0.5, application/jsonlines` prefers JSON lines. `*/*` takes anything.


# %% nbgrader="solution" grade_id="output_fn"
def output_fn(answers: list, accept: str) -> str:
    r"""The answers of predict_fn as text, one line for each, in order.

    Args:
        answers: dicts with id, label, scores, error.
        accept: media types, separated by commas, in any case, each with an optional
            weight ";q=" from 0 to 1 (1 if there is none; 0 means "not this one").

    Returns:
        JSON lines, each answer as a JSON object in which characters beyond ASCII stay
        as they are, each line ending with \n; or CSV: the columns id, label, score
        and error, a header, lines ending with \r\n, quoted where needed; score is the
        label's own with six decimals; None is an empty field. Of the media types
        application/jsonlines, application/x-jsonlines and text/csv, the one with the
        largest weight; of equal ones, the first in accept. */* and application/* stand
        for JSON lines, text/* for CSV.

    Raises:
        ValueError: accept allows neither.
    """
    ### BEGIN SOLUTION
    jsonl = ("application/jsonlines", "application/x-jsonlines", "application/*", "*/*")
    best, kind = 0.0, None
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [p.partition("=") for p in parameters]
        q = next((float(value) for key, _, value in weights if key.strip() == "q"), 1.0)
        if q > best and (name in jsonl or name in ("text/csv", "text/*")):
            best, kind = q, "jsonl" if name in jsonl else "csv"
    if kind is None:
        raise ValueError(
            f"accept must allow application/jsonlines or text/csv: {accept}"
        )
    if kind == "jsonl":
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in answers)

    def field(value) -> str:
        text = "" if value is None else str(value)
        quoted = '"' + text.replace('"', '""') + '"'
        return quoted if set(text) & set('",\r\n') else text

    lines = ["id,label,score,error"]
    for one in answers:
        score = "" if one["label"] is None else f"{one['scores'][one['label']]:.6f}"
        fields = one["id"], one["label"], score, one["error"]
        lines.append(",".join(field(value) for value in fields))
    return "".join(f"{line}\r\n" for line in lines)
    ### END SOLUTION


# %%
three_answers = [
    {"id": 1, "label": None, "scores": {}, "error": "json"},
    {"id": "ü", "label": "b", "scores": {"a": 0.25, "b": 0.75}, "error": None},
    {"id": 'x, "y"', "label": "a", "scores": {"a": 0.5, "b": 0.5}, "error": None},
]
print(output_fn(three_answers, "text/csv"))

# %% nbgrader="test" grade_id="test_output_fn" points=1
"""One line for each answer, in the format that the client prefers."""
lines = output_fn(three_answers, "application/jsonlines").split("\n")
assert lines[-1] == "" and len(lines) == 4, "three lines, each ending with a newline"
assert [json.loads(line) for line in lines[:-1]] == three_answers
assert "ü" in lines[1], "characters beyond ASCII stay as they are"
table = output_fn(three_answers, "application/jsonlines;q=0.1, text/csv")
assert table.split("\r\n")[:3] == [
    "id,label,score,error",
    "1,,,json",
    "ü,b,0.750000,",
], f"CSV has the larger weight; got {table!r}"
### BEGIN HIDDEN TESTS
letters = list('ab,";ü字\n\r')
drawn = np.random.default_rng(5)
many_answers = [
    {
        "id": "".join(drawn.choice(letters, 6)) if i % 3 else i,
        "label": None if i % 5 == 0 else ["p,q", "r"][i % 2],
        "scores": {} if i % 5 == 0 else {"p,q": 1 - i / 99, "r": i / 99},
        "error": "json" if i % 5 == 0 else None,
    }
    for i in range(60)
]
written = output_fn(many_answers, "text/csv")
rows = list(csv.reader(io.StringIO(written, newline="")))
assert rows[0] == ["id", "label", "score", "error"] and len(rows) == 61, (
    f"{len(rows)} rows"
)
for row, one in zip(rows[1:], many_answers, strict=True):
    score = "" if one["label"] is None else f"{one['scores'][one['label']]:.6f}"
    want = [str(one["id"]), one["label"] or "", score, one["error"] or ""]
    assert row == want, f"expected {want}, got {row}"
as_json = output_fn(many_answers, "application/jsonlines")
assert [json.loads(line) for line in as_json.split("\n")[:-1]] == many_answers
for accept, kind in {
    "*/*": "json",
    "text/*": "csv",
    "application/*": "json",
    "TEXT/CSV": "csv",
    "application/x-jsonlines": "json",
    "image/png, text/csv;q=0.3": "csv",
    "text/csv;q=0.3,application/jsonlines;q=0.4": "json",
    "text/csv; q=0.9 , */*;q=0.1": "csv",
    "application/jsonlines;q=0, text/csv;q=0.01": "csv",
    "text/csv, application/jsonlines": "csv",
    "application/jsonlines, text/csv": "json",
    "text/csv;charset=utf-8;q=0.2, application/jsonlines;q=0.1": "csv",
}.items():
    got = output_fn(three_answers, accept)
    assert got.startswith("{" if kind == "json" else "id,"), f"{accept}: {kind} is due"
assert (
    output_fn([], "*/*") == ""
    and output_fn([], "text/csv").strip() == rows[0][0] + ",label,score,error"
), "no answers: no lines, or the header alone"
for accept in ("image/png", "", "text/csv;q=0", "application/json"):
    try:
        output_fn(three_answers, accept)
    except ValueError:
        continue
    raise AssertionError(f"accept {accept!r} must raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ### From the notebook to the endpoint
#
# `contract.py` is written from your three functions; `inference.py` adds the model and calls them with two arguments, because AWS's Hugging Face toolkit hands its *context* to any function that takes a third. `contract.py` is imported here first, in an empty namespace: what only works because the notebook happens to know a name fails here and not in the container.

# %%
code = work / "code"
code.mkdir()
shutil.copy("src/classifier.py", code)
sources = [inspect.getsource(one) for one in (input_fn, predict_fn, output_fn)]
head = "import codecs\nimport json\n\nimport torch\n"
(code / "contract.py").write_text("\n\n".join([head, *sources]))
(code / "inference.py").write_text(
    """from pathlib import Path

import classifier
import contract
from transformers import AutoTokenizer


def model_fn(model_dir):
    module, labels = classifier.load(Path(model_dir))
    return module, AutoTokenizer.from_pretrained(model_dir), labels


def input_fn(body, content_type):
    return contract.input_fn(body, content_type)


def predict_fn(records, model):
    return contract.predict_fn(records, model)


def output_fn(answers, accept):
    return contract.output_fn(answers, accept)
"""
)
specification = importlib.util.spec_from_file_location("contract", code / "contract.py")
contract = importlib.util.module_from_spec(specification)
specification.loader.exec_module(contract)
contract.predict_fn(
    contract.input_fn(four_lines, "application/jsonlines"), small_model
)[1:]

# %%
package = deployment.package_model(work / "model", code, work / "model.tar.gz")
endpoint = deployment.deploy_async(
    aws,
    aws.name("async"),
    aws.image("huggingface", "inference"),
    aws.upload(package, "models/endpoint"),
    environment={
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    },
    concurrent=1,
)
print(f"{package.stat().st_size / 1e6:.0f} MB in model.tar.gz; {endpoint} serves")

# %% [markdown]
# Each request is a file in Amazon S3, and so is each answer. One of the lines below is broken on purpose: its neighbours are answered all the same.


# %%
def ask(texts: dict) -> pd.DataFrame:
    """Answers of the endpoint for texts by id, indexed by id."""
    body = "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in texts.items())
    answer = deployment.invoke_async(
        aws, endpoint, body, "application/jsonlines", "application/jsonlines"
    )
    return pd.DataFrame(
        [json.loads(line) for line in answer.decode().split("\n") if line]
    ).set_index("id")


scored_parts = pd.concat([validation, test])
by_id = scored_parts.set_index("ticket_id")["text"].to_dict()
chunks = [dict(list(by_id.items())[i : i + 250]) for i in range(0, len(by_id), 250)]
chunks[0] |= {"broken": "\ud83d"}
started = time.perf_counter()
with ThreadPoolExecutor(8) as pool:
    answered = pd.concat(pool.map(ask, chunks))
elapsed = time.perf_counter() - started
print(f"{len(answered)} answers to {len(chunks)} requests in {elapsed:.1f} s")
answered.loc[["broken", *list(by_id)[:3]], ["label", "error"]]

# %% nbgrader="test" grade_id="test_endpoint" points=2 tags=["in-process"]
"""Every ticket is answered by id; the broken line carries its error."""
assert set(answered.index) == {"broken", *by_id}, (
    f"{len(answered)} answers for {len(by_id) + 1} lines"
)
assert answered.loc["broken", "error"] == "unicode", "half a surrogate pair is an error"
assert answered["error"].notna().sum() == 1, "all others are answered"
### BEGIN HIDDEN TESTS
fresh = ask(dict(list(by_id.items())[:20]))
assert (fresh["label"] == answered.loc[fresh.index, "label"]).all(), (
    "other neighbours, other answers"
)
test_answers = answered.loc[test["ticket_id"], "label"].to_numpy()
f1 = f1_score(test["true_label"], test_answers, average="macro")
assert 0.4 < f1 < 0.97, (
    f"macro-F1 {f1:.3f} on the test part: below 0.4 the texts and the answers do"
    " not belong together, above 0.97 one has seen the test phrases"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5: the answer, or none
#
# ### 5a. Macro-F1 with abstention
#
# Macro-F1 is the mean of the classes' F1, so a class with ten tickets counts as much as one with four hundred. It is often computed wrongly: over the classes that happen to be predicted, or with abstentions dropped from the denominator, which makes a classifier look better the less it answers.


# %% nbgrader="solution" grade_id="macro_f1"
def macro_f1(label, answer) -> tuple[float, pd.Series]:
    """Macro-F1 of answers, some of which may be None, and the F1 of each class.

    F1 of a class is 2 * TP / (2 * TP + FP + FN). A ticket without an answer is missed
    by its own class (FN) and taken by none (no FP).

    Args:
        label: true class of each ticket, text, shape (n,).
        answer: predicted class, or None, shape (n,).

    Returns:
        The mean over all classes that occur in label or in answer, and a series of F1
        by class in ascending order.

    Raises:
        ValueError: there are no tickets, or the lengths differ.
    """
    ### BEGIN SOLUTION
    label, answer = list(label), [None if pd.isna(a) else a for a in answer]
    if not label or len(label) != len(answer):
        raise ValueError(f"{len(label)} labels and {len(answer)} answers")
    classes = sorted(set(label) | {a for a in answer if a is not None})
    pairs = list(zip(label, answer, strict=True))
    f1 = {
        one: 2 * pairs.count((one, one)) / (label.count(one) + answer.count(one))
        for one in classes
    }
    return float(np.mean(list(f1.values()))), pd.Series(f1, dtype=float)
    ### END SOLUTION


# %%
true_six = ["login", "login", "refund", "refund", "refund", "outage"]
answer_six = ["login", None, "refund", "login", "refund", "invoice"]
macro_f1(true_six, answer_six)

# %% nbgrader="test" grade_id="test_macro_f1" points=2
"""Every class that occurs counts once; an abstention is a miss."""
got, each = macro_f1(true_six, answer_six)
for one, want, why in (
    ("login", 2 / 4, "TP 1, FP 1, FN 1: the abstention is a miss"),
    ("refund", 4 / 5, "TP 2, FN 1"),
    ("outage", 0, "never predicted"),
    ("invoice", 0, "predicted once, never true: it counts, with 0"),
):
    assert one in each, f"class {one} is missing, got {list(each.index)}"
    assert np.isclose(each[one], want), (
        f"{one}: expected {want}, got {each[one]}: {why}"
    )
assert np.isclose(got, 1.3 / 4), f"the mean of four classes is .325, got {got}"
### BEGIN HIDDEN TESTS
for seed, n, k, quiet in ((1, 200, 6, 0.3), (2, 40, 8, 0.0), (3, 15, 10, 0.9)):
    rng = np.random.default_rng(seed)
    names = np.array([f"class {i}" for i in range(k)], dtype=object)
    y = names[rng.integers(0, k, n)]
    guess = np.where(rng.random(n) < 0.5, y, names[rng.integers(0, k, n)])
    guess = np.where(rng.random(n) < quiet, None, guess)
    occurring = sorted(set(y) | {one for one in guess if one is not None})
    asked = [one if one is not None else "(none)" for one in guess]
    want = f1_score(y, asked, labels=occurring, average=None, zero_division=0)
    got, each = macro_f1(y, guess)
    assert list(each.index) == occurring, f"classes {list(each.index)}, not {occurring}"
    assert np.allclose(each, want), f"seed {seed}: F1 by class differs"
    assert np.isclose(got, want.mean()), f"expected {want.mean():.4f}, got {got:.4f}"
    order = rng.permutation(n)
    for change, other in {
        "lists": macro_f1(list(y), list(guess)),
        "shuffled": macro_f1(y[order], guess[order]),
        "every ticket twice": macro_f1(np.tile(y, 2), np.tile(guess, 2)),
        "series with another index": macro_f1(
            pd.Series(y, index=order), pd.Series(guess, index=order[::-1])
        ),
    }.items():
        assert np.isclose(other[0], got), f"{change}: {other[0]:.4f}, before {got:.4f}"
    hits, silent = np.flatnonzero(y == guess), guess.copy()
    silent[hits[:3]] = None
    assert not len(hits) or macro_f1(y, silent)[0] < got, (
        "withdrawing right answers must cost"
    )
assert macro_f1(["a", "b"], [None, None])[0] == 0, "no answer at all earns 0"
assert macro_f1(["a", "b"], ["a", "b"])[0] == 1
for bad in (([], []), (["a"], ["a", "b"])):
    try:
        macro_f1(*bad)
    except ValueError:
        continue
    raise AssertionError("no tickets, or lengths that differ: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### 5b. Thresholds by class, abstention by coverage
#
# The largest probability favours frequent classes. One threshold per class, fitted on validation data, lets a rare class win with .3. Whoever is unsure should hand over to a person; how often is a matter of staff, so the *coverage* is given: the share of tickets that are answered. Both are fitted on validation data, and a ticket's answer depends on nothing but the ticket.


# %% nbgrader="solution" grade_id="decide_or_abstain"
def decide_or_abstain(
    fitted: pd.DataFrame, fitted_label, asked: pd.DataFrame, coverage: float
) -> pd.Series:
    """Answers for tickets, by thresholds and a cut that are fitted on others.

    The threshold of a class is the probability t, among those that fitted has in the
    class's column and that are above 0, at which "the class's probability is at least
    t" has the largest F1 against "the label is the class"; of equal F1, the largest t.
    A class without labels has the threshold 1.

    The confidence in a class is its probability over its threshold. A ticket's answer
    is the class with the largest confidence; of equal ones, the first column. The cut
    is the largest confidence, among those of the answers to fitted, that at least the
    share coverage of fitted reaches. A ticket below it is answered None.

    Args:
        fitted: validation probabilities, one row per ticket, one column per class.
        fitted_label: their true classes, shape (n,).
        asked: probabilities of the tickets to answer, the same columns in any order.
        coverage: share of fitted to answer, above 0 and at most 1.

    Returns:
        Answers, class or None, dtype object, indexed as asked.

    Raises:
        ValueError: coverage is out of range, or the columns differ.
    """
    ### BEGIN SOLUTION
    if not 0 < coverage <= 1 or set(fitted.columns) != set(asked.columns):
        raise ValueError(f"coverage {coverage} must be in (0, 1], the columns the same")
    label = np.asarray(fitted_label)
    thresholds = {}
    for one in fitted.columns:
        p, y = fitted[one].to_numpy(float), label == one
        candidates = np.unique(p[p > 0])[::-1]
        if not y.any() or not len(candidates):
            thresholds[one] = 1.0
            continue
        taken = np.searchsorted(np.sort(-p), -candidates, side="right")
        found = np.searchsorted(np.sort(-p[y]), -candidates, side="right")
        thresholds[one] = candidates[np.argmax(2 * found / (taken + y.sum()))]
    threshold = pd.Series(thresholds)

    def confidence(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[fitted.columns] / threshold

    best = np.sort(confidence(fitted).max(axis=1).to_numpy())[::-1]
    cut = best[int(np.ceil(coverage * len(best) - 1e-9)) - 1]
    ratio = confidence(asked)
    answer = ratio.idxmax(axis=1).astype(object)
    return answer.where(ratio.max(axis=1) >= cut, None)
    ### END SOLUTION


# %%
small = pd.DataFrame(
    {"login": [0.9, 0.8, 0.6, 0.55, 0.7], "refund": [0.1, 0.2, 0.4, 0.45, 0.3]}
)
small_label = ["login", "login", "refund", "refund", "login"]
decide_or_abstain(small, small_label, small, coverage=0.6)

# %% nbgrader="test" grade_id="test_decide_or_abstain" points=4
"""A threshold for each class, a cut for the coverage, both from the fitted rows."""
got = decide_or_abstain(small, small_label, small, coverage=1.0)
assert list(got) == ["login", "login", "refund", "refund", "login"], (
    "login's threshold is .7 and refund's .4: .6 / .7 is less than .4 / .4, so the third"
    f" ticket is a refund; got {list(got)}"
)
got = decide_or_abstain(small, small_label, small, coverage=0.6)
assert list(got) == ["login", "login", None, "refund", None], (
    "confidences are 1.29, 1.14, 1, 1.125 and 1: three of five reach 1.125, got"
    f" {list(got)}"
)


### BEGIN HIDDEN TESTS
def answers(fitted_, labels, asked_, coverage):
    """The definition, candidate by candidate."""
    threshold = {}
    for one in fitted_.columns:
        p, y = fitted_[one].to_numpy(), np.asarray(labels) == one
        best = (-1.0, 1.0)
        for t in sorted(set(p[p > 0])):
            taken = p >= t
            score = 2 * (taken & y).sum() / (taken.sum() + y.sum())
            if score >= best[0] - 1e-12:
                best = (score, t)
        threshold[one] = best[1] if y.any() else 1.0

    def judged(frame_):
        ratio = frame_[list(threshold)].to_numpy() / np.array(list(threshold.values()))
        return ratio.argmax(axis=1), ratio.max(axis=1)

    reached = sorted(judged(fitted_)[1], reverse=True)
    cut = max(c for c in reached if np.mean(np.array(reached) >= c) >= coverage - 1e-9)
    column, sure = judged(asked_)
    names = list(threshold)
    return [names[c] if s >= cut else None for c, s in zip(column, sure, strict=True)]


def drawn_probabilities(seed, n, k, levels=None):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(k, 0.7))
    y = rng.choice(k, n, p=share)
    score = rng.normal(0, 1, (n, k)) + 1.3 * np.eye(k)[y] + np.log(share + 0.02)
    p = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    p = np.round(p * levels) / levels if levels else p
    names = np.array([f"c{i}" for i in range(k)], dtype=object)
    return pd.DataFrame(p, columns=names, index=rng.permutation(n)), names[y]


for seed, n, k, levels in (
    (1, 150, 4, None),
    (2, 80, 6, 20),
    (3, 60, 3, 8),
    (4, 30, 9, 50),
):
    fitted_, labels_ = drawn_probabilities(seed, n, k, levels)
    asked_, asked_labels = drawn_probabilities(seed, 2 * n, k, levels)
    asked_ = asked_.iloc[n:]
    kept = fitted_.copy(), asked_.copy()
    for coverage in (0.25, 0.5, 0.8, 1.0):
        want = answers(fitted_, labels_, asked_, coverage)
        got = decide_or_abstain(fitted_, labels_, asked_, coverage)
        assert list(got.index) == list(asked_.index), "answers are indexed as asked"
        plain = [None if pd.isna(one) else one for one in got]
        assert plain == want, (
            f"{n} tickets, {k} classes, coverage {coverage}:"
            f" {sum(a != b for a, b in zip(plain, want, strict=True))} of {len(want)} answers differ"
        )
        own = decide_or_abstain(fitted_, labels_, fitted_, coverage)
        assert own.notna().mean() >= coverage - 1e-9, (
            f"{own.notna().mean():.0%} of the fitted tickets are answered"
        )
    assert fitted_.equals(kept[0]) and asked_.equals(kept[1]), "an argument was changed"
    base = decide_or_abstain(fitted_, labels_, asked_, 0.6)
    alone = decide_or_abstain(fitted_, labels_, asked_.iloc[[3]], 0.6)
    assert str(alone.iloc[0]) == str(base.iloc[3]), (
        "a ticket's answer depends on who else is asked: fit on the fitted rows alone"
    )
    mirrored = decide_or_abstain(
        fitted_, list(labels_), asked_[asked_.columns[::-1]], 0.6
    )
    assert list(mirrored.fillna("-")) == list(base.fillna("-")), (
        "columns of asked moved"
    )
    order = np.random.default_rng(seed).permutation(n)
    moved = decide_or_abstain(fitted_.iloc[order], labels_[order], asked_, 0.6)
    assert list(moved.fillna("-")) == list(base.fillna("-")), "fitted rows moved"
    twice = decide_or_abstain(
        pd.concat([fitted_, fitted_]), np.tile(labels_, 2), asked_, 0.6
    )
    assert list(twice.fillna("-")) == list(base.fillna("-")), "fitted rows twice"
tied = pd.DataFrame({"a": [0.9, 0.8, 0.7, 0.6], "b": [0.1, 0.2, 0.3, 0.4]})
probe = pd.DataFrame({"a": [0.93, 0.9], "b": [0.24, 0.1]})
got = list(decide_or_abstain(tied, list("abba"), probe, 1.0))
want = answers(tied, list("abba"), probe, 1.0)
assert got == want, (
    "of class a, .9 finds one of two without an error, .6 both with two: equal F1, so"
    f" the threshold is .9; expected {want}, got {got}"
)
ghost = small.assign(outage=[0.0, 0.0, 0.0, 0.0, 0.2])
silent = decide_or_abstain(ghost, small_label, ghost, 1.0)
assert list(silent) == ["login", "login", "refund", "refund", "login"], (
    "a class without labels has threshold 1: .2 does not win"
)
for bad in (
    {"coverage": 0},
    {"coverage": 1.1},
    {"asked": small.rename(columns={"refund": "invoice"})},
):
    good = {"fitted": small, "fitted_label": small_label, "asked": small}
    try:
        decide_or_abstain(**{**good, "coverage": 0.5, **bad})
    except ValueError:
        continue
    raise AssertionError(f"{next(iter(bad))}: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### On the tickets
#
# Thresholds and cut come from the validation part, whose labels hold errors; the test part judges.

# %%
labels = sorted(train["label"].unique())
scores = pd.DataFrame(answered.loc[list(by_id), "scores"].to_list(), index=list(by_id))
fitted = scores.loc[validation["ticket_id"], labels]
asked = scores.loc[test["ticket_id"], labels]
rows, curve = {}, []
for coverage in (1.0, 0.95, 0.9, 0.8, 0.7, 0.5):
    answer = decide_or_abstain(fitted, validation["label"], asked, coverage)
    given = answer.notna().to_numpy()
    right = answer[given] == test.loc[given, "true_label"].to_numpy()
    rows[f"coverage {coverage:.0%}"] = {
        "answered": given.mean(),
        "accuracy of answers": right.mean(),
        "macro-F1, abstentions missed": macro_f1(test["true_label"], answer)[0],
    }
    curve.append((given.mean(), 1 - right.mean()))
plain = asked.idxmax(axis=1)
rows["largest probability"] = {
    "answered": 1.0,
    "accuracy of answers": (plain.to_numpy() == test["true_label"].to_numpy()).mean(),
    "macro-F1, abstentions missed": macro_f1(test["true_label"], plain)[0],
}
pd.DataFrame(rows).T.round(3)

# %%
plots.risk_coverage(
    {"fine-tuned": pd.DataFrame(curve, columns=["coverage", "risk"])}, 0.8
)
macro_f1(test["true_label"], plain)[1].sort_values().round(2)

# %% [markdown]
# ## Task 6: an endpoint that sleeps
#
# An asynchronous endpoint may have no instance at all. Target tracking on the backlog per instance adds and removes instances, but it cannot wake the endpoint: a backlog per instance does not exist without an instance. SageMaker publishes `HasBacklogWithoutCapacity` for that, 1 while requests wait and nothing serves; an alarm on it executes a step policy that adds the first instance.
#
# The deadline (SLO) is for a request's whole way, from arrival to answer. Before the fleet is large enough, time goes by: a minute until the metric is there and the alarm has seen it, an instance's start, the three minutes that target tracking waits, and another start. What is left is what each instance may take to work off its share of the backlog. That share is the target value. A smaller one meets the deadline too, with instances that nobody needed.


# %% nbgrader="solution" grade_id="scaling_requests"
def scaling_requests(
    endpoint: str,
    max_instances: int,
    seconds_per_request: float,
    provisioning_seconds: float,
    slo_seconds: float,
) -> dict[str, dict]:
    """The requests that scale an asynchronous endpoint from zero and back.

    Args:
        endpoint: its name; the variant is AllTraffic.
        max_instances: the account's quota.
        seconds_per_request: of one instance, which works on one request at a time.
        provisioning_seconds: from a decision until the instance serves.
        slo_seconds: from a request's arrival to its answer.

    Returns:
        Members of four calls, without AlarmActions, which are known only later:
        target: RegisterScalableTarget, from 0 to max_instances;
        tracking: PutScalingPolicy, TargetTrackingScaling on the average of
            ApproximateBacklogSizePerInstance;
        step: PutScalingPolicy, StepScaling, which adds an instance;
        alarm: PutMetricAlarm on HasBacklogWithoutCapacity, with a period of 60 s.
        Requests are answered within slo_seconds, as far as max_instances allow it, for
        no more than 1.4 times the instance minutes that this takes. Without requests
        the endpoint goes back to 0.

    Raises:
        ValueError: slo_seconds leave no time for a request, after two starts and five
            minutes until the alarms have acted.
    """
    ### BEGIN SOLUTION
    left = slo_seconds - 2 * provisioning_seconds - 5 * 60
    if left < seconds_per_request:
        raise ValueError(
            f"{left:g} s are left for a request of {seconds_per_request} s"
        )
    place = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    metric = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
        "Statistic": "Average",
    }
    return {
        "target": place | {"MinCapacity": 0, "MaxCapacity": max_instances},
        "tracking": place
        | {
            "PolicyName": f"{endpoint}-backlog",
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": left / seconds_per_request,
                "CustomizedMetricSpecification": metric
                | {"MetricName": "ApproximateBacklogSizePerInstance"},
                "ScaleOutCooldown": 60,
                "ScaleInCooldown": 60,
            },
        },
        "step": place
        | {
            "PolicyName": f"{endpoint}-wake",
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "Cooldown": int(provisioning_seconds) + 60,
                "StepAdjustments": [
                    {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
                ],
            },
        },
        "alarm": metric
        | {
            "AlarmName": f"{endpoint}-wake",
            "MetricName": "HasBacklogWithoutCapacity",
            "Period": 60,
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0,
        },
    }
    ### END SOLUTION


# %% [markdown]
# `backlog.simulate` runs the four requests against a list of arrivals, minute by minute, with the arithmetic of Application Auto Scaling.

# %% tags=["setup"]
CALLS = {
    "target": ("application-autoscaling", "RegisterScalableTarget"),
    "tracking": ("application-autoscaling", "PutScalingPolicy"),
    "step": ("application-autoscaling", "PutScalingPolicy"),
    "alarm": ("cloudwatch", "PutMetricAlarm"),
}
sdk = botocore.session.get_session()
INPUTS = {
    key: sdk.get_service_model(service).operation_model(operation).input_shape
    for key, (service, operation) in CALLS.items()
}


def unknown_values(value, shape, path: str) -> list[str]:
    """Where a request has a value that botocore's model does not list."""
    if shape.type_name == "structure":
        parts = [(f"{path}.{k}", v, shape.members[k]) for k, v in value.items()]
    elif shape.type_name == "list":
        parts = [(f"{path}[{i}]", v, shape.member) for i, v in enumerate(value)]
    else:
        listed = getattr(shape, "enum", None)
        return [f"{path}={value}"] if listed and value not in listed else []
    return [found for p, v, s in parts for found in unknown_values(v, s, p)]


# %%
CASE = {
    "endpoint": "e",
    "max_instances": 12,
    "seconds_per_request": 6.0,
    "provisioning_seconds": 240.0,
    "slo_seconds": 1200.0,
}
asked_for = scaling_requests(**CASE)
drained = backlog.simulate(asked_for, [30.0] * 300, 6.0, 240.0, minutes=60)
print(
    f"300 requests at once: the last after {drained.wait_seconds.max():.0f} s,"
    f" {drained.instance_minutes:.0f} instance minutes"
)
drained.trace.iloc[::6]

# %% nbgrader="test" grade_id="test_scaling_requests" points=4
"""Four valid requests; a burst into a sleeping endpoint is answered in time."""
asked_for = scaling_requests(**CASE)
assert set(asked_for) == set(CALLS), (
    f"the keys are {list(CALLS)}, got {list(asked_for)}"
)
for key, shape in INPUTS.items():
    validate_parameters(asked_for[key], shape)
    wrong = unknown_values(asked_for[key], shape, key)
    assert not wrong, f"values that AWS does not know: {wrong}"
assert asked_for["target"]["MinCapacity"] == 0, "the endpoint sleeps at 0 instances"
drained = backlog.simulate(asked_for, [30.0] * 300, 6.0, 240.0, minutes=60)
assert drained.wait_seconds.max() <= 1200, (
    f"the last of 300 requests waits {drained.wait_seconds.max():.0f} s, allowed are 1200"
)
assert drained.trace["desired"].iloc[-1] == 0, "after the burst it goes back to 0"


### BEGIN HIDDEN TESTS
def model_answer(endpoint, quota, seconds, provisioning, slo):
    """Requests that meet the deadline with the instances that it takes."""
    place = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    metric = {"Period": 60, "Statistic": "Average"}
    tracked = metric | {"MetricName": "ApproximateBacklogSizePerInstance"}
    return {
        "target": place | {"MinCapacity": 0, "MaxCapacity": quota},
        "tracking": {
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": (slo - 2 * provisioning - 300) / seconds,
                "CustomizedMetricSpecification": tracked,
                "ScaleOutCooldown": 60,
                "ScaleInCooldown": 60,
            }
        },
        "step": {
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ExactCapacity",
                "Cooldown": 300,
                "StepAdjustments": [
                    {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
                ],
            }
        },
        "alarm": metric
        | {
            "MetricName": "HasBacklogWithoutCapacity",
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0,
        },
    }


def poisson(seed, per_minute):
    """Arrival times of a Poisson stream, a rate for each minute."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(per_minute)
    return np.sort(
        np.repeat(np.arange(len(counts)), counts) * 60 + rng.random(counts.sum()) * 60
    )


SETTINGS = {
    "small requests": ("tickets-v2", 12, 6.0, 240.0, 1200.0),
    "large requests": ("nightly", 20, 45.0, 300.0, 3600.0),
    "a tight deadline": ("a-b", 30, 2.0, 120.0, 700.0),
    "a quick start": ("x1", 8, 20.0, 30.0, 1800.0),
}
for why, (name, quota, seconds, provisioning, slo) in SETTINGS.items():
    got = scaling_requests(name, quota, seconds, provisioning, slo)
    for key, shape in INPUTS.items():
        validate_parameters(got[key], shape)
        wrong = unknown_values(got[key], shape, key)
        assert not wrong, f"values that AWS does not know: {wrong}"
    for key in ("target", "tracking", "step"):
        assert got[key]["ServiceNamespace"] == "sagemaker", f"{key}: ServiceNamespace"
        assert got[key]["ResourceId"] == f"endpoint/{name}/variant/AllTraffic", (
            f"{key}: the resource is the endpoint's variant, got {got[key]['ResourceId']}"
        )
        assert (
            got[key]["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
        ), f"{key}: ScalableDimension"
    limits = got["target"]["MinCapacity"], got["target"]["MaxCapacity"]
    assert limits == (0, quota), f"from 0 to {quota} instances, got {limits}"
    assert got["step"]["PolicyType"] == "StepScaling"
    assert got["tracking"]["PolicyType"] == "TargetTrackingScaling"
    assert got["step"]["PolicyName"] != got["tracking"]["PolicyName"], (
        "the second policy of a name replaces the first"
    )
    tracking = got["tracking"]["TargetTrackingScalingPolicyConfiguration"]
    for where, metric_name in (
        (
            tracking.get("CustomizedMetricSpecification"),
            "ApproximateBacklogSizePerInstance",
        ),
        (got["alarm"], "HasBacklogWithoutCapacity"),
    ):
        assert where and where["MetricName"] == metric_name, f"{metric_name} is due"
        assert where["Namespace"] == "AWS/SageMaker", f"{metric_name}: the namespace"
        assert where["Dimensions"] == [{"Name": "EndpointName", "Value": name}], (
            f"{metric_name} has one dimension, the endpoint's name: {where['Dimensions']}"
        )
    unit = (slo - 2 * provisioning - 300) / seconds
    traces = {
        "one burst": np.full(int(3.2 * unit), 20.0),
        "one request": np.array([100.0]),
        "two bursts an hour apart": np.repeat([5.0, 3605.0], int(2.1 * unit)),
        "a stream": poisson(1, np.full(90, 60 / seconds * 1.7)),
        "a rising stream": poisson(2, np.linspace(0, 60 / seconds * 2.5, 120)),
    }
    for trace_name, arrivals in traces.items():
        minutes = 260
        drained = backlog.simulate(got, arrivals, seconds, provisioning, minutes)
        best = backlog.simulate(
            model_answer(*SETTINGS[why]), arrivals, seconds, provisioning, minutes
        )
        longest = drained.wait_seconds.max()
        assert longest <= max(slo, best.wait_seconds.max() + 60), (
            f"{why}, {trace_name}: a request waits {longest:.0f} s, the deadline is {slo:g}"
        )
        assert drained.trace["desired"].iloc[-1] == 0, (
            f"{why}, {trace_name}: stays awake"
        )
        assert drained.instance_minutes <= 1.4 * best.instance_minutes + 10, (
            f"{why}, {trace_name}: {drained.instance_minutes:.0f} instance minutes,"
            f" {best.instance_minutes:.0f} do: is the target value smaller than needed?"
        )
    idle = backlog.simulate(got, [], seconds, provisioning, 30)
    assert idle.instance_minutes == 0, "without requests there is no instance"
for bad in (("e", 4, 6.0, 240.0, 700.0), ("e", 4, 60.0, 100.0, 550.0)):
    try:
        scaling_requests(*bad)
    except ValueError:
        continue
    raise AssertionError(
        f"a deadline of {bad[-1]:g} s cannot be met: ValueError is due"
    )
### END HIDDEN TESTS

# %% [markdown]
# ### To sleep and awake
#
# The same requests, sent to the endpoint that serves. The local SageMaker runs cooldowns and alarm periods faster than AWS (`LOCAL_SAGEMAKER_SPEEDUP`), while work takes as long as it takes: durations are converted to AWS's time. The policy's ARN becomes the alarm's action.


# %%
def instances() -> int:
    """Instances behind the endpoint."""
    found = aws.sagemaker.describe_endpoint(EndpointName=endpoint)
    return found["ProductionVariants"][0]["CurrentInstanceCount"]


def written() -> int:
    """Answers that lie in S3."""
    pages = aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=aws.bucket, Prefix=f"course/text/async/{endpoint}/output/"
    )
    return sum(len(page.get("Contents", [])) for page in pages)


# %%
speedup = (
    float(os.environ.get("LOCAL_SAGEMAKER_SPEEDUP", "60"))
    if aws.backend == "local"
    else 1
)
seconds_per_request = elapsed / len(chunks) * speedup
provisioning_seconds = 8 * speedup if aws.backend == "local" else 300
slo = 2 * provisioning_seconds + 300 + 6 * seconds_per_request
wanted = scaling_requests(endpoint, 2, seconds_per_request, provisioning_seconds, slo)
scaling = aws.client("application-autoscaling")
scaling.register_scalable_target(**wanted["target"])
scaling.put_scaling_policy(**wanted["tracking"])
policy = scaling.put_scaling_policy(**wanted["step"])
aws.cloudwatch.put_metric_alarm(**wanted["alarm"], AlarmActions=[policy["PolicyARN"]])
print(
    f"{seconds_per_request / speedup:.2f} s a request; deadline {slo / speedup:.0f} s here,"
    f" {slo:.0f} s in AWS's time"
)


# %% [markdown]
# Nobody sends a request, so target tracking takes the instance away.

# %%
patience = 600 if aws.backend == "local" else 3600
asleep_by = time.monotonic() + patience
while wanted and instances() > 0 and time.monotonic() < asleep_by:
    time.sleep(aws.poll_seconds)
print(f"no request for a while: {instances()} instances")

# %%
N_REQUESTS = {"smoke": 12, "lab": 24, "full": 48}[aws.scale]
lines = [json.dumps({"id": i, "text": t}) for i, t in chunks[-1].items()]
body = "\n".join(lines)
uri = f"s3://{aws.bucket}/course/text/async/{endpoint}/input/burst"
aws.s3.put_object(Bucket=aws.bucket, Key=uri.split("/", 3)[3], Body=body.encode())
before, began, trace = written(), time.monotonic(), []
deadline = began + (patience if wanted else 0)
for _ in range(N_REQUESTS):
    aws.runtime.invoke_endpoint_async(
        EndpointName=endpoint,
        InputLocation=uri,
        ContentType="application/jsonlines",
        Accept="application/jsonlines",
    )
while time.monotonic() < deadline:
    waiting, serving = before + N_REQUESTS - written(), instances()
    trace.append((time.monotonic() - began, waiting, serving))
    if waiting == serving == 0:
        break
    time.sleep(aws.poll_seconds)
trace = pd.DataFrame(trace, columns=["time", "backlog", "instances"])
drained_at = trace.loc[trace["backlog"] == 0, "time"].min()
ax = plots.scaling_trace(trace, objective=slo / speedup)
_ = ax.set_title(f"{N_REQUESTS} requests, answered after {drained_at:.0f} s")

# %% nbgrader="test" grade_id="test_scaling" points=1 tags=["in-process"]
"""The endpoint woke, answered all, and went back to sleep."""
assert trace["backlog"].iloc[-1] == 0, "requests are still waiting"
assert trace["instances"].max() >= 1, "no instance was started for the backlog"
assert instances() == 0, "the endpoint did not go back to 0"
### BEGIN HIDDEN TESTS
found = scaling.describe_scalable_targets(
    ServiceNamespace="sagemaker", ResourceIds=[wanted["target"]["ResourceId"]]
)["ScalableTargets"]
assert found[0]["MinCapacity"] == 0, "the scalable target is registered from 0"
### END HIDDEN TESTS

# %% [markdown]
# ### What it costs
#
# The ledger prices the training job by its seconds and the endpoint from creation to now. Awake only while there is work, instances are billed for the minutes that the simulation gives at AWS's pace, with five minutes for a start; kept awake, one is billed for all of the month.

# %%
hourly = costs.hourly_price(aws.instance_type("endpoint"))
seconds = elapsed / len(chunks)
at_aws = backlog.simulate(
    scaling_requests(endpoint, 2, seconds, 300, 900 + 8 * seconds),
    [0.0] * N_REQUESTS,
    seconds,
    provisioning_seconds=300,
    minutes=240,
)
awake = at_aws.instance_minutes / 60
priced = costs.estimate(aws.ledger)
pd.Series(
    {
        "training job (USD)": priced.loc[priced["kind"] == "training job", "usd"].sum(),
        "one burst, from sleep to sleep (USD)": awake * hourly,
        "one instance, awake all month (USD)": 730 * hourly,
        "bursts a month at which sleep stops paying": 730 / awake,
    }
).round(4)

# %% [markdown] nbgrader="manual" grade_id="design_question" points=5
# ## Design question: the topic that nobody has seen
#
# In June the company launches a marketplace. Within a week, 12 % of the tickets are about it; none of the ten classes fits, and the classifier answers them all. In at most 400 words: how do you notice, with which quantities and at which values; what does the endpoint do with such tickets the same day; how do you get labels for an eleventh class, how many and chosen how; and what do you check before the new model replaces the old one? State what your proposal costs.
#
# *Rubric, one point each:* a signal that does not need labels, with a number and its false-alarm rate; a same-day measure that changes routing and not the model; a labelling plan with a size, a sampling rule and a price; a comparison of the models that keeps near-duplicates and the launch date apart and looks at the worst class; the asynchronous path: what happens to files in the queue, to the failure path and to the deadline meanwhile.
#
# <!-- BEGIN SOLUTION -->
# **Noticing.** Mean confidence hardly moves: a softmax spreads its certainty over the ten classes it has. Three signals without labels: the share of tickets below the coverage cut (set for 10 % abstention; with 1,000 tickets a day its standard error is .95 points, so an alarm at 13 % on two days in succession has a false-alarm rate below one in 400,000 days); the distance of a ticket's embedding to its nearest training ticket, as PSI against the month before (alarm at .2); the share of each predicted class. The first two see a topic of 12 % within two days, the third tells where its tickets went.
#
# **The same day.** The cut is raised so that tickets far from all training tickets are answered None and go to the team of the day: about 120 tickets more, 3 minutes each, 6 hours of an agent, 240 USD a day. The model is untouched; the change is a number in the endpoint's environment and can be taken back.
#
# **Labels.** Cluster the abstained tickets, one label per family of near-duplicates, two agents each, disagreements to a third. 150 families for the eleventh class and 150 of its neighbours (refund, delivery), half drawn at random and half by uncertainty: the random half is the test set, because a set chosen by uncertainty estimates nothing. 300 · 2 · 1 minute ≈ 10 hours, 400 USD. The learning curve of the module says that 100 to 150 labels bring a class to within .05 of its plateau.
#
# **Before the replacement.** Test tickets dated after the training tickets, families on one side; macro-F1 and the worst of the eleven classes with bootstrap intervals over families; the ten old classes must not lose more than .02 each. A shadow run on a day's queue, disagreements read by a person.
#
# **The queue.** Files carry the model's version in their answer, so that tickets answered in the bad week can be found and sent again: 7,000 tickets in files of 250 are 28 requests, minutes on one instance. The endpoint is updated while the queue stands; requests in flight finish on the old model, the others wait, and the deadline is announced. The failure path is read: a line that is no valid ticket does not land there, a file that kills the model does.
# <!-- END SOLUTION -->

# %% [markdown]
# ## Clean up
#
# An asynchronous endpoint with requests in its queue wakes up and is billed. The cell removes policies and alarm, prices what ran, and deletes everything that this lab made.

# %% tags=["cleanup"]
if "wanted" in globals():
    aws.cloudwatch.delete_alarms(AlarmNames=[wanted["alarm"]["AlarmName"]])
    place = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    scaling.deregister_scalable_target(**{key: wanted["target"][key] for key in place})
print(f"on AWS: {costs.estimate(aws.ledger)['usd'].sum():.4f} USD at list prices")
shutil.rmtree(work)
cleanup.delete_lab(aws)
