"""Answers that the tests of mature_quality must tell apart."""

import numpy as np


def _check(predictions):
    ids = predictions["inference_id"]
    if ids.isna().any() or ids.duplicated().any():
        raise ValueError("ids")


def _labels(reports, as_of, keep="last"):
    known = reports[reports["known_at"] <= as_of].sort_values("known_at")
    known = known.drop_duplicates("inference_id", keep=keep)
    return known.set_index("inference_id")["fraud"]


def _quality(mature, label, k):
    fraud = mature["inference_id"].map(label)
    return _counted(mature.assign(fraud=fraud.eq(True)), k)


def _counted(rows, k):
    total = int(rows["fraud"].sum())
    top = rows.sort_values(["score", "inference_id"], ascending=[False, True]).head(k)
    return {
        "n": len(rows),
        "rate": float(rows["fraud"].mean()) if len(rows) else np.nan,
        "recall": float(top["fraud"].sum() / total) if total else np.nan,
    }


def right_by_a_merge(predictions, reports, as_of, maturity, k):
    # a left join with the last label
    _check(predictions)
    label = _labels(reports, as_of).rename("fraud").reset_index()
    mature = predictions[predictions["time"] <= as_of - maturity]
    rows = mature.merge(label, on="inference_id", how="left")
    return _counted(rows.assign(fraud=rows["fraud"].eq(True)), k)


def right_by_dictionary(predictions, reports, as_of, maturity, k):
    # the last known label of each id
    _check(predictions)
    label = {}
    for row in reports.sort_values("known_at").to_dict("records"):
        if row["known_at"] <= as_of:
            label[row["inference_id"]] = bool(row["fraud"])
    mature = predictions[predictions["time"] <= as_of - maturity]
    return _counted(
        mature.assign(fraud=[label.get(i, False) for i in mature["inference_id"]]), k
    )


def wrong_takes_the_young_too(predictions, reports, as_of, maturity, k):
    # the youngest predictions have no label yet
    _check(predictions)
    made = predictions[predictions["time"] <= as_of]
    return _quality(made, _labels(reports, as_of), k)


def wrong_reported_only(predictions, reports, as_of, maturity, k):
    # an inner join: what nobody reported is left out
    _check(predictions)
    label = _labels(reports, as_of)
    mature = predictions[predictions["time"] <= as_of - maturity]
    return _quality(mature[mature["inference_id"].isin(label.index)], label, k)


def wrong_knows_the_future(predictions, reports, as_of, maturity, k):
    # reports of later days are used
    _check(predictions)
    mature = predictions[predictions["time"] <= as_of - maturity]
    return _quality(mature, _labels(reports, reports["known_at"].max()), k)


def wrong_first_label(predictions, reports, as_of, maturity, k):
    # a withdrawn report still counts
    _check(predictions)
    mature = predictions[predictions["time"] <= as_of - maturity]
    return _quality(mature, _labels(reports, as_of, keep="first"), k)


def wrong_any_report(predictions, reports, as_of, maturity, k):
    # fraud if it was ever reported
    _check(predictions)
    known = reports[(reports["known_at"] <= as_of) & reports["fraud"]]
    mature = predictions[predictions["time"] <= as_of - maturity]
    fraud = mature["inference_id"].isin(known["inference_id"])
    return _counted(mature.assign(fraud=fraud), k)


def wrong_precision_for_recall(predictions, reports, as_of, maturity, k):
    # share of the k, not of the fraud
    found = right_by_a_merge(predictions, reports, as_of, maturity, k)
    fraud = found["rate"] * found["n"]
    return found | {"recall": found["recall"] * fraud / k if fraud else np.nan}


def wrong_ties_by_row(predictions, reports, as_of, maturity, k):
    # equal scores in whatever order the rows come
    _check(predictions)
    mature = predictions[predictions["time"] <= as_of - maturity]
    rows = mature.assign(
        fraud=mature["inference_id"].map(_labels(reports, as_of)).eq(True)
    )
    total = int(rows["fraud"].sum())
    top = rows.sort_values("score", ascending=False, kind="stable").head(k)
    recall = float(top["fraud"].sum() / total) if total else np.nan
    return _counted(rows, k) | {"recall": recall}
