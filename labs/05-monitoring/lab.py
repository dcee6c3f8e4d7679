# ---
# title: "Lab 5b: a monitor that wakes the right people"
# minutes: 150
# module: mlops
# ---

# %% [markdown]
# # Lab 5b: a monitor that wakes the right people
#
# The fraud model of module 1 is in service. You build what watches it: captured traffic decoded, drift measured with a limit that knows the sample, quality from labels that come late, an alarm that is neither deaf nor hysterical, a decision from the evidence, and the schedule that runs it all on Amazon SageMaker.
#
# **You will**
#
# 1. decode the records of data capture, whatever their encoding;
# 2. measure drift of numeric and categorical features, with missing and unseen values;
# 3. measure quality on labels that are old enough;
# 4. choose an alarm on M of N from a calm month and a drifted one;
# 5. decide what the evidence asks for;
# 6. schedule a drift job whose every run has a name of its own.
#
# About two and a half hours; 24 points are graded by tests, 5 by a person. The lab runs on the local SageMaker unless `COURSE_BACKEND=aws`.

# %% tags=["parameters"]
SEED = 51

# %% tags=["setup"]
import base64
import json
import time
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import botocore.session
import numpy as np
import pandas as pd
from botocore.validate import ParamValidator
from scipy import stats
from xgboost import XGBClassifier

from helpers import cleanup, connect, costs, deployment
from helpers.data import fraud

FEATURES = fraud.HANDBOOK_FEATURES

# %% [markdown]
# ## The model and its traffic
#
# A model trained on three weeks of payments, and the two weeks after them, in which it serves.

# %%
frame = fraud.handbook_features(fraud.at_scale(seed=SEED))
cut = frame["day"].max() - 13
train = frame[frame["day"].between(cut - 21, cut - 1)]
service = frame[frame["day"] >= cut]
model = XGBClassifier(n_estimators=60, max_depth=4, random_state=0, n_jobs=1)
model.fit(train[FEATURES], train["fraud"])
print(f"{len(train):,} payments in training, {len(service):,} in service")

# %% [markdown]
# ## Task 1: what was captured
#
# Data capture writes one JSON line per call. The payload of a side is text where the endpoint's configuration names its content type, and Base64 otherwise; a call that failed has no output; `inferenceId` is there only if the caller gave one. One call may carry many rows, and drift is a matter of rows.


# %% nbgrader="solution" grade_id="captured_rows"
def captured_rows(lines: list[str], features: list[str]) -> pd.DataFrame:
    """The rows that an endpoint was asked about, and its scores.

    Args:
        lines: capture records as JSON. Input and output are CSV without a header, one
            line for each row, as text (encoding "CSV") or in Base64 (encoding
            "BASE64"). Blank lines are no rows.
        features: names of the input's columns, in their order.

    Returns:
        One row for each line of each input, in the order of `lines`: event_id (str),
        inference_id (str, None without one), row (int, place in its call from 0), time
        (UTC timestamp), one float column per feature, and score (float; NaN where the
        record has no output). An empty list gives no rows with the same columns.

    Raises:
        ValueError: a call has not as many scores as rows, or a row not as many values
            as features; the message holds the event's id.
    """
    ### BEGIN SOLUTION
    rows = []
    for line in lines:
        record = json.loads(line)
        meta, data = record["eventMetadata"], record["captureData"]
        event = meta["eventId"]
        sides = {}
        for side in ("endpointInput", "endpointOutput"):
            if side not in data:
                continue
            text = data[side]["data"]
            if data[side]["encoding"] == "BASE64":
                text = base64.b64decode(text).decode()
            sides[side] = [part for part in text.splitlines() if part.strip()]
        asked = [[float(v) for v in part.split(",")] for part in sides["endpointInput"]]
        scores = [float(part) for part in sides.get("endpointOutput", [])]
        if "endpointOutput" not in sides:
            scores = [np.nan] * len(asked)
        if len(scores) != len(asked) or any(len(v) != len(features) for v in asked):
            raise ValueError(
                f"event {event}: {len(asked)} rows, {len(scores)} scores,"
                f" rows of {sorted({len(v) for v in asked})} values"
            )
        for place, (values, score) in enumerate(zip(asked, scores, strict=True)):
            known = (event, meta.get("inferenceId"), place, meta["inferenceTime"])
            rows.append((*known, *values, score))
    names = ["event_id", "inference_id", "row", "time", *features, "score"]
    table = pd.DataFrame(rows, columns=names)
    table["time"] = pd.to_datetime(table["time"], utc=True)
    table["inference_id"] = table["inference_id"].astype(object)
    numbers = dict.fromkeys([*features, "score"], float) | {"row": int}
    return table.astype(numbers)
    ### END SOLUTION


# %%
def record(event, asked, answered=None, coded=False, **meta):
    """A capture record as the endpoint writes it."""

    def side(text):
        if coded:
            return {
                "data": base64.b64encode(text.encode()).decode(),
                "encoding": "BASE64",
            }
        return {"data": text, "encoding": "CSV"}

    data = {"endpointInput": side(asked)}
    if answered is not None:
        data["endpointOutput"] = side(answered)
    about = {"eventId": event, "inferenceTime": "2026-03-01T10:00:00Z"} | meta
    return json.dumps(
        {"captureData": data, "eventMetadata": about, "eventVersion": "0"}
    )


three = [
    record("e1", "1,2\n3,4", "0.1\n0.2", inferenceId="call-1"),
    record("e2", "5,6", "0.3", coded=True),
    record("e3", "7,8"),
]
captured_rows(three, ["a", "b"])

# %% nbgrader="test" grade_id="test_captured_rows" points=4
"""Three calls, one of them with two rows, one in Base64, one without an answer."""
found = captured_rows(three, ["a", "b"])
names = ["event_id", "inference_id", "row", "time", "a", "b", "score"]
assert list(found.columns) == names, f"expected the columns {names}, got {list(found)}"
assert len(found) == 4, f"four rows were asked about, got {len(found)}: one per line"
assert found["a"].tolist() == [1, 3, 5, 7], "column a does not hold the first values"
assert found["row"].tolist() == [0, 1, 0, 0], "row counts from 0 within each call"
assert np.isnan(found["score"].iloc[3]), "a call without an output has the score NaN"
assert found["inference_id"].iloc[2] is None, "no inferenceId: None"
assert str(found["time"].dt.tz) == "UTC", "time must be in UTC"
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(3)
for n_features in (1, 5):
    columns = [f"x{i}" for i in range(n_features)]
    lines, want = [], []
    for event in range(30):
        values = rng.normal(size=(rng.integers(1, 6), n_features)).round(4)
        scores = rng.random(len(values)).round(4)
        asked = "\n".join(",".join(map(str, v)) for v in values)
        if event % 3 == 0:
            asked += "\n"
        answered = None if event % 7 == 3 else "\n".join(map(str, scores)) + "\n\n"
        meta = {"inferenceId": f"i{event}"} if event % 2 else {}
        minute = {"inferenceTime": f"2026-03-01T10:{event:02}:00Z"}
        lines.append(
            record(f"e{event}", asked, answered, event % 4 == 1, **meta, **minute)
        )
        want += [
            (*v, np.nan if answered is None else s)
            for v, s in zip(values, scores, strict=True)
        ]
    got = captured_rows(lines, columns)
    numbers = got[[*columns, "score"]].to_numpy(float)
    assert numbers.shape == (len(want), n_features + 1), f"{len(want)} rows were asked"
    assert np.allclose(numbers, np.array(want), equal_nan=True), (
        "values or scores moved"
    )
    minutes = got["time"].dt.minute.to_numpy()
    assert (minutes == [int(e[1:]) for e in got["event_id"]]).all(), (
        "time is the event's"
    )
    given = [None if int(e[1:]) % 2 == 0 else f"i{e[1:]}" for e in got["event_id"]]
    assert got["inference_id"].tolist() == given, (
        "inference_id is the caller's, or None"
    )
    turned = captured_rows(lines[::-1], columns)
    assert turned["event_id"].iloc[0] == "e29", "rows come in the order of the lines"
empty = captured_rows([], ["a", "b"])
assert list(empty.columns) == names and empty.empty, "no lines: no rows, same columns"
for bad in (record("odd", "1,2\n3,4", "0.1"), record("odd", "1,2,3", "0.1")):
    try:
        captured_rows([three[0], bad], ["a", "b"])
    except ValueError as error:
        assert "odd" in str(error), f"the message must name the event, got {error}"
        continue
    raise AssertionError("scores or values are missing in a call: raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2: drift, with a limit that knows the sample
#
# The population stability index of binned shares $p$ (reference) and $q$ (service) is $\sum (q - p) \ln(q / p)$. Half a row is added to every bin of both, so an empty bin costs much and not infinitely much. A feature has *drifted* if its index is above 0.1 **and** above what chance gives: the $1 - \alpha$ quantile of a chi-squared variable with bins − 1 degrees of freedom, times $1/n + 1/m$, for $n$ and $m$ rows.
#
# Bins are part of the definition:
#
# - a numeric column is cut at the deciles of the reference's values that are there (equal deciles are one cut; a value equal to a cut belongs to the bin below it);
# - any other column has a bin per category of the reference, and one bin, *unseen*, for all other categories;
# - missing values are one more bin;
# - a bin that holds no row of either sample does not count.


# %% nbgrader="solution" grade_id="drift_table"
def drift_table(
    reference: pd.DataFrame, current: pd.DataFrame, alpha: float = 0.01
) -> pd.DataFrame:
    """Drift of each column of the reference.

    Args:
        reference: rows at training time; numeric columns and others, missing values
            allowed.
        current: rows in service, with at least the same columns.
        alpha: chance that a column without drift exceeds its limit.

    Returns:
        One row per column of the reference, index the column's name, in their order:
        bins (int, those that count), psi (float), limit (float), drifted (bool).

    Raises:
        KeyError: current lacks a column.
        ValueError: one of the two has no rows.
    """
    ### BEGIN SOLUTION
    missing = [name for name in reference if name not in current]
    if missing:
        raise KeyError(f"current lacks {missing}")
    n, m = len(reference), len(current)
    if not n or not m:
        raise ValueError(f"nothing to compare: {n} and {m} rows")
    rows = {}
    for name in reference:
        before, after = reference[name], current[name]
        if pd.api.types.is_numeric_dtype(before):
            cuts = np.unique(np.nanquantile(before, np.linspace(0.1, 0.9, 9)))

            def binned(column, cuts=cuts):
                place = pd.Series(np.searchsorted(cuts, column.to_numpy(float)))
                return place.astype(object).mask(column.isna().to_numpy(), "missing")
        else:
            known = set(before.dropna())

            def binned(column, known=known):
                names = column.map(lambda v: ("is", v) if v in known else "unseen")
                return names.astype(object).mask(column.isna(), "missing")

        p, q = binned(before).value_counts(), binned(after).value_counts()
        every = p.index.union(q.index, sort=False)
        p, q = (each.reindex(every, fill_value=0).to_numpy() + 0.5 for each in (p, q))
        p, q = p / p.sum(), q / q.sum()
        index = float(np.sum((q - p) * np.log(q / p)))
        chance = stats.chi2.ppf(1 - alpha, max(len(every) - 1, 1)) * (1 / n + 1 / m)
        drifted = bool(index > max(0.1, chance))
        rows[name] = (len(every), index, float(chance), drifted)
    columns = ["bins", "psi", "limit", "drifted"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    ### END SOLUTION


# %%
reference = pd.DataFrame(
    {"level": [0.0, 1.0] * 50, "kind": ["web"] * 60 + ["shop"] * 40}
)
current = pd.DataFrame(
    {"level": [0.0] * 40 + [1.0] * 160, "kind": ["web"] * 120 + ["phone"] * 80}
)
drift_table(reference, current).round(3)

# %% nbgrader="test" grade_id="test_drift_table" points=5
"""Two columns of two categories each, worked out by hand."""
table = drift_table(reference, current)
assert list(table.index) == ["level", "kind"], "one row per column, in their order"
assert list(table.columns) == ["bins", "psi", "limit", "drifted"], list(table.columns)
p, q = np.array([50.5, 50.5]) / 101, np.array([40.5, 160.5]) / 201
want = np.sum((q - p) * np.log(q / p))
got = table.loc["level", "psi"]
assert np.isclose(got, want), f"psi of level: expected {want:.4f}, got {got:.4f}"
assert table.loc["kind", "bins"] == 3, (
    f"web, shop and unseen are 3 bins, got {table.loc['kind', 'bins']}"
)
want = stats.chi2.ppf(0.99, 1) * (1 / 100 + 1 / 200)
got = table.loc["level", "limit"]
assert np.isclose(got, want), f"limit of level: expected {want:.4f}, got {got:.4f}"
assert table["drifted"].all(), "both columns have drifted"


### BEGIN HIDDEN TESTS
def sample(seed, n, shift=0.0, web=0.6, gone=0.0):
    rng = np.random.default_rng(seed)
    amount = np.exp(rng.normal(3 + shift, 1, n))
    amount[rng.random(n) < gone] = np.nan
    count = rng.poisson(2, n)
    kind = rng.choice(["web", "shop", None], n, p=[web, 0.95 - web, 0.05])
    return pd.DataFrame({"amount": amount, "count": count, "kind": kind})


def by_definition(before, after):
    if before.dtype != object:
        cuts = np.unique(np.quantile(before.dropna(), np.arange(1, 10) / 10))
        code = lambda c: [-1 if np.isnan(v) else int((cuts < v).sum()) for v in c]  # noqa: E731
    else:
        known = list(before.dropna().unique())
        code = lambda c: [  # noqa: E731
            -1 if v is None else known.index(v) if v in known else -2 for v in c
        ]
    b, a = np.array(code(before)), np.array(code(after))
    every = np.unique(np.concatenate([b, a]))
    p = np.array([(b == v).sum() + 0.5 for v in every])
    q = np.array([(a == v).sum() + 0.5 for v in every])
    p, q = p / p.sum(), q / q.sum()
    return len(every), np.sum((q - p) * np.log(q / p))


base = sample(0, 4000)
services = {
    "as trained": sample(1, 900),
    "amounts a quarter larger": sample(2, 900, shift=0.25),
    "missing amounts": sample(3, 900, gone=0.2),
    "more web": sample(4, 900, web=0.9),
    "a new kind": sample(5, 900).replace({"kind": {"shop": "phone"}}),
    "two new kinds": pd.concat(
        [sample(6, 450).replace({"kind": {"shop": k}}) for k in ("phone", "post")]
    ),
}
for name, rows in services.items():
    found = drift_table(base, rows)
    for column in base:
        bins, psi = by_definition(base[column], rows[column])
        at = found.loc[column]
        assert at["bins"] == bins, f"{name}, {column}: {bins} bins, got {at['bins']}"
        assert np.isclose(at["psi"], psi), (
            f"{name}, {column}: {psi:.4f}, got {at['psi']:.4f}"
        )
        limit = stats.chi2.ppf(0.99, bins - 1) * (1 / 4000 + 1 / len(rows))
        assert np.isclose(at["limit"], limit), (
            f"{name}, {column}: the limit is {limit:.4f}"
        )
        assert bool(at["drifted"]) == (psi > max(0.1, limit)), f"{name}, {column}"
few = drift_table(base, sample(11, 60, shift=0.15))
assert few.loc["amount", "psi"] > 0.1 and not few.loc["amount", "drifted"], (
    "60 rows give such an index by chance: above 0.1 is not enough"
)
shuffled = drift_table(base.sample(frac=1, random_state=1), services["more web"])
assert np.allclose(shuffled["psi"], drift_table(base, services["more web"])["psi"]), (
    "the order of rows must not matter"
)
loose = drift_table(base, services["as trained"], alpha=0.2)
assert (loose["limit"] < drift_table(base, services["as trained"])["limit"]).all()
extra = services["as trained"].assign(more=1)
assert "more" not in drift_table(base, extra).index, "columns of the reference only"
for bad, error in ((base[["amount"]], KeyError), (base.iloc[:0], ValueError)):
    try:
        drift_table(base, bad)
    except error:
        continue
    raise AssertionError(f"expected {error.__name__}")
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3: quality, from labels that are old enough
#
# Fraud is reported days after the payment; honest payments are never reported, they only grow old. Labels that come early are therefore nearly all fraud. Quality is measured on predictions that had `maturity` to be reported, with what was known at `as_of`.
#
# A report may be withdrawn: of several labels of one payment, the last one that was known counts.


# %% nbgrader="solution" grade_id="mature_quality"
def mature_quality(
    predictions: pd.DataFrame,
    reports: pd.DataFrame,
    as_of: pd.Timestamp,
    maturity: pd.Timedelta,
    k: int,
) -> dict[str, float]:
    """Fraud rate and recall of the k highest scores, on mature predictions.

    Args:
        predictions: columns inference_id (unique), time and score.
        reports: columns inference_id, fraud (bool) and known_at, any number per
            prediction. A prediction without a report by as_of counts as honest.
        as_of: what was known later is not used.
        maturity: a prediction is mature if it was made at as_of - maturity or before.
        k: how many of the mature predictions are investigated, highest score first;
            equal scores in the order of inference_id.

    Returns:
        n: mature predictions (int); rate: share of fraud among them; recall: share of
        their fraud among the k highest scores. rate is NaN without mature predictions,
        recall without fraud.

    Raises:
        ValueError: an inference_id is missing or occurs twice in predictions.
    """
    ### BEGIN SOLUTION
    ids = predictions["inference_id"]
    if ids.isna().any() or ids.duplicated().any():
        raise ValueError("every prediction needs an inference_id of its own")
    known = reports[reports["known_at"] <= as_of].sort_values("known_at", kind="stable")
    label = known.drop_duplicates("inference_id", keep="last")
    label = label.set_index("inference_id")["fraud"]
    mature = predictions[predictions["time"] <= as_of - maturity]
    mature = mature.assign(fraud=mature["inference_id"].map(label).eq(True))
    ranked = mature.sort_values(["score", "inference_id"], ascending=[False, True])
    total = int(mature["fraud"].sum())
    return {
        "n": len(mature),
        "rate": float(mature["fraud"].mean()) if len(mature) else float("nan"),
        "recall": float(ranked.head(k)["fraud"].sum() / total)
        if total
        else float("nan"),
    }
    ### END SOLUTION


# %%
noon = pd.Timestamp("2026-03-10 12:00", tz="UTC")
day = pd.Timedelta(days=1)
five = pd.DataFrame(
    {
        "inference_id": ["a", "b", "c", "d", "e"],
        "time": [noon - 9 * day, noon - 8 * day, noon - 7 * day, noon - day, noon],
        "score": [0.9, 0.2, 0.4, 0.8, 0.7],
    }
)
told = pd.DataFrame(
    {
        "inference_id": ["a", "b", "d", "a"],
        "fraud": [True, True, True, False],
        "known_at": [noon - 6 * day, noon - 5 * day, noon, noon + day],
    }
)
mature_quality(five, told, noon, 7 * day, k=1)

# %% nbgrader="test" grade_id="test_mature_quality" points=4
"""Of five predictions three are mature; two of these were reported by noon."""
got = mature_quality(five, told, noon, 7 * day, k=1)
assert got["n"] == 3, f"a, b and c are seven days old, got n={got['n']}"
assert np.isclose(got["rate"], 2 / 3), f"two of three are fraud, got {got['rate']}"
assert np.isclose(got["recall"], 0.5), f"a is found, b is not: got {got['recall']}"
later = mature_quality(five, told, noon + day, 8 * day, k=1)
assert np.isclose(later["rate"], 1 / 3), (
    "a's report was withdrawn a day later: the last label counts"
)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(8)
start = pd.Timestamp("2026-05-01", tz="UTC")
n = 3000
is_fraud = rng.random(n) < 0.05
calls = pd.DataFrame(
    {
        "inference_id": [f"p{i:05}" for i in rng.permutation(n)],
        "time": start + pd.to_timedelta(rng.uniform(0, 30, n), unit="D"),
        "score": np.round(rng.beta(1, 6, n) + 0.4 * is_fraud * rng.random(n), 2),
    }
)
reports = calls[is_fraud][["inference_id"]].assign(
    fraud=True,
    known_at=calls["time"][is_fraud]
    + pd.to_timedelta(rng.exponential(3, is_fraud.sum()), unit="D"),
)
wrong = reports.sample(20, random_state=0).assign(
    fraud=False, known_at=lambda t: t["known_at"] + pd.Timedelta(days=2)
)
reports = pd.concat([wrong, reports]).sample(frac=1, random_state=1)


def by_loop(calls, reports, as_of, maturity, k):
    label = {}
    for each in reports.sort_values("known_at").itertuples():
        if each.known_at <= as_of:
            label[each.inference_id] = each.fraud
    mature = [c for c in calls.itertuples() if c.time <= as_of - maturity]
    mature.sort(key=lambda c: (-c.score, c.inference_id))
    flags = [label.get(c.inference_id, False) for c in mature]
    return len(flags), np.mean(flags), sum(flags[:k]) / sum(flags)


for days, age, k in ((30, 10, 50), (20, 0, 30), (25.5, 3, 400), (34, 14, 100)):
    as_of, maturity = start + pd.Timedelta(days=days), pd.Timedelta(days=age)
    before = calls.copy(), reports.copy()
    got = mature_quality(calls, reports, as_of, maturity, k)
    want = by_loop(calls, reports, as_of, maturity, k)
    for name, value in zip(("n", "rate", "recall"), want, strict=True):
        assert np.isclose(got[name], value), (
            f"day {days}, maturity {age}: {name} is {value:.4f}, got {got[name]:.4f}"
        )
    assert calls.equals(before[0]) and reports.equals(before[1]), "an argument changed"
    mixed = mature_quality(
        calls.sample(frac=1, random_state=2), reports.iloc[::-1], as_of, maturity, k
    )
    assert np.isclose(mixed["recall"], got["recall"]), "row order must not matter"
nobody = mature_quality(calls, reports, start, pd.Timedelta(days=1), 5)
assert nobody["n"] == 0 and np.isnan(nobody["rate"]) and np.isnan(nobody["recall"])
honest = mature_quality(calls, reports.iloc[:0], start + 40 * day, 7 * day, 5)
assert honest["rate"] == 0 and np.isnan(honest["recall"]), "no report: all are honest"
for ids in (["a", "a"], ["a", None]):
    try:
        mature_quality(five.head(2).assign(inference_id=ids), told, noon, day, 1)
    except ValueError:
        continue
    raise AssertionError("a missing or repeated inference_id must raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4: how often the telephone rings
#
# A drift job writes one value an hour. An alarm on *m of n* is in ALARM after an hour if at least m of the last n values are above the threshold; an hour without a value (NaN, the job failed) is one of the n and does not breach. Before the first value there is nothing, which does not breach either. A person is called when the alarm *goes into* ALARM, not for every hour that it stays there.


# %% nbgrader="solution" grade_id="choose_m_of_n"
def choose_m_of_n(
    calm: np.ndarray, drifted: np.ndarray, threshold: float, most_calls: int
) -> dict[str, int]:
    """The alarm on m of n, n at most 5, that finds drift soonest and is quiet without.

    Args:
        calm: hourly values without drift, shape (n_hours,), may hold NaN.
        drifted: hourly values from the hour on in which drift began; the alarm starts
            with nothing before them.
        threshold: a value above it breaches.
        most_calls: calls that the calm values may cost.

    Returns:
        m, n, calls (in the calm hours) and hours (until ALARM in the drifted ones,
        1 for the first) of the choice: of all pairs 1 <= m <= n <= 5 with at most
        most_calls calls, the one with the fewest hours; of equal ones that with fewer
        calls, then with the smaller n, then with the larger m.

    Raises:
        ValueError: no pair is quiet enough and finds the drift.
    """

    ### BEGIN SOLUTION
    def in_alarm(values, m, n):
        over = np.concatenate([np.zeros(n - 1), np.asarray(values, float) > threshold])
        return np.convolve(over, np.ones(n), "valid") >= m - 0.5

    found = []
    for n in range(1, 6):
        for m in range(1, n + 1):
            quiet, loud = in_alarm(calm, m, n), in_alarm(drifted, m, n)
            calls = int(np.sum(quiet & ~np.append(False, quiet[:-1])))
            if loud.any() and calls <= most_calls:
                found.append((int(loud.argmax()) + 1, calls, n, -m))
    if not found:
        raise ValueError(f"no m of n costs at most {most_calls} calls and finds it")
    hours, calls, n, minus_m = min(found)
    return {"m": -minus_m, "n": n, "calls": calls, "hours": hours}
    ### END SOLUTION


# %%
calm_hours = np.array([0.0, 1, 0, 0, 1, 0, 1, 0, 0, 0, np.nan, 1])
choose_m_of_n(calm_hours, np.array([0.0, 1, 1, 1]), threshold=0.5, most_calls=0)

# %% nbgrader="test" grade_id="test_choose_m_of_n" points=4
"""A calm series with four single breaches; drift that breaches from its second hour on."""
got = choose_m_of_n(calm_hours, np.array([0.0, 1, 1, 1]), 0.5, most_calls=0)
assert got == {"m": 2, "n": 2, "calls": 0, "hours": 3}, (
    f"expected 2 of 2 with no call and 3 hours, got {got}"
)
got = choose_m_of_n(calm_hours, np.array([0.0, 1, 1, 1]), 0.5, most_calls=1)
assert got == {"m": 1, "n": 5, "calls": 1, "hours": 2}, (
    f"1 of 5 stays in ALARM from the second hour on and so calls once, got {got}"
)


### BEGIN HIDDEN TESTS
def by_definition(calm, drifted, threshold, most_calls):
    def states(values, m, n):
        window = [False] * n
        for value in values:
            window = [*window[1:], bool(value > threshold)]
            yield sum(window) >= m

    best = None
    for n in range(1, 6):
        for m in range(1, n + 1):
            quiet = [False, *states(calm, m, n)]
            calls = sum(b and not a for a, b in pairwise(quiet))
            loud = list(states(drifted, m, n))
            if True in loud and calls <= most_calls:
                key = (loud.index(True) + 1, calls, n, -m)
                best = min(best or key, key)
    return best


for seed in range(60):
    rng = np.random.default_rng(seed)
    calm = np.where(rng.random(300) < 0.03, np.nan, rng.exponential(1, 300))
    calm[:2] += rng.choice([0, 5])
    drifted = np.where(rng.random(30) < 0.1, np.nan, rng.exponential(4, 30))
    most = int(rng.integers(0, 12))
    want = by_definition(calm, drifted, 2.5, most)
    try:
        got = choose_m_of_n(calm, drifted, 2.5, most)
    except ValueError:
        assert want is None, f"seed {seed}: {want} is possible, got ValueError"
        continue
    key = (got["hours"], got["calls"], got["n"], -got["m"])
    assert key == want, (
        f"seed {seed}: expected {-want[3]} of {want[2]} with {want[1]} calls and"
        f" {want[0]} hours, got {got}"
    )
    scaled = choose_m_of_n(calm * 10, drifted * 10, 25, most)
    assert scaled == got, "the unit of the values must not matter"
try:
    choose_m_of_n(np.ones(20), np.zeros(20), 0.5, 100)
except ValueError:
    pass
else:
    raise AssertionError("drift that never breaches is not found: raise ValueError")
assert (
    choose_m_of_n(np.array([1.0, 0]), np.array([1.0]), 1.0 - 1e-9, 1)["calls"] == 1
), "an alarm that begins in ALARM calls too"
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5: what the evidence asks for
#
# Retraining is a release, with a release's risk. It is the answer to a loss of quality, not to drift; and a model must not be trained on rows that a producer has broken.


# %% nbgrader="solution" grade_id="decide"
def decide(
    reports: int,
    expected_reports: int,
    drifted: set[str],
    sources: dict[str, str],
    quality: tuple[float, float] | None,
    baseline: float,
    tolerance: float,
) -> str:
    """What to do, the first of these that holds.

    "mend the monitor": fewer than half of the expected reports are there.
    "mend the data": features have drifted, all from one source, at least half of that
        source's features among them.
    "retrain": the whole interval of the quality lies more than tolerance below the
        baseline.
    "watch": a feature has drifted, or the quality is not known.
    "nothing": none of these.

    Args:
        reports: drift reports of the last day.
        expected_reports: how many there should be, at least 1.
        drifted: features that have drifted.
        sources: the source of every feature.
        quality: interval (low, high) of the metric on mature labels, higher is better;
            None while there are too few.
        baseline: the metric at release.
        tolerance: loss that does not matter.

    Raises:
        KeyError: a drifted feature has no source.
    """
    ### BEGIN SOLUTION
    if 2 * reports < expected_reports:
        return "mend the monitor"
    origins = {sources[name] for name in drifted}
    if len(origins) == 1:
        of_source = [name for name, source in sources.items() if source in origins]
        if 2 * len(drifted) >= len(of_source):
            return "mend the data"
    if quality is not None and quality[1] < baseline - tolerance:
        return "retrain"
    return "watch" if drifted or quality is None else "nothing"
    ### END SOLUTION


# %%
SOURCES = {
    "amount": "gateway",
    "currency": "gateway",
    "count_7d": "features",
    "risk_7d": "features",
    "age": "profile",
}
decide(24, 24, {"count_7d"}, SOURCES, (0.50, 0.58), baseline=0.60, tolerance=0.03)

# %% nbgrader="test" grade_id="test_decide" points=3
"""One case for each decision."""
day_of = {"reports": 24, "expected_reports": 24, "sources": SOURCES}
rule = {"baseline": 0.60, "tolerance": 0.03}
cases = {
    "mend the monitor": decide(3, 24, set(), SOURCES, (0.59, 0.66), **rule),
    "mend the data": decide(
        drifted={"amount", "currency"}, quality=(0.3, 0.4), **day_of, **rule
    ),
    "retrain": decide(drifted=set(), quality=(0.48, 0.55), **day_of, **rule),
    "watch": decide(
        drifted={"amount", "count_7d"}, quality=(0.55, 0.63), **day_of, **rule
    ),
    "nothing": decide(drifted=set(), quality=(0.55, 0.63), **day_of, **rule),
}
for want, got in cases.items():
    assert got == want, f"expected {want!r}, got {got!r}"
### BEGIN HIDDEN TESTS
more = [
    ((12, 24, set(), (0.58, 0.66)), "nothing", "half of the reports are enough"),
    ((11, 24, {"amount"}, None), "mend the monitor", "the monitor comes first"),
    ((24, 24, {"age"}, (0.2, 0.3)), "mend the data", "a source of one feature"),
    ((24, 24, {"amount"}, (0.2, 0.3)), "mend the data", "half of a source's features"),
    ((24, 24, {"amount", "risk_7d"}, (0.2, 0.3)), "retrain", "two sources, loss"),
    ((24, 24, {"amount", "age"}, None), "watch", "no labels yet"),
    ((24, 24, set(), None), "watch", "quality is not known"),
    ((24, 24, set(), (0.4, 0.571)), "nothing", "the interval reaches the tolerance"),
    ((24, 24, set(), (0.4, 0.569)), "retrain", "the whole interval lies below"),
    ((0, 1, set(), (0.6, 0.7)), "mend the monitor", "none of one"),
    ((1, 1, set(), (0.6, 0.7)), "nothing", "one of one"),
]
for (reports, expected, drifted, quality), want, why in more:
    for names in (SOURCES, dict(reversed(SOURCES.items()))):
        got = decide(reports, expected, drifted, names, quality, **rule)
        assert got == want, f"{why}: expected {want!r}, got {got!r}"
three_of_one = {"a": "s", "b": "s", "c": "s", "d": "t"}
got = decide(1, 1, {"a"}, three_of_one, (0.6, 0.7), **rule)
assert got == "watch", f"one of a source's three features: watch, got {got!r}"
got = decide(1, 1, {"a", "b"}, three_of_one, (0.6, 0.7), **rule)
assert got == "mend the data", f"two of a source's three, got {got!r}"
try:
    decide(24, 24, {"unknown"}, SOURCES, None, **rule)
except KeyError:
    pass
else:
    raise AssertionError("a drifted feature without a source must raise KeyError")
### END HIDDEN TESTS

# %% [markdown]
# ## Task 6: a job on a schedule
#
# EventBridge Scheduler calls any AWS operation by its *universal target*, `arn:aws:scheduler:::aws-sdk:<service>:<operation>`, with the request as JSON text in `Input`. In that text it replaces [context attributes](https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html): `<aws.scheduler.scheduled-time>` by the time that the run was due, `<aws.scheduler.execution-id>` by 36 characters that no other run has. A processing job's name can be used once, so a fixed one works for exactly one hour.


# %% nbgrader="solution" grade_id="drift_schedule"
def drift_schedule(
    name: str, prefix: str, job: dict, role_arn: str, expression: str
) -> dict:
    """The request of scheduler.create_schedule that starts a processing job.

    Each run's job is called <prefix>-<execution id>, and gets the environment variable
    SCHEDULED_TIME, the time that it was due, beside those that `job` has. Runs are
    exact in time (no flexible window). A start that is refused is tried again at most
    twice, and no longer than an hour: a drift report that late is of no use.

    Args:
        name: the schedule's name.
        prefix: the jobs' names begin with it.
        job: members of CreateProcessingJob but its name. It is not changed.
        role_arn: role that the scheduler assumes.
        expression: for example "rate(1 hour)".

    Raises:
        ValueError: the jobs' names would exceed SageMaker's 63 characters.
    """
    ### BEGIN SOLUTION
    if len(prefix) + 1 + 36 > 63:
        raise ValueError(f"{prefix!r} has {len(prefix)} characters, at most 26 fit")
    due = {"SCHEDULED_TIME": "<aws.scheduler.scheduled-time>"}
    request = {
        **job,
        "ProcessingJobName": f"{prefix}-<aws.scheduler.execution-id>",
        "Environment": {**job.get("Environment", {}), **due},
    }
    return {
        "Name": name,
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob",
            "RoleArn": role_arn,
            "Input": json.dumps(request),
            "RetryPolicy": {
                "MaximumRetryAttempts": 2,
                "MaximumEventAgeInSeconds": 3600,
            },
        },
    }
    ### END SOLUTION


# %%
PLAIN_JOB = {
    "RoleArn": "arn:aws:iam::111122223333:role/Course",
    "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["run"]},
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        }
    },
    "Environment": {"LEVEL": "1"},
}
ROLE = "arn:aws:iam::111122223333:role/Scheduler"
drift_schedule("hourly", "fraud-drift", PLAIN_JOB, ROLE, "rate(1 hour)")

# %% nbgrader="test" grade_id="test_drift_schedule" points=3
"""The request and the one inside it fit AWS's model."""
services = botocore.session.get_session()


def problems(service, operation, request):
    model = services.get_service_model(service).operation_model(operation)
    return ParamValidator().validate(request, model.input_shape).generate_report()


asked = drift_schedule("hourly", "fraud-drift", PLAIN_JOB, ROLE, "rate(1 hour)")
wrong = problems("scheduler", "CreateSchedule", asked)
assert not wrong, f"create_schedule would refuse it: {wrong}"
inner = json.loads(asked["Target"]["Input"])
wrong = problems("sagemaker", "CreateProcessingJob", inner)
assert not wrong, f"createProcessingJob would refuse its Input: {wrong}"
assert "<aws.scheduler.execution-id>" in inner["ProcessingJobName"], (
    f"each run needs a name of its own, got {inner['ProcessingJobName']}"
)
### BEGIN HIDDEN TESTS
for expression, name in (("cron(0 * ? * * *)", "x"), ("rate(1 day)", "a" * 26)):
    for job_environment in ({"LEVEL": "1", "MORE": "2"}, None):
        given = {k: v for k, v in PLAIN_JOB.items() if k != "Environment"}
        if job_environment is not None:
            given["Environment"] = job_environment
        untouched = json.loads(json.dumps(given))
        asked = drift_schedule("nightly", name, given, ROLE, expression)
        assert given == untouched, "drift_schedule changed its argument"
        target, inner = asked["Target"], json.loads(asked["Target"]["Input"])
        assert asked["Name"] == "nightly", "the schedule has the given name"
        assert asked["ScheduleExpression"] == expression
        assert asked["FlexibleTimeWindow"] == {"Mode": "OFF"}, "runs are exact in time"
        assert target["RoleArn"] == ROLE, "the scheduler assumes the given role"
        universal = "arn:aws:scheduler:::aws-sdk:sagemaker:createprocessingjob"
        assert target["Arn"].lower() == universal, f"not the target: {target['Arn']}"
        assert inner["ProcessingJobName"] == f"{name}-<aws.scheduler.execution-id>", (
            f"names are <prefix>-<execution id>, got {inner['ProcessingJobName']}"
        )
        due = {"SCHEDULED_TIME": "<aws.scheduler.scheduled-time>"}
        assert inner["Environment"] == {**(job_environment or {}), **due}, (
            f"the job's own variables stay, and the time is added: {inner['Environment']}"
        )
        for member in ("RoleArn", "AppSpecification", "ProcessingResources"):
            assert inner[member] == PLAIN_JOB[member], f"{member} is not the job's"
        retry = target.get("RetryPolicy", {})
        assert retry.get("MaximumRetryAttempts", 185) <= 2, "at most two more attempts"
        age = retry.get("MaximumEventAgeInSeconds", 86400)
        assert age <= 3600, f"tried again no longer than an hour, got {age} s"
try:
    drift_schedule("s", "a" * 27, PLAIN_JOB, ROLE, "rate(1 hour)")
except ValueError:
    pass
else:
    raise AssertionError("27 characters and the execution id are 64: raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ## The service under watch
#
# The model goes behind an endpoint that keeps its traffic, and the drift job's inputs are put where it will look: the baseline, the script `src/drift.py`, and the place of the capture.

# %%
aws = connect(lab="monitoring")
work = Path(mkdtemp())
(work / "model").mkdir()
model.save_model(work / "model" / "model.json")
archive = deployment.package_model(work / "model", "src", work / "model.tar.gz")
capture_uri = f"s3://{aws.bucket}/course/{aws.lab}/capture"
endpoint = deployment.deploy_realtime(
    aws,
    aws.name("fraud"),
    aws.image("xgboost"),
    aws.upload(archive, "model"),
    environment={"SAGEMAKER_PROGRAM": "inference.py"},
    capture_uri=capture_uri,
)
train[FEATURES].sample(2_000, random_state=0).to_csv(work / "baseline.csv", index=False)


# %%
def channel(name: str, uri: str) -> dict:
    """An input of a processing job, below /opt/ml/processing/<name>."""
    s3 = {"S3Uri": uri, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    s3["LocalPath"] = f"/opt/ml/processing/{name}"
    return {"InputName": name, "S3Input": s3}


report_uri = f"s3://{aws.bucket}/course/{aws.lab}/reports"
output = {"S3Uri": report_uri, "LocalPath": "/opt/ml/processing/report"}
cluster = {"InstanceType": aws.instance_type("processing"), "InstanceCount": 1}
# The window, in minutes of the captured clock; the local SageMaker's schedules are fast.
minutes = 15 / 60 if aws.backend == "local" else 60
command = "python3 /opt/ml/processing/code/drift.py --min_rows 100"
command += f" --endpoint {endpoint} --minutes {minutes:.4f}"
job = {
    "RoleArn": aws.role,
    "AppSpecification": {
        "ImageUri": aws.image("sklearn"),
        "ContainerEntrypoint": ["bash", "-c", command],
    },
    "ProcessingInputs": [
        channel("baseline", aws.upload(work / "baseline.csv", "baseline")),
        channel("code", aws.upload("src/drift.py", "code")),
        channel("capture", f"{capture_uri}/{endpoint}"),
    ],
    "ProcessingOutputConfig": {
        "Outputs": [
            {"OutputName": "report", "S3Output": {**output, "S3UploadMode": "EndOfJob"}}
        ]
    },
    "ProcessingResources": {"ClusterConfig": {**cluster, "VolumeSizeInGB": 10}},
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
}

# %%
schedule_name = aws.name("drift")
schedule = drift_schedule(
    schedule_name, "fraud-drift", job, aws.role, "rate(5 minutes)"
)
# %% [markdown]
# A client calls the endpoint while the schedule runs; after two reports its amounts come in another unit.

# %%
scheduler = aws.client("scheduler")
scheduler.create_schedule(**schedule)
reports, rng, drift_began = {}, np.random.default_rng(0), None
deadline = time.time() + (240 if aws.backend == "local" else 4 * 3600)
while time.time() < deadline:
    rows = service[FEATURES].astype(float).sample(60, random_state=rng.integers(1e9))
    judged = [report for report in reports.values() if report["psi"]]
    if drift_began or len(judged) >= 2:
        drift_began = drift_began or time.time()
        rows[[name for name in FEATURES if "amount" in name]] *= 100
    body = rows.to_csv(header=False, index=False).strip()
    deployment.invoke(aws, endpoint, body, accept="text/csv")
    listed = aws.s3.list_objects_v2(
        Bucket=aws.bucket, Prefix=f"course/{aws.lab}/reports/"
    )
    for key in (each["Key"] for each in listed.get("Contents", [])):
        if key not in reports:
            text = aws.s3.get_object(Bucket=aws.bucket, Key=key)["Body"].read()
            reports[key] = json.loads(text)
    if any(report["psi"]["amount"] > 1 for report in judged):
        break
    time.sleep(0.2)
scheduler.delete_schedule(Name=schedule_name)
completed = aws.sagemaker.list_processing_jobs(
    NameContains="fraud-drift-", StatusEquals="Completed"
)["ProcessingJobSummaries"]
jobs_run = [summary["ProcessingJobName"] for summary in completed]
by_time = sorted(reports.values(), key=lambda report: report["due"])
pd.DataFrame(
    {
        r["due"][11:19]: {"rows": r["rows"], "amount": r["psi"].get("amount")}
        for r in by_time
    }
).T

# %% nbgrader="test" grade_id="test_drift_runs" points=1 tags=["in-process"]
"""Each run had a job of its own, and the drift was in its report."""
assert len(set(jobs_run)) >= 3, f"three runs were due, {len(jobs_run)} jobs completed"
assert any(report["psi"].get("amount", 0) > 1 for report in by_time), (
    "the drift of the amounts was not reported"
)
### BEGIN HIDDEN TESTS
began = pd.Timestamp(drift_began, unit="s", tz="UTC")
calm_reports = [r for r in by_time if r["psi"] and pd.Timestamp(r["due"]) < began]
assert calm_reports, "no report of the time before the amounts changed"
assert max(report["psi"]["amount"] for report in calm_reports) < 0.5, (
    "the amounts drifted before their unit changed"
)
### END HIDDEN TESTS

# %% [markdown]
# ## The capture, read by your function
#
# The same rows by way of task 1 and task 2: what the job has seen, seen by hand.

# %%
records = []
prefix = f"course/{aws.lab}/capture/{endpoint}/"
for page in aws.s3.get_paginator("list_objects_v2").paginate(
    Bucket=aws.bucket, Prefix=prefix
):
    for each in page.get("Contents", []):
        text = aws.s3.get_object(Bucket=aws.bucket, Key=each["Key"])["Body"].read()
        records += text.decode().splitlines()
seen = captured_rows(records, FEATURES)
late = seen["time"] >= pd.Timestamp(drift_began, unit="s", tz="UTC")
after = drift_table(train[FEATURES], seen.loc[late, FEATURES])
print(f"{len(seen):,} rows in {len(records)} calls")
after.sort_values("psi", ascending=False).head(6).round(3)

# %% [markdown] nbgrader="manual" grade_id="design_question" points=5
# ## Design question: 310 alarms, four of them right
#
# The bank runs 40 models with 20 to 200 features each, and two people on call. Last month the drift alarms rang 310 times; four calls led to an action, and one loss of quality was found by a customer. In at most 300 words: what is alarmed and what is only shown, with which windows, references, limits and M of N; how is quality watched while labels take three weeks; who is called for what; and how do you know in a month that it has become better?
#
# *Rubric, one point each:* alarms only on what someone must act on; limits that know the rows and the number of comparisons, with windows that fit the calendar; quality under delay by mature cohorts with coverage and interval, and a proxy that is named as one; a route and a runbook per kind of alarm; a measure of the monitor itself.
#
# <!-- BEGIN SOLUTION -->
# **Alarmed.** A loss of quality beyond tolerance (whole interval), a missing report, a source of which half the features break at once. Drift of single features goes to a weekly digest, worst first: nobody acts on it at night.
#
# **Limits.** 40 models of 100 features, hourly, are 2.9 million comparisons a month: at one per cent each, 29,000 false alarms. A source's break is tested once per source and day, against the same weekdays of the reference, at the chi-squared limit over the number of tests and above 0.1; M of N is chosen on the last calm quarter so that all models together cost at most four calls a month.
#
# **Quality.** Weekly cohorts that are three weeks old, with coverage and a bootstrap interval. Meanwhile two proxies, named as such: a sample of 200 payments a week that is investigated whatever its score, and the share of blocked payments that customers contest.
#
# **Routes.** A break of data calls the team that owns the source, in working hours unless payments fail; quality calls the model's owner; a silent monitor calls the platform. Each alarm links its runbook.
#
# **The monitor, measured.** Calls acted upon over all calls, from 4 / 310 to above one half; time to find drift that is injected into a copy of the traffic each week; losses that others found, to be none. Reviewed monthly, and thresholds move only there.
# <!-- END SOLUTION -->

# %% tags=["cleanup"]
deleted = cleanup.delete_lab(aws)
bill = costs.estimate(aws.ledger)
print(f"deleted {len(deleted)} things; {bill['usd'].sum():.4f} USD at list prices")
