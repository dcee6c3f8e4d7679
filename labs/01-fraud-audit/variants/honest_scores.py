"""Evaluations that the tests of honest_scores must tell apart."""

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

COLUMNS = [
    "amount",
    "is_night",
    "customer_count_7d",
    "customer_mean_amount_7d",
    "terminal_risk_7d",
]
DAY = pd.Timedelta(days=1)


def _forest():
    return RandomForestClassifier(
        n_estimators=30, min_samples_leaf=2, n_jobs=1, random_state=0
    )


def _fit_and_score(train, test, model, columns=COLUMNS):
    model.fit(train[columns], train["fraud"])
    return pd.Series(model.predict_proba(test[columns])[:, 1], index=test.index)


def _periods(cards, cut, delay_days):
    return (
        cards[cards["timestamp"] < cut - delay_days * DAY],
        cards[cards["timestamp"] >= cut],
    )


def right_with_smote(cards, cut, delay_days=7):
    # scaling and resampling inside a pipeline, on training rows only
    model = make_pipeline(
        StandardScaler(), SMOTE(sampling_strategy=0.1, random_state=0), _forest()
    )
    return _fit_and_score(*_periods(cards, cut, delay_days), model)


def right_with_more_features(cards, cut, delay_days=7):
    # all published features, test rows in reverse order
    columns = [
        name
        for name in cards
        if name.startswith(("amount", "is_", "customer_c", "customer_m", "terminal_"))
    ]
    columns = [name for name in columns if name != "terminal_id"]
    train, test = _periods(cards, cut, delay_days)
    return _fit_and_score(train, test.iloc[::-1], _forest(), columns)


def wrong_no_delay(cards, cut, delay_days=7):
    # trains on labels that have not arrived at the cut
    train, test = cards[cards["timestamp"] < cut], cards[cards["timestamp"] >= cut]
    return _fit_and_score(train, test, _forest())


def wrong_all_rows(cards, cut, delay_days=7):
    # the test period is in the training set
    return _fit_and_score(cards, cards[cards["timestamp"] >= cut], _forest())


def wrong_future_feature(cards, cut, delay_days=7):
    # keeps the card's share of frauds over the whole time
    rate = cards.groupby("customer_id")["fraud"].transform("mean")
    return _fit_and_score(
        *_periods(cards.assign(rate=rate), cut, delay_days),
        _forest(),
        [*COLUMNS, "rate"],
    )


def wrong_scaler_on_all_rows(cards, cut, delay_days=7):
    # means and deviations are those of training and test rows together
    scaled = cards[COLUMNS].astype(float)
    scaled = (scaled - scaled.mean()) / scaled.std()
    model = make_pipeline(SMOTE(sampling_strategy=0.1, random_state=0), _forest())
    return _fit_and_score(*_periods(cards.assign(**scaled), cut, delay_days), model)


def wrong_random_split(cards, cut, delay_days=7):
    # trains on a random three quarters of all rows
    return _fit_and_score(
        cards.sample(frac=0.75, random_state=0),
        cards[cards["timestamp"] >= cut],
        _forest(),
    )


def wrong_decisions(cards, cut, delay_days=7):
    # predict() instead of predict_proba(): ranks nothing
    train, test = _periods(cards, cut, delay_days)
    decisions = _forest().fit(train[COLUMNS], train["fraud"]).predict(test[COLUMNS])
    return pd.Series(decisions.astype(float), index=test.index)


def wrong_not_reproducible(cards, cut, delay_days=7):
    # no seed: every run has another result
    train, test = _periods(cards, cut, delay_days)
    seed = int(np.random.default_rng().integers(1 << 30))
    return _fit_and_score(
        train,
        test,
        RandomForestClassifier(n_estimators=30, random_state=seed, n_jobs=1),
    )


def wrong_index_lost(cards, cut, delay_days=7):
    # scores come back numbered from 0: they join to other transactions
    return right_with_smote(cards, cut, delay_days).reset_index(drop=True)


def wrong_delay_is_always_a_week(cards, cut, delay_days=7):
    # right until somebody's labels take longer
    return _fit_and_score(*_periods(cards, cut, 7), _forest())


def wrong_cut_is_the_example(cards, cut, delay_days=7):
    # a variable of the notebook in the place of the argument
    return _fit_and_score(
        *_periods(cards, pd.Timestamp("2026-02-12"), delay_days), _forest()
    )


def right_with_a_larger_forest(cards, cut, delay_days=7):
    # other settings of the same learner
    model = RandomForestClassifier(80, min_samples_leaf=5, random_state=3)
    return _fit_and_score(*_periods(cards, cut, delay_days), model)


def wrong_ranks_by_amount(cards, cut, delay_days=7):
    # no model at all: reaches the floor and learns nothing
    return cards.loc[cards["timestamp"] >= cut, "amount"].astype(float)


def right_with_a_shallow_balanced_forest(cards, cut, delay_days=7):
    # honest and weaker: one draw alone falls below the floor, the mean does not
    model = RandomForestClassifier(
        80, max_depth=8, class_weight="balanced", random_state=0
    )
    return _fit_and_score(*_periods(cards, cut, delay_days), model)
