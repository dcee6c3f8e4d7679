"""The `course` command as a whole."""

import subprocess
import sys
from pathlib import Path

from helpers.course.cli import COMMANDS


def test_help_lists_every_command_and_loads_none_of_them() -> None:
    code = (
        "import sys; from helpers.course.cli import main; sys.argv = ['course', '--help']\n"
        "try: main()\n"
        "finally: print([m for m in ('pandas', 'nbgrader', 'boto3', 'jupytext', 'papermill') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.rstrip().endswith("[]")
    assert all(name in answer.stdout for name in COMMANDS)


def test_every_command_explains_itself(course) -> None:
    for name in COMMANDS:
        answer = course(name, "--help")
        assert answer.returncode == 0, f"{name}: {answer.stderr}"


def test_outside_a_course_the_message_says_so(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "helpers.course", "labs"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "is not inside a course" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_wrong_usage_exits_with_2(course) -> None:
    assert course("labs", "--nope").returncode == 2


def test_the_local_sagemaker_starts_answers_and_stops(course) -> None:
    try:
        started = course("sagemaker", "start")
        assert (started.returncode, "web console at http://127.0.0.1:" in started.stdout) == (0, True)
        answer = course("sagemaker", "status", "--export")
        assert answer.stdout.startswith("export AWS_ENDPOINT_URL=http://127.0.0.1:")
        assert '"running": true' in course("sagemaker", "status", "--json").stdout
    finally:
        course("sagemaker", "stop")
    answer = course("sagemaker", "status")
    assert (answer.returncode, "run `course sagemaker start`" in answer.stderr) == (1, True)
