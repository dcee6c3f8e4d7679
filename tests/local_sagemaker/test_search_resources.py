"""Search finds what is there, of every resource that it has a record of; pages, order and suggestions."""

import deployed
import featured
import pipelined
import pytest
import submitted_jobs
from botocore.exceptions import ClientError

from helpers.local_sagemaker.model import service

RESOURCES = service()["shapes"]["ResourceType"]["enum"]


@pytest.fixture
def found(sm):
    """`found("Model", "Tags.lab Equals x")`: the records that a search finds, in its order."""

    def search(resource, *conditions, **request):
        if conditions:
            members = (
                dict(zip(("Name", "Operator", "Value"), text.split(" ", 2), strict=False)) for text in conditions
            )
            request["SearchExpression"] = {"Filters": list(members)}
        pages = sm.get_paginator("search").paginate(Resource=resource, **request)
        return [next(iter(result.values())) for page in pages for result in page["Results"]]

    return search


@pytest.fixture
def tag(unique):
    """A tag that nothing else has, as a list, and the filter that finds it."""
    value = unique("lab")
    return [{"Key": "searched", "Value": value}], f"Tags.searched Equals {value}"


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_resource_can_be_searched(sm, resource):
    answer = sm.search(Resource=resource, MaxResults=100)
    assert answer["TotalHits"]["Relation"] == "EqualTo"
    assert answer["TotalHits"]["Value"] >= len(answer["Results"])


def test_models_are_found_with_their_endpoints(sm, s3, bucket, unique, found, tag):
    name = unique("model")
    deployed.create_model(sm, s3, bucket, name)
    arn = sm.describe_model(ModelName=name)["ModelArn"]
    sm.add_tags(ResourceArn=arn, Tags=tag[0])
    (model,) = found("Model", tag[1])
    assert model["Model"]["ModelName"] == name
    assert model["Model"]["Tags"] == tag[0]
    assert "Endpoints" not in model
    sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[deployed.variant(name)])
    sm.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tag[0])
    (model,) = found("Model", f"Model.ModelName Equals {name}")
    assert [endpoint["EndpointName"] for endpoint in model["Endpoints"]] == [name]
    assert found("Model", f"ModelName Equals {name}") == [model]
    (endpoint,) = found("Endpoint", tag[1], f"EndpointName Equals {name}")
    assert endpoint["EndpointConfigName"] == name
    deployed.await_status(sm, name, "InService")
    sm.delete_endpoint(EndpointName=name)


def test_jobs_are_found_by_hyperparameters_metrics_and_tags(client, bucket, role_arn, unique, found, tag):
    submit = submitted_jobs.Submitter(client, bucket, role_arn, unique)
    names = {}
    for rate in ("0.1", "0.5"):
        names[rate] = submit.train(
            AlgorithmSpecification={
                "TrainingImage": "local/trainer",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["sh", "-c", f"echo 'auc={rate};'"],
                "MetricDefinitions": [{"Name": "test:auc", "Regex": "auc=(.*?);"}],
            },
            HyperParameters={"rate": rate},
            Tags=tag[0],
        )
    for name in names.values():
        assert submit.trained(name)["TrainingJobStatus"] == "Completed"

    def named(*conditions, **request):
        return [job["TrainingJobName"] for job in found("TrainingJob", tag[1], *conditions, **request)]

    assert sorted(named()) == sorted(names.values())
    assert named("HyperParameters.rate LessThan 0.3") == [names["0.1"]]
    assert named("Metrics.test:auc GreaterThan 0.3") == [names["0.5"]]
    assert named("TrainingJobStatus Equals Failed") == []
    by_metric = named(SortBy="Metrics.test:auc", SortOrder="Ascending")
    assert by_metric == [names["0.1"], names["0.5"]]
    assert named(SortBy="Metrics.test:auc") == by_metric[::-1]
    (component, *_) = found("ExperimentTrialComponent", f"TrialComponentName Equals {names['0.5']}-aws-training-job")
    assert component["SourceDetail"]["TrainingJob"]["TrainingJobName"] == names["0.5"]
    assert found("ExperimentTrialComponent", f"Source.SourceArn Contains {names['0.5']}", "metrics.test:auc.max Exists")


def test_components_are_found_by_their_parents(sm, unique, found):
    experiment, trial, component = unique("experiment"), unique("trial"), unique("component")
    sm.create_experiment(ExperimentName=experiment)
    sm.create_trial(TrialName=trial, ExperimentName=experiment)
    sm.create_trial_component(TrialComponentName=component, Parameters={"rate": {"NumberValue": 0.5}})
    assert found("ExperimentTrialComponent", f"Parents.TrialName Equals {trial}") == []
    sm.associate_trial_component(TrialName=trial, TrialComponentName=component)
    parents = [{"TrialName": trial, "ExperimentName": experiment}]
    for condition in (f"Parents.TrialName Equals {trial}", f"Parents.ExperimentName Equals {experiment}"):
        (one,) = found("ExperimentTrialComponent", condition)
        assert (one["TrialComponentName"], one["Parents"]) == (component, parents)
    (one,) = found("ExperimentTrial", f"TrialName Equals {trial}")
    assert [summary["TrialComponentName"] for summary in one["TrialComponentSummaries"]] == [component]
    (one,) = found("Experiment", f"ExperimentName Equals {experiment}")
    assert one["DisplayName"] == experiment


def test_packages_and_groups_are_found(sm, unique, found, tag):
    group = unique("group")
    sm.create_model_package_group(ModelPackageGroupName=group, Tags=tag[0])
    for _ in range(2):
        specification = {
            "Containers": [{"Image": deployed.SKLEARN}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        sm.create_model_package(ModelPackageGroupName=group, InferenceSpecification=specification)
    assert [one["ModelPackageGroupName"] for one in found("ModelPackageGroup", tag[1])] == [group]
    versions = found(
        "ModelPackage", f"ModelPackageGroupName Equals {group}", SortBy="ModelPackageVersion", SortOrder="Ascending"
    )
    assert [one["ModelPackageVersion"] for one in versions] == [1, 2]


def test_pipelines_and_their_executions_are_found(sm, unique, found, tag):
    pipelines = pipelined.Pipelines(sm, unique)
    parameter = {"Name": "Reason", "Type": "String", "DefaultValue": "none"}
    name = pipelines.create(pipelined.fail("Stop", pipelined.get("Parameters.Reason")), parameters=[parameter])
    (pipeline,) = found("Pipeline", f"PipelineName Equals {name}")
    sm.add_tags(ResourceArn=pipeline["PipelineArn"], Tags=tag[0])
    assert [one["PipelineName"] for one in found("Pipeline", tag[1])] == [name]
    reason = unique("reason")
    arn = pipelines.start(name, {"Reason": reason})
    pipelines.ended(arn)
    (execution,) = found("PipelineExecution", f"PipelineParameters.Value Equals {reason}")
    assert (execution["PipelineExecutionArn"], execution["PipelineExecutionStatus"]) == (arn, "Failed")
    filters = [
        {"Name": f"PipelineParameters.{member}", "Value": value}
        for member, value in (("Name", "Reason"), ("Value", reason))
    ]
    nested = {"NestedFilters": [{"NestedPropertyName": "PipelineParameters", "Filters": filters}]}
    assert found("PipelineExecution", SearchExpression=nested) == [execution]
    (version,) = found("PipelineVersion", f"PipelineArn Equals {pipeline['PipelineArn']}")
    assert version["PipelineVersionId"] == 1


def test_feature_groups_and_their_features_are_found(client, bucket, role_arn, unique, found, tag):
    features = featured.Features(client, bucket, role_arn, unique)
    name = features.create(Tags=tag[0])
    (group,) = found("FeatureGroup", tag[1])
    assert (group["FeatureGroupName"], group["FeatureGroupStatus"]) == (name, "Created")
    assert found("FeatureGroup", tag[1], "FeatureDefinitions.FeatureName Equals spend") == [group]
    description = unique("Money")
    features.sm.update_feature_metadata(FeatureGroupName=name, FeatureName="spend", Description=description)
    (feature,) = found("FeatureMetadata", f"Description Contains {description}")
    assert (feature["FeatureName"], feature["FeatureType"]) == ("spend", "Fractional")
    integral = found("FeatureMetadata", f"FeatureGroupName Equals {name}", "FeatureType Equals Integral")
    assert [one["FeatureName"] for one in integral] == ["age"]


def test_model_cards_are_found(sm, unique, found, tag):
    name = unique("card")
    sm.create_model_card(ModelCardName=name, Content="{}", ModelCardStatus="Draft", Tags=tag[0])
    (card,) = found("ModelCard", tag[1], "ModelCardStatus Equals Draft")
    assert (card["ModelCardName"], card["ModelCardVersion"]) == (name, 1)


def test_tuning_jobs_are_found(sm, bucket, unique, role_arn, found, tag):
    name = unique("tune")
    sm.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "auc"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.1", "MaxValue": "0.2"}]},
        },
        TrainingJobDefinition={
            "AlgorithmSpecification": {
                "TrainingImage": "local/trainer",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "auc", "Regex": "auc=(.*?);"}],
            },
            "RoleArn": role_arn,
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
        Tags=tag[0],
    )
    (job,) = found("HyperParameterTuningJob", tag[1], "HyperParameterTuningJobConfig.Strategy Equals Random")
    assert job["HyperParameterTuningJobName"] == name
    condition = f"TuningJobArn Equals {job['HyperParameterTuningJobArn']}"
    assert deployed.becomes_true(lambda: found("TrainingJob", condition, "HyperParameters.rate LessThan 0.21"))


def test_the_latest_come_first_and_pages_tell_each_once(sm, unique, found, tag):
    names = [unique(f"m{number}") for number in range(12)]
    for name in names:
        sm.create_model(ModelName=name, PrimaryContainer={"Image": "x"}, Tags=tag[0])
    request = {"Filters": [dict(zip(("Name", "Operator", "Value"), tag[1].split(" ", 2), strict=True))]}
    page = sm.search(Resource="Model", SearchExpression=request)
    assert len(page["Results"]) == 10
    assert page["TotalHits"] == {"Value": 12, "Relation": "EqualTo"}
    assert [one["Model"]["ModelName"] for one in found("Model", tag[1])] == names[::-1]
    by_name = found("Model", tag[1], SortBy="ModelName", SortOrder="Ascending", PaginationConfig={"PageSize": 5})
    assert [one["Model"]["ModelName"] for one in by_name] == sorted(names)
    with pytest.raises(ClientError, match="Invalid NextToken"):
        sm.search(Resource="Endpoint", NextToken=page["NextToken"])
    with pytest.raises(ClientError, match="Unknown property name: Nonsense"):
        sm.search(Resource="Model", SortBy="Nonsense")


def test_only_what_is_visible_is_found(sm, unique, found, tag):
    for owner in ("me", "you", None):
        owned = [{"Key": "owner", "Value": owner}] if owner else []
        sm.create_model(ModelName=unique(f"of-{owner}"), PrimaryContainer={"Image": "x"}, Tags=[*tag[0], *owned])
    visible = found("Model", tag[1], VisibilityConditions=[{"Key": "Tags.owner", "Value": "me"}])
    assert sorted(one["Model"]["ModelName"][:6] for one in visible) == ["of-Non", "of-me-"]
    assert found("Model", tag[1], CrossAccountFilterOption="CrossAccount") == []
    assert len(found("Model", tag[1], CrossAccountFilterOption="SameAccount")) == 3


def test_names_of_properties_are_suggested(sm, unique):
    key = unique("suggested")
    sm.create_trial_component(
        TrialComponentName=unique("component"),
        Parameters={key: {"NumberValue": 1}},
        Tags=[{"Key": key, "Value": "x"}],
    )

    def suggested(hint, resource="ExperimentTrialComponent"):
        query = {"PropertyNameQuery": {"PropertyNameHint": hint}}
        answer = sm.get_search_suggestions(Resource=resource, SuggestionQuery=query)
        return [one["PropertyName"] for one in answer["PropertyNameSuggestions"]]

    assert suggested(f"Tags.{key}") == [f"Tags.{key}"]
    assert suggested(f"parameters.{key}") == [f"Parameters.{key}"]
    assert {"TrialComponentName", "TrialComponentArn"} <= {*suggested("TrialC")}
    assert suggested("TrainingJobSt", "TrainingJob") == ["TrainingJobStatus"]
    assert suggested("nonsense") == []
