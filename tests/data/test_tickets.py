"""The ticket corpus keeps its own rules, and what it plants can be found in what it returns."""

import hashlib
import os
import subprocess
import sys

import pandas as pd
import pytest

from helpers.data import tickets

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def lab():
    return tickets.at_scale(seed=1, scale="lab")


def fingerprint(corpus):
    hashes = [pd.util.hash_pandas_object(getattr(corpus, split)).to_numpy().tobytes() for split in SPLITS]
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def test_the_same_seed_gives_the_same_tickets_in_another_process():
    program = (
        "import hashlib, pandas as pd; from helpers.data import tickets; c = tickets.at_scale(seed=5, scale='smoke');"
        f"rows = [pd.util.hash_pandas_object(getattr(c, split)).to_numpy().tobytes() for split in {SPLITS}];"
        "print(hashlib.sha256(b''.join(rows)).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == fingerprint(tickets.at_scale(seed=5, scale="smoke"))
    assert there.stdout.strip() != fingerprint(tickets.at_scale(seed=6, scale="smoke"))


def test_no_text_and_no_sentence_of_a_bank_is_in_two_splits(lab):
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert set(getattr(lab, first)["text"]).isdisjoint(getattr(lab, second)["text"]), (first, second)
