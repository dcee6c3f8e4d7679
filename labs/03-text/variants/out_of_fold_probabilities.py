"""Answers that the tests of out_of_fold_probabilities must tell apart."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def _check(family, n_folds):
    if len(set(family)) < n_folds:
        raise ValueError("fewer families than folds")


def _fitted(X, label, folds, model):
    label = np.asarray(label)
    p = pd.DataFrame(0.0, index=range(len(X)), columns=sorted(set(label)))
    for fitted, asked in folds:
        model.fit(X[fitted], label[fitted])
        p.loc[asked, list(model.classes_)] = model.predict_proba(X[asked])
    return p


def _regression(C=0.03):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-2))


def right_by_stratified_groups(X, label, family, n_folds=5):
    # folds that also balance the classes
    _check(family, n_folds)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    return _fitted(X, label, folds.split(X, label, family), _regression(0.05))


def wrong_splits_rows(X, label, family, n_folds=5):
    # near-copies are on both sides of a fold
    _check(family, n_folds)
    folds = KFold(n_folds, shuffle=True, random_state=0)
    return _fitted(X, label, folds.split(X), _regression())


def wrong_in_sample(X, label, family, n_folds=5):
    # fitted on all rows, asked about the same rows
    _check(family, n_folds)
    every = np.arange(len(X))
    return _fitted(X, label, [(every, every)], _regression())


def wrong_drops_missing_classes(X, label, family, n_folds=5):
    # columns are those that the last fold knew
    _check(family, n_folds)
    folds, label = StratifiedGroupKFold(n_folds), np.asarray(label)
    parts = []
    for fitted, asked in folds.split(X, label, family):
        model = _regression().fit(X[fitted], label[fitted])
        parts.append(pd.DataFrame(model.predict_proba(X[asked]), asked, model.classes_))
    return pd.concat(parts, join="inner").sort_index()


def wrong_order_of_folds(X, label, family, n_folds=5):
    # rows come back fold by fold
    _check(family, n_folds)
    folds, label = StratifiedGroupKFold(n_folds), np.asarray(label)
    p = _fitted(X, label, folds.split(X, label, family), _regression())
    order = np.concatenate([asked for _, asked in folds.split(X, label, family)])
    return p.iloc[order].reset_index(drop=True)


def wrong_no_scaling(X, label, family, n_folds=5):
    # a penalty on columns of different units
    _check(family, n_folds)
    folds = StratifiedGroupKFold(n_folds).split(X, label, family)
    return _fitted(
        X, label, folds, LogisticRegression(C=1e-4, solver="newton-cholesky")
    )


def wrong_gives_decisions(X, label, family, n_folds=5):
    # ones and zeros are no probabilities
    p = right_by_stratified_groups(X, label, family, n_folds)
    return (p.eq(p.max(axis=1), axis=0)).astype(float)


def wrong_class_shares(X, label, family, n_folds=5):
    # the same prior for every row
    _check(family, n_folds)
    share = pd.Series(np.asarray(label)).value_counts(normalize=True).sort_index()
    return pd.DataFrame([share.to_numpy()] * len(X), columns=share.index)
