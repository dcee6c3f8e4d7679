"""Answers that the tests of smote_out_of_fold must tell apart."""

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier


def _pipeline(ratio, seed, classifier=None):
    smote = SMOTE(sampling_strategy=ratio, random_state=seed)
    classifier = LogisticRegression(max_iter=1000) if classifier is None else classifier
    return Pipeline(
        [("scale", StandardScaler()), ("smote", smote), ("fit", classifier)]
    )


def _calibrated(model, seed, method="sigmoid"):
    return CalibratedClassifierCV(
        model, method=method, cv=StratifiedKFold(4, shuffle=True, random_state=seed)
    )


def _by_fold(features, fraud, fold, raw_model, calibrated_model):
    y = np.asarray(fraud).astype(int)
    raw, calibrated = np.zeros(len(y)), np.zeros(len(y))
    for held_out in np.unique(fold):
        inside, outside = fold != held_out, fold == held_out
        raw[outside] = (
            raw_model()
            .fit(features[inside], y[inside])
            .predict_proba(features[outside])[:, 1]
        )
        calibrated[outside] = (
            calibrated_model()
            .fit(features[inside], y[inside])
            .predict_proba(features[outside])[:, 1]
        )
    return pd.DataFrame({"raw": raw, "calibrated": calibrated})


def right_by_prior_correction(features, fraud, fold, ratio=0.5, seed=0):
    # the odds are scaled back by the known change of the prior: no calibration set is
    # needed
    y = np.asarray(fraud).astype(int)
    raw, calibrated = np.zeros(len(y)), np.zeros(len(y))
    for held_out in np.unique(fold):
        inside, outside = fold != held_out, fold == held_out
        p = (
            _pipeline(ratio, seed)
            .fit(features[inside], y[inside])
            .predict_proba(features[outside])[:, 1]
        )
        odds = p / (1 - p) * (y[inside].mean() / (1 - y[inside].mean())) / ratio
        raw[outside], calibrated[outside] = p, odds / (1 + odds)
    return pd.DataFrame({"raw": raw, "calibrated": calibrated})


def right_by_holdout(features, fraud, fold, ratio=0.5, seed=0):
    # a part of the other folds is set aside, not resampled, and calibrates by a
    # logistic regression on the log-odds
    y = np.asarray(fraud).astype(int)
    result = pd.DataFrame({"raw": np.zeros(len(y)), "calibrated": np.zeros(len(y))})
    for held_out in np.unique(fold):
        inside, outside = (
            np.flatnonzero(fold != held_out),
            np.flatnonzero(fold == held_out),
        )
        fitting, aside = train_test_split(
            inside, test_size=0.4, stratify=y[inside], random_state=seed
        )
        model = _pipeline(ratio, seed).fit(features[fitting], y[fitting])
        platt = LogisticRegression(C=1e6).fit(
            model.decision_function(features[aside])[:, None], y[aside]
        )
        result.loc[outside, "raw"] = model.predict_proba(features[outside])[:, 1]
        margins = model.decision_function(features[outside])[:, None]
        result.loc[outside, "calibrated"] = platt.predict_proba(margins)[:, 1]
    return result


def right_with_trees(features, fraud, fold, ratio=0.5, seed=0):
    # another classifier and isotonic calibration
    def boosting():
        return _pipeline(
            ratio,
            seed,
            XGBClassifier(n_estimators=60, max_depth=3, random_state=seed, n_jobs=1),
        )

    return _by_fold(
        features,
        fraud,
        fold,
        boosting,
        lambda: _calibrated(boosting(), seed, "isotonic"),
    )


def wrong_smote_before_the_split(features, fraud, fold, ratio=0.5, seed=0):
    # synthetic rows are made from all rows and kept with the training rows of every
    # fold
    y = np.asarray(fraud).astype(int)
    scaled = StandardScaler().fit_transform(features)
    more_x, more_y = SMOTE(sampling_strategy=ratio, random_state=seed).fit_resample(
        scaled, y
    )
    extra = slice(len(y), None)
    raw, calibrated = np.zeros(len(y)), np.zeros(len(y))
    for held_out in np.unique(fold):
        inside, outside = fold != held_out, fold == held_out
        x_train = np.concatenate([scaled[inside], more_x[extra]])
        model = LogisticRegression(max_iter=1000).fit(
            x_train, np.concatenate([y[inside], more_y[extra]])
        )
        raw[outside] = model.predict_proba(scaled[outside])[:, 1]
        odds = raw[outside] / (1 - raw[outside]) * (y.mean() / (1 - y.mean())) / ratio
        calibrated[outside] = odds / (1 + odds)
    return pd.DataFrame({"raw": raw, "calibrated": calibrated})


def wrong_scaler_on_all_rows(features, fraud, fold, ratio=0.5, seed=0):
    # means and deviations of the held-out rows leak into the neighbours and the model
    scaled = StandardScaler().fit_transform(features)

    def model():
        smote = SMOTE(sampling_strategy=ratio, random_state=seed)
        return Pipeline([("smote", smote), ("fit", LogisticRegression(max_iter=1000))])

    return _by_fold(scaled, fraud, fold, model, lambda: _calibrated(model(), seed))


def wrong_no_scaling(features, fraud, fold, ratio=0.5, seed=0):
    # SMOTE's neighbours are those of the feature with the largest unit
    def model():
        smote = SMOTE(sampling_strategy=ratio, random_state=seed)
        return Pipeline(
            [
                ("smote", smote),
                ("scale", StandardScaler()),
                ("fit", LogisticRegression(max_iter=1000)),
            ]
        )

    return _by_fold(features, fraud, fold, model, lambda: _calibrated(model(), seed))


def wrong_calibrates_on_resampled_rows(features, fraud, fold, ratio=0.5, seed=0):
    # the calibration set is resampled as well: it confirms the inflated probabilities
    y = np.asarray(fraud).astype(int)
    result = pd.DataFrame({"raw": np.zeros(len(y)), "calibrated": np.zeros(len(y))})
    for held_out in np.unique(fold):
        inside, outside = fold != held_out, np.flatnonzero(fold == held_out)
        scaler = StandardScaler().fit(features[inside])
        smote = SMOTE(sampling_strategy=ratio, random_state=seed)
        x, resampled = smote.fit_resample(scaler.transform(features[inside]), y[inside])
        for column, model in {
            "raw": LogisticRegression(max_iter=1000),
            "calibrated": _calibrated(LogisticRegression(max_iter=1000), seed),
        }.items():
            score = model.fit(x, resampled).predict_proba(
                scaler.transform(features[outside])
            )[:, 1]
            result.loc[outside, column] = score
    return result


def wrong_calibrates_on_the_held_out_fold(features, fraud, fold, ratio=0.5, seed=0):
    # isotonic regression is fitted on the labels that it is judged by
    y = np.asarray(fraud).astype(int)
    result = right_by_prior_correction(features, fraud, fold, ratio, seed)
    for held_out in np.unique(fold):
        rows = np.flatnonzero(fold == held_out)
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(
            result.loc[rows, "raw"], y[rows]
        )
        result.loc[rows, "calibrated"] = isotonic.predict(result.loc[rows, "raw"])
    return result


def wrong_calibrates_on_all_folds(features, fraud, fold, ratio=0.5, seed=0):
    # one calibration over all out-of-fold scores: every row's own label is in it
    y = np.asarray(fraud).astype(int)
    result = right_by_prior_correction(features, fraud, fold, ratio, seed)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(result["raw"], y)
    return result.assign(calibrated=isotonic.predict(result["raw"]))


def wrong_no_resampling(features, fraud, fold, ratio=0.5, seed=0):
    # honest probabilities, and not what was asked for
    def model():
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))

    return _by_fold(features, fraud, fold, model, lambda: _calibrated(model(), seed))


def wrong_fitted_on_all_rows(features, fraud, fold, ratio=0.5, seed=0):
    # in-sample probabilities
    y = np.asarray(fraud).astype(int)
    raw = _pipeline(ratio, seed).fit(features, y).predict_proba(features)[:, 1]
    calibrated = (
        _calibrated(_pipeline(ratio, seed), seed)
        .fit(features, y)
        .predict_proba(features)[:, 1]
    )
    return pd.DataFrame({"raw": raw, "calibrated": calibrated})


def wrong_not_recalibrated(features, fraud, fold, ratio=0.5, seed=0):
    # the resampled model's probabilities twice
    result = right_by_prior_correction(features, fraud, fold, ratio, seed)
    return result.assign(calibrated=result["raw"])


def right_with_isotonic(features, fraud, fold, ratio=0.5, seed=0):
    # a weaker penalty, and steps instead of a sigmoid
    def model():
        return _pipeline(ratio, seed, LogisticRegression(C=0.1, max_iter=500))

    return _by_fold(
        features, fraud, fold, model, lambda: _calibrated(model(), seed, "isotonic")
    )


def wrong_ignores_the_ratio(features, fraud, fold, ratio=0.5, seed=0):
    # SMOTE is balanced whatever is asked for
    return right_by_holdout(features, fraud, fold, 0.5, seed)


def wrong_counts_the_folds(features, fraud, fold, ratio=0.5, seed=0):
    # takes for granted that folds are numbered from 0
    known = np.isin(fold, np.arange(len(np.unique(fold))))
    result = right_by_holdout(features, fraud, fold, ratio, seed)
    return result.where(pd.Series(known, index=result.index))
