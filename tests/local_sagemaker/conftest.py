"""A real server on a free port, with its own home, and boto3 clients whose every response is held to its shape."""

import shutil
import uuid
from collections.abc import Callable, Iterator

import boto3
import pipelined
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.eventstream import EventStream
from botocore.model import OperationModel, Shape
from killed import Victim

from helpers import local_sagemaker
from helpers.local_sagemaker import Running

STRICT_SERVICES = (
    *("sagemaker", "sagemaker-runtime", "sagemaker-featurestore-runtime"),
    *("cloudwatch", "application-autoscaling", "scheduler"),
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the whole session: give every resource a name of its own."""
    home = tmp_path_factory.mktemp("local-sagemaker")
    yield local_sagemaker.start(home)
    local_sagemaker.stop(home)


@pytest.fixture(scope="session")
def client_of() -> Callable[[Running], Callable[..., BaseClient]]:
    """`client_of(running)("s3")`: for a test that has a server of its own."""
    return make_clients


@pytest.fixture(scope="session")
def client(server: Running) -> Callable[..., BaseClient]:
    """`client("s3")`: a boto3 client of the server; `validate=False` sends what botocore itself would refuse."""
    return make_clients(server)


@pytest.fixture(scope="session")
def sm(client: Callable[..., BaseClient]) -> BaseClient:
    """The control plane."""
    return client("sagemaker")


@pytest.fixture(scope="session")
def runtime(client: Callable[..., BaseClient]) -> BaseClient:
    """InvokeEndpoint."""
    return client("sagemaker-runtime")


@pytest.fixture(scope="session")
def s3(client: Callable[..., BaseClient]) -> BaseClient:
    """S3."""
    return client("s3")


@pytest.fixture(scope="session")
def bucket(s3: BaseClient) -> str:
    """A bucket that exists."""
    s3.create_bucket(Bucket="course-tests")
    return "course-tests"


@pytest.fixture(scope="session")
def role_arn(client: Callable[..., BaseClient]) -> str:
    """The execution role that the server brings with it."""
    return client("iam").get_role(RoleName="CourseExecutionRole")["Role"]["Arn"]


@pytest.fixture
def unique() -> Callable[[str], str]:
    """`unique("model")`: a name that no other test uses."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def pipelines(sm: BaseClient, unique: Callable[[str], str]) -> pipelined.Pipelines:
    """Makes pipelines and runs them."""
    return pipelined.Pipelines(sm, unique)


@pytest.fixture
def victim(client_of: Callable[..., Callable[..., BaseClient]], request: pytest.FixtureRequest) -> Iterator[Victim]:
    """A server to be killed, with a seed for its parameter; its home is deleted in the end."""
    made = Victim(client_of, seed=request.param)
    yield made
    made.end()
    shutil.rmtree(made.folder)


def make_clients(server: Running) -> Callable[..., BaseClient]:
    """A factory of clients of one server, each made once."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")
    clients: dict[tuple, BaseClient] = {}

    def make(service: str, validate: bool = True) -> BaseClient:
        if (service, validate) not in clients:
            # No retries: a test sees the first answer. Long reads: a slow machine is not a failure.
            config = Config(retries={"total_max_attempts": 1}, read_timeout=120, parameter_validation=validate)
            made = session.client(service, endpoint_url=server.url, config=config)
            if service in STRICT_SERVICES:
                made.meta.events.register("after-call.*", assert_follows_shape)
            clients[service, validate] = made
        return clients[service, validate]

    return make


def assert_follows_shape(parsed: dict, model: OperationModel, http_response: object, **_: object) -> None:
    """Holds a successful response to its output shape: types, required members, enums, no empty structures."""
    if http_response.status_code < 300 and model.output_shape is not None:
        body = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        assert_shape(model.output_shape, body, model.name)


def assert_shape(shape: Shape, value: object, path: str) -> None:
    """Asserts that a parsed value has its shape's type, required members and enum value, all the way down."""
    if shape.serialization.get("eventstream"):
        assert isinstance(value, EventStream), f"{path} is {value!r}, not a stream of events"
    elif shape.type_name == "structure":
        missing = [name for name in shape.required_members if name not in value]
        assert not missing, f"{path} lacks {missing}"
        for name, member in value.items():
            assert name in shape.members, f"{path} has {name}, which its shape does not know"
            assert member is not None, f"{path}.{name} is null: absent members are absent"
            if shape.members[name].type_name == "structure":
                assert member != {}, f"{path}.{name} is an empty structure: absent members are absent"
            assert_shape(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            assert_shape(shape.member, member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, member in value.items():
            assert_shape(shape.value, member, f"{path}[{key!r}]")
    elif shape.type_name == "string":
        assert isinstance(value, str), f"{path} is {value!r}, not a string"
        assert not getattr(shape, "enum", []) or value in shape.enum, f"{path} is {value!r}, not one of {shape.enum}"
    elif shape.type_name in ("integer", "long"):
        assert type(value) is int, f"{path} is {value!r}, not an integer"
    elif shape.type_name in ("float", "double"):
        assert type(value) in (int, float), f"{path} is {value!r}, not a number"
    elif shape.type_name == "boolean":
        assert type(value) is bool, f"{path} is {value!r}, not a boolean"


@pytest.fixture
def put(s3):
    """Stores a text at an S3 URI, which it returns."""

    def store(uri, text):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=text)
        return uri

    return store
