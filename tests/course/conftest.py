"""A course of its own in a temporary folder, and the `course` command run there as a user runs it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TINY = REPOSITORY / "tests" / "course" / "fixtures" / "01-tiny"


@pytest.fixture
def tiny_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course with the tiny lab."""
    root = tmp_path / "course"
    shutil.copytree(TINY, root / "labs" / "01-tiny", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / "nbgrader_config.py", root / "nbgrader_config.py")
    monkeypatch.setenv("LOCAL_SAGEMAKER_HOME", str(tmp_path / "sagemaker"))
    for name in ("COURSE_BACKEND", "COURSE_SCALE", "COURSE_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def course(tiny_course: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs `course` with arguments in the tiny course; the answer holds returncode, stdout and stderr."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "helpers.course", *arguments],
            cwd=tiny_course,
            env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(REPOSITORY)} | environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return call
