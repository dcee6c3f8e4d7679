"""Sixty honest submissions score as with stock `nbgrader autograde`, but for the faults of stock that are named."""

import csv
import shutil
import sqlite3
import subprocess
import sys

import pytest
from rows import rows
from tiny import ANSWERS, make_course, put

from helpers.course.grade import grade_all
from helpers.grading.intake import find_submissions

KINDS = [*ANSWERS, "blank"]
STUDENTS = {f"student-{number:02d}": KINDS[number % len(KINDS)] for number in range(60)}


@pytest.fixture(scope="module")
def both(tmp_path_factory, project):
    """The rows of both graders on the same submissions."""
    ours = make_course(tmp_path_factory.mktemp("parity") / "ours", project)
    for student, kind in STUDENTS.items():
        put(ours, student, kind)
    stock = ours.parent / "stock"
    shutil.copytree(ours, stock)
    for arguments in (["generate_assignment"], ["autograde"]):
        command = [sys.executable, "-m", "nbgrader", *arguments, "tiny", "--force", "--log-level=ERROR"]
        subprocess.run(command, cwd=stock, check=True, capture_output=True, timeout=800)
    grade_all(ours, "tiny", find_submissions(ours / "submitted", "tiny"), workers=2)
    return rows(ours), rows(stock)


@pytest.mark.timeout(900)
def test_the_grade_rows_are_those_of_stock_nbgrader(both):
    (ours, our_comments), (stock, stock_comments) = both
    assert len(ours) == 60 * 3
    different = {(row[0], row[1]) for row in set(ours) ^ set(stock)}
    # Stock gives nothing to a right answer whose function, or whose test, writes to stderr.
    assert {task for _, task in different} <= {"test_add_step"}
    by_stock = {row[:2]: row[2] for row in stock}
    assert all(by_stock[key] == 0 and STUDENTS[key[0]] not in ("wrong", "blank") for key in different)
    assert our_comments == stock_comments


@pytest.mark.timeout(900)
def test_every_kind_of_answer_scores_what_it_deserves(both):
    (ours, _), _ = both
    deserved = {"right": (2, 3), "another-road": (2, 3), "warns": (2, 3), "partly": (2, 0), "visible-only": (0, 0)}
    scores = {row[:2]: row[2] for row in ours}
    for student, kind in STUDENTS.items():
        got = scores[student, "test_add_step"], scores[student, "test_area"]
        assert got == deserved.get(kind, (0, 0)), (student, kind)


def test_the_gradebook_is_one_that_nbgrader_reads(both, tmp_path_factory):
    root = next(path for path in tmp_path_factory.getbasetemp().glob("parity*/ours"))
    target = root / "exported.csv"
    command = [sys.executable, "-m", "nbgrader", "export", "--to", str(target)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=120)
    with target.open(newline="") as lines:
        exported = [row["student_id"] for row in csv.DictReader(lines)]
    assert sorted(exported) == sorted(STUDENTS)
    with sqlite3.connect(root / "gradebook.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
