"""`course report`: what the instructor should know about a graded lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from helpers.course.project import CourseError, find_labs, find_root, skip_slow_grammars


def report(
    lab: Annotated[str, typer.Argument(help="The lab, for example fraud.")],
    to: Annotated[Path | None, typer.Option(help="The page to write; by default _build/report/<lab>.html.")] = None,
) -> None:
    """Write the instructor's report on a lab as a page with figures."""
    root = find_root()
    find_labs(root, [lab])
    skip_slow_grammars()
    import nbformat

    from helpers.grading import insight, kept, similarity
    from helpers.grading.files import write_file

    try:
        verdicts = kept.verdicts(root, lab)
        answers = kept.answers(root, lab)
    except kept.NothingKept as error:
        raise CourseError(str(error)) from error
    release = nbformat.reads((root / "release" / lab / f"{lab}.ipynb").read_text(encoding="utf-8"), as_version=4)
    released = kept.solutions(release)
    pairs = similarity.similar_pairs(answers, released)
    path = to or root / "_build" / "report" / f"{lab}.html"
    write_file(path, insight.report(lab, list(verdicts.values()), pairs, answers, released))
    typer.echo(f"{len(verdicts)} submissions: {path.resolve()}")
