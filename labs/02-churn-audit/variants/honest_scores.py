"""Answers that the tests of honest_scores must tell apart."""

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data import churn

FEATURES = ["tenure_days", "price", *(f"{name}_30d" for name in churn.EVENTS.index)]


def _forest(train, asked, features=FEATURES):
    model = RandomForestClassifier(
        n_estimators=60, min_samples_leaf=10, n_jobs=1, random_state=1
    ).fit(train[features], train["churned"])
    return pd.Series(model.predict_proba(asked[features])[:, 1], index=asked.index)


def right_by_logistic_regression(rows, day, horizon_days=30):
    # another learner, scaled on the training rows
    train = rows[rows["day"] <= day - horizon_days]
    asked = rows[rows["day"] == day]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(np.log1p(train[FEATURES]), train["churned"])
    return pd.Series(
        model.predict_proba(np.log1p(asked[FEATURES]))[:, 1], index=asked.index
    )


def wrong_trains_up_to_yesterday(rows, day, horizon_days=30):
    # labels of the last month are not known yet
    return _forest(rows[rows["day"] < day], rows[rows["day"] == day])


def wrong_trains_on_the_day(rows, day, horizon_days=30):
    # the rows to be scored are in the training set
    return _forest(rows[rows["day"] <= day], rows[rows["day"] == day])


def wrong_trains_on_everything_else(rows, day, horizon_days=30):
    # snapshots of later days as well
    return _forest(rows[rows["day"] != day], rows[rows["day"] == day])


def wrong_horizon_of_thirty(rows, day, horizon_days=30):
    # the parameter is ignored
    return _forest(rows[rows["day"] + 30 <= day], rows[rows["day"] == day])


def wrong_scales_on_the_day(rows, day, horizon_days=30):
    # the scaler is fitted on the rows to be scored too
    train = rows[rows["day"] + horizon_days <= day]
    asked = rows[rows["day"] == day]
    scaler = StandardScaler().fit(pd.concat([train, asked])[FEATURES])
    model = LogisticRegression(max_iter=1000)
    model.fit(scaler.transform(train[FEATURES]), train["churned"])
    score = model.predict_proba(scaler.transform(asked[FEATURES]))[:, 1]
    return pd.Series(score, index=asked.index)


def wrong_ranks_on_the_day(rows, day, horizon_days=30):
    # a customer's score depends on who else is in the list
    score = right_by_logistic_regression(rows, day, horizon_days)
    return score.rank(pct=True)


def wrong_gives_decisions(rows, day, horizon_days=30):
    # two values do not rank
    score = right_by_logistic_regression(rows, day, horizon_days)
    return (score > score.median()).astype(float)


def wrong_trains_nothing(rows, day, horizon_days=30):
    # fewer logins, more risk: a rule, no model
    asked = rows[rows["day"] == day]
    return -asked["login_30d"].astype(float)
