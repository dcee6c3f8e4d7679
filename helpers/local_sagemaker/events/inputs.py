"""What a rule's target receives of an event: all of it, a part, a constant, or a text with parts put in.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import json
import re
from typing import Any

from helpers.local_sagemaker import json_paths
from helpers.local_sagemaker.errors import AwsError

_VARIABLE = re.compile(r"<([^<>\s]+)>")
_QUOTED_VARIABLE = re.compile(r'"<([^<>\s]+)>"')


def check(target: dict) -> None:
    """Holds a target's Input, InputPath and InputTransformer to AWS's rules.

    Raises:
        AwsError: `ValidationException`.
    """
    given = [name for name in ("Input", "InputPath", "InputTransformer") if name in target]
    if len(given) > 1:
        raise _refused(f"Only one of Input, InputPath, or InputTransformer must be provided for target {target['Id']}.")
    if given and ":event-bus/" in target["Arn"]:
        raise _refused(f"{given[0]} is not supported for the event bus of target {target['Id']}.")
    if "Input" in target:
        try:
            json.loads(target["Input"])
        except ValueError:
            raise _refused(f"JSON syntax error in input for target {target['Id']}.") from None
    transformer = target.get("InputTransformer", {})
    for path in (*transformer.get("InputPathsMap", {}).values(), target.get("InputPath", "$")):
        try:
            json_paths.steps(path)
        except json_paths.JsonPathError as error:
            raise _refused(f"Invalid InputPath for target {target['Id']}: {error}") from None


def of(target: dict, event: dict, rule: dict) -> str:
    """The text that a target gets.

    Args:
        target: of PutTargets.
        event: all of it.
        rule: with its Arn and its Name, for the variables of input transformers.
    """
    if "Input" in target:
        return target["Input"]
    if "InputPath" in target:
        return json.dumps(_selected(target["InputPath"], event))
    if "InputTransformer" not in target:
        return json.dumps(event)
    transformer = target["InputTransformer"]
    values = {name: _selected(path, event) for name, path in transformer.get("InputPathsMap", {}).items()}
    values |= {
        "aws.events.rule-arn": rule["Arn"],
        "aws.events.rule-name": rule["Name"],
        "aws.events.event.ingestion-time": event["time"],
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }
    return _filled(transformer["InputTemplate"], values)


def _selected(path: str, event: dict) -> Any:
    """What a path selects; null where the event lacks it."""
    try:
        return json_paths.select(path, event)
    except json_paths.JsonPathError:
        return None


def _filled(template: str, values: dict[str, Any]) -> str:
    """The template with its variables put in: an object or a list as JSON, a text inside of quotes as it is."""
    if not template.lstrip().startswith(("{", "[", '"')):
        return _VARIABLE.sub(lambda match: _as_text(match, values), template)
    # In a JSON template a variable in quotes is a text, one within a text is a part of it, and a bare one is a value.
    parts = re.split(r'("(?:[^"\\]|\\.)*")', template)
    return "".join(_in_quotes(part, values) if part.startswith('"') else _bare(part, values) for part in parts)


def _as_text(match: re.Match, values: dict[str, Any]) -> str:
    if match[1] not in values:
        return match[0]
    value = values[match[1]]
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _in_quotes(part: str, values: dict[str, Any]) -> str:
    alone = _QUOTED_VARIABLE.fullmatch(part)
    if alone and isinstance(values.get(alone[1]), dict | list):
        return json.dumps(values[alone[1]])
    return _VARIABLE.sub(lambda match: json.dumps(_as_text(match, values))[1:-1], part)


def _bare(part: str, values: dict[str, Any]) -> str:
    return _VARIABLE.sub(lambda match: json.dumps(values[match[1]]) if match[1] in values else match[0], part)


def _refused(message: str) -> AwsError:
    return AwsError("ValidationException", message)
