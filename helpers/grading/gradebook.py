"""nbgrader's gradebook, written by one process: a submission's rows and its verdict in one transaction."""

from __future__ import annotations

import datetime
import fcntl
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.grading.files import scratch_folder, temporary_files_in
from helpers.grading.verdict import Verdict

_KEPT = """
CREATE TABLE IF NOT EXISTS course_verdict (
    lab TEXT NOT NULL, student TEXT NOT NULL, key TEXT NOT NULL, verdict TEXT NOT NULL, graded TEXT NOT NULL,
    PRIMARY KEY (lab, student)
)
"""


class PreparationError(Exception):
    """The lab itself cannot be graded; the message says why and what to do."""


class GradebookWriter:
    """The only writer of a course's gradebook while submissions are graded.

    Args:
        root: the course's folder, with source/ and nbgrader_config.py.
        lab: the lab's name.
        config: traitlets settings of the course.

    Attributes:
        release: the lab's released notebook, nbformat.

    Raises:
        PreparationError: the lab has no source notebook, the gradebook holds grades of an older version of it, or
            another grader is at work on it.
    """

    def __init__(self, root: Path, lab: str, config: Any) -> None:
        self.root, self.lab = root, lab
        if not (root / "source" / lab / f"{lab}.ipynb").is_file():
            raise PreparationError(f"source/{lab}/{lab}.ipynb does not exist: run `course labs {lab}` first")
        self._config = config.copy()
        self._config.CourseDirectory.db_url = self.url = f"sqlite:///{root / 'gradebook.db'}?timeout=60"
        self._config.CourseDirectory.assignment_id = lab
        self._lock = _only_writer(root)
        try:
            with scratch_folder("course-lab-") as scratch, temporary_files_in(scratch):
                self._make_gradebook(scratch)
                self.release = self._take_in_lab(scratch)
                self._gradebook = _open(self.url)
        except BaseException:
            os.close(self._lock)
            raise
        with _quiet():
            self._lab = self._gradebook.find_assignment(lab)
            self._notebook = self._gradebook.find_notebook(lab, lab)
            self._cells = {cell.name: cell for cell in (*self._notebook.grade_cells, *self._notebook.solution_cells)}
        self._late = self._late_penalties()

    def close(self) -> None:
        """Close the database."""
        self._gradebook.close()
        os.close(self._lock)

    def keys(self) -> dict[str, str]:
        """The key of each student's verdict that is in the gradebook."""
        return dict(self._execute("SELECT student, key FROM course_verdict WHERE lab = :lab", lab=self.lab))

    def verdict(self, student: str) -> Verdict:
        """A student's verdict."""
        statement = "SELECT verdict FROM course_verdict WHERE lab = :lab AND student = :student"
        [(kept,)] = self._execute(statement, lab=self.lab, student=student)
        return Verdict.from_dict(json.loads(kept))

    def write(
        self, verdict: Verdict, key: str, unanswered: set[str], timestamp: datetime.datetime | None = None
    ) -> None:
        """Write one verdict; a refused submission keeps the rows that an earlier one may have.

        Args:
            verdict: of one submission.
            key: tells whether a later run may take the verdict over.
            unanswered: grade_ids of the solution cells that are as released.
            timestamp: when it was submitted, UTC without a zone.
        """
        with _quiet():
            if not verdict.refusal:
                self._write_rows(verdict, unanswered, timestamp)
            kept = json.dumps(verdict.as_dict())
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            values = {"lab": self.lab, "student": verdict.student, "key": key, "verdict": kept, "graded": now}
            self._execute(
                "INSERT OR REPLACE INTO course_verdict VALUES (:lab, :student, :key, :verdict, :graded)", **values
            )
            self._gradebook.db.commit()

    def _write_rows(self, verdict: Verdict, unanswered: set[str], timestamp: datetime.datetime | None) -> None:
        submission = self._submission(verdict.student)
        submission.timestamp = timestamp
        [notebook] = submission.notebooks
        tasks = {task.task: task for task in verdict.tasks}
        flagged = bool(verdict.flags)
        for grade in notebook.grades:
            task = tasks[grade.cell.name]
            grade.auto_score = task.score
            grade.needs_manual_grade = task.score is None or grade.manual_score is not None or flagged
        for comment in notebook.comments:
            comment.auto_comment = "No response." if comment.cell.name in unanswered else None
        notebook.late_submission_penalty = None
        self._gradebook.db.flush()
        self._gradebook.db.expire(notebook)
        if submission.total_seconds_late > 0:
            penalty = self._late.late_submission_penalty(verdict.student, notebook.score, submission.total_seconds_late)
            notebook.late_submission_penalty = None if penalty is None else min(max(penalty, 0), notebook.score)

    def _submission(self, student: str) -> Any:
        """The student's submission with its rows, made if there is none."""
        from nbgrader import api

        session = self._gradebook.db
        entry = session.get(api.Student, student)
        if entry is None:
            entry = api.Student(id=student)
            session.add(entry)
        found = session.query(api.SubmittedAssignment).filter_by(assignment_id=self._lab.id, student_id=student).first()
        if found is not None:
            return found
        submission = api.SubmittedAssignment(assignment=self._lab, student=entry)
        notebook = api.SubmittedNotebook(notebook=self._notebook, assignment=submission)
        for cell in self._notebook.grade_cells:
            api.Grade(cell_id=cell.id, cell=cell, notebook=notebook)
        for cell in self._notebook.solution_cells:
            api.Comment(cell_id=cell.id, cell=cell, notebook=notebook)
        session.add(submission)
        return submission

    def _execute(self, statement: str, **values: Any) -> list[tuple]:
        from sqlalchemy import text

        self._gradebook.db.execute(text(_KEPT))
        answer = self._gradebook.db.execute(text(statement), values)
        return [tuple(row) for row in answer] if answer.returns_rows else []

    def _make_gradebook(self, scratch: Path) -> None:
        """If there is none: made aside, because one that is made by halves stays so."""
        path = self.root / "gradebook.db"
        if path.exists():
            return
        _open(f"sqlite:///{scratch / path.name}").close()
        new = path.with_name(f".new-{path.name}")
        try:
            shutil.copyfile(scratch / path.name, new)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def _take_in_lab(self, scratch: Path) -> Any:
        """Has nbgrader put the lab's cells into the gradebook, and reads the release that it makes meanwhile."""
        import nbformat
        from nbgrader.converters import GenerateAssignment
        from nbgrader.coursedir import CourseDirectory

        shutil.copytree(self.root / "source" / self.lab, scratch / "source" / self.lab)
        config = self._config.copy()
        config.CourseDirectory.root = str(scratch)
        logging.getLogger("traitlets").setLevel(logging.CRITICAL)
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        converter.force = True
        try:
            with _quiet():
                converter.start()
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise PreparationError(
                f"nbgrader could not take lab {self.lab} into {self.root / 'gradebook.db'}: {reason}. If the lab's "
                "cells changed since it was graded, move the gradebook away and grade again."
            ) from error
        path = scratch / "release" / self.lab / f"{self.lab}.ipynb"
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)

    def _late_penalties(self) -> Any:
        from nbgrader.preprocessors import AssignLatePenalties

        step = AssignLatePenalties(config=self._config)
        return step.plugin_class(parent=step)


def _only_writer(root: Path) -> int:
    """The descriptor of a folder whose lock says that somebody grades in this course."""
    lock = os.open(root / "source", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise PreparationError(f"another `course grade` is at work in {root}: wait for it, or stop it") from None
    except OSError:  # a file system without locks
        return lock
    return lock


def _open(url: str) -> Any:
    from nbgrader.api import Gradebook

    with _quiet():
        return Gradebook(url)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without SQLAlchemy's remarks on how nbgrader builds its rows."""
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield
