"""`course export`: the gradebook as a table for other systems."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from helpers.course.project import CourseError, find_root, put_environment_on_path, skip_slow_grammars
from helpers.grading.intake import STUDENT_ID

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", " ")
# Ids that course grade makes of the downloads of Canvas and Moodle end with the platform's own number.
_CANVAS_ID = re.compile(r"(?P<name>.+)_canvas(?P<id>\d+)")
_MOODLE_ID = re.compile(r"(?P<name>.+)_moodle(?P<id>\d+)")
Row = dict[str, Any]
NO_NOTE: Row = {"refused": "", "flagged": ""}


def export(
    layout: Annotated[str, typer.Option("--format", help="csv, canvas or moodle.")] = "csv",
    lab: Annotated[str | None, typer.Option(help="Only this lab; moodle takes one at a time.")] = None,
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("grades.csv"),
) -> None:
    """Write the gradebook as a table: every lab and task, or what Canvas or Moodle import."""
    if layout not in LAYOUTS:
        raise CourseError(f"--format must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    database = find_root() / "gradebook.db"
    if not database.is_file():
        raise CourseError(f"no gradebook at {database}: run `course grade LAB` first")
    rows = [row for row in read_grades(database) if lab in (None, row["lab"])]
    if not rows:
        raise CourseError(f"no grades of lab {lab} in {database}" if lab else f"no grades in {database}")
    table = LAYOUTS[layout](rows)
    write_csv(to, table)
    typer.echo(f"{len(table)} rows: {to.resolve()}")


def read_grades(database: Path) -> list[Row]:
    """One row per submission: student, lab, each task's score, total, points, refused, flagged, comments.

    The score of a task that a person must give, or look at, is empty. Comments are those that a person gave.
    """
    put_environment_on_path()
    skip_slow_grammars()
    from nbgrader.api import Gradebook

    notes = read_notes(database)
    rows = []
    with Gradebook(f"sqlite:///{database}") as gradebook:
        for assignment in gradebook.assignments:
            for submission in sorted(assignment.submissions, key=lambda entry: entry.student_id):
                row: Row = {"student": submission.student_id, "lab": assignment.name}
                for notebook in submission.notebooks:
                    for grade in notebook.grades:
                        row[grade.name] = "" if grade.needs_manual_grade else grade.score
                comments = sorted((e for book in submission.notebooks for e in book.comments), key=lambda e: e.name)
                told = "; ".join(f"{entry.name}: {entry.manual_comment}" for entry in comments if entry.manual_comment)
                note = notes.pop((assignment.name, submission.student_id), NO_NOTE)
                total = submission.score - submission.late_submission_penalty
                rows.append(row | {"total": total, "points": submission.max_score} | note | {"comments": told})
    rows += [{"student": student, "lab": name, "total": ""} | note for (name, student), note in notes.items()]
    return sorted(rows, key=lambda row: (row["lab"], row["student"]))


def read_notes(database: Path) -> dict[tuple[str, str], Row]:
    """Why `course grade` refused or flagged, by lab and student."""
    with sqlite3.connect(database) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "course_verdict" not in tables:
            return {}
        kept = connection.execute("SELECT lab, student, verdict FROM course_verdict").fetchall()
    verdicts = {(lab, student): json.loads(text) for lab, student, text in kept}
    return {
        key: {"refused": verdict["refusal"], "flagged": "; ".join(verdict["flags"])}
        for key, verdict in verdicts.items()
    }


def as_table(rows: list[Row]) -> list[Row]:
    """Every column, the totals last."""
    last = ("total", "points", "refused", "flagged", "comments")
    names = list(dict.fromkeys(name for row in rows for name in row if name not in last))
    return [{name: row.get(name, "") for name in (*names, *last)} for row in rows]


def for_canvas(rows: list[Row]) -> list[Row]:
    """Canvas's gradebook import: one row a student, one column a lab; a second row says what each is worth.

    Entries of a download that are nobody's are left out: Canvas would make students, or maximum points, of them.
    """
    rows = [row for row in rows if STUDENT_ID.fullmatch(row["student"])]
    labs = {row["lab"]: max(other.get("points", 0) for other in rows if other["lab"] == row["lab"]) for row in rows}
    fixed = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
    table = [dict.fromkeys(fixed, "") | {"Student": "Points Possible"} | labs]
    for student in sorted({row["student"] for row in rows}):
        match = _CANVAS_ID.fullmatch(student)
        by_login = {"Student": student, "SIS Login ID": student}
        known = {"Student": match["name"], "ID": match["id"]} if match else by_login
        totals = {row["lab"]: row["total"] for row in rows if row["student"] == student}
        table.append(dict.fromkeys(fixed, "") | known | {lab: totals.get(lab, "") for lab in labs})
    return table


def for_moodle(rows: list[Row]) -> list[Row]:
    """Moodle's offline grading worksheet of one assignment, in the columns without which Moodle takes none.

    Students whose ids do not come from Moodle are left out: it reads any id's end as a participant's number. Students
    read the comments: what is flagged for a person stays here.

    Raises:
        CourseError: the rows are of several labs, or no student's id comes from Moodle.
    """
    if len(labs := {row["lab"] for row in rows}) > 1:
        raise CourseError(f"Moodle imports one assignment at a time: add --lab with one of {', '.join(sorted(labs))}")
    of_moodle = [(row, match) for row in rows if (match := _MOODLE_ID.fullmatch(row["student"]))]
    if not of_moodle:
        raise CourseError("no student's id comes from Moodle: grade the zip file of its Download all submissions")
    table = []
    for row, match in of_moodle:
        participant = {"Identifier": f"Participant {match['id']}", "Full name": match["name"]}
        grades = {"Grade": row["total"], "Maximum Grade": row.get("points", "")}
        comments = "; ".join(filter(None, (row["refused"], row.get("comments", ""))))
        table.append(participant | grades | {"Last modified (grade)": "", "Feedback comments": comments})
    return table


LAYOUTS: dict[str, Callable[[list[Row]], list[Row]]] = {"csv": as_table, "canvas": for_canvas, "moodle": for_moodle}


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write rows of the same columns as CSV whose text no spreadsheet takes for a formula."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: as_text(value) for key, value in row.items()} for row in rows)


def as_text(value: Any) -> Any:
    """A cell's value; text that begins like a formula gets an apostrophe in front, control characters become spaces."""
    if not isinstance(value, str):
        return value
    plain = "".join(letter if letter.isprintable() else " " for letter in value)
    as_read = unicodedata.normalize("NFKC", value)  # some spreadsheets take full-width signs for the narrow ones
    return f"'{plain}" if as_read.startswith(FORMULA_STARTS) else plain
