"""Metrics equal their definitions, do not depend on row order, and refuse what they cannot judge."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from helpers import evaluation
from helpers.data import fraud


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(0)
    label = rng.random(2_000) < 0.1
    score = np.clip(rng.beta(1, 8, 2_000) + label * rng.beta(2, 4, 2_000), 0, 1).round(2)
    return label, score


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    label = [0, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    probability = [0.6, 0.6, 0.6, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert evaluation.expected_calibration_error(label, probability) == pytest.approx(
        0.4 * abs(0.75 - 0.6) + 0.6 * abs(1 / 6 - 0.1)
    )


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_reliability_bins_are_those_of_scikit_learn(judged, strategy):
    rng = np.random.default_rng(1)
    label, probability = judged[0], rng.random(len(judged[0]))
    observed, predicted = calibration_curve(label, probability, n_bins=10, strategy=strategy)
    table = evaluation.reliability_table(label, probability, strategy=strategy)
    np.testing.assert_allclose(table["observed"], observed)
    np.testing.assert_allclose(table["predicted"], predicted)
    assert table["rows"].sum() == len(label)


def test_logarithmic_bins_tell_rare_positives_apart():
    probability = np.array([1e-6, 1e-5, 2e-4, 3e-3, 0.05, 0.9, 1.0])
    table = evaluation.reliability_table(np.zeros(7), probability, n_bins=4, strategy="log")
    assert table["rows"].tolist() == [2, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("label", "probability", "says"),
    [
        ([0, 1], [0.2, 1.2], r"must lie in \[0, 1\]"),
        ([0, 1], [0.2, np.nan], "1 of 2 scores are not finite"),
        ([0, 1], [0.2], r"scores have shape \(1,\) and labels \(2,\)"),
        ([0, 2], [0.2, 0.3], "labels must be 0 and 1"),
        ([0, None], [0.2, 0.3], "1 of 2 labels are missing"),
        ([], [], "not empty"),
        ([0, 1], [[0.2, 0.8], [0.1, 0.9]], "pass the column of the positive class"),
    ],
)
def test_what_cannot_be_judged_is_refused(label, probability, says):
    with pytest.raises(ValueError, match=says):
        evaluation.expected_calibration_error(label, probability)


def published_card_precision(scored, k):
    """The handbook's protocol, day by day, with equal scores in order of customer_id."""
    found, values = set(), []
    for _, of_day in scored.groupby("day"):
        cards = of_day.groupby("customer_id")[["score", "fraud"]].max()
        cards = cards[~cards.index.isin(found)].sort_values("score", ascending=False, kind="stable").head(k)
        caught = cards.index[cards["fraud"]]
        values.append(len(caught) / k)
        found |= set(caught)
    return float(np.mean(values))


@pytest.mark.parametrize("k", [1, 5, 50, 1_000])
def test_card_precision_is_the_published_protocol_in_any_row_order(k):
    scored = fraud.random_scored_days(seed=1, n_days=12, n_transactions=300)
    want = published_card_precision(scored, k)
    assert evaluation.card_precision_top_k(scored, k) == pytest.approx(want)
    assert evaluation.card_precision_top_k(scored.sample(frac=1, random_state=0), k) == pytest.approx(want)
    assert evaluation.card_precision_top_k(pd.concat([scored, scored]), k) == pytest.approx(want)


def test_detected_cards_leave_the_following_days():
    scored = pd.DataFrame(
        {"day": [0, 0, 1, 1], "customer_id": [1, 2, 1, 2], "score": [0.9, 0.1, 0.9, 0.1], "fraud": [True, False] * 2}
    )
    assert evaluation.card_precision_by_day(scored, 1).tolist() == [1, 0]
    assert evaluation.card_precision_by_day(scored, 1, remove_detected=False).tolist() == [1, 1]


def test_card_precision_refuses_wrong_input():
    scored = fraud.random_scored_days(seed=1, n_days=2, n_transactions=10)
    with pytest.raises(ValueError, match="k must be at least 1"):
        evaluation.card_precision_top_k(scored, 0)
    with pytest.raises(ValueError, match="scored must have rows"):
        evaluation.card_precision_top_k(scored.iloc[:0], 1)
    with pytest.raises(KeyError, match="'score'"):
        evaluation.card_precision_top_k(scored.drop(columns="score"), 1)
    with pytest.raises(ValueError, match="20 of 20 scores are missing"):
        evaluation.card_precision_top_k(scored.assign(score=np.nan), 1)


def test_metrics_of_a_known_case():
    got = evaluation.ModelEvaluator().metrics([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    assert got["roc_auc"] == 0.75
    assert got["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert got["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert (got["accuracy"], got["precision"], got["recall"], got["f1"]) == (0.5, 0.5, 0.5, 0.5)


def test_scores_that_are_no_probabilities_have_no_probability_metrics():
    got = evaluation.ModelEvaluator(threshold=0).metrics([0, 1], [-2.0, 3.0])
    assert got["roc_auc"] == 1
    assert np.isnan([got["brier"], got["log_loss"], got["ece"]]).all()


def test_a_table_has_a_row_per_model_and_an_error_names_the_model(judged):
    label, score = judged
    table = evaluation.ModelEvaluator().table(pd.Series(label), {"ours": score, "constant": np.full(len(label), 0.1)})
    assert table.index.tolist() == ["ours", "constant"]
    assert table.loc["constant", "roc_auc"] == 0.5
    with pytest.raises(ValueError, match="model 'short'"):
        evaluation.ModelEvaluator().table(label, {"short": score[:3]})
    with pytest.raises(ValueError, match="one class only"):
        evaluation.ModelEvaluator().metrics([1, 1], [0.2, 0.3])


@pytest.fixture(scope="module")
def classified():
    return make_classification(600, 8, n_informative=4, weights=[0.8], random_state=0)


def test_cross_validation_judges_every_row_once_per_repeat(classified):
    X, y = classified
    folds = evaluation.ModelEvaluator().cross_validate(LogisticRegression(), pd.DataFrame(X), pd.Series(y))
    assert len(folds) == 10
    assert folds["test_rows"].sum() == 2 * len(y)
    margins = evaluation.ModelEvaluator().cross_validate(LinearSVC(), X, y, cv=KFold(3, shuffle=True, random_state=0))
    assert margins["roc_auc"].between(0.5, 1).all()
    assert margins["brier"].isna().all()


def test_comparison_finds_a_difference_and_no_difference(classified):
    X, y = classified
    evaluator = evaluation.ModelEvaluator()
    linear, stump = (
        evaluator.cross_validate(model, X, y)
        for model in (LogisticRegression(), DecisionTreeClassifier(max_depth=1, random_state=0))
    )
    comparison = evaluator.compare(linear, stump, "roc_auc")
    assert comparison.low < comparison.difference < comparison.high
    assert comparison.difference == pytest.approx((linear["roc_auc"] - stump["roc_auc"]).mean())
    assert evaluator.compare(linear, linear).p_value == 1
    with pytest.raises(ValueError, match="different folds"):
        evaluator.compare(linear, stump.iloc[:5])


def test_the_corrected_test_is_the_published_formula_and_keeps_its_level():
    first, second = np.array([0.8, 0.82, 0.85, 0.79, 0.81]), np.array([0.78, 0.83, 0.8, 0.78, 0.79])
    difference = first - second
    got = evaluation.corrected_resampled_t_test(first, second, 0.25)
    assert got.statistic == pytest.approx(difference.mean() / np.sqrt((1 / 5 + 0.25) * difference.var(ddof=1)))
    assert (got.p_value < 0.05) == (got.low > 0 or got.high < 0)
    swapped = evaluation.corrected_resampled_t_test(second, first, 0.25)
    assert (swapped.p_value, swapped.difference) == (pytest.approx(got.p_value), pytest.approx(-got.difference))
    with pytest.raises(ValueError, match="at least two"):
        evaluation.corrected_resampled_t_test([0.1], [0.2], 0.25)
    with pytest.raises(ValueError, match="test_to_train"):
        evaluation.corrected_resampled_t_test(first, second, 0)


def test_every_point_of_the_cost_curve_is_the_expected_cost_there(judged):
    label, score = judged
    business = evaluation.BusinessMetrics(false_positive_cost=3, false_negative_cost=40, true_positive_cost=1)
    curve = business.cost_curve(label, score)
    by_hand = [business.expected_cost(label, score, threshold) for threshold in curve["threshold"]]
    np.testing.assert_allclose(curve["expected_cost"], by_hand)
    assert curve["threshold"].is_monotonic_decreasing
    assert len(curve) == len(np.unique(score)) + 1
    assert curve["expected_cost"].iloc[0] == pytest.approx(40 * label.mean())


def test_gain_and_lift_do_not_depend_on_the_order_of_equal_scores(judged):
    label, score = judged
    business = evaluation.BusinessMetrics()
    order = np.random.default_rng(2).permutation(len(label))
    for share in (0.01, 0.1, 0.37, 1):
        gain = business.gain(label, score, share)
        assert business.gain(label[order], score[order], share) == gain
        assert business.lift(label, score, share) == pytest.approx(gain / share)
    assert business.gain(label, np.zeros(len(label)), 0.25) == pytest.approx(0.25)
    draws = [label[np.lexsort((np.random.default_rng(i).random(len(label)), -score))][:200].sum() for i in range(300)]
    assert business.gain(label, score, 0.1) == pytest.approx(np.mean(draws) / label.sum(), rel=0.02)


def test_a_perfect_ranking_has_the_largest_possible_lift():
    label = np.arange(100) < 10
    business = evaluation.BusinessMetrics()
    assert business.lift(label, label.astype(float), 0.05) == pytest.approx(10)
    assert business.gain_curve(label, label.astype(float))["gain"].tolist() == [0, 1, 1]


def test_gain_needs_positives_and_a_share():
    with pytest.raises(ValueError, match="no positive"):
        evaluation.BusinessMetrics().gain([0, 0], [0.1, 0.2], 0.5)
    with pytest.raises(ValueError, match="share must be above 0"):
        evaluation.BusinessMetrics().gain([0, 1], [0.1, 0.2], 0)


def test_labels_and_scores_may_be_nullable_series():
    label, score = pd.Series([True, False, True], dtype="boolean"), pd.Series([0.9, 0.1, 0.8], dtype="Float64")
    assert evaluation.ModelEvaluator().metrics(label, score)["roc_auc"] == 1
