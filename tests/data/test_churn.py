"""The subscription simulator keeps its own rules, and what it plants can be found in what it returns."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from helpers.data import churn
from helpers.data.churn.behaviour import EVENTS, draw_customers

TABLES = ("customers", "usage", "renewals", "contacts", "truth")


@pytest.fixture(scope="module")
def lab():
    return churn.at_scale(seed=1, scale="lab")


@pytest.fixture(scope="module")
def without_campaigns():
    return churn.at_scale(seed=1, scale="lab", campaigns=None)


def fingerprint(subscriptions):
    hashes = [pd.util.hash_pandas_object(getattr(subscriptions, name)).to_numpy().tobytes() for name in TABLES]
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def churn_rate(subscriptions, plan, first_day, last_day):
    bills = subscriptions.renewals.merge(subscriptions.customers[["customer_id", "plan"]])
    return 1 - bills[(bills["plan"] == plan) & bills["day"].between(first_day, last_day)]["renewed"].mean()


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_threads():
    program = (
        "import hashlib, pandas as pd; from helpers.data import churn; s = churn.at_scale(seed=5, scale='smoke');"
        f"tables = [pd.util.hash_pandas_object(getattr(s, name)).to_numpy().tobytes() for name in {TABLES}];"
        "print(hashlib.sha256(b''.join(tables)).hexdigest())"
    )
    here = fingerprint(churn.at_scale(seed=5, scale="smoke"))
    for threads in ("1", "4"):
        variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        there = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here
    assert fingerprint(churn.at_scale(seed=6, scale="smoke")) != here


def test_tables_have_their_promised_columns_and_types(lab):
    counts = dict.fromkeys(EVENTS.index, "int16")
    who_and_day = {"customer_id": "int32", "day": "int16"}
    customers = {"customer_id": "int32", "signup_day": "int16", "plan": "category", "ended_day": "Int16"}
    assert {name: {column: str(kind) for column, kind in getattr(lab, name).dtypes.items()} for name in TABLES} == {
        "customers": customers | {"reason": "string"},
        "usage": who_and_day | counts,
        "renewals": who_and_day | {"price": "float64", "renewed": "bool"},
        "contacts": who_and_day | {"arm": "category"},
        "truth": dict.fromkeys(churn.ARMS, "float64"),
    }
    assert lab.customers["customer_id"].tolist() == list(range(8_000))
    assert len(lab.truth) == len(lab.contacts)


def test_nobody_uses_pays_or_is_contacted_before_the_sign_up_or_after_the_end(lab):
    for name in ("usage", "renewals", "contacts"):
        rows = getattr(lab, name).merge(lab.customers)
        assert (rows["day"] >= rows["signup_day"]).all(), name
        after = rows["day"] - rows["ended_day"].fillna(lab.n_days)
        assert (after <= 0).all(), name
        assert name == "renewals" or (after < 0).all(), name
    assert lab.usage[list(EVENTS.index)].to_numpy().any(axis=1).all()


def test_a_bill_falls_due_every_thirty_days_and_the_last_one_ends_the_subscription(lab):
    bills = lab.renewals.merge(lab.customers)
    assert ((bills["day"] - bills["signup_day"]) % 30 == 0).all()
    last = (lab.customers["ended_day"].fillna(lab.n_days - 1) - lab.customers["signup_day"]) // 30
    assert bills.groupby("customer_id").size().reindex(lab.customers["customer_id"], fill_value=0).eq(last).all()
    refused = bills[~bills["renewed"]]
    assert (refused["day"] == refused["ended_day"]).all()
    assert len(refused) == lab.customers["ended_day"].notna().sum()
    assert refused["reason"].isin(["cancelled", "payment failed"]).all()


@pytest.mark.parametrize("seed", range(5))
def test_churn_and_its_reasons_stay_in_their_bands(seed):
    subscriptions = churn.at_scale(seed, "lab")
    assert 1 - subscriptions.renewals["renewed"].mean() == pytest.approx(0.07, abs=0.008)
    failed = (subscriptions.customers["reason"] == "payment failed").sum() / len(subscriptions.renewals)
    assert failed == pytest.approx(0.003 * 0.93, abs=0.0008)


def test_rates_are_log_normal_and_correlated_as_the_table_says():
    rates = np.log(draw_customers(np.random.default_rng(0), 200_000).rate / EVENTS["expected"].to_numpy())
    np.testing.assert_allclose(rates.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(rates.std(axis=0), EVENTS["spread"], rtol=0.01)
    loading = EVENTS["engagement"].to_numpy()
    expected = np.outer(loading, loading) + np.diag(1 - loading**2)
    np.testing.assert_allclose(np.corrcoef(rates.T), expected, atol=0.01)


def test_a_working_day_sees_three_times_the_use_of_a_weekend_day(lab):
    by_weekday = lab.usage.groupby(lab.usage["day"] % 7)["login"].sum()
    assert by_weekday[:5].mean() / by_weekday[5:].mean() == pytest.approx(1.24 / 0.4, rel=0.05)


def test_who_leaves_uses_less_in_the_ten_days_before(without_campaigns):
    left = without_campaigns.customers.query("reason == 'cancelled'")
    usage = without_campaigns.usage.merge(left)
    days_left = usage["ended_day"] - usage["day"]
    tenured = usage["ended_day"] - usage["signup_day"] > 30
    final, before = (usage[tenured & days_left.between(*days)]["login"].sum() for days in ((1, 10), (11, 20)))
    assert final / before == pytest.approx(0.4, abs=0.05)


def test_campaigns_change_neither_who_signs_up_nor_what_they_do_before_the_first_one(lab, without_campaigns):
    same = ["customer_id", "signup_day", "plan"]
    pd.testing.assert_frame_equal(lab.customers[same], without_campaigns.customers[same])
    early = [table.query("day < 120").reset_index(drop=True) for table in (lab.usage, without_campaigns.usage)]
    # Who will leave fades ten days ahead, so nothing differs until the first contact.
    pd.testing.assert_frame_equal(*early)
    assert without_campaigns.contacts.empty
    assert without_campaigns.truth.empty


def test_arms_are_drawn_by_lot_and_their_effects_are_the_true_ones(lab):
    outcome = lab.contacts.merge(lab.customers)
    left = (outcome["ended_day"] - outcome["day"]).between(0, 30).fillna(False).astype(bool)
    failing = 0.003
    for arm in churn.ARMS:
        treated = (outcome["arm"] == arm).to_numpy()
        assert treated.mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / len(outcome)))
        true = lab.truth.loc[treated, arm].mean()
        expected = true + (1 - true) * failing
        assert left[treated].mean() == pytest.approx(expected, abs=4 * np.sqrt(0.07 / treated.sum()))
    gap = lab.contacts.sort_values(["customer_id", "day"]).groupby("customer_id")["day"].diff()
    assert gap.min() > 60


def test_some_customers_leave_because_of_an_email(lab):
    harmed = lab.truth["email"] > lab.truth["control"]
    assert 0.05 < harmed.mean() < 0.3
    assert lab.truth["discount"].mean() < lab.truth["control"].mean()
    riskiest = lab.truth["control"] > lab.truth["control"].quantile(0.9)
    assert harmed[riskiest].mean() > 2 * harmed.mean()


def test_a_price_rise_raises_churn_of_its_plan_from_its_day_on(without_campaigns):
    rise = churn.PriceRise(day=300, factor=1.4, plans=("team",))
    dearer = churn.at_scale(seed=1, scale="lab", campaigns=None, price_rises=[rise])
    before = [table.renewals.query("day < 300").reset_index(drop=True) for table in (without_campaigns, dearer)]
    pd.testing.assert_frame_equal(*before)
    assert churn_rate(dearer, "team", 300, 420) > 1.4 * churn_rate(without_campaigns, "team", 300, 420)
    assert churn_rate(dearer, "basic", 300, 420) == churn_rate(without_campaigns, "basic", 300, 420)
    bills = dearer.renewals.merge(dearer.customers)
    prices = bills[bills["plan"] == "team"].groupby(bills["day"] >= 300)["price"].unique()
    assert prices[False].tolist() == [49.0]
    assert prices[True].tolist() == [68.6]


def test_the_discount_is_taken_off_the_next_bill_alone(lab):
    bills = lab.renewals.merge(lab.customers[["customer_id", "plan"]])
    full = bills["plan"].map(churn.PLANS["price"]).astype(float)
    discounted = bills[bills["price"] < full]
    np.testing.assert_allclose(discounted["price"], (full[discounted.index] * 0.7).round(2))
    contacts = lab.contacts.query("arm == 'discount'")
    days = discounted.merge(contacts, on="customer_id", suffixes=("", "_contact"))
    assert (days["day"] - days["day_contact"]).between(0, 30).groupby([days["customer_id"], days["day"]]).any().all()
    assert len(discounted) <= len(contacts)


def test_bad_sizes_plans_and_scales_are_refused():
    for options, words in (
        ({"n_customers": 0}, "at least one customer"),
        ({"n_days": 59}, "60 days"),
        ({"price_rises": [churn.PriceRise(1, 0)]}, "positive factor"),
        ({"price_rises": [churn.PriceRise(1, 2, ("gold",))]}, "plans among"),
    ):
        with pytest.raises(ValueError, match=words):
            churn.simulate(**{"n_customers": 5, "n_days": 60} | options)
    with pytest.raises(ValueError, match="unknown scale"):
        churn.at_scale(scale="huge")
