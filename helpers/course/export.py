"""`course export`: the gradebook as a table for other systems."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

from helpers.course.project import CourseError, find_root, put_environment_on_path, skip_slow_grammars

FORMATS = ("csv", "canvas", "moodle")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export(
    layout: Annotated[str, typer.Option("--format", help="csv; canvas and moodle are not there yet.")] = "csv",
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("grades.csv"),
) -> None:
    """Write the gradebook as a table, one row per student and lab, one column per task."""
    if layout not in FORMATS:
        raise CourseError(f"--format must be one of {', '.join(FORMATS)}, got {layout!r}")
    if layout != "csv":
        raise CourseError(f"--format {layout} is not made by this version: use --format csv and map its columns")
    root = find_root()
    database = root / "gradebook.db"
    if not database.is_file():
        raise CourseError(f"no gradebook at {database}: run `course grade LAB` first")
    rows = read_grades(database)
    write_csv(to, rows)
    typer.echo(f"{len(rows)} rows: {to.resolve()}")


def read_grades(database: Path) -> list[dict[str, Any]]:
    """One dict per submission: student, lab, each task's score (empty if a person must give it), total, points."""
    put_environment_on_path()
    skip_slow_grammars()
    from nbgrader.api import Gradebook

    rows = []
    with Gradebook(f"sqlite:///{database}") as gradebook:
        for assignment in gradebook.assignments:
            for submission in sorted(assignment.submissions, key=lambda entry: entry.student_id):
                row: dict[str, Any] = {"student": submission.student_id, "lab": assignment.name}
                for notebook in submission.notebooks:
                    for grade in notebook.grades:
                        row[grade.name] = "" if grade.needs_manual_grade else grade.score
                rows.append(row | {"total": submission.score, "points": submission.max_score})
    return rows


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV whose text no spreadsheet takes for a formula."""
    last = ("total", "points")
    columns: dict[str, None] = defaultdict(None)
    for row in rows:
        columns.update(dict.fromkeys(row))
    names = [name for name in columns if name not in last] or ["student", "lab"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, *last], restval="")
        writer.writeheader()
        writer.writerows({key: as_text(value) for key, value in row.items()} for row in rows)


def as_text(value: Any) -> Any:
    """A cell's value; text that begins like a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
