"""Drift distances, late labels, alarms on M of N: rules that hold for any data, and the trap each of them avoids."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from helpers import monitoring


def normal(n, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1, n)


def test_distances_are_zero_for_equal_samples_and_grow_with_a_shift():
    reference = normal(5000)
    assert monitoring.population_stability_index(reference, reference) == 0
    assert monitoring.jensen_shannon_distance(reference, reference) == 0
    assert monitoring.kolmogorov_smirnov(reference, reference) == (0, 1)
    for measure in (monitoring.population_stability_index, monitoring.jensen_shannon_distance):
        values = [measure(reference, normal(5000, shift, seed=1)) for shift in (0, 0.2, 0.5, 1, 3)]
        assert values == sorted(values)


def test_distances_keep_their_value_under_a_change_of_units_or_order():
    reference, current = normal(3000), normal(3000, 0.4, seed=1)
    for measure in (monitoring.population_stability_index, monitoring.jensen_shannon_distance):
        value = measure(reference, current)
        assert measure(reference * 100 + 5, current * 100 + 5) == pytest.approx(value)
        assert measure(np.sort(reference), current[::-1]) == pytest.approx(value)


def test_psi_is_the_formulas_on_two_bins():
    reference = np.array([0.0] * 50 + [1.0] * 50)
    current = np.array([0.0] * 20 + [1.0] * 80)
    p, q = np.array([50.5, 50.5]) / 101, np.array([20.5, 80.5]) / 101
    assert monitoring.population_stability_index(reference, current) == pytest.approx(np.sum((q - p) * np.log(q / p)))


def test_disjoint_samples_have_the_largest_jensen_shannon_distance():
    assert monitoring.jensen_shannon_distance(np.array(["a"] * 9), np.array(["b"] * 4)) == pytest.approx(1)
    assert np.isfinite(monitoring.population_stability_index(np.array(["a"] * 9), np.array(["b"] * 4)))


@pytest.mark.parametrize(("n_reference", "n_current", "bins"), [(20000, 300, 10), (1000, 1000, 10), (5000, 5000, 5)])
def test_chance_exceeds_the_psi_limit_as_often_as_it_says(n_reference, n_current, bins):
    rng = np.random.default_rng(7)
    limit = monitoring.psi_limit(n_reference, n_current, bins, alpha=0.05)
    over = 0
    for _ in range(400):
        reference, current = rng.normal(size=n_reference), rng.normal(size=n_current)
        over += monitoring.population_stability_index(reference, current, bins) > limit
    assert stats.binom.cdf(over, 400, 0.05) > 0.001
    assert stats.binom.sf(over - 1, 400, 0.05) > 0.001


def test_the_customary_threshold_is_noise_for_a_small_sample_and_blind_in_a_large_one():
    assert monitoring.psi_limit(100_000, 150, alpha=0.05) > 0.1
    assert monitoring.psi_limit(1_000_000, 1_000_000) < 0.0001


def test_missing_values_are_a_bin_of_their_own():
    reference = normal(2000)
    current = normal(2000, seed=1)
    whole = monitoring.population_stability_index(reference, current)
    current[:600] = np.nan
    assert monitoring.population_stability_index(reference, current) > whole + 1
    text = np.array(["a", None, "b"], dtype=object)
    assert monitoring.population_stability_index(text, text) == 0


def frames(seed, n=2000, **changes):
    """Rows at training time and in service; `changes` shift columns in service."""
    rng = np.random.default_rng(seed)

    def rows():
        columns = {f"x{i}": rng.normal(size=n) for i in range(6)}
        columns["channel"] = rng.choice(["shop", "web"], n, p=[0.3, 0.7])
        return pd.DataFrame(columns)

    reference, current = rows(), rows()
    for name, change in changes.items():
        current[name] = change(current[name])
    return reference, current


def test_no_feature_drifts_on_twenty_undrifted_samples():
    drifted = [monitoring.drift_report(*frames(seed))["drifted"].any() for seed in range(20)]
    assert not any(drifted)


def test_exactly_the_injected_features_drift_on_twenty_seeds():
    for seed in range(20):
        changes = {"x2": lambda x: x + 0.6, "channel": lambda c: c.where(np.arange(len(c)) % 2 == 0, "phone")}
        report = monitoring.drift_report(*frames(seed, **changes))
        assert set(report.loc[report["drifted"], "feature"]) == {"x2", "channel"}
        assert report["feature"].iloc[0] == "channel"
        assert np.isnan(report.set_index("feature").loc["channel", "ks"])


def test_a_p_value_falls_where_a_distance_stays():
    small = monitoring.kolmogorov_smirnov(normal(300), normal(300, 0.1, seed=1))
    large = monitoring.kolmogorov_smirnov(normal(200_000), normal(200_000, 0.1, seed=1))
    assert large[1] < 1e-50 < small[1]
    assert large[0] == pytest.approx(0.04, abs=0.01)


def test_bad_samples_are_refused_by_name():
    reference, current = frames(0)
    with pytest.raises(ValueError, match="columns that the reference has and the rows in service have not: x1, x3"):
        monitoring.drift_report(reference, current.drop(columns=["x1", "x3"]))
    with pytest.raises(ValueError, match="0 in service"):
        monitoring.population_stability_index(normal(5), normal(0))
    with pytest.raises(ValueError, match="at least 2"):
        monitoring.jensen_shannon_distance(normal(5), normal(5), bins=1)
    with pytest.raises(ValueError, match="no value to compare"):
        monitoring.kolmogorov_smirnov(normal(5), np.full(3, np.nan))
    with pytest.raises(ValueError, match="alpha between 0 and 1"):
        monitoring.psi_limit(10, 10, alpha=5)


START = pd.Timestamp("2026-03-01", tz="UTC")


def served(n=1000, seed=0):
    """Predictions of ten days, and labels that arrive sooner for those that are positive."""
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    label = rng.random(n) < score
    time = START + pd.to_timedelta(np.sort(rng.uniform(0, 10, n)), unit="D")
    delay = pd.to_timedelta(np.where(label, rng.uniform(0, 2, n), rng.uniform(2, 4, n)), unit="D")
    ids = [f"id-{i}" for i in range(n)]
    predictions = pd.DataFrame({"inference_id": ids, "time": time, "score": score})
    labels = pd.DataFrame({"inference_id": ids, "label": label, "known_at": time + delay})
    return predictions, labels.sample(frac=1, random_state=0)


def test_only_mature_predictions_are_judged_because_early_labels_are_not_typical():
    predictions, labels = served()
    now = START + pd.Timedelta(days=10)
    joined = monitoring.join_labels(predictions, labels, now, maturity=pd.Timedelta(days=4))
    rate = labels["label"].mean()
    assert joined.rows["label"].mean() == pytest.approx(rate, abs=0.05)
    assert joined.coverage == 1
    assert joined.pending == (predictions["time"] > now - pd.Timedelta(days=4)).sum()
    naive = labels[labels["known_at"] <= now].merge(predictions[predictions["time"] > now - pd.Timedelta(days=2)])
    assert naive["label"].mean() > rate + 0.3


def test_a_label_known_later_is_not_used_and_the_last_of_two_counts():
    predictions, labels = served(4)
    now = labels["known_at"].max()
    changed = labels.assign(label=~labels["label"], known_at=labels["known_at"] + pd.Timedelta(days=1))
    both = pd.concat([changed, labels])
    before = monitoring.join_labels(predictions, both, now, pd.Timedelta(0)).rows
    after = monitoring.join_labels(predictions, both, now + pd.Timedelta(days=1), pd.Timedelta(0)).rows
    late = before["inference_id"] == labels.set_index("known_at")["inference_id"][now]
    assert (before.loc[late, "label"].to_numpy() != after.loc[late, "label"].to_numpy()).all()
    assert list(after["inference_id"]) == list(predictions["inference_id"])


def test_lost_labels_and_lost_predictions_are_counted():
    predictions, labels = served(100)
    joined = monitoring.join_labels(
        predictions.iloc[10:], labels.sort_index().iloc[:60], START + pd.Timedelta(days=30), pd.Timedelta(days=4)
    )
    assert (joined.coverage, joined.unmatched, joined.pending) == (50 / 90, 10, 0)
    empty = monitoring.join_labels(predictions, labels, START, pd.Timedelta(days=4))
    assert np.isnan(empty.coverage) and empty.rows.empty


def test_predictions_without_an_inference_id_are_refused():
    predictions, labels = served(10)
    predictions.loc[3, "inference_id"] = None
    with pytest.raises(ValueError, match="1 missing and 0 repeated: pass InferenceId"):
        monitoring.join_labels(predictions, labels, START, pd.Timedelta(0))


def test_an_observed_metric_has_an_interval_that_holds_it():
    predictions, labels = served()
    joined = monitoring.join_labels(predictions, labels, START + pd.Timedelta(days=30), pd.Timedelta(days=4)).rows
    value, low, high = monitoring.observed_metric(joined, roc_auc_score, n_resamples=200)
    assert low < value < high
    assert value == roc_auc_score(joined["label"], joined["score"])
    with pytest.raises(ValueError, match=r"1 class\(es\)"):
        monitoring.observed_metric(joined[joined["label"]], roc_auc_score)
