# ---
# title: "Audit: a fraud notebook that reports an AUC of 1"
# minutes: 40
# module: fraud
# ---

# %% [markdown]
# # Audit: a fraud notebook that reports an AUC of 1
#
# A colleague asks for your approval. The notebook runs, its figures are excellent, and it is due in production on Monday. Each of its faults is of a kind that passes review because the figures look good.
#
# You list the faulty lines and say what kind of fault each one is; then you evaluate the same model honestly. About 40 minutes, 10 points, all graded by tests.

# %% tags=["setup"]
import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from helpers.data import fraud

# %% [markdown]
# ## The notebook under review
#
# Line numbers are those of your answer; a line without a number continues the one above. `handbook_features` computes the published features, with the label delay respected.
#
# ```text
#  1  cards = fraud.handbook_features(fraud.simulate(200, 400, 60, seed=8))
#  2  cards["card_fraud_rate"] = cards.groupby("customer_id")["fraud"].transform("mean")
#  3  cards["log_amount"] = np.log1p(cards["amount"])
#  4  columns = ["log_amount", "card_fraud_rate", "is_night",
#                "customer_count_7d", "customer_mean_amount_7d", "terminal_risk_7d"]
#  5  X, y = cards[columns].to_numpy(), cards["fraud"].to_numpy()
#  6  X = StandardScaler().fit_transform(X)
#  7  X, y = SMOTE(random_state=0).fit_resample(X, y)
#  8  X_train, X_test, y_train, y_test = train_test_split(
#         X, y, test_size=0.25, stratify=y, random_state=0)
#  9  model = RandomForestClassifier(
#         n_estimators=30, min_samples_leaf=2, n_jobs=1, random_state=0
#     ).fit(X_train, y_train)
# 10  score = model.predict_proba(X_test)[:, 1]
# 11  grid = np.linspace(0.05, 0.95, 19)
# 12  threshold = max(grid, key=lambda t: f1_score(y_test, score >= t))
# 13  print("AUC", roc_auc_score(y_test, score >= threshold))
# 14  print("average precision", average_precision_score(y_test, score))
# 15  alarm = {"MetricName": "Invocation5XXErrors", "Statistic": "Average",
#              "Threshold": 1.0}  # rings when 1 % of the requests fail
# ```
#
# Some lines are faulty and some only look it.

# %% tags=["setup"]
FAULTS = {
    "future": "a value that is not known when the prediction is made",
    "fitted on test": "something is fitted on rows that the test set holds",
    "copies across the split": (
        "rows made from others before the split end up on both sides of it"
    ),
    "order in time": "the split lets the model learn from what happens after the test",
    "chosen on test": "a decision is taken on the rows that then judge it",
    "decisions for scores": "a metric of rankings is given decisions instead of scores",
    "unit": "a number has another unit than its author believes",
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
        2: "future",
        6: "fitted on test",
        7: "copies across the split",
        8: "order in time",
        12: "chosen on test",
        13: "decisions for scores",
        15: "unit",
    }
    ### END SOLUTION


# %%
audit()

# %% nbgrader="test" grade_id="test_audit" points=7
"""Line numbers from 1 to 15, faults from FAULTS."""
found = audit()
assert isinstance(found, dict), (
    f"return a dict from line number to fault, got {type(found).__name__}"
)
for line, kind in found.items():
    assert type(line) is int and 1 <= line <= 15, (
        f"{line!r} is no line number of the notebook under review"
    )
    assert kind in FAULTS, f"line {line}: {kind!r} is not one of {list(FAULTS)}"
### BEGIN HIDDEN TESTS
faulty = {
    2: "future",
    6: "fitted on test",
    7: "copies across the split",
    8: "order in time",
    12: "chosen on test",
    13: "decisions for scores",
    15: "unit",
}
earned = sum(
    (1.0 if faulty[line] == kind else 0.5) if line in faulty else -1.0
    for line, kind in found.items()
)
assert earned > 0, (
    "lines that are not faulty cost as much as faulty ones earn: list those that you"
    " can explain"
)
earned
### END HIDDEN TESTS

# %% [markdown]
# ## What the notebook prints
#
# Lines 1 to 14, as they are.

# %%
cards = fraud.handbook_features(fraud.simulate(200, 400, 60, seed=8))
cards["card_fraud_rate"] = cards.groupby("customer_id")["fraud"].transform("mean")
cards["log_amount"] = np.log1p(cards["amount"])
columns = ["log_amount", "card_fraud_rate", "is_night"]
columns += ["customer_count_7d", "customer_mean_amount_7d", "terminal_risk_7d"]
X, y = cards[columns].to_numpy(), cards["fraud"].to_numpy()
X = StandardScaler().fit_transform(X)
X, y = SMOTE(random_state=0).fit_resample(X, y)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.25, stratify=y, random_state=0
)
model = RandomForestClassifier(
    n_estimators=30, min_samples_leaf=2, n_jobs=1, random_state=0
).fit(X_train, y_train)
score = model.predict_proba(X_test)[:, 1]
grid = np.linspace(0.05, 0.95, 19)
threshold = max(grid, key=lambda t: f1_score(y_test, score >= t))
claimed = {
    "AUC": roc_auc_score(y_test, score >= threshold),
    "average precision": average_precision_score(y_test, score),
}
claimed

# %% [markdown]
# ## The same model, evaluated honestly
#
# Keep the random forest, and give scores for the test period that could have been computed when its transactions were made, by a model that could have been trained when the period began. Resampling is your choice.


# %% nbgrader="solution" grade_id="honest_scores"
def honest_scores(
    cards: pd.DataFrame, cut: pd.Timestamp, delay_days: int = 7
) -> pd.Series:
    """Fraud scores of the transactions after a cut, from a model trained before it.

    Args:
        cards: one row per transaction in any order, unique index; columns timestamp,
            customer_id, terminal_id, amount, fraud (bool), is_night, and the customer_*
            and terminal_* features of handbook_features. It may have others. It is not
            changed.
        cut: the moment of training. Labels of the last delay_days before it are not
            known yet.
        delay_days: days until a label is known.

    Returns:
        Scores of the rows with timestamp >= cut, higher is riskier, float, indexed as
        in cards. The same arguments give the same scores. A mean average precision of
        at least .25 is asked over simulated cards of the example's size.
    """
    ### BEGIN SOLUTION
    columns = [
        "amount",
        "is_night",
        "customer_count_7d",
        "customer_mean_amount_7d",
        "terminal_risk_7d",
    ]
    train = cards[cards["timestamp"] < cut - pd.Timedelta(days=delay_days)]
    test = cards[cards["timestamp"] >= cut]
    model = RandomForestClassifier(
        n_estimators=30, min_samples_leaf=2, n_jobs=1, random_state=0
    )
    model.fit(train[columns], train["fraud"])
    return pd.Series(model.predict_proba(test[columns])[:, 1], index=test.index)
    ### END SOLUTION


# %%
known = fraud.handbook_features(fraud.simulate(200, 400, 60, seed=8))
cut = pd.Timestamp("2026-02-12")
scores = honest_scores(known, cut)
scores.nlargest(3)

# %% nbgrader="test" grade_id="test_honest_scores" points=3
"""One score for every transaction after the cut, from what was known at the cut."""
later = known[known["timestamp"] >= cut]
assert isinstance(scores, pd.Series) and scores.index.sort_values().equals(
    later.index.sort_values()
), (
    f"return one score for each of the {len(later)} transactions from the cut on,"
    f" indexed as in cards; got {len(scores)}"
)
assert np.isfinite(scores.astype(float)).all(), "scores must be finite"
assert scores.nunique() > 10, (
    f"the scores take {scores.nunique()} values: give scores that rank the"
    " transactions, not decisions"
)


### BEGIN HIDDEN TESTS
def same_scores(changed, why):
    got = honest_scores(changed, cut).reindex(scores.index)
    assert np.allclose(got, scores), (
        f"{why}: {(~np.isclose(got, scores)).sum()} scores changed"
    )


given = known.copy()
assert np.allclose(honest_scores(known, cut).reindex(scores.index), scores), (
    "the same arguments must give the same scores"
)
assert known.equals(given), "honest_scores changed its argument"
unknown = known["timestamp"] >= cut - pd.Timedelta(days=7)
same_scores(
    known.assign(fraud=known["fraud"] ^ unknown),
    "labels that arrive after the cut must have no influence, those of the last 7 days"
    " before it included",
)
for other_cut, delay_days in (
    (cut - pd.Timedelta(days=4), 7),
    (cut, 14),
    (cut + pd.Timedelta("3D 15h"), 2),
):
    asked = honest_scores(known, other_cut, delay_days)
    after = known["timestamp"] >= other_cut
    assert asked.index.sort_values().equals(known.index[after].sort_values()), (
        f"cut {other_cut}: score the transactions from that cut on"
    )
    unknown = known["timestamp"] >= other_cut - pd.Timedelta(days=delay_days)
    blind = honest_scores(
        known.assign(fraud=known["fraud"] ^ unknown), other_cut, delay_days
    )
    assert np.allclose(blind.reindex(asked.index), asked), (
        f"cut {other_cut}, delay_days={delay_days}: labels not known at the cut must"
        " have no influence"
    )
learnt = honest_scores(known.assign(fraud=known["fraud"].to_numpy()[::-1]), cut)
assert not np.allclose(learnt.reindex(scores.index), scores), (
    "other labels in the training period give the same scores: was a model trained?"
)
first = later.index[0]
outlier = known.copy()
outlier.loc[first, ["amount", "customer_mean_amount_7d"]] = 1e6
kept = scores.index != first
got = honest_scores(outlier, cut).reindex(scores.index)
assert np.allclose(got[kept], scores[kept]), (
    "one later transaction must not influence the scores of others: is a scaler fitted"
    " on all rows?"
)
reached = []
for seed in (4, 6):
    drawn = fraud.handbook_features(fraud.simulate(200, 400, 60, seed=seed))
    label = drawn.loc[drawn["timestamp"] >= cut, "fraud"]
    ap = average_precision_score(label, honest_scores(drawn, cut).reindex(label.index))
    assert ap < 0.90, (
        f"average precision {ap:.3f} is too good to be true: what does the model know"
        " of the test period?"
    )
    reached.append(ap)
assert np.mean(reached) > 0.25, (
    f"mean average precision {np.mean(reached):.3f}: the solution's forest reaches .5"
)
### END HIDDEN TESTS

# %% [markdown]
# ## The difference
#
# The first row is what your colleague printed, the second is your evaluation. Nothing about the model has changed: the difference was never there.

# %%
label = later["fraud"]
honest = {
    "AUC": roc_auc_score(label, scores.reindex(label.index)),
    "average precision": average_precision_score(label, scores.reindex(label.index)),
}
pd.DataFrame({"claimed": claimed, "honest": honest}).T.round(3)

# %% [markdown]
# The alarm has a price too. `Invocation5XXErrors` is 0 or 1 for each request, so its average is the share that fails. Of a thousand requests with 1 % failures, the average of a minute looks as follows, and the alarm rings at 1.0.

# %%
failed = np.random.default_rng(0).random((1000, 60)) < 0.01
averages = failed.mean(axis=1)
print(
    f"minutes of 60 requests each: highest average {averages.max():.3f}, alarms at 1.0:"
    f" {(averages >= 1.0).sum()}"
)

# %% tags=["cleanup"]
# This lab makes nothing on SageMaker: only the frames in memory are let go.
del cards, known, later
