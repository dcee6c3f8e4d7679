"""What a student takes home is the same on every machine, and complete."""

from __future__ import annotations

import zipfile

import pytest
from nbgrader.apps import ValidateApp
from nbgrader.preprocessors import Execute

from helpers.course.downloads import make_downloads, wheel_name, zip_lab
from helpers.course.project import CourseError

from .conftest import ROOT


@pytest.fixture
def course(tmp_path):
    """A course of one lab and a package of one module and one data file."""
    root = tmp_path / "course"
    for name, text in {
        "release/tiny/tiny.ipynb": "{}",
        "release/tiny/src/train.py": "print()\n",
        "release/tiny/.ipynb_checkpoints/tiny.ipynb": "old",
        "helpers/__init__.py": "",
        "helpers/table.csv": "a,b\n",
        "README.md": "# Course\n",
        "LICENSE": (ROOT / "LICENSE").read_text(),
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_zip_holds_the_lab_under_its_name_without_caches(course, tmp_path):
    with zipfile.ZipFile(zip_lab(course / "release" / "tiny", tmp_path / "tiny.zip")) as archive:
        assert archive.namelist() == ["tiny/nbgrader_config.py", "tiny/src/train.py", "tiny/tiny.ipynb"]


def test_validate_in_the_unzipped_folder_allows_a_cell_ten_minutes(course, tmp_path, monkeypatch):
    with zipfile.ZipFile(zip_lab(course / "release" / "tiny", tmp_path / "tiny.zip")) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path / "tiny")
    app = ValidateApp()
    app.initialize(["tiny.ipynb"])
    assert Execute(parent=app).timeout == 600


def test_equal_sources_give_equal_bytes(course, tmp_path):
    first = [path.read_bytes() for path in make_downloads(course, tmp_path / "a" / "files" / "downloads")]
    for path in course.rglob("*.py"):
        path.touch()
    second = [path.read_bytes() for path in make_downloads(course, tmp_path / "b" / "files" / "downloads")]
    assert first == second


def test_the_wheel_is_built_again_only_when_its_sources_changed(course, tmp_path):
    target = tmp_path / "files" / "downloads"
    wheel = make_downloads(course, target)[-1]
    kept = wheel.stat().st_mtime_ns
    assert make_downloads(course, target)[-1].stat().st_mtime_ns == kept
    (course / "helpers" / "added.py").write_text("ADDED = 1\n")
    with zipfile.ZipFile(make_downloads(course, target)[-1]) as archive:
        assert "helpers/added.py" in archive.namelist()


def test_files_that_left_the_course_leave_the_downloads(course, tmp_path):
    target = tmp_path / "files" / "downloads"
    target.mkdir(parents=True)
    (target / "old.zip").write_text("old")
    make_downloads(course, target)
    assert sorted(path.name for path in target.iterdir()) == sorted([wheel_name(course), "tiny.zip"])


def test_a_wheel_that_does_not_build_says_why(course, tmp_path):
    (course / "pyproject.toml").write_text((course / "pyproject.toml").read_text().replace(">=3.11", "new"))
    with pytest.raises(CourseError, match=r"did not build[\s\S]*Invalid specifier"):
        make_downloads(course, tmp_path / "files" / "downloads")
