"""`course labs`: labs/ → source/ → release/, byte for byte the same on every run."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from helpers.course.authoring import Cell, Fault, LabSource, read_lab
from helpers.course.project import (
    CourseError,
    Lab,
    find_labs,
    find_root,
    put_environment_on_path,
    skip_slow_grammars,
)

GENERATED = ("source", "release")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")
DIFF_LINES = 12


def labs(
    names: Annotated[list[str] | None, typer.Argument(metavar="[LAB]...", help="Labs to make; all by default.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a generated file differs.")] = False,
) -> None:
    """Make source/ and release/ from labs/."""
    root = find_root()
    chosen = find_labs(root, names)
    with tempfile.TemporaryDirectory(prefix="course-labs-") as folder:
        made = Path(folder)
        generate(root, chosen, made)
        stale = [] if names else _stale_labs(root, {lab.name for lab in chosen})
        drift = [line for lab in chosen for line in _drift(root, made, lab)]
        drift += [f"{path.relative_to(root)}: no lab in labs/ makes it" for path in stale]
        if check:
            if drift:
                raise CourseError(
                    "\n".join([*drift, "source/ or release/ differ from labs/: run `course labs`, commit"])
                )
        else:
            for lab in chosen:
                _replace(root, made, lab)
            for path in stale:
                shutil.rmtree(path)
    for lab in chosen:
        typer.echo(f"{lab.name}: source/{lab.name}/{lab.name}.ipynb, release/{lab.name}/{lab.name}.ipynb")
    state = "up to date" if not drift else f"{len(drift)} files written"
    typer.echo(f"{len(chosen)} labs, {state}")


def generate(root: Path, chosen: list[Lab], made: Path) -> None:
    """Write source/<lab> and release/<lab> of the chosen labs below `made`.

    Args:
        root: the course's folder, whose nbgrader_config.py applies.
        chosen: the labs.
        made: an existing folder, outside the course.

    Raises:
        CourseError: a source has faults; the message lists every one of them with file and line.
    """
    skip_slow_grammars()
    read = [(lab, *read_lab(lab.script)) for lab in chosen]
    if faults := [fault for _, _, found in read for fault in found]:
        raise CourseError(
            "\n".join(str(_relative(fault, root)) for fault in faults) + f"\n{len(faults)} faults, nothing written"
        )
    for lab, source, _ in read:
        write_source(lab, source, made / "source" / lab.name)
    for lab, _, _ in read:
        write_release(root, made, lab.name)


def write_source(lab: Lab, source: LabSource, target: Path) -> None:
    """Write the notebook with solutions and hidden tests, and the files that travel with it."""
    import nbformat

    target.mkdir(parents=True)
    if (lab.folder / "src").is_dir():
        shutil.copytree(lab.folder / "src", target / "src", ignore=LEFT_OUT)
    if (lab.folder / "README.md").is_file():
        shutil.copyfile(lab.folder / "README.md", target / "README.md")
    notebook = to_notebook(lab.name, source)
    nbformat.validate(notebook)
    (target / f"{lab.name}.ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def to_notebook(name: str, source: LabSource) -> Any:
    """The lab as an nbformat 4.5 notebook whose cell ids are the grade_ids, or `cell-001` and so on."""
    import nbformat

    cells = [_to_cell(cell, number) for number, cell in enumerate(source.cells, 1)]
    metadata = {
        "course": {"lab": name, **source.front},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
    }
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def write_release(root: Path, made: Path, name: str) -> None:
    """Make release/<name> from source/<name> by nbgrader's generate_assignment, without a gradebook.

    Raises:
        CourseError: nbgrader refuses the notebook.
    """
    put_environment_on_path()
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.preprocessors import SaveCells

    config = nbgrader_config(root, made)
    config.CourseDirectory.assignment_id = name
    config.GenerateAssignment.no_database = True
    config.GenerateAssignment.preprocessors = [
        preprocessor
        for preprocessor in GenerateAssignment.preprocessors.default_args[0]
        if preprocessor is not SaveCells
    ]
    converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
    try:
        converter.start()
    except (Exception, SystemExit) as error:
        raise CourseError(f"nbgrader could not make release/{name}: {error}") from error


def nbgrader_config(root: Path, course: Path) -> Any:
    """The settings of root's nbgrader_config.py, for the course directory `course`."""
    from traitlets.config import Config, PyFileConfigLoader

    path = root / "nbgrader_config.py"
    config = PyFileConfigLoader(path.name, path=str(root)).load_config() if path.is_file() else Config()
    config.CourseDirectory.root = str(course)
    return config


def _to_cell(cell: Cell, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "cell_type": cell.cell_type,
        "id": cell.grade_id or f"cell-{number:03d}",
        "metadata": {},
        "source": cell.source,
    }
    if cell.cell_type == "code":
        made |= {"execution_count": None, "outputs": []}
    if cell.tags:
        made["metadata"]["tags"] = list(cell.tags)
    if cell.kind:
        made["metadata"]["nbgrader"] = _nbgrader_metadata(cell)
    return made


def _nbgrader_metadata(cell: Cell) -> dict[str, Any]:
    metadata = {
        "cell_type": cell.cell_type,
        "grade": cell.kind in ("test", "manual"),
        "grade_id": cell.grade_id,
        "locked": cell.kind in ("test", "readonly"),
        "schema_version": 3,
        "solution": cell.kind in ("solution", "manual"),
        "task": False,
    }
    if "points" in cell.options:
        metadata["points"] = cell.options["points"]
    return metadata


def _relative(fault: Fault, root: Path) -> Fault:
    return Fault(fault.path.relative_to(root), fault.line, fault.message)


def _files(folder: Path) -> dict[str, Path]:
    skipped = {"__pycache__", ".ipynb_checkpoints", ".sagemaker"}
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not skipped & set(path.parts))
    return {path.relative_to(folder).as_posix(): path for path in found}


def _drift(root: Path, made: Path, lab: Lab) -> list[str]:
    """What differs between the generated files and the course's, a short diff for each."""
    found = []
    for kind in GENERATED:
        fresh, kept = _files(made / kind / lab.name), _files(root / kind / lab.name)
        for name in sorted(fresh.keys() | kept.keys()):
            where = f"{kind}/{lab.name}/{name}"
            if name not in kept:
                found.append(f"{where}: missing")
            elif name not in fresh:
                found.append(f"{where}: no longer made from labs/")
            elif fresh[name].read_bytes() != kept[name].read_bytes():
                found.append(f"{where}: differs\n{_short_diff(kept[name], fresh[name])}")
    return found


def _short_diff(kept: Path, fresh: Path) -> str:
    before, after = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in (kept, fresh))
    lines = list(difflib.unified_diff(before, after, "here", "from labs/", lineterm="", n=1))
    more = [f"... {len(lines) - DIFF_LINES} lines more"] if len(lines) > DIFF_LINES else []
    return "\n".join(f"    {line}" for line in [*lines[:DIFF_LINES], *more])


def _replace(root: Path, made: Path, lab: Lab) -> None:
    """Write the files that differ and remove those no longer made; the rest keep their times."""
    for kind in GENERATED:
        target = root / kind / lab.name
        fresh, kept = _files(made / kind / lab.name), _files(target)
        for name in kept.keys() - fresh.keys():
            kept[name].unlink()
        for name, path in fresh.items():
            if name not in kept or kept[name].read_bytes() != path.read_bytes():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / name)


def _stale_labs(root: Path, names: set[str]) -> list[Path]:
    folders = (path for kind in GENERATED for path in sorted((root / kind).glob("*/")))
    return [path for path in folders if path.name not in names and (path / f"{path.name}.ipynb").is_file()]
