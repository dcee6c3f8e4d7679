"""Every operation that botocore knows is answered: by its handler, or by an error that says it is not here."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import Shape

from helpers.local_sagemaker import catalogue, operations
from helpers.local_sagemaker.operations import Level


def minimal(shape: Shape) -> object:
    """The smallest value that botocore takes for a shape."""
    match shape.type_name:
        case "structure":
            names = shape.required_members or (list(shape.members)[:1] if getattr(shape, "is_tagged_union", 0) else [])
            return {name: minimal(shape.members[name]) for name in names}
        case "list":
            return [minimal(shape.member)] * max(1, shape.metadata.get("min", 1))
        case "map":
            return {minimal(shape.key): minimal(shape.value)}
        case "string":
            return shape.enum[0] if getattr(shape, "enum", None) else "x" * max(1, shape.metadata.get("min", 1))
        case "boolean":
            return True
        case "timestamp":
            return 0
        case "blob":
            return b"x"
        case "float" | "double":
            return float(shape.metadata.get("min", 1))
        case _:
            return shape.metadata.get("min", 1)


@pytest.mark.parametrize("service", catalogue.SERVICES)
def test_an_operation_without_a_handler_says_that_it_is_not_available(server, service):
    client = boto3.client(
        service,
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
    )
    model = client.meta.service_model
    methods = {operation: method for method, operation in client.meta.method_to_api_mapping.items()}
    levels = catalogue.levels()[service]
    assert levels.keys() == set(model.operation_names)
    missing = [name for name, level in levels.items() if level is Level.NOT_AVAILABLE]
    for name in missing:
        shape = model.operation_model(name).input_shape
        with pytest.raises(ClientError) as refused:
            getattr(client, methods[name])(**(minimal(shape) if shape else {}))
        answer = refused.value.response
        assert answer["Error"]["Code"] in ("ValidationException", "ValidationError"), (name, answer)
        assert answer["Error"]["Message"] == f"{name} is not available in the local SageMaker.", name
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400, name
        assert len(answer["ResponseMetadata"]["RequestId"]) == 36, name
    assert service != "sagemaker-runtime" or "InvokeEndpoint" not in missing


def test_only_operations_that_botocore_knows_are_registered():
    known = {name for levels in catalogue.levels().values() for name in levels}
    assert {*operations.OPERATIONS, *operations.REST_OPERATIONS} <= known


def test_an_operation_has_one_handler():
    operations.operation("Once")(len)
    try:
        with pytest.raises(ValueError, match="Once already has a handler: builtins"):
            operations.operation("Once")(len)
    finally:
        del operations.OPERATIONS["Once"]
