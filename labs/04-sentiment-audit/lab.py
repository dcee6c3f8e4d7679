# ---
# title: "Audit: a sentiment release that every number speaks for"
# minutes: 40
# module: sentiment
# ---

# %% [markdown]
# # Audit: a sentiment release that every number speaks for
#
# A colleague asks for your approval. The notebook bills a tokenizer, trains a model in five languages, finds it better than the old one in an experiment, and puts it into service behind an alarm. Its figures are excellent.
#
# You list the faulty lines and say what kind of fault each one is; then you evaluate the same model honestly. About 40 minutes, 10 points, all graded by tests.

# %% tags=["setup"]
import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier

CLASSES = np.array(["negative", "neutral", "positive"])
LANGUAGES = {"en": 0.1, "de": 0.15, "fr": 0.15, "es": 0.15, "ja": 1.4}
VOTES = ["vote_1", "vote_2", "vote_3"]
VECTOR = [f"v{i}" for i in range(6)]


def catalogue(seed: int, n_sources: int = 400) -> pd.DataFrame:
    """Reviews and their translations: five rows share a source_id and its label.

    Columns: source_id, language, words (by white space), tokens, VECTOR (sentence
    vectors, noisier in Japanese), VOTES (of three raters) and label (the true class).
    """
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(n_sources, len(VECTOR)))
    feeling = meaning[:, :3].sum(axis=1) / np.sqrt(3) + 0.3 * rng.normal(size=n_sources)
    true = np.digitize(feeling, [-0.45, 0.45])
    length, frames = rng.integers(4, 30, n_sources), []
    for language, noise in LANGUAGES.items():
        vectors = meaning + noise * rng.normal(size=meaning.shape)
        frame = pd.DataFrame(vectors, columns=VECTOR)
        for vote in VOTES:
            slips = rng.random(n_sources) < 0.3
            said = np.where(slips, rng.integers(0, 3, n_sources), true)
            frame[vote] = CLASSES[said]
        words = np.ones_like(length) if language == "ja" else length
        tokens = np.ceil(length * (1.9 if language == "ja" else 1.4)).astype(int)
        frame = frame.assign(
            source_id=np.arange(n_sources),
            language=language,
            words=words,
            tokens=tokens,
            label=CLASSES[true],
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).sample(frac=1, random_state=seed)


def visits(seed: int, n_users: int = 600) -> pd.DataFrame:
    """Requests of users who come back: user_id, and agrees, alike for both models."""
    rng = np.random.default_rng(seed)
    taste = rng.beta(3, 2, n_users)
    user = rng.permutation(np.repeat(np.arange(n_users), rng.geometric(0.2, n_users)))
    return pd.DataFrame(
        {"user_id": user, "agrees": rng.random(len(user)) < taste[user]}
    )


# %% [markdown]
# ## The notebook under review
#
# Line numbers are those of your answer; a line without a number continues the one above. `catalogue` and `visits`, above, are correct. The reviews were written in one language and translated into the other four. Users meet one model on one visit and another on the next.
#
# ```text
#  1  rows = catalogue(seed=4)
#  2  total = rows.groupby("language")[["tokens", "words"]].sum()
#  3  print("dearest per word:", (total["tokens"] / total["words"]).idxmax())
#  4  rows["target"] = rows[VOTES].mode(axis=1)[0]  # majority
#  5  X_train, X_test, y_train, y_test = train_test_split(
#         rows[VECTOR], rows["target"], test_size=0.3, random_state=0)
#  6  model = KNeighborsClassifier(n_neighbors=3, weights="distance")
#  7  right = model.fit(X_train, y_train).predict(X_test) == y_test
#  8  by_language = right.groupby(rows["language"]).mean()
#  9  print("release:", by_language.mean() >= 0.7)
# 10  log = visits(seed=4)
# 11  log["variant"] = np.random.default_rng(4).choice(["old", "new"], len(log))
# 12  rates = log.head(120).groupby("variant")["agrees"].mean()
# 13  print("winner:", rates.idxmax())
# 14  alarm = {"MetricName": "Invocation5XXErrors", "Statistic": "Average",
#              "Period": 60, "EvaluationPeriods": 5, "DatapointsToAlarm": 3,
#              "TreatMissingData": "notBreaching",
# 15           "ComparisonOperator": "GreaterThanOrEqualToThreshold",
# 16           "Threshold": 1}  # roll back at 1 % errors
# ```
#
# Some lines are faulty and some only look it. Where a fault needs two lines, the answer is the line that does the damage.

# %% tags=["setup"]
FAULTS = {
    "denominator": "a ratio is over something else than its author says",
    "truth": "what is learnt and judged is decided by the alphabet where it is open",
    "copies across the split": (
        "rows that say the same end up on both sides of the split"
    ),
    "average": "a mean lets some parts pay for one that fails",
    "unit of the lot": "what is drawn by lot is not what keeps its model",
    "chance": "a decision is taken on a difference that chance alone explains",
    "unit": "a threshold has another unit than its author says",
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
        3: "denominator",
        4: "truth",
        5: "copies across the split",
        9: "average",
        11: "unit of the lot",
        13: "chance",
        16: "unit",
    }
    ### END SOLUTION


# %%
audit()

# %% nbgrader="test" grade_id="test_audit" points=7
"""Line numbers from 1 to 16, faults from FAULTS."""
found = audit()
assert isinstance(found, dict), (
    f"return a dict from line number to fault, got {type(found).__name__}"
)
for line, kind in found.items():
    assert type(line) is int and 1 <= line <= 16, (
        f"{line!r} is no line number of the notebook under review"
    )
    assert kind in FAULTS, f"line {line}: {kind!r} is not one of {list(FAULTS)}"
### BEGIN HIDDEN TESTS
faults = {
    3: "denominator",
    4: "truth",
    5: "copies across the split",
    9: "average",
    11: "unit of the lot",
    13: "chance",
    16: "unit",
}
# The ratio of line 3 is of the sums of line 2, and line 13 decides on the rates of
# line 12: one of each two counts.
pairs = {2: 3, 12: 13}
named = {
    (pairs[line] if line in pairs and pairs[line] not in found else line): kind
    for line, kind in found.items()
}
for line in pairs:
    named.pop(line, None)
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
# Lines 1 to 13, as they are.

# %%
rows = catalogue(seed=4)
total = rows.groupby("language")[["tokens", "words"]].sum()
print("dearest per word:", (total["tokens"] / total["words"]).idxmax())
rows["target"] = rows[VOTES].mode(axis=1)[0]
X_train, X_test, y_train, y_test = train_test_split(
    rows[VECTOR], rows["target"], test_size=0.3, random_state=0
)
model = KNeighborsClassifier(n_neighbors=3, weights="distance")
right = model.fit(X_train, y_train).predict(X_test) == y_test
by_language = right.groupby(rows["language"]).mean()
print("release:", by_language.mean() >= 0.7)
log = visits(seed=4)
log["variant"] = np.random.default_rng(4).choice(["old", "new"], len(log))
rates = log.head(120).groupby("variant")["agrees"].mean()
print("winner:", rates.idxmax())

# %% [markdown]
# ## The same model, evaluated honestly
#
# Five translations of one review say one thing. A model that has seen one of them in training has seen the other four.


# %% nbgrader="solution" grade_id="honest_classes"
def honest_classes(rows: pd.DataFrame, target: str = "label") -> pd.Series:
    """A class for every row, from models that have seen no translation of it.

    Args:
        rows: as from `catalogue`, in any order, unique index. It is not changed.
        target: the column to learn.

    Returns:
        Predicted classes, indexed as in rows, by cross-validation: which rows are left
        out together depends on source_id alone, and every row is predicted once. The
        same arguments give the same classes. An accuracy of at least .5 on `label` is
        asked.
    """
    ### BEGIN SOLUTION
    model = KNeighborsClassifier(n_neighbors=15, weights="distance")
    X, y = rows[VECTOR].to_numpy(), rows[target].to_numpy()
    found = np.empty(len(rows), dtype=object)
    for train, test in GroupKFold(5).split(X, y, rows["source_id"]):
        found[test] = model.fit(X[train], y[train]).predict(X[test])
    return pd.Series(found, index=rows.index)
    ### END SOLUTION


# %%
reviewed = catalogue(seed=4)
honest = honest_classes(reviewed)
honest.head(3)

# %% nbgrader="test" grade_id="test_honest_classes" points=3
"""One class for every row, from what other reviews say."""
assert isinstance(honest, pd.Series) and honest.index.equals(reviewed.index), (
    f"return one class for each of the {len(reviewed)} rows, indexed as in rows"
)
assert set(honest) <= set(CLASSES), f"classes are {list(CLASSES)}, got {set(honest)}"
assert honest.nunique() > 1, "every row is given the same class"


### BEGIN HIDDEN TESTS
drawn = catalogue(seed=9, n_sources=150)
given = drawn.copy()
base = honest_classes(drawn)
assert drawn.equals(given), "honest_classes changed its argument"
assert honest_classes(drawn).equals(base), "the same arguments give other classes"
assert base.index.equals(drawn.index), "classes are indexed as in rows"
turned = dict(zip(CLASSES, np.roll(CLASSES, 1), strict=True))
moved_elsewhere = 0
for source in range(0, 150, 17):
    own = drawn["source_id"] == source
    changed = drawn.assign(label=drawn["label"].where(~own, drawn["label"].map(turned)))
    got = honest_classes(changed)
    assert (got[own] == base[own]).all(), (
        f"review {source}: its own labels changed what is predicted for it. Is one of"
        " its translations in the training rows?"
    )
    moved_elsewhere += (got[~own] != base[~own]).sum()
assert moved_elsewhere > 0, "other labels give the same classes: was anything learnt?"
for seed in (11, 12):
    fresh = catalogue(seed=seed)
    share = (honest_classes(fresh) == fresh["label"]).mean()
    assert share < 0.78, (
        f"accuracy {share:.3f}: what does the model know of the review?"
    )
    assert share > 0.5, f"accuracy {share:.3f}: the solution reaches .6 and more"
by_vote = honest_classes(drawn, target="vote_1")
assert not by_vote.equals(base), "the column to learn is a parameter"
### END HIDDEN TESTS

# %% [markdown]
# ## The difference

# %%
honest_share = (honest == reviewed["label"]).groupby(reviewed["language"]).mean()
pd.DataFrame({"claimed": by_language, "honest": honest_share}).round(3)

# %% [markdown]
# Japanese was below the others from the beginning, and the mean over languages released it. The votes that no majority decides went to the class that comes first in the alphabet:

# %%
open_votes = rows[VOTES].nunique(axis=1) == 3
print(f"{open_votes.mean():.1%} of the rows have three different votes")
print(rows.loc[open_votes, "target"].value_counts().to_dict())

# %% [markdown]
# The winner rests on 120 requests, by a lot that users do not keep. Nobody's model is better here, by construction: over other lots the winner changes.

# %%
draws = [np.random.default_rng(s).choice(["old", "new"], len(log)) for s in range(200)]
won = [log.head(120).groupby(d[:120])["agrees"].mean().idxmax() for d in draws]
print(pd.Series(won).value_counts(normalize=True).round(2).to_dict())
met_both = log.groupby("user_id")["variant"].nunique().eq(2).mean()
print(f"{met_both:.0%} of the users met both models")

# %% [markdown]
# And the alarm: `Average` of a metric that is 1 for a failed request and else 0 lies between 0 and 1. At least 1 means that *every* request fails; one per cent is 0.01. The dearest language per word is dear because a Japanese review counts as one word:

# %%
(total["tokens"] / total["words"]).round(2).to_dict()

# %% tags=["cleanup"]
# This lab makes nothing on SageMaker: only the frames in memory are let go.
del rows, log, reviewed, honest
