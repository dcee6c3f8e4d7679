"""Every kind of invalid request gets AWS's error code and AWS's words."""

import json
import urllib.error
import urllib.request

import pytest

from helpers.local_sagemaker import errors, model

ROLE = "arn:aws:iam::111122223333:role/CourseExecutionRole"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
CHANNEL = {
    "ChannelName": "train",
    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://course-tests/train/"}},
}
TRAINING_JOB = {
    "TrainingJobName": "invalid-job",
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "InputDataConfig": [CHANNEL],
    "OutputDataConfig": {"S3OutputPath": "s3://course-tests/out/"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}
PROCESSING_JOB = {
    "ProcessingJobName": "invalid-job",
    "AppSpecification": {"ImageUri": IMAGE},
    "ProcessingResources": {
        "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
    },
    "RoleArn": ROLE,
}
MODEL = {"ModelName": "invalid-model", "PrimaryContainer": {"Image": IMAGE}, "ExecutionRoleArn": ROLE}
VARIANT = {"VariantName": "one", "ModelName": "no-such-model", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
ENDPOINT_CONFIG = {"EndpointConfigName": "invalid-config", "ProductionVariants": [VARIANT]}
ENDPOINT = {"EndpointName": "invalid-endpoint", "EndpointConfigName": "no-such-config"}
RESOURCES = TRAINING_JOB["ResourceConfig"]


def call(server, operation, request):
    """The error code and message of one request, sent as it is."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    try:
        urllib.request.urlopen(urllib.request.Request(server.url, body, headers))
    except urllib.error.HTTPError as answer:
        error = json.loads(answer.read())
        assert answer.code == 400
        return error["__type"], error["message"]
    raise AssertionError(f"{operation} accepted {request}")


def without(request, member):
    return {name: value for name, value in request.items() if name != member}


INVALID = {
    "no JSON": ("CreateModel", b"{", "SerializationException", "not JSON"),
    "no object": ("CreateModel", b"[]", "SerializationException", "not expected"),
    "text for a number": (
        "CreateTrainingJob",
        TRAINING_JOB | {"ResourceConfig": RESOURCES | {"InstanceCount": "1"}},
        "SerializationException",
        "STRING_VALUE can not be converted to an Integer",
    ),
    "a number for text": (
        "CreateTrainingJob",
        TRAINING_JOB | {"HyperParameters": {"eta": 0.1}},
        "SerializationException",
        "NUMBER_VALUE can not be converted to a String",
    ),
    "an object for text": ("DescribeModel", {"ModelName": {}}, "SerializationException", "not expected"),
    "a number for a list": ("AddTags", {"ResourceArn": "x", "Tags": 1}, "SerializationException", "expected a list"),
    "an unknown operation": ("CreateEverything", {}, "UnknownOperationException", "CreateEverything"),
    "an operation that is not here": ("ListApps", {}, "ValidationException", "ListApps is not available"),
    "no required member": (
        "CreateTrainingJob",
        without(TRAINING_JOB, "RoleArn"),
        "ValidationException",
        "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
    ),
    "no required member inside": (
        "CreateTrainingJob",
        TRAINING_JOB | {"InputDataConfig": [CHANNEL, without(CHANNEL, "ChannelName")]},
        "ValidationException",
        "Value null at 'inputDataConfig.2.member.channelName' failed to satisfy constraint: Member must not be null",
    ),
    "a name with an underscore": (
        "CreateTrainingJob",
        TRAINING_JOB | {"TrainingJobName": "my_job"},
        "ValidationException",
        "1 validation error detected: Value 'my_job' at 'trainingJobName' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    ),
    "a name that is too long": (
        "CreateModel",
        MODEL | {"ModelName": "m" * 64},
        "ValidationException",
        "Member must have length less than or equal to 63",
    ),
    "a role that is no ARN": (
        "CreateProcessingJob",
        PROCESSING_JOB | {"RoleArn": "CourseExecutionRole"},
        "ValidationException",
        "2 validation errors detected: Value 'CourseExecutionRole' at 'roleArn' failed to satisfy constraint: Member "
        "must have length greater than or equal to 20; Value 'CourseExecutionRole' at 'roleArn'",
    ),
    "an instance type that does not exist": (
        "CreateTrainingJob",
        TRAINING_JOB | {"ResourceConfig": RESOURCES | {"InstanceType": "ml.huge"}},
        "ValidationException",
        "Value 'ml.huge' at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum value "
        "set: [",
    ),
    "too few instances": (
        "CreateProcessingJob",
        PROCESSING_JOB | {"ProcessingResources": {"ClusterConfig": RESOURCES | {"InstanceCount": 0}}},
        "ValidationException",
        "Value '0' at 'processingResources.clusterConfig.instanceCount' failed to satisfy constraint: Member must have "
        "value greater than or equal to 1",
    ),
    "a runtime of zero": (
        "CreateTrainingJob",
        TRAINING_JOB | {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
        "ValidationException",
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds'",
    ),
    "a hyperparameter that is too long": (
        "CreateTrainingJob",
        TRAINING_JOB | {"HyperParameters": {"text": "x" * 2501}},
        "ValidationException",
        "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have "
        "length less than or equal to 2500",
    ),
    "an output path that is not in S3": (
        "CreateTrainingJob",
        TRAINING_JOB | {"OutputDataConfig": {"S3OutputPath": "/tmp/out"}},
        "ValidationException",
        "Value '/tmp/out' at 'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must satisfy regular "
        "expression pattern: (https|s3)://([^/]+)/?(.*)",
    ),
    "no variants": (
        "CreateEndpointConfig",
        ENDPOINT_CONFIG | {"ProductionVariants": []},
        "ValidationException",
        "Value '[]' at 'productionVariants' failed to satisfy constraint: Member must have length greater than or "
        "equal to 1",
    ),
    "a negative weight": (
        "CreateEndpointConfig",
        ENDPOINT_CONFIG | {"ProductionVariants": [VARIANT | {"InitialVariantWeight": -1.0}]},
        "ValidationException",
        "Value '-1.0' at 'productionVariants.1.member.initialVariantWeight'",
    ),
    "too large a page": (
        "ListModels",
        {"MaxResults": 101},
        "ValidationException",
        "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100",
    ),
    "a sort order that does not exist": (
        "ListEndpoints",
        {"SortOrder": "Up"},
        "ValidationException",
        "Member must satisfy enum value set: [Ascending, Descending]",
    ),
    "a token of nothing": ("ListModels", {"NextToken": "nothing"}, "ValidationException", "Invalid NextToken"),
    "a tag key with a forbidden sign": (
        "CreateModel",
        MODEL | {"Tags": [{"Key": "<key>", "Value": "ü ok"}]},
        "ValidationException",
        "1 validation error detected: Value '<key>' at 'tags.1.member.key'",
    ),
    "two kinds of container": (
        "CreateModel",
        MODEL | {"Containers": [{"Image": IMAGE}]},
        "ValidationException",
        "either PrimaryContainer or Containers",
    ),
    "a container without an image": (
        "CreateModel",
        MODEL | {"PrimaryContainer": {"ModelDataUrl": "s3://course-tests/model.tar.gz"}},
        "ValidationException",
        "Image",
    ),
    "no such model": (
        "DescribeModel",
        {"ModelName": "no-such-model"},
        "ValidationException",
        'Could not find model "arn:aws:sagemaker:us-east-1:111122223333:model/no-such-model".',
    ),
    "no such model to delete": ("DeleteModel", {"ModelName": "no-such-model"}, "ValidationException", "Could not find"),
    "no such model in a variant": (
        "CreateEndpointConfig",
        ENDPOINT_CONFIG,
        "ValidationException",
        'Could not find model "arn:aws:sagemaker:us-east-1:111122223333:model/no-such-model".',
    ),
    "no such endpoint configuration": (
        "CreateEndpoint",
        ENDPOINT,
        "ValidationException",
        "Could not find endpoint configuration "
        '"arn:aws:sagemaker:us-east-1:111122223333:endpoint-config/no-such-config"',
    ),
    "no such endpoint": (
        "DescribeEndpoint",
        {"EndpointName": "no-such-endpoint"},
        "ValidationException",
        'Could not find endpoint "arn:aws:sagemaker:us-east-1:111122223333:endpoint/no-such-endpoint".',
    ),
    "no such endpoint to update": ("UpdateEndpoint", ENDPOINT, "ValidationException", "Could not find"),
    "no such endpoint to delete": (
        "DeleteEndpoint",
        {"EndpointName": "no-such-endpoint"},
        "ValidationException",
        "Could not find endpoint",
    ),
    "no such training job": (
        "DescribeTrainingJob",
        {"TrainingJobName": "no-such-job"},
        "ValidationException",
        "Requested resource not found.",
    ),
    "a wait without spot instances": (
        "CreateTrainingJob",
        TRAINING_JOB | {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
        "ValidationException",
        "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true",
    ),
    "spot instances without a wait": (
        "CreateTrainingJob",
        TRAINING_JOB | {"EnableManagedSpotTraining": True},
        "ValidationException",
        "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds",
    ),
    "no such processing job": (
        "DescribeProcessingJob",
        {"ProcessingJobName": "no-such-job"},
        "ValidationException",
        "Could not find requested job with name: no-such-job",
    ),
    "no such resource to tag": (
        "AddTags",
        {"ResourceArn": "arn:aws:sagemaker:us-east-1:111122223333:model/no-such-model", "Tags": []},
        "ValidationException",
        "Could not find model",
    ),
    "an ARN of nothing": (
        "ListTags",
        {"ResourceArn": "arn:aws:sagemaker:us-east-1:111122223333:castle/x"},
        "ValidationException",
        "castle",
    ),
}


@pytest.mark.parametrize(("operation", "request_", "code", "words"), INVALID.values(), ids=INVALID)
def test_an_invalid_request_gets_aws_error(server, operation, request_, code, words):
    got_code, message = call(server, operation, request_)
    assert got_code == code, message
    assert words in message


def test_a_taken_model_name_is_refused(sm, server, unique):
    request = MODEL | {"ModelName": unique("model")}
    arn = sm.create_model(**request)["ModelArn"]
    assert call(server, "CreateModel", request) == (
        "ValidationException",
        f'Cannot create already existing model "{arn}".',
    )


def test_unknown_members_and_nulls_are_ignored(server, sm):
    request = json.dumps({"MaxResults": 1, "Colour": "red", "NameContains": None}).encode()
    headers = {"X-Amz-Target": "SageMaker.ListModels"}
    with urllib.request.urlopen(urllib.request.Request(server.url, request, headers)) as answer:
        assert "Models" in json.load(answer)


def test_values_of_sensitive_members_are_not_repeated():
    shapes = model.service()["shapes"]
    sensitive = next(name for name, shape in shapes.items() if shape.get("sensitive") and "max" in shape)
    with pytest.raises(errors.AwsError) as refused:
        model.validate(sensitive, "secret" * shapes[sensitive]["max"])
    assert "secret" not in refused.value.message
    assert "'***'" in refused.value.message


def test_every_pattern_of_the_model_is_understood():
    patterns = {shape["pattern"] for shape in model.service()["shapes"].values() if "pattern" in shape}
    for pattern in patterns:
        model._pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Prüfung 数 1", "a<b"),
        (r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", "e\u0301+½!", "a b"),
        (r"[\p{Print}]+", "~ a", "ü"),
        (r"[a-z]+", "abc", "abc\n"),
    ],
)
def test_unicode_classes_match_as_in_java(pattern, good, bad):
    assert model._pattern(pattern).fullmatch(good)
    assert not model._pattern(pattern).fullmatch(bad)


def test_a_job_whose_tags_are_refused_is_not_there(sm, server, unique):
    request = PROCESSING_JOB | {"ProcessingJobName": unique("job"), "Tags": [{"Key": "aws:owner", "Value": "me"}]}
    code, message = call(server, "CreateProcessingJob", request)
    assert (code, "aws: prefixed tag key names" in message) == ("ValidationException", True)
    assert sm.list_processing_jobs(NameContains=request["ProcessingJobName"])["ProcessingJobSummaries"] == []
