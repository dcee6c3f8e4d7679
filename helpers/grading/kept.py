"""What earlier runs of `course grade` left: verdicts with what a person added since, notebooks and answers."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

from helpers.grading import feedback
from helpers.grading.files import write_file
from helpers.grading.verdict import TaskVerdict, Verdict

_OF_THE_LAB = """
FROM submitted_assignment sa
JOIN assignment a ON a.id = sa.assignment_id
JOIN submitted_notebook sn ON sn.assignment_id = sa.id
"""
# Scores and comments that a person gave in formgrader.
_SCORES = f"""
SELECT sa.student_id, bc.name, g.manual_score, g.extra_credit {_OF_THE_LAB}
JOIN grade g ON g.notebook_id = sn.id JOIN base_cell bc ON bc.id = g.cell_id
WHERE a.name = ? AND (g.manual_score IS NOT NULL OR g.extra_credit IS NOT NULL)
"""
_COMMENTS = f"""
SELECT sa.student_id, bc.name, c.manual_comment {_OF_THE_LAB}
JOIN comment c ON c.notebook_id = sn.id JOIN base_cell bc ON bc.id = c.cell_id
WHERE a.name = ? AND c.manual_comment != ''
"""
_LATE = f"""
SELECT sa.student_id, sum(sn.late_submission_penalty) {_OF_THE_LAB}
WHERE a.name = ? AND sn.late_submission_penalty > 0 GROUP BY sa.student_id
"""


class NothingKept(Exception):
    """There is no gradebook, or it holds no verdict on the lab."""


def verdicts(root: Path, lab: str) -> dict[str, Verdict]:
    """The verdict on each student, with the scores that a person gave and what being late costs.

    Raises:
        NothingKept: there are none.
    """
    database = root / "gradebook.db"
    if not database.is_file():
        raise NothingKept(f"no gradebook at {database}: run `course grade {lab}` first")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        statement = "SELECT student, verdict FROM course_verdict WHERE lab = ? ORDER BY student"
        rows = connection.execute(statement, (lab,)).fetchall() if "course_verdict" in tables else []
        given = connection.execute(_SCORES, (lab,)).fetchall()
        late = connection.execute(_LATE, (lab,)).fetchall()
    if not rows:
        raise NothingKept(f"the gradebook holds no verdict on lab {lab}: run `course grade {lab}` first")
    found = {student: Verdict.from_dict(json.loads(text)) for student, text in rows}
    for student, task, score, extra in given:
        if student in found:
            found[student] = _with_person(found[student], task, score, extra)
    for student, penalty in late:
        if student in found:
            found[student] = dataclasses.replace(found[student], late_penalty=penalty)
    return found


def _with_person(verdict: Verdict, task: str, score: float | None, extra: float | None) -> Verdict:
    def changed(entry: TaskVerdict) -> TaskVerdict:
        if entry.task != task:
            return entry
        by_hand = entry.score if score is None else score
        total = None if by_hand is None else by_hand + (extra or 0.0)
        return dataclasses.replace(entry, score=total, reason="" if score is not None else entry.reason)

    return dataclasses.replace(verdict, tasks=tuple(changed(entry) for entry in verdict.tasks))


def comments(root: Path, lab: str) -> dict[str, dict[str, str]]:
    """What a person wrote about each student's answers, by the cell's grade_id; Markdown."""
    with sqlite3.connect(f"file:{root / 'gradebook.db'}?mode=ro", uri=True) as connection:
        written = connection.execute(_COMMENTS, (lab,)).fetchall()
    found: dict[str, dict[str, str]] = {}
    for student, cell, comment in written:
        found.setdefault(student, {})[cell] = comment
    return found


def write_feedback(root: Path, lab: str) -> int:
    """Write every student's feedback page anew; returns their number.

    Raises:
        NothingKept: nothing was graded.
    """
    written = 0
    kept = verdicts(root, lab)
    by_a_person = comments(root, lab)
    for student, verdict in kept.items():
        notebook = _autograded(root, lab, student)
        if notebook is not None and not verdict.refusal:
            page = feedback.page(notebook, verdict, lab, by_a_person.get(student, {}))
            write_file(root / "feedback" / student / lab / f"{lab}.html", page)
            written += 1
    return written


def answers(root: Path, lab: str) -> dict[str, str]:
    """The source of all solution cells of each student whose submission was graded."""
    found = {}
    for student, verdict in verdicts(root, lab).items():
        notebook = _autograded(root, lab, student)
        if notebook is not None and not verdict.refusal:
            found[student] = solutions(notebook)
    return found


def solutions(notebook: Any) -> str:
    """The source of a notebook's solution cells."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "\n\n".join(cell.source for cell in cells if cell.metadata.get("nbgrader", {}).get("solution"))


def _autograded(root: Path, lab: str, student: str) -> Any:
    import nbformat

    path = root / "autograded" / student / lab / f"{lab}.ipynb"
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4) if path.is_file() else None
