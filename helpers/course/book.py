"""Builds the site: `course book`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

from helpers.course.downloads import digest_of, make_downloads
from helpers.course.project import CourseError, find_root

# Touched below _build/site when a site is complete: its time is that of the site.
BUILT = "built"
# What the lessons' cells run: when one of these changes, every executed page is run again.
EXECUTED = (
    "helpers/__init__.py",
    "helpers/session.py",
    "helpers/data",
    "helpers/encoders",
    "helpers/preprocessing",
    "helpers/evaluation.py",
    "helpers/plots",
    "helpers/deployment.py",
    "helpers/rollout.py",
    "helpers/canary.py",
    "helpers/experiments",
    "helpers/monitoring",
    "helpers/schedules.py",
    "helpers/costs.py",
    "helpers/cleanup.py",
    "helpers/local_sagemaker",
    "book/01-fraud/serving_code",
    "book/04-sentiment/rollout_code",
    "labs/03-text/src",
    "labs/05-monitoring/src",
    "requirements.txt",
)


def book(
    instructor: Annotated[bool, typer.Option(help="Also show the solved labs, in _build/instructor.")] = False,
) -> None:
    """Build the site; a warning is an error."""
    started = time.perf_counter()
    index = build_site(find_root(), instructor)
    pages = len(pages_of(index.parent))
    typer.echo(f"{pages} pages in {time.perf_counter() - started:.1f} s: {index}")


def build_site(root: Path, instructor: bool = False) -> Path:
    """Build the student's downloads, then the site with warnings as errors.

    Args:
        root: the project's folder, which holds _config.yml and _toc.yml.
        instructor: add the solved labs, and write to _build/instructor/_build/html instead of _build/html, so that
            solutions never enter the site that students read.

    Returns:
        Path of the site's index.html.

    Raises:
        CourseError: root is no course, a page failed to execute, Sphinx warned, or a page of the table of contents is
            missing from the site. The message names the cause.
    """
    for needed in ("_config.yml", "_toc.yml"):
        if not (root / needed).exists():
            raise CourseError(f"{root} holds no {needed}: run `course book` in the course's top folder")
    work = root / "_build" / "site"
    make_downloads(root, work / "files" / "downloads")
    output = root / "_build" / "instructor" if instructor else root
    config, toc = write_configuration(root, work, instructor)
    build = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "jupyter-book"), "build", str(root), "--path-output", str(output)),
            *("--config", str(config), "--toc", str(toc), "--warningiserror", "--keep-going", "--nitpick", "--quiet"),
        ],
        cwd=root,
        env=build_environment(work),
        check=False,
    )
    stop_local_sagemaker(work)
    html = output / "_build" / "html"
    if build.returncode:
        raise CourseError(f"The site has errors: see the lines above, and {html / 'reports'} for cells that failed")
    remove_stale_pages(html, toc)
    check_pages(html, toc)
    (work / BUILT).touch()
    return html / "index.html"


def write_configuration(root: Path, work: Path, instructor: bool) -> tuple[Path, Path]:
    """Write the configuration and the table of contents of one build below work.

    The execution cache's folder is named by a digest of the code that the pages execute, which Jupyter's own cache
    key leaves out.
    """
    config = yaml.safe_load((root / "_config.yml").read_text())
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    scale = os.environ.get("COURSE_SCALE", "lab")
    cache = root / "_build" / "cache" / f"{scale}-{digest_of(root, EXECUTED)[:16]}"
    config["execute"]["cache"] = str(cache)
    edition = "student"
    if instructor:
        edition = "instructor"
        config["title"] += ", instructor's edition"
        config["exclude_patterns"].remove("source")
        config["exclude_patterns"].append("source/*/src")
        solved = sorted(path.relative_to(root).as_posix() for path in (root / "source").glob("*/*.ipynb"))
        toc["parts"].append({"caption": "Solved labs", "chapters": [{"file": path} for path in solved]})
    written = []
    for name, content in (("config", config), ("toc", toc)):
        path = work / f"{edition}-{name}.yml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        written.append(path)
    return written[0], written[1]


def build_environment(work: Path) -> dict[str, str]:
    """The environment that pages execute in: this interpreter's programs, and a local SageMaker of the build's own."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        "LOCAL_SAGEMAKER_HOME": str(work / "sagemaker"),
        **os.environ,
        "PATH": programs,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def stop_local_sagemaker(work: Path) -> None:
    """Stop the local SageMaker that the build's pages started."""
    from helpers import local_sagemaker

    if "LOCAL_SAGEMAKER_HOME" not in os.environ and (work / "sagemaker").exists():
        local_sagemaker.stop(work / "sagemaker")


def documents_of(toc: Path) -> set[str]:
    """Names of all documents in a table of contents, without suffix."""
    found = set()

    def collect(node: object) -> None:
        if isinstance(node, dict):
            found.update(str(Path(node[key]).with_suffix("")) for key in ("root", "file") if key in node)
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                collect(child)

    collect(yaml.safe_load(toc.read_text()))
    return found


def pages_of(html: Path) -> set[str]:
    """Names of the pages that were built from documents, without suffix."""
    return {path.relative_to(html).with_suffix("").as_posix() for path in html.glob("*/**/*.html")} - {
        path.relative_to(html).with_suffix("").as_posix() for path in html.glob("_*/**/*.html")
    }


def remove_stale_pages(html: Path, toc: Path) -> None:
    """Delete pages of documents that left the table of contents; Sphinx keeps them."""
    for stale in pages_of(html) - documents_of(toc):
        (html / f"{stale}.html").unlink()


def check_pages(html: Path, toc: Path) -> None:
    """Check that every document became a page, whatever the builder's exit status said."""
    missing = sorted(documents_of(toc) - pages_of(html))
    if missing or not (html / "index.html").exists():
        raise CourseError(f"The site lacks {', '.join(missing) or 'index.html'}: delete {html.parent} and build again")
