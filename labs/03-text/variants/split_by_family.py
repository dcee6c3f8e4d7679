"""Answers that the tests of split_by_family must tell apart."""

import hashlib

import numpy as np
import pandas as pd


def _frame(ticket_id, created, family, test_share):
    rows = pd.DataFrame(
        {
            "ticket_id": np.array(ticket_id),
            "created": np.array(created),
            "family": np.array(family),
        }
    )
    if not 0 <= test_share <= 1 or rows["ticket_id"].duplicated().any():
        raise ValueError("test_share is out of range, or a ticket_id is there twice")
    return rows


def _u(key, salt):
    return int(hashlib.sha256(f"{salt}:{key}".encode()).hexdigest()[:16], 16) / 2**64


def right_by_dictionary(ticket_id, created, family, test_share, salt="split"):
    # the oldest ticket of each family, found in one pass
    rows = _frame(ticket_id, created, family, test_share)
    oldest = {}
    for row in rows.itertuples():
        own = (row.created, row.ticket_id)
        oldest[row.family] = min(oldest.get(row.family, own), own)
    return np.array([_u(oldest[f][1], salt) < test_share for f in rows["family"]])


def wrong_hashes_each_ticket(ticket_id, created, family, test_share, salt="split"):
    # copies land on both sides
    rows = _frame(ticket_id, created, family, test_share)
    return np.array([_u(one, salt) < test_share for one in rows["ticket_id"]])


def wrong_hashes_the_family_number(
    ticket_id, created, family, test_share, salt="split"
):
    # families are numbered anew with every corpus
    rows = _frame(ticket_id, created, family, test_share)
    return np.array([_u(one, salt) < test_share for one in rows["family"]])


def wrong_takes_the_smallest_id(ticket_id, created, family, test_share, salt="split"):
    # an imported ticket may have a small id and be young
    rows = _frame(ticket_id, created, family, test_share)
    first = rows.groupby("family")["ticket_id"].transform("min")
    return np.array([_u(one, salt) < test_share for one in first])


def wrong_takes_the_first_row(ticket_id, created, family, test_share, salt="split"):
    # the order of the rows decides
    rows = _frame(ticket_id, created, family, test_share)
    first = rows.groupby("family")["ticket_id"].transform("first")
    return np.array([_u(one, salt) < test_share for one in first])


def wrong_draws_families(ticket_id, created, family, test_share, salt="split"):
    # drawn by lot from the families that are there today
    rows = _frame(ticket_id, created, family, test_share)
    families = np.sort(rows["family"].unique())
    rng = np.random.default_rng(int(_u(0, salt) * 2**32))
    chosen = rng.permutation(families)[: round(test_share * len(families))]
    return rows["family"].isin(chosen).to_numpy()


def wrong_forgets_the_salt(ticket_id, created, family, test_share, salt="split"):
    # one split for ever
    return right_by_dictionary(ticket_id, created, family, test_share, "split")


def wrong_takes_the_youngest(ticket_id, created, family, test_share, salt="split"):
    # every new copy may move the family
    rows = _frame(ticket_id, created, family, test_share)
    last = rows.sort_values(["created", "ticket_id"]).groupby("family")["ticket_id"]
    oldest = last.last()
    return np.array([_u(oldest[f], salt) < test_share for f in rows["family"]])
