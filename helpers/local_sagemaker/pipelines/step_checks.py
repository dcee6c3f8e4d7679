"""What a step of each type may hold: refused when a pipeline is made, with the place of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.local_sagemaker import model
from helpers.local_sagemaker.pipelines import caching, conditions, retries
from helpers.local_sagemaker.pipelines.expressions import GET, ExpressionError, is_expression
from helpers.local_sagemaker.pipelines.resources import RESOURCES

_COMMON = {"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description", "CacheConfig", "RetryPolicies"}
_CHECK = {"CheckType", "SkipCheck", "FailOnViolation", "RegisterNewBaseline", "ModelPackageGroupName"}
# By type: what a step has beside its arguments, and whether its results may be cached.
_OTHERS: dict[str, tuple[set[str], bool]] = {
    "QualityCheck": (_CHECK | {"SuppliedBaselineStatistics", "SuppliedBaselineConstraints"}, True),
    "ClarifyCheck": (_CHECK | {"SuppliedBaselineConstraints", "ModelName"}, True),
    "Condition": (set(), False),
    "Fail": (set(), False),
    "Lambda": ({"FunctionArn", "OutputParameters"}, True),
    "Callback": ({"SqsQueueUrl", "OutputParameters"}, True),
}
TYPES = tuple(dict.fromkeys((*RESOURCES, *_OTHERS)))
# By type: what its steps may check.
CHECKED = {
    "QualityCheck": ("DATA_QUALITY", "MODEL_QUALITY"),
    "ClarifyCheck": ("DATA_BIAS", "MODEL_BIAS", "MODEL_EXPLAINABILITY"),
}
# By type: what its steps tell, the baseline that a check has calculated and the one that it used.
_CHECK_PROPERTIES = {
    "QualityCheck": (
        *("CalculatedBaselineStatistics", "CalculatedBaselineConstraints"),
        *("BaselineUsedForDriftCheckStatistics", "BaselineUsedForDriftCheckConstraints"),
    ),
    "ClarifyCheck": ("CalculatedBaselineConstraints", "BaselineUsedForDriftCheckConstraints"),
}
# By type of a parameter or an output: the types of members that take it.
FITTING = {
    "String": ("string", "timestamp"),
    "Integer": ("integer", "long", "float", "double"),
    "Float": ("float", "double"),
    "Boolean": ("boolean",),
}


def type_of(body: dict) -> str:
    """The type of a step.

    Raises:
        ExpressionError: the local SageMaker has no steps of the type.
    """
    kind = body.get("Type")
    if kind not in TYPES:
        raise ExpressionError(
            f"Step {body['Name']!r} is of type {kind!r}, which is not available in the local SageMaker; available are "
            f"{', '.join(TYPES)}"
        )
    return kind


def has_cache(kind: str) -> bool:
    """Whether the results of steps of a type may be cached."""
    return bool(RESOURCES[kind].cached) if kind in RESOURCES else _OTHERS[kind][1]


def check(kind: str, body: dict, where: str) -> None:
    """Refuses a malformed step.

    Raises:
        ExpressionError: says where.
    """
    members, _ = _OTHERS.get(kind, ({"PropertyFiles"}, False))
    if unknown := body.keys() - _COMMON - members:
        raise ExpressionError(f"{where}: a {kind} step has no {', '.join(sorted(unknown))}")
    if cache := body.get("CacheConfig"):
        if not has_cache(kind):
            raise ExpressionError(f"{where}.CacheConfig: the results of {kind} steps are not cached")
        caching.check(cache, f"{where}.CacheConfig")
    if policies := body.get("RetryPolicies"):
        if kind not in RESOURCES or not RESOURCES[kind].retried:
            raise ExpressionError(f"{where}.RetryPolicies: {kind} steps have none")
        retries.check(policies, f"{where}.RetryPolicies")
    if kind in CHECKED:
        if body.get("CheckType") not in CHECKED[kind]:
            raise ExpressionError(f"{where}.CheckType: must be one of {', '.join(CHECKED[kind])}")
    elif kind not in RESOURCES:
        _check_arguments(kind, body, where)


def _check_arguments(kind: str, body: dict, where: str) -> None:
    arguments = body.get("Arguments", {})
    if kind == "Condition":
        if unknown := arguments.keys() - {"Conditions", "IfSteps", "ElseSteps"}:
            raise ExpressionError(f"{where}.Arguments: a Condition step has no {', '.join(sorted(unknown))}")
        conditions.check(arguments.get("Conditions"), f"{where}.Arguments.Conditions")
    elif kind == "Fail":
        if arguments.keys() != {"ErrorMessage"}:
            raise ExpressionError(f"{where}.Arguments: a Fail step has an ErrorMessage and nothing else")
    else:
        (needed,) = _OTHERS[kind][0] - {"OutputParameters"}
        if needed not in body:
            raise ExpressionError(f"{where}: {needed} is missing")
        _check_outputs(body.get("OutputParameters") or [], f"{where}.OutputParameters")


def _check_outputs(outputs: object, where: str) -> None:
    if not isinstance(outputs, list):
        raise ExpressionError(f"{where}: a list is needed")
    for index, output in enumerate(outputs):
        is_output = isinstance(output, dict) and output.keys() == {"OutputName", "OutputType"}
        if not is_output or not all(isinstance(value, str) for value in output.values()):
            raise ExpressionError(f"{where}[{index}]: an output has OutputName and OutputType, got {output!r}")
        if output["OutputType"] not in FITTING:
            raise ExpressionError(f"{where}[{index}]: OutputType must be one of {', '.join(FITTING)}")


def check_request(kind: str, arguments: dict, where: str, type_of_expression: Callable[[dict], str | None]) -> None:
    """Refuses arguments that the request of a step's resource cannot be made of.

    Args:
        kind: the step's type.
        arguments: with their expressions.
        where: the arguments stand.
        type_of_expression: the type of what an expression will give, a key of FITTING, or None where nobody knows.

    Raises:
        ExpressionError: a member is not known, is missing, or is given what has another type.
    """
    if kind in RESOURCES:
        resource = RESOURCES[kind]
        shape = model.service()["operations"][f"Create{resource.stem}"]["input"]["shape"]
        _Request(type_of_expression).visit(shape, {resource.name: "name"} | arguments, where)


@dataclass(frozen=True)
class _Request:
    type_of_expression: Callable[[dict], str | None]

    def visit(self, shape_name: str, value: object, where: str) -> None:
        shape = model.service()["shapes"][shape_name]
        kind = shape["type"]
        if is_expression(value):
            given = self.type_of_expression(value)
            if given and kind not in FITTING[given]:
                what = value.get(GET) or next(iter(value))
                raise ExpressionError(
                    f"{where}: Cannot assign property reference [{what}] of type [{given}] to argument of type "
                    f"[{kind.title()}]"
                )
        elif kind in ("structure", "map") and not isinstance(value, dict):
            raise ExpressionError(f"{where}: a {kind} is needed, got {value!r}")
        elif kind == "list" and not isinstance(value, list):
            raise ExpressionError(f"{where}: a list is needed, got {value!r}")
        elif kind == "structure":
            self._members(shape, value, where)
        elif kind == "list":
            for index, item in enumerate(value):
                self.visit(shape["member"]["shape"], item, f"{where}[{index}]")
        elif kind == "map":
            for key, item in value.items():
                self.visit(shape["value"]["shape"], item, f"{where}.{key}")

    def _members(self, shape: dict, value: dict, where: str) -> None:
        if unknown := value.keys() - shape["members"].keys():
            raise ExpressionError(f"{where}: {', '.join(sorted(unknown))} is not known")
        if missing := [name for name in shape.get("required", ()) if value.get(name) is None]:
            raise ExpressionError(f"{where}: {', '.join(missing)} is missing")
        for name, item in value.items():
            if item is not None:
                self.visit(shape["members"][name]["shape"], item, f"{where}.{name}")


def type_of_property(kind: str, body: dict, path: tuple[str | int, ...], where: str) -> str | None:
    """The type of what a reference to a step gives, a key of FITTING; None where nobody knows.

    Raises:
        ExpressionError: no step of this kind has it.
    """
    if kind in CHECKED and len(path) == 1 and path[0] in _CHECK_PROPERTIES[kind]:
        return "String"
    if kind in RESOURCES and kind not in CHECKED:
        return None if path[0] == "PropertyFiles" else _type_of_described(kind, path, where)
    if kind == "Condition" and path == ("Outcome",):
        return "String"
    types = {output["OutputName"]: output["OutputType"] for output in body.get("OutputParameters") or []}
    if path[0] != "OutputParameters" or len(path) != 2 or path[1] not in types:
        raise ExpressionError(f"{where}: step {body['Name']} has no such property")
    return types[path[1]]


def _type_of_described(kind: str, path: tuple[str | int, ...], where: str) -> str | None:
    """Follows a path along the shape of the Describe response."""
    shapes, stem = model.service()["shapes"], RESOURCES[kind].stem
    operation = f"Describe{stem}"
    if kind == "Tuning" and path[0] == "TrainingJobSummaries":
        operation = f"ListTrainingJobsFor{stem}"
    shape = shapes[model.service()["operations"][operation]["output"]["shape"]]
    for part in path:
        if shape["type"] == "structure":
            following = shape["members"].get(part)
        else:
            following = {"list": shape.get("member"), "map": shape.get("value")}.get(shape["type"])
        if following is None:
            raise ExpressionError(f"{where}: a {kind} step has no property {part!r} there")
        shape = shapes[following["shape"]]
    return next((name for name, fitting in FITTING.items() if shape["type"] == fitting[0]), None)
