"""Answers that the tests of honest_classes must tell apart."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    cross_val_predict,
)
from sklearn.neighbors import KNeighborsClassifier

VECTOR = [f"v{i}" for i in range(6)]


def _predicted(rows, target, model, folds, groups=None):
    X, y = rows[VECTOR].to_numpy(), rows[target].to_numpy()
    found = cross_val_predict(model, X, y, cv=folds, groups=groups)
    return pd.Series(found, index=rows.index)


def _neighbours():
    return KNeighborsClassifier(n_neighbors=9)


def right_by_logistic_regression(rows, target="label"):
    # another learner, folds by a remainder of the source's id
    fold = rows["source_id"].to_numpy() % 4
    model = LogisticRegression(max_iter=500)
    return _predicted(rows, target, model, LeaveOneGroupOut(), fold)


def right_by_hand(rows, target="label"):
    # a loop over ten blocks of sources
    found = pd.Series(index=rows.index, dtype=object)
    for block in range(10):
        own = rows["source_id"] % 10 == block
        model = _neighbours().fit(rows.loc[~own, VECTOR], rows.loc[~own, target])
        found[own] = model.predict(rows.loc[own, VECTOR])
    return found


def wrong_folds_of_rows(rows, target="label"):
    # translations on both sides
    return _predicted(
        rows, target, _neighbours(), KFold(5, shuffle=True, random_state=0)
    )


def wrong_folds_of_languages(rows, target="label"):
    # one language is left out: its reviews are there in four others
    return _predicted(rows, target, _neighbours(), GroupKFold(5), rows["language"])


def wrong_trains_on_everything(rows, target="label"):
    # no row is left out
    X, y = rows[VECTOR].to_numpy(), rows[target].to_numpy()
    return pd.Series(_neighbours().fit(X, y).predict(X), index=rows.index)


def wrong_takes_the_label(rows, target="label"):
    # the answer itself
    return rows[target].copy()


def wrong_votes_of_translations(rows, target="label"):
    # the majority of the review's own labels
    mode = rows.groupby("source_id")[target].agg(lambda labels: labels.mode()[0])
    return rows["source_id"].map(mode)


def wrong_always_the_most_frequent(rows, target="label"):
    # nothing is learnt from the vectors
    return pd.Series(rows[target].mode()[0], index=rows.index)


def wrong_loses_the_index(rows, target="label"):
    # numbered anew
    return right_by_hand(rows, target).reset_index(drop=True)


def wrong_draws_folds_anew(rows, target="label"):
    # another answer on every call
    order = np.random.default_rng().permutation(rows["source_id"].max() + 1)
    fold = order[rows["source_id"]] % 5
    return _predicted(rows, target, _neighbours(), LeaveOneGroupOut(), fold)
