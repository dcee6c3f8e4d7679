"""Every kind of resource that can be tagged is a registered one, and its tags come and go with it."""

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from helpers.local_sagemaker import app, errors, kinds, models, operations
from helpers.local_sagemaker.model import service
from helpers.local_sagemaker.state import Store

assert app.OPERATION_MODULES, "importing them registers their operations and kinds"


def test_what_can_be_tagged_when_it_is_made_is_a_registered_kind():
    shapes = service()["shapes"]
    tagged = {
        name.removeprefix("Create")
        for name in operations.OPERATIONS
        if name.startswith("Create") and "Tags" in shapes[service()["operations"][name]["input"]["shape"]]["members"]
    }
    assert tagged
    assert tagged <= kinds.KINDS.keys()


def test_no_two_kinds_share_a_segment():
    segments = [kind.segment for kind in kinds.KINDS.values()]
    assert len(set(segments)) == len(segments)


def test_an_arn_tells_kind_and_name():
    arn = "arn:aws:sagemaker:us-east-1:111122223333:endpoint-config/churn"
    assert kinds.parse(arn) == (kinds.KINDS["EndpointConfig"], "churn")
    for other in (arn.replace("endpoint-config", "notebook"), arn.replace("1111", "2222"), "s3://bucket/key", ""):
        assert kinds.parse(other) is None


def test_a_kind_words_its_own_errors():
    taken = kinds.of("TrainingJob").already_exists("xgb")
    assert (taken.code, taken.message) == (
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        "exists (arn:aws:sagemaker:us-east-1:111122223333:training-job/xgb)",
    )
    missing = kinds.of("EndpointConfig").does_not_exist("churn")
    assert (missing.code, missing.message) == (
        "ValidationException",
        'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:111122223333:endpoint-config/churn".',
    )


def test_a_deleted_resource_leaves_no_tags(tmp_path):
    store = Store(tmp_path / "state.db")
    store.put(models.KIND, "m", {})
    store.execute("INSERT INTO tags VALUES (?, 'key', 'value', 1)", (kinds.of(models.KIND).arn("m"),))
    store.delete(models.KIND, "m")
    assert store.execute("SELECT * FROM tags") == []
    with pytest.raises(errors.AwsError, match="Could not find model"):
        store.delete(models.KIND, "m")
    store.close()


def test_tags_need_a_resource_that_exists(sm):
    arn = "arn:aws:sagemaker:us-east-1:111122223333:model/nobody"
    for call in (
        lambda: sm.list_tags(ResourceArn=arn),
        lambda: sm.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}]),
        lambda: sm.delete_tags(ResourceArn=arn, TagKeys=["a"]),
    ):
        with pytest.raises(ClientError, match=f'Could not find model "{arn}"'):
            call()
    with pytest.raises(ClientError, match="is not of a resource that the local SageMaker has"):
        sm.list_tags(ResourceArn=arn.replace("model", "notebook-instance"))


def test_the_tags_of_a_resource_are_one_page(sm, unique):
    arn = sm.create_model(ModelName=unique("model"), PrimaryContainer={"Image": "x"})["ModelArn"]
    sm.add_tags(ResourceArn=arn, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])
    page = sm.list_tags(ResourceArn=arn, MaxResults=50)
    assert len(page["Tags"]) == 50
    assert "NextToken" not in page
    with pytest.raises(ClientError, match="Invalid NextToken"):
        sm.list_tags(ResourceArn=arn, NextToken="no")


def test_the_tags_of_every_kind_are_given_when_it_is_made_and_go_with_it(sm, unique, role_arn):
    group, experiment = unique("group"), unique("experiment")
    sm.create_experiment(ExperimentName=experiment)
    model = unique("model")
    sm.create_model(ModelName=model, PrimaryContainer={"Image": "x"})
    variant = {"VariantName": "v", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    definition = (
        '{"Version": "2020-12-01", "Steps": [{"Name": "f", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]}'
    )
    requests = {
        "Action": {"Source": {"SourceUri": "x"}, "ActionType": "x"},
        "Artifact": {"Source": {"SourceUri": unique("uri")}, "ArtifactType": "x"},
        "Context": {"Source": {"SourceUri": "x"}, "ContextType": "x"},
        "EndpointConfig": {"ProductionVariants": [variant]},
        "Experiment": {},
        "Model": {"PrimaryContainer": {"Image": "x"}},
        "ModelCard": {"Content": "{}", "ModelCardStatus": "Draft"},
        "ModelPackageGroup": {},
        "Pipeline": {"PipelineDefinition": definition, "RoleArn": role_arn, "ClientRequestToken": 32 * "t"},
        "Trial": {"ExperimentName": experiment},
        "TrialComponent": {},
    }
    tags = [{"Key": "lab", "Value": "fraud"}]
    for kind, request in requests.items():
        word = xform_name(kind)
        name = {} if kind == "Artifact" else {f"{kind}Name": group}
        for given in (tags, []):
            arn = getattr(sm, f"create_{word}")(**name, **request, Tags=given)[f"{kind}Arn"]
            assert sm.list_tags(ResourceArn=arn)["Tags"] == given, kind
            token = {"ClientRequestToken": 32 * "d"} if kind == "Pipeline" else {}
            getattr(sm, f"delete_{word}")(**(name or {"ArtifactArn": arn}), **token)
            with pytest.raises(ClientError):
                sm.list_tags(ResourceArn=arn)
