"""Search expressions mean what AWS says: every operator on text, numbers, times and switches, nested and combined."""

import pytest

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.search import expressions, properties, records

JOB = records.searched(
    {
        "TrainingJobName": "fraud-7",
        "CreationTime": 1_700_000_000.0,
        "EnableManagedSpotTraining": True,
        "BillableTimeInSeconds": 90,
        "HyperParameters": {"eta": "0.30", "max.depth": "6", "objective": "binary:logistic"},
        "FinalMetricDataList": [{"MetricName": "validation:auc", "Value": 0.91, "Timestamp": 1.0}],
        "Tags": [{"Key": "lab", "Value": "fraud"}, {"Key": "cost.centre", "Value": "7"}],
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://data/old/"}}},
            {"ChannelName": "validation", "DataSource": {"S3DataSource": {"S3Uri": "s3://data/new/"}}},
        ],
        "ModelArtifacts": {"S3ModelArtifacts": "s3://models/fraud-7/model.tar.gz"},
    }
)
URI = "InputDataConfig.DataSource.S3DataSource.S3Uri"


def is_found(*filters, resource="TrainingJob", record=JOB, **expression):
    """Whether the job satisfies these filters, each `name operator value`."""
    if filters:
        expression["Filters"] = [as_filter(*text.split(" ", 2)) for text in filters]
    return expressions.test_of(resource, expression)(record)


def as_filter(name, operator=None, value=None):
    """A Filter."""
    members = {"Name": name, "Operator": operator, "Value": value}
    return {member: given for member, given in members.items() if given is not None}


@pytest.mark.parametrize(
    "condition",
    [
        "TrainingJobName Equals fraud-7",
        "trainingjobname Equals fraud-7",
        "TrainingJobName NotEquals fraud-8",
        "FailureReason NotEquals x",
        "TrainingJobName Contains aud",
        "TrainingJobName In fraud-6, fraud-7",
        "FailureReason NotExists",
        "ModelArtifacts Exists",
        "ModelArtifacts.S3ModelArtifacts Contains model.tar.gz",
        "BillableTimeInSeconds Equals 90",
        "BillableTimeInSeconds GreaterThan 89.5",
        "BillableTimeInSeconds GreaterThanOrEqualTo 90",
        "BillableTimeInSeconds LessThan 100",
        "BillableTimeInSeconds LessThanOrEqualTo 90",
        "BillableTimeInSeconds NotEquals 91",
        "EnableManagedSpotTraining Equals true",
        "CreationTime Equals 2023-11-14T22:13:20",
        "CreationTime GreaterThan 2023-11-14T22:13:19Z",
        "CreationTime LessThan 2023-11-15T00:13:21+02:00",
        "HyperParameters.eta Equals 0.3",
        "HyperParameters.eta LessThan 0.5",
        "HyperParameters.eta LessThan 1",
        "HyperParameters.max.depth GreaterThanOrEqualTo 6",
        "HyperParameters.objective Equals binary:logistic",
        "HyperParameters.objective Contains logistic",
        "HyperParameters.gamma NotExists",
        "Metrics.validation:auc GreaterThan 0.9",
        "Metrics.validation:auc Exists",
        "Tags.lab Equals fraud",
        "Tags.cost.centre In 6,7",
        "Tags Exists",
        "Tags.owner NotExists",
        f"{URI} Equals s3://data/old/",
        f"{URI} Equals s3://data/new/",
    ],
)
def test_what_is_true_of_a_job(condition):
    assert is_found(condition)
    name, operator, *_ = condition.split(" ")
    opposite = {"Exists": "NotExists", "NotExists": "Exists", "Equals": "NotEquals", "NotEquals": "Equals"}
    if operator in opposite:
        assert not is_found(condition.replace(f"{name} {operator}", f"{name} {opposite[operator]}"))


@pytest.mark.parametrize(
    "condition",
    [
        "TrainingJobName Equals fraud",
        "TrainingJobName Contains FRAUD",
        "TrainingJobName In fraud-6,fraud",
        "BillableTimeInSeconds GreaterThan 90",
        "CreationTime GreaterThan 2023-11-14T22:13:20",
        "HyperParameters.eta GreaterThan 0.3",
        "HyperParameters.objective GreaterThan 1",
        "HyperParameters.gamma LessThan 1",
        "Metrics.validation:auc LessThan 0.9",
        "Metrics.loss LessThan 1",
        "Tags.lab Equals churn",
        "TrainingEndTime LessThan 2030-01-01T00:00:00",
    ],
)
def test_what_is_not_true_of_a_job(condition):
    assert not is_found(condition)


def test_without_an_operator_a_value_is_equal_and_none_is_there():
    assert expressions.test_of("TrainingJob", {"Filters": [as_filter("Tags.lab", value="fraud")]})(JOB)
    assert not expressions.test_of("TrainingJob", {"Filters": [as_filter("Tags.lab", value="x")]})(JOB)
    assert expressions.test_of("TrainingJob", {"Filters": [as_filter("Tags.lab")]})(JOB)


def test_nested_filters_hold_for_one_item():
    def nested(channel, uri):
        filters = [as_filter("InputDataConfig.ChannelName", "Equals", channel), as_filter(URI, "Contains", uri)]
        return is_found(NestedFilters=[{"NestedPropertyName": "InputDataConfig", "Filters": filters}])

    assert nested("train", "old")
    assert nested("validation", "new")
    assert not nested("train", "new")
    assert is_found("InputDataConfig.ChannelName Equals train", f"{URI} Contains new")


def test_all_hold_or_one_does():
    true, false = "Tags.lab Equals fraud", "Tags.lab Equals churn"
    assert is_found(true, true)
    assert not is_found(true, false)
    assert is_found(true, false, Operator="Or")
    assert not is_found(false, false, Operator="Or")
    inner = {"Filters": [as_filter(*text.split(" ")) for text in (true, false)]}
    assert is_found(true, SubExpressions=[inner | {"Operator": "Or"}])
    assert not is_found(true, SubExpressions=[inner | {"Operator": "And"}])
    assert is_found(false, SubExpressions=[{"SubExpressions": [inner | {"Operator": "Or"}]}], Operator="Or")


def test_a_component_s_parameters_and_metrics_are_searched():
    component = records.searched(
        {
            "Parameters": {"rate": {"NumberValue": 0.5}, "SageMaker.InstanceType": {"StringValue": "ml.m5.large"}},
            "InputArtifacts": {"train": {"Value": "s3://data/train.csv"}},
            "Metrics": [{"MetricName": "loss", "Max": 4.0, "Min": 1.0, "Last": 2.0}],
            "Parents": [{"TrialName": "a", "ExperimentName": "x"}, {"TrialName": "b", "ExperimentName": "x"}],
        }
    )
    for condition in (
        "Parameters.rate LessThan 0.6",
        "Parameters.SageMaker.InstanceType Equals ml.m5.large",
        "InputArtifacts.train Contains train.csv",
        "Metrics.loss Equals 2",
        "metrics.loss.max GreaterThan 3.5",
        "Parents.TrialName Equals b",
    ):
        assert is_found(condition, resource="ExperimentTrialComponent", record=component), condition


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("Nonsense Equals x", "Unknown property name: Nonsense"),
        ("ModelArtifacts.Nonsense Exists", "Unknown property name"),
        ("TrainingJobName GreaterThan x", "GreaterThan is not supported for the text property TrainingJobName"),
        ("BillableTimeInSeconds Contains 9", "Contains is not supported for the number property"),
        ("CreationTime In x", "In is not supported for the timestamp property"),
        ("BillableTimeInSeconds Equals nine", "must be a number, got 'nine'"),
        ("Metrics.loss LessThan x", "must be a number"),
        ("CreationTime LessThan yesterday", "YYYY-mm-dd'T'HH:MM:SS"),
        ("ModelArtifacts Equals x", "can only be asked for with Exists and NotExists"),
        ("TrainingJobName Equals", "needs a Value"),
    ],
)
def test_what_cannot_be_asked_is_refused(condition, words):
    with pytest.raises(errors.AwsError) as refused:
        is_found(condition)
    assert refused.value.code == "ValidationException"
    assert words in refused.value.message


def test_the_size_of_an_expression_has_bounds():
    one = as_filter("Tags.lab", "Exists")
    expressions.test_of("TrainingJob", {"SubExpressions": [{"Filters": [one] * 10}] * 5})
    with pytest.raises(errors.AwsError, match="at most 50"):
        expressions.test_of("TrainingJob", {"SubExpressions": [{"Filters": [one] * 17}] * 3})
    with pytest.raises(errors.AwsError, match="at least one"):
        expressions.test_of("TrainingJob", {})
    for count, name in ((1, "TrainingJobName"), (3, "Tags.lab")):
        expressions.test_of("TrainingJob", {"Filters": [as_filter(name, "Contains", "x")] * count})
    with pytest.raises(errors.AwsError, match="'CONTAINS' operator usage limit of 1 exceeded"):
        expressions.test_of("TrainingJob", {"Filters": [as_filter("TrainingJobName", "Contains", "x")] * 2})
    with pytest.raises(errors.AwsError, match="must begin with InputDataConfig"):
        nested = {"NestedPropertyName": "InputDataConfig", "Filters": [as_filter("ChannelName", "Exists")]}
        expressions.test_of("TrainingJob", {"NestedFilters": [nested]})


def test_each_resource_of_a_request_is_a_member_of_the_record():
    assert properties.member_of("Experiment") == "Experiment"
    assert properties.member_of("ExperimentTrial") == "Trial"
    assert properties.member_of("ExperimentTrialComponent") == "TrialComponent"
    assert properties.member_of("Endpoint") == "Endpoint"
