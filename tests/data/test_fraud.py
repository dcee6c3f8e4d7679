"""The simulator keeps the published algorithm, the features equal the published ones computed row by row."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import truncnorm
from sklearn.metrics import average_precision_score, roc_auc_score

from helpers import evaluation
from helpers.data import fraud


@pytest.fixture(scope="module")
def small():
    return fraud.simulate(300, 600, 60, seed=3)


@pytest.fixture(scope="module")
def full():
    return fraud.simulate(**fraud.SCALES["full"])


def fingerprint(frame):
    return hashlib.sha256(pd.util.hash_pandas_object(frame).to_numpy().tobytes()).hexdigest()


def test_columns_have_their_promised_types_and_rows_are_in_time_order(small):
    assert {name: str(dtype) for name, dtype in small.dtypes.items()} == {
        "transaction_id": "int64",
        "timestamp": "datetime64[s]",
        "customer_id": "int32",
        "terminal_id": "int32",
        "amount": "float64",
        "day": "int16",
        "seconds": "int32",
        "fraud": "bool",
        "scenario": "int8",
    }
    assert small["timestamp"].is_monotonic_increasing
    assert small["transaction_id"].tolist() == list(range(len(small)))
    elapsed = small["timestamp"] - pd.Timestamp("2026-01-01")
    assert (elapsed.dt.total_seconds() == small["seconds"]).all()
    assert (elapsed.dt.days == small["day"]).all()
    assert (small["fraud"] == (small["scenario"] > 0)).all()
    assert (small["amount"] >= 0).all()


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_threads():
    program = (
        "import hashlib, pandas as pd; from helpers.data import fraud; f = fraud.at_scale(seed=5, scale='smoke');"
        "print(hashlib.sha256(pd.util.hash_pandas_object(f).to_numpy().tobytes()).hexdigest())"
    )
    here = fingerprint(fraud.at_scale(seed=5, scale="smoke"))
    for threads in ("1", "4"):
        variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        there = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here
    assert fingerprint(fraud.at_scale(seed=6, scale="smoke")) != here


def test_full_size_gives_the_published_counts_within_sampling_error(full):
    # Customers' rates are U(0, 4): their sum has a standard deviation of about 14,500 transactions. Frauds come in
    # batches of a terminal's or a card's transactions, so their counts vary more than Poisson counts.
    assert len(full) == pytest.approx(1_754_155, abs=3 * 14_500)
    counts = full["scenario"].value_counts()
    assert counts[1] == pytest.approx(973, abs=200)
    assert counts[2] == pytest.approx(9_077, rel=0.08)
    assert counts[3] == pytest.approx(4_631, rel=0.10)
    assert full["fraud"].mean() == pytest.approx(0.00837, abs=0.0006)


def test_customers_spend_as_published(full):
    genuine = full[full["scenario"] == 0]
    seconds_of_day = genuine["seconds"] % 86_400
    noon = truncnorm(-2.16, 2.16, loc=43_200, scale=20_000)
    assert seconds_of_day.mean() == pytest.approx(noon.mean(), abs=100)
    assert seconds_of_day.std() == pytest.approx(noon.std(), rel=0.01)
    transactions_a_day = full.groupby("customer_id").size() / 183
    assert transactions_a_day.mean() == pytest.approx(2 * 0.969, rel=0.03)
    assert transactions_a_day.std() == pytest.approx(4 / np.sqrt(12) * 0.969, rel=0.05)
    # N(mean, mean / 2) with negatives redrawn from U(0, 2·mean) has 1.027 times its parameter as mean.
    usual = genuine.groupby("customer_id")["amount"].mean()
    assert usual.mean() == pytest.approx(52.5 * 1.027, rel=0.03)
    assert full.groupby("customer_id")["terminal_id"].nunique().max() < 2 * np.pi * 25


def test_scenarios_do_what_they_say(small):
    scenario = small["scenario"]
    assert (small.loc[~scenario.isin([2, 3]), "amount"] > 220).eq(scenario[~scenario.isin([2, 3])] == 1).all()
    lasting = small[scenario == 2].groupby("terminal_id")["day"].agg(["min", "max"])
    assert ((lasting["max"] - lasting["min"]) < 2 * 28).all()
    plain = fraud.simulate(300, 600, 60, seed=3, scenarios=())
    stolen = scenario == 3
    ratio = small.loc[stolen, "amount"] / plain.loc[stolen, "amount"].clip(lower=0.01)
    assert ratio.round(2).isin([5, 25, 125]).all()
    assert (small.loc[~stolen, "amount"] == plain.loc[~stolen, "amount"]).all()


def test_a_scenario_left_out_changes_no_genuine_transaction():
    without = fraud.simulate(300, 600, 60, seed=3, scenarios=())
    with_all = fraud.simulate(300, 600, 60, seed=3, scenarios=(1, 2, 3, 4))
    assert not without["fraud"].any()
    columns = ["timestamp", "customer_id", "terminal_id"]
    kept = with_all.loc[with_all["scenario"] != 4, columns].sort_values(columns).to_numpy()
    np.testing.assert_array_equal(kept, without[columns].sort_values(columns).to_numpy())


def test_a_customer_without_a_reachable_terminal_makes_no_transaction():
    lonely = fraud.simulate(200, 5, 20, seed=0)
    assert 0 < lonely["customer_id"].nunique() < 50
    assert fraud.simulate(20, 1, 5, seed=1, radius=1e-6).empty


def test_fraudsters_of_scenario_4_learn_to_stay_under_the_rule():
    attack = fraud.AdaptiveFraud(cards_a_day=0.01)
    frame = fraud.simulate(500, 1000, 120, seed=1, scenarios=(4,), adaptive_fraud=attack)
    usual = frame[~frame["fraud"]].groupby("customer_id")["amount"].mean()
    stolen = frame[frame["fraud"]]
    multiple = stolen["amount"] / stolen["customer_id"].map(usual)
    assert multiple[stolen["day"] < 3].median() > 2.2
    assert multiple[stolen["day"] > 60].quantile(0.9) < 2.4
    own = frame.loc[~frame["fraud"], ["customer_id", "terminal_id"]].drop_duplicates()
    within_reach = stolen.merge(own, on=["customer_id", "terminal_id"])
    assert len(within_reach) > 0.7 * len(stolen)
    assert (stolen["seconds"] % 86_400).value_counts().max() < 5


@pytest.mark.parametrize("blocked_after_days", [0, 2, 7])
def test_a_blocked_card_gives_neither_transactions_nor_labels(blocked_after_days):
    options = {"seed": 3, "scenarios": (1, 2, 3, 4), "reissued_after_days": 3}
    frame = fraud.simulate(300, 600, 60, blocked_after_days=blocked_after_days, **options)
    checked = 0
    for _, card in frame.groupby("customer_id"):
        free_from = -1
        for seconds in card.loc[card["fraud"], "seconds"]:
            if seconds >= free_from:
                block = seconds + max(blocked_after_days * 86_400, 1)
                free_from = block + 3 * 86_400
                assert not card["seconds"].between(block, free_from - 1).any()
                checked += 1
    assert checked > 50


def test_what_leaked_before_a_block_never_works_again():
    frame = fraud.simulate(300, 600, 60, seed=3, scenarios=(3,), blocked_after_days=1, reissued_after_days=0.5)
    free = fraud.simulate(300, 600, 60, seed=3, scenarios=(3,))
    assert 0 < frame["fraud"].sum() < 0.5 * free["fraud"].sum()
    assert len(frame) < len(free)


def test_scales_have_their_sizes(monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "smoke")
    assert len(fraud.at_scale()) == pytest.approx(30_000, rel=0.1)
    monkeypatch.delenv("COURSE_SCALE")
    lab = fraud.at_scale()
    assert len(lab) == pytest.approx(465_000, rel=0.05)
    assert set(lab["scenario"]) == {0, 1, 2, 3, 4}
    with pytest.raises(ValueError, match="unknown scale 'huge'"):
        fraud.at_scale(scale="huge")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n_customers": 0}, "n_customers must be at least 1"),
        ({"scenarios": (1, 5)}, r"unknown scenarios \[5\]"),
        ({"blocked_after_days": -1}, "must not be negative"),
    ],
)
def test_impossible_simulations_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        fraud.simulate(**{"n_customers": 10, "n_terminals": 10, "n_days": 5} | wrong)


def rolling_reference(frame, delay, windows):
    """The published transformation, literally: one pandas rolling window per card and per terminal."""
    out = frame.set_index("timestamp").assign(fraud=frame["fraud"].to_numpy(int))
    cards, terminals = [], []
    for _, own in out.groupby("customer_id"):
        own = own[["transaction_id", "amount"]].copy()
        for w in windows:
            rolling = own["amount"].rolling(f"{w}D")
            own[f"customer_count_{w}d"], own[f"customer_mean_amount_{w}d"] = rolling.count(), rolling.mean()
        cards.append(own.drop(columns="amount"))
    for _, own in out.groupby("terminal_id"):
        own = own[["transaction_id", "fraud"]].copy()
        recent = own["fraud"].rolling(f"{delay}D")
        recent_frauds, recent_count = recent.sum(), recent.count()
        for w in windows:
            both = own["fraud"].rolling(f"{delay + w}D")
            count, frauds = both.count() - recent_count, both.sum() - recent_frauds
            own[f"terminal_count_{w}d"], own[f"terminal_risk_{w}d"] = count, (frauds / count).fillna(0)
        terminals.append(own.drop(columns="fraud"))
    return pd.concat(cards).merge(pd.concat(terminals), on="transaction_id").set_index("transaction_id").sort_index()


@pytest.mark.parametrize("delay", [1, 7])
def test_features_equal_a_rolling_window_computed_group_by_group(small, delay):
    windows = (1, 7, 30)
    want = rolling_reference(small, delay, windows)
    got = fraud.handbook_features(small, delay, windows).set_index("transaction_id")
    for name in want:
        np.testing.assert_allclose(got[name], want[name], atol=1e-9, err_msg=name)
    hour = small["timestamp"].dt.hour
    assert (got["is_night"].to_numpy() == (hour <= 6)).all()
    assert (got["is_weekend"].to_numpy() == small["timestamp"].dt.day_name().isin(["Saturday", "Sunday"])).all()
    assert set(fraud.HANDBOOK_FEATURES) <= set(got)


def test_features_do_not_depend_on_row_order_or_index(small):
    want = fraud.handbook_features(small)
    shuffled = small.sample(frac=1, random_state=0).set_axis([0] * len(small))
    got = fraud.handbook_features(shuffled)
    assert got["transaction_id"].tolist() == shuffled["transaction_id"].tolist()
    pd.testing.assert_frame_equal(got.sort_values("transaction_id").reset_index(drop=True), want)


def test_a_fraud_inside_the_delay_has_no_influence_on_risk(small):
    names = [name for name in fraud.HANDBOOK_FEATURES if name.startswith("terminal_risk")]
    before = fraud.handbook_features(small, delay_days=7)
    last = small.iloc[-1]
    recent = small["terminal_id"].eq(last["terminal_id"]) & small["timestamp"].gt(
        last["timestamp"] - pd.Timedelta("7D")
    )
    after = fraud.handbook_features(small.assign(fraud=small["fraud"] | recent), delay_days=7)
    assert after.loc[last.name, names].tolist() == before.loc[last.name, names].tolist()


def test_features_of_no_rows_are_no_rows(small):
    empty = fraud.handbook_features(small.iloc[:0])
    assert empty.empty
    assert set(fraud.HANDBOOK_FEATURES) <= set(empty.columns)


def test_features_name_a_missing_column(small):
    with pytest.raises(KeyError, match="terminal_id"):
        fraud.handbook_features(small.drop(columns="terminal_id"))
    with pytest.raises(ValueError, match="windows positive"):
        fraud.handbook_features(small, windows=(0,))


def test_split_drops_the_cards_that_are_known_by_each_test_day(small):
    train, test = fraud.handbook_split(small, 30)
    assert set(train["day"]) == set(range(30, 37))
    known = set(train.loc[train["fraud"], "customer_id"])
    parts = []
    for day in range(44, 51):
        delayed = small[small["day"] == day - 7 - 1]
        known |= set(delayed.loc[delayed["fraud"], "customer_id"])
        of_day = small[small["day"] == day]
        parts.append(of_day[~of_day["customer_id"].isin(known)])
    pd.testing.assert_frame_equal(test, pd.concat(parts))
    assert len(test) < small["day"].between(44, 50).sum()


def test_split_refuses_a_period_without_rows(small):
    with pytest.raises(ValueError, match="no rows on the test days 74 to 80: frame holds the days 0 to 59"):
        fraud.handbook_split(small, 60)
    with pytest.raises(ValueError, match="must be at least 1"):
        fraud.handbook_split(small, 30, train_days=0)


@pytest.mark.timeout(900)
def test_the_handbooks_results_are_reproduced_at_its_setting():
    train, test = fraud.handbook_setting()
    models = fraud.handbook_models()
    for name in ("logistic regression", "random forest", "XGBoost"):
        model = models[name].fit(train[fraud.HANDBOOK_FEATURES], train["fraud"])
        score = model.predict_proba(test[fraud.HANDBOOK_FEATURES])[:, 1]
        got = [
            roc_auc_score(test["fraud"], score),
            average_precision_score(test["fraud"], score),
            evaluation.card_precision_top_k(test.assign(score=score), 100),
        ]
        np.testing.assert_allclose(got, fraud.HANDBOOK_RESULTS.loc[name], atol=0.03, err_msg=name)


def test_scored_days_hold_ties_across_cards_and_several_rows_a_card():
    frame = fraud.random_scored_days(seed=7, n_days=20, n_transactions=400)
    assert frame.groupby("day").size().tolist() == [400] * 20
    cards = frame.groupby(["day", "customer_id"])
    assert cards.size().max() > 3
    assert (cards["fraud"].nunique() == 2).sum() > 20
    best = cards["score"].max()
    at_the_cut = [(of_day == of_day.nlargest(5).iloc[-1]).sum() for _, of_day in best.groupby("day")]
    assert np.median(at_the_cut) > 1
    pd.testing.assert_frame_equal(frame, fraud.random_scored_days(seed=7, n_days=20, n_transactions=400))
    with pytest.raises(ValueError, match="at least 1"):
        fraud.random_scored_days(seed=0, n_days=0, n_transactions=1)
