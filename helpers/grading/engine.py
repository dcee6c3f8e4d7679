"""Grades submissions one after the other through nbgrader, in this machine's own Python and without a sandbox."""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.grading.intake import Refused, read_submission
from helpers.grading.repair import repair

SMOKE_ENVIRONMENT = {"COURSE_SCALE": "smoke", "COURSE_BACKEND": "local"}


@dataclass(frozen=True)
class TaskScore:
    """A student's score in one graded cell.

    Attributes:
        task: its grade_id.
        score: points, None if a person still has to give them.
        points: that the cell is worth.
    """

    task: str
    score: float | None
    points: float


@dataclass(frozen=True)
class Verdict:
    """What became of one submission.

    Attributes:
        student: the student's id.
        tasks: in the order of the notebook; empty if it could not be graded.
        notes: what was mended before it ran.
        refusal: why it could not be graded; empty if it was.
    """

    student: str
    tasks: list[TaskScore] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusal: str = ""

    @property
    def total(self) -> float:
        """Points given so far."""
        return sum(task.score or 0.0 for task in self.tasks)

    @property
    def points(self) -> float:
        """Points that the lab is worth."""
        return sum(task.points for task in self.tasks)

    @property
    def open_tasks(self) -> list[str]:
        """Tasks that a person still has to grade."""
        return [task.task for task in self.tasks if task.score is None]


class PreparationError(Exception):
    """The lab itself cannot be graded; the message says why and what to do."""


class Engine:
    """Grades submissions of one lab into a gradebook.

    Attributes:
        root: the course's folder: source/, nbgrader_config.py; autograded/, feedback/ and gradebook.db are written.
        lab: the lab's name.
        scratch: an empty folder where the submissions are copied and run.
    """

    def __init__(self, root: Path, lab: str, scratch: Path, config: Any) -> None:
        """Put the lab's cells into the gradebook.

        Args:
            root: the course's folder.
            lab: the lab's name.
            scratch: an empty folder.
            config: traitlets settings of the course; a copy is changed.

        Raises:
            PreparationError: the lab has no source notebook, or the gradebook holds grades of an older version of it.
        """
        self.root, self.lab, self.scratch = root, lab, scratch
        if not (root / "source" / lab / f"{lab}.ipynb").is_file():
            raise PreparationError(f"source/{lab}/{lab}.ipynb does not exist: run `course labs {lab}` first")
        self.config = config.copy()
        self.config.CourseDirectory.root = str(scratch)
        self.config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}?timeout=60"
        self.config.CourseDirectory.assignment_id = lab
        shutil.copytree(root / "source" / lab, scratch / "source" / lab)
        self.release = self._prepare()

    def grade(self, student: str, folder: Path) -> Verdict:
        """Take one submission in, mend it, execute it and store its grades, autograded notebook and feedback."""
        try:
            submitted = read_submission(folder, self.lab, student)
        except Refused as refusal:
            return Verdict(student, refusal=str(refusal))
        notebook, notes = repair(submitted, self.release)
        self._stage(student, notebook, folder)
        try:
            with self._environment(student):
                self._autograde(student)
                self._feedback(student)
        except (Exception, SystemExit) as error:
            return Verdict(student, notes=notes, refusal=f"execution broke off: {_one_line(error)}")
        self._publish(student)
        return Verdict(student, self._scores(student), notes)

    def _prepare(self) -> Any:
        import nbformat
        from nbgrader.converters import GenerateAssignment

        try:
            _convert(self._converter(GenerateAssignment))
        except (Exception, SystemExit) as error:
            raise PreparationError(
                f"nbgrader could not take lab {self.lab} into {self.root / 'gradebook.db'}: {_one_line(error)}. If the "
                "lab's cells changed since it was graded, move the gradebook away and grade again."
            ) from error
        path = self.scratch / "release" / self.lab / f"{self.lab}.ipynb"
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)

    def _converter(self, kind: type, **changes: Any) -> Any:
        from nbgrader.coursedir import CourseDirectory

        logging.getLogger("traitlets").setLevel(logging.CRITICAL)
        config = self.config.copy()
        config.CourseDirectory.update(changes)
        converter = kind(coursedir=CourseDirectory(config=config), config=config)
        converter.force = True
        return converter

    def _stage(self, student: str, notebook: Any, folder: Path) -> None:
        """The mended notebook, the lab's own files, and nothing else: a student's pandas.py must not be imported."""
        target = self.scratch / "submitted" / student / self.lab
        target.mkdir(parents=True)
        (target / f"{self.lab}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        timestamp = folder / "timestamp.txt"
        if timestamp.is_file():
            shutil.copyfile(timestamp, target / "timestamp.txt")

    def _autograde(self, student: str) -> None:
        from nbgrader.converters import Autograde

        from helpers.grading.warnings_aside import WarningsAside

        converter = self._converter(Autograde, student_id=student)
        steps = list(converter.autograde_preprocessors)
        converter.autograde_preprocessors = [steps[0], WarningsAside, *steps[1:]]
        _convert(converter)

    def _feedback(self, student: str) -> None:
        from nbgrader.converters import GenerateFeedback

        _convert(self._converter(GenerateFeedback, student_id=student))

    @contextmanager
    def _environment(self, student: str) -> Iterator[None]:
        """Smoke scale, and a local SageMaker of the submission's own, stopped afterwards."""
        from helpers import local_sagemaker

        home = self.scratch / "sagemaker" / student
        home.mkdir(parents=True)
        before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith(("AWS_", "SAGEMAKER_")) or name == "COURSE_LEDGER"]:
            del os.environ[name]
        os.environ.update(SMOKE_ENVIRONMENT, LOCAL_SAGEMAKER_HOME=str(home))
        try:
            yield
        finally:
            local_sagemaker.stop(home)
            os.environ.clear()
            os.environ.update(before)

    def _publish(self, student: str) -> None:
        for kind in ("autograded", "feedback"):
            target = self.root / kind / student / self.lab
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(self.scratch / kind / student / self.lab, target, copy_function=shutil.copyfile)

    def _scores(self, student: str) -> list[TaskScore]:
        from nbgrader.api import Gradebook

        order = [cell.metadata.nbgrader.grade_id for cell in self.release.cells if "nbgrader" in cell.metadata]
        with Gradebook(self.config.CourseDirectory.db_url) as gradebook:
            notebook = gradebook.find_submission_notebook(self.lab, self.lab, student)
            rows = [
                TaskScore(grade.name, None if grade.needs_manual_grade else float(grade.score), float(grade.max_score))
                for grade in notebook.grades
            ]
        return sorted(rows, key=lambda row: order.index(row.task))


def _convert(converter: Any) -> None:
    """Run a converter of nbgrader without SQLAlchemy's remarks on how nbgrader builds its rows."""
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        converter.start()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
