"""`course run`: executes every solution headless and says what it took and what it would cost on AWS."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helpers.course.execute import Outcome, digest, execute_lab, read_stamp, write_stamp
from helpers.course.project import CourseError, Lab, find_labs, find_root, skip_slow_grammars
from helpers.session import BACKENDS, scale

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOWEST_CELLS = 3


def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="[LAB]...", help="Labs to run; all by default.")] = None,
    backend: Annotated[str, typer.Option(help="local or aws; by default COURSE_BACKEND.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="A parameter of the labs; repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Labs to run at the same time.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Also run labs whose inputs did not change.")] = False,
) -> None:
    """Execute every solution headless, with times and costs."""
    root = find_root()
    chosen = find_labs(root, names)
    backend = backend or os.environ.get("COURSE_BACKEND", "local")
    if backend not in BACKENDS:
        raise CourseError(f"--backend must be {' or '.join(BACKENDS)}, got {backend!r}")
    given = parse_parameters(parameters or [])
    for lab in chosen:
        _check_runnable(root, lab, given)
    os.environ["COURSE_BACKEND"] = backend
    outcomes = run_labs(root, chosen, given, backend, jobs, force)
    from helpers.course.report import print_costs, print_failures, print_times, write_junit

    report = root / "_build" / "labs" / "junit.xml"
    write_junit(report, outcomes)
    print_times(outcomes, SLOWEST_CELLS)
    print_costs(outcomes)
    typer.echo(f"executed notebooks: {report.parent}, JUnit file: {report}")
    if failed := [outcome for outcome in outcomes if outcome.failure]:
        print_failures(failed)
        raise CourseError(
            f"{len(failed)} of {len(outcomes)} labs failed: {', '.join(outcome.lab for outcome in failed)}"
        )


def run_labs(
    root: Path, chosen: list[Lab], parameters: dict[str, Any], backend: str, jobs: int = 1, force: bool = False
) -> list[Outcome]:
    """Execute the labs whose inputs changed since they last ran well; the others' outcome is the kept one.

    Args:
        root: the course's folder.
        chosen: the labs, in the order of the result.
        parameters: papermill's.
        backend: "local" or "aws".
        jobs: labs that run at the same time.
        force: run the unchanged ones too.
    """
    folder = root / "_build" / "labs"
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    digests = {lab.name: digest(root, lab.name, parameters, scale(), backend) for lab in chosen}
    for lab in chosen:
        kept = None if force else read_stamp(folder, lab.name, digests[lab.name])
        if kept:
            outcomes[lab.name] = kept
    waiting = [lab for lab in chosen if lab.name not in outcomes]
    if waiting:
        with _local_sagemaker(root, backend), tempfile.TemporaryDirectory(prefix="course-run-") as scratch:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=context) as pool:
                futures = [
                    pool.submit(execute_lab, root, lab.name, parameters, folder, Path(scratch)) for lab in waiting
                ]
                try:
                    for future in as_completed(futures):
                        outcome = future.result()
                        outcomes[outcome.lab] = outcome
                        write_stamp(folder, outcome, digests[outcome.lab])
                        state = "failed" if outcome.failure else "done"
                        typer.echo(f"{outcome.lab}: {state} in {outcome.seconds:.1f} s")
                except KeyboardInterrupt:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
    return [outcomes[lab.name] for lab in chosen]


def parse_parameters(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs as papermill's parameters: numbers, true and false, lists as in YAML.

    Raises:
        CourseError: a pair has no `=`.
    """
    import yaml

    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise CourseError(f"-p takes a name and a value, got {pair!r}: write -p NAME VALUE")
        values[name] = yaml.safe_load(value)
    return values


def _check_runnable(root: Path, lab: Lab, parameters: dict[str, Any]) -> None:
    notebook = root / "source" / lab.name / f"{lab.name}.ipynb"
    if not notebook.is_file():
        raise CourseError(f"{notebook.relative_to(root)} does not exist: run `course labs {lab.name}` first")
    if parameters:
        skip_slow_grammars()
        import papermill

        known = papermill.inspect_notebook(str(notebook))
        if unknown := sorted(set(parameters) - set(known)):
            raise CourseError(
                f"lab {lab.name} has no parameter {', '.join(unknown)}; it has: {', '.join(known) or 'none'}"
            )


@contextmanager
def _local_sagemaker(root: Path, backend: str) -> Iterator[None]:
    """The course's local SageMaker for the duration of the run; one that ran before stays."""
    if backend != "local":
        yield
        return
    from helpers import local_sagemaker

    home = Path(os.environ.setdefault("LOCAL_SAGEMAKER_HOME", str(root / ".sagemaker"))).resolve()
    os.environ["LOCAL_SAGEMAKER_HOME"] = str(home)
    ran_before = local_sagemaker.status(home) is not None
    try:
        local_sagemaker.start(home)
        yield
    finally:
        if not ran_before:
            local_sagemaker.stop(home)
