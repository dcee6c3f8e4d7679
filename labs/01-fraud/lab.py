# ---
# title: "Lab 1: a fraud model, from raw transactions to a real-time endpoint"
# minutes: 180
# module: fraud
# ---

# %% [markdown]
# # Lab 1: a fraud model, from raw transactions to a real-time endpoint
#
# You build the part of a card-fraud system that is usually wrong: features that use only what was known, a split that respects late labels, a metric in the investigation team's unit, a threshold in money, probabilities that survive resampling, and an endpoint that explains its answers and is measured under load.
#
# **You will**
#
# 1. compute recency, frequency, amount and terminal risk as of the moment of each transaction;
# 2. split in time, with a label delay, and drop the cards that are known to be compromised;
# 3. score a ranking by cards, under a daily budget of investigations;
# 4. choose the threshold with the lowest cost;
# 5. resample inside cross-validation only, and recalibrate;
# 6. serve the model from Amazon SageMaker, with a request schema and SHAP values, and report its p99.
#
# About three hours; 25 points are graded by tests, 5 by a person. The lab runs on the local SageMaker unless `COURSE_BACKEND=aws`.

# %% tags=["parameters"]
SEED = 20

# %% tags=["setup"]
import importlib.util
import inspect
import json
import math
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import xgboost as xgb
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from helpers import cleanup, connect, costs, deployment, evaluation, plots
from helpers.data import fraud

plots.use_style()

# %% [markdown]
# ## The data
#
# A simulated card issuer: genuine payments, amounts above a rule's limit (scenario 1), compromised terminals (2), stolen card numbers (3), and fraudsters who learn which amounts are stopped (4). A card is blocked seven days after its first fraud, so what the bank does shapes the labels it gets. `scenario` is the simulator's secret: no feature may use it.

# %%
transactions = fraud.at_scale(seed=SEED)
n_days = int(transactions["day"].max()) + 1
print(
    f"{len(transactions):,} transactions, {n_days} days,"
    f" {transactions['fraud'].mean():.2%} of them fraud"
)
transactions.head()

# %% [markdown]
# ## Task 1: what is known when the card is swiped
#
# Two kinds of history describe a transaction made at time *t*. The **customer's** is known at once: recency, frequency and monetary value of earlier payments. The **terminal's** risk needs labels, and a label arrives only when the holder has read the statement: `delay_days` after the transaction.
#
# The Fraud Detection Handbook's published features include the current transaction in the customer's window. Yours do not: a mean that contains the amount it is compared with hides the jump you look for.
#
# All windows are half-open. The customer's window of *w* days is [*t* − *w*, *t*), the terminal's is [*t* − delay − *w*, *t* − delay). A payment of the same second is therefore not history.


# %% nbgrader="solution" grade_id="rolling_features"
def rolling_features(
    transactions: pd.DataFrame,
    windows: tuple[int, ...] = (1, 7, 30),
    delay_days: int = 7,
) -> pd.DataFrame:
    """Features of each transaction from what is known at the moment it is made.

    Args:
        transactions: one row per transaction in any order, unique index; columns
            timestamp (datetime64, whole seconds), customer_id (int), terminal_id (int),
            amount (float, currency units), fraud (bool). It is not changed.
        windows: window lengths in days.
        delay_days: days until a label is known, at least 0.

    Returns:
        Frame of floats with the index and the row order of transactions, and these
        columns:
        customer_recency_hours: hours since the customer's last strictly earlier
            transaction; NaN if there is none.
        customer_count_{w}d: the customer's transactions in [t - w, t).
        customer_mean_amount_{w}d: their mean amount, currency units; 0 if there are
            none.
        terminal_count_{w}d: the terminal's transactions in [t - delay - w, t - delay).
        terminal_risk_{w}d: share of frauds among them; 0 if there are none.

    Raises:
        ValueError: delay_days is negative or a window is below 1.
    """
    ### BEGIN SOLUTION
    if delay_days < 0 or min(windows) < 1:
        raise ValueError(
            f"delay_days must be at least 0 and windows at least 1, got {delay_days}"
            f" and {windows}"
        )
    day = 86_400
    seconds = (
        transactions["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    )
    seconds = seconds - seconds.min(initial=2**62)
    # One sorted axis holds every group's time line, far enough apart that no window
    # reaches into its neighbour.
    span = int(seconds.max(initial=0)) + (delay_days + max(windows) + 1) * day

    def time_line(column: str, values: np.ndarray):
        start = pd.factorize(transactions[column])[0].astype(np.int64) * span
        order = np.argsort(start + seconds, kind="stable")
        at, total = (
            (start + seconds)[order],
            np.concatenate([[0.0], np.cumsum(values[order])]),
        )

        def first(days_ago: int) -> np.ndarray:
            return np.searchsorted(at, start + seconds - days_ago * day, side="left")

        return first, total, start, at

    features = {}
    first, amounts, start, at = time_line(
        "customer_id", transactions["amount"].to_numpy(float)
    )
    now = first(0)
    has_earlier = (now > 0) & (at[now - 1] >= start)
    features["customer_recency_hours"] = np.where(
        has_earlier, (start + seconds - at[now - 1]) / 3600, np.nan
    )
    for w in windows:
        count = now - first(w)
        features[f"customer_count_{w}d"] = count.astype(float)
        features[f"customer_mean_amount_{w}d"] = (
            amounts[now] - amounts[first(w)]
        ) / np.maximum(count, 1)
    first, frauds, _, _ = time_line(
        "terminal_id", transactions["fraud"].to_numpy(float)
    )
    known = first(delay_days)
    for w in windows:
        count = known - first(delay_days + w)
        features[f"terminal_count_{w}d"] = count.astype(float)
        features[f"terminal_risk_{w}d"] = (
            frauds[known] - frauds[first(delay_days + w)]
        ) / np.maximum(count, 1)
    return pd.DataFrame(features, index=transactions.index)
    ### END SOLUTION


# %%
one_card = pd.DataFrame(
    {
        "timestamp": (
            pd.to_datetime(
                [
                    "2026-03-01 12:00",
                    "2026-03-02 12:00",
                    "2026-03-02 18:00",
                    "2026-03-02 18:00",
                ]
            ).astype("datetime64[s]")
        ),
        "customer_id": 1,
        "terminal_id": 5,
        "amount": [10.0, 30.0, 80.0, 100.0],
        "fraud": [True, False, True, False],
    }
)
rolling_features(one_card, windows=(1,), delay_days=1)

# %% nbgrader="test" grade_id="test_rolling_features" points=4
"""History is strictly earlier, windows half-open; a label counts after its delay."""
got = rolling_features(one_card, windows=(1,), delay_days=1)
assert isinstance(got, pd.DataFrame) and got.index.equals(one_card.index), (
    "return a frame with the index of transactions, in its order"
)
expected = {
    "customer_recency_hours": (
        [np.nan, 24, 6, 6],
        "the last payment strictly before t: those of the same second do not count",
    ),
    "customer_count_1d": (
        [0, 1, 1, 1],
        "[t - 1 day, t) holds the payment exactly one day old and not the current one",
    ),
    "customer_mean_amount_1d": (
        [0, 10, 30, 30],
        "the mean is over earlier payments, not the current one; 0 if there are none",
    ),
    "terminal_count_1d": (
        [0, 0, 1, 1],
        "[t - delay - w, t - delay) ends one day before t, and its end is excluded",
    ),
    "terminal_risk_1d": (
        [0, 0, 1, 1],
        "the risk is the share of frauds among the payments whose label is known",
    ),
}
for column, (want, why) in expected.items():
    assert column in got, f"column {column} is missing, got {list(got.columns)}"
    assert np.allclose(got[column].astype(float), want, equal_nan=True), (
        f"{column}: expected {want}, got {got[column].tolist()}. {why}"
    )
for bad in ({"delay_days": -1}, {"windows": (0, 7)}):
    try:
        rolling_features(one_card, **bad)
    except ValueError:
        continue
    raise AssertionError(f"{bad} must raise ValueError")


### BEGIN HIDDEN TESTS
def history(seed, n=400):
    """Transactions on a six-hour grid: many fall together or exactly a window apart."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "timestamp": (
                np.datetime64("2026-03-01", "s")
                + rng.integers(0, 45 * 4, n) * np.timedelta64(6 * 3600, "s")
            ),
            "customer_id": rng.integers(0, 8, n),
            "terminal_id": rng.integers(0, 6, n),
            "amount": rng.uniform(1, 300, n).round(2),
            "fraud": rng.random(n) < 0.2,
        },
        index=rng.permutation(n) + 1000,
    )


def brute_force(rows, windows, delay_days):
    """The definition, row by row."""
    out = []
    for row in rows.itertuples():
        age = (row.timestamp - rows["timestamp"]) / pd.Timedelta(days=1)
        card, terminal = (
            rows["customer_id"] == row.customer_id,
            rows["terminal_id"] == row.terminal_id,
        )
        values = {"customer_recency_hours": age[card & (age > 0)].min() * 24}
        for w in windows:
            recent, labelled = (
                rows[card & (age > 0) & (age <= w)],
                rows[terminal & (age > delay_days) & (age <= delay_days + w)],
            )
            values[f"customer_count_{w}d"], values[f"customer_mean_amount_{w}d"] = (
                len(recent),
                recent["amount"].mean() if len(recent) else 0,
            )
            values[f"terminal_count_{w}d"], values[f"terminal_risk_{w}d"] = (
                len(labelled),
                labelled["fraud"].mean() if len(labelled) else 0,
            )
        out.append(values)
    return pd.DataFrame(out, index=rows.index).astype(float)


def same_features(got, want, why):
    assert isinstance(got, pd.DataFrame) and got.index.equals(want.index), (
        f"{why}: the index must be that of transactions, in its order"
    )
    for column in want:
        assert column in got, f"{why}: column {column} is missing"
        assert pd.api.types.is_float_dtype(got[column]), (
            f"{why}: {column} must be float, got {got[column].dtype}"
        )
        assert np.allclose(
            got[column].astype(float),
            want[column],
            rtol=1e-6,
            atol=1e-6,
            equal_nan=True,
        ), f"{why}: {column} is wrong"


rows = history(seed=11)
given = rows.copy()
assert set(rolling_features(rows, (2,), 1)) == set(
    brute_force(rows.head(1), (2,), 1)
), "return the features only, not the columns of transactions"
to_the_second = rows.assign(
    timestamp=rows["timestamp"]
    + pd.to_timedelta(np.arange(len(rows)) * 37 % 7200, unit="s")
)
for unit in ("s", "ns"):
    same_features(
        rolling_features(
            to_the_second.astype({"timestamp": f"datetime64[{unit}]"}), (2, 10), 3
        ),
        brute_force(to_the_second, (2, 10), 3),
        f"times to the second, as datetime64[{unit}]",
    )
for windows, delay_days in (((1, 7, 30), 7), ((2, 10), 3), ((3,), 0)):
    same_features(
        rolling_features(rows, windows, delay_days),
        brute_force(rows, windows, delay_days),
        f"windows {windows}, delay {delay_days} days",
    )
base = rolling_features(rows)
same_features(
    rolling_features(rows.sort_values("amount")),
    base.loc[rows.sort_values("amount").index],
    "rows in another order",
)
same_features(
    rolling_features(
        rows.assign(timestamp=rows["timestamp"] + pd.Timedelta("400D 5h"))
    ),
    base,
    "everything 400 days and 5 hours later",
)
amount_columns = [column for column in base if "amount" in column]
same_features(
    rolling_features(rows.assign(amount=rows["amount"] * 100)),
    base.assign(**base[amount_columns] * 100),
    "amounts in cents",
)
twin = rows.assign(
    terminal_id=rows["terminal_id"] + 50, customer_id=rows["customer_id"] + 50
).set_axis(rows.index + 5000)
same_features(
    rolling_features(pd.concat([rows, twin])).loc[rows.index],
    base,
    "the same history a second time at other terminals and cards",
)
now = rows["timestamp"].sort_values().iloc[300]
age = (now - rows["timestamp"]) / pd.Timedelta(days=1)
planted = rows.assign(fraud=rows["fraud"] | ((age >= 0) & (age <= 7)))
same_features(
    rolling_features(planted)[age == 0],
    base[age == 0],
    "frauds planted inside the delay must have no influence",
)
same_features(
    rolling_features(rows[age >= 0])[age[age >= 0] == 0],
    base[age == 0],
    "later transactions must have no influence",
)
assert rows.equals(given), "rolling_features changed its argument: work on a copy"
try:
    rolling_features(rows, windows=(7, 0))
    raise AssertionError("windows=(7, 0) must raise ValueError: every window counts")
except ValueError:
    pass
### END HIDDEN TESTS

# %% [markdown]
# On all transactions. `transaction_id` and `scenario` stay outside the list of features.

# %%
started = time.perf_counter()
table = transactions.join(rolling_features(transactions))
FEATURES = ["amount", *rolling_features(transactions.head(1)).columns]
print(
    f"{len(FEATURES)} features for {len(table):,} rows in"
    f" {time.perf_counter() - started:.1f} s"
)
table.loc[table["fraud"], FEATURES].describe().loc[["mean", "50%"]].T.round(2)

# %% [markdown]
# ## Task 2: a split that waits for its labels
#
# On the day of training, labels exist only for what is older than the delay. So there is a gap between the last training transaction and the first test transaction, and while the test period runs, more cards become known to be compromised. Those are blocked in reality, and catching them again earns nothing: they leave the test set from the moment they are known.
#
# Time is continuous here. The published split works with whole days; at a cut in the middle of a day, or for a fraud reported in the morning, the two differ.


# %% nbgrader="solution" grade_id="time_split"
def time_split(
    transactions: pd.DataFrame,
    cut: pd.Timestamp,
    train_days: int = 7,
    delay_days: int = 7,
    test_days: int = 7,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows around a cut, without cards known to be compromised.

    Args:
        transactions: one row per transaction in any order; columns timestamp
            (datetime64), customer_id (int), fraud (bool) and any others, which are
            kept. It is not changed.
        cut: end of the training period.
        train_days: length of the training period, days.
        delay_days: days until a label is known.
        test_days: length of the test period, days.

    Returns:
        train: every transaction in [cut - train_days, cut).
        test: the transactions made at t in [cut + delay_days, cut + delay_days +
            test_days) whose card is not known to be compromised at t. A card is known
            to be compromised at t if it has a fraud, anywhere in transactions, made in
            [cut - train_days, t - delay_days).

    Raises:
        ValueError: train, or test without the known cards, would be empty.
    """
    ### BEGIN SOLUTION
    day = pd.Timedelta(days=1)
    at = transactions["timestamp"]
    train_begin, test_begin = cut - train_days * day, cut + delay_days * day
    train = transactions[(at >= train_begin) & (at < cut)]
    test = transactions[(at >= test_begin) & (at < test_begin + test_days * day)]
    recent_frauds = transactions[
        transactions["fraud"].astype(bool) & (at >= train_begin)
    ]
    first_fraud = test["customer_id"].map(
        recent_frauds.groupby("customer_id")["timestamp"].min()
    )
    test = test[~(first_fraud < test["timestamp"] - delay_days * day)]
    if train.empty or test.empty:
        raise ValueError(
            f"{len(train)} training and {len(test)} test rows at cut {cut}: the"
            " transactions end too early"
        )
    return train, test
    ### END SOLUTION


# %%
calendar = pd.DataFrame(
    {
        "timestamp": pd.to_datetime(
            [
                "2026-03-01 10:00",
                "2026-03-02 12:00",
                "2026-03-03 09:00",
                "2026-03-04 08:00",
                "2026-03-05 08:00",
                "2026-03-05 09:30",
                "2026-03-06 11:00",
            ]
        ),
        "customer_id": [1, 2, 3, 2, 3, 3, 4],
        "fraud": [False, True, True, False, False, False, False],
        "transaction_id": range(7),
    }
)
train, test = time_split(
    calendar, cut=pd.Timestamp("2026-03-03"), train_days=2, delay_days=2, test_days=2
)
test

# %% nbgrader="test" grade_id="test_time_split" points=3
"""The gap is as long as the delay; a card leaves test when its fraud becomes known."""
train, test = time_split(
    calendar, cut=pd.Timestamp("2026-03-03"), train_days=2, delay_days=2, test_days=2
)
assert sorted(train["transaction_id"]) == [0, 1], (
    f"train must hold transactions 0 and 1, got {sorted(train['transaction_id'])}: it"
    " is [cut - train_days, cut), compromised cards included"
)
assert 4 in set(test["transaction_id"]), (
    "card 3's fraud is from 09:00; at 08:00 two days later its label is not known, so"
    " transaction 4 belongs to test"
)
assert 5 not in set(test["transaction_id"]), (
    "card 3's fraud is known at 09:30 two days later: transaction 5 must leave the test"
    " set, though the fraud is not in train"
)
assert sorted(test["transaction_id"]) == [
    4,
    6,
], f"test must hold transactions 4 and 6, got {sorted(test['transaction_id'])}"
assert set(calendar.columns) <= set(test.columns), "keep every column"
try:
    time_split(calendar, cut=pd.Timestamp("2026-04-03"))
    raise AssertionError("a cut after the last transaction must raise ValueError")
except ValueError:
    pass


### BEGIN HIDDEN TESTS
def split_ids(rows, **options):
    train, test = time_split(rows, **options)
    for name, part in (("train", train), ("test", test)):
        assert part["transaction_id"].is_unique, f"{name} holds a transaction twice"
    return set(train["transaction_id"]), set(test["transaction_id"])


def defined_split(rows, cut, train_days, delay_days, test_days):
    """The definition, row by row."""
    day = pd.Timedelta(days=1)
    frauds = [
        (row.customer_id, row.timestamp)
        for row in rows[rows["fraud"]].itertuples()
        if row.timestamp >= cut - train_days * day
    ]
    train = {
        row.transaction_id
        for row in rows.itertuples()
        if cut - train_days * day <= row.timestamp < cut
    }
    due = [
        row
        for row in rows.itertuples()
        if cut + delay_days * day
        <= row.timestamp
        < cut + (delay_days + test_days) * day
    ]
    return train, {
        row.transaction_id
        for row in due
        if not any(
            card == row.customer_id and at < row.timestamp - delay_days * day
            for card, at in frauds
        )
    }


rng = np.random.default_rng(5)
rows = pd.DataFrame(
    {
        "timestamp": (
            np.datetime64("2026-05-01", "s")
            + rng.integers(0, 30 * 8, 900) * np.timedelta64(3 * 3600, "s")
        ),
        "customer_id": rng.integers(0, 60, 900),
        "fraud": rng.random(900) < 0.04,
        "transaction_id": rng.permutation(900),
        "amount": rng.uniform(1, 50, 900),
    }
)
given = rows.copy()
for options in (
    {
        "cut": pd.Timestamp("2026-05-10"),
        "train_days": 7,
        "delay_days": 7,
        "test_days": 7,
    },
    {
        "cut": pd.Timestamp("2026-05-12 15:00"),
        "train_days": 5,
        "delay_days": 3,
        "test_days": 9,
    },
    {
        "cut": pd.Timestamp("2026-05-15 06:00"),
        "train_days": 9,
        "delay_days": 1,
        "test_days": 4,
    },
):
    want_train, want_test = defined_split(rows, **options)
    for change, same in {
        "as given": rows,
        "rows in another order": rows.sample(frac=1, random_state=1),
        "another index": rows.set_index(rows["transaction_id"] + 7),
    }.items():
        got_train, got_test = split_ids(same, **options)
        assert got_train == want_train, (
            f"{change}, {options}: train differs in {len(got_train ^ want_train)} rows"
        )
        assert got_test == want_test, (
            f"{change}, {options}: test has {len(got_test - want_test)} rows too many"
            f" and lacks {len(want_test - got_test)}"
        )
    later = pd.Timedelta("90D 5h")
    got = split_ids(
        rows.assign(timestamp=rows["timestamp"] + later),
        **{**options, "cut": options["cut"] + later},
    )
    assert got == (
        want_train,
        want_test,
    ), "moving the data and the cut together must change nothing"
    end = options["cut"] + pd.Timedelta(
        days=options["delay_days"] + options["test_days"]
    )
    last_known = end - pd.Timedelta(days=options["delay_days"])
    planted = rows.assign(fraud=rows["fraud"] | (rows["timestamp"] >= last_known))
    assert split_ids(planted, **options) == (
        want_train,
        want_test,
    ), "frauds whose label arrives after the test period must have no influence"
assert rows.equals(given), "time_split changed its argument"
for part in time_split(rows, **options):
    source = rows.set_index("transaction_id").loc[part["transaction_id"]]
    for column in source:
        assert (
            column in part
            and (part[column].to_numpy() == source[column].to_numpy()).all()
        ), f"keep every column of train and test as it is: {column} differs"
known_card = calendar.iloc[[1, 3]].assign(
    timestamp=pd.to_datetime(["2026-03-02 12:00", "2026-03-05 12:00"]), fraud=True
)
for why, bad, day in (
    ("the transactions end at the cut, test", calendar, "2026-03-07"),
    ("the transactions begin at the cut, train", calendar, "2026-02-28"),
    ("test's only card is known to be compromised, test", known_card, "2026-03-03"),
):
    try:
        time_split(bad, pd.Timestamp(day), train_days=2, delay_days=2, test_days=2)
    except ValueError:
        continue
    raise AssertionError(f"{why} is empty: must raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# The lab splits twice, as a team does that retrains weekly: the later split is the test; the earlier one ends its own test period where the later training period ends, so that every decision (model, threshold, calibration) is taken before the test begins.

# %%
DAY = pd.Timedelta(days=1)
cut = transactions["timestamp"].min().normalize() + (n_days - 14) * DAY
train, test = time_split(table, cut, train_days=14)
earlier_train, validation = time_split(
    table, cut - 14 * DAY, train_days=7 if n_days < 60 else 14
)
for name, part in {
    "earlier train": earlier_train,
    "validation": validation,
    "train": train,
    "test": test,
}.items():
    print(
        f"{name:14s}{part['timestamp'].min():%d %b} to {part['timestamp'].max():%d %b} "
        f" {len(part):7,} rows  {part['fraud'].sum():4d} frauds"
    )

# %%
frauds_per_day = transactions.groupby("day")["fraud"].sum()
ax = plots.split_timeline(n_days - 28, 14, 7, 7, frauds_per_day=frauds_per_day)
_ = ax.set_title(
    "The later split: labels of the hatched week are not known on the day of training"
)
# %% [markdown]
# ## Three models, once
#
# Logistic regression on standardised features, XGBoost and LightGBM on the raw ones. All three train on the earlier period and are compared on the validation period; the test period stays closed.

# %%
BOOSTING = {"max_depth": 4, "learning_rate": 0.1, "n_estimators": 150, "subsample": 0.8}
LEAVES = {"num_leaves": 15, "learning_rate": 0.05, "n_estimators": 150}
models = {
    "logistic regression": make_pipeline(
        SimpleImputer(strategy="median"),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    ),
    "XGBoost": XGBClassifier(**BOOSTING, random_state=SEED, n_jobs=2),
    "LightGBM": LGBMClassifier(
        **LEAVES, min_child_samples=50, random_state=SEED, n_jobs=2, verbose=-1
    ),
}
scores, seconds = {}, {}
for name, model in models.items():
    started = time.perf_counter()
    model.fit(earlier_train[FEATURES], earlier_train["fraud"])
    seconds[name] = time.perf_counter() - started
    scores[name] = model.predict_proba(validation[FEATURES])[:, 1]
comparison = evaluation.ModelEvaluator().table(validation["fraud"], scores)
comparison[["roc_auc", "average_precision", "brier", "ece"]].assign(
    fit_seconds=pd.Series(seconds)
).round(4)

# %%
ax = plots.precision_recall(validation["fraud"], scores)
_ = ax.set_title("Validation period")

# %% [markdown]
# The ranking of the three depends on the seed and the period more than on the library: the differences are within what another week would change. Average precision is read against the prevalence line, not against .5.

# %% [markdown]
# ## Task 3: how many compromised cards does the team catch?
#
# The investigation team opens *k* cards a day, not *k* transactions: once a card is open, all of its transactions are checked. Average precision hides that budget; *card precision at k* is the number the team lead asks for.
#
# A card's score is its riskiest transaction of the day. Cards with equal scores are opened in order of `customer_id`. A card is compromised on a day if any of its transactions of that day is a fraud.


# %% nbgrader="solution" grade_id="card_precision_at_k"
def card_precision_at_k(scored: pd.DataFrame, k: int) -> float:
    """Share of compromised cards among a day's k riskiest cards, averaged over days.

    Args:
        scored: one row per transaction, columns day (int), customer_id (int), score
            (float, higher is riskier), fraud (bool). It is not changed.
        k: cards that the team opens in a day, at least 1. A day with fewer cards counts
            those it has.

    Raises:
        ValueError: k is below 1, or scored is empty.
    """
    ### BEGIN SOLUTION
    if k < 1 or scored.empty:
        raise ValueError(
            f"k must be at least 1 and scored not empty, got k={k} and {len(scored)}"
            " rows"
        )
    cards = scored.groupby(["day", "customer_id"], as_index=False).agg(
        score=("score", "max"), fraud=("fraud", "max")
    )
    opened = (
        cards.sort_values(["score", "customer_id"], ascending=[False, True])
        .groupby("day")
        .head(k)
    )
    return float(opened.groupby("day")["fraud"].mean().mean())
    ### END SOLUTION


# %%
two_days = pd.DataFrame(
    {
        "day": [0, 0, 0, 0, 1, 1],
        "customer_id": [1, 1, 2, 3, 1, 2],
        "score": [0.9, 0.8, 0.7, 0.1, 0.2, 0.6],
        "fraud": [True, True, False, True, False, True],
    }
)
card_precision_at_k(two_days, k=2)

# %% nbgrader="test" grade_id="test_card_precision_at_k" points=3
"""One card a day is right on both days; of two cards a day, one is."""
for k, want in {1: 1.0, 2: 0.5}.items():
    got = card_precision_at_k(two_days, k)
    assert isinstance(got, float) and np.isclose(got, want), (
        f"k={k}: expected {want}, got {got}. Are you ranking cards or transactions?"
    )
got = card_precision_at_k(two_days, 3)
assert np.isclose(got, (2 / 3 + 1 / 2) / 2), (
    f"k=3: day 1 has two cards and counts two, expected {(2 / 3 + 1 / 2) / 2:.4f}, got"
    f" {got}"
)
### BEGIN HIDDEN TESTS
for seed, k in ((7, 5), (8, 1), (9, 25)):
    days = fraud.random_scored_days(seed=seed, n_days=20, n_transactions=400)
    want = np.mean(
        [
            d.groupby("customer_id")[["score", "fraud"]]
            .max()
            .nlargest(k, "score")["fraud"]
            .mean()
            for _, d in days.groupby("day")
        ]
    )
    changes = {
        "as given": days,
        "shuffled": days.sample(frac=1, random_state=0),
        "scores times 1000 minus 5": days.assign(score=days["score"] * 1000 - 5),
        "every row twice": pd.concat([days, days]),
        "days renumbered": days.assign(day=100 - days["day"] * 3),
        "sorted by score": days.sort_values("score"),
        "sorted by card, descending": days.sort_values("customer_id", ascending=False),
        "another index": days.set_axis(range(5, 5 + len(days))),
    }
    for change, same in changes.items():
        got = card_precision_at_k(same, k)
        assert np.isclose(got, want), (
            f"{change}, k={k}: expected {want:.4f}, got {got:.4f}. The value must not"
            " depend on row order, score units, day numbers or repeated rows"
        )
    assert days.equals(
        fraud.random_scored_days(seed=seed, n_days=20, n_transactions=400)
    ), "card_precision_at_k changed its argument"
tied = pd.DataFrame(
    {
        "day": 0,
        "customer_id": [9, 4, 6, 4],
        "score": [0.5, 0.5, 0.5, 0.1],
        "fraud": [False, False, True, True],
    }
)
for k, want in {1: 1.0, 2: 1.0, 3: 2 / 3, 50: 2 / 3}.items():
    got = card_precision_at_k(tied, k)
    assert np.isclose(got, want), (
        f"three cards with equal scores, k={k}: expected {want:.3f}, got {got}. Ties"
        " are opened by customer_id; a card's label comes from any of its rows"
    )
for bad_k, bad in ((0, two_days), (-1, two_days), (1, two_days.iloc[:0])):
    try:
        card_precision_at_k(bad, bad_k)
    except ValueError:
        continue
    raise AssertionError("k below 1 and an empty frame must raise ValueError")
### END HIDDEN TESTS

# %%
k = max(5, transactions["customer_id"].nunique() // 50)
scored = {
    name: validation[["day", "customer_id", "fraud"]].assign(score=score)
    for name, score in scores.items()
}
pd.Series(
    {name: card_precision_at_k(frame, k) for name, frame in scored.items()},
    name=f"card precision at {k}",
).round(3)

# %%
daily = {
    name: pd.Series(
        {day: card_precision_at_k(rows, k) for day, rows in frame.groupby("day")}
    )
    for name, frame in scored.items()
}
ax = plots.daily_card_precision(daily, k)
_ = ax.set_title("Validation period")

# %% [markdown]
# ## Task 4: the threshold in money
#
# An alert costs the bank a review, whether the transaction is fraudulent or not: `review_cost`, which can differ by transaction (a call abroad costs more than a text message). A fraud that nobody looks at costs its amount. Nothing else costs anything.
#
# The cheapest threshold is a property of the scores *and* the amounts. Averages lose it: a model that finds many small frauds and misses the large ones has a good recall and a bad balance.


# %% nbgrader="solution" grade_id="minimum_cost_threshold"
def minimum_cost_threshold(
    fraud: np.ndarray,
    score: np.ndarray,
    amount: np.ndarray,
    review_cost: float | np.ndarray,
) -> tuple[float, float]:
    """Threshold with the lowest total cost, if every score >= threshold is an alert.

    Args:
        fraud: (n,) bool.
        score: (n,) float, higher is riskier; any scale, equal scores allowed.
        amount: (n,) float, currency units lost if a fraud raises no alert.
        review_cost: cost of each alert, currency units; one number or (n,), not
            negative.

    Returns:
        threshold: one of the scores, or inf if alerting nobody is cheapest. Among
            thresholds with equal costs, the highest: the fewest alerts.
        cost: the total cost at that threshold, currency units.

    Raises:
        ValueError: there are no transactions, or the arrays' lengths differ.
    """
    ### BEGIN SOLUTION
    fraud, score, amount = (np.asarray(values) for values in (fraud, score, amount))
    if not len(score) or not len(fraud) == len(score) == len(amount):
        raise ValueError(
            f"arrays must be of one length above 0, got {len(fraud)}, {len(score)} and"
            f" {len(amount)}"
        )
    review = np.broadcast_to(np.asarray(review_cost, float), score.shape)
    order = np.argsort(-score, kind="stable")
    missed = np.where(fraud.astype(bool), amount, 0.0)
    cost = np.concatenate([[0.0], np.cumsum((review - missed)[order])]) + missed.sum()
    candidates = np.concatenate([[np.inf], score[order]])
    complete = np.append(
        candidates[:-1] != candidates[1:], True
    )  # the last row of each group of equal scores
    cost, candidates = cost[complete], candidates[complete]
    best = int(np.argmin(cost))
    return float(candidates[best]), float(cost[best])
    ### END SOLUTION


# %%
frauds, risk = np.array([True, False, True, False]), np.array([0.9, 0.7, 0.4, 0.2])
minimum_cost_threshold(
    frauds, risk, amount=np.array([100.0, 20.0, 60.0, 5.0]), review_cost=10.0
)

# %% nbgrader="test" grade_id="test_minimum_cost_threshold" points=3
"""Three reviews at 10 cost less than losing 60; at 200, no alert is worth it."""
amounts = np.array([100.0, 20.0, 60.0, 5.0])
for review_cost, (want_threshold, want_cost), why in (
    (10.0, (0.4, 30.0), "alerts on .9, .7 and .4 cost three reviews and miss nothing"),
    (
        40.0,
        (0.9, 100.0),
        "one review and a missed fraud of 60: an alert on a fraud costs its review too",
    ),
    (
        200.0,
        (np.inf, 160.0),
        "no alert pays: the threshold is inf, and both frauds are lost",
    ),
    (
        np.array([10.0, 90.0, 10.0, 10.0]),
        (0.9, 70.0),
        "reaching .4 means paying the 90 at .7: review costs differ by transaction",
    ),
):
    threshold, cost = minimum_cost_threshold(frauds, risk, amounts, review_cost)
    assert np.isclose(cost, want_cost), (
        f"review_cost={review_cost}: expected cost {want_cost}, got {cost}: {why}"
    )
    assert threshold == want_threshold, (
        f"review_cost={review_cost}: expected threshold {want_threshold}, got"
        f" {threshold}: {why}"
    )


### BEGIN HIDDEN TESTS
def total_cost(threshold, fraud, score, amount, review_cost):
    alert = score >= threshold
    return float(
        (np.broadcast_to(review_cost, score.shape)[alert]).sum()
        + amount[fraud & ~alert].sum()
    )


def cheapest(fraud, score, amount, review_cost):
    """Brute force over all thresholds that differ; the highest of the cheapest."""
    candidates = [np.inf, *sorted(set(score.tolist()), reverse=True)]
    costs_of = [
        total_cost(threshold, fraud, score, amount, review_cost)
        for threshold in candidates
    ]
    return candidates[int(np.argmin(costs_of))], min(costs_of)


rng = np.random.default_rng(3)
for n, levels, share in (
    (1, 3, 1.0),
    (30, 5, 0.3),
    (200, 12, 0.1),
    (400, 400, 0.05),
    (200, 8, 0.0),
    (60, 7, 1.0),
):
    for draw in range(4):
        fraud_drawn = rng.random(n) < share
        score_drawn = (
            rng.integers(0, levels, n) * 3.5 - 8 + 4 * fraud_drawn
        )  # equal scores, not probabilities
        # Whole numbers: equal costs are exactly equal. In draw 3 every amount is one
        # review or two, so that many are.
        amount_drawn = (
            rng.integers(0, 300, n).astype(float)
            if draw < 3
            else rng.integers(1, 3, n) * 20.0
        )
        review_drawn = (
            rng.integers(1, 40, n).astype(float)
            if draw == 1
            else float(rng.integers(1, 60))
            if draw < 3
            else 20.0
        )
        want_threshold, want_cost = cheapest(
            fraud_drawn, score_drawn, amount_drawn, review_drawn
        )
        before = fraud_drawn.copy(), score_drawn.copy(), amount_drawn.copy()
        threshold, cost = minimum_cost_threshold(
            fraud_drawn, score_drawn, amount_drawn, review_drawn
        )
        assert all(
            np.array_equal(a, b)
            for a, b in zip(
                before, (fraud_drawn, score_drawn, amount_drawn), strict=True
            )
        ), "the arrays were changed"
        assert np.isclose(cost, want_cost), (
            f"{n} rows, {levels} score levels: cost {cost}, brute force finds"
            f" {want_cost}"
        )
        paid = total_cost(
            threshold, fraud_drawn, score_drawn, amount_drawn, review_drawn
        )
        assert np.isclose(paid, want_cost), (
            f"{n} rows, {levels} score levels: alerting at {threshold} costs {paid},"
            f" not the {cost} that was returned: equal scores cannot be separated, and"
            " score >= threshold alerts"
        )
        assert threshold == want_threshold, (
            f"{n} rows, {levels} score levels: threshold {threshold}, the highest of"
            f" the cheapest is {want_threshold}"
        )
        shuffle = rng.permutation(n)
        review_shuffled = (
            review_drawn[shuffle] if np.ndim(review_drawn) else review_drawn
        )
        assert minimum_cost_threshold(
            fraud_drawn[shuffle],
            score_drawn[shuffle],
            amount_drawn[shuffle],
            review_shuffled,
        ) == (threshold, cost), "the order of rows must not matter"
        in_cents = minimum_cost_threshold(
            fraud_drawn, score_drawn, amount_drawn * 100, np.asarray(review_drawn) * 100
        )
        assert in_cents[0] == threshold and np.isclose(in_cents[1], cost * 100), (
            "costs in cents: same threshold, 100 times the cost"
        )
for *bad, bad_cost in (
    ([], [], [], 1.0),
    ([True], [0.2, 0.3], [1.0, 2.0], 1.0),
    ([True, False], [0.2, 0.3], [1.0], 1.0),
    ([True, False], [0.2, 0.3], [1.0, 2.0], np.ones(3)),
):
    try:
        minimum_cost_threshold(*(np.array(values) for values in bad), bad_cost)
    except ValueError:
        continue
    raise AssertionError(
        "no rows, or arrays of different lengths, review costs included, must raise"
        " ValueError"
    )
### END HIDDEN TESTS

# %% [markdown]
# On the validation period, with a review at 8 currency units. The threshold is frozen here and used on the test period later.

# %%
REVIEW_COST = 8.0
money = {
    name: minimum_cost_threshold(
        validation["fraud"].to_numpy(),
        score,
        validation["amount"].to_numpy(),
        REVIEW_COST,
    )
    for name, score in scores.items()
}
no_alert = validation.loc[validation["fraud"], "amount"].sum()
print(
    f"Alert nobody: {no_alert:,.0f}. Alert everybody:"
    f" {REVIEW_COST * len(validation):,.0f}."
)
pd.DataFrame(money, index=["threshold", "cost"]).T.round(4)


# %%
def costs_at(thresholds: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Total cost on the validation period at each threshold, currency units."""
    frauds, amounts = validation["fraud"].to_numpy(), validation["amount"].to_numpy()
    alerts = score >= thresholds[:, None]
    return (alerts * REVIEW_COST).sum(axis=1) + (
        ~alerts * np.where(frauds, amounts, 0.0)
    ).sum(axis=1)


thresholds = np.linspace(0.005, 0.995, 199)
curves = {name: costs_at(thresholds, score) for name, score in scores.items()}
ax = plots.cost_curve(thresholds, curves, unit="currency units, whole period")
ax.axhline(no_alert, color="#767676", linewidth=1)
ax.annotate("alert nobody", (0.6, no_alert), xytext=(0, 4), textcoords="offset points")
_ = ax.set_title("The grid shows the shape; the exact minimum is between its points")

# %% [markdown]
# ## Task 5: resampling changes the probabilities
#
# SMOTE invents minority rows between neighbours. Done before the split, a held-out fraud's neighbours are its own children, and the estimate is fiction (the module's lesson shows an average precision of 1). Done inside each fold it is honest, and still one thing is broken: the model has learnt a world with many more frauds, so its probabilities are far too high. A threshold in money needs probabilities, so they are recalibrated on rows that were **not** resampled.
#
# Which classifier you train is your decision.


# %% nbgrader="solution" grade_id="smote_out_of_fold"
def smote_out_of_fold(
    features: np.ndarray,
    fraud: np.ndarray,
    fold: np.ndarray,
    ratio: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """Out-of-fold probabilities of a model trained with SMOTE, raw and recalibrated.

    Features are standardised before SMOTE, which works with distances. All that is
    learnt for the rows of a fold (means and deviations, synthetic rows, model,
    calibration) is learnt from the rows of the other folds. The same arguments give the
    same result.

    Args:
        features: (n, p) float without NaN. It is not changed.
        fraud: (n,) bool.
        fold: (n,) int, the fold in which a row is held out.
        ratio: minority rows divided by majority rows after SMOTE.
        seed: seeds whatever is random.

    Returns:
        Frame of n rows in the order given: raw, the probability that the resampled
        model gives, too high by design; calibrated, the probability at the original
        prevalence. Both in [0, 1].
    """
    ### BEGIN SOLUTION
    features, fraud, fold = (
        np.asarray(features, float),
        np.asarray(fraud).astype(int),
        np.asarray(fold),
    )
    result = pd.DataFrame(
        {"raw": np.nan, "calibrated": np.nan}, index=range(len(fraud))
    )
    for held_out in np.unique(fold):
        inside, outside = fold != held_out, fold == held_out
        model = Pipeline(
            [
                ("scale", StandardScaler()),
                ("smote", SMOTE(sampling_strategy=ratio, random_state=seed)),
                ("classify", LogisticRegression(max_iter=1000)),
            ]
        )
        # Each inner fold is resampled for training and left as it is for calibration.
        inner = StratifiedKFold(4, shuffle=True, random_state=seed)
        calibrated = CalibratedClassifierCV(model, method="sigmoid", cv=inner)
        for column, estimator in {"raw": model, "calibrated": calibrated}.items():
            estimator.fit(features[inside], fraud[inside])
            result.loc[outside, column] = estimator.predict_proba(features[outside])[
                :, 1
            ]
    return result
    ### END SOLUTION


# %%
rng = np.random.default_rng(1)
toy_fraud = rng.random(1500) < 0.08
toy_features = rng.normal(size=(1500, 3)) * [1, 50, 0.02] + np.outer(
    toy_fraud, [1.2, 40, 0]
)
toy_fold = np.arange(1500) % 3
toy = smote_out_of_fold(toy_features, toy_fraud, toy_fold)
toy.groupby(toy_fraud).mean().round(3)

# %% nbgrader="test" grade_id="test_smote_out_of_fold" points=4
"""Nothing is learnt from a row's own fold; only raw probabilities are too high."""
assert list(toy.columns) == ["raw", "calibrated"] and len(toy) == 1500, (
    "return columns raw and calibrated and one row per transaction, got"
    f" {list(toy.columns)} and {len(toy)} rows"
)
assert (
    np.isfinite(toy.to_numpy(float)).all()
    and toy.min().min() >= 0
    and toy.max().max() <= 1
), "probabilities must be finite and in [0, 1]"
assert toy["raw"].mean() > 1.5 * toy_fraud.mean(), (
    f"mean raw probability {toy['raw'].mean():.3f} at a prevalence of"
    f" {toy_fraud.mean():.3f}: was anything resampled?"
)
assert abs(toy["calibrated"].mean() / toy_fraud.mean() - 1) < 0.2, (
    f"mean calibrated probability {toy['calibrated'].mean():.3f}, prevalence"
    f" {toy_fraud.mean():.3f}: is the calibration learnt from resampled rows?"
)


### BEGIN HIDDEN TESTS
def same_probabilities(features, fraud, rows, why):
    got = smote_out_of_fold(features, fraud, toy_fold).loc[rows]
    assert np.allclose(got, toy.loc[rows], atol=2e-3), (
        f"{why}: probabilities moved by up to"
        f" {np.abs(got - toy.loc[rows]).to_numpy().max():.3f}"
    )


held_out = np.flatnonzero(toy_fold == 0)
relabelled = toy_fraud.copy()
relabelled[held_out] = np.random.default_rng(2).permutation(toy_fraud[held_out])
same_probabilities(
    toy_features,
    relabelled,
    held_out,
    "the labels of fold 0 must not influence the probabilities of fold 0: resampling,"
    " model and calibration see the other folds only",
)
moved = toy_features.copy()
moved[held_out[0]] = [1e4, -1e6, 1e3]
same_probabilities(
    moved,
    toy_fraud,
    held_out[1:],
    "one held-out row's features must not influence other held-out rows: is the scaler"
    " fitted on all rows?",
)
same_probabilities(
    toy_features * [1000, 0.01, 7],
    toy_fraud,
    np.arange(1500),
    "units of the features must not matter: standardise before SMOTE",
)
given = toy_features.copy(), toy_fraud.copy(), toy_fold.copy()
again = smote_out_of_fold(toy_features, toy_fraud, toy_fold)
assert np.allclose(again, toy), "the same arguments must give the same result"
assert all(
    np.array_equal(a, b)
    for a, b in zip(given, (toy_features, toy_fraud, toy_fold), strict=True)
), "the arrays were changed"
renamed = smote_out_of_fold(toy_features, toy_fraud, toy_fold * 10 + 7)
assert (
    np.isfinite(renamed.to_numpy(float)).all()
    and abs(renamed["raw"].mean() - toy["raw"].mean()) < 0.05
), "folds numbered 7, 17 and 27 are folds too: take the numbers that fold holds"
few, many = (
    smote_out_of_fold(toy_features, toy_fraud, toy_fold, ratio=ratio)
    for ratio in (0.2, 1.0)
)
assert many["raw"].mean() > few["raw"].mean() + 0.05, (
    f"mean raw probability {few['raw'].mean():.3f} at ratio .2 and"
    f" {many['raw'].mean():.3f} at ratio 1: is ratio used?"
)
assert abs(many["calibrated"].mean() / toy_fraud.mean() - 1) < 0.2, (
    f"ratio 1: mean calibrated probability {many['calibrated'].mean():.3f}, prevalence"
    f" {toy_fraud.mean():.3f}"
)
cards = fraud.handbook_features(fraud.simulate(300, 600, 60, seed=4)).query("day >= 38")
cards = cards[cards["fraud"] | (cards["transaction_id"] % 2 == 0)]
y = cards["fraud"].to_numpy()
honest = smote_out_of_fold(
    cards[fraud.HANDBOOK_FEATURES].to_numpy(float),
    y,
    cards["customer_id"].to_numpy() % 3,
)
for column in ("raw", "calibrated"):
    ap = average_precision_score(y, honest[column])
    assert ap > 0.65, (
        f"{column}: average precision {ap:.3f} on held-out cards, a logistic regression"
        " reaches .8"
    )
    assert ap < 0.93, (
        f"{column}: average precision {ap:.3f} on held-out cards is too good to be"
        " true: what does the model see of the held-out fold?"
    )
raw_error, brier = (
    brier_score_loss(y, honest["raw"]),
    brier_score_loss(y, honest["calibrated"]),
)
constant = y.mean() * (1 - y.mean())
assert brier < min(0.98 * raw_error, 0.7 * constant), (
    f"Brier score {brier:.4f} after recalibration, {raw_error:.4f} before,"
    f" {constant:.4f} for a constant: recalibration must beat both"
)
ece = evaluation.expected_calibration_error(
    y, honest["calibrated"], strategy="quantile"
)
assert ece < 0.02, (
    f"expected calibration error {ece:.4f} over ten groups of equal size, below .02 is"
    " expected"
)
### END HIDDEN TESTS

# %% [markdown]
# On the training period, with cards as folds: all transactions of a card are held out together. Recency is missing for a card's first transaction; SMOTE needs a number, so it becomes 30 days.

# %%
X, y = (
    train[FEATURES].fillna({"customer_recency_hours": 720.0}).to_numpy(),
    train["fraud"].to_numpy(),
)
resampled = smote_out_of_fold(X, y, train["customer_id"].to_numpy() % 3)
table_of_probabilities = evaluation.ModelEvaluator().table(
    y, {"resampled": resampled["raw"], "recalibrated": resampled["calibrated"]}
)
table_of_probabilities[["roc_auc", "average_precision", "brier", "ece"]].round(4)

# %%
ax = plots.reliability(
    y, {"resampled": resampled["raw"], "recalibrated": resampled["calibrated"]}
)
_ = ax.set_title("Out-of-fold probabilities on the training period")
# %% [markdown]
# The ranking barely moves and the probabilities move by an order of magnitude. A model without resampling needs neither step: compare its average precision and Brier score with these before you reach for SMOTE. From here on the lab uses XGBoost on the data as they are.

# %% [markdown]
# ## Training on SageMaker
#
# `src/train.py` runs in AWS's XGBoost container: it reads two channels, trains, and writes the model and its metrics. The data goes to Amazon S3, the job is started with the SageMaker SDK's `ModelTrainer`.
#
# The validation period of the earlier split lies inside the later training period, so it is no validation any more. The job gets a fifth of the cards instead: that tells whether the job went well, not how the model will do next week.

# %%
aws = connect(lab="fraud")
print(aws, aws.instance_type("training"))
work = Path(mkdtemp(prefix="fraud-lab-"))
uris = {}
fifth = train["customer_id"] % 5 == 0
for channel, rows in {"train": train[~fifth], "validation": train[fifth]}.items():
    (work / channel).mkdir()
    rows[["fraud", *FEATURES]].astype({"fraud": int}).to_csv(
        work / channel / "rows.csv", index=False
    )
    uris[channel] = aws.upload(work / channel, f"data/{channel}")
uris

# %%
from sagemaker.train import ModelTrainer, configs

job_prefix = f"{aws.prefix}xgb-train"
trainer = ModelTrainer(
    training_image=aws.image("xgboost"),
    source_code=configs.SourceCode(source_dir="src", entry_script="train.py"),
    compute=configs.Compute(
        instance_type=aws.instance_type("training"), instance_count=1
    ),
    hyperparameters={
        "max_depth": 4,
        "eta": 0.1,
        "subsample": 0.8,
        "num_round": 150,
        "seed": SEED,
    },
    stopping_condition=configs.StoppingCondition(max_runtime_in_seconds=1800),
    output_data_config=configs.OutputDataConfig(
        s3_output_path=f"s3://{aws.bucket}/course/fraud/models"
    ),
    base_job_name=job_prefix,
    sagemaker_session=aws.sdk_session(),
    role=aws.role,
)

# %%
channels = [
    configs.InputData(channel_name=name, data_source=uri) for name, uri in uris.items()
]
trainer.train(input_data_config=channels, wait=False)

# %%
latest = aws.sagemaker.list_training_jobs(
    NameContains=job_prefix, SortBy="CreationTime", SortOrder="Descending", MaxResults=1
)
job = deployment.wait_for_training(
    aws, latest["TrainingJobSummaries"][0]["TrainingJobName"]
)
artifact = aws.download(
    job["ModelArtifacts"]["S3ModelArtifacts"], work / "trained.tar.gz"
)
shutil.unpack_archive(artifact, work / "model", filter="data")
booster = xgb.Booster(model_file=work / "model" / "model.json")
print(
    job["TrainingJobStatus"],
    job["SecondaryStatus"],
    (work / "model" / "metrics.json").read_text(),
)

# %% [markdown]
# ## Task 6: the endpoint
#
# ### 6a. A request is checked before it is scored
#
# A model answers anything: a column in the wrong place, a string that parses, a missing value that XGBoost quietly sends to its default branch. The schema turns each of these into an error that names the row and the column. It says, for each feature, the smallest and the largest allowed value and whether `null` is allowed.


# %% tags=["setup"]
def feature_limits(name: str) -> dict:
    """Allowed values of a feature in a request."""
    largest = 1.0 if "risk" in name else 1_000_000.0
    return {
        "minimum": 0.0,
        "maximum": largest,
        "nullable": name == "customer_recency_hours",
    }


# %%
SCHEMA = {name: feature_limits(name) for name in FEATURES}
pd.DataFrame(SCHEMA).T.head(4)


# %% nbgrader="solution" grade_id="parse_request"
def parse_request(
    body: str | bytes, content_type: str, schema: dict[str, dict]
) -> pd.DataFrame:
    """Rows of a request, checked against the schema.

    The function has to stand alone: `json`, `math`, `np` and `pd` are imported where it
    runs, nothing else is.

    Args:
        body: JSON text, an object with the key instances: a list of at least one
            object, column to value.
        content_type: media type of the body, with or without parameters such as
            charset.
        schema: column to {"minimum": float, "maximum": float, "nullable": bool}; both
            limits are allowed values.

    Returns:
        float64 frame with one row per instance and the schema's columns in the schema's
        order, null as NaN.

    Raises:
        ValueError: the media type is not application/json; the body is not JSON of that
            form; an instance lacks a column or has one that the schema does not know; a
            value is not a finite JSON number within its limits (a string or a boolean
            is no number), or is null where that is not allowed. A message about a
            column names it.
    """
    ### BEGIN SOLUTION
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise ValueError(f"content type must be application/json, got {content_type!r}")
    try:
        request = json.loads(body)
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    instances = request.get("instances") if isinstance(request, dict) else None
    if (
        not isinstance(instances, list)
        or not instances
        or not all(isinstance(row, dict) for row in instances)
    ):
        raise ValueError(
            "the body must be an object with instances, a list of at least one object"
        )
    for number, row in enumerate(instances):
        if wrong := sorted(row.keys() ^ schema.keys()):
            raise ValueError(
                f"instances[{number}] must have exactly the schema's columns, these"
                f" differ: {wrong}"
            )
        for column, rule in schema.items():
            value = row[column]
            if value is None and rule["nullable"]:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not -math.inf < value < math.inf
            ):
                raise ValueError(
                    f"instances[{number}].{column} must be a finite number, got"
                    f" {value!r}"
                )
            if not rule["minimum"] <= value <= rule["maximum"]:
                raise ValueError(
                    f"instances[{number}].{column} is {value}, allowed is"
                    f" {rule['minimum']} to {rule['maximum']}"
                )
    return pd.DataFrame(instances, columns=list(schema)).astype("float64")
    ### END SOLUTION


# %%
small_schema = {
    "amount": {"minimum": 0.0, "maximum": 5000.0, "nullable": False},
    "customer_recency_hours": {"minimum": 0.0, "maximum": 1e6, "nullable": True},
}
parse_request(
    '{"instances": [{"customer_recency_hours": null, "amount": 12}]}',
    "application/json",
    small_schema,
)

# %% nbgrader="test" grade_id="test_parse_request" points=2
"""Valid rows arrive in the schema's order; others raise an error naming the column."""
parsed = parse_request(
    '{"instances": [{"customer_recency_hours": null, "amount": 12}]}',
    "application/json",
    small_schema,
)
assert list(parsed.columns) == list(small_schema), (
    f"columns must be in the schema's order, got {list(parsed.columns)}"
)
assert (parsed.dtypes == "float64").all(), (
    f"all columns must be float64, got {parsed.dtypes.to_dict()}"
)
assert (
    parsed["amount"].tolist() == [12.0]
    and parsed["customer_recency_hours"].isna().all()
), "null becomes NaN, 12 becomes 12.0"


def refused(
    body, why, column=None, content_type="application/json", schema=small_schema
):
    try:
        parse_request(body, content_type, schema)
    except ValueError as error:
        assert column is None or column in str(error), (
            f"{why}: the message must name {column}, it says: {error}"
        )
        return
    raise AssertionError(f"{why}: must raise ValueError")


refused(
    '{"instances": [{"amount": 12}]}', "a column is missing", "customer_recency_hours"
)
refused(
    '{"instances": [{"amount": "12", "customer_recency_hours": 1}]}',
    "a string is no number, even one that parses",
    "amount",
)
refused(
    '{"instances": [{"amount": -1, "customer_recency_hours": 1}]}',
    "a negative amount is outside the limits",
    "amount",
)
refused("12,1", "CSV is not JSON", content_type="text/csv")
### BEGIN HIDDEN TESTS
wide = {
    name: {"minimum": -2.0, "maximum": 9.5, "nullable": name in "bd"} for name in "abcd"
}
good = [{"d": 9.5, "c": 0, "b": None, "a": -2}, {"a": 1, "b": 2.5, "c": 3, "d": None}]
before = json.dumps(wide)


def accepted(body, content_type):
    try:
        return parse_request(body, content_type, wide)
    except ValueError as error:
        raise AssertionError(
            f"a valid request with content type {content_type} was refused: {error}"
        ) from error


for content_type in (
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
):
    for body in (
        json.dumps({"instances": good}),
        json.dumps({"instances": good}).encode(),
    ):
        got = accepted(body, content_type)
        want = np.array([[-2, np.nan, 0, 9.5], [1, 2.5, 3, np.nan]])
        assert list(got.columns) == list(wide) and (got.dtypes == "float64").all(), (
            f"{content_type}: columns in the schema's order, float64"
        )
        assert np.allclose(got.to_numpy(), want, equal_nan=True), (
            f"{content_type}: limits and null are allowed values; expected"
            f" {want.tolist()}, got {got.to_numpy().tolist()}"
        )
all_null = accepted(
    json.dumps({"instances": [{"a": 1, "b": None, "c": 1, "d": None}]}),
    "application/json",
)
assert (all_null.dtypes == "float64").all(), "a column of nulls is float64 too"
assert json.dumps(wide) == before, "the schema was changed"
for column, value, why in (
    ("a", None, "null where it is not allowed"),
    ("c", True, "a boolean is no number"),
    ("b", "2", "a string is no number"),
    ("d", 9.6, "above the maximum"),
    ("a", -2.1, "below the minimum"),
    ("c", float("nan"), "Python's json reads NaN"),
    ("b", float("inf"), "Python's json reads Infinity"),
    ("c", [1], "a list is no number"),
    ("a", "", "an empty string is no number"),
):
    for place in (0, 1):
        rows = [dict(row) for row in good]
        rows[place][column] = value
        refused(
            json.dumps({"instances": rows}),
            f"{why}, in row {place}",
            column,
            schema=wide,
        )
refused(
    json.dumps({"instances": [{**good[0], "extra_column": 1}]}),
    "a column that the schema does not know",
    "extra_column",
    schema=wide,
)
refused(
    json.dumps({"instances": [good[0], {"a": 1, "b": 1, "c": 1}]}),
    "a column missing in the second row",
    "d",
    schema=wide,
)
refused(
    json.dumps({"instances": good}),
    "JSON that calls itself CSV",
    content_type="text/csv",
    schema=wide,
)
refused(
    json.dumps({"instances": good}),
    "application/jsonlines is another media type",
    content_type="application/jsonlines",
    schema=wide,
)
refused(
    json.dumps({"instances": [good[0], {**good[1], "extra_column": 1}]}),
    "an unknown column in the second row",
    "extra_column",
    schema=wide,
)
for body in (
    '{"instances": []}',
    "[]",
    "{}",
    "null",
    '{"instances": 3}',
    '{"instances": {"a": 1}}',
    '{"instances": [[1, 2, 3, 4]]}',
    '{"instances": [',
    "",
    "3",
):
    refused(body, f"the body {body!r}", schema=wide)
### END HIDDEN TESTS

# %% [markdown]
# ### 6b. An answer that explains itself
#
# The team asks why a card is on its list. SHAP values of a tree model are exact: with the base value they add up to the margin, the log-odds before the sigmoid. They do not add up to the probability. The XGBoost container has no `shap` package; the booster computes the values itself.


# %% nbgrader="solution" grade_id="predict_with_reasons"
def predict_with_reasons(
    rows: pd.DataFrame, booster: xgb.Booster, top: int = 3
) -> list[dict]:
    """Fraud probability of each row, and the exact SHAP values behind it.

    The function has to stand alone: `np`, `pd` and `xgb` are imported where it runs,
    nothing else is.

    Args:
        rows: the booster's features as columns, in any order, NaN allowed; at least one
            row. It is not changed.
        booster: a binary:logistic model with feature names.
        top: the largest number of reasons.

    Returns:
        One dict per row, of Python types that `json.dumps` accepts:
        probability: probability of fraud, in (0, 1).
        margin: log-odds of fraud.
        base: the base value, log-odds.
        contributions: feature to SHAP value, log-odds; base and contributions add up to
            margin.
        reasons: at most top features that raise the risk of this row, the strongest
            first.
    """
    ### BEGIN SOLUTION
    names = booster.feature_names
    matrix = xgb.DMatrix(rows[names])
    margins = booster.predict(matrix, output_margin=True)
    values = booster.predict(matrix, pred_contribs=True)
    answers = []
    for margin, value in zip(margins.astype(float), values.astype(float), strict=True):
        contributions = dict(zip(names, value[:-1].tolist(), strict=True))
        raising = sorted(
            (name for name in names if contributions[name] > 0),
            key=contributions.get,
            reverse=True,
        )
        answers.append(
            {
                "probability": float(1 / (1 + np.exp(-margin))),
                "margin": float(margin),
                "base": float(value[-1]),
                "contributions": contributions,
                "reasons": raising[:top],
            }
        )
    return answers
    ### END SOLUTION


# %%
rng = np.random.default_rng(0)
small_rows = pd.DataFrame(
    {
        "amount": rng.uniform(0, 300, 500),
        "terminal_risk_7d": rng.uniform(0, 1, 500),
        "hour": rng.uniform(0, 24, 500),
    }
)
small_label = small_rows["amount"] / 300 + small_rows["terminal_risk_7d"] > 1.4
small_booster = xgb.train(
    {"objective": "binary:logistic", "max_depth": 3, "nthread": 1},
    xgb.DMatrix(small_rows, label=small_label),
    num_boost_round=20,
)
predict_with_reasons(small_rows.head(1), small_booster)

# %% nbgrader="test" grade_id="test_predict_with_reasons" points=2
"""Base and contributions add up to the margin, its sigmoid is the probability."""
answers = predict_with_reasons(small_rows.head(40), small_booster)
assert isinstance(answers, list) and len(answers) == 40, "one dict per row"
plain = all(
    type(answer[name]) is float
    for answer in answers
    for name in ("probability", "margin", "base")
)
assert plain and all(
    type(value) is float for value in answers[0]["contributions"].values()
), "numbers must be Python floats, not NumPy's: json.dumps refuses np.float32"
for answer in answers:
    total = answer["base"] + sum(answer["contributions"].values())
    assert np.isclose(total, answer["margin"], atol=1e-3), (
        f"base and contributions add up to {total:.4f}, the margin is"
        f" {answer['margin']:.4f}: both are log-odds"
    )
    assert np.isclose(
        answer["probability"], 1 / (1 + np.exp(-answer["margin"])), atol=1e-5
    ), "the probability is the sigmoid of the margin"
    assert set(answer["contributions"]) == set(small_rows.columns), (
        "one contribution per feature and no other, got"
        f" {sorted(answer['contributions'])}"
    )
    assert all(answer["contributions"][name] > 0 for name in answer["reasons"]), (
        "a reason raises the risk: its SHAP value is positive"
    )
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(9)
shap_rows = pd.DataFrame(
    rng.normal(size=(600, 5)), columns=["e", "b", "a", "d", "c"]
).mask(rng.random((600, 5)) < 0.05)
shap_label = (
    shap_rows["e"].fillna(0) * shap_rows["b"].fillna(0)
    + shap_rows["a"].fillna(-1)
    + rng.normal(scale=0.3, size=600)
) > 0.8
shap_booster = xgb.train(
    {"objective": "binary:logistic", "max_depth": 4, "nthread": 1},
    xgb.DMatrix(shap_rows, label=shap_label),
    num_boost_round=30,
)
shap_matrix = xgb.DMatrix(shap_rows.head(60))
exact, probabilities = (
    shap_booster.predict(shap_matrix, pred_contribs=True),
    shap_booster.predict(shap_matrix),
)
given = shap_rows.copy()
for change, same in {
    "as given": shap_rows,
    "columns in another order": shap_rows[["a", "b", "c", "d", "e"]],
    "another index": shap_rows.set_axis(range(9, 609)),
}.items():
    for top in (2, 9):
        answers = predict_with_reasons(same.head(60), shap_booster, top)
        try:
            json.dumps(answers)
        except TypeError as error:
            raise AssertionError(f"json.dumps refuses the answer: {error}") from error
        for answer, values, probability in zip(
            answers, exact, probabilities, strict=True
        ):
            want = dict(zip(shap_rows.columns, values[:-1].astype(float), strict=True))
            assert np.isclose(answer["probability"], probability, atol=1e-5), (
                f"{change}: probability {answer['probability']:.4f}, the model says"
                f" {probability:.4f}"
            )
            assert np.isclose(answer["base"], values[-1], atol=1e-4), (
                f"{change}: base {answer['base']:.4f}, expected {values[-1]:.4f}"
            )
            assert all(
                np.isclose(answer["contributions"][name], want[name], atol=1e-4)
                for name in want
            ), f"{change}: contributions are not the SHAP values of these features"
            assert np.isclose(
                answer["base"] + sum(answer["contributions"].values()),
                answer["margin"],
                atol=1e-3,
            ), f"{change}: they must add up to the margin"
            ranked = sorted(
                (name for name in want if want[name] > 0), key=want.get, reverse=True
            )[:top]
            assert list(answer["reasons"]) == ranked, (
                f"{change}, top={top}: reasons {answer['reasons']}, expected {ranked}:"
                " only features that raise the risk, the strongest first"
            )
assert shap_rows.equals(given), "rows were changed"
assert len(predict_with_reasons(shap_rows.tail(1), shap_booster)) == 1, (
    "a request of one row has one answer"
)
### END HIDDEN TESTS

# %%
sample = test.sample(min(len(test), 1500), random_state=SEED)
explained = predict_with_reasons(sample[FEATURES], booster)
contributions = pd.DataFrame([answer["contributions"] for answer in explained])[
    FEATURES
]
ax = plots.shap_beeswarm(contributions.to_numpy(), sample[FEATURES])
_ = ax.set_title(f"{len(sample):,} transactions of the test period")
# %% [markdown]
# ### From the notebook to the container
#
# `src/inference.py` holds SageMaker's four functions and calls yours. `scoring.py` is written from your two functions and the schema, and imported in an empty namespace first: what only works because the notebook happens to know a name fails here and not in the container.

# %%
SCORING_HEAD = (
    "import json\nimport math\n\n"
    "import numpy as np\nimport pandas as pd\nimport xgboost as xgb\n\n"
    f"SCHEMA = {json.dumps(SCHEMA)}\n"
)
SCORING_HEAD = SCORING_HEAD.replace("true", "True").replace("false", "False")
code = work / "code"
shutil.copytree("src", code, ignore=shutil.ignore_patterns("train.py", "__pycache__"))
sources = [
    inspect.getsource(function) for function in (parse_request, predict_with_reasons)
]
(code / "scoring.py").write_text("\n\n".join([SCORING_HEAD, *sources]))

specification = importlib.util.spec_from_file_location("scoring", code / "scoring.py")
scoring = importlib.util.module_from_spec(specification)
specification.loader.exec_module(scoring)
request = json.dumps(
    {"instances": json.loads(test[FEATURES].head(2).to_json(orient="records"))}
)
scoring.predict_with_reasons(
    scoring.parse_request(request, "application/json", scoring.SCHEMA), booster
)[0]["reasons"]

# %%
package = deployment.package_model(work / "model", code, work / "model.tar.gz")
endpoint = deployment.deploy_realtime(
    aws,
    aws.name("xgb"),
    aws.image("xgboost"),
    aws.upload(package, "models/endpoint"),
    environment={
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    },
)
answer = json.loads(
    deployment.invoke(aws, endpoint, request, content_type="application/json")
)
pd.DataFrame(answer["predictions"])[["probability", "margin", "base", "reasons"]]

# %% [markdown]
# ### 6c. The p99 that a cardholder feels
#
# The load generator sends on a schedule, as cardholders do: they don't wait for one another. When the service stalls, the requests scheduled meanwhile wait too. A report that starts its clock when a request is at last *sent* leaves that wait out (coordinated omission), and one that leaves out failures gets better the more requests fail.


# %% nbgrader="solution" grade_id="latency_report"
def latency_report(trace: pd.DataFrame) -> dict[str, float]:
    """Latency percentiles and errors of a load test, as its clients experience them.

    A request's latency runs from the moment for which it was scheduled to its answer. A
    failed request counts in the percentiles as one that never answers: its latency is
    infinite. The p-th percentile is the smallest latency that at least p % of all
    requests do not exceed (no interpolation).

    Args:
        trace: one row per request in any order; columns scheduled, sent, done (seconds
            on one clock), ok (bool). It is not changed.

    Returns:
        p50_ms and p99_ms (milliseconds, inf possible), error_rate (share of failed
        requests), all Python floats.

    Raises:
        ValueError: trace is empty.
    """
    ### BEGIN SOLUTION
    if trace.empty:
        raise ValueError("the trace holds no request")
    ok = trace["ok"].to_numpy(bool)
    latency = np.sort(
        np.where(
            ok, (trace["done"] - trace["scheduled"]).to_numpy(float) * 1000, np.inf
        )
    )
    p50, p99 = (float(latency[-(-p * len(latency) // 100) - 1]) for p in (50, 99))
    return {"p50_ms": p50, "p99_ms": p99, "error_rate": float(np.mean(~ok))}
    ### END SOLUTION


# %%
stall = pd.DataFrame(
    {
        "scheduled": [0.0, 0.1, 0.2, 0.3],
        "sent": [0.0, 0.1, 0.5, 0.6],
        "done": [0.02, 0.5, 0.52, 0.63],
        "ok": [True, True, True, False],
    }
)
latency_report(stall)

# %% nbgrader="test" grade_id="test_latency_report" points=2
"""Latency starts at the schedule, and a failure never answers."""
report = latency_report(stall)
assert np.isclose(report["p50_ms"], 320), (
    f"p50: expected 320 ms, got {report['p50_ms']}: sorted latencies from the schedule"
    " are 20, 320, 400 and inf, and half of the requests do not exceed 320"
)
assert report["p99_ms"] == np.inf, (
    f"p99: one of four requests never answered, expected inf, got {report['p99_ms']}"
)
assert np.isclose(report["error_rate"], 0.25), (
    f"error_rate: expected 0.25, got {report['error_rate']}"
)
### BEGIN HIDDEN TESTS
for seed, n, failed in (
    (1, 1000, 9),
    (2, 1000, 11),
    (3, 40, 0),
    (4, 7, 4),
    (5, 1, 0),
    (6, 250, 2),
):
    rng = np.random.default_rng(seed)
    scheduled = np.arange(n) * 0.01 + 50
    sent = scheduled + rng.exponential(0.2, n) * (rng.random(n) < 0.2)
    drawn = pd.DataFrame(
        {
            "scheduled": scheduled,
            "sent": sent,
            "done": sent + rng.gamma(2, 0.01, n),
            "ok": rng.permutation(n) >= failed,
        }
    )
    latencies = sorted(
        (row.done - row.scheduled) * 1000 if row.ok else np.inf
        for row in drawn.itertuples()
    )
    want = {
        f"p{p}_ms": next(
            value for i, value in enumerate(latencies) if (i + 1) * 100 >= p * n
        )
        for p in (50, 99)
    } | {"error_rate": failed / n}
    given = drawn.copy()
    for change, same in {
        "as given": drawn,
        "shuffled": drawn.sample(frac=1, random_state=0),
        "another clock": drawn.assign(**drawn[["scheduled", "sent", "done"]] + 1000),
        "another index": drawn.set_axis(range(3, n + 3)),
    }.items():
        got = latency_report(same)
        for name in want:
            assert isinstance(got[name], float) and np.isclose(
                got[name], want[name], rtol=1e-6
            ), (
                f"{change}, {n} requests, {failed} failed: {name} is {got[name]},"
                f" expected {want[name]}"
            )
    assert drawn.equals(given), "latency_report changed its argument"
try:
    latency_report(stall.iloc[:0])
    raise AssertionError("an empty trace must raise ValueError")
except ValueError:
    pass
### END HIDDEN TESTS


# %%
def timed_request(scheduled: float, body: str) -> dict:
    """Call the endpoint at a moment of the performance counter, and time it."""
    time.sleep(max(0.0, scheduled - time.perf_counter()))
    sent, ok = time.perf_counter(), True
    try:
        deployment.invoke(aws, endpoint, body, content_type="application/json")
    except aws.runtime.exceptions.ClientError:
        ok = False
    return {"scheduled": scheduled, "sent": sent, "done": time.perf_counter(), "ok": ok}


n_requests, per_second = (240, 40) if aws.scale == "smoke" else (1000, 40)
bodies = [
    json.dumps({"instances": [row]})
    for row in json.loads(test[FEATURES].head(n_requests).to_json(orient="records"))
]
for body in bodies[:20]:
    deployment.invoke(aws, endpoint, body, content_type="application/json")
schedule = time.perf_counter() + 0.5 + np.arange(len(bodies)) / per_second
trace_started = pd.Timestamp.now("UTC")
with ThreadPoolExecutor(16) as pool:
    trace = pd.DataFrame(pool.map(timed_request, schedule, bodies))
latency_report(trace)

# %%
milliseconds = {
    "from the schedule": (trace["done"] - trace["scheduled"]) * 1000,
    "from sending": (trace["done"] - trace["sent"]) * 1000,
}
ax = plots.latency_ecdf(milliseconds)
_ = ax.set_title(f"{len(trace)} requests, {per_second} a second")

# %% [markdown]
# Amazon CloudWatch measures the same requests on the other side: `ModelLatency`, in microseconds, is what the container takes. The difference to the client's figure is the network, the queue and the client. Metrics arrive with a delay, so the cell waits until all requests are counted.


# %%
def model_latency(wanted: int, timeout: float = 180) -> dict[str, float]:
    """The endpoint's ModelLatency in ms, once `wanted` requests are counted."""
    deadline = time.monotonic() + timeout
    variant = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    while True:
        points = aws.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="ModelLatency",
            Dimensions=[
                {"Name": key, "Value": value} for key, value in variant.items()
            ],
            StartTime=(trace_started - pd.Timedelta("1h")).to_pydatetime(),
            EndTime=(pd.Timestamp.now("UTC") + pd.Timedelta("1h")).to_pydatetime(),
            Period=3600,
            Statistics=["SampleCount", "Sum", "Maximum"],
        )["Datapoints"]
        requests = sum(point["SampleCount"] for point in points)
        if requests >= wanted:
            mean = sum(point["Sum"] for point in points) / requests / 1000
            highest = max(point["Maximum"] for point in points) / 1000
            return {"requests": requests, "mean_ms": mean, "max_ms": highest}
        if time.monotonic() > deadline:
            counted = f"CloudWatch counted {requests:.0f} of {wanted} requests"
            raise TimeoutError(f"{counted} after {timeout:.0f} s")
        time.sleep(aws.poll_seconds)


# %%
sending = (trace["done"] - trace["sent"]) * 1000
compared = {
    "client, from sending": {
        "requests": len(trace),
        "mean_ms": sending.mean(),
        "max_ms": sending.max(),
    },
    "CloudWatch ModelLatency": model_latency(len(trace)),
}
pd.DataFrame(compared).round(2)

# %% nbgrader="test" grade_id="test_endpoint" points=2 tags=["in-process"]
"""The endpoint answers as your functions do and was measured under load."""
answer = json.loads(
    deployment.invoke(aws, endpoint, request, content_type="application/json")
)["predictions"]
local = predict_with_reasons(
    parse_request(request, "application/json", SCHEMA), booster
)
for remote, here in zip(answer, local, strict=True):
    assert np.isclose(remote["probability"], here["probability"], atol=1e-5), (
        f"the endpoint says {remote['probability']}, your function"
        f" {here['probability']}"
    )
    assert np.isclose(
        remote["base"] + sum(remote["contributions"].values()),
        remote["margin"],
        atol=1e-3,
    ), "the endpoint's SHAP values must add up to its margin"
broken = json.loads(request)
broken["instances"][0]["amount"] = "12"
try:
    deployment.invoke(
        aws, endpoint, json.dumps(broken), content_type="application/json"
    )
    raise AssertionError("the endpoint scored an amount that is a string")
except aws.runtime.exceptions.ClientError as error:
    assert "amount" in str(error), (
        f"the error must name the column amount, it says: {error}"
    )
assert len(trace) >= 200 and trace["ok"].mean() > 0.99, (
    f"{(~trace['ok']).sum()} of {len(trace)} requests failed under load"
)
### BEGIN HIDDEN TESTS
rows = test[FEATURES].tail(60)
answer = json.loads(
    deployment.invoke(
        aws,
        endpoint,
        json.dumps({"instances": json.loads(rows.to_json(orient="records"))}),
        content_type="application/json",
    )
)["predictions"]
expected = booster.predict(xgb.DMatrix(rows[booster.feature_names]))
assert np.allclose([row["probability"] for row in answer], expected, atol=1e-4), (
    "probabilities of the endpoint differ from the trained model's"
)
test_ap = average_precision_score(
    test["fraud"], booster.predict(xgb.DMatrix(test[booster.feature_names]))
)
prevalence = test["fraud"].mean()
assert 3 * prevalence < test_ap < 0.95, (
    f"average precision {test_ap:.3f} on the test period, prevalence {prevalence:.4f}:"
    " below three times the prevalence a feature is broken; above .95 one knows the"
    " future"
)
### END HIDDEN TESTS

# %% [markdown]
# ## The test period, opened once
#
# The threshold comes from the validation period; the model was retrained on later data since. The last line is what the team would report.

# %%
final = booster.predict(xgb.DMatrix(test[booster.feature_names]))
threshold = money["XGBoost"][0]
alerted = final >= threshold
paid = REVIEW_COST * alerted.sum() + test.loc[test["fraud"] & ~alerted, "amount"].sum()
hindsight = minimum_cost_threshold(
    test["fraud"].to_numpy(), final, test["amount"].to_numpy(), REVIEW_COST
)
auc = roc_auc_score(test["fraud"], final)
ap = average_precision_score(test["fraud"], final)
ranked = test.assign(score=final)[["day", "customer_id", "score", "fraud"]]
print(
    f"AUC {auc:.3f}, average precision {ap:.3f}, "
    f"card precision at {k}: {card_precision_at_k(ranked, k):.3f}"
)
print(
    f"cost without alerts {test.loc[test['fraud'], 'amount'].sum():,.0f}, at the frozen"
    f" threshold {paid:,.0f}, with hindsight {hindsight[1]:,.0f}"
)

# %% [markdown] nbgrader="manual" grade_id="design_question" points=5
# ## Design question: the model changes the data it will be trained on
#
# From Monday, every transaction above the threshold is declined and its card is blocked. Three months later the team wants to retrain, and asks you whether the new model is better than the old one. In at most 400 words: what is wrong with the labels by then, what do you change in the system **before Monday**, which quantities do you watch while it runs, and at which value of which of them do you roll back? State what your proposal costs.
#
# *Rubric, one point each:* names the selection of labels and its direction; a concrete exploration or control group with size and cost; an evaluation that corrects for it, with its assumptions; monitoring that does not wait for the label delay; a roll-back rule with a number and a reason.
#
# <!-- BEGIN SOLUTION -->
# **Labels.** A declined transaction never shows whether it was fraud; a blocked card makes none. Frauds above the old threshold vanish from the training data, so a retrained model learns that such patterns are harmless, and the old model's recall, computed on what was let through, falls although nothing got worse. Reviews give labels only where the old model looked.
#
# **Before Monday.** Let a random 1 % of the transactions above the threshold pass (2 % below an amount of 50, none above 500), by a hash of the card, and log score, threshold, model version, features and the probability of letting pass. At 40 alerts a day of mean loss 60 and a precision of .3 this costs about 40 × .01 × .3 × 60 ≈ 7 currency units a day and gives some 36 labelled transactions in three months: few, so the share is doubled for the first month. Keep challenger scores in shadow.
#
# **Evaluation.** Weight each labelled row by the inverse of its probability of having been observed; report the effective sample size and a bootstrap interval by card. It assumes that the logged probability is right and positive wherever the new model would decide differently: amounts above 500 are outside the claim. Compare both models on the same weighted rows, with the label delay respected; a difference whose interval holds 0 is no improvement.
#
# **Monitoring without labels.** Alert rate, score distribution (PSI against the validation period), share of null and rejected requests, p99, customers' complaints and step-up confirmations within the day, which are early labels of declined genuine payments.
#
# **Roll back** to the previous model when the alert rate leaves .5 to 2 times that of the validation period for two hours (about 10 standard errors at 1,600 transactions a day, so not chance), when p99 exceeds 200 ms for 15 minutes, or when the confirmed-genuine share of declined payments exceeds .8, the break-even at a review cost of 8 and the mean loss of 40 (8 / 40 = .2 fraud). Cost: one variant more in standby, and the exploration's losses above.
# <!-- END SOLUTION -->

# %% [markdown]
# ## Clean up
#
# An endpoint is billed for every second it exists. The cell prices what ran, and deletes everything that this lab made.

# %% tags=["cleanup"]
priced = costs.estimate(aws.ledger)
print(f"on AWS: {priced['usd'].sum():.4f} USD at list prices")
shutil.rmtree(work)
cleanup.delete_lab(aws)
