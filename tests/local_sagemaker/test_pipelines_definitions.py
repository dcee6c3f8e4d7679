"""What a pipeline's definition may hold: everything else is refused with its place, when the pipeline is made."""

import json

import pipelined
import pytest
from botocore.exceptions import ClientError
from pipelined import condition, equals, fail, get, join, processing, training

from helpers.local_sagemaker.errors import AwsError
from helpers.local_sagemaker.pipelines import caching, definition, records

OK = processing("A", "true")


def refusal(*steps, **members):
    """The message with which a definition is refused."""
    with pytest.raises(AwsError) as refused:
        definition.parse(pipelined.definition(*steps, **members))
    assert refused.value.code == "ValidationException"
    return refused.value.message.removeprefix("Unable to parse pipeline definition. ")


@pytest.mark.parametrize(
    "kind",
    [
        "EMR",
        "EMRServerless",
        "AutoML",
        "NotebookJob",
        "ForEach",
        "Cleanup",
        "Lineage",
        "Job",
        "Nothing",
    ],
)
def test_a_step_of_a_type_that_is_not_here_is_refused_by_name(kind):
    message = refusal(OK, {"Name": "Odd", "Type": kind, "Arguments": {}})
    assert message.startswith(f"Step 'Odd' is of type {kind!r}, which is not available in the local SageMaker")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "Steps: a list of steps is needed"),
        ([OK, OK], "Steps: the name 'A' is used twice; step names must be unique"),
        ([{"Name": "a b", "Type": "Fail"}], "Steps[0]: 'a b' is no name of a step"),
        ([OK | {"DependsOn": ["B"]}], "Steps.A.DependsOn: there is no step 'B'"),
        (
            [OK | {"DependsOn": ["B"]}, processing("B", "true", DependsOn=["A"])],
            "Steps: A -> B -> A wait for each other",
        ),
        (
            [processing("A", "true", environment={"X": get("Steps.A.ProcessingJobName")})],
            "Steps: A -> A wait for each other",
        ),
        ([OK | {"Retries": 3}], "Steps.A: a Processing step has no Retries"),
        (
            [processing("A", "true", environment={"X": get("Parameters.Y")})],
            "Steps.A.Arguments.Environment.X: there is no parameter 'Y'",
        ),
        (
            [processing("A", "true", environment={"X": get("Steps.B.ExitMessage")})],
            "Steps.A.Arguments.Environment.X: there is no step 'B'",
        ),
        (
            [OK, processing("B", "true", environment={"X": get("Steps.A.Nonsense.Name")})],
            "Steps.B.Arguments.Environment.X: 'Steps.A.Nonsense.Name': a Processing step has no property 'Nonsense' "
            "there",
        ),
        (
            [processing("A", "true", environment={"X": get("Execution.Moon")})],
            "Steps.A.Arguments.Environment.X: there is no execution variable 'Moon'",
        ),
        (
            [processing("A", "true", environment={"X": get("Moon.Phase")})],
            "Steps.A.Arguments.Environment.X: 'Moon.Phase' begins with none of Parameters., Execution., Steps., "
            "PipelineExperimentConfig.",
        ),
        (
            [OK, processing("B", "true", environment={"X": get("Steps.A.StoppingCondition.MaxRuntimeInSeconds")})],
            "Steps.B.Arguments.Environment.X: Cannot assign property reference "
            "[Steps.A.StoppingCondition.MaxRuntimeInSeconds] of type [Integer] to argument of type [String]",
        ),
        (
            [OK | {"Arguments": OK["Arguments"] | {"StoppingCondition": {"MaxRuntimeInSeconds": join(1)}}}],
            "Steps.A.Arguments.StoppingCondition.MaxRuntimeInSeconds: Cannot assign property reference [Std:Join] of "
            "type [String] to argument of type [Integer]",
        ),
        (
            [processing("A", "true", environment={"X": {"Std:Split": {}}})],
            "Steps.A.Arguments.Environment.X: the function Std:Split is not known; known are Std:Join and Std:JsonGet",
        ),
        (
            [processing("A", "true", environment={"X": {"Std:Join": {"Values": "ab"}}})],
            "Steps.A.Arguments.Environment.X: Std:Join needs a list of Values and a text On, got {'Values': 'ab'}",
        ),
        (
            [OK | {"Arguments": OK["Arguments"] | {"Colour": "red"}}],
            "Steps.A.Arguments: Colour is not known",
        ),
        (
            [{"Name": "A", "Type": "Processing", "Arguments": {"RoleArn": pipelined.ROLE}}],
            "Steps.A.Arguments: ProcessingResources, AppSpecification is missing",
        ),
        (
            [condition("C", [{"Type": "Near"}], [], [])],
            "Steps.C.Arguments.Conditions[0]: the condition 'Near' is not known; known are Equals, GreaterThan, "
            "GreaterThanOrEqualTo, LessThan, LessThanOrEqualTo, In, Not, Or",
        ),
        (
            [condition("C", [{"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": 1}}], [], [])],
            "Steps.C.Arguments.Conditions[0].Condition: Equals takes LeftValue and RightValue",
        ),
        (
            [fail("F", "x", CacheConfig={"Enabled": True})],
            "Steps.F.CacheConfig: the results of Fail steps are not cached",
        ),
        (
            [OK | {"CacheConfig": {"Enabled": True, "ExpireAfter": "soon"}}],
            "Steps.A.CacheConfig.ExpireAfter: 'soon' is no duration of ISO 8601 such as P30D or PT1H",
        ),
        (
            [OK | {"RetryPolicies": [{"ExceptionType": ["Step.MOOD"], "MaxAttempts": 2}]}],
            "Steps.A.RetryPolicies[0].ExceptionType: some of Step.SERVICE_FAULT, Step.THROTTLING, "
            "SageMaker.JOB_INTERNAL_ERROR, SageMaker.CAPACITY_ERROR, SageMaker.RESOURCE_LIMIT are needed, got "
            "['Step.MOOD']",
        ),
        (
            [OK | {"DependsOn": [{"Step": "A", "Trigger": "Sometimes"}]}],
            "Steps.A.DependsOn[0]: {'Step': 'A', 'Trigger': 'Sometimes'} is no step, and no Step with a Trigger of "
            "Completed, Failed, Stopped, Any",
        ),
        (
            [condition("C", [equals(1, 1)], [OK], [OK])],
            "Steps: the name 'A' is used twice; step names must be unique",
        ),
        (
            [OK | {"PropertyFiles": [{"PropertyFileName": "p", "OutputName": "o", "FilePath": "f"}]}],
            "Steps.A.PropertyFiles: p is in 'o', and the step has no such output",
        ),
        (
            [
                OK,
                fail("F", {"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.p"), "Path": "x"}}),
            ],
            "Steps.F.Arguments.ErrorMessage: step A has no property file 'p'",
        ),
    ],
)
def test_a_malformed_step_is_refused_with_its_place(steps, message):
    assert refusal(*steps) == message


def test_what_is_no_definition_is_refused(sm, unique):
    assert refusal(OK, Version="2019-01-01") == "Version: '2019-01-01' is not '2020-12-01'"
    assert refusal(OK, Colour="red").startswith("Colour: not known")
    request = {"PipelineName": unique("pipeline"), "RoleArn": pipelined.ROLE}
    for text in ("{", "[]", "[" * 5000):
        with pytest.raises(ClientError, match=r"ValidationException.*Unable to parse pipeline definition"):
            sm.create_pipeline(PipelineDefinition=text, **request)
    with pytest.raises(ClientError, match="Provide either PipelineDefinition or PipelineDefinitionS3Location"):
        sm.create_pipeline(**request)
    with pytest.raises(ClientError, match="Could not assume role"):
        role = pipelined.ROLE.replace("Course", "Nobodys")
        sm.create_pipeline(PipelineName=unique("p"), RoleArn=role, PipelineDefinition=pipelined.definition(OK))
    with pytest.raises(ClientError, match="ResourceNotFound"):
        sm.describe_pipeline(PipelineName=request["PipelineName"])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ([{"Name": "a", "Type": "Text"}], "Parameters[0]: a has the type 'Text'"),
        ([{"Name": "a", "Type": "String"}] * 2, "Parameters[1]: the name 'a' is used twice"),
        ([{"Name": "a", "Type": "Integer", "DefaultValue": "3"}], "Parameters[0]: the default '3' of a is no Integer"),
        (
            [{"Name": "a", "Type": "Integer", "DefaultValue": True}],
            "Parameters[0]: the default True of a is no Integer",
        ),
        (
            [{"Name": "a", "Type": "String", "DefaultValue": "x", "EnumValues": ["y"]}],
            "Parameters[0]: the default 'x' of a is none of y",
        ),
        ([{"Name": "a", "Type": "Float", "EnumValues": ["y"]}], "Parameters[0]: EnumValues of a are for texts only"),
    ],
)
def test_a_malformed_parameter_is_refused_with_its_place(declared, message):
    assert refusal(OK, parameters=declared).startswith(message)


def test_every_attribute_of_aws_cache_keys_counts_and_nothing_else():
    arguments = training("T", "true", "s3://a/b", "s3://a/c")["Arguments"] | {"HyperParameters": {"depth": "3"}}
    digest = caching.key("Training", {}, arguments)
    assert caching.key("Training", {}, arguments | {"ResourceConfig": {}, "RoleArn": "x"}) == digest
    for name in ("AlgorithmSpecification", "CheckpointConfig", "Environment", "HyperParameters", "InputDataConfig"):
        assert caching.key("Training", {}, arguments | {name: {"other": 1}}) != digest
    assert caching.key("Tuning", {}, {"TrainingJobDefinition": {"RoleArn": "a"}}) == caching.key("Tuning", {}, {})
    inside = {"TrainingJobDefinition": {"StaticHyperParameters": {"a": "1"}}}
    assert caching.key("Tuning", {}, inside) != caching.key("Tuning", {}, {})


def test_conditions_and_branches_are_nested():
    nested = json.loads('{"Type": "Not", "Condition": ' * 30 + json.dumps(equals(1, 1)) + "}" * 30)
    parsed = definition.parse(pipelined.definition(condition("C", [nested], [OK], [fail("F", "no")])))
    assert list(parsed.steps) == ["C", "A", "F"]
    assert parsed.steps["F"].branch == ("C", "False")


def test_names_of_resources_say_whose_they_are_and_fit():
    name = records.resource_name("1abc2def3ghi", "Train_It", None, 63)
    assert name.startswith("pipelines-1abc2def3ghi-Train-It-") and len(name) == 42
    assert len(records.resource_name("1abc2def3ghi", "x" * 64, None, 63)) == 63
    short = records.resource_name("1abc2def3ghi", "TuneTheDepth", None, 32)
    assert short.startswith("1abc2def3ghi-TuneTheD-") and len(short) == 32
    assert records.resource_name("1abc2def3ghi", "Train", "churn", 63).startswith("churn-1abc2def3ghi-")


def places(value, way=()):
    """The ways to everything in a document."""
    yield way
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*way, key))


def test_whatever_stands_in_the_wrong_place_is_refused_in_words():
    report = [{"PropertyFileName": "r", "OutputName": "rows", "FilePath": "x.json"}]
    policy = {"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 2, "IntervalSeconds": 1}
    first = processing("P", "true", {"rows": "s3://b/k"}, {"W": get("Parameters.W")}, PropertyFiles=report)
    first |= {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}, "RetryPolicies": [policy]}
    call = {"Name": "L", "Type": "Lambda", "FunctionArn": "x", "Arguments": {}}
    call["OutputParameters"] = [{"OutputName": "o", "OutputType": "String"}]
    second = training("T", "true", "s3://b/o", DependsOn=["P", {"Step": "L", "Trigger": "Any"}])
    value = {"Std:JsonGet": {"PropertyFile": get("Steps.P.PropertyFiles.r"), "Path": "a.b"}}
    decided = [{"Type": "Or", "Conditions": [equals(value, 1), {"Type": "In", "QueryValue": 1, "Values": [1]}]}]
    last = condition("C", decided, [fail("F", join(get("Steps.L.OutputParameters['o']")))], [])
    word = {"Name": "W", "Type": "String", "DefaultValue": "a", "EnumValues": ["a"]}
    text = pipelined.definition(first, call, second, last, parameters=[word])
    definition.parse(text)
    refused = 0
    for way in places(json.loads(text)):
        for wrong in (None, 5, "x", ["x"], [{}], {"x": {}}, {"Get": "x"}, {"Std:Join": 5}):
            changed = [json.loads(text)]
            place = changed
            for key in (0, *way)[:-1]:
                place = place[key]
            place[(0, *way)[-1]] = wrong
            try:
                definition.parse(json.dumps(changed[0]))
            except AwsError as error:
                assert error.code == "ValidationException"
                refused += 1
    assert refused > 500
