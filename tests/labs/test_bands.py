"""The solutions' quality lies inside the bands of the tests on other seeds too, so that no honest answer falls out."""

import numpy as np
import pandas as pd
import pytest
import tasks
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from helpers import evaluation
from helpers.data import churn, fraud, tickets


def solution(lab: str, name: str):
    """The solution's function of one task."""
    task = next(task for task in tasks.tasks() if (task.lab, task.name) == (lab, name))
    namespace = tasks.run_setup(task)
    tasks.execute(task.solution, namespace)
    return namespace[name]


@pytest.mark.parametrize("seed", [1, 2, 4, 7])
def test_smote_out_of_fold_stays_in_its_band(seed):
    cards = fraud.handbook_features(fraud.simulate(300, 600, 60, seed=seed)).query("day >= 38")
    cards = cards[cards["fraud"] | (cards["transaction_id"] % 2 == 0)]
    label, fold = cards["fraud"].to_numpy(), cards["customer_id"].to_numpy() % 3
    got = solution("01-fraud", "smote_out_of_fold")(cards[fraud.HANDBOOK_FEATURES].to_numpy(float), label, fold)
    for column in ("raw", "calibrated"):
        assert 0.65 < average_precision_score(label, got[column]) < 0.93
    constant = label.mean() * (1 - label.mean())
    assert brier_score_loss(label, got["calibrated"]) < 0.7 * constant
    assert brier_score_loss(label, got["calibrated"]) < 0.98 * brier_score_loss(label, got["raw"])
    assert evaluation.expected_calibration_error(label, got["calibrated"], strategy="quantile") < 0.02


@pytest.mark.parametrize("seed", [3, 4, 6])
def test_honest_scores_stay_in_their_band(seed):
    cards = fraud.handbook_features(fraud.simulate(200, 400, 60, seed=seed))
    scores = solution("01-fraud-audit", "honest_scores")(cards, pd.Timestamp("2026-02-12"))
    label = cards["fraud"].reindex(scores.index)
    assert 0.25 < average_precision_score(label, scores) < 0.90


@pytest.mark.parametrize("seed", [20, 21, 22, 23])
def test_a_model_on_the_labs_features_stays_in_the_endpoints_band(seed):
    import xgboost as xgb

    transactions = fraud.at_scale(seed=seed, scale="smoke")
    features = solution("01-fraud", "rolling_features")(transactions)
    table = transactions.join(features)
    columns = ["amount", *features.columns]
    cut = transactions["timestamp"].min().normalize() + pd.Timedelta(days=26)
    train, test = solution("01-fraud", "time_split")(table, cut, train_days=14)
    train = train[train["customer_id"] % 5 != 0]
    parameters = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.1, "subsample": 0.8, "seed": seed}
    booster = xgb.train(parameters, xgb.DMatrix(train[columns], label=train["fraud"]), num_boost_round=150)
    score = booster.predict(xgb.DMatrix(test[columns]))
    assert np.isfinite(score).all()
    assert 3 * test["fraud"].mean() < average_precision_score(test["fraud"], score) < 0.95


@pytest.mark.parametrize("seed", [11, 12, 13, 14, 15])
def test_the_churn_models_auc_stays_in_the_batch_tasks_band(seed):
    service = churn.at_scale(seed=seed, scale="smoke")
    last_day = service.n_days - 1
    snapshots = [
        solution("02-churn", "as_of_snapshot")(service.customers, service.usage, day, last_day)
        for day in (*range(120, last_day - 89, 30), last_day - 30)
    ]
    train, test = pd.concat(snapshots[:-1]), snapshots[-1]
    model = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=1000))
    features = [column for column in train if column != "churned"]
    model.fit(train[features].fillna(999.0), train["churned"])
    score = model.predict_proba(test[features].fillna(999.0))[:, 1]
    assert 0.6 < roc_auc_score(test["churned"], score) < 0.92


@pytest.mark.parametrize("seed", [1, 2, 8, 9])
def test_honest_churn_scores_stay_in_their_band(seed):
    task = next(task for task in tasks.tasks() if (task.lab, task.name) == ("02-churn-audit", "honest_scores"))
    snapshots = tasks.run_setup(task)["snapshots"]
    rows = snapshots(churn.simulate(1500, 390, seed=seed), range(120, 331, 30))
    label = rows.loc[rows["day"] == 330, "churned"]
    score = solution("02-churn-audit", "honest_scores")(rows, 330).reindex(label.index)
    assert 0.6 < roc_auc_score(label, score) < 0.92


def task_of(lab: str, name: str) -> tuple:
    """The namespace of one task with its solution in it, and the solution."""
    task = next(task for task in tasks.tasks() if (task.lab, task.name) == (lab, name))
    namespace = tasks.run_setup(task)
    for cell in (task.solution, *task.examples[:1]):
        tasks.execute(cell, namespace)
    return namespace, namespace[name]


def test_soft_labels_stay_in_their_band():
    namespace, soft_labels = task_of("04-sentiment", "soft_labels")
    losses = []
    for seed in range(40, 46):
        votes, true = namespace["panel"](seed)
        losses.append(namespace["log_loss_of"](soft_labels(votes, namespace["CLASSES"]), true))
    assert 0.36 < np.mean(losses) < 0.58


def test_stopping_bounds_hold_their_level_and_their_power():
    from helpers import experiments

    stopping_bounds = solution("04-sentiment", "stopping_bounds")
    for n_looks, alpha in ((20, 0.05), (12, 0.1), (4, 0.01)):
        time = np.arange(1, n_looks + 1) / n_looks
        bounds = stopping_bounds(n_looks, alpha)
        known = experiments.boundaries(time, alpha)
        assert np.allclose(np.minimum(bounds, 7), np.minimum(known, 7), atol=0.02)
        assert experiments.crossing_probabilities(time, bounds).sum() == pytest.approx(alpha, rel=0.01)


@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_honest_classes_stay_in_their_band(seed):
    namespace, honest_classes = task_of("04-sentiment-audit", "honest_classes")
    rows = namespace["catalogue"](seed)
    assert 0.53 < (honest_classes(rows) == rows["label"]).mean() < 0.75


@pytest.mark.parametrize("seed", [1, 2])
def test_honest_ticket_probabilities_stay_in_their_band(seed):
    rows = tickets.corpus(700, 100, 100, seed=seed, imbalance=12, near_duplicates=0.4).train
    asked = [int(family) for family in np.unique(rows["family"])[::3]]
    answered = solution("03-text-audit", "honest_probabilities")(rows, asked)
    truth = rows.loc[answered.index, "true_label"]
    assert 0.4 < f1_score(truth, answered.idxmax(axis=1), average="macro") < 0.97


@pytest.mark.parametrize("seed", [31, 32])
def test_the_clearest_suspects_among_the_tickets_are_mostly_wrong_labels(seed):
    rows = tickets.at_scale(seed=seed, scale="smoke").train
    vectors = TruncatedSVD(100, random_state=0).fit_transform(
        TfidfVectorizer(sublinear_tf=True).fit_transform(rows.text)
    )
    family = solution("03-text", "find_families")(list(rows["text"]))
    probability = solution("03-text", "out_of_fold_probabilities")(vectors, rows["label"], family)
    suspects = solution("03-text", "find_noisy_labels")(probability, rows["label"])
    is_wrong = (rows["label"] != rows["true_label"]).to_numpy()
    assert is_wrong[suspects.index[:15]].mean() > 4 * is_wrong.mean()
