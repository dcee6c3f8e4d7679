"""What a gradebook says, without the ids and times that differ from run to run."""

import sqlite3
from pathlib import Path

_GRADES = """
SELECT sa.student_id, bc.name, g.auto_score, g.manual_score, g.needs_manual_grade
FROM grade g JOIN submitted_notebook sn ON sn.id = g.notebook_id
JOIN submitted_assignment sa ON sa.id = sn.assignment_id JOIN base_cell bc ON bc.id = g.cell_id ORDER BY 1, 2
"""
_COMMENTS = """
SELECT sa.student_id, bc.name, c.auto_comment
FROM comment c JOIN submitted_notebook sn ON sn.id = c.notebook_id
JOIN submitted_assignment sa ON sa.id = sn.assignment_id JOIN base_cell bc ON bc.id = c.cell_id ORDER BY 1, 2
"""


def rows(root: Path) -> tuple[list, list]:
    """The grade rows and the comment rows of a course's gradebook."""
    with sqlite3.connect(root / "gradebook.db") as connection:
        return connection.execute(_GRADES).fetchall(), connection.execute(_COMMENTS).fetchall()
