"""A grader that is killed, interrupted, out of disk or short of workers loses nothing, and leaves nothing behind."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rows import rows
from tiny import ANSWERS, make_course, put

from helpers.course.grade import choose_submissions, grade_all
from helpers.grading import backends, batch, pool
from helpers.grading.intake import find_submissions

HERE = Path(__file__).parent
KINDS = [*ANSWERS, "blank"]
STUDENTS = {f"student-{number:02d}": KINDS[number % len(KINDS)] for number in range(8)}
KILLS = 30
PATIENCE = 60.0
GRADE = [sys.executable, "-m", "helpers.course", "grade", "tiny", "--workers", "2"]


def workers_of(pid: int) -> list[psutil.Process]:
    """What is alive of the grading workers that a process started, and of their forks."""
    slots = {str((pid * 64 + number) % 900_000) for number in range(64)}
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if "helpers.grading.worker" in command and command[-1] in slots and process.info["status"] != "zombie":
            found.append(process)
    return found


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.02)


def all_gone(pid: int) -> None:
    until(lambda: not workers_of(pid), f"workers of {pid} have ended")


def verdicts(root: Path) -> dict[str, dict]:
    """What was said of each student, but for the times."""
    with sqlite3.connect(root / "gradebook.db") as connection:
        kept = dict(connection.execute("SELECT student, verdict FROM course_verdict"))
    measured = re.compile(r'"(seconds|memory)": [\d.e-]+')
    return {student: json.loads(measured.sub(r'"\1": 0', text)) for student, text in kept.items()}


def made_files(root: Path) -> list[str]:
    """The files that a grader made, or left."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in ("labs", "source", "release", "submitted")
    )


def course_with(submissions: Path, folder: Path) -> Path:
    """A copy of a course that was not graded."""
    shutil.copytree(submissions, folder)
    return folder


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """A course with submissions."""
    root = make_course(tmp_path_factory.mktemp("faults") / "course", project)
    for student, kind in STUDENTS.items():
        put(root, student, kind)
    return root


@pytest.fixture(scope="module")
def undisturbed(submitted: Path) -> tuple[Path, float]:
    """The course after one run that nothing disturbed, and the seconds that it took."""
    root = course_with(submitted, submitted.parent / "undisturbed")
    began = time.monotonic()
    grade_all(root, "tiny", find_submissions(root / "submitted", "tiny"), workers=2)
    return root, time.monotonic() - began


def same_as(undisturbed: Path, root: Path) -> None:
    assert rows(root) == rows(undisturbed)
    assert verdicts(root) == verdicts(undisturbed)
    assert [name for name in made_files(root) if name != "grade.log"] == made_files(undisturbed)
    for path in (root / "autograded").rglob("*.ipynb"):
        json.loads(path.read_text())
    with sqlite3.connect(root / "gradebook.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def grader(tmp_path: Path, project: Path) -> Iterator[Callable[[Path], subprocess.Popen]]:
    """A process that grades a course in a fork whenever it is told the course's folder."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": f"{project}{os.pathsep}{HERE}"}
    with subprocess.Popen(
        [sys.executable, HERE / "fork_grader.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process
        process.stdin.close()


@pytest.mark.timeout(900)
def test_a_grader_that_is_killed_again_and_again_gives_the_rows_of_one_that_was_not(
    submitted, undisturbed, grader, tmp_path
):
    calm, seconds = undisturbed
    chance = random.Random(20260301)
    kills = finished = 0
    code = 1
    root = course_with(submitted, tmp_path / "course-0")
    while kills < KILLS or code:  # the last run is not killed: it sweeps what the killed ones left
        grader.stdin.write(f"{root}\n")
        grader.stdin.flush()
        pid = int(grader.stdout.readline())
        if kills < KILLS:
            killer = threading.Timer(chance.uniform(0, seconds), os.kill, (pid, signal.SIGKILL))
            killer.start()
        code = int(grader.stdout.readline())
        killer.cancel()
        killer.join()
        all_gone(pid)
        if code:
            assert code == -signal.SIGKILL, (root / "grade.log").read_text()
            kills += 1
            continue
        same_as(calm, root)
        finished += 1
        root = course_with(submitted, tmp_path / f"course-{finished}")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_ctrl_c_stops_with_a_message_and_the_next_run_goes_on(submitted, undisturbed, tmp_path):
    for attempt in range(5):
        root = course_with(submitted, tmp_path / f"course{attempt}")
        with subprocess.Popen(GRADE, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            said = "".join(process.stdout.readline() for _ in range(2))
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=PATIENCE)
        if process.returncode:  # else the last verdict was there before the signal
            break
    assert process.returncode == 130 and "Traceback" not in errors
    assert "interrupted. What was graded is in the gradebook" in errors and "have no verdict yet: student-" in errors
    all_gone(process.pid)
    graded = (said + rest).count("/8] ")
    again = subprocess.run(GRADE, cwd=root, capture_output=True, text=True, timeout=200, check=True)
    assert again.stdout.count(", taken over") >= graded - 1
    same_as(undisturbed[0], root)


@pytest.mark.timeout(900)
def test_the_command_itself_is_killed_again_and_again_and_resumes_to_the_same_rows(submitted, undisturbed, tmp_path):
    root = course_with(submitted, tmp_path / "course")
    chance = random.Random(8)
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    resumed = [*GRADE, "--resume"]
    for lines in (0, 1, 2, 3, 4):  # said before it is killed: a verdict a line, after that of the sandbox
        with subprocess.Popen(resumed, cwd=root, stdout=subprocess.PIPE, text=True, env=environment) as process:
            said = [process.stdout.readline() for _ in range(lines)]
            time.sleep(chance.uniform(0, 0.5 if lines else 4))
            process.kill()
        assert process.returncode in (0, -signal.SIGKILL) and len(said) == lines
        all_gone(process.pid)
    subprocess.run(resumed, cwd=root, check=True, capture_output=True, timeout=PATIENCE * 5, env=environment)
    same_as(undisturbed[0], root)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("room", [0, 150], ids=["from the start", "in the middle of writing"])
@pytest.mark.timeout(900)
def test_a_full_disk_stops_the_grader_and_with_room_it_goes_on(room, submitted, undisturbed, tmp_path):
    script = """
        mount -t tmpfs -o size=64m tmpfs "$1" && cp -r "$2"/. "$1" && cd "$1" || exit 90
        "$3" -m helpers.course grade tiny --workers 2 --student student-00 --student student-01 || exit 91
        free=$(df --output=avail -k . | tail -1)
        head -c $(((free - $5) * 1024)) /dev/zero > filler
        "$3" -m helpers.course grade tiny --workers 2; echo "first $?"
        cp gradebook.db "$4/full.db"
        rm filler
        "$3" -m helpers.course grade tiny --workers 2; echo "second $?"
        cp -r . "$4"
    """
    full, saved = tmp_path / "full", tmp_path / "saved"
    full.mkdir(), saved.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*unshare, "sh", "-c", script, "sh", full, submitted, sys.executable, saved, str(room)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert answer.returncode == 0 and "Traceback" not in answer.stderr, answer.stdout + answer.stderr
    first, _, second = answer.stdout.partition("first 1\n")
    assert "second 0" in second
    assert re.search(r"(No space left on device|disk is full).*submissions have no verdict yet", answer.stderr, re.S)
    with sqlite3.connect(saved / "full.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        [(kept,)] = connection.execute("SELECT count(*) FROM course_verdict").fetchall()
    (saved / "full.db").unlink()
    # What was written before the disk was full is neither lost nor done again.
    assert (2 < kept < len(STUDENTS)) if room else kept == 2
    assert first.count("/8] ") == kept and second.count(", taken over") == kept
    same_as(undisturbed[0], saved)


def test_a_worker_that_is_killed_is_replaced_and_every_verdict_is_right(submitted, undisturbed, tmp_path):
    root = course_with(submitted, tmp_path / "course")
    chance = random.Random(4)
    left = 6

    def disturb(verdict, taken_over: bool) -> None:
        nonlocal left
        mine = [process for process in psutil.Process().children() if process in workers_of(os.getpid())]
        if left and mine:
            left -= 1
            worker = chance.choice(mine)
            # Its first child is the fork server; what executes a submission is the submission's own affair.
            chance.choice([worker, *worker.children()[:1]]).kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "ATTEMPTS", 8)
        told = grade_with(root, disturb)
    assert left < 6
    assert not [verdict for verdict in told if verdict.flags]
    same_as(undisturbed[0], root)


def test_a_submission_that_ends_two_workers_is_given_up_and_tried_again_by_the_next_run(submitted, tmp_path):
    root = course_with(submitted, tmp_path / "course")
    path = root / "submitted/student-00/tiny/tiny.ipynb"
    notebook = json.loads(path.read_text())
    # Without a sandbox, the interpreter's parent is the fork server.
    killing = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(20)"
    cell = {
        "cell_type": "code",
        "id": "kill",
        "metadata": {},
        "source": killing,
        "outputs": [],
        "execution_count": None,
    }
    path.write_text(json.dumps(notebook | {"cells": [cell, *notebook["cells"]]}))
    seen: list[bool] = []
    for _ in range(2):
        seen.clear()
        made = grade_with(root, lambda verdict, taken_over: seen.append(taken_over), backend=backends.NONE)
        told = {verdict.student: verdict for verdict in made}
        [flag] = told.pop("student-00").flags
        assert flag.startswith("2 workers ended on it")
        assert not [verdict for verdict in told.values() if verdict.flags]
        assert told["student-01"].total == 2 and told["student-04"].total == 5
    assert seen.count(True) == len(STUDENTS) - 1


def grade_with(root: Path, tell: Callable, runner: batch.Runner | None = None, **options: object) -> list:
    """`grade_all` with a caller's own `tell`."""
    from contextlib import closing

    from helpers.course.labs import nbgrader_config
    from helpers.grading.gradebook import GradebookWriter

    package = pool.read_package(root / "source/tiny", "tiny", **options)
    submissions = choose_submissions(root / "submitted", "tiny", [], root)
    with closing(GradebookWriter(root, "tiny", nbgrader_config(root, root))) as writer:
        return batch.grade(writer, package, submissions, runner or pool.Local(2), tell)
