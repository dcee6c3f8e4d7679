"""`course feedback`: the students' pages, with the scores and comments that a person added in formgrader."""

from __future__ import annotations

from typing import Annotated

import typer

from helpers.course.project import CourseError, find_labs, find_root, skip_slow_grammars


def feedback(lab: Annotated[str, typer.Argument(help="The lab, for example fraud.")]) -> None:
    """Write the feedback pages of a lab anew: feedback/<student>/<lab>/<lab>.html."""
    root = find_root()
    find_labs(root, [lab])
    skip_slow_grammars()
    from helpers.grading import kept

    try:
        count = kept.write_feedback(root, lab)
    except kept.NothingKept as error:
        raise CourseError(str(error)) from error
    typer.echo(f"{count} pages: {root / 'feedback'}")
