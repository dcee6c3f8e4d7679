"""The content of model cards: JSON that follows AWS's schema.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-cards.html#model-cards-json-schema
"""

from __future__ import annotations

import functools
import json

from helpers.local_sagemaker import errors

# What is left of the content for who must not read it.
_METADATA = (
    ("model_overview", "model_id"),
    ("model_overview", "model_name"),
    ("intended_uses", "risk_rating"),
    ("model_package_details", "model_package_group_name"),
    ("model_package_details", "model_package_arn"),
)


def parse(text: str) -> dict:
    """The content, checked.

    Raises:
        AwsError: `ValidationException`; it is no JSON, or does not follow the schema.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise errors.validation(f"Model card content is not valid JSON: {error}") from None
    fault = next(_validator().iter_errors(content), None)
    if fault is not None:
        place = ".".join(map(str, fault.absolute_path)) or "the content"
        raise errors.validation(f"Model card content does not conform to the schema: {place}: {fault.message}")
    return content


def metadata(text: str) -> str:
    """The content with nothing but what IncludedData `MetadataOnly` shows."""
    content, kept = json.loads(text), {}
    for section, name in _METADATA:
        if name in content.get(section, {}):
            kept.setdefault(section, {})[name] = content[section][name]
    return json.dumps(kept)


@functools.cache
def _validator() -> object:
    import jsonschema

    return jsonschema.Draft7Validator(_schema())


def _text(longest: int = 1024) -> dict:
    return {"type": "string", "maxLength": longest}


def _list(items: dict, most: int | None = None) -> dict:
    return {"type": "array", "items": items} | ({"maxItems": most} if most else {})


def _object(required: tuple[str, ...] = (), **properties: dict) -> dict:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _schema() -> dict:
    name = {"type": "string", "minLength": 1, "maxLength": 255}
    images = _object(container_image=_list(_text(), 15))
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    goal = {"enum": ["Maximize", "Minimize"]}
    goal_details = {"function": goal, "facet": _text(63), "condition": _text(63)}
    metric = _object(("name", "value"), name=name, notes=_text(), value={"type": "number"})
    parameter = _object(("name", "value"), name=name, value={"type": "string"})
    job = _object(
        training_arn=_text(),
        training_datasets=_list(_text(), 15),
        training_environment=images,
        training_metrics=_list(metric, 50),
        user_provided_training_metrics=_list(metric, 50),
        hyper_parameters=_list(parameter, 100),
        user_provided_hyper_parameters=_list(parameter, 100),
    )
    evaluation = _object(
        ("name",),
        name=name,
        evaluation_observation=_text(2096),
        evaluation_job_arn=_text(256),
        datasets=_list(_text(), 10),
        metadata=texts,
        metric_groups=_list(_object(("name", "metric_data"), name=name, metric_data=_list(_metric(name)))),
    )
    return _object(
        model_overview=_object(
            model_description=_text(),
            model_id=_text(),
            model_name=_text(),
            model_version={"type": "number", "minimum": 1},
            problem_type=_text(),
            algorithm_type=_text(),
            model_creator=_text(),
            model_owner=_text(),
            model_artifact=_list(_text(), 15),
            inference_environment=images,
        ),
        model_package_details={"type": "object"},
        intended_uses=_object(
            purpose_of_model=_text(2048),
            intended_uses=_text(2048),
            factors_affecting_model_efficiency=_text(2048),
            risk_rating={"enum": ["High", "Medium", "Low", "Unknown"]},
            explanations_for_risk_rating=_text(2048),
        ),
        business_details=_object(
            business_problem=_text(2048), business_stakeholders=_text(2048), line_of_business=_text(2048)
        ),
        training_details=_object(
            # Of a model card the function is an object of its own, of a model package's card it is a word.
            objective_function=_object(
                **goal_details | {"function": {"anyOf": [goal, _object(**goal_details)]}}, notes=_text()
            ),
            training_observations=_text(),
            training_job_details=job,
        ),
        evaluation_details=_list(evaluation),
        additional_information=_object(
            ethical_considerations=_text(2048), caveats_and_recommendations=_text(2048), custom_details=texts
        ),
    )


def _metric(name: dict) -> dict:
    """A metric of an evaluation, in each of its types."""
    axes = {"x_axis_name": {"type": ["string", "array"]}, "y_axis_name": {"type": ["string", "array"]}}
    values = {
        "number": {"type": "number"},
        "string": {"type": "string"},
        "boolean": {"type": "boolean"},
        "linear_graph": _list(_list({"type": "number"})),
        "bar_chart": {"type": "array"},
        "matrix": _list({"type": "array"}),
    }
    return {
        "anyOf": [
            _object(("name", "value", "type"), name=name, notes=_text(), type={"const": kind}, value=value, **axes)
            for kind, value in values.items()
        ]
    }
