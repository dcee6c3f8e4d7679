"""Expressions of a pipeline definition: `Get`, `Std:Join` and `Std:JsonGet`, found in it and resolved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GET, JOIN, JSON_GET = "Get", "Std:Join", "Std:JsonGet"
SCOPES = ("Parameters", "Execution", "Steps", "PipelineExperimentConfig")
VARIABLES = (
    *("StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn", "PipelineExecutionId"),
    *("PipelineExecutionArn", "TrainingJobName", "ProcessingJobName"),
)
_MEMBERS = {JOIN: {"On", "Values"}, JSON_GET: {"PropertyFile", "S3Uri", "Path"}}
_TOKEN = re.compile(r"\.?(?P<name>[\w-]+)|\[(?P<index>\d+)\]|\['(?P<key>[^']*)'\]|\[\"(?P<other>[^\"]*)\"\]")


class ExpressionError(Exception):
    """An expression is not one, or has no value; the message says which and why."""


@dataclass(frozen=True)
class Reference:
    """What a `Get` asks for.

    Attributes:
        scope: one of SCOPES.
        name: of the parameter, the variable or the step.
        path: members, keys and indexes below it.
    """

    scope: str
    name: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Where references find their values.

    Attributes:
        parameters: by name.
        execution: the variables of the execution, by name.
        experiment: ExperimentName and TrialName, where the pipeline has them.
        properties: gives what a step's resource is described as; raises ExpressionError for a step that has none.
        property_file: reads the property file of a step, by the names of both.
        s3_json: reads a JSON file by its URI.
    """

    parameters: dict
    execution: dict
    experiment: dict
    properties: Callable[[str], dict]
    property_file: Callable[[str, str], object]
    s3_json: Callable[[str], object]


@dataclass(frozen=True)
class Found:
    """An expression within a definition.

    Attributes:
        where: the way to it, such as `Steps.Train.Arguments.HyperParameters.depth`.
        function: Get, Std:Join or Std:JsonGet.
        argument: what the function is given.
    """

    where: str
    function: str
    argument: object


def find(value: object, where: str) -> Iterator[Found]:
    """All expressions in a value, the outer ones before those that they hold.

    Raises:
        ExpressionError: a function is not known, or has arguments that it does not take.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from find(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        function = _function(value, where)
        if function:
            yield Found(where, function, value[function])
            if function != GET:
                yield from find(value[function], f"{where}.{function}")
        else:
            for key, item in value.items():
                yield from find(item, f"{where}.{key}")


def is_expression(value: object) -> bool:
    """Whether a value of a definition stands for another one."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in (GET, JOIN, JSON_GET)


def _function(value: dict, where: str) -> str | None:
    """The function of an expression, None where a dict is only one."""
    if len(value) != 1:
        return None
    ((name, argument),) = value.items()
    if name == GET:
        if not isinstance(argument, str):
            raise ExpressionError(f"{where}: {GET} takes a text, got {argument!r}")
        parse(argument, where)
        return GET
    if name in _MEMBERS:
        _check_arguments(name, argument, where)
        return name
    if name.startswith("Std:"):
        raise ExpressionError(f"{where}: the function {name} is not known; known are {JOIN} and {JSON_GET}")
    return None


def _check_arguments(function: str, argument: object, where: str) -> None:
    if not isinstance(argument, dict) or not argument.keys() <= _MEMBERS[function]:
        raise ExpressionError(f"{where}: {function} takes {', '.join(sorted(_MEMBERS[function]))}, got {argument!r}")
    if function == JOIN:
        if not isinstance(argument.get("Values"), list) or not isinstance(argument.get("On", ""), str):
            raise ExpressionError(f"{where}: {JOIN} needs a list of Values and a text On, got {argument!r}")
        return
    if not isinstance(argument.get("Path"), str) or ("PropertyFile" in argument) == ("S3Uri" in argument):
        raise ExpressionError(f"{where}: {JSON_GET} needs a Path, and either a PropertyFile or an S3Uri")
    if "PropertyFile" in argument:
        _property_file(argument["PropertyFile"], where)
    _tokens(argument["Path"].removeprefix("$"), where)


def parse(text: str, where: str = "") -> Reference:
    """The reference in a `Get`.

    Raises:
        ExpressionError: it is none.
    """
    scope, *path = _tokens(text, where)
    if scope not in SCOPES or not path or not isinstance(path[0], str):
        raise ExpressionError(f"{_prefix(where)}{text!r} begins with none of {', '.join(f'{s}.' for s in SCOPES)}")
    if scope == "Execution" and path[0] not in VARIABLES:
        raise ExpressionError(f"{_prefix(where)}there is no execution variable {path[0]!r}")
    if scope == "Steps" and len(path) == 1:
        raise ExpressionError(f"{_prefix(where)}{text!r} names a step and none of its properties")
    if scope != "Steps" and len(path) > 1:
        raise ExpressionError(f"{_prefix(where)}{text!r} goes below a value that has no members")
    return Reference(scope, path[0], tuple(path[1:]))


def property_file_of(argument: dict) -> tuple[str, str] | None:
    """Step and property file that a `Std:JsonGet` reads, by their names; None for one that reads an S3Uri."""
    return _property_file(argument["PropertyFile"], "") if "PropertyFile" in argument else None


def _property_file(value: object, where: str) -> tuple[str, str]:
    if isinstance(value, dict) and isinstance(value.get(GET), str):
        reference = parse(value[GET], where)
        if reference.scope == "Steps" and len(reference.path) == 2 and reference.path[0] == "PropertyFiles":
            return reference.name, str(reference.path[1])
    raise ExpressionError(f"{_prefix(where)}PropertyFile must be a Get of Steps.<step>.PropertyFiles.<name>: {value!r}")


def _tokens(text: str, where: str) -> list[str | int]:
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(f"{_prefix(where)}{text!r} is no path, from {text[position:]!r} on")
        index = match["index"]
        found.append(int(index) if index is not None else match["name"] or match["key"] or match["other"] or "")
        position = match.end()
    if not found:
        raise ExpressionError(f"{_prefix(where)}the path is empty")
    return found


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""


def resolve(value: object, scope: Scope) -> object:
    """A value with every expression in it replaced by what it stands for.

    Raises:
        ExpressionError: one has no value.
    """
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    if not isinstance(value, dict):
        return value
    if not is_expression(value):
        return {key: resolve(item, scope) for key, item in value.items()}
    ((function, argument),) = value.items()
    if function == GET:
        return _get(argument, scope)
    if function == JOIN:
        return argument.get("On", "").join(text_of(resolve(item, scope)) for item in argument["Values"])
    if names := property_file_of(argument):
        source, document = f"the property file {names[1]} of step {names[0]}", scope.property_file(*names)
    else:
        uri = resolve(argument["S3Uri"], scope)
        source, document = uri, scope.s3_json(uri)
    found = follow(document, _tokens(argument["Path"].removeprefix("$"), ""), f"{argument['Path']} of {source}")
    if isinstance(found, dict | list):
        raise ExpressionError(f"{argument['Path']} of {source} is not a single value")
    return found


def text_of(value: object) -> str:
    """A value as `Std:Join` writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _get(text: str, scope: Scope) -> object:
    reference = parse(text)
    if reference.scope == "Steps":
        return follow(scope.properties(reference.name), list(reference.path), text)
    found = {
        "Parameters": scope.parameters,
        "Execution": scope.execution,
        "PipelineExperimentConfig": scope.experiment,
    }
    if reference.name not in found[reference.scope]:
        raise ExpressionError(f"{text} has no value here")
    return found[reference.scope][reference.name]


def follow(value: object, path: list[str | int], words: str) -> object:
    """What stands at the end of a path; in a list of structures, a key is the name of one of them.

    Raises:
        ExpressionError: there is nothing; it says so of `words`.
    """
    for part in path:
        if isinstance(value, list):
            value = _element(value, part)
        else:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            raise ExpressionError(f"{words} does not exist")
    return value


def _element(items: list, part: str | int) -> object:
    if isinstance(part, int):
        return items[part] if part < len(items) else None
    named = (item for item in items if isinstance(item, dict))
    return next((item for item in named if part in [v for k, v in item.items() if k.endswith("Name")]), None)
