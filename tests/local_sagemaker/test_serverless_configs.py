"""What AWS excludes from serverless endpoints is refused."""

import deployed
import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def model(sm, s3, bucket, unique):
    """`model()`: the name of a model."""
    return lambda: deployed.create_model(sm, s3, bucket, unique("model"))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"InstanceType": "ml.m5.large"}, "InstanceType is not supported for serverless endpoints"),
        ({"InitialInstanceCount": 1}, "InitialInstanceCount is not supported for serverless endpoints"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}, "must be in 1 GB increments"),
        (
            {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1, "ProvisionedConcurrency": 2}},
            "ProvisionedConcurrency 2 must be less than or equal to MaxConcurrency 1",
        ),
    ],
)
def test_a_variant_that_aws_refuses_is_refused(sm, model, unique, members, message):
    with pytest.raises(ClientError, match=message) as refused:
        sm.create_endpoint_config(
            EndpointConfigName=unique("no"), ProductionVariants=[deployed.serverless(model()) | members]
        )
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_features_that_serverless_endpoints_lack_are_refused(sm, model, unique, bucket):
    name = model()
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }

    def refused(message: str, variants: list[dict] | None = None, **members: object) -> None:
        with pytest.raises(ClientError, match=message):
            sm.create_endpoint_config(
                EndpointConfigName=unique("no"), ProductionVariants=variants or [deployed.serverless(name)], **members
            )

    refused("DataCaptureConfig is not supported for serverless endpoints", DataCaptureConfig=capture)
    refused(
        "must have exactly one production variant", [deployed.serverless(name, "a"), deployed.serverless(name, "b")]
    )
    shadow = [deployed.variant(name, "shadow")]
    refused("ShadowProductionVariants is not supported for serverless endpoints", ShadowProductionVariants=shadow)
    isolated = unique("isolated")
    sm.create_model(
        ModelName=isolated,
        PrimaryContainer={"Image": deployed.SKLEARN},
        EnableNetworkIsolation=True,
        ExecutionRoleArn="arn:aws:iam::111122223333:role/CourseExecutionRole",
    )
    refused("EnableNetworkIsolation .* is not supported for serverless endpoints", [deployed.serverless(isolated)])
