"""`course grade`: grades the submissions of a lab, and prints what each one scored."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from helpers.course.project import CourseError, find_labs, find_root, put_environment_on_path, skip_slow_grammars
from helpers.grading import backends, downloads
from helpers.grading.files import scratch_folder
from helpers.grading.intake import RefusedSubmission, Submission, find_submissions
from helpers.grading.sandbox import SandboxError
from helpers.grading.verdict import Verdict

NAMED = 10  # students that a message names


def grade(
    lab: Annotated[str, typer.Argument(help="The lab, for example fraud.")],
    submitted: Annotated[
        Path | None,
        typer.Option(help="Folder <student>/<lab>/, folder of <student>.ipynb, or zip of Canvas or Moodle."),
    ] = None,
    student: Annotated[list[str] | None, typer.Option(help="Only this student; repeatable.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Submissions at the same time; by default one a core.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--again", help="Take over what was graded with the same tests and packages, or not."),
    ] = True,
    scheduler: Annotated[str | None, typer.Option(help="Of a Dask cluster, for example tcp://10.0.0.7:8786.")] = None,
    no_sandbox: Annotated[bool, typer.Option("--no-sandbox", help="Execute with your own rights.")] = False,
) -> None:
    """Grade the submissions of a lab."""
    root = find_root()
    find_labs(root, [lab])
    backend = choose_sandbox(no_sandbox, scheduler is not None)
    count = workers or os.cpu_count() or 1
    with scratch_folder("course-grade-") as unpacked:
        given = (submitted or root / "submitted").resolve()
        submissions = choose_submissions(given, lab, student or [], unpacked)
        verdicts = grade_all(root, lab, submissions, count, scheduler, resume, backend)
    print_verdicts(lab, verdicts)
    typer.echo(f"gradebook: {root / 'gradebook.db'}, feedback: {root / 'feedback'}, notebooks: {root / 'autograded'}")


def choose_sandbox(no_sandbox: bool, on_cluster: bool) -> str:
    """The sandbox that submissions execute in, said on the terminal; a warning if there is none.

    Raises:
        CourseError: none holds here, and nobody said to go without.
    """
    if no_sandbox:
        typer.secho("warning: submissions execute without a sandbox, with your rights", err=True, fg="yellow")
        return backends.NONE
    if on_cluster:
        typer.echo("sandbox: what each Dask worker's machine allows")
        return backends.NAMESPACES
    try:
        backend = backends.choose()
    except SandboxError as error:
        raise CourseError(str(error)) from error
    slower = ", which imports the lab's modules for each submission" if backend == backends.BUBBLEWRAP else ""
    typer.echo(f"sandbox: {backend}{slower}")
    return backend


def choose_submissions(given: Path, lab: str, wanted: list[str], unpacked: Path) -> list[Submission]:
    """The submissions of a lab, or those of the wanted students.

    Args:
        given: folder <student>/<lab>/, folder of <student>.ipynb, or a zip file of Canvas or Moodle.
        lab: the lab's name.
        wanted: students; all if it is empty.
        unpacked: an empty folder, for submissions that come otherwise than in <student>/<lab>/.

    Raises:
        CourseError: there is none, or one of the students has none.
    """
    if not given.exists():
        raise CourseError(f"no folder {given}: put submissions into <student>/{lab}/ there, or name one by --submitted")
    found = find_submissions(given, lab) if given.is_dir() else []
    if not found:
        try:
            refused = downloads.bring_into_layout(given, lab, unpacked)
        except downloads.DownloadError as error:
            raise CourseError(str(error)) from error
        found = [
            *find_submissions(unpacked, lab),
            *(RefusedSubmission(name, lab, why) for name, why in refused.items()),
        ]
    if unknown := sorted(set(wanted) - {submission.student for submission in found}):
        raise CourseError(f"no submission of {', '.join(unknown)} for lab {lab} in {given}")
    chosen = [submission for submission in found if not wanted or submission.student in wanted]
    return sorted(chosen, key=lambda submission: submission.student)


def grade_all(
    root: Path,
    lab: str,
    submissions: list[Submission],
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = True,
    backend: str = backends.NAMESPACES,
) -> list[Verdict]:
    """Grade submissions into the course's gradebook, with live progress.

    Args:
        root: the course's folder.
        lab: the lab's name.
        submissions: what the intake found.
        workers: of this machine, used without a scheduler.
        scheduler: address of a Dask scheduler.
        resume: take over what was graded with the same tests and packages.
        backend: the sandbox, one of `backends`; NONE executes with the caller's rights.

    Raises:
        CourseError: the lab itself cannot be graded, or a submission got no verdict; the message names those.
    """
    put_environment_on_path()
    skip_slow_grammars()
    from sqlalchemy.exc import OperationalError

    from helpers.course.labs import nbgrader_config
    from helpers.grading import batch, cluster, pool
    from helpers.grading.gradebook import GradebookWriter, PreparationError

    threads = max(1, (os.cpu_count() or 1) // workers)
    package = pool.read_package(root / "source" / lab, lab, backend=backend, threads=threads)
    waiting = dict.fromkeys(submission.student for submission in submissions)
    try:
        runner = cluster.Cluster(scheduler) if scheduler else pool.Local(workers)
        with closing(GradebookWriter(root, lab, nbgrader_config(root, root))) as writer, _progress(waiting) as tell:
            return batch.grade(writer, package, submissions, runner, tell, again=not resume)
    except PreparationError as error:
        raise CourseError(str(error)) from error
    except pool.WorkerDied as death:
        raise CourseError(f"no worker came up to grade with: {death}. {_without_verdict(waiting)}") from death
    except cluster.ClusterError as error:
        raise CourseError(f"{error}. {_without_verdict(waiting)}") from error
    except OperationalError as error:
        raise CourseError(f"cannot write {root / 'gradebook.db'}: {error.orig}. {_without_verdict(waiting)}") from error
    except OSError as error:
        raise CourseError(f"stopped: {error}. {_without_verdict(waiting)}") from error
    except KeyboardInterrupt:
        raise CourseError(f"interrupted. {_without_verdict(waiting)}", exit_code=130) from None


def _without_verdict(waiting: Collection[str]) -> str:
    """Who is still to be graded after a stop, and how to go on."""
    some = ", ".join(printable(student) for student in list(waiting)[:NAMED])
    more = f" and {len(waiting) - NAMED} more" if len(waiting) > NAMED else ""
    return (
        f"What was graded is in the gradebook; {len(waiting)} submissions have no verdict yet: {some}{more}. "
        "Run the command again to go on."
    )


@contextmanager
def _progress(waiting: dict[str, None]) -> Iterator:
    """A callback that shows each verdict as a line, and a bar with counts, speed and the time that remains.

    Args:
        waiting: the students; those with a verdict are taken out.
    """
    columns = (
        *(TextColumn("graded"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[counts]}")),
        *(TimeElapsedColumn(), TextColumn("remaining"), TimeRemainingColumn()),
    )
    count, begun = len(waiting), time.monotonic()
    refused = flagged = done = 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=count, counts="")

        def tell(verdict: Verdict, taken_over: bool) -> None:
            nonlocal refused, flagged, done
            done += 1
            waiting.pop(verdict.student, None)
            refused += bool(verdict.refusal)
            flagged += bool(verdict.flags)
            per_minute = 60 * done / max(time.monotonic() - begun, 1e-3)
            bar.update(task, advance=1, counts=f"{refused} refused, {flagged} flagged, {per_minute:.0f} a minute")
            outcome = verdict.refusal or f"{verdict.total:g} of {verdict.points:g}"
            more = ", taken over" if taken_over else ""
            typer.echo(printable(f"[{done}/{count}] {verdict.student}: {outcome}{more}"))
            for line in (*verdict.notes, *(f"flagged: {flag}" for flag in verdict.flags)):
                typer.echo(printable(f"    {line}"))

        yield tell


def printable(text: str) -> str:
    """Text without the characters by which a file's name could steer the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def print_verdicts(lab: str, verdicts: list[Verdict]) -> None:
    """Print one row per student, one numbered column per task, and below what the numbers mean."""
    tasks = {task.task: task.points for verdict in verdicts for task in verdict.tasks}
    table = Table("student", title=f"Lab {lab}")
    for number in range(1, len(tasks) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    for verdict in verdicts:
        if verdict.refusal:
            table.add_row(escape(printable(verdict.student)), *["-"] * len(tasks), "refused")
            continue
        scores = {task.task: "open" if task.score is None else f"{task.score:g}" for task in verdict.tasks}
        more = " + open" if verdict.open_tasks else ""
        flagged = ", flagged" if verdict.flags else ""
        columns = [scores.get(task, "-") for task in tasks]
        table.add_row(escape(printable(verdict.student)), *columns, f"{verdict.total:g}{more}{flagged}")
    Console().print(table)
    for number, (task, points) in enumerate(tasks.items(), 1):
        typer.echo(f"{number:>3}  {task} ({points:g} points)")
