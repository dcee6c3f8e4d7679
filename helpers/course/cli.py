"""The `course` command: loads only the module of the subcommand asked for, so that help answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import typer

from helpers.course.project import CourseError, put_environment_on_path

COMMANDS = {
    "labs": ("helpers.course.labs:labs", "Make source/ and release/ from labs/."),
    "run": ("helpers.course.run:run", "Execute every solution headless, with times and costs."),
    "book": ("helpers.course.book:book", "Build the site; a warning is an error."),
    "grade": ("helpers.course.grade:grade", "Grade the submissions of a lab."),
    "feedback": ("helpers.course.feedback:feedback", "Write the feedback pages anew, with what a person added."),
    "report": ("helpers.course.insight:report", "Write the instructor's report on a lab."),
    "export": ("helpers.course.export:export", "Write the gradebook as a table."),
    "sagemaker": ("helpers.course.sagemaker:app", "Start, stop and look at the local SageMaker."),
    "cleanup": ("helpers.course.clean:cleanup", "List, then delete, everything that would still be billed."),
    "doctor": ("helpers.course.doctor:doctor", "Say what this machine or AWS account lacks for the course."),
}


def main() -> None:
    """Run the `course` command and exit: 0 if all went well, 1 on a failure, 2 on wrong usage, 130 on Ctrl-C."""
    put_environment_on_path()
    arguments = join_parameters(sys.argv[1:])
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        application(wanted)(arguments)
    except CourseError as error:
        typer.secho(str(error), err=True, fg="red")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True, fg="red")
        sys.exit(130)


def application(wanted: str | None) -> typer.Typer:
    """The command line, with the subcommand `wanted` loaded; of the others only the names and the help exist."""
    app = typer.Typer(
        name="course",
        help="Make, run, grade and publish the labs of the course.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, (target, summary) in COMMANDS.items():
        command = _load(target) if name == wanted else _not_loaded
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, help=summary)
        else:
            app.command(name, help=summary if command is _not_loaded else None)(command)
    return app


def join_parameters(arguments: list[str]) -> list[str]:
    """papermill's `-p NAME VALUE`, as the one word NAME=VALUE that Typer can repeat."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "-p":
            name = next(rest, "")
            joined.append(name if "=" in name else f"{name}={next(rest, '')}")
    return joined


def _load(target: str) -> Callable[..., None] | typer.Typer:
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def _not_loaded() -> None:
    raise RuntimeError("a subcommand ran without its module")
