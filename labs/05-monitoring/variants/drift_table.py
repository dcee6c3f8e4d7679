"""Answers that the tests of drift_table must tell apart."""

import numpy as np
import pandas as pd
from scipy import stats

COLUMNS = ["bins", "psi", "limit", "drifted"]


def _cuts(values):
    return np.unique(np.nanquantile(values, np.linspace(0.1, 0.9, 9)))


def _codes(before, after, cuts_of=_cuts, side="left", pool=True, missing=True):
    """A code per row of each sample; -1 is missing, None is left out."""
    if pd.api.types.is_numeric_dtype(before):
        cuts = cuts_of(before.to_numpy(float))

        def code(column):
            place = np.searchsorted(cuts, column.to_numpy(float), side=side)
            gone = column.isna().to_numpy()
            return np.where(gone, -1, place) if missing else place[~gone]
    else:
        known = {name: i for i, name in enumerate(before.dropna().unique())}
        if not pool:
            for name in after.dropna().unique():
                known.setdefault(name, len(known))

        def code(column):
            gone = column.isna().to_numpy()
            place = column.map(lambda v: known.get(v, 10**6)).to_numpy(dtype=float)
            return np.where(gone, -1, place) if missing else place[~gone]

    return code(before), code(after)


def _shares(codes, add=0.5):
    every = np.unique(np.concatenate(codes))
    counts = [np.array([(c == v).sum() for v in every]) + add for c in codes]
    return [c / c.sum() for c in counts]


def _checked(reference, current):
    if missing := [name for name in reference if name not in current]:
        raise KeyError(missing)
    if not len(reference) or not len(current):
        raise ValueError("no rows")


def _report(reference, current, alpha, add=0.5, floor=0.1, chance=True, **options):
    _checked(reference, current)
    rows = {}
    noise = 1 / len(reference) + 1 / len(current)
    for name in reference:
        p, q = _shares(_codes(reference[name], current[name], **options), add)
        with np.errstate(divide="ignore", invalid="ignore"):
            psi = float(np.sum((q - p) * np.log(q / p)))
        limit = float(stats.chi2.ppf(1 - alpha, max(len(p) - 1, 1)) * noise)
        above = psi > (max(floor, limit) if chance else floor)
        rows[name] = (len(p), psi, limit, bool(above))
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)


def right_by_codes(reference, current, alpha=0.01):
    # codes and counts instead of labels
    return _report(reference, current, alpha)


def wrong_only_the_customary_threshold(reference, current, alpha=0.01):
    # 0.1 whatever the sample
    return _report(reference, current, alpha, chance=False)


def wrong_only_chance(reference, current, alpha=0.01):
    # any certain change counts, however small
    return _report(reference, current, alpha, floor=0.0)


def wrong_equal_widths(reference, current, alpha=0.01):
    # ten bins of equal width: nearly all rows in one
    def widths(values):
        return np.linspace(np.nanmin(values), np.nanmax(values), 11)[1:-1]

    return _report(reference, current, alpha, cuts_of=widths)


def wrong_drops_missing(reference, current, alpha=0.01):
    # a feature that is no longer delivered does not drift
    return _report(reference, current, alpha, missing=False)


def wrong_a_bin_for_each_new_category(reference, current, alpha=0.01):
    # unseen categories are not one bin
    return _report(reference, current, alpha, pool=False)


def wrong_upper_edges(reference, current, alpha=0.01):
    # a value equal to a cut goes to the bin above
    return _report(reference, current, alpha, side="right")


def wrong_no_smoothing(reference, current, alpha=0.01):
    # an empty bin makes the index infinite
    return _report(reference, current, alpha, add=0.0)


def wrong_reference_rows_alone(reference, current, alpha=0.01):
    # the sample in service has noise too
    table = _report(reference, current, alpha)
    share = len(current) / (len(reference) + len(current))
    limit = table["limit"] * share
    return table.assign(limit=limit, drifted=table["psi"] > np.maximum(0.1, limit))


def wrong_bins_of_the_service(reference, current, alpha=0.01):
    # cut at the deciles of what is to be judged
    return _report(current[reference.columns], reference, alpha)
