"""Makes what a student takes home: one zip per lab and the course's wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from helpers.course.project import CourseError

IGNORED = ("__pycache__", ".ipynb_checkpoints", ".nbgrader.log")
PACKAGED = ("helpers", "pyproject.toml", "README.md", "LICENSE")
# Every member carries the same moment, so equal content gives equal bytes.
EPOCH = (2026, 1, 1, 0, 0, 0)
EPOCH_SECONDS = "1767225600"
STUDENT_CONFIG = b"""# nbgrader validate allows a cell 30 s by default; a training job takes longer.
c = get_config()
c.Execute.timeout = 600
"""


def make_downloads(root: Path, target: Path) -> list[Path]:
    """Write `<lab>.zip` for every lab of release/ and the wheel into target; other files there are removed.

    Equal sources give equal bytes, and the wheel is built again only when its sources changed: their digest is kept
    two folders above target.

    Raises:
        CourseError: the wheel did not build; the message holds the builder's last lines.
    """
    target.mkdir(parents=True, exist_ok=True)
    labs = sorted(folder for folder in (root / "release").glob("*") if list(folder.glob("*.ipynb")))
    made = [zip_lab(folder, target / f"{folder.name}.zip") for folder in labs]
    made.append(make_wheel(root, target))
    for stale in set(target.iterdir()) - set(made):
        stale.unlink()
    return made


def zip_lab(folder: Path, target: Path) -> Path:
    """Zip a lab's folder and nbgrader's settings for the student, with the same bytes on every machine."""
    members = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_under(folder)}
    members["nbgrader_config.py"] = STUDENT_CONFIG
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(members.items()):
            member = zipfile.ZipInfo(f"{folder.name}/{name}", EPOCH)
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return target


def make_wheel(root: Path, target: Path) -> Path:
    """Build the project's wheel from a clean copy of its sources, without the network.

    Raises:
        CourseError: the build failed.
    """
    wheel = target / wheel_name(root)
    digest = digest_of(root, PACKAGED)
    if wheel.exists() and stamp_of(wheel).exists() and stamp_of(wheel).read_text() == digest:
        return wheel
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch, "sources")
        for path in files_under(root, PACKAGED):
            copy = sources / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        built = subprocess.run(
            [*command, "--wheel-dir", scratch, str(sources)],
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH_SECONDS, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        made = Path(scratch, wheel.name)
        if built.returncode or not made.exists():
            raise CourseError(f"The wheel {wheel.name} did not build:\n{built.stderr[-2000:]}")
        shutil.move(made, wheel)
    stamp_of(wheel).write_text(digest)
    return wheel


def wheel_name(root: Path) -> str:
    """File name of the project's wheel, from pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return f"{project['name'].replace('-', '_')}-{project['version']}-py3-none-any.whl"


def stamp_of(wheel: Path) -> Path:
    """Where the digest of the sources that a wheel was built from is kept: outside the folder that the site serves."""
    return wheel.parents[2] / f"{wheel.name}.sources"


def digest_of(root: Path, names: tuple[str, ...]) -> str:
    """SHA-256 over the paths and bytes of all files under names."""
    digest = hashlib.sha256()
    for path in files_under(root, names):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def files_under(root: Path, names: tuple[str, ...] = (".",)) -> Iterator[Path]:
    """All files below root/name for every name, in a fixed order, without caches."""
    for name in names:
        start = root / name
        found = [start] if start.is_file() else start.rglob("*")
        yield from sorted(
            path for path in found if path.is_file() and not set(path.relative_to(root).parts) & set(IGNORED)
        )
