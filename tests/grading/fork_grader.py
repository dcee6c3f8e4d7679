"""Grades the tiny lab again and again, each time in a fresh fork: told a course's folder, it prints the fork's pid.

What `course grade` does after its imports, which take most of the time of a small batch.
"""

import os
import sys
import traceback
from pathlib import Path

from helpers.course.grade import grade_all
from helpers.course.project import put_environment_on_path, skip_slow_grammars
from helpers.grading.intake import find_submissions

put_environment_on_path()
skip_slow_grammars()

import nbgrader.api  # noqa: E402
import nbgrader.converters  # noqa: E402, F401

from helpers.grading import batch, feedback, gradebook, pool  # noqa: E402, F401

for line in sys.stdin:
    root = Path(line.strip())
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.dup2(os.open(root / "grade.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
            os.dup2(1, 2)
            grade_all(root, "tiny", find_submissions(root / "submitted", "tiny"), workers=2)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
