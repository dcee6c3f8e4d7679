"""`course sagemaker`: the local SageMaker from the command line."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from helpers import local_sagemaker
from helpers.course.project import CourseError, find_root

app = typer.Typer(no_args_is_help=True)


def home() -> Path:
    """Folder of the server's state: LOCAL_SAGEMAKER_HOME, else .sagemaker of the course, else of the current folder."""
    if given := os.environ.get("LOCAL_SAGEMAKER_HOME"):
        return Path(given).resolve()
    try:
        return find_root() / ".sagemaker"
    except CourseError:
        return Path(".sagemaker").resolve()


@app.command()
def start(port: Annotated[int | None, typer.Option(help="Port of 127.0.0.1; any free one by default.")] = None) -> None:
    """Start the server unless it runs; returns when it answers."""
    try:
        running = local_sagemaker.start(home(), port)
    except local_sagemaker.LocalSageMakerError as error:
        raise CourseError(str(error)) from error
    typer.echo(f"local SageMaker at {running.url} (pid {running.pid}), state in {running.home}")
    typer.echo(f"web console at {running.console}")
    typer.echo("`course sagemaker status` prints the variables that point other programs at it")


@app.command()
def stop() -> None:
    """Stop the server, its jobs and its endpoints; the state stays."""
    running = local_sagemaker.status(home())
    try:
        local_sagemaker.stop(home())
    except local_sagemaker.LocalSageMakerError as error:
        raise CourseError(str(error)) from error
    typer.echo(f"stopped {running.url}" if running else f"no local SageMaker runs in {home()}")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    export: Annotated[bool, typer.Option("--export", help="Only the export lines, for eval.")] = False,
) -> None:
    """Print the server's URL and the lines that point any program at it; fails when it does not run."""
    running = local_sagemaker.status(home())
    if running is None:
        if as_json:
            typer.echo(json.dumps({"running": False, "home": str(home())}))
            raise typer.Exit(1)
        raise CourseError(f"no local SageMaker runs in {home()}: run `course sagemaker start`")
    variables = local_sagemaker.environment(running)
    if as_json:
        state = {"running": True, "url": running.url, "console": running.console, "pid": running.pid}
        state["home"] = str(running.home)
        typer.echo(json.dumps({**state, "environment": variables}, indent=2))
        return
    if not export:
        typer.echo(f"local SageMaker at {running.url} (pid {running.pid}), state in {running.home}")
        typer.echo(f"web console at {running.console}\n")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop the server and delete all of its state: jobs, models, endpoints, buckets."""
    if not yes:
        typer.confirm(f"delete all state in {home()}?", abort=True)
    try:
        local_sagemaker.reset(home())
    except local_sagemaker.LocalSageMakerError as error:
        raise CourseError(str(error)) from error
    typer.echo(f"nothing is left in {home()}")


@app.command()
def logs(
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="Lines from the end.")] = 50,
) -> None:
    """Print the end of the server's log."""
    path = home() / "server.log"
    if not path.is_file():
        raise CourseError(f"no log at {path}: the local SageMaker has not run there")
    typer.echo("\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]))
