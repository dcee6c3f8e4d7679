"""Answers that the tests of find_families must tell apart."""

import re

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer


def _check(threshold):
    if not 0 < threshold <= 1:
        raise ValueError("threshold is out of range")


def _sets(texts, n):
    normal = [" ".join(text.lower().split()) for text in texts]
    return [
        frozenset(t[i : i + n] for i in range(len(t) - n + 1)) or frozenset([t])
        for t in normal
    ]


def _linked(n_texts, near, chain=True):
    """Families by union-find; without chains, a text joins the first it is near to."""
    parent = list(range(n_texts))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(n_texts):
        for j in range(i):
            if chain and near(i, j):
                low, high = sorted((root(i), root(j)))
                parent[high] = low
            elif not chain and parent[j] == j and near(i, j):
                parent[i] = j
                break
    return pd.factorize(np.array([root(i) for i in range(n_texts)], dtype=int))[0]


def _jaccard(sets, threshold):
    return lambda i, j: len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j]) > 0


def right_by_union_find(texts, threshold=0.5, n=5):
    # candidates from an inverted index, joined one by one
    _check(threshold)
    sets, parent, index = _sets(texts, n), {}, {}

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, own in enumerate(sets):
        parent[i] = i
        for j in {j for shingle in own for j in index.get(shingle, ())}:
            if len(own & sets[j]) >= threshold * len(own | sets[j]):
                low, high = sorted((root(i), root(j)))
                parent[high] = low
        for shingle in own:
            index.setdefault(shingle, []).append(i)
    return pd.factorize(np.array([root(i) for i in parent], dtype=int))[0]


def wrong_no_chains(texts, threshold=0.5, n=5):
    # compares with the first text of a family only
    _check(threshold)
    return _linked(len(texts), _jaccard(_sets(texts, n), threshold), chain=False)


def wrong_exact_duplicates(texts, threshold=0.5, n=5):
    # equal after normalisation, nothing more
    _check(threshold)
    return pd.factorize(
        np.array([" ".join(t.lower().split()) for t in texts], dtype=object)
    )[0]


def wrong_counts_shingles(texts, threshold=0.5, n=5):
    # multisets: repeated shingles count each time
    _check(threshold)
    normal = [" ".join(text.lower().split()) for text in texts]
    bags = [
        frozenset(
            (t[i : i + n], t[:i].count(t[i : i + n])) for i in range(len(t) - n + 1)
        )
        or frozenset([t])
        for t in normal
    ]
    return _linked(len(texts), _jaccard(bags, threshold))


def wrong_overlap_coefficient(texts, threshold=0.5, n=5):
    # intersection over the smaller set: every long text contains some short one
    _check(threshold)
    sets = _sets(texts, n)
    return _linked(
        len(texts),
        lambda i, j: (
            len(sets[i] & sets[j]) >= threshold * min(len(sets[i]), len(sets[j]))
        ),
    )


def wrong_words_instead_of_characters(texts, threshold=0.5, n=5):
    # sets of words
    _check(threshold)
    words = [
        frozenset(re.findall(r"\w+", text.lower())) or frozenset([""]) for text in texts
    ]
    return _linked(len(texts), _jaccard(words, threshold))


def wrong_keeps_case(texts, threshold=0.5, n=5):
    # a text in capitals is another text
    _check(threshold)
    normal = [" ".join(text.split()) for text in texts]
    sets = [
        frozenset(t[i : i + n] for i in range(len(t) - n + 1)) or frozenset([t])
        for t in normal
    ]
    return _linked(len(texts), _jaccard(sets, threshold))


def wrong_cosine_of_tfidf(texts, threshold=0.5, n=5):
    # another similarity, at the same threshold
    _check(threshold)
    if not len(texts):
        return np.zeros(0, dtype=int)
    model = TfidfVectorizer(analyzer="char", ngram_range=(1, n), lowercase=True)
    rows = model.fit_transform([text or " " for text in texts])
    near = (rows @ rows.T).toarray() >= threshold
    return _linked(len(texts), lambda i, j: near[i, j])
