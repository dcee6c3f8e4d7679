"""`course grade`: grades the submissions of a lab and prints what each one scored."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from helpers.course.project import CourseError, find_labs, find_root, skip_slow_grammars
from helpers.grading.engine import Engine, PreparationError, Verdict
from helpers.grading.intake import find_students

NO_SANDBOX = """\
this version executes submissions without a sandbox: their code runs as you, and can read your files, your credentials
and the gradebook. Grade in a machine of its own and say --no-sandbox to go on."""


def grade(
    lab: Annotated[str, typer.Argument(help="The lab, for example fraud.")],
    submitted: Annotated[Path | None, typer.Option(help="Folder <student>/<lab>/; by default submitted/.")] = None,
    student: Annotated[list[str] | None, typer.Option(help="Only this student; repeatable.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Submissions at the same time.")] = 1,
    no_sandbox: Annotated[bool, typer.Option("--no-sandbox", help="Execute without a sandbox.")] = False,
) -> None:
    """Grade the submissions of a lab."""
    root = find_root()
    find_labs(root, [lab])
    folder = (submitted or root / "submitted").resolve()
    students = _students(folder, lab, student or [])
    if not no_sandbox:
        raise CourseError(NO_SANDBOX)
    if workers > 1:
        raise CourseError(f"--workers {workers}: without a sandbox submissions run one after the other. Leave it out.")
    typer.secho("warning: submissions execute without a sandbox, with your rights", err=True, fg="yellow")
    verdicts = grade_all(root, lab, folder, students)
    print_verdicts(lab, verdicts)
    typer.echo(f"gradebook: {root / 'gradebook.db'}, feedback: {root / 'feedback'}, notebooks: {root / 'autograded'}")
    if refused := [verdict.student for verdict in verdicts if verdict.refusal]:
        raise CourseError(f"{len(refused)} of {len(verdicts)} submissions not graded: {', '.join(refused)}")


def grade_all(root: Path, lab: str, submitted: Path, students: list[str]) -> list[Verdict]:
    """Grade the students' submissions one after the other; a damaged one does not stop the others.

    Raises:
        CourseError: the lab itself cannot be graded.
    """
    skip_slow_grammars()
    from helpers.course.labs import nbgrader_config

    with tempfile.TemporaryDirectory(prefix="course-grade-") as scratch:
        try:
            engine = Engine(root, lab, Path(scratch), nbgrader_config(root, Path(scratch)))
        except PreparationError as error:
            raise CourseError(str(error)) from error
        verdicts = []
        for number, student in enumerate(students, 1):
            verdict = engine.grade(student, submitted / student / lab)
            outcome = verdict.refusal or f"{verdict.total:g} of {verdict.points:g}"
            typer.echo(f"[{number}/{len(students)}] {student}: {outcome}")
            for note in verdict.notes:
                typer.echo(f"    {note}")
            verdicts.append(verdict)
    return verdicts


def print_verdicts(lab: str, verdicts: list[Verdict]) -> None:
    """Print one row per student, one numbered column per task, and below what the numbers mean."""
    tasks = {task.task: task.points for verdict in verdicts for task in verdict.tasks}
    table = Table("student", title=f"Lab {lab}")
    for number in range(1, len(tasks) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    for verdict in verdicts:
        if verdict.refusal:
            table.add_row(escape(verdict.student), *["-"] * len(tasks), "not graded")
            continue
        scores = {task.task: "open" if task.score is None else f"{task.score:g}" for task in verdict.tasks}
        more = " + open" if verdict.open_tasks else ""
        table.add_row(escape(verdict.student), *[scores.get(task, "-") for task in tasks], f"{verdict.total:g}{more}")
    Console().print(table)
    for number, (task, points) in enumerate(tasks.items(), 1):
        typer.echo(f"{number:>3}  {task} ({points:g} points)")


def _students(folder: Path, lab: str, wanted: list[str]) -> list[str]:
    if not folder.is_dir():
        raise CourseError(
            f"no folder {folder}: put submissions into <student>/{lab}/ there, or name one by --submitted"
        )
    found = find_students(folder, lab)
    if unknown := sorted(set(wanted) - set(found)):
        raise CourseError(f"no submission of {', '.join(unknown)} for lab {lab} in {folder}")
    if not found:
        raise CourseError(f"no submission for lab {lab} in {folder}: they lie in <student>/{lab}/{lab}.ipynb")
    return [student for student in found if not wanted or student in wanted]
