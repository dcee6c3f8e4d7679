"""nbgrader's own tools on what `course grade` wrote: formgrader in a browser, late penalties, export, grading again."""

import csv
import dataclasses
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pages import feedback_of, text_of
from playwright.sync_api import Browser, Page
from rows import rows
from tiny import make_course, put

from helpers.course import export
from helpers.course.grade import grade_all
from helpers.course.labs import nbgrader_config
from helpers.grading import kept
from helpers.grading.gradebook import GradebookWriter
from helpers.grading.intake import find_submissions

COMMENT = "Well argued, but **which** a?\nSee <img src=x onerror=alert(1)> $x$."
PENALTIES = """
c.AssignLatePenalties.plugin_class = "late_by_name.LateByName"
"""
LATE_BY_NAME = """
from nbgrader.plugins import LateSubmissionPlugin


class LateByName(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        by_hour = total_seconds_late / 3600
        return {"more-than-all": score + 1, "negative": -1, "none": None}.get(student_id, by_hour)
"""


class Formgrader:
    """A Jupyter server with formgrader on a course."""

    def __init__(self, root: Path, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/formgrader"
        extensions = "{'nbgrader.server_extensions.formgrader': True, 'jupyterlab': False, 'notebook': False}"
        command = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={self.port}"),
            *("--ServerApp.port_retries=0", "--IdentityProvider.token=word"),
            f"--ServerApp.jpserver_extensions={extensions}",
        ]
        environment = os.environ | {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
        self.log = home / "server.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                self.ask("GET", "status")
                return
            except (urllib.error.URLError, ConnectionError):
                assert self._process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.2)

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """An answer of formgrader's API."""
        data = json.dumps(body).encode() if body else None
        asked = urllib.request.Request(f"{self.address}/api/{path}", data, method=method)
        asked.add_header("Authorization", "token word")
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def submission(self, student: str) -> str:
        """The id of a student's notebook."""
        entries = self.ask("GET", "submitted_notebooks/tiny/tiny")
        return next(entry["id"] for entry in entries if entry["student"] == student)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module")
def graded(kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the graded course, for a person to write in."""
    return Path(shutil.copytree(kinds, tmp_path_factory.mktemp("formgraded") / "course"))


@pytest.fixture(scope="module")
def formgrader(graded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Formgrader]:
    """Formgrader on the graded course."""
    server = Formgrader(graded, tmp_path_factory.mktemp("jupyter"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def page(formgrader: Formgrader, chromium: Browser) -> Iterator[Page]:
    """A page that is signed in to formgrader and keeps what it asked for and what went wrong in `happened`."""
    context = chromium.new_context()
    context.set_extra_http_headers({"Authorization": "token word"})
    made = context.new_page()
    made.happened = []
    made.on("dialog", lambda dialog: (made.happened.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    made.on("pageerror", lambda error: made.happened.append(f"error: {error}"))
    made.on("request", lambda request: made.happened.append(request.url))
    yield made
    context.close()


def strange(page: Page, formgrader: Formgrader) -> list[str]:
    """What happened on a page beside requests to formgrader, and to MathJax, which formgrader misses offline."""
    own = (formgrader.address, "https://cdnjs.cloudflare.com/ajax/libs/mathjax/", "error: MathJax is not defined")
    return [each for each in page.happened if not each.startswith((*own, "data:image/"))]


def test_the_lists_show_each_submission_and_which_wait_for_a_person(formgrader: Formgrader, page: Page):
    page.goto(f"{formgrader.address}/manage_submissions/tiny")
    page.locator("td", has_text="visible-only").wait_for()
    told = {row.locator("td").nth(1).inner_text(): row.inner_text() for row in page.locator("tbody tr").all()}
    assert len(told) == 11
    assert "needs manual grading" in told["explains"] and "5 / 9" in told["explains"]
    assert "graded" in told["wrong"] and "0 / 9" in told["wrong"]
    assert strange(page, formgrader) == []


@pytest.mark.parametrize("student", ["scripts", "explains", "wrong"])
def test_a_submission_is_shown_and_acts_in_no_way(formgrader: Formgrader, page: Page, student: str):
    page.goto(f"{formgrader.address}/submissions/{formgrader.submission(student)}", wait_until="load")
    page.locator("#why").wait_for()
    page.wait_for_timeout(300)
    assert page.title() == "tiny"
    assert strange(page, formgrader) == []
    assert "hidden_value_of_the_test = 41" in page.inner_text("body")


def test_a_formula_of_an_answer_is_drawn(formgrader: Formgrader, page: Page):
    page.goto(f"{formgrader.address}/submissions/{formgrader.submission('explains')}")
    assert page.locator("math mfrac").bounding_box() is not None
    assert "Because of" in page.inner_text("body")


def test_what_a_person_gives_is_in_feedback_report_and_export(formgrader: Formgrader, page: Page, graded: Path):
    page.goto(f"{formgrader.address}/submissions/{formgrader.submission('explains')}")
    given = {"#why": "3", "#why_extra_credit": "0.5", "#why-comment": COMMENT, "#area-comment": "Use math.tau."}
    for selector, typed in given.items():
        with page.expect_response(lambda answer: answer.request.method == "PUT") as answer:
            page.locator(selector).fill(typed)
            page.locator(selector).blur()
        assert answer.value.ok
    kept.write_feedback(graded, "tiny")
    text = text_of(feedback_of(graded, "explains"))
    assert "8.5 of 9 points" in text and "3.5 of 4 points" in text
    assert "Well argued, but which a?" in text and "Use math.tau." in text
    assert "<strong>which</strong>" in feedback_of(graded, "explains").read_text()
    [row] = [row for row in export.read_grades(graded / "gradebook.db") if row["student"] == "explains"]
    assert (row["why"], row["total"], row["comments"]) == (3.5, 8.5, f"area: Use math.tau.; why: {COMMENT}")


def test_an_automatic_score_that_a_person_overrides_counts_until_it_is_taken_back(formgrader: Formgrader, graded: Path):
    grades = formgrader.ask("GET", f"grades?submission_id={formgrader.submission('partly')}")
    [grade] = [grade for grade in grades if grade["name"] == "test_area"]
    totals = []
    for score in (1.5, None):
        formgrader.ask("PUT", f"grade/{grade['id']}", manual_score=score)
        totals.append(kept.verdicts(graded, "tiny")["partly"].total)
    assert totals == [3.5, 2.0]


def test_a_flagged_submission_waits_until_a_person_has_scored_its_tasks(formgrader: Formgrader, graded: Path):
    with closing(GradebookWriter(graded, "tiny", nbgrader_config(graded, graded))) as writer:
        flagged = dataclasses.replace(writer.verdict("right"), flags=("test_area: 1 of 9 tests that must fail passed",))
        writer.write(flagged, "a key", {"why"})
    waits = [formgrader.ask("GET", "submission/tiny/right")["needs_manual_grade"]]
    for grade in formgrader.ask("GET", f"grades?submission_id={formgrader.submission('right')}"):
        formgrader.ask("PUT", f"grade/{grade['id']}", manual_score=grade["auto_score"])
        waits.append(formgrader.ask("GET", "submission/tiny/right")["needs_manual_grade"])
    assert waits == [True, True, True, False]
    assert kept.verdicts(graded, "tiny")["right"].total == 5


def nbgrader(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "nbgrader", *arguments, "--log-level=ERROR"]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def give(root: Path, student: str, **score: float) -> None:
    """What formgrader's API does when a person gives scores."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        for task, given in score.items():
            grade = gradebook.find_grade(task, "tiny", "tiny", student)
            grade.manual_score, grade.needs_manual_grade = given, False
            gradebook.find_comment("why", "tiny", "tiny", student).manual_comment = "a comment"
        gradebook.db.commit()


def comments(root: Path) -> list[tuple]:
    with sqlite3.connect(root / "gradebook.db") as connection:
        return connection.execute("SELECT manual_comment FROM comment ORDER BY 1").fetchall()


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, project: Path) -> tuple[Path, Path]:
    """Two courses, graded by a person in between and then again, one by us and one by stock nbgrader."""
    ours = make_course(tmp_path_factory.mktemp("again") / "ours", project)
    for student in ("changed", "same", "untouched"):
        put(ours, student, "partly")
        answered = ours / f"submitted/{student}/tiny/tiny.ipynb"
        answered.write_text(answered.read_text().replace("*Student exercise: replace", "*Because"))
    stock = Path(shutil.copytree(ours, ours.parent / "stock"))
    nbgrader(stock, "generate_assignment", "tiny", "--force")

    def grade(again: bool) -> None:
        grade_all(ours, "tiny", find_submissions(ours / "submitted", "tiny"), workers=2, resume=not again)
        nbgrader(stock, "autograde", "tiny", "--force")

    grade(again=False)
    for root in (ours, stock):
        for student in ("changed", "same"):
            give(root, student, why=3.0, test_area=1.0)
        put(root, "changed", "right")
    grade(again=True)
    return ours, stock


@pytest.mark.timeout(600)
def test_grading_again_keeps_what_a_person_gave_as_nbgrader_does(twice: tuple[Path, Path]):
    ours, stock = twice
    (our_rows, our_comments), (stock_rows, stock_comments) = rows(ours), rows(stock)
    # Stock gives nothing to a right answer whose test writes to stderr; the rest of the row is the same.
    but = {(row[0], "test_add_step") for row in our_rows}
    assert [row for row in our_rows if row[:2] not in but] == [row for row in stock_rows if row[:2] not in but]
    assert our_comments == stock_comments and comments(ours) == comments(stock)
    assert ("same", "why", None, 3.0, 1) in our_rows and ("changed", "test_area", 3.0, 1.0, 1) in our_rows
    assert ("untouched", "test_area", 0.0, None, 0) in our_rows


@pytest.mark.timeout(600)
def test_what_was_graded_before_and_not_since_waits_for_no_person_again(twice: tuple[Path, Path]):
    ours, _ = twice
    give(ours, "same", why=4.0)
    before = rows(ours)
    grade_all(ours, "tiny", find_submissions(ours / "submitted", "tiny"), workers=2)
    assert rows(ours) == before
    assert ("same", "why", None, 4.0, 0) in before[0]


LATE = {
    "early": "2026-01-01 09:00:00 UTC",
    "hour": "2026-01-01 11:00:00 UTC",
    "minutes": "2026-01-01 10:06:00 UTC",
    "more-than-all": "2026-01-02 10:00:00 UTC",
    "negative": "2026-01-02 10:00:00 UTC",
    "none": "2026-01-02 10:00:00 UTC",
    "undated": "",
}
_PENALTIES = """
SELECT sa.student_id, sn.late_submission_penalty, sa.timestamp FROM submitted_notebook sn
JOIN submitted_assignment sa ON sa.id = sn.assignment_id ORDER BY 1
"""


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory, project: Path) -> tuple[Path, Path]:
    """Two courses with late submissions and a plugin of the instructor's; one graded by us, one by stock nbgrader."""
    ours = make_course(tmp_path_factory.mktemp("late") / "ours", project)
    with (ours / "nbgrader_config.py").open("a") as config:
        config.write(PENALTIES)
    (ours / "late_by_name.py").write_text(LATE_BY_NAME)
    for student, moment in LATE.items():
        put(ours, student, "right")
        if moment:
            (ours / f"submitted/{student}/tiny/timestamp.txt").write_text(moment)
    stock = Path(shutil.copytree(ours, ours.parent / "stock"))
    for root in (ours, stock):
        nbgrader(root, "generate_assignment", "tiny", "--force")
        nbgrader(root, "db", "assignment", "add", "tiny", "--duedate=2026-01-01 10:00:00 UTC")
    environment = os.environ | {"PYTHONPATH": f"{ours}{os.pathsep}{project}"}
    command = [sys.executable, "-m", "helpers.course", "grade", "tiny", "--workers=2"]
    subprocess.run(command, cwd=ours, env=environment, check=True, capture_output=True, timeout=300)
    nbgrader(stock, "autograde", "tiny")
    return ours, stock


@pytest.mark.timeout(600)
def test_late_penalties_are_those_of_stock_nbgrader(late: tuple[Path, Path]):
    found = []
    for root in late:
        with sqlite3.connect(root / "gradebook.db") as connection:
            found.append(connection.execute(_PENALTIES).fetchall())
    by_student = {row[0]: row[1] for row in found[0]}
    assert by_student["early"] is None and by_student["minutes"] == pytest.approx(0.1) and by_student["hour"] == 1
    # Stock gives these nothing for the first task, whose test writes to stderr, so there is less to take off.
    assert (by_student.pop("more-than-all"), dict(row[:2] for row in found[1])["more-than-all"]) == (5, 3)
    assert [row for row in found[0] if row[0] in by_student] == [row for row in found[1] if row[0] in by_student]


@pytest.mark.timeout(600)
def test_a_penalty_is_taken_off_in_feedback_and_export(late: tuple[Path, Path]):
    ours, _ = late
    assert kept.verdicts(ours, "tiny")["hour"].late_penalty == 1
    kept.write_feedback(ours, "tiny")
    assert "4 of 9 points, after 1 taken off for being late" in text_of(feedback_of(ours, "hour"))
    totals = {row["student"]: row["total"] for row in export.read_grades(ours / "gradebook.db")}
    assert totals["hour"] == 4 and totals["more-than-all"] == 0 and totals["undated"] == 5


@pytest.mark.timeout(600)
def test_nbgrader_exports_what_we_graded(late: tuple[Path, Path]):
    ours, _ = late
    nbgrader(ours, "export", "--to", "exported.csv")
    with (ours / "exported.csv").open(newline="") as file:
        exported = {row["student_id"]: row for row in csv.DictReader(file)}
    for row in export.read_grades(ours / "gradebook.db"):
        other = exported[row["student"]]
        assert float(other["score"]) == row["total"] and float(other["max_score"]) == row["points"] == 9
