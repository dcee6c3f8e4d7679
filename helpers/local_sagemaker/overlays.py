"""Interpreters for jobs: they see the host's packages and install into a folder of their own, never into the host."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import site
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Run = Callable[[list[str], Path, dict[str, str]], tuple[int, list[str]]]

_DONE = "complete"
_FOR_PIP = frozenset(
    (
        *(
            "HOME",
            "LANG",
            "LC_ALL",
            "LD_LIBRARY_PATH",
            "PATH",
            "TMPDIR",
            "TZ",
            "USER",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
        ),
        *("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
        *("CC", "CXX", "CFLAGS", "LDFLAGS", "CPATH", "LIBRARY_PATH", "PKG_CONFIG_PATH", "NETRC"),
    )
)
_MISSING = re.compile(
    r"No matching distribution found for (?P<requirement>.+)|Could not find a version that satisfies the "
    r"requirement (?P<version>\S+)"
)


class RequirementsError(Exception):
    """A requirements file that cannot be installed; the message names the requirement."""


def make_interpreter(folder: Path, *layers: Path) -> Path:
    """Makes a virtual environment above the host's packages and returns its `python`.

    Written by hand: `venv` would take 50 ms and sees only the packages of the base interpreter, not the host's.

    Args:
        folder: where the environment is made.
        layers: `site-packages` folders seen before the host's, such as those of an overlay.
    """
    binaries, packages = folder / "bin", _site_packages(folder)
    binaries.mkdir(parents=True, exist_ok=True)
    packages.mkdir(parents=True, exist_ok=True)
    base = Path(sys._base_executable).resolve()
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        if not (binaries / name).is_symlink():
            (binaries / name).symlink_to(base)
    for name in ("pip", "pip3"):
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec "{binaries}/python" -m pip "$@"\n')
        script.chmod(0o755)
    below = [*map(str, layers), *site.getsitepackages()]
    lines = [f"import site; site.addsitedir({path!r})" for path in below]
    (packages / "_below.pth").write_text("\n".join(lines) + "\n")
    return binaries / "python"


def overlay(cache: Path, requirements: Path, log: Path | None = None, run: Run | None = None) -> Path:
    """The `site-packages` folder in which a requirements file is installed; made once per content of the file.

    Args:
        cache: the folder of all overlays.
        requirements: the requirements file; paths in it are relative to its folder.
        log: pip's output is added here.
        run: runs pip; `run(argv, cwd, env)` returns the exit code and the output's lines.

    Raises:
        RequirementsError: pip could not install it: the message names the requirement that is missing.
    """
    key = "\n".join([requirements.read_text(), sys.version, *site.getsitepackages()])
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:20]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if not (folder / _DONE).exists():
            lines = _install(make_interpreter(folder), requirements, run or _run)
            if log:
                with log.open("a") as file:
                    file.writelines(f"{line}\n" for line in lines)
            (folder / _DONE).touch()
    return _site_packages(folder)


def _install(python: Path, requirements: Path, run: Run) -> list[str]:
    options = ("--disable-pip-version-check", "--no-input", "--retries", "1")
    command = [str(python), "-m", "pip", "install", *options, "-r", str(requirements)]
    # A package may run code of its own when it is installed: it sees no more than pip needs.
    environment = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key.upper() in _FOR_PIP}
    code, lines = run(command, requirements.parent, environment)
    if code:
        raise RequirementsError(_reason("\n".join(lines), requirements.name))
    return lines


def _run(argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, list[str]]:
    done = subprocess.run(argv, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.splitlines()


def _reason(output: str, name: str) -> str:
    missing = list(_MISSING.finditer(output))
    if missing:
        requirement = missing[-1]["requirement"] or missing[-1]["version"]
        return f"{name}: no package index has, or none could be reached for, the requirement {requirement.strip()}"
    errors = [line for line in output.splitlines() if line.startswith("ERROR")] or output.splitlines()[-3:]
    return f"{name} could not be installed: {' '.join(errors)}"


def _site_packages(folder: Path) -> Path:
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
