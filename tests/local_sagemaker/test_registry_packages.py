"""The model registry: groups, versions and their approval, held to AWS's rules."""

import json

import deployed
import pytest
from botocore.exceptions import ClientError
from registered import Registry

ARN = "arn:aws:sagemaker:us-east-1:111122223333"


@pytest.fixture
def registry(sm, s3, bucket, unique):
    return Registry(sm, s3, bucket, unique)


def refused(call, **request):
    """The code and the message of the error that a call ends in."""
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_group_is_described_by_name_and_by_arn(sm, registry):
    name = registry.group(ModelPackageGroupDescription="churn", Tags=[{"Key": "team", "Value": "a"}])
    arn = f"{ARN}:model-package-group/{name}"
    described = sm.describe_model_package_group(ModelPackageGroupName=name)
    assert described["ModelPackageGroupArn"] == arn
    assert (described["ModelPackageGroupDescription"], described["ModelPackageGroupStatus"]) == ("churn", "Completed")
    assert "assumed-role/CourseExecutionRole" in described["CreatedBy"]["IamIdentity"]["Arn"]
    assert sm.describe_model_package_group(ModelPackageGroupName=arn)["ModelPackageGroupName"] == name
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]


def test_a_group_s_name_is_taken_once(sm, registry):
    name = registry.group()
    code, message = refused(sm.create_model_package_group, ModelPackageGroupName=name)
    assert (code, message) == (
        "ValidationException",
        f"Model Package Group already exists: {ARN}:model-package-group/{name}",
    )


def test_a_missing_group_is_told_by_its_arn(sm, unique):
    name = unique("none")
    missing = ("ValidationException", f"ModelPackageGroup {ARN}:model-package-group/{name} does not exist.")
    for call in (sm.describe_model_package_group, sm.delete_model_package_group, sm.get_model_package_group_policy):
        assert refused(call, ModelPackageGroupName=name) == missing
    elsewhere = f"arn:aws:sagemaker:eu-west-1:111122223333:model-package-group/{name}"
    code, message = refused(sm.describe_model_package_group, ModelPackageGroupName=elsewhere)
    assert (code, message) == ("ValidationException", "ARN should be scoped to correct region: us-east-1")


def test_groups_are_filtered_sorted_and_paged(sm, registry, unique):
    prefix = unique("paged")
    for letter in "bca":
        sm.create_model_package_group(ModelPackageGroupName=f"{prefix}-{letter}")

    def listed(**request):
        found = sm.list_model_package_groups(NameContains=prefix, **request)
        return [group["ModelPackageGroupName"][-1] for group in found["ModelPackageGroupSummaryList"]], found

    assert listed()[0] == ["b", "c", "a"]
    assert listed(SortBy="Name", SortOrder="Descending")[0] == ["c", "b", "a"]
    assert listed(CrossAccountFilterOption="CrossAccount")[0] == []
    first, page = listed(SortBy="Name", MaxResults=2)
    assert first == ["a", "b"]
    assert listed(SortBy="Name", MaxResults=2, NextToken=page["NextToken"])[0] == ["c"]


def test_a_group_with_versions_is_not_deleted(sm, registry):
    name = registry.group()
    arn = registry.version(name)
    code, message = refused(sm.delete_model_package_group, ModelPackageGroupName=name)
    assert code == "ConflictException"
    assert "contains model packages" in message
    sm.delete_model_package(ModelPackageName=arn)
    sm.delete_model_package_group(ModelPackageGroupName=name)
    assert refused(sm.describe_model_package_group, ModelPackageGroupName=name)[0] == "ValidationException"


def test_a_group_keeps_a_resource_policy(sm, registry):
    name = registry.group()
    code, message = refused(sm.get_model_package_group_policy, ModelPackageGroupName=name)
    assert (code, message.startswith("Cannot find resource policy")) == ("ValidationException", True)
    assert refused(sm.put_model_package_group_policy, ModelPackageGroupName=name, ResourcePolicy="no")[0] == code
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    sm.put_model_package_group_policy(ModelPackageGroupName=name, ResourcePolicy=policy)
    assert sm.get_model_package_group_policy(ModelPackageGroupName=name)["ResourcePolicy"] == policy
    sm.delete_model_package_group_policy(ModelPackageGroupName=name)
    assert refused(sm.get_model_package_group_policy, ModelPackageGroupName=name)[0] == "ValidationException"


def test_versions_count_up_and_a_number_is_never_given_again(sm, registry):
    name = registry.group()
    first, second = registry.version(name), registry.version(name)
    assert [first, second] == [f"{ARN}:model-package/{name}/{number}" for number in (1, 2)]
    sm.delete_model_package(ModelPackageName=second)
    third = registry.version(f"{ARN}:model-package-group/{name}")
    assert third.endswith(f"{name}/3")
    assert registry.describe(f"{name}/3")["ModelPackageVersion"] == 3
    assert refused(sm.describe_model_package, ModelPackageName=second) == (
        "ValidationException",
        f"ModelPackage {second} does not exist.",
    )


def test_a_version_is_described_as_it_was_created(sm, registry, bucket):
    source = {"ContentType": "application/json", "S3Uri": f"s3://{bucket}/metrics.json"}
    given = {
        "ModelPackageDescription": "the first",
        "InferenceSpecification": registry.specification(),
        "ModelMetrics": {"ModelQuality": {"Statistics": source}, "Bias": {"PreTrainingReport": source}},
        "DriftCheckBaselines": {"ModelDataQuality": {"Constraints": source}},
        "MetadataProperties": {"CommitId": "abc", "ProjectId": "p"},
        "CustomerMetadataProperties": {"owner": "risk"},
        "AdditionalInferenceSpecifications": [{"Name": "large", "Containers": [registry.container()]}],
        "Domain": "MACHINE_LEARNING",
        "Task": "CLASSIFICATION",
        "SamplePayloadUrl": f"s3://{bucket}/payload.tar.gz",
        "SkipModelValidation": "None",
        "ModelLifeCycle": {"Stage": "Development", "StageStatus": "Approved"},
    }
    described = registry.describe(registry.version(registry.group(), **given))
    for container in (
        *described["InferenceSpecification"]["Containers"],
        *described["AdditionalInferenceSpecifications"][0]["Containers"],
    ):
        assert len(container.pop("ModelDataETag")) == 32
    assert {name: described[name] for name in given} == given
    assert described["ModelPackageStatus"] == "Completed"
    assert described["ModelPackageStatusDetails"] == {"ValidationStatuses": [], "ImageScanStatuses": []}
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["CertifyForMarketplace"] is False
    assert not {"LastModifiedTime", "LastModifiedBy", "ApprovalDescription", "SourceUri"} & described.keys()


def test_a_package_with_a_name_has_no_version_and_no_approval(sm, registry, unique):
    name = unique("package")
    request = {"ModelPackageName": name, "InferenceSpecification": registry.specification()}
    arn = sm.create_model_package(**request, ModelApprovalStatus="Approved")["ModelPackageArn"]
    assert arn == f"{ARN}:model-package/{name}"
    described = registry.describe(name)
    assert described["ModelPackageName"] == name
    assert not {"ModelPackageVersion", "ModelPackageGroupName", "ModelApprovalStatus"} & described.keys()
    code, message = refused(sm.create_model_package, **request)
    assert (code, message) == ("ConflictException", f"ModelPackage already exists: {arn}")
    update = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    assert refused(sm.update_model_package, **update)[0] == "ValidationException"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ModelPackageGroupName": "some-group"}, "Both ModelPackageName and ModelPackageGroupName"),
        ({"ModelPackageName": None}, "Missing ARN."),
        ({"InferenceSpecification": None}, "InferenceSpecification and SourceUri is required"),
        ({"SourceUri": "s3://x/y"}, "cannot be specified at the same time"),
        ({"ModelCard": {"ModelCardContent": "{"}}, "not valid JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_does_not_make_a_package_is_refused(sm, registry, unique, change, message):
    request = {"ModelPackageName": unique("no"), "InferenceSpecification": registry.specification()} | change
    request = {name: value for name, value in request.items() if value is not None}
    code, told = refused(sm.create_model_package, **request)
    assert code == "ValidationException"
    assert message in told


def test_a_package_without_a_group_needs_instance_types_and_takes_no_environment(sm, registry, unique):
    specification = registry.specification()
    with_environment = registry.specification(registry.container(Environment={"A": "1"}))
    without_types = {name: value for name, value in specification.items() if "TransformInstance" not in name}
    for wrong, message in (
        (with_environment, "Environment variable map cannot be specified when using non-versioned ModelPackages"),
        (without_types, "SupportedTransformInstanceTypes is required for non-versioned ModelPackages"),
    ):
        request = {"ModelPackageName": unique("no"), "InferenceSpecification": wrong}
        assert refused(sm.create_model_package, **request) == ("ValidationException", message)


def test_images_and_model_data_are_validated_unless_that_is_skipped(sm, registry, bucket):
    group = registry.group()
    nothing = f"s3://{bucket}/nothing/model.tar.gz"
    prefix = {"S3Uri": f"s3://{bucket}/nothing/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    for wrong, message in (
        (registry.container(ModelDataUrl=nothing), f"Could not find model data at {nothing}."),
        (registry.container(Image="123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"), "is not known"),
        ({"Image": deployed.SKLEARN, "ModelDataSource": {"S3DataSource": prefix}}, "Could not find model data at"),
        (registry.container(ModelDataETag="0" * 32), "ModelDataETag does not match"),
        ({"ModelDataUrl": registry.container()["ModelDataUrl"]}, "must have an Image"),
    ):
        request = {"ModelPackageGroupName": group, "InferenceSpecification": registry.specification(wrong)}
        code, told = refused(sm.create_model_package, **request)
        assert code == "ValidationException"
        assert message in told
    skipped = registry.specification(registry.container(ModelDataUrl=nothing))
    arn = registry.version(group, InferenceSpecification=skipped, SkipModelValidation="All")
    assert arn.endswith("/1")
    assert registry.describe(arn)["SkipModelValidation"] == "All"


def test_the_same_client_token_makes_one_version(registry):
    group, request = registry.group(), {"ClientToken": "once-and-for-all"}
    request["ClientToken"] += group
    assert registry.version(group, **request) == registry.version(group, **request)
    assert registry.version(group).endswith("/2")


def test_approval_goes_every_way_and_is_dated_and_signed(sm, registry):
    arn = registry.version(registry.group())
    created = registry.describe(arn)["CreationTime"]
    for status in ("Approved", "Rejected", "Approved", "PendingManualApproval"):
        answer = sm.update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus=status, ApprovalDescription=f"now {status}"
        )
        assert answer["ModelPackageArn"] == arn
        described = registry.describe(arn)
        assert (described["ModelApprovalStatus"], described["ApprovalDescription"]) == (status, f"now {status}")
        assert described["LastModifiedTime"] > created
        assert "IamIdentity" in described["LastModifiedBy"]
    assert refused(sm.update_model_package, ModelPackageArn=f"{arn}9", ModelApprovalStatus="Approved") == (
        "ValidationException",
        f"ModelPackage {arn}9 does not exist.",
    )


def test_metadata_is_added_changed_and_removed(sm, registry):
    arn = registry.version(registry.group(), CustomerMetadataProperties={"a": "1", "b": "2"})
    sm.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"b": "3", "c": "4"},
        CustomerMetadataPropertiesToRemove=["a", "not there"],
    )
    assert registry.describe(arn)["CustomerMetadataProperties"] == {"b": "3", "c": "4"}
    sm.update_model_package(ModelPackageArn=arn, CustomerMetadataPropertiesToRemove=["b", "c"])
    assert "CustomerMetadataProperties" not in registry.describe(arn)
    many = {str(number): "x" for number in range(50)}
    sm.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties=many)
    more = {"ModelPackageArn": arn, "CustomerMetadataProperties": {"one more": "x"}}
    assert refused(sm.update_model_package, **more)[0] == "ValidationException"


def test_inference_specifications_are_replaced_and_added(sm, registry):
    arn = registry.version(registry.group())
    other, extra = registry.specification(), {"Name": "extra", "Containers": [registry.container()]}
    life = {"Stage": "Staging", "StageStatus": "Pending", "StageDescription": "soon"}
    sm.update_model_package(ModelPackageArn=arn, InferenceSpecification=other, ModelLifeCycle=life)
    sm.update_model_package(ModelPackageArn=arn, AdditionalInferenceSpecificationsToAdd=[extra])
    described = registry.describe(arn)
    url = described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert url == other["Containers"][0]["ModelDataUrl"]
    assert described["ModelLifeCycle"] == life
    assert [added["Name"] for added in described["AdditionalInferenceSpecifications"]] == ["extra"]
    again = {"ModelPackageArn": arn, "AdditionalInferenceSpecificationsToAdd": [extra]}
    code, message = refused(sm.update_model_package, **again)
    assert (code, "unique names" in message) == ("ValidationException", True)


def test_a_version_is_cloned_and_a_model_is_registered_by_its_source(sm, s3, bucket, registry, unique):
    group = registry.group()
    first = registry.version(group, ModelMetrics={"ModelQuality": {"Statistics": _metrics(bucket)}})
    clone = registry.describe(registry.version(registry.group(), SourceUri=first))
    original = registry.describe(first)
    assert clone["SourceUri"] == first
    assert clone["InferenceSpecification"] == original["InferenceSpecification"]
    assert clone["ModelMetrics"] == original["ModelMetrics"]
    model = deployed.create_model(sm, s3, bucket, unique("model"))
    arn = sm.describe_model(ModelName=model)["ModelArn"]
    registered = registry.describe(registry.version(group, SourceUri=arn))
    assert (
        registered["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == f"s3://{bucket}/{model}/model.tar.gz"
    )


def _metrics(bucket):
    return {"ContentType": "application/json", "S3Uri": f"s3://{bucket}/metrics.json"}


def test_packages_are_listed_by_group_type_and_approval(sm, registry, unique):
    group = registry.group()
    arns = [registry.version(group, ModelApprovalStatus=status) for status in ("Approved", "Rejected", "Approved")]
    named = sm.create_model_package(ModelPackageName=group, InferenceSpecification=registry.specification())

    def listed(**request):
        return [package["ModelPackageArn"] for package in sm.list_model_packages(**request)["ModelPackageSummaryList"]]

    assert listed(ModelPackageGroupName=group) == arns
    assert listed(ModelPackageGroupName=f"{ARN}:model-package-group/{group}", SortOrder="Descending") == arns[::-1]
    assert listed(ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="Name") == [arns[0], arns[2]]
    assert listed(NameContains=group) == [named["ModelPackageArn"]]
    assert listed(NameContains=group, ModelPackageType="Versioned") == arns
    assert listed(NameContains=group, ModelPackageType="Both") == [*arns, named["ModelPackageArn"]]
    page = sm.list_model_packages(ModelPackageGroupName=group, MaxResults=2)
    assert "ModelPackageName" not in page["ModelPackageSummaryList"][0]
    assert listed(ModelPackageGroupName=group, MaxResults=2, NextToken=page["NextToken"]) == [arns[2]]


def test_many_packages_are_described_at_once(sm, registry, unique):
    arn = registry.version(registry.group(), ModelPackageDescription="one")
    missing = f"{ARN}:model-package/{unique('none')}/1"
    answer = sm.batch_describe_model_package(ModelPackageArnList=[arn, missing])
    assert answer["ModelPackageSummaries"][arn]["ModelPackageDescription"] == "one"
    assert answer["BatchDescribeModelPackageErrorMap"] == {
        missing: {"ErrorCode": "ValidationException", "ErrorResponse": f"ModelPackage {missing} does not exist."}
    }


def test_tags_of_packages_end_with_them(sm, registry):
    arn = registry.version(registry.group(), Tags=[{"Key": "stage", "Value": "dev"}])
    sm.add_tags(ResourceArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    assert [tag["Key"] for tag in sm.list_tags(ResourceArn=arn)["Tags"]] == ["stage", "more"]
    sm.delete_model_package(ModelPackageName=arn)
    assert refused(sm.list_tags, ResourceArn=arn)[0] == "ValidationException"
