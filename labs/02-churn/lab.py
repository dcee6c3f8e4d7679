# ---
# title: "Lab 2: churn, from snapshots to a campaign that pays"
# minutes: 210
# module: churn
# ---

# %% [markdown]
# # Lab 2: churn, from snapshots to a campaign that pays
#
# A churn model is scored once a month, in batch, and somebody acts on the list. You build the parts that decide whether the list is worth acting on: features as of a day, a lift in money, a comparison of models that may end without a winner, a campaign that pays, survival with censoring, a batch job that can be run again, and the effect of the campaign itself.
#
# **You will**
#
# 1. build snapshots that know nothing of the day after;
# 2. measure lift in the value that is about to leave, with ties;
# 3. compare models with a test that allows for overlapping training sets;
# 4. choose whom to contact when a contact, an offer and a customer each have a price;
# 5. estimate survival and concordance from censored durations;
# 6. score by Amazon SageMaker batch transform, join by id, and rerun only what is missing;
# 7. measure uplift on a randomised log.
#
# About three and a half hours; 26 points are graded by tests, 5 by a person. The lab runs on the local SageMaker unless `COURSE_BACKEND=aws`.

# %% tags=["parameters"]
SEED = 11

# %% tags=["setup"]
import shutil
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from xgboost import XGBClassifier

from helpers import cleanup, connect, costs, deployment, evaluation, plots
from helpers.data import churn

plots.use_style()

# %% [markdown]
# ## The data
#
# A simulated software service with three plans, billed every 30 days. `customers` says who signed up when and, for those who left, when; `usage` counts what they did each day; `renewals` are the bills; `contacts` is the log of retention campaigns in which the arm of each customer was drawn by lot. `service.truth` is the simulator's secret.

# %%
service = churn.at_scale(seed=SEED)
last_day = service.n_days - 1
left = service.customers["ended_day"].notna()
print(
    f"{len(service.customers):,} customers, {left.sum():,} of them left;"
    f" {1 - service.renewals['renewed'].mean():.1%} of the bills are not renewed"
)
service.usage.head()

# %% [markdown]
# ## Task 1: what was known on a day
#
# A *snapshot* is the table that the monthly job would have seen on its day. Its features end the day before; its label begins the day after. Everything that a query on today's tables would leak (the end of the subscription, usage of the following week, an average over the whole history) is left out by construction.
#
# A customer of 40 days has no 90 days of history: a count over the window would call him inactive. Features are therefore *rates*, per 30 days in which the customer was subscribed.


# %% nbgrader="solution" grade_id="as_of_snapshot"
def as_of_snapshot(
    customers: pd.DataFrame,
    usage: pd.DataFrame,
    as_of_day: int,
    last_day: int,
    windows: tuple[int, ...] = (7, 30, 90),
    horizon_days: int = 30,
) -> pd.DataFrame:
    """Features and label of every customer who is subscribed on a day.

    Args:
        customers: columns customer_id (int), signup_day (int), ended_day (nullable int:
            the first day without subscription; missing while it runs), and others.
        usage: columns customer_id, day, and one count per kind of event; rows in any
            order, days without events are absent. Neither frame is changed.
        as_of_day: the snapshot's day.
        last_day: the last day that the tables cover.
        windows: window lengths in days.
        horizon_days: how far the label looks ahead.

    Returns:
        One row per customer who signed up at least 30 days before as_of_day and is
        subscribed on as_of_day; index customer_id, ascending. Columns:
        tenure_days: as_of_day - signup_day (int).
        days_since_use: as_of_day minus the last day of usage before it (float; NaN if
            there is none).
        {event}_{w}d: events on the days as_of_day - w to as_of_day - 1, per 30 days of
            the window in which the customer was subscribed (float), for each event
            column of usage and each window.
        churned: whether the subscription ends on one of the horizon_days days after
            as_of_day (bool).

    Raises:
        ValueError: the tables do not cover the whole horizon, so labels are not known.
    """
    ### BEGIN SOLUTION
    if as_of_day + horizon_days > last_day:
        raise ValueError(
            f"labels of day {as_of_day} are known on day {as_of_day + horizon_days},"
            f" the tables end on day {last_day}"
        )
    ended = customers["ended_day"].astype("Float64").fillna(np.inf).to_numpy(float)
    signed_up = customers["signup_day"].to_numpy(int)
    chosen = (signed_up <= as_of_day - 30) & (ended > as_of_day)
    index = pd.Index(customers["customer_id"].to_numpy()[chosen], name="customer_id")
    tenure = as_of_day - signed_up[chosen]
    past = usage[usage["day"] < as_of_day]
    last_use = past.groupby("customer_id")["day"].max().reindex(index)
    columns = {
        "tenure_days": tenure,
        "days_since_use": as_of_day - last_use.to_numpy(float),
    }
    events = [name for name in usage.columns if name not in ("customer_id", "day")]
    for w in windows:
        counts = past[past["day"] >= as_of_day - w].groupby("customer_id")[events].sum()
        rates = counts.reindex(index, fill_value=0).to_numpy(float)
        rates = rates * 30 / np.minimum(w, tenure)[:, None]
        columns |= {f"{name}_{w}d": rates[:, i] for i, name in enumerate(events)}
    columns["churned"] = ended[chosen] <= as_of_day + horizon_days
    return pd.DataFrame(columns, index=index).sort_index()
    ### END SOLUTION


# %%
three = pd.DataFrame(
    {
        "customer_id": [7, 3, 5],
        "signup_day": [0, 60, 80],
        "ended_day": pd.array([130, None, None], dtype="Int16"),
    }
)
three_usage = pd.DataFrame(
    {
        "customer_id": [7, 7, 7, 3, 3, 5],
        "day": [99, 100, 40, 70, 93, 99],
        "login": [2, 9, 4, 3, 1, 8],
    }
)
as_of_snapshot(three, three_usage, as_of_day=100, last_day=140)

# %% nbgrader="test" grade_id="test_as_of_snapshot" points=4
"""Features end the day before, rates count subscribed days only, labels look ahead."""
got = as_of_snapshot(three, three_usage, as_of_day=100, last_day=140)
assert list(got.index) == [3, 7], (
    "customer 5 signed up 20 days before; the rest ascend by customer_id:"
    f" expected [3, 7], got {list(got.index)}"
)
expected = {
    "tenure_days": ([40, 100], "as_of_day - signup_day"),
    "days_since_use": ([7, 1], "the last use before day 100: day 100 itself is future"),
    "login_7d": ([30 / 7, 60 / 7], "days 93 to 99, times 30 / 7"),
    "login_30d": ([4, 2], "days 70 to 99"),
    "login_90d": ([3, 2], "customer 3 was subscribed on 40 of the 90 days"),
    "churned": ([False, True], "the end on day 130 is 30 days after day 100"),
}
for column, (want, why) in expected.items():
    assert column in got, f"column {column} is missing, got {list(got.columns)}"
    assert np.allclose(got[column].astype(float), want), (
        f"{column}: expected {want}, got {got[column].tolist()}: {why}"
    )
try:
    as_of_snapshot(three, three_usage, as_of_day=111, last_day=140)
    raise AssertionError(
        "labels of day 111 are known on day 141, the tables end on 140"
    )
except ValueError:
    pass


### BEGIN HIDDEN TESTS
def random_tables(seed, n=60):
    """Customers on a short time line, with ends and usage on every edge of a window."""
    rng = np.random.default_rng(seed)
    signup = rng.integers(0, 90, n)
    ended = signup + 30 * rng.integers(1, 5, n)
    customers = pd.DataFrame(
        {
            "customer_id": rng.permutation(n) * 3 + 5,
            "plan": "team",
            "signup_day": signup,
            "ended_day": pd.array(
                np.where((ended > 150) | (rng.random(n) < 0.4), -1, ended),
                dtype="Int16",
            ),
        },
        index=rng.permutation(n),
    )
    customers["ended_day"] = customers["ended_day"].mask(customers["ended_day"] < 0)
    m = 25 * n
    who = customers.iloc[rng.integers(0, n - 3, m)]
    usage = pd.DataFrame(
        {
            "customer_id": who["customer_id"].to_numpy(),
            "day": who["signup_day"].to_numpy() + rng.integers(0, 70, m),
            "report": rng.integers(0, 4, m),
            "click": rng.integers(0, 9, m),
        }
    )
    end = who["ended_day"].astype(float).fillna(1000).to_numpy()
    usage = usage[usage["day"].to_numpy() < end]
    return customers, usage.groupby(["customer_id", "day"], as_index=False).sum()


def brute_force(customers, usage, as_of_day, windows, horizon_days):
    """The definition, customer by customer."""
    rows = {}
    for c in customers.itertuples():
        end = np.inf if pd.isna(c.ended_day) else c.ended_day
        if c.signup_day > as_of_day - 30 or end <= as_of_day:
            continue
        own = usage[
            (usage["customer_id"] == c.customer_id) & (usage["day"] < as_of_day)
        ]
        tenure = as_of_day - c.signup_day
        row = {
            "tenure_days": tenure,
            "days_since_use": as_of_day - own["day"].max() if len(own) else np.nan,
        }
        for w in windows:
            inside = own[own["day"] >= as_of_day - w]
            for name in ("report", "click"):
                row[f"{name}_{w}d"] = inside[name].sum() * 30 / min(w, tenure)
        rows[c.customer_id] = row | {"churned": end <= as_of_day + horizon_days}
    return pd.DataFrame.from_dict(rows, orient="index").sort_index().astype(float)


def same_snapshot(got, want, why):
    assert isinstance(got, pd.DataFrame) and list(got.index) == list(want.index), (
        f"{why}: the customers differ: {len(got)} rows, expected {len(want)}"
    )
    assert set(got.columns) == set(want.columns), (
        f"{why}: columns {sorted(set(got.columns) ^ set(want.columns))} differ"
    )
    for column in want:
        assert np.allclose(
            got[column].astype(float), want[column].astype(float), equal_nan=True
        ), f"{why}: {column} is wrong"


for seed, as_of_day, windows, horizon_days in (
    (1, 100, (7, 30, 90), 30),
    (2, 90, (14,), 30),
    (3, 60, (1, 45), 60),
):
    customers, usage = random_tables(seed)
    given = customers.copy(), usage.copy()
    arguments = as_of_day, 150, windows, horizon_days
    want = brute_force(customers, usage, as_of_day, windows, horizon_days)
    base = as_of_snapshot(customers, usage, *arguments)
    same_snapshot(base, want, f"day {as_of_day}, windows {windows}")
    assert base["churned"].dtype == bool, "churned must be bool"
    assert customers.equals(given[0]) and usage.equals(given[1]), "a table was changed"
    later = usage.assign(day=usage["day"].where(usage["day"] < as_of_day, 149))
    later.loc[later["day"] >= as_of_day, ["report", "click"]] += 1000
    same_snapshot(
        as_of_snapshot(customers, later, *arguments), want, "other events in the future"
    )
    postponed = customers.assign(
        ended_day=customers["ended_day"].mask(
            customers["ended_day"] > as_of_day + horizon_days
        )
    )
    same_snapshot(
        as_of_snapshot(postponed, usage, *arguments), want, "ends after the horizon"
    )
    same_snapshot(
        as_of_snapshot(
            customers.sample(frac=1, random_state=0),
            usage.sample(frac=1, random_state=0),
            *arguments,
        ),
        want,
        "rows in another order",
    )
    shifted = as_of_snapshot(
        customers.assign(
            signup_day=customers["signup_day"] + 200,
            ended_day=customers["ended_day"] + 200,
        ),
        usage.assign(day=usage["day"] + 200),
        as_of_day + 200,
        350,
        windows,
        horizon_days,
    )
    same_snapshot(shifted, want, "everything 200 days later")
assert len(as_of_snapshot(*random_tables(1), as_of_day=120, last_day=150)), (
    "labels of day 120 are known on day 150, the last of the tables"
)
### END HIDDEN TESTS

# %% [markdown]
# ### Snapshots for training, validation and test
#
# One snapshot a month. The last one with known labels is the test, the one before it the validation; training ends a horizon earlier, so that no training label looks into a later snapshot's features. The plan's price and whether a customer is on it come from `customers`, which does not change.

# %%
PRICE = churn.PLANS["price"].astype(float)


def snapshot(day: int) -> pd.DataFrame:
    """A snapshot with each customer's plan and its price, and the day."""
    rows = as_of_snapshot(service.customers, service.usage, day, last_day)
    rows = rows.reset_index().fillna({"days_since_use": 999.0})
    plan = service.customers.set_index("customer_id")["plan"]
    rows["plan"] = rows["customer_id"].map(plan)
    return rows.assign(price=rows["plan"].map(PRICE).astype(float), day=day)


test_day = last_day - 30
train_days = range(120, test_day - 60 + 1, 30)
train = pd.concat([snapshot(day) for day in train_days], ignore_index=True)
validation, test = snapshot(test_day - 30), snapshot(test_day)
FEATURES = [
    name for name in train if name not in ("churned", "plan", "day", "customer_id")
]
pd.DataFrame(
    {
        name: {"rows": len(rows), "churned": rows["churned"].mean()}
        for name, rows in {
            "train": train,
            "validation": validation,
            "test": test,
        }.items()
    }
).T

# %% [markdown]
# ### Three models on the same folds
#
# A customer is in many snapshots. Folds that split rows put the same customer on both sides, so the folds are by customer.

# %%
MODELS = {
    "logistic regression": make_pipeline(
        FunctionTransformer(np.log1p),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    ),
    "XGBoost": XGBClassifier(
        n_estimators=150, max_depth=3, learning_rate=0.06, n_jobs=1, random_state=SEED
    ),
    "LightGBM": LGBMClassifier(
        n_estimators=150,
        num_leaves=8,
        learning_rate=0.06,
        n_jobs=1,
        random_state=SEED,
        verbose=-1,
    ),
}
X, y = train[FEATURES], train["churned"].to_numpy()
folds = [
    fold
    for repeat in range(2)
    for fold in GroupKFold(5, shuffle=True, random_state=repeat).split(
        X, y, train["customer_id"]
    )
]
evaluator = evaluation.ModelEvaluator()
by_fold = {
    name: evaluator.cross_validate(model, X, y, cv=folds)
    for name, model in MODELS.items()
}
columns = ["roc_auc", "average_precision", "brier", "ece"]
pd.DataFrame({name: result[columns].mean() for name, result in by_fold.items()}).T

# %% [markdown]
# ## Task 2: lift, in money
#
# The team calls the riskiest tenth. *Lift* says how much richer in churners that tenth is than a tenth by lot. A churner on the business plan is worth six on the basic one, so the team lead asks for lift in *value*: the share of the value that is about to leave which the tenth holds, over the tenth.
#
# A model with few distinct scores has ties at the cut. Which of them are called is chance, so they count in proportion: the lift is the mean over all orders of equal scores.


# %% nbgrader="solution" grade_id="value_lift"
def value_lift(churned, score, value, share: float) -> float:
    """Share of the churners' value among the riskiest customers, over their share.

    Customers whose score equals the one at the cut count in proportion, so that the
    result is the mean over all orders of equal scores; the cut may fall between two
    customers.

    Args:
        churned: booleans, shape (n,).
        score: higher is riskier, shape (n,).
        value: what a customer is worth, currency units, not negative, shape (n,).
        share: share of the customers who are called, above 0 and at most 1.

    Returns:
        The lift; 1 means no better than by lot.

    Raises:
        ValueError: share is out of range, or the churners have no value.
    """
    ### BEGIN SOLUTION
    lost = np.asarray(churned, dtype=float) * np.asarray(value, dtype=float)
    if not 0 < share <= 1 or lost.sum() <= 0:
        raise ValueError(
            f"share must be in (0, 1] and churners must have value, got {share} and"
            f" {lost.sum()}"
        )
    group = np.unique(-np.asarray(score, dtype=float), return_inverse=True)[1]
    called = np.concatenate([[0], np.bincount(group).cumsum()])
    found = np.concatenate([[0], np.bincount(group, weights=lost).cumsum()])
    return float(np.interp(share * len(lost), called, found) / lost.sum() / share)
    ### END SOLUTION


# %%
eight = pd.DataFrame(
    {
        "churned": [True, False, True, False, False, True, False, False],
        "score": [0.9, 0.8, 0.5, 0.5, 0.5, 0.5, 0.2, 0.1],
        "value": [10.0, 50.0, 40.0, 5.0, 5.0, 30.0, 80.0, 1.0],
    }
)
value_lift(eight["churned"], eight["score"], eight["value"], share=0.5)

# %% nbgrader="test" grade_id="test_value_lift" points=3
"""Value of churners, ties in proportion, over the share."""
for share, want, why in (
    (0.125, 1.0, "the riskiest customer holds 10 of the 80 that leave"),
    (0.5, 45 / 80 / 0.5, "four called: 0.9, 0.8 and half of the four at 0.5"),
    (1.0, 1.0, "all customers hold all value"),
    (0.3, (10 + 70 * 0.4 / 4) / 80 / 0.3, "2.4 customers: 0.4 of the four tied ones"),
):
    got = value_lift(eight["churned"], eight["score"], eight["value"], share)
    assert np.isclose(got, want), (
        f"share {share}: expected {want:.4f}, got {got}: {why}"
    )
### BEGIN HIDDEN TESTS
for seed, n, levels in ((1, 300, 10), (2, 97, 3), (3, 500, 500), (4, 40, 1)):
    rng = np.random.default_rng(seed)
    drawn = pd.DataFrame(
        {
            "churned": rng.random(n) < 0.2,
            "score": rng.integers(0, levels, n) / levels,
            "value": rng.lognormal(3, 1, n).round(2),
        }
    )
    given = drawn.copy()
    lost = (drawn["churned"] * drawn["value"]).to_numpy()
    for share in (0.05, 0.1, 0.37, 1.0):
        k = share * n
        total = 0.0
        for level in sorted(drawn["score"].unique(), reverse=True):
            tied = (drawn["score"] == level).to_numpy()
            above = (drawn["score"] > level).sum()
            total += lost[tied].sum() * np.clip((k - above) / tied.sum(), 0, 1)
        want = total / lost.sum() / share
        for change, same in {
            "as given": drawn,
            "shuffled": drawn.sample(frac=1, random_state=0),
            "sorted by churn": drawn.sort_values("churned"),
            "scores in another unit": drawn.assign(score=drawn["score"] * 1e3 - 7),
            "values in cents": drawn.assign(value=drawn["value"] * 100),
            "every customer twice": pd.concat([drawn, drawn]),
        }.items():
            got = value_lift(same["churned"], same["score"], same["value"], share)
            assert np.isclose(got, want, rtol=1e-6), (
                f"{change}, {levels} levels, share {share}: expected {want:.5f}, got"
                f" {got:.5f}"
            )
    assert drawn.equals(given), "an argument was changed"
    equal = value_lift(drawn["churned"], drawn["score"], np.ones(n), 0.1)
    want = evaluation.BusinessMetrics().lift(drawn["churned"], drawn["score"], 0.1)
    assert np.isclose(equal, want), "with equal values it is the ordinary lift"
for bad in (
    {"share": 0},
    {"share": 1.01},
    {"churned": np.zeros(8, bool)},
    {"value": np.zeros(8)},
):
    try:
        value_lift(**{**eight.to_dict("series"), "share": 0.5, **bad})
    except ValueError:
        continue
    raise AssertionError(f"{next(iter(bad))}: a ValueError is due")
### END HIDDEN TESTS

# %%
fitted = {name: model.fit(X, y) for name, model in MODELS.items()}
scores = {
    name: model.predict_proba(validation[FEATURES])[:, 1]
    for name, model in fitted.items()
}
metrics = evaluation.BusinessMetrics()
curves = {
    name: metrics.gain_curve(validation["churned"], score)
    for name, score in scores.items()
}
plots.gain(curves, marked_share=0.1)
pd.Series(
    {
        name: value_lift(validation["churned"], score, validation["price"], 0.1)
        for name, score in scores.items()
    },
    name="lift in value, riskiest tenth",
).round(2)

# %% [markdown]
# ## Task 3: which model is better, or neither
#
# Ten folds are ten numbers per model, but not ten independent ones: their training sets overlap, and a paired t-test on them finds winners that are not there. Nadeau and Bengio's correction widens the variance by the ratio of test to training rows: with *n* folds and the sample variance *s²* of the differences, the variance of their mean is (1/*n* + test/train) · *s²*, and the statistic has *n* − 1 degrees of freedom.
#
# The interval answers two questions. If it leaves out 0, one model is better. If it lies within a margin that nobody would pay for, the models are *equivalent*, whether or not it holds 0. If it does neither, the data do not decide, and "no significant difference" would be a wrong word for that.


# %% nbgrader="solution" grade_id="compare_models"
def compare_models(
    first, second, test_to_train: float, margin: float, confidence: float = 0.95
) -> dict:
    """Compare two models by a metric over the same folds; larger is better.

    Args:
        first: the metric of one model on each fold, shape (n_folds,).
        second: the metric of the other on the same folds.
        test_to_train: rows of a test fold over rows of its training set.
        margin: differences smaller than this do not matter, above 0.
        confidence: of the interval.

    Returns:
        difference: mean of first minus second.
        low, high: its confidence interval, by the corrected resampled t-test.
        verdict: "equivalent" if the interval lies within (-margin, margin); else
            "first" or "second" if it leaves out 0; else "undecided".

    Raises:
        ValueError: the shapes differ, or there are fewer than two folds.
    """
    ### BEGIN SOLUTION
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(
            f"two metrics on the same folds are needed, got {first.shape} and"
            f" {second.shape}"
        )
    differences, n = first - second, len(first)
    error = np.sqrt((1 / n + test_to_train) * differences.var(ddof=1))
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    difference = float(differences.mean())
    low, high = float(difference - half), float(difference + half)
    if -margin < low and high < margin:
        verdict = "equivalent"
    elif low > 0 or high < 0:
        verdict = "first" if low > 0 else "second"
    else:
        verdict = "undecided"
    return {"difference": difference, "low": low, "high": high, "verdict": verdict}
    ### END SOLUTION


# %%
one_model = np.array([0.80, 0.82, 0.79, 0.81, 0.83])
another = one_model - np.array([0.010, 0.014, 0.006, 0.012, 0.008])
compare_models(one_model, another, test_to_train=0.25, margin=0.002)

# %% nbgrader="test" grade_id="test_compare_models" points=3
"""The corrected interval, and four verdicts."""
got = compare_models(one_model, another, test_to_train=0.25, margin=0.002)
assert np.isclose(got["difference"], 0.010), f"difference: expected 0.010, got {got}"
assert np.isclose(got["high"] - got["low"], 2 * 0.0058895, atol=1e-5), (
    "the interval is 0.010 ± 0.00589: variance (1/5 + 0.25) of the differences' with"
    f" ddof=1, t with 4 degrees of freedom; got {got['low']:.5f} to {got['high']:.5f}"
)
for margin, second, want in (
    (0.002, another, "first"),
    (0.02, another, "equivalent"),
    (0.002, one_model + 0.02 + (one_model - another) / 9, "second"),
    (0.002, one_model + np.array([0.02, -0.02, 0.01, -0.02, 0.01]), "undecided"),
):
    got = compare_models(one_model, second, 0.25, margin)
    assert got["verdict"] == want, f"margin {margin}: expected {want}, got {got}"
### BEGIN HIDDEN TESTS
for seed in range(6):
    rng = np.random.default_rng(seed)
    n, ratio = int(rng.integers(2, 30)), float(rng.uniform(0.05, 1))
    base = rng.uniform(0.7, 0.9, n)
    other = base + rng.normal(rng.choice([-0.02, 0, 0.02]), 0.01, n)
    want = evaluation.corrected_resampled_t_test(base, other, ratio)
    for margin in (0.001, 0.01, 0.5):
        got = compare_models(base, other, ratio, margin)
        for name in ("difference", "low", "high"):
            assert np.isclose(got[name], getattr(want, name)), (
                f"{n} folds, ratio {ratio:.2f}: {name} is {got[name]:.5f}, expected"
                f" {getattr(want, name):.5f}"
            )
        inside = -margin < want.low and want.high < margin
        better = "first" if want.low > 0 else "second" if want.high < 0 else "undecided"
        verdict = "equivalent" if inside else better
        assert got["verdict"] == verdict, (
            f"interval {want.low:.4f} to {want.high:.4f}, margin {margin}: expected"
            f" {verdict}, got {got['verdict']}"
        )
        turned = compare_models(other, base, ratio, margin)
        swapped = {"first": "second", "second": "first"}.get(verdict, verdict)
        assert turned["verdict"] == swapped, "the verdict must turn with the models"
    narrow, wide = (
        compare_models(list(base), list(other), ratio, 0.01, c) for c in (0.5, 0.99)
    )
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"], (
        "a larger confidence needs a wider interval"
    )
same = compare_models([0.8, 0.9, 0.7], [0.8, 0.9, 0.7], 0.25, 0.01)
assert same["verdict"] == "equivalent" and same["difference"] == 0
rejections = 0
rng = np.random.default_rng(8)
for _ in range(300):
    shared = rng.normal(0, 0.01)  # overlapping training sets: folds err together
    noise = shared + rng.normal(0, 0.01, 10)
    verdict = compare_models(noise + 0.8, np.full(10, 0.8), 0.25 * 4, 1e-9)["verdict"]
    rejections += verdict != "undecided"
assert rejections < 45, f"{rejections} of 300 equal pairs got a winner"
for bad in (([0.8], [0.9]), ([0.8, 0.9], [0.8, 0.9, 0.7])):
    try:
        compare_models(*bad, 0.25, 0.01)
    except ValueError:
        continue
    raise AssertionError(f"shapes {[len(part) for part in bad]} must raise ValueError")
### END HIDDEN TESTS

# %%
pd.DataFrame(
    {
        f"{first} against {second}": compare_models(
            by_fold[first]["roc_auc"], by_fold[second]["roc_auc"], 0.25, margin=0.02
        )
        for first, second in (
            ("logistic regression", "XGBoost"),
            ("logistic regression", "LightGBM"),
            ("XGBoost", "LightGBM"),
        )
    }
).T

# %% [markdown]
# Trees do not beat the logistic regression on these tables, nor do they on the public Telco data (see the lesson on models). The lab goes on with the model that is easier to run and to explain.

# %% [markdown]
# ## Task 4: whom to contact
#
# A call costs `contact_cost`. The offer, a price cut worth `offer_cost`, goes to everybody who is called, and those who would have stayed anyway take it too. Of those who would have left, a share `success` accepts and stays, and is then worth `value` before the offer is paid. Nothing is earned by ranking: a customer is called if the call is expected to pay.


# %% nbgrader="solution" grade_id="plan_campaign"
def plan_campaign(
    probability,
    value,
    contact_cost: float,
    offer_cost: float,
    success: float,
    capacity: int | None = None,
) -> tuple[np.ndarray, float]:
    """The calls with the largest expected profit.

    A called customer who would have left stays with probability `success`, is worth
    `value` and takes the offer; one who would have stayed takes the offer too; one who
    leaves all the same costs the call alone.

    Args:
        probability: probability of leaving, shape (n,).
        value: of each customer, currency units, shape (n,).
        contact_cost: of one call, currency units.
        offer_cost: of the offer to a customer who stays, currency units.
        success: probability that a leaving customer accepts.
        capacity: the largest number of calls; None for any.

    Returns:
        A boolean array, True where a customer is called, and the expected profit of the
        campaign, currency units. A call with an expected profit of 0 is not made.

    Raises:
        ValueError: a probability is out of [0, 1], or capacity is negative.
    """
    ### BEGIN SOLUTION
    probability, value = np.asarray(probability, float), np.asarray(value, float)
    if ((probability < 0) | (probability > 1)).any() or not 0 <= success <= 1:
        raise ValueError("probabilities must lie in [0, 1]")
    if capacity is not None and capacity < 0:
        raise ValueError(f"capacity must not be negative, got {capacity}")
    stays = probability * success
    profit = (
        stays * (value - offer_cost) - (1 - probability) * offer_cost - contact_cost
    )
    order = np.argsort(-profit, kind="stable")[:capacity]
    called = np.zeros(len(profit), dtype=bool)
    called[order] = profit[order] > 0
    return called, float(profit[called].sum())
    ### END SOLUTION


# %%
risk = np.array([0.9, 0.5, 0.5, 0.1])
worth = np.array([100.0, 1000.0, 60.0, 2000.0])
plan_campaign(risk, worth, contact_cost=5, offer_cost=20, success=0.4)

# %% nbgrader="test" grade_id="test_plan_campaign" points=3
"""Calls that pay, not customers at risk; the offer is paid to those who stay."""
called, profit = plan_campaign(risk, worth, contact_cost=5, offer_cost=20, success=0.4)
assert list(called) == [True, True, False, True], (
    "expected profits are 21.8, 181, -7 and 56.2: the third is at risk and worth too"
    f" little; got {list(called)}"
)
assert np.isclose(profit, 21.8 + 181 + 56.2), f"expected 259, got {profit}"
called, profit = plan_campaign(risk, worth, 5, 20, 0.4, capacity=2)
assert list(called) == [False, True, False, True] and np.isclose(profit, 237.2), (
    f"two calls go to the two largest expected profits, got {list(called)}, {profit}"
)
### BEGIN HIDDEN TESTS
for seed in range(5):
    rng = np.random.default_rng(seed)
    n = 12
    risk_, worth_ = rng.beta(1, 4, n), rng.lognormal(4, 1, n)
    price = {
        "contact_cost": float(rng.uniform(0, 8)),
        "offer_cost": float(rng.uniform(0, 20)),
        "success": float(rng.uniform(0.1, 0.9)),
    }
    single = np.array(
        [
            p * price["success"] * (v - price["offer_cost"])
            - (1 - p) * price["offer_cost"]
            - price["contact_cost"]
            for p, v in zip(risk_, worth_, strict=True)
        ]
    )
    masks = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    for capacity in (None, 0, 1, 4, n, n + 5):
        allowed = masks if capacity is None else masks[masks.sum(axis=1) <= capacity]
        want = (allowed @ single).max()
        called, profit = plan_campaign(risk_, worth_, **price, capacity=capacity)
        called = np.asarray(called)
        assert called.dtype == bool and called.shape == (n,), "one boolean per customer"
        assert np.isclose(profit, want), (
            f"capacity {capacity}: the best of all subsets earns {want:.3f}, got"
            f" {profit:.3f}"
        )
        assert np.isclose(single[called].sum(), want), (
            f"capacity {capacity}: the chosen calls do not earn what is returned"
        )
        in_cents = plan_campaign(
            risk_, worth_ * 100, price["contact_cost"] * 100, price["offer_cost"] * 100,
            price["success"], capacity,
        )  # fmt: skip
        assert list(in_cents[0]) == list(called), "the plan must not depend on the unit"
nobody, nothing = plan_campaign([0.5, 0.2], [10, 10], 0, 0, 0.0)
assert not np.any(nobody) and nothing == 0, "a call that earns 0 is not made"
for bad in ({"probability": [1.2, 0]}, {"capacity": -1}, {"probability": [-0.1, 0]}):
    good = {"probability": [0.5, 0.2], "value": [10, 10], "contact_cost": 1}
    try:
        plan_campaign(**{**good, "offer_cost": 1, "success": 0.5, **bad})
    except ValueError:
        continue
    raise AssertionError(f"{bad}: a ValueError is due")
### END HIDDEN TESTS

# %%
CAMPAIGN = {"contact_cost": 4.0, "offer_cost": 15.0, "success": 0.35}
model = fitted["logistic regression"]
risk = model.predict_proba(test[FEATURES])[:, 1]
worth = (test["price"] * 12).to_numpy()
called, expected_profit = plan_campaign(risk, worth, **CAMPAIGN)
left_for_sure = test["churned"].to_numpy(float)
stays = left_for_sure * CAMPAIGN["success"]
earned = (
    stays * (worth - CAMPAIGN["offer_cost"])
    - (1 - left_for_sure) * CAMPAIGN["offer_cost"]
    - CAMPAIGN["contact_cost"]
)
orders = {"by risk": risk, "by risk times value": risk * worth, "by value": worth}
curves = {
    name: pd.Series(np.concatenate([[0], earned[np.argsort(-order)].cumsum()]))
    for name, order in orders.items()
}
plots.profit(curves)
print(
    f"{called.sum()} of {len(test)} customers are called: {expected_profit:,.0f}"
    f" expected, {earned[called].sum():,.0f} on the labels of the test month"
)

# %% [markdown]
# ## Task 5: how long customers stay
#
# Churn within a month throws most of the tables away. Durations keep them, at the price of *censoring*: for a customer who is still here, only a lower bound of the stay is known. Dropping those customers, or taking today as their last day, makes stays look shorter than they are.
#
# ### 5a. The Kaplan–Meier estimator


# %% nbgrader="solution" grade_id="kaplan_meier"
def kaplan_meier(duration, observed) -> pd.DataFrame:
    """Share of customers who stay longer than a time, from censored durations.

    A customer whose duration is censored at a time is still at risk at that time.

    Args:
        duration: time until the end, or until the last day that is known, shape (n,).
        observed: whether the end was seen (False: censored), shape (n,).

    Returns:
        One row per distinct time at which an end was observed, ascending: time (float),
        at_risk (customers with a duration of at least time), ends (at that time), and
        survival: the estimated share who stay longer than time.

    Raises:
        ValueError: a duration is negative, or the shapes differ.
    """
    ### BEGIN SOLUTION
    duration, observed = np.asarray(duration, float), np.asarray(observed, bool)
    if duration.shape != observed.shape or (duration < 0).any():
        raise ValueError("durations must not be negative, one flag each")
    time = np.unique(duration[observed])
    at_risk = len(duration) - np.searchsorted(np.sort(duration), time, side="left")
    ends = np.unique(duration[observed], return_counts=True)[1]
    survival = np.cumprod(1 - ends / at_risk)
    return pd.DataFrame(
        {"time": time, "at_risk": at_risk, "ends": ends, "survival": survival}
    )
    ### END SOLUTION


# %%
kaplan_meier([30, 60, 60, 60, 90, 120], [True, True, True, False, False, True])

# %% nbgrader="test" grade_id="test_kaplan_meier" points=2
"""The product over times of 1 - ends / at risk; who is censored at a time is at risk."""
got = kaplan_meier([30, 60, 60, 60, 90, 120], [True, True, True, False, False, True])
assert list(got["time"]) == [30, 60, 120], (
    f"one row per time with an observed end, got {list(got['time'])}"
)
assert list(got["at_risk"]) == [6, 5, 1], (
    "on day 60 five are at risk, the one censored on day 60 among them; got"
    f" {list(got['at_risk'])}"
)
assert np.allclose(got["survival"], [5 / 6, 5 / 6 * 3 / 5, 0]), (
    f"survival: expected 0.833, 0.5, 0, got {got['survival'].round(3).tolist()}"
)
### BEGIN HIDDEN TESTS
for seed, n, levels in ((1, 200, 12), (2, 30, 500), (3, 400, 4), (4, 1, 3)):
    rng = np.random.default_rng(seed)
    duration = rng.integers(0, levels, n) * 0.5
    observed = rng.random(n) < 0.6
    observed[0] = True
    times = sorted(set(duration[observed]))
    share, want = 1.0, []
    for t in times:
        n_risk, n_ends = (duration >= t).sum(), (observed & (duration == t)).sum()
        share *= 1 - n_ends / n_risk
        want.append((t, n_risk, n_ends, share))
    want = pd.DataFrame(want, columns=["time", "at_risk", "ends", "survival"])
    order = rng.permutation(n)
    for change, got in {
        "as given": kaplan_meier(duration, observed),
        "lists": kaplan_meier(duration.tolist(), observed.tolist()),
        "shuffled": kaplan_meier(duration[order], observed[order]),
        "flags as 0 and 1": kaplan_meier(duration, observed.astype(int)),
    }.items():
        assert list(got.columns) == list(want.columns), f"columns {list(got.columns)}"
        assert len(got) == len(want) and np.allclose(got, want), (
            f"{change}, {n} customers: the table differs from the definition's"
        )
    twice = kaplan_meier(np.tile(duration, 2), np.tile(observed, 2))
    assert np.allclose(twice["survival"], want["survival"]), "every customer twice"
    months = kaplan_meier(duration * 30, observed)
    assert np.allclose(months["survival"], want["survival"]), "another unit of time"
nobody = kaplan_meier([3, 4], [False, False])
assert len(nobody) == 0 and list(nobody.columns) == list(want.columns), (
    "no observed end: an empty table with the same columns"
)
for bad in (([-1, 2], [True, False]), ([1, 2], [True])):
    try:
        kaplan_meier(*bad)
    except ValueError:
        continue
    raise AssertionError(f"{bad}: a ValueError is due")
### END HIDDEN TESTS

# %%
stay = service.customers.assign(
    duration=lambda c: (
        c["ended_day"].astype(float).fillna(service.n_days) - c["signup_day"]
    ),
    observed=lambda c: c["ended_day"].notna(),
)
by_plan = {
    plan: kaplan_meier(rows["duration"], rows["observed"])
    for plan, rows in stay.groupby("plan", observed=True)
}
ax = plots.survival(by_plan)
half = {
    plan: curve.query("survival <= 0.5")["time"].min()
    for plan, curve in by_plan.items()
}
pd.Series(half, name="median stay, days (missing: not reached)")

# %% [markdown]
# ### 5b. Concordance
#
# A risk score orders customers; durations order them too, as far as censoring lets one see. Harrell's *C* is the share of the pairs that can be ordered by duration in which the one who left earlier had the higher score.


# %% nbgrader="solution" grade_id="concordance_index"
def concordance_index(duration, observed, risk) -> float:
    """Harrell's C of a risk score against censored durations.

    A pair can be ordered when the end of one customer was observed and the other is
    known to have stayed longer: a longer duration, or the same duration, censored.
    Equal risks count one half.

    Args:
        duration: time until the end or the last day that is known, shape (n,).
        observed: whether the end was seen, shape (n,).
        risk: higher means an earlier end, shape (n,).

    Returns:
        The share of ordered pairs that the risk orders alike, in [0, 1].

    Raises:
        ValueError: no pair can be ordered.
    """
    ### BEGIN SOLUTION
    duration, risk = np.asarray(duration, float), np.asarray(risk, float)
    observed = np.asarray(observed, bool)
    pairs, alike = 0, 0.0
    for i in np.flatnonzero(observed):
        longer = (duration > duration[i]) | ((duration == duration[i]) & ~observed)
        pairs += longer.sum()
        alike += (risk[longer] < risk[i]).sum() + (risk[longer] == risk[i]).sum() / 2
    if not pairs:
        raise ValueError("no pair of customers can be ordered by duration")
    return float(alike / pairs)
    ### END SOLUTION


# %%
concordance_index([1, 2, 2, 3], [True, True, False, True], [0.9, 0.4, 0.4, 0.6])

# %% nbgrader="test" grade_id="test_concordance_index" points=2
"""Pairs whose order is known; equal risks are half right."""
got = concordance_index([1, 2, 2, 3], [True, True, False, True], [0.9, 0.4, 0.4, 0.6])
assert np.isclose(got, 3.5 / 5), (
    "five pairs can be ordered: the first before all three others, the second before"
    f" the censored one (equal risks) and before the last (wrong): 3.5 / 5, got {got}"
)
### BEGIN HIDDEN TESTS
for seed, n, levels, risks in ((1, 60, 8, 5), (2, 90, 1000, 1000), (3, 40, 3, 2)):
    rng = np.random.default_rng(seed)
    duration, observed = rng.integers(1, levels + 1, n), rng.random(n) < 0.5
    risk = rng.integers(0, risks, n) / risks - duration / levels * (seed == 2)
    pairs, alike = 0, 0.0
    for i in range(n):
        for j in range(n):
            known = duration[j] > duration[i] or (
                duration[j] == duration[i] and not observed[j]
            )
            if observed[i] and known:
                pairs += 1
                alike += (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
    want, order = alike / pairs, rng.permutation(n)
    for change, got in {
        "as given": concordance_index(duration, observed, risk),
        "lists": concordance_index(list(duration), list(observed), list(risk)),
        "shuffled": concordance_index(duration[order], observed[order], risk[order]),
        "months instead of days": concordance_index(duration / 30, observed, risk),
        "risks as log-odds": concordance_index(duration, observed, np.exp(risk)),
    }.items():
        assert np.isclose(got, want), f"{change}: expected {want:.4f}, got {got:.4f}"
    turned = concordance_index(duration, observed, -risk)
    assert np.isclose(turned, 1 - want), f"-risk: expected {1 - want:.4f}, got {turned}"
for bad in (([1, 2], [False, False], [0, 1]), ([2, 2], [True, True], [0, 1])):
    try:
        concordance_index(*bad)
    except ValueError:
        continue
    raise AssertionError(f"{bad}: no pair can be ordered, a ValueError is due")
### END HIDDEN TESTS

# %%
after = stay.set_index("customer_id").loc[validation["customer_id"]]
remaining = after["duration"] + after["signup_day"] - validation["day"].iloc[0]
risk_then = model.predict_proba(validation[FEATURES])[:, 1]
c = concordance_index(remaining, after["observed"], risk_then)
auc = roc_auc_score(validation["churned"], risk_then)
print(f"C for all that is seen of the stay: {c:.3f}; AUC within 30 days: {auc:.3f}")

# %% [markdown]
# ## Training on SageMaker
#
# `src/train.py` fits the logistic regression in AWS's scikit-learn container; `src/inference.py` serves it. The training data goes to Amazon S3.

# %%
aws = connect(lab="churn")
print(aws, aws.instance_type("training"), aws.instance_type("transform"))
work = Path(mkdtemp(prefix="churn-lab-"))
(work / "train").mkdir()
train[["churned", *FEATURES]].astype({"churned": int}).to_csv(
    work / "train" / "rows.csv", index=False
)
train_uri = aws.upload(work / "train", "data/train")

# %%
from sagemaker.train import ModelTrainer, configs

job_prefix = f"{aws.prefix}lr-train"
trainer = ModelTrainer(
    training_image=aws.image("sklearn"),
    source_code=configs.SourceCode(source_dir="src", entry_script="train.py"),
    compute=configs.Compute(
        instance_type=aws.instance_type("training"), instance_count=1
    ),
    hyperparameters={"C": 1.0},
    stopping_condition=configs.StoppingCondition(max_runtime_in_seconds=1800),
    output_data_config=configs.OutputDataConfig(
        s3_output_path=f"s3://{aws.bucket}/course/churn/models"
    ),
    base_job_name=job_prefix,
    sagemaker_session=aws.sdk_session(),
    role=aws.role,
)
trainer.train(
    input_data_config=[configs.InputData(channel_name="train", data_source=train_uri)],
    wait=False,
)

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
(work / "code").mkdir()
shutil.copy("src/inference.py", work / "code")
package = deployment.package_model(work / "model", work / "code", work / "model.tar.gz")
model_name = aws.name("lr")
aws.sagemaker.create_model(
    ModelName=model_name,
    ExecutionRoleArn=aws.role,
    PrimaryContainer={
        "Image": aws.image("sklearn", "inference"),
        "ModelDataUrl": aws.upload(package, "models/batch"),
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        },
    },
)
print(job["TrainingJobStatus"], (work / "model" / "metrics.json").read_text())

# %% [markdown]
# ## Task 6: batch scores that can be trusted, and run again
#
# The monthly job writes one object of scores for each object of customers. A row must carry its id through the job: joining by position breaks on the first retry, filter or sort. With `JoinSource` *Input*, SageMaker puts the prediction behind the input row; `OutputFilter` keeps the first and the last column.
#
# Objects arrive out of order, and after a failed or stopped run some are missing or cut off. What must be run again is exactly what is not whole, and a second run must give what an undisturbed one gives.


# %% nbgrader="solution" grade_id="collect_scores"
def collect_scores(
    inputs: dict[str, list[str]], outputs: dict[str, str]
) -> tuple[pd.Series, list[str]]:
    """Scores by customer from the outputs of a batch transform, and what is to rerun.

    Args:
        inputs: key of each input object to the ids of its rows, as strings.
        outputs: key of an output object to its text. The output of the input "a.csv" is
            "a.csv.out": lines "id,score" in any order, blank lines allowed.

    Returns:
        Series of floats, index the ids as strings, ascending, of the inputs whose
        output is whole: each of its ids exactly once with a finite score, and nothing
        else. And the keys of the other inputs, ascending: their scores are left out
        altogether, and they have to run again.

    Raises:
        ValueError: an id is in two inputs or twice in one, or an output belongs to no
            input.
    """
    ### BEGIN SOLUTION
    ids = [identifier for rows in inputs.values() for identifier in rows]
    if len(ids) != len(set(ids)):
        raise ValueError("an id is in the inputs more than once")
    if strangers := sorted(set(outputs) - {f"{key}.out" for key in inputs}):
        raise ValueError(f"outputs without an input: {strangers}")

    def parsed(text: str) -> dict[str, float] | None:
        scores = {}
        for line in filter(str.strip, text.splitlines()):
            identifier, _, score = line.strip().rpartition(",")
            try:
                value = float(score)
            except ValueError:
                return None
            if identifier in scores or not np.isfinite(value):
                return None
            scores[identifier] = value
        return scores

    found, missing = {}, []
    for key, rows in inputs.items():
        scores = parsed(outputs.get(f"{key}.out", "cut off"))
        if scores is None or set(scores) != set(rows):
            missing.append(key)
        else:
            found |= scores
    return pd.Series(found, dtype=float).sort_index(), sorted(missing)
    ### END SOLUTION


# %%
two_inputs = {"part-1.csv": ["c7", "c2"], "part-0.csv": ["c5", "c1", "c9"]}
one_output = {"part-0.csv.out": "c9,0.25\nc1,0.5\nc5,0.125\n"}
collect_scores(two_inputs, one_output)

# %% nbgrader="test" grade_id="test_collect_scores" points=4
"""Joined by id; an output that is not whole is to run again and adds nothing."""
found, missing = collect_scores(two_inputs, one_output)
assert missing == ["part-1.csv"], f"part-1.csv has no output, got {missing}"
assert found.to_dict() == {"c1": 0.5, "c5": 0.125, "c9": 0.25}, (
    f"scores belong to the ids in their lines, whatever the order, got {found.to_dict()}"
)
assert list(found.index) == ["c1", "c5", "c9"], "the index ascends"
cut_off = one_output | {"part-1.csv.out": "c7,0.75\n"}
found, missing = collect_scores(two_inputs, cut_off)
assert missing == ["part-1.csv"] and "c7" not in found, (
    "part-1.csv.out lacks c2: all of part-1.csv is to run again, and none of its scores"
    f" is used; got {missing} and {found.to_dict()}"
)
whole = cut_off | {"part-1.csv.out": "c2,0.875\nc7,0.75"}
assert collect_scores(two_inputs, whole)[1] == [], "whole outputs: nothing to run again"
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(4)
everyone = [f"customer-{number:04d}" for number in rng.permutation(200)]
parts = {f"in/part-{i}.csv": everyone[i::7] for i in range(7)}
true = {identifier: round(float(rng.random()), 6) for identifier in everyone}


def written(key, order=None, blank=""):
    rows = [f"{identifier},{true[identifier]}" for identifier in parts[key]]
    rows = [rows[i] for i in (order if order is not None else range(len(rows)))]
    return "\n".join([*rows, blank])


clean = {f"{key}.out": written(key) for key in parts}
found, missing = collect_scores(parts, clean)
assert found.to_dict() == true and missing == [], "a clean run"
assert list(found.index) == sorted(everyone) and found.dtype == float
shuffled = {
    f"{key}.out": written(key, rng.permutation(len(parts[key])), "\n\n")
    for key in sorted(parts, reverse=True)
}
assert collect_scores(parts, shuffled)[0].equals(found), "lines in another order"
windows = {key: text.replace("\n", "\r\n") for key, text in clean.items()}
assert collect_scores(parts, windows)[0].equals(found), "lines that end with CR LF"
key = "in/part-3.csv"
lines = written(key).splitlines()
for why, text in {
    "the last line is cut off inside its id": "\n".join(lines[:-1])
    + "\n"
    + lines[-1][:4],
    "the last score is cut off": "\n".join(
        [*lines[:-1], lines[-1].split(",")[0] + ","]
    ),
    "half of the lines": "\n".join(lines[: len(lines) // 2]),
    "no line": "",
    "a line twice": "\n".join([*lines, lines[0]]),
    "an id of another part": "\n".join(
        [*lines[:-1], f"{parts['in/part-4.csv'][0]},0.1"]
    ),
    "a line too many": "\n".join([*lines, "customer-9999,0.5"]),
    "a score that is nan": "\n".join([*lines[:-1], lines[-1].split(",")[0] + ",nan"]),
    "a score that is no number": "\n".join([*lines[:-1], lines[-1] + "x"]),
}.items():
    disturbed = clean | {f"{key}.out": text}
    got, again = collect_scores(parts, disturbed)
    assert again == [key], f"{why}: expected [{key!r}] to run again, got {again}"
    assert set(got.index) == set(everyone) - set(parts[key]), (
        f"{why}: no score of this part counts, all others do"
    )
    rerun = collect_scores(
        parts, disturbed | {f"{k}.out": clean[f"{k}.out"] for k in again}
    )
    assert rerun[0].equals(found) and rerun[1] == [], (
        f"{why}: after the rerun all is as in an undisturbed run"
    )
got, again = collect_scores(parts, {})
assert len(got) == 0 and again == sorted(parts), "nothing was written yet"
assert got.dtype == float, "an empty series of floats"
for why, bad in {
    "an id in two inputs": ({"a": ["x"], "b": ["x"]}, {}),
    "an id twice in one input": ({"a": ["x", "x"]}, {}),
    "an output without an input": ({"a": ["x"]}, {"c.out": "x,1"}),
}.items():
    try:
        collect_scores(*bad)
    except ValueError:
        continue
    raise AssertionError(f"{why}: a ValueError is due")
### END HIDDEN TESTS

# %%
N_PARTS = 4
batch = test.assign(identifier="c" + test["customer_id"].astype(str))
inputs, folder = {}, work / "score"
folder.mkdir()
for part in range(N_PARTS):
    rows = batch.iloc[part::N_PARTS]
    rows[["identifier", *FEATURES]].to_csv(
        folder / f"part-{part}.csv", index=False, header=False
    )
    inputs[f"part-{part}.csv"] = rows["identifier"].tolist()
# One prefix per part: a rerun names those that it needs.
part_uri = {
    key: aws.upload(folder / key, f"score/in/{key.removesuffix('.csv')}")
    for key in inputs
}
output_uri = f"s3://{aws.bucket}/course/churn/score/{model_name}"


def transform(key: str) -> dict:
    """Score one part; the id goes through the job, and the model does not see it."""
    return deployment.batch_transform(
        aws,
        aws.name(f"score-{key.removesuffix('.csv')}"),
        model_name,
        part_uri[key],
        output_uri,
        data_processing={
            "InputFilter": "$[1:]",
            "JoinSource": "Input",
            "OutputFilter": "$[0,-1]",
        },
    )


# %% [markdown]
# The first run is disturbed: one part is never started, and one of the outputs loses its last lines, as after a job that was stopped. The second run does what `collect_scores` says.


# %%
def read_outputs() -> dict[str, str]:
    """Every output object of this model, by its name."""
    bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
    listed = aws.s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    return {
        Path(entry["Key"]).name: aws.s3.get_object(Bucket=bucket, Key=entry["Key"])[
            "Body"
        ]
        .read()
        .decode()
        for entry in listed.get("Contents", [])
    }


jobs = [transform(key) for key in list(inputs)[:-1]]
bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
whole = read_outputs()["part-1.csv.out"]
aws.s3.put_object(
    Bucket=bucket,
    Key=f"{prefix}/part-1.csv.out",
    Body=whole[: len(whole) // 2].encode(),
)
_, to_rerun = collect_scores(inputs, read_outputs())
print("to run again:", to_rerun)
jobs += [transform(key) for key in to_rerun]
batch_scores, to_rerun = collect_scores(inputs, read_outputs())
print(f"{len(batch_scores)} of {len(batch)} customers scored, to run again: {to_rerun}")

# %% nbgrader="test" grade_id="test_batch_scores" points=2 tags=["in-process"]
"""The job's scores are those of the model, customer by customer."""
assert not to_rerun and len(batch_scores) == len(test), (
    f"{len(batch_scores)} of {len(test)} customers have a score, {to_rerun} to run again"
)
expected = pd.Series(
    fitted["logistic regression"].predict_proba(test[FEATURES])[:, 1],
    index="c" + test["customer_id"].astype(str),
)
assert np.allclose(batch_scores.loc[expected.index], expected, atol=1e-4), (
    "the batch scores are not those of the model: are they joined by id?"
)
### BEGIN HIDDEN TESTS
fresh, left_over = collect_scores(inputs, read_outputs())
assert left_over == [] and np.allclose(fresh.loc[expected.index], expected, atol=1e-4)
test_auc = roc_auc_score(test["churned"], batch_scores.loc[expected.index])
assert 0.6 < test_auc < 0.92, (
    f"AUC {test_auc:.3f} in the test month: below .6 a feature is broken, above .92 one"
    " knows the future"
)
### END HIDDEN TESTS

# %% [markdown]
# ### What it costs
#
# A batch instance is billed while it works. An endpoint for the same monthly scores is billed for every hour of the month.

# %%
batch_seconds = sum(
    (job["TransformEndTime"] - job["TransformStartTime"]).total_seconds()
    for job in jobs
)
hourly = costs.hourly_price(aws.instance_type("transform"))
pd.Series(
    {
        "one month of batch scores (USD)": batch_seconds / 3600 * hourly,
        "an endpoint, all month (USD)": 730 * hourly,
        "batch runs that one endpoint month pays": 730 * 3600 / batch_seconds,
    }
).round(4)

# %% [markdown]
# ## Task 7: who is worth contacting
#
# Risk answers who will leave; a campaign needs to know who stays *because of it*. The log tells, since its arms were drawn by lot: within any group of customers, the share who stayed among the treated minus that among the controls estimates what the treatment does there.
#
# The *Qini curve* goes through the customers from the highest score down. After each group of equal scores it shows the customers kept so far: stays of the treated, minus stays of the controls scaled to as many treated, per customer of the log. The *Qini coefficient* is the area between the curve and the straight line from the origin to the curve's end, which is what a lot would reach (Radcliffe, 2007).


# %% nbgrader="solution" grade_id="uplift_report"
def uplift_report(score, treated, stayed, share: float) -> dict[str, float]:
    """How well a score orders customers by what a treatment does for them.

    Args:
        score: higher means a larger effect is expected, shape (n,).
        treated: True for the treated, False for the controls, by lot, shape (n,).
        stayed: the outcome, shape (n,).
        share: share of the customers for uplift_at_k, above 0 and at most 1.

    Returns:
        uplift_at_k: share who stayed of the treated minus that of the controls, among
            the k = ceil(share * n) customers with the highest scores and all others
            whose score equals the k-th; NaN if they are all of one arm.
        qini: area between the Qini curve (trapezoids between its points, the origin
            included) and the straight line to its end. A point stands after each group
            of equal scores, at its share of all customers; its height is
            (stays of treated - stays of controls * treated / controls) / n, counted
            from the highest score on. While there are no controls, the second term is 0.

    Raises:
        ValueError: share is out of range, or an arm is empty.
    """
    ### BEGIN SOLUTION
    score = np.asarray(score, dtype=float)
    treated, stayed = np.asarray(treated, bool), np.asarray(stayed, bool)
    n = len(score)
    if not 0 < share <= 1 or treated.all() or not treated.any():
        raise ValueError("share must be in (0, 1], and both arms must have customers")
    top = score >= np.sort(score)[::-1][int(np.ceil(share * n)) - 1]
    rates = [
        stayed[top & arm].mean() if (top & arm).any() else np.nan
        for arm in (treated, ~treated)
    ]
    group = np.unique(-score, return_inverse=True)[1]

    def so_far(which):
        return np.concatenate([[0], np.bincount(group, weights=which).cumsum()])

    n_treated, n_controls = so_far(treated), so_far(~treated)
    ratio = np.divide(
        n_treated, n_controls, out=np.zeros_like(n_treated), where=n_controls > 0
    )
    kept = (so_far(treated & stayed) - so_far(~treated & stayed) * ratio) / n
    position = (n_treated + n_controls) / n
    area = np.trapezoid(kept, position) - kept[-1] / 2
    return {"uplift_at_k": float(rates[0] - rates[1]), "qini": float(area)}
    ### END SOLUTION


# %%
log = pd.DataFrame(
    {
        "score": [0.9, 0.8, 0.8, 0.5, 0.2, 0.1],
        "treated": [True, False, True, False, True, False],
        "stayed": [True, False, True, True, False, True],
    }
)
uplift_report(log["score"], log["treated"], log["stayed"], share=0.3)

# %% nbgrader="test" grade_id="test_uplift_report" points=3
"""Arms compared within the top, ties included; area above the line of a lot."""
report = uplift_report(log["score"], log["treated"], log["stayed"], share=0.3)
assert np.isclose(report["uplift_at_k"], 1.0), (
    "k = ceil(0.3 · 6) = 2, and the third customer ties with the second: both treated"
    f" stayed, the control did not; expected 1, got {report['uplift_at_k']}"
)
points = pd.DataFrame(
    {
        "share": [0, 1 / 6, 3 / 6, 4 / 6, 5 / 6, 1],
        "kept": [0, 1 / 6, 2 / 6, 1 / 6, 0.5 / 6, 0],
    }
)
want = np.trapezoid(points["kept"], points["share"])
assert np.isclose(report["qini"], want), (
    f"the curve's points are {points['kept'].round(3).tolist()} at"
    f" {points['share'].round(3).tolist()}: expected {want:.4f}, got {report['qini']}"
)
### BEGIN HIDDEN TESTS
for seed, n, levels, odds in ((1, 400, 9, 0.5), (2, 150, 1000, 0.2), (3, 60, 2, 0.8)):
    rng = np.random.default_rng(seed)
    score_ = rng.integers(0, levels, n) / levels
    treated_ = rng.random(n) < odds
    stayed_ = rng.random(n) < 0.6 + 0.3 * treated_ * (score_ - 0.4)
    x, height = [0.0], [0.0]
    for level in sorted(set(score_), reverse=True):
        t, c = treated_ & (score_ >= level), ~treated_ & (score_ >= level)
        scaled = stayed_[c].sum() * t.sum() / c.sum() if c.any() else 0
        x.append((t.sum() + c.sum()) / n)
        height.append((stayed_[t].sum() - scaled) / n)
    want_qini = np.trapezoid(np.array(height) - height[-1] * np.array(x), x)
    for share in (0.1, 0.33, 1.0):
        k = int(np.ceil(share * n))
        top = score_ >= sorted(score_, reverse=True)[k - 1]
        want_uplift = (
            stayed_[top & treated_].mean() - stayed_[top & ~treated_].mean()
            if (top & treated_).any() and (top & ~treated_).any()
            else np.nan
        )
        order = rng.permutation(n)
        for change, got in {
            "as given": uplift_report(score_, treated_, stayed_, share),
            "lists": uplift_report(list(score_), list(treated_), list(stayed_), share),
            "shuffled": uplift_report(
                score_[order], treated_[order], stayed_[order], share
            ),
            "sorted by outcome": uplift_report(
                *(v[np.argsort(stayed_)] for v in (score_, treated_, stayed_)), share
            ),
            "scores in another unit": uplift_report(
                score_ * 100 - 3, treated_, stayed_, share
            ),
        }.items():
            assert np.isclose(got["uplift_at_k"], want_uplift, equal_nan=True), (
                f"{change}, share {share}: uplift_at_k {got['uplift_at_k']}, expected"
                f" {want_uplift}"
            )
            assert np.isclose(got["qini"], want_qini), (
                f"{change}, {levels} levels: qini {got['qini']:.6f}, expected"
                f" {want_qini:.6f}"
            )
flat = uplift_report(np.zeros(40), np.arange(40) % 2 == 0, np.arange(40) % 3 == 0, 0.2)
assert np.isclose(flat["qini"], 0), "a constant score is no better than a lot"
lone = uplift_report([3, 2, 1], [True, True, False], [True, True, True], 0.3)
assert np.isnan(lone["uplift_at_k"]), "a top of one arm alone has no uplift"
for bad in (
    {"share": 0},
    {"share": 1.2},
    {"treated": np.ones(6, bool)},
    {"treated": np.zeros(6, bool)},
):
    try:
        uplift_report(**{**log.to_dict("series"), "share": 0.5, **bad})
    except ValueError:
        continue
    raise AssertionError(f"{next(iter(bad))}: a ValueError is due")
### END HIDDEN TESTS

# %% [markdown]
# ### Risk against uplift on the campaigns' log
#
# Two models, one of the treated and one of the controls, estimate the two probabilities of staying; their difference is the estimated uplift (a *T-learner*). The later half of the campaigns judges it. Only customers with a snapshot on the campaign's day take part, and outcomes after the last day are not known.

# %%
campaign_days = sorted(
    day for day in service.contacts["day"].unique() if day + 30 <= last_day
)
logged = pd.concat(
    [
        snapshot(day).merge(
            service.contacts.query("day == @day")[["customer_id", "arm"]],
            on="customer_id",
        )
        for day in campaign_days
    ],
    ignore_index=True,
)
logged["stayed"] = ~logged["churned"]
middle = campaign_days[len(campaign_days) // 2]
past, later = logged[logged["day"] < middle], logged[logged["day"] >= middle]
stays = logged.groupby("arm", observed=True)["stayed"].agg(["mean", "size"])
stays["± (95 %)"] = 1.96 * np.sqrt(stays["mean"] * (1 - stays["mean"]) / stays["size"])
stays.round(4)


# %%
def staying(rows: pd.DataFrame, arm: str):
    """A model of staying, fitted on one arm."""
    own = rows[rows["arm"] == arm]
    return make_pipeline(
        FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(C=0.05)
    ).fit(own[FEATURES], own["stayed"])


control = staying(past, "control")
judged, results, curves = later[later["arm"] != "email"], {}, {}
estimated = (
    staying(past, "discount").predict_proba(judged[FEATURES])[:, 1]
    - control.predict_proba(judged[FEATURES])[:, 1]
)
rankings = {
    "by estimated uplift": estimated,
    "by risk": -control.predict_proba(judged[FEATURES])[:, 1],
}
arms = judged["arm"].eq("discount").to_numpy(), judged["stayed"].to_numpy()
for name, ranking in rankings.items():
    results[name] = uplift_report(ranking, *arms, share=0.3)
    order = np.argsort(-ranking, kind="stable")
    t, s = arms[0][order], arms[1][order]
    scale = np.divide(t.cumsum(), (~t).cumsum(), where=(~t).cumsum() > 0, out=0.0 * t)
    curves[name] = pd.DataFrame(
        {
            "share": np.arange(1, len(t) + 1) / len(t),
            "kept": ((t & s).cumsum() - (~t & s).cumsum() * scale) / len(t),
        }
    )
plots.qini(curves)
pd.DataFrame(results).T.round(4)

# %% [markdown]
# An e-mail alone makes some customers leave: it reminds those who no longer use the service of what they pay for. They are also the ones with the highest risk, so a campaign that goes by risk begins with the customers whom it hurts. The log shows it; no accuracy of the churn model does.

# %% [markdown] nbgrader="manual" grade_id="design_question" points=5
# ## Design question: the campaign that destroys its own evidence
#
# From next month, everybody above the profit threshold of task 4 is called. In at most 400 words: what can you still learn about the churn model and about the campaign a year from now, what do you set up **before the first call**, which quantities do you report each month, and at which value of which of them do you stop the campaign? State what your proposal costs.
#
# *Rubric, one point each:* names what the calls do to the labels, and its direction; a randomised hold-out with size, power and cost; an evaluation of the model that does not use treated customers naively; monitoring that covers inputs, scores and the campaign's effect separately; a stopping rule with a number and a reason.
#
# <!-- BEGIN SOLUTION -->
# **Labels.** A called customer who stays looks like a customer without risk. Trained on such labels, the next model scores exactly the successes of the campaign low, stops calling them, and they leave; measured naively, the old model's precision falls the better the campaign works.
#
# **Before the first call.** A hold-out by lot: 10 % of those above the threshold are not called, for the month, drawn by a hash of the customer and the month so that it can be reproduced; propensity, score, features and model version are logged. With 400 customers a month above the threshold, 40 are held out. At a base rate of .35 and an effect of .12, a year gives 480 against 4,320: a standard error of .023, power above .99 for .12 and .8 for .065. Cost: 480 · .12 · the margin of a kept customer (about 500 currency units) ≈ 29,000 a year; the campaign earns nine times that if it works, and the hold-out is the only way to know.
#
# **Evaluating the model.** On the hold-out and on customers below the threshold, weighted by the inverse probability of not having been called; calibration by decile and lift on these, never on the called. Uplift by Qini on all above the threshold.
#
# **Each month.** Inputs: PSI of the ten strongest features against the training snapshots, share of customers without usage. Scores: mean score against churn of the untreated. Effect: churn of hold-out minus churn of called, with its interval, cumulated by an alpha-spending rule because it is looked at twelve times. Also complaints, and the share who took the offer.
#
# **Stop** when the upper bound of the cumulated effect lies below the break-even: (contact cost + offer cost) / value of a kept customer = 19 / 500 ≈ .04; at once when the called leave more often than the hold-out by two standard errors in two successive months: then the calls do what the e-mails did. If PSI exceeds .25 on a feature among the three strongest, scores are frozen to last month's model until somebody has looked.
# <!-- END SOLUTION -->

# %% [markdown]
# ## Clean up
#
# A batch job ends by itself; the model and the objects remain until they are deleted. The cell prices what ran, and deletes everything that this lab made.

# %% tags=["cleanup"]
priced = costs.estimate(aws.ledger)
print(f"on AWS: {priced['usd'].sum():.4f} USD at list prices")
shutil.rmtree(work)
cleanup.delete_lab(aws)
