"""Values in a pipeline: parameters, expressions, conditions and durations."""

import pytest
from pipelined import get, join

from helpers.local_sagemaker.errors import AwsError
from helpers.local_sagemaker.pipelines import caching, conditions, expressions, parameters
from helpers.local_sagemaker.pipelines.expressions import ExpressionError


def test_values_of_parameters_have_their_type():
    declared = parameters.declared(
        [
            {"Name": "text", "Type": "String", "EnumValues": ["a", "b"]},
            {"Name": "count", "Type": "Integer", "DefaultValue": 3},
            {"Name": "rate", "Type": "Float", "DefaultValue": 1},
            {"Name": "on", "Type": "Boolean", "DefaultValue": False},
        ]
    )

    def values(**given):
        return parameters.values(declared, [{"Name": name, "Value": value} for name, value in given.items()])

    assert values(text="a") == {"text": "a", "count": 3, "rate": 1, "on": False}
    assert values(text="b", count="4", rate="1e-3", on="True") == {"text": "b", "count": 4, "rate": 0.001, "on": True}
    assert parameters.listed(values(text="a", on="true"))[-1] == {"Name": "on", "Value": "true"}
    for given, message in (
        ({}, "Parameters [text] must be given"),
        ({"text": "c"}, "Parameter text must be one of [a, b], got 'c'."),
        ({"text": "a", "count": "1.5"}, "Parameter count must be of type Integer, got '1.5'."),
        ({"text": "a", "on": "yes"}, "Parameter on must be of type Boolean, got 'yes'."),
        ({"text": "a", "moon": "full"}, "Unknown parameters: [moon]"),
    ):
        with pytest.raises(AwsError) as refused:
            values(**given)
        assert refused.value.message.startswith(message)


def scope():
    """Values for all references."""
    job = {
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "n", "S3Output": {"S3Uri": "s3://b/k"}}]},
        "List": [{"A": 1}, {"A": 2}],
        "Map": {"with space": "x"},
    }
    document = {"a": {"b": [1, {"c": 0.5}]}, "x-y": True}
    return expressions.Scope(
        {"p": 3, "flag": True},
        {"PipelineName": "it"},
        {"TrialName": "one"},
        {"S": job}.__getitem__,
        lambda step, file: document if (step, file) == ("S", "f") else None,
        {"s3://b/3.json": document}.__getitem__,
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (get("Parameters.p"), 3),
        (get("Execution.PipelineName"), "it"),
        (get("PipelineExperimentConfig.TrialName"), "one"),
        (get("Steps.S.ProcessingOutputConfig.Outputs['n'].S3Output.S3Uri"), "s3://b/k"),
        (get("Steps.S.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"), "s3://b/k"),
        (get("Steps.S.List[1].A"), 2),
        (get('Steps.S.Map["with space"]'), "x"),
        (join("a", get("Parameters.p"), get("Parameters.flag"), on="/"), "a/3/true"),
        (join(join(1, 2), 3, on="-"), "12-3"),
        ({"Std:JsonGet": {"PropertyFile": get("Steps.S.PropertyFiles.f"), "Path": "a.b[1].c"}}, 0.5),
        ({"Std:JsonGet": {"PropertyFile": get("Steps.S.PropertyFiles['f']"), "Path": "$['x-y']"}}, True),
        ({"Std:JsonGet": {"S3Uri": join("s3://b/", get("Parameters.p"), ".json"), "Path": "a.b[0]"}}, 1),
        ({"plain": [get("Parameters.p"), {"deep": get("Parameters.flag")}]}, {"plain": [3, {"deep": True}]}),
    ],
)
def test_expressions_have_their_value(expression, value):
    assert list(expressions.find(expression, "here"))
    assert expressions.resolve(expression, scope()) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (get("Steps.S.Missing"), "Steps.S.Missing does not exist"),
        (get("Steps.S.List[2].A"), "Steps.S.List[2].A does not exist"),
        (get("PipelineExperimentConfig.ExperimentName"), "PipelineExperimentConfig.ExperimentName has no value here"),
        (
            {"Std:JsonGet": {"PropertyFile": get("Steps.S.PropertyFiles.f"), "Path": "a.z"}},
            "a.z of the property file f of step S does not exist",
        ),
        (
            {"Std:JsonGet": {"PropertyFile": get("Steps.S.PropertyFiles.f"), "Path": "a"}},
            "a of the property file f of step S is not a single value",
        ),
    ],
)
def test_an_expression_without_a_value_says_which_it_is(expression, message):
    with pytest.raises(ExpressionError) as raised:
        expressions.resolve(expression, scope())
    assert str(raised.value) == message


def compare(kind, left, right):
    """A comparison."""
    return {"Type": kind, "LeftValue": left, "RightValue": right}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (compare("Equals", 1, 1.0), True),
        (compare("Equals", "1.0", 1), True),
        (compare("Equals", "true", True), True),
        (compare("Equals", "1", "1.0"), False),
        (compare("GreaterThan", 2, 2), False),
        (compare("GreaterThanOrEqualTo", 2, 2), True),
        (compare("LessThan", "0.5", 0.6), True),
        (compare("LessThanOrEqualTo", 3, 2), False),
        ({"Type": "In", "QueryValue": "b", "Values": ["a", "b"]}, True),
        ({"Type": "In", "QueryValue": 3, "Values": [1, 2]}, False),
        ({"Type": "Not", "Condition": compare("Equals", 1, 2)}, True),
        ({"Type": "Or", "Conditions": [compare("Equals", 1, 2), compare("LessThan", 1, 2)]}, True),
        (
            {
                "Type": "Not",
                "Condition": {"Type": "Or", "Conditions": [{"Type": "Not", "Condition": compare("Equals", 1, 2)}]},
            },
            False,
        ),
    ],
)
def test_conditions_hold_or_do_not(condition, holds):
    conditions.check([condition], "here")
    assert conditions.are_true([condition]) is holds
    assert conditions.are_true([condition, compare("Equals", 1, 2)]) is False


def test_a_text_is_not_greater_than_a_number():
    with pytest.raises(ExpressionError, match="GreaterThan cannot compare 'much' with 1"):
        conditions.are_true([compare("GreaterThan", "much", 1)])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT1H", 3600),
        ("p30d", 2_592_000),
        ("T16m", 960),
        ("30dT5h", 2_610_000),
        ("P1Y", 31_536_000),
        ("P1M", 2_592_000),
    ],
)
def test_durations_are_read_in_the_ways_that_aws_writes_them(text, seconds):
    assert caching.seconds(text) == seconds
