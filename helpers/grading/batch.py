"""Grades many submissions: intake and the gradebook here, execution wherever the runner puts it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from helpers.grading import backends, feedback
from helpers.grading.files import write_file
from helpers.grading.gradebook import GradebookWriter
from helpers.grading.intake import Refused, Submission
from helpers.grading.pool import Job, Package, Said
from helpers.grading.repair import repair
from helpers.grading.software import software
from helpers.grading.verdict import TaskVerdict, Verdict


class Runner(Protocol):
    """Executes submissions: `pool.Local` in processes of this machine, `cluster.Cluster` on Dask."""

    def run(self, package: Package, jobs: Iterable[Job]) -> Generator[Said]:
        """Each job's name and what `worker.Worker.grade` said of its cells, in the order of completion.

        Jobs are taken from the caller's thread, as they are needed; closing the generator ends what executes.
        """


@dataclass(frozen=True)
class Prepared:
    """A submission that was taken in and mended, and what a verdict on it is kept under."""

    submission: Submission
    notebook: Any
    notes: list[str]
    key: str


def grade(
    writer: GradebookWriter,
    package: Package,
    submissions: Iterable[Submission],
    runner: Runner,
    tell: Callable[[Verdict, bool], None],
    again: bool = False,
) -> list[Verdict]:
    """Grade submissions into the gradebook, the autograded notebooks and the feedback.

    Args:
        writer: the gradebook.
        package: the lab.
        submissions: as the intake found them.
        runner: where they execute.
        tell: called with each verdict, and True if it was taken over from an earlier run.
        again: also execute what was graded before, with the same tests and packages.

    Returns:
        The verdicts, in the order of the students.
    """
    kept, environment = writer.keys(), environment_key(package)
    verdicts: dict[str, Verdict] = {}
    waiting: dict[str, Prepared] = {}

    def jobs() -> Iterator[Job]:
        """What has to be executed; the others get their verdicts on the way."""
        for submission in submissions:
            student = submission.student
            try:
                notebook, notes = repair(submission.notebook(), writer.release)
            except Refused as refusal:
                verdicts[student] = verdict = Verdict(student, refusal=str(refusal))
                writer.write(verdict, f"refused: {refusal}", set())
                tell(verdict, False)
                continue
            prepared = Prepared(submission, notebook, notes, key_of(environment, notebook))
            if not again and kept.get(student) == prepared.key and _files_exist(writer, student):
                verdicts[student] = writer.verdict(student)
                tell(verdicts[student], True)
                continue
            waiting[student] = prepared
            yield student, _cells(notebook)

    with closing(runner.run(package, jobs())) as executed:
        for student, said in executed:
            verdicts[student] = verdict = _keep(writer, package, waiting.pop(student), said)
            tell(verdict, False)
    return [verdicts[student] for student in sorted(verdicts)]


def environment_key(package: Package) -> str:
    """A digest of all that a verdict depends on beside the submission: tests, files, limits, packages, this grader."""
    digest = hashlib.sha256(json.dumps(package.source, sort_keys=True).encode())
    for name in sorted(package.files):
        digest.update(name.encode() + hashlib.sha256(package.files[name]).digest())
    limits = [package.limits.as_dict(), package.backend != backends.NONE, package.threads]
    digest.update(json.dumps([limits, software()], sort_keys=True).encode())
    return digest.hexdigest()


def key_of(environment: str, notebook: Any) -> str:
    """What a verdict on this mended notebook is kept under."""
    sources = [[cell["cell_type"], cell["source"]] for cell in notebook.cells]
    return hashlib.sha256((environment + json.dumps(sources)).encode()).hexdigest()


def _cells(notebook: Any) -> list[dict[str, Any]]:
    """What the worker needs of the cells."""
    return [{name: cell[name] for name in ("cell_type", "source", "metadata")} for cell in notebook.cells]


def _keep(writer: GradebookWriter, package: Package, prepared: Prepared, said: dict[str, Any]) -> Verdict:
    """Make the verdict, write the notebook and the feedback, then the rows: a crash between leaves it to be redone."""
    student = prepared.submission.student
    by_place = {entry["cell"]: entry for entry in said["cells"]}
    unanswered = _unanswered(prepared.notebook, writer.release)
    tasks, flags = [], []
    for place, cell in enumerate(prepared.notebook.cells):
        options = cell.metadata.get("nbgrader", {})
        if not options.get("grade"):
            continue
        name, points = options["grade_id"], float(options["points"])
        if options["solution"] or cell.cell_type != "code":
            score = 0.0 if name in unanswered else None
            tasks.append(TaskVerdict(name, score, points, reason="no answer" if score == 0 else ""))
            continue
        result = by_place.get(place, {}).get("test")
        if result is None:
            tasks.append(TaskVerdict(name, 0.0, points, reason=f"not reached: {said['broken'] or 'unknown'}"))
            continue
        flags += [f"{name}: {flag}" for flag in result.pop("flags")]
        tasks.append(TaskVerdict(**result | {"traceback": tuple(result["traceback"])}))
    if said["broken"]:
        flags.append(said["broken"])
    measured = {"seconds": said["seconds"], "memory": said.get("memory")}
    verdict = Verdict(student, tuple(tasks), tuple(prepared.notes), "", tuple(flags), **measured)
    _write_files(writer, package, prepared, by_place, verdict)
    key = f"given up: {said['broken']}" if said.get("given_up") else prepared.key
    writer.write(verdict, key, unanswered, prepared.submission.timestamp())
    return verdict


def _unanswered(notebook: Any, release: Any) -> set[str]:
    """Solution cells that are as released."""
    released = {cell.metadata.nbgrader.grade_id: cell.source for cell in release.cells if "nbgrader" in cell.metadata}
    found = set()
    for cell in notebook.cells:
        options = cell.metadata.get("nbgrader", {})
        if options.get("solution") and cell.source.strip() == released[options["grade_id"]].strip():
            found.add(options["grade_id"])
    return found


def _write_files(
    writer: GradebookWriter, package: Package, prepared: Prepared, by_place: dict[int, dict[str, Any]], verdict: Verdict
) -> None:
    student, lab = verdict.student, writer.lab
    notebook = feedback.executed(prepared.notebook, by_place, verdict)
    page = feedback.page(notebook, verdict, lab)
    full = feedback.for_instructor(notebook, package.source, writer.release)
    write_file(writer.root / "feedback" / student / lab / f"{lab}.html", page)
    folder = writer.root / "autograded" / student / lab
    moment = prepared.submission.timestamp()
    if moment is not None:
        write_file(folder / "timestamp.txt", f"{moment:%Y-%m-%d %H:%M:%S} UTC")
    write_file(folder / f"{lab}.ipynb", json.dumps(full, indent=1))


def _files_exist(writer: GradebookWriter, student: str) -> bool:
    names = (("autograded", f"{writer.lab}.ipynb"), ("feedback", f"{writer.lab}.html"))
    return all((writer.root / kind / student / writer.lab / name).is_file() for kind, name in names)
