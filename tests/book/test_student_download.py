"""The student's road: from the site's zip and wheel alone, in an empty folder, with the network closed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from helpers.course.downloads import wheel_name

from .conftest import ROOT

LAB = "fraud"
# XGBoost asks for it to train over several GPUs; it weighs 300 MB and requirements.txt leaves it out.
LEFT_OUT = {"nvidia-nccl-cu12"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def student(site, tmp_path_factory) -> Path:
    """A folder with an unpacked lab and a virtual environment that holds the wheel and what the wheel asks for."""
    folder = tmp_path_factory.mktemp("student")
    environment = folder / ".venv"
    with zipfile.ZipFile(site / "downloads" / f"{LAB}.zip") as archive:
        archive.extractall(folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    for name in sorted(dependencies_of_the_wheel()):
        install_as_here(name, environment)
    wheel = site / "downloads" / wheel_name(ROOT)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True)
    return folder


def dependencies_of_the_wheel() -> set[str]:
    """Names of what the wheel's own metadata asks for, transitively."""
    wanted, pending = set(), [Requirement("sagemaker-course")]
    while pending:
        asked = pending.pop()
        for text in metadata.requires(asked.name) or []:
            needed = Requirement(text)
            extras = ("", *asked.extras)
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            key = (normal(needed.name), *sorted(needed.extras))
            if key[0] not in LEFT_OUT and key not in wanted:
                wanted.add(key)
                pending.append(needed)
    return {name for name, *_ in wanted}


def install_as_here(name: str, environment: Path) -> None:
    """Install a package into another environment by linking the files that pip recorded for it in this one.

    The same files as from the index, in seconds instead of minutes; packages that the wheel does not ask for stay out.
    """
    here = Path(sys.prefix)
    for file in metadata.files(name) or []:
        installed = Path(os.path.normpath(file.locate()))
        if not installed.is_relative_to(here) or not installed.is_file():
            continue
        target = environment / installed.relative_to(here)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent.name == "bin":
            target.write_bytes(installed.read_bytes().replace(bytes(here), bytes(environment)))
            target.chmod(0o755)
        elif not target.exists():  # two packages may record one file, as mlflow and mlflow-skinny do
            link_or_copy(installed, target)


def link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bare_environment(folder: Path) -> dict[str, str]:
    """A student's environment: nothing of this project's, nothing of AWS's, the smallest size."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{folder / '.venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {**kept, "PATH": path, "COURSE_SCALE": "smoke", "JUPYTER_PLATFORM_DIRS": "1"}


def offline(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the lab's folder, in a network that has loopback only; its processes end with it."""
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        pytest.fail("bubblewrap is missing: install it, on Debian with `apt-get install bubblewrap`")
    closed = [bubblewrap, "--dev-bind", "/", "/", "--unshare-net", "--unshare-pid", "--proc", "/proc"]
    return subprocess.run(
        [*closed, "--die-with-parent", "--chdir", str(folder / LAB), "--", *command],
        env=bare_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_network_is_closed(student):
    tried = offline(student, "python", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)")
    assert tried.returncode and "unreachable" in tried.stderr


def test_the_wheel_is_the_only_source_of_helpers(student):
    found = offline(student, "python", "-c", "import helpers; print(helpers.__file__)")
    assert found.stdout.strip().startswith(str(student / ".venv")), found.stderr


def test_the_wheel_holds_every_file_of_helpers(site):
    tracked = subprocess.run(
        ["git", "ls-files", "helpers"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    with zipfile.ZipFile(site / "downloads" / wheel_name(ROOT)) as wheel:
        assert set(tracked) - set(wheel.namelist()) == set()


def test_the_notebook_with_solutions_runs_to_the_end(student):
    solved = student / LAB / "solved.ipynb"
    nbformat.write(filled_in(student / LAB / f"{LAB}.ipynb", ROOT / "source" / LAB / f"{LAB}.ipynb"), solved)
    ran = offline(
        student, "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "executed.ipynb", solved.name
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    cells = nbformat.read(student / LAB / "executed.ipynb", as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code" and cell.source.strip())


def filled_in(release: Path, source: Path) -> nbformat.NotebookNode:
    """The release notebook with its solution cells taken from the source, by grade_id."""
    answers = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in nbformat.read(source, as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    notebook = nbformat.read(release, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers.pop(cell.metadata.nbgrader.grade_id)
    assert not answers, f"the release notebook lacks the tasks {sorted(answers)}"
    return notebook


def test_nbgrader_validate_names_what_still_fails(student):
    said = offline(student, "nbgrader", "validate", f"{LAB}.ipynb")
    tasks = [
        cell
        for cell in nbformat.read(student / LAB / f"{LAB}.ipynb", as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    assert tasks
    assert f"VALIDATION FAILED ON {len(tasks)} CELL(S)" in said.stdout, said.stdout[-3000:] + said.stderr[-3000:]
    assert said.stdout.count("The following cell failed") == len(tasks)
