"""Pipeline definitions of the schema 2020-12-01: parsed, and refused with the place of what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.pipelines import expressions, parameters, step_checks
from helpers.local_sagemaker.pipelines.expressions import ExpressionError, Found

VERSION = "2020-12-01"
TRIGGERS = {"Completed": ("Succeeded",), "Failed": ("Failed",), "Stopped": ("Stopped",)}
TRIGGERS["Any"] = tuple(status for statuses in TRIGGERS.values() for status in statuses)
_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_PROPERTY_FILE = {"PropertyFileName", "OutputName", "FilePath"}
_TOP = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps")


@dataclass(frozen=True)
class Step:
    """A step, wherever in the definition it stands.

    Attributes:
        name: unique in the pipeline.
        type: such as Training.
        body: the step as it is written.
        branch: the condition step and its outcome, True or False, that it takes to run this one.
        triggers: the steps that come first, and what has to become of each: a key of TRIGGERS.
    """

    name: str
    type: str
    body: dict
    branch: tuple[str, str] | None = None
    triggers: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> dict:
        """What the step's request is made of, with its expressions."""
        return self.body.get("Arguments", {})

    @property
    def property_files(self) -> dict[str, tuple[str, str]]:
        """The output and the path of each property file, by its name."""
        files = self.body.get("PropertyFiles") or []
        return {file["PropertyFileName"]: (file["OutputName"], file["FilePath"]) for file in files}


@dataclass(frozen=True)
class Definition:
    """A whole definition.

    Attributes:
        parameters: by name.
        experiment: PipelineExperimentConfig with its expressions, or None.
        steps: by name, each after those that come first.
    """

    parameters: dict[str, parameters.Parameter]
    experiment: dict | None
    steps: dict[str, Step]


def parse(text: str) -> Definition:
    """The definition in a JSON text.

    Raises:
        AwsError: `ValidationException`, which says what is wrong and where.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ExpressionError("a JSON object is needed")
        return _definition(document)
    except RecursionError:
        raise errors.validation("Unable to parse pipeline definition. It is nested too deep.") from None
    except (ValueError, ExpressionError) as error:
        raise errors.validation(f"Unable to parse pipeline definition. {error}") from None


def _definition(document: dict) -> Definition:
    if document.get("Version") != VERSION:
        raise ExpressionError(f"Version: {document.get('Version')!r} is not {VERSION!r}")
    if unknown := [key for key in document if key not in _TOP]:
        raise ExpressionError(f"{', '.join(unknown)}: not known; known are {', '.join(_TOP)}")
    if document.get("MlflowConfig"):
        raise ExpressionError("MlflowConfig is not available in the local SageMaker")
    declared = parameters.declared(document.get("Parameters") or [])
    steps: dict[str, Step] = {}
    for step in _steps(document.get("Steps"), "Steps", None):
        if step.name in steps:
            raise ExpressionError(f"Steps: the name {step.name!r} is used twice; step names must be unique")
        steps[step.name] = step
    experiment = document.get("PipelineExperimentConfig") or None
    for found in expressions.find(experiment, "PipelineExperimentConfig"):
        _check_found(found, declared, {})
    return Definition(declared, experiment, _ordered(_linked(steps, declared)))


def _steps(items: object, where: str, branch: tuple[str, str] | None) -> Iterator[Step]:
    """The steps of a list, and those of the branches in it."""
    if not isinstance(items, list) or (not items and branch is None):
        raise ExpressionError(f"{where}: a list of steps is needed")
    for index, body in enumerate(items):
        name = body.get("Name") if isinstance(body, dict) else None
        if not isinstance(name, str) or not _STEP_NAME.fullmatch(name):
            raise ExpressionError(f"{where}[{index}]: {name!r} is no name of a step")
        if not isinstance(body.get("Arguments", {}), dict):
            raise ExpressionError(f"Steps.{name}.Arguments: a structure is needed")
        step = Step(name, step_checks.type_of(body), body, branch)
        yield step
        if step.type == "Condition":
            for member, outcome in (("IfSteps", "True"), ("ElseSteps", "False")):
                yield from _steps(step.arguments.get(member) or [], f"Steps.{name}.{member}", (name, outcome))


def _linked(steps: dict[str, Step], declared: dict) -> dict[str, Step]:
    """The steps with what has to come before each."""
    for name, step in steps.items():
        step_checks.check(step.type, step.body, f"Steps.{name}")
        _check_property_files(step, f"Steps.{name}")
    linked = {}
    for name, step in steps.items():
        where = f"Steps.{name}"
        triggers = _triggers(step.body.get("DependsOn") or [], f"{where}.DependsOn")
        for found in _expressions(step, where):
            _check_found(found, declared, steps)
            for upstream in _referred(found):
                triggers.setdefault(upstream, "Completed")
        step_checks.check_request(
            step.type, step.arguments, f"{where}.Arguments", lambda value: _type_of(value, declared, steps)
        )
        _check_outputs(step, where)
        if step.branch:
            triggers.setdefault(step.branch[0], "Completed")
        if unknown := [upstream for upstream in triggers if upstream not in steps]:
            raise ExpressionError(f"{where}.DependsOn: there is no step {', '.join(map(repr, unknown))}")
        linked[name] = Step(name, step.type, step.body, step.branch, triggers)
    return linked


def _triggers(items: object, where: str) -> dict[str, str]:
    if not isinstance(items, list):
        raise ExpressionError(f"{where}: a list is needed")
    found: dict[str, str] = {}
    for index, item in enumerate(items):
        entry = {"Step": item, "Trigger": "Completed"} if isinstance(item, str) else item
        is_entry = isinstance(entry, dict) and entry.keys() == {"Step", "Trigger"}
        if not is_entry or not _are_texts(entry.values()) or entry["Trigger"] not in TRIGGERS:
            raise ExpressionError(
                f"{where}[{index}]: {item!r} is no step, and no Step with a Trigger of {', '.join(TRIGGERS)}"
            )
        if found.setdefault(entry["Step"], entry["Trigger"]) != entry["Trigger"]:
            raise ExpressionError(f"{where}[{index}]: {entry['Step']} has two triggers")
    return found


def _check_property_files(step: Step, where: str) -> None:
    files = step.body.get("PropertyFiles") or []
    if files and step.type != "Processing":
        raise ExpressionError(f"{where}.PropertyFiles: only Processing steps have property files")
    if not isinstance(files, list):
        raise ExpressionError(f"{where}.PropertyFiles: a list is needed")
    for index, file in enumerate(files):
        if not isinstance(file, dict) or file.keys() != _PROPERTY_FILE or not _are_texts(file.values()):
            raise ExpressionError(f"{where}.PropertyFiles[{index}] needs {', '.join(sorted(_PROPERTY_FILE))}")


def _are_texts(values: Iterable) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_outputs(step: Step, where: str) -> None:
    """Refuses a property file in an output that a Processing step does not have; its arguments have been checked."""
    outputs = (step.arguments.get("ProcessingOutputConfig") or {}).get("Outputs", [])
    names = [output.get("OutputName") for output in outputs if isinstance(output, dict)]
    for name, (output, _) in step.property_files.items():
        if output not in names:
            raise ExpressionError(f"{where}.PropertyFiles: {name} is in {output!r}, and the step has no such output")


def _expressions(step: Step, where: str) -> Iterator[Found]:
    """The expressions of a step, without those of the steps in its branches."""
    arguments = {key: value for key, value in step.arguments.items() if key not in ("IfSteps", "ElseSteps")}
    yield from expressions.find(arguments, f"{where}.Arguments")
    others = {key: value for key, value in step.body.items() if key not in ("Arguments", "DependsOn")}
    yield from expressions.find(others, where)


def _referred(found: Found) -> list[str]:
    """The steps that an expression reads."""
    if found.function != expressions.GET:
        return []
    reference = expressions.parse(found.argument)
    return [reference.name] if reference.scope == "Steps" else []


def _check_found(found: Found, declared: dict, steps: dict[str, Step]) -> None:
    """Refuses an expression that can never have a value."""
    if found.function == expressions.JSON_GET:
        names = expressions.property_file_of(found.argument)
        if names and names[0] in steps and names[1] not in steps[names[0]].property_files:
            raise ExpressionError(f"{found.where}: step {names[0]} has no property file {names[1]!r}")
    if found.function != expressions.GET:
        return
    reference = expressions.parse(found.argument, found.where)
    if reference.scope == "Parameters" and reference.name not in declared:
        raise ExpressionError(f"{found.where}: there is no parameter {reference.name!r}")
    if reference.scope == "Steps" and reference.name not in steps:
        raise ExpressionError(f"{found.where}: there is no step {reference.name!r}")
    _type_of({found.function: found.argument}, declared, steps, f"{found.where}: ")


def _type_of(value: dict, declared: dict, steps: dict[str, Step], where: str = "") -> str | None:
    """The type of what an expression will give, None where nobody knows.

    Raises:
        ExpressionError: a step has no such property.
    """
    ((function, argument),) = value.items()
    if function != expressions.GET:
        return "String" if function == expressions.JOIN else None
    reference = expressions.parse(argument)
    if reference.scope == "Parameters":
        return declared[reference.name].type
    if reference.scope != "Steps":
        return "String"
    step = steps[reference.name]
    return step_checks.type_of_property(step.type, step.body, reference.path, f"{where}{argument!r}")


def _ordered(steps: dict[str, Step]) -> dict[str, Step]:
    """The steps in an order in which each comes after those that it waits for.

    Raises:
        ExpressionError: some wait for each other.
    """
    ordered: dict[str, Step] = {}
    while len(ordered) < len(steps):
        ready = [s for s in steps.values() if s.name not in ordered and s.triggers.keys() <= ordered.keys()]
        if not ready:
            raise ExpressionError(f"Steps: {' -> '.join(_cycle(steps, ordered))} wait for each other")
        ordered |= {step.name: step for step in ready}
    return ordered


def _cycle(steps: dict[str, Step], done: dict[str, Step]) -> list[str]:
    name = next(name for name in steps if name not in done)
    way: list[str] = []
    while name not in way:
        way.append(name)
        name = next(upstream for upstream in steps[name].triggers if upstream not in done)
    return [*way[way.index(name) :], name]
