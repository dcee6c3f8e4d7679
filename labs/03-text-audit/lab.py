# ---
# title: "Audit: a ticket classifier that is right nineteen times in twenty"
# minutes: 40
# module: text
# ---

# %% [markdown]
# # Audit: a ticket classifier that is right nineteen times in twenty
#
# A colleague asks for your approval. The notebook classifies support tickets, leaves out those of which it is unsure, reports how many of its answers are right, and sends them through an asynchronous endpoint. Its figures are excellent.
#
# You list the faulty lines and say what kind of fault each one is; then you evaluate the same model honestly. About 40 minutes, 10 points, all graded by tests.

# %% tags=["setup"]
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder

from helpers.data import tickets

# %% [markdown]
# ## The notebook under review
#
# Line numbers are those of your answer; a line without a number continues the one above. In this company two labels in three go to the same few classes, and customers and agents send tickets more than once with small changes. `exists` and `read` look up an object in Amazon S3 and are correct; `endpoint` and `uri` are defined.
#
# ```text
#  1  corpus = tickets.corpus(
#         1500, 300, 400, seed=10, imbalance=40, near_duplicates=0.3)
#  2  rows = pd.concat([corpus.train, corpus.validation])
#  3  rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
#  4  vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
#  5  X = vectorizer.fit_transform(rows["text"].str.lower())
#  6  encoder = LabelEncoder().fit(rows["label"])
#  7  y = encoder.transform(rows["label"])
#  8  X_train, X_test, y_train, y_test = train_test_split(
#         X, y, test_size=0.25, stratify=y, random_state=0)
#  9  model = LogisticRegression(C=300, max_iter=500).fit(X_train, y_train)
# 10  p = model.predict_proba(X_test)
# 11  cut = max(np.arange(0.2, 0.9, 0.05),
#         key=lambda c: (p.argmax(1) == y_test)[p.max(1) >= c].mean())
# 12  given = p.max(axis=1) >= cut
# 13  print("ready for every class: accuracy",
#         (p.argmax(axis=1) == y_test)[given].mean())
# 14  print("share of its answers that are right:", p.max(axis=1)[given].mean())
# 15  labels = rows["label"].unique()  # shipped with the model
# 16  answer = labels[p.argmax(axis=1)]  # what the endpoint's output_fn does
# 17  sent = runtime.invoke_endpoint_async(
#         EndpointName=endpoint, InputLocation=uri)
# 18  while not exists(sent["OutputLocation"]):
#         time.sleep(5)
# 19  answers = json.loads(read(sent["OutputLocation"]))
# ```
#
# Some lines are faulty and some only look it. Where a fault needs two lines, the answer is the line that does the damage.

# %% tags=["setup"]
FAULTS = {
    "fitted on the test": "a transformation learns from rows that are to be tested on",
    "copies across the split": "near-copies of a row end up on both sides of the split",
    "tuned on the test": "a value is chosen by the very rows that judge it",
    "frequent classes": "a number for all classes that the frequent ones decide",
    "confidence": "a model's own certainty is reported as how often it is right",
    "order of classes": "names are put to numbers in another order than in training",
    "failure unread": "what has failed is waited for, or counted as done",
    "order in time": "the split lets the model learn from what happens after the test",
    "wrong labels": "rows whose label is known to be wrong are used as if it were right",
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
        5: "fitted on the test",
        8: "copies across the split",
        11: "tuned on the test",
        13: "frequent classes",
        14: "confidence",
        15: "order of classes",
        18: "failure unread",
    }
    ### END SOLUTION


# %%
audit()

# %% nbgrader="test" grade_id="test_audit" points=7
"""Line numbers from 1 to 19, faults from FAULTS."""
found = audit()
assert isinstance(found, dict), (
    f"return a dict from line number to fault, got {type(found).__name__}"
)
for line, kind in found.items():
    assert type(line) is int and 1 <= line <= 19, (
        f"{line!r} is no line number of the notebook under review"
    )
    assert kind in FAULTS, f"line {line}: {kind!r} is not one of {list(FAULTS)}"
### BEGIN HIDDEN TESTS
faults = {
    5: "fitted on the test",
    8: "copies across the split",
    11: "tuned on the test",
    13: "frequent classes",
    14: "confidence",
    15: "order of classes",
    18: "failure unread",
}
# Line 16 uses the names that line 15 puts in the wrong order: one of the two counts.
named = {15 if line == 16 and 15 not in found else line: k for line, k in found.items()}
named.pop(16, None)
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
# Lines 1 to 16, as they are; the others need an endpoint.

# %%
corpus = tickets.corpus(1500, 300, 400, seed=10, imbalance=40, near_duplicates=0.3)
rows = pd.concat([corpus.train, corpus.validation])
rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
X = vectorizer.fit_transform(rows["text"].str.lower())
encoder = LabelEncoder().fit(rows["label"])
y = encoder.transform(rows["label"])
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.25, stratify=y, random_state=0
)
model = LogisticRegression(C=300, max_iter=500).fit(X_train, y_train)
p = model.predict_proba(X_test)
cut = max(
    np.arange(0.2, 0.9, 0.05),
    key=lambda c: (p.argmax(1) == y_test)[p.max(1) >= c].mean(),
)
given = p.max(axis=1) >= cut
claimed = (p.argmax(axis=1) == y_test)[given].mean()
print("ready for every class: accuracy", claimed)
claimed_sure = p.max(axis=1)[given].mean()
print("share of its answers that are right:", claimed_sure)
labels = rows["label"].unique()
answer = labels[p.argmax(axis=1)]

# %% [markdown]
# ## The same model, evaluated honestly
#
# Keep TF-IDF and a logistic regression, and give probabilities for families of tickets that the model has not seen, in any way. `family` numbers the families of near-copies.


# %% nbgrader="solution" grade_id="honest_probabilities"
def honest_probabilities(rows: pd.DataFrame, asked: list[int]) -> pd.DataFrame:
    """Class probabilities for some families, from a model fitted on the others.

    Args:
        rows: tickets in any order, unique index; columns text, label, family. It is not
            changed.
        asked: numbers of the families to answer.

    Returns:
        One row for each ticket of these families, indexed as in rows, in any order; one
        column for each class that occurs in rows, in ascending order; rows sum to 1. A
        class that the other families lack has probability 0. A ticket's probabilities
        depend on nothing but its own text and the other families. Simulated corpora of
        the example's size are asked for: the mean macro-F1 of the most probable classes
        is at least .4, so rare classes must have a chance.
    """
    ### BEGIN SOLUTION
    is_asked = rows["family"].isin(asked)
    fitted, wanted = rows[~is_asked], rows[is_asked]
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 1)),
        LogisticRegression(C=10, max_iter=500, tol=1e-3, class_weight="balanced"),
    ).fit(fitted["text"].str.lower(), fitted["label"])
    answered = pd.DataFrame(
        model.predict_proba(wanted["text"].str.lower()), wanted.index, model.classes_
    )
    return answered.reindex(columns=np.unique(rows["label"]), fill_value=0.0)
    ### END SOLUTION


# %%
known = tickets.corpus(500, 100, 100, seed=10, near_duplicates=0.3).train
a_quarter = [int(one) for one in np.unique(known["family"])[::4]]
few = honest_probabilities(known, a_quarter)
few.head(3).round(2)

# %% nbgrader="test" grade_id="test_honest_probabilities" points=3
"""One row for each ticket of the asked families, from the others."""
of_them = known[known["family"].isin(a_quarter)]
assert isinstance(few, pd.DataFrame) and set(few.index) == set(of_them.index), (
    f"one row for each of the {len(of_them)} tickets of the asked families"
)
assert list(few.columns) == sorted(set(known["label"])), (
    f"one column for each class, ascending, got {list(few.columns)}"
)
assert np.allclose(few.sum(axis=1), 1), "each row sums to 1"


### BEGIN HIDDEN TESTS
def drawn_rows(seed, n=600):
    """A corpus with many near-copies, in an order and with an index of its own."""
    drawn = tickets.corpus(n, 100, 100, seed=seed, imbalance=12, near_duplicates=0.4)
    order = np.random.default_rng(seed).permutation(n)
    table = drawn.train.iloc[order][["text", "label", "true_label", "family"]]
    return table.set_axis(order * 3 + 1)


def unmoved(changed, asked_, base, why):
    moved = honest_probabilities(changed, asked_).reindex(base.index)
    worst = np.abs(moved.to_numpy() - base.to_numpy()).max()
    assert worst < 1e-6, f"{why}: probabilities moved by up to {worst:.3f}"


areas = []
for seed in (3, 4):
    table = drawn_rows(seed)
    families = np.unique(table["family"])
    asked_ = [int(one) for one in families[seed % 3 :: 3]]
    is_asked = table["family"].isin(asked_).to_numpy()
    given_ = table.copy()
    base = honest_probabilities(table, asked_)
    assert table.equals(given_), "rows was changed"
    label_ = table.loc[base.index, "label"].to_numpy()
    share = table.loc[~is_asked, "label"].value_counts(normalize=True)
    own = base.to_numpy()[np.arange(len(base)), base.columns.get_indexer(label_)]
    assert np.log(np.maximum(own, 1e-6)).mean() > np.log(share[label_]).mean(), (
        "the probabilities say less than the shares of the classes"
    )
    best = base.idxmax(axis=1).to_numpy()
    truth = table.loc[base.index, "true_label"].to_numpy()
    areas.append(f1_score(truth, best, average="macro"))
    if seed == 4:
        continue
    unmoved(table, asked_, base, "the same arguments twice")
    turned = table.copy()
    turned.loc[is_asked, "label"] = turned.loc[is_asked, "label"].to_numpy()[::-1]
    unmoved(turned, asked_, base, "other labels in the asked families")
    half = base.index[: len(base) // 2]
    noisy = table.copy()
    noisy.loc[base.index[len(base) // 2 :], "text"] = "refund refund invoice parcel zyx"
    unmoved(noisy, asked_, base.loc[half], "other texts among the asked tickets")
    fewer = table.drop(index=base.index[5:])
    unmoved(fewer, asked_, base.iloc[:5], "fewer asked tickets")
    numbered = table.assign(family=table["family"] * 10 + 7)
    unmoved(numbered, [f * 10 + 7 for f in asked_], base, "families with other numbers")
    learnt = table.copy()
    learnt.loc[~is_asked, "label"] = learnt.loc[~is_asked, "label"].to_numpy()[::-1]
    other = honest_probabilities(learnt, asked_).reindex(base.index)
    assert not np.allclose(other, base, atol=0.05), (
        "other labels in the other families give the same: was a model trained?"
    )
assert np.mean(areas) > 0.4, (
    f"mean macro-F1 {np.mean(areas):.3f}, at least .4 is asked: do rare classes count?"
)
assert max(areas) < 0.97, (
    f"macro-F1 {max(areas):.3f} is too good to be true: has the model seen the families?"
)
lone = drawn_rows(6, 400)
only = int(lone.loc[lone["label"] == "outage", "family"].iloc[0])
lone = lone[(lone["label"] != "outage") | (lone["family"] == only)]
p_ = honest_probabilities(lone, [only])
assert "outage" in p_ and np.allclose(p_["outage"], 0), (
    "a class that the other families lack has probability 0"
)
### END HIDDEN TESTS

# %% [markdown]
# ## The difference
#
# The same model on families that it has not seen; then on the corpus's test part, whose phrases come from other writers.

# %%
asked = [int(one) for one in np.unique(rows["family"])[::4]]
honest = honest_probabilities(rows, asked)
truth = rows.loc[honest.index, "label"].to_numpy()
new = honest_probabilities(
    pd.concat(
        [rows, corpus.test.assign(family=-1).set_index(corpus.test.index + 10_000)]
    ),
    [-1],
)
new_truth = corpus.test["true_label"].to_numpy()
results = {"claimed": {"accuracy": claimed, "mean confidence": claimed_sure}}
for name, table, right in (
    ("unseen families", honest, truth),
    ("unseen writers", new, new_truth),
):
    best = table.idxmax(axis=1).to_numpy()
    results[name] = {
        "accuracy": (best == right).mean(),
        "mean confidence": table.max(axis=1).mean(),
        "macro-F1": f1_score(right, best, average="macro"),
        "worst class": f1_score(right, best, average=None).min(),
    }
pd.DataFrame(results).T.round(3)

# %% [markdown]
# Line 15 is invisible in the notebook and fatal behind the endpoint: the numbers of the classes get the names of others.

# %%
served = (answer == encoder.inverse_transform(y_test)).mean()
print(f"{served:.1%} of the answers that leave the endpoint are right")

# %% [markdown]
# Line 18 waits for an answer that never comes once the model has failed: SageMaker writes the reason to `FailureLocation`, which the request for the endpoint has to ask for, and which nobody reads here.

# %% tags=["cleanup"]
# This lab makes nothing on SageMaker: only the frames in memory are let go.
del corpus, honest, known, rows
