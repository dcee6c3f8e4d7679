# ---
# title: "Audit: a churn notebook with an AUC of .95 and a winner"
# minutes: 40
# module: churn
# ---

# %% [markdown]
# # Audit: a churn notebook with an AUC of .95 and a winner
#
# A colleague asks for your approval. The notebook predicts churn, picks the better campaign, quotes how long customers stay and what the monthly job costs. Its figures are excellent.
#
# You list the faulty lines and say what kind of fault each one is; then you evaluate the same model honestly. About 40 minutes, 10 points, all graded by tests.

# %% tags=["setup"]
import numpy as np
import pandas as pd
from imblearn.combine import SMOTEENN
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from helpers.data import churn

FEATURES = ["tenure_days", "price"]
FEATURES += [f"{name}_30d" for name in churn.EVENTS.index]


def snapshots(service: churn.Subscriptions, days) -> pd.DataFrame:
    """Features to the day before each day, and the labels of its 30 days after."""
    customers, tables = service.customers, []
    gone = customers["ended_day"].fillna(service.n_days + 30).astype(int).to_numpy()
    for day in days:
        here = (customers["signup_day"] <= day - 30).to_numpy() & (gone > day)
        table = customers.loc[here, ["customer_id", "plan"]].assign(
            day=day,
            tenure_days=day - customers.loc[here, "signup_day"].astype(int),
            price=customers.loc[here, "plan"].map(churn.PLANS["price"]).astype(float),
            churned=gone[here] <= day + 30,
        )
        used = service.usage[service.usage["day"].between(day - 30, day - 1)]
        used = used.groupby("customer_id")[list(churn.EVENTS.index)].sum()
        used = used.reindex(table["customer_id"], fill_value=0).add_suffix("_30d")
        tables.append(table.join(used, on="customer_id"))
    return pd.concat(tables, ignore_index=True)


# %% [markdown]
# ## The notebook under review
#
# Line numbers are those of your answer; a line without a number continues the one above. `snapshots`, above, is correct: features end the day before, labels are those of the 30 days after. `customer_id` counts from 0, in the order of `service.customers`.
#
# ```text
#  1  service = churn.simulate(1500, 390, seed=10)
#  2  rows = snapshots(service, range(120, 331, 30))
#  3  rows["ended"] = rows["customer_id"].map(service.customers["ended_day"].notna())
#  4  rows["log_logins"] = np.log1p(rows["login_30d"])
#  5  X = rows[[*FEATURES, "log_logins", "ended"]].astype(float)
#  6  X, y = SMOTEENN(random_state=0).fit_resample(X, rows["churned"])
#  7  X_train, X_test, y_train, y_test = train_test_split(
#         X, y, test_size=0.3, stratify=y, random_state=0)
#  8  model = RandomForestClassifier(
#         n_estimators=50, min_samples_leaf=2, n_jobs=1, random_state=0
#     ).fit(X_train, y_train)
#  9  score = model.predict_proba(X_test)[:, 1]
# 10  print("AUC", roc_auc_score(y_test, score >= 0.5))
# 11  log = service.contacts.query("day == 330").merge(service.customers)
# 12  log["stayed"] = ~(log["ended_day"] <= 360).fillna(False)
# 13  print("roll out", log.groupby("arm", observed=True)["stayed"].mean().idxmax())
# 14  left = service.customers.dropna(subset="ended_day")
# 15  print("median stay", (left["ended_day"] - left["signup_day"]).median())
# 16  hourly = 0.23  # USD for an ml.m5.xlarge; the monthly transform job takes 5 minutes
# 17  print("USD a month", hourly * 24 * 30)
# ```
#
# Some lines are faulty and some only look it. Where a fault needs two lines, the answer is the line that does the damage.

# %% tags=["setup"]
FAULTS = {
    "future": "a value that is not known when the prediction is made",
    "copies across the split": (
        "rows made from others before the split end up on both sides of it"
    ),
    "order in time": "the split lets the model learn from what happens after the test",
    "decisions for scores": "a metric of rankings is given decisions instead of scores",
    "chance": "a decision is taken on a difference that chance alone explains",
    "censoring": "customers who are still there are left out of a duration",
    "unit": "a number has another unit, or counts something else, than its author says",
}


# %% nbgrader="solution" grade_id="audit"
def audit() -> dict[int, str]:
    """The faulty lines of the notebook under review.

    Returns:
        Line number to the fault's key in FAULTS. A faulty line earns 1 point with its
        right key and half a point with another; a line that is not faulty costs 1
        point; the sum is never below 0.
    """
    ### BEGIN SOLUTION
    return {
        3: "future",
        6: "copies across the split",
        7: "order in time",
        10: "decisions for scores",
        13: "chance",
        14: "censoring",
        17: "unit",
    }
    ### END SOLUTION


# %%
audit()

# %% nbgrader="test" grade_id="test_audit" points=7
"""Line numbers from 1 to 17, faults from FAULTS."""
found = audit()
assert isinstance(found, dict), (
    f"return a dict from line number to fault, got {type(found).__name__}"
)
for line, kind in found.items():
    assert type(line) is int and 1 <= line <= 17, (
        f"{line!r} is no line number of the notebook under review"
    )
    assert kind in FAULTS, f"line {line}: {kind!r} is not one of {list(FAULTS)}"
### BEGIN HIDDEN TESTS
faults = {
    3: "future",
    6: "copies across the split",
    7: "order in time",
    10: "decisions for scores",
    13: "chance",
    14: "censoring",
    17: "unit",
}
# The median of line 15 is taken of what line 14 left over: one of the two counts.
named = {14 if line == 15 and 14 not in found else line: k for line, k in found.items()}
named.pop(15, None)
points = sum(
    (1.0 if faults[line] == kind else 0.5) if line in faults else -1.0
    for line, kind in named.items()
)
assert points > 0, (
    "lines in order cost as much as faulty ones earn: name those that you can explain"
)
points
### END HIDDEN TESTS

# %% [markdown]
# ## What the notebook prints
#
# Lines 1 to 17, as they are.

# %%
service = churn.simulate(1500, 390, seed=10)
rows = snapshots(service, range(120, 331, 30))
rows["ended"] = rows["customer_id"].map(service.customers["ended_day"].notna())
rows["log_logins"] = np.log1p(rows["login_30d"])
X = rows[[*FEATURES, "log_logins", "ended"]].astype(float)
X, y = SMOTEENN(random_state=0).fit_resample(X, rows["churned"])
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)
model = RandomForestClassifier(
    n_estimators=50, min_samples_leaf=2, n_jobs=1, random_state=0
).fit(X_train, y_train)
score = model.predict_proba(X_test)[:, 1]
claimed = roc_auc_score(y_test, score >= 0.5)
print("AUC", claimed)
log = service.contacts.query("day == 330").merge(service.customers)
log["stayed"] = ~(log["ended_day"] <= 360).fillna(False)
print("roll out", log.groupby("arm", observed=True)["stayed"].mean().idxmax())
left = service.customers.dropna(subset="ended_day")
print("median stay", (left["ended_day"] - left["signup_day"]).median())
hourly = 0.23
print("USD a month", hourly * 24 * 30)

# %% [markdown]
# ## The same model, evaluated honestly
#
# Keep a random forest, and give scores for one snapshot that could have been computed on its day. A label is known `horizon_days` after its snapshot.


# %% nbgrader="solution" grade_id="honest_scores"
def honest_scores(rows: pd.DataFrame, day: int, horizon_days: int = 30) -> pd.Series:
    """Churn scores of one day's snapshot, from a model that could be trained that day.

    Args:
        rows: snapshots of several days in any order, unique index; columns day,
            churned (bool), FEATURES, and others. It is not changed.
        day: the snapshot to score.
        horizon_days: days from a snapshot until its labels are known: those of day d
            are known on day d + horizon_days, and may be used from then on.

    Returns:
        Scores of the rows of that day, higher is more likely to leave, float, indexed
        as in rows. The same arguments give the same scores. A mean AUC of at least .6
        is asked over simulated services of the example's size.
    """
    ### BEGIN SOLUTION
    train = rows[rows["day"] + horizon_days <= day]
    asked = rows[rows["day"] == day]
    forest = RandomForestClassifier(
        n_estimators=100, min_samples_leaf=10, n_jobs=1, random_state=0
    )
    forest.fit(train[FEATURES], train["churned"])
    return pd.Series(forest.predict_proba(asked[FEATURES])[:, 1], index=asked.index)
    ### END SOLUTION


# %%
known = snapshots(churn.simulate(1500, 390, seed=10), range(120, 331, 30))
scores = honest_scores(known, day=330)
scores.nlargest(3)

# %% nbgrader="test" grade_id="test_honest_scores" points=3
"""One score for every customer of the day, from what was known on the day."""
last = known[known["day"] == 330]
assert isinstance(scores, pd.Series) and scores.index.sort_values().equals(
    last.index.sort_values()
), f"return one score for each of the {len(last)} rows of day 330, indexed as in rows"
assert np.isfinite(scores.astype(float)).all(), "every score must be a finite number"
assert scores.nunique() > 10, (
    f"the scores take {scores.nunique()} values: rank the customers, don't decide"
)


### BEGIN HIDDEN TESTS
def unmoved(changed, day, horizon_days, why):
    base_scores = honest_scores(known, day, horizon_days)
    moved = honest_scores(changed, day, horizon_days).reindex(base_scores.index)
    assert np.allclose(moved, base_scores), (
        f"{why}: {(~np.isclose(moved, base_scores)).sum()} scores moved"
    )


before = known.copy()
unmoved(known, 330, 30, "the same arguments twice")
assert known.equals(before), "honest_scores changed its argument"
for day, horizon_days in ((330, 30), (270, 30), (300, 60), (330, 45)):
    open_labels = known["day"] + horizon_days > day
    unmoved(
        known.assign(churned=known["churned"] ^ open_labels),
        day,
        horizon_days,
        f"day {day}, horizon {horizon_days}: labels that are not known on the day",
    )
    unmoved(
        known[known["day"] <= day], day, horizon_days, f"day {day}: later snapshots"
    )
tail = last.index[:5]
lone = known.drop(index=last.index.difference(tail))
few = honest_scores(lone, 330)
assert np.allclose(few.reindex(tail), scores.reindex(tail)), (
    "a customer's score depends on who else is scored: is something fitted on them?"
)
learnt_from = known.assign(churned=known["churned"].to_numpy()[::-1])
assert not np.allclose(honest_scores(learnt_from, 330).reindex(scores.index), scores), (
    "other labels in the past give the same scores: was a model trained?"
)
areas = []
for seed in (5, 6, 7):
    drawn = snapshots(churn.simulate(1500, 390, seed=seed), range(120, 331, 30))
    truth = drawn.loc[drawn["day"] == 330, "churned"]
    area = roc_auc_score(truth, honest_scores(drawn, 330).reindex(truth.index))
    assert area < 0.92, (
        f"AUC {area:.3f} is too good to be true: what does the model know of the month?"
    )
    areas.append(area)
assert np.mean(areas) > 0.6, (
    f"mean AUC {np.mean(areas):.3f}: the solution's forest reaches more than .7"
)
### END HIDDEN TESTS

# %% [markdown]
# ## The difference

# %%
honest = roc_auc_score(last["churned"], scores.reindex(last.index))
pd.Series({"claimed": claimed, "honest": honest}, name="AUC").round(3)

# %% [markdown]
# The campaign's winner rests on about a hundred customers an arm. The differences are smaller than the intervals:

# %%
arms = log.groupby("arm", observed=True)["stayed"].agg(["mean", "size"])
arms["± (95 %)"] = 1.96 * np.sqrt(arms["mean"] * (1 - arms["mean"]) / arms["size"])
arms.round(3)

# %% [markdown]
# With the campaigns of a whole year, the lesson on campaigns finds that the e-mail makes more customers leave than it keeps: the "winner" is the arm that does harm.
#
# The median stay leaves out those who are still there, and a transform job of five minutes a month does not cost what an endpoint costs:

# %%
print(
    f"{service.customers['ended_day'].isna().mean():.0%} of the customers are still there"
)
print(f"{hourly * 5 / 60:.2f} USD a month, not {hourly * 24 * 30:.0f}")

# %% tags=["cleanup"]
# This lab makes nothing on SageMaker: only the frames in memory are let go.
del known, last, rows, service
