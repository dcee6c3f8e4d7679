"""Every figure names its axes, draws what it was given, and keeps an opaque light background."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from helpers import evaluation, plots
from helpers.data import fraud


@pytest.fixture(autouse=True)
def figures():
    before, backend = mpl.rcParams.copy(), mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    mpl.rcParams.update(before)
    plt.switch_backend(backend)


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    label = rng.random(5_000) < 0.02
    score = np.clip(rng.beta(1, 30, 5_000) + label * rng.beta(2, 3, 5_000), 0, 1)
    return label, {"first": score, "second": np.sqrt(score)}


CURVE = pd.DataFrame(
    {
        "share": [0.0, 0.1, 1.0], "gain": [0.0, 0.4, 1.0], "kept": [0.0, 0.02, 0.015], "time": [30, 60, 90],
        "survival": [0.9, 0.8, 0.7], "low": [0.8, 0.7, 0.6], "high": [1.0, 0.9, 0.8],
    }
)  # fmt: skip

ANSWERED = pd.DataFrame({"coverage": [0.5, 1.0], "risk": [0.1, 0.3]})
DRIFT = pd.Series([0.0, 0.5], index=pd.date_range("2026-01-01", periods=2, freq="h", tz="UTC"))
RUNS = pd.DataFrame({"texts": [100, 100, 1_000], "score": [0.4, 0.6, 0.8]})
SHARES = pd.Series([0.05, 0.25], index=[1, 20])
REGRET = pd.DataFrame({"requests": [0, 10], "mean": [0, 5], "low": [0, 3], "high": [0, 8]})
ROLLOUT = pd.DataFrame({"minute": [0, 1, 2], "share": [0, 0.5, 0], "value": [np.nan, 0.3, np.nan]})
TRACE = pd.DataFrame({"time": [0, 10, 20], "backlog": [5, 40, 0], "instances": [0, 2, 1]})

TRANSFER = pd.DataFrame([[0.6, 0.5], [0.4, 0.7]], index=["en", "de"], columns=["en", "de"])
BOUNDS = pd.DataFrame({"score": [0.7, 0.5], "low": [0.65, 0.4], "high": [0.75, 0.6]}, index=["en", "ja"])
RATERS = pd.DataFrame({"kappa": [0.7, 0.0, 0.6], "commonest": [0.4, 0.9, 0.45]})


def drawings(label, scores):
    curve = evaluation.BusinessMetrics().cost_curve(label, scores["first"])
    days = fraud.random_scored_days(0, 5, 100)
    features = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 3)), columns=["a", "b", "c"])
    return {
        "precision_recall": lambda ax=None: plots.precision_recall(label, scores, ax=ax),
        "roc": lambda ax=None: plots.roc(label, scores, ax=ax),
        "cost_curve": lambda ax=None: plots.cost_curve(curve["threshold"], curve["expected_cost"], ax=ax),
        "reliability": lambda ax=None: plots.reliability(label, scores, ax=ax),
        "confusion_matrix": lambda ax=None: plots.confusion_matrix(label, scores["first"] > 0.3, ax=ax),
        "daily_card_precision": lambda ax=None: plots.daily_card_precision(
            {"first": evaluation.card_precision_by_day(days, 10)}, 10, ax=ax
        ),
        "split_timeline": lambda ax=None: plots.split_timeline(10, 7, 7, 7, pd.Series(3, index=range(40)), ax=ax),
        "transfer": lambda ax=None: plots.transfer(TRANSFER, ax=ax),
        "release_gate": lambda ax=None: plots.release_gate(BOUNDS, 0.6, ax=ax),
        "rater_quality": lambda ax=None: plots.rater_quality(RATERS, pd.Series([False, True, False]), ax=ax),
        "feature_importance": lambda ax=None: plots.feature_importance(pd.Series({"a": 0.3, "b": 0.7}), ax=ax),
        "gain": lambda ax=None: plots.gain({"first": CURVE}, marked_share=0.1, ax=ax),
        "profit": lambda ax=None: plots.profit({"first": pd.Series([0.0, 5.0, 3.0])}, ax=ax),
        "survival": lambda ax=None: plots.survival({"team": CURVE, "basic": CURVE[["time", "survival"]]}, ax=ax),
        "qini": lambda ax=None: plots.qini({"first": CURVE}, ax=ax),
        "latency_ecdf": lambda ax=None: plots.latency_ecdf({"endpoint": [1.0, 2.0, 30.0]}, objective=20, ax=ax),
        "null_distances": lambda ax=None: plots.null_distances({100: [0.1, 0.2]}, {100: 0.25}, ax=ax),
        "drift_timeline": lambda ax=None: plots.drift_timeline({"first": DRIFT}, 0.25, [DRIFT.index[1]], ax=ax),
        "class_confusion": lambda ax=None: plots.class_confusion(list("aab"), list("abb"), ax=ax),
        "token_length_cdf": lambda ax=None: plots.token_length_cdf({"a": [3, 9], "b": [5]}, cuts=(8,), ax=ax),
        "risk_coverage": lambda ax=None: plots.risk_coverage({"first": ANSWERED}, 0.75, ax=ax),
        "learning_curve": lambda ax=None: plots.learning_curve({"first": RUNS}, ax=ax),
        "scaling_trace": lambda ax=None: plots.scaling_trace(TRACE, objective=15, ax=ax),
        "false_positives": lambda ax=None: plots.false_positives({"peeking": SHARES}, ax=ax),
        "sequential_bounds": lambda ax=None: plots.sequential_bounds([0.5, 1], [2.9, 2], {"A/A": [0.3, 1]}, ax=ax),
        "regret": lambda ax=None: plots.regret({"bandit": REGRET}, ax=ax),
        "detection": lambda ax=None: plots.detection({"10 %": SHARES}, ax=ax),
        "rollout_timeline": lambda ax=None: plots.rollout_timeline(ROLLOUT, "errors", 0.1, {"alarm": 1.5}, ax=ax),
        "shap_beeswarm": lambda ax=None: plots.shap_beeswarm(features.to_numpy(), features, ax=ax),
    }


NAMES = list(drawings(np.array([True, False]), {"first": np.array([0.9, 0.1])}))


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_names_its_axes_and_is_opaque_and_light(name, scored, tmp_path):
    ax = drawings(*scored)[name]()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    ax.figure.savefig(tmp_path / "figure.png")
    corner = plt.imread(tmp_path / "figure.png")[0, 0]
    assert (corner == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_drawn_on_the_axes_given(name, scored):
    _, ax = plt.subplots()
    assert drawings(*scored)[name](ax) is ax


def texts(ax):
    return " ".join(text.get_text() for text in ax.get_legend().get_texts())


def test_the_precision_recall_figure_shows_the_prevalence(scored):
    label, scores = scored
    ax = plots.precision_recall(label, scores)
    assert f"prevalence {label.mean():.2%}" in texts(ax)
    assert ax.lines[-1].get_ydata()[0] == label.mean()


def test_the_cheapest_threshold_is_marked():
    ax = plots.cost_curve([np.inf, 0.9, 0.5, 0.1], [4, 3, 1, 2])
    assert ax.lines[1].get_xydata().tolist() == [[0.5, 1.0]]


def test_lines_differ_in_more_than_colour_and_none_is_left_out(scored):
    label, scores = scored
    many = {f"model {i}": scores["first"] ** (1 + i) for i in range(9)}
    ax = plots.reliability(label, many)
    assert all(name in texts(ax) for name in many)
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines[:6]}
    assert len({style[0] for style in styles}) == len({style[2] for style in styles}) == 6


def test_the_most_important_features_are_on_top():
    ax = plots.feature_importance(pd.Series({"a": 0.1, "b": -0.7, "c": 0.2}), top=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "b"]


def test_the_gain_in_the_marked_share_and_its_lift_stand_in_the_legend():
    assert "first, 40% in the top 10%: lift 4.0" in texts(plots.gain({"first": CURVE}, marked_share=0.1))


def test_the_most_profitable_number_of_contacts_is_marked():
    ax = plots.profit({"first": pd.Series([0.0, 5.0, 3.0])})
    assert ax.lines[1].get_xydata().tolist() == [[1, 5]]
    assert "first, most 5 at 1" in texts(ax)


def test_survival_begins_at_one_and_has_a_band_where_one_is_given():
    ax = plots.survival({"team": CURVE, "basic": CURVE[["time", "survival"]]})
    assert ax.lines[0].get_xydata()[0].tolist() == [0, 1]
    assert len(ax.collections) == 1


def test_confusion_rows_are_true_classes_and_empty_cells_stay_blank():
    ax = plots.class_confusion(["a", "a", "b"], ["a", "b", "b"], labels=["b", "a"])
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "1", (0, 1): "1", (1, 1): "1"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b (1)", "a (2)"]


def test_confusion_refuses_a_class_without_a_row():
    with pytest.raises(ValueError, match=r"not among labels: \['b'\]"):
        plots.class_confusion(["a"], ["b"], labels=["a"])


def test_a_cut_truncates_what_is_longer_over_all_classes():
    ax = plots.token_length_cdf({"a": [3, 9], "b": [8, 20]}, cuts=(8,))
    assert "cut at 8: 50.0% truncated" in texts(ax)


def test_the_risk_at_the_coverage_target_stands_in_the_legend():
    assert "first, 20.0% wrong at 75%" in texts(plots.risk_coverage({"first": ANSWERED.iloc[::-1]}, 0.75))


def test_a_learning_curve_shows_the_mean_of_repeats_and_their_range():
    ax = plots.learning_curve({"first": RUNS})
    assert np.allclose(ax.lines[0].get_ydata(), [0.5, 0.8])
    assert ax.collections[0].get_datalim(ax.transData).bounds[1::2] == pytest.approx((0.4, 0.4))
    assert "first, 0.800 with 1,000 texts" in texts(ax)


def test_instances_stand_above_the_backlog_on_the_same_time():
    ax = plots.scaling_trace(TRACE, objective=15)
    (above,) = ax.child_axes
    assert above.get_xlim() == ax.get_xlim()
    assert above.lines[0].get_ydata().tolist() == [0, 2, 1]
    assert ax.lines[0].get_ydata().tolist() == [5, 40, 0]
    assert "objective: empty after 15 s" in texts(ax)


def test_the_share_of_the_new_fleet_stands_above_its_metric_on_the_same_time():
    ax = plots.rollout_timeline(ROLLOUT, "errors", 0.1, {"alarm": 1.5})
    (above,) = ax.child_axes
    assert above.get_xlim() == ax.get_xlim()
    assert above.lines[0].get_ydata().tolist() == [0, 0.5, 0]
    assert all(1.5 in part.lines[-1].get_xdata() for part in (above, ax))


def test_the_bake_that_reaches_the_wanted_detection_stands_in_the_legend():
    ax = plots.detection({"a": pd.Series([0.5, 0.97], index=[10, 20]), "b": SHARES})
    assert "a: 95% after 20 min" in texts(ax) and "b: 95% not within 20 min" in texts(ax)


def test_a_beeswarm_needs_one_value_per_feature_and_row():
    with pytest.raises(ValueError, match="SHAP values have shape"):
        plots.shap_beeswarm(np.zeros((2, 2)), pd.DataFrame(np.zeros((2, 3))))


def test_a_split_without_delay_has_two_periods():
    ax = plots.split_timeline(0, 7, 0, 7)
    assert [text.get_text() for text in ax.texts] == ["train\n7 days", "test\n7 days"]


def test_the_style_is_set_for_later_figures():
    plots.use_style()
    assert mpl.rcParams["axes.facecolor"] == plots.BACKGROUND
    assert not mpl.rcParams["savefig.transparent"]


def test_importing_plots_does_not_import_matplotlib():
    program = "import sys, helpers.plots; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
