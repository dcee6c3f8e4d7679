"""Answers that the tests of honest_probabilities must tell apart."""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def _parts(rows, asked):
    is_asked = rows["family"].isin(asked)
    return rows[~is_asked], rows[is_asked]


def _fitted(vocabulary, fitted, wanted, classes, weight="balanced"):
    """TF-IDF of a vocabulary's texts, regression of the fitted rows."""
    vectorizer = TfidfVectorizer(analyzer="word", sublinear_tf=True).fit(
        vocabulary["text"]
    )
    model = LogisticRegression(C=10, max_iter=400, tol=1e-3, class_weight=weight)
    model.fit(vectorizer.transform(fitted["text"]), fitted["label"])
    p = model.predict_proba(vectorizer.transform(wanted["text"]))
    table = pd.DataFrame(p, wanted.index, model.classes_)
    return table.reindex(columns=sorted(set(classes)), fill_value=0.0)


def right_by_characters(rows, asked):
    # character n-grams bear typing errors
    fitted, wanted = _parts(rows, asked)
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True
    )
    X = vectorizer.fit_transform(fitted["text"])
    model = LogisticRegression(C=10, max_iter=400, tol=1e-3, class_weight="balanced")
    model.fit(X, fitted["label"])
    p = model.predict_proba(vectorizer.transform(wanted["text"]))
    classes = sorted(set(rows["label"]))
    return pd.DataFrame(p, wanted.index, model.classes_).reindex(
        columns=classes, fill_value=0.0
    )


def wrong_vocabulary_of_all(rows, asked):
    # document frequencies know the asked texts
    fitted, wanted = _parts(rows, asked)
    return _fitted(rows, fitted, wanted, rows["label"])


def wrong_fits_everything(rows, asked):
    # the asked families are in the training set
    _, wanted = _parts(rows, asked)
    return _fitted(rows, rows, wanted, rows["label"])


def wrong_splits_rows(rows, asked):
    # a random half of the asked families is trained on
    fitted, wanted = _parts(rows, asked)
    half, _ = train_test_split(wanted, test_size=0.5, random_state=0)
    both = pd.concat([fitted, half])
    return _fitted(both, both, wanted, rows["label"])


def wrong_frequent_classes_win(rows, asked):
    # no weights and a strong penalty: rare classes have no chance
    fitted, wanted = _parts(rows, asked)
    vectorizer = TfidfVectorizer().fit(fitted["text"])
    model = LogisticRegression(C=0.1).fit(
        vectorizer.transform(fitted["text"]), fitted["label"]
    )
    p = model.predict_proba(vectorizer.transform(wanted["text"]))
    table = pd.DataFrame(p, wanted.index, model.classes_)
    return table.reindex(columns=sorted(set(rows["label"])), fill_value=0.0)


def wrong_normalises_over_the_asked(rows, asked):
    # divides by each class's mean over the asked tickets
    fitted, wanted = _parts(rows, asked)
    p = _fitted(fitted, fitted, wanted, rows["label"])
    p = p / np.maximum(p.mean(), 1e-9)
    return p.div(p.sum(axis=1), axis=0)


def wrong_classes_of_the_others(rows, asked):
    # a class that only the asked families have gets no column
    fitted, wanted = _parts(rows, asked)
    return _fitted(fitted, fitted, wanted, fitted["label"])


def wrong_decisions(rows, asked):
    # ones and zeros
    p = right_by_characters(rows, asked)
    return p.eq(p.max(axis=1), axis=0).astype(float)


def wrong_shares(rows, asked):
    # the shares of the classes for everybody
    fitted, wanted = _parts(rows, asked)
    share = fitted["label"].value_counts(normalize=True)
    share = share.reindex(sorted(set(rows["label"])), fill_value=0.0)
    return pd.DataFrame([share.to_numpy()] * len(wanted), wanted.index, share.index)


def wrong_trains_nothing(rows, asked):
    # the name of a class in the text is its rule
    _, wanted = _parts(rows, asked)
    classes = sorted(set(rows["label"]))
    hit = np.array(
        [
            [0.1 + (c.split("_")[0] in t.lower()) for c in classes]
            for t in wanted["text"]
        ]
    )
    return pd.DataFrame(hit / hit.sum(axis=1, keepdims=True), wanted.index, classes)
