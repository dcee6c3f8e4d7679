"""Asynchronous endpoints: what boto3 sees of the queue, in S3, on SNS topics and in CloudWatch; and kill -9."""

import base64
import json
import uuid
from datetime import datetime

import asynchronous
import deployed
import pytest
from botocore.exceptions import ClientError

from helpers.local_sagemaker import async_configs

SERVERLESS = {
    "VariantName": "AllTraffic",
    "ModelName": "async-model",
    "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
}
REFUSED = "are not supported when specifying an AsyncInferenceConfig."


@pytest.fixture(scope="module")
def outcomes(s3, bucket):
    return asynchronous.Outcomes(s3, bucket)


@pytest.fixture(scope="module")
def topics(client):
    """For successes and for errors."""
    return asynchronous.Topic(client, "async-success"), asynchronous.Topic(client, "async-error")


@pytest.fixture(scope="module")
def model(sm, s3, bucket):
    return deployed.create_model(sm, s3, bucket, "async-model")


@pytest.fixture(scope="module")
def other_models(sm, bucket, role_arn, model):
    """A multi-model container, two that are invoked directly, and an inference pipeline of the same two."""
    many = {"Image": deployed.SKLEARN, "Mode": "MultiModel", "ModelDataUrl": f"s3://{bucket}/models/"}
    sm.create_model(ModelName="async-multi-model", ExecutionRoleArn=role_arn, Containers=[many])
    one = {"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://{bucket}/{model}/model.tar.gz"}
    two = [one | {"ContainerHostname": name} for name in ("first", "second")]
    direct = {"Containers": two, "InferenceExecutionConfig": {"Mode": "Direct"}}
    sm.create_model(ModelName="async-direct", ExecutionRoleArn=role_arn, **direct)
    sm.create_model(ModelName="async-pipeline", ExecutionRoleArn=role_arn, Containers=two)


@pytest.fixture(scope="module")
def endpoint(sm, bucket, model, topics):
    """Two requests at a time; topics that include the response."""
    success, error = topics
    notification = {
        "SuccessTopic": success.arn,
        "ErrorTopic": error.arn,
        "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"],
    }
    asynchronous.create_endpoint(sm, "async", asynchronous.config(bucket, 2, NotificationConfig=notification), model)
    yield "async"
    sm.delete_endpoint(EndpointName="async")


@pytest.fixture
def ask(runtime, endpoint, outcomes):
    """`ask(order)`: the acknowledgement of a request whose payload lies in S3."""

    def call(order: dict | None = None, **members) -> dict:
        request = {"EndpointName": endpoint, "InputLocation": outcomes.put(order or {})} | members
        return runtime.invoke_endpoint_async(**request)

    return call


def test_an_asynchronous_endpoint_is_described_as_such(sm, endpoint, bucket):
    described = sm.describe_endpoint(EndpointName=endpoint)["AsyncInferenceConfig"]
    assert described == sm.describe_endpoint_config(EndpointConfigName=endpoint)["AsyncInferenceConfig"]
    assert described["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 2}
    assert described["OutputConfig"]["S3OutputPath"] == f"s3://{bucket}/out/"


def test_a_request_is_acknowledged_with_202_and_its_answer_comes_to_s3(ask, outcomes, bucket, topics):
    accepted = ask({"question": 1}, ContentType="application/json", Accept="application/json")
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert uuid.UUID(accepted["InferenceId"])
    assert accepted["OutputLocation"].startswith(f"s3://{bucket}/out/") and accepted["OutputLocation"].endswith(".out")
    assert accepted["FailureLocation"].startswith(f"s3://{bucket}/failed/")
    answer = outcomes.wait(accepted["OutputLocation"])
    assert json.loads(answer["content"])["order"] == {"question": 1}
    assert answer["ContentType"] == "application/json"
    assert outcomes.read(accepted["FailureLocation"]) is None
    topics[0].message()


def test_the_success_topic_hears_in_the_words_of_aws(ask, outcomes, topics, endpoint):
    location = outcomes.put({"question": 2})
    accepted = ask(InputLocation=location, Accept="application/json", InferenceId="inference 7")
    heard = topics[0].message()
    times = [datetime.fromisoformat(heard.pop(name)) for name in ("receivedTime", "eventTime")]
    assert times == sorted(times)
    content = base64.b64decode(heard["responseBody"].pop("content"))
    assert json.loads(content)["order"] == {"question": 2}
    assert heard == {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {"accept": "application/json", "endpointName": endpoint, "inputLocation": location},
        "responseParameters": {"contentType": "application/json", "outputLocation": accepted["OutputLocation"]},
        "responseBody": {
            "message": "Check S3 path location(if configured) or Cloudwatch for additional details.",
            "encoding": "BASE64",
        },
        "inferenceId": "inference 7",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert accepted["InferenceId"] == "inference 7"


def test_a_model_that_raises_goes_to_the_failure_path_and_the_error_topic(ask, outcomes, topics, endpoint):
    location = outcomes.put({"raise": "no such card"})
    accepted = ask(InputLocation=location, ContentType="application/json")
    heard = topics[1].message()
    assert heard["invocationStatus"] == "Failed"
    assert heard["failureReason"] == (
        "ClientError: Received server error (500) from model. See the SageMaker Endpoint logs in your account for more "
        "information."
    )
    asked = {"contentType": "application/json", "endpointName": endpoint, "inputLocation": location}
    assert heard["requestParameters"] == asked and "responseParameters" not in heard
    failure = outcomes.wait(accepted["FailureLocation"])
    assert failure["content"].startswith(b"no such card\nTraceback")
    assert base64.b64decode(heard["responseBody"]["content"]) == failure["content"]
    assert outcomes.read(accepted["OutputLocation"]) is None


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"status": 422}, "Received client error (422) from model"),
        ({"exit": 3}, "Received server error (0) from model"),
    ],
)
def test_other_failures_of_the_model_are_named(ask, topics, order, words):
    ask(order)
    assert words in topics[1].message()["failureReason"]


def test_a_missing_payload_is_a_failure_that_says_so(ask, outcomes, topics, bucket):
    location = f"s3://{bucket}/async-inputs/none"
    accepted = ask(InputLocation=location)
    reason = topics[1].message()["failureReason"]
    assert (
        reason.startswith(f"ClientError: Failed to download the request payload {location}: ") and "NoSuchKey" in reason
    )
    assert outcomes.wait(accepted["FailureLocation"])["content"].decode() == reason


def test_a_request_that_takes_too_long_times_out(ask, topics, outcomes):
    accepted = ask({"sleep": 2.5}, InvocationTimeoutSeconds=1)
    assert "Received server error (0) from model" in topics[1].message()["failureReason"]
    assert b"Your invocation timed out" in outcomes.wait(accepted["FailureLocation"])["content"]


def test_the_container_sees_the_clients_headers_and_the_media_type_of_the_object(ask, outcomes, topics):
    accepted = ask({"headers": True}, CustomAttributes="trace=6", InferenceId="id-1", Accept="x/y")
    seen = json.loads(outcomes.wait(accepted["OutputLocation"])["content"])
    assert seen["content-type"] == "application/json" and seen["accept"] == "x/y"
    assert seen["x-amzn-sagemaker-custom-attributes"] == "trace=6"
    assert seen["x-amzn-sagemaker-inference-id"] == "id-1"
    topics[0].message()


def test_the_payload_may_come_with_the_request(runtime, endpoint, outcomes, topics):
    request = {"EndpointName": endpoint, "ContentType": "application/json", "Body": b'{"inline": true}'}
    accepted = runtime.invoke_endpoint_async(**request)
    assert json.loads(outcomes.wait(accepted["OutputLocation"])["content"])["order"] == {"inline": True}
    assert topics[0].message()["requestParameters"] == {"contentType": "application/json", "endpointName": endpoint}


def test_the_client_may_name_the_answers_file(ask, outcomes, bucket, topics):
    accepted = ask(S3OutputPathExtension="run-7/day-1", Filename="scores.json")
    assert accepted["OutputLocation"] == f"s3://{bucket}/out/run-7/day-1/scores.json"
    assert accepted["FailureLocation"].startswith(f"s3://{bucket}/failed/run-7/day-1/scores")
    outcomes.wait(accepted["OutputLocation"])
    topics[0].message()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"EndpointName": "no-such"}, "Endpoint no-such of account 111122223333 not found."),
        ({"RequestTTLSeconds": 59}, "'requestTTLSeconds' failed to satisfy constraint"),
        ({"RequestTTLSeconds": 21601}, "'requestTTLSeconds' failed to satisfy constraint"),
        ({"InvocationTimeoutSeconds": 3601}, "'invocationTimeoutSeconds' failed to satisfy constraint"),
        ({"InputLocation": "https://example.com/x"}, "The S3 URI is not valid"),
        ({"InputLocation": "ftp://x"}, "'inputLocation' failed to satisfy constraint"),
        ({"Filename": "a/b"}, "'filename' failed to satisfy constraint"),
        ({"S3OutputPathExtension": "s3://elsewhere"}, "'s3OutputPathExtension' failed to satisfy constraint"),
        ({"InferenceId": "x" * 65}, "'inferenceId' failed to satisfy constraint"),
        ({"Body": b"{}"}, "Body and InputLocation are mutually exclusive"),
        ({"InputLocation": None}, "Provide exactly one of them"),
        ({"InputLocation": None, "Body": b"x" * 128_001}, "less than or equal to 128000"),
    ],
)
def test_a_faulty_request_is_refused_at_once(client, endpoint, members, words):
    request = {"EndpointName": endpoint, "InputLocation": "s3://course-tests/x"} | members
    request = {name: value for name, value in request.items() if value is not None}
    with pytest.raises(ClientError) as caught:
        client("sagemaker-runtime", validate=False).invoke_endpoint_async(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert words in caught.value.response["Error"]["Message"]


def test_each_kind_of_endpoint_takes_its_own_invocations(sm, runtime, endpoint, model, unique):
    with pytest.raises(ClientError, match="can only receive asynchronous invocations"):
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"{}")
    with pytest.raises(ClientError, match="can only receive asynchronous invocations"):
        runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint, Body=b"{}")
    name = unique("synchronous")
    deployed.create_endpoint(sm, name, [deployed.variant(model)])
    with pytest.raises(ClientError, match="can only receive synchronous invocations"):
        runtime.invoke_endpoint_async(EndpointName=name, InputLocation="s3://course-tests/x")
    sm.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"ShadowProductionVariants": [deployed.variant("async-model", "shadow")]},
            f"Shadow production variants {REFUSED}",
        ),
        (
            {"ProductionVariants": [deployed.variant("async-model", name) for name in ("a", "b")]},
            f"Multiple production variants {REFUSED}",
        ),
        (
            {"ProductionVariants": [SERVERLESS]},
            f"Serverless variants {REFUSED}",
        ),
        ({"ProductionVariants": [deployed.variant("async-multi-model")]}, f"Multi-model endpoints {REFUSED}"),
        ({"ProductionVariants": [deployed.variant("async-direct")]}, f"Containers that are invoked directly {REFUSED}"),
        (
            {
                "ProductionVariants": [
                    {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
                ],
                "ExecutionRoleArn": "arn:aws:iam::111122223333:role/CourseExecutionRole",
            },
            f"Inference components {REFUSED}",
        ),
        ({"S3OutputPath": "https://example.com/out"}, r"OutputConfig\.S3OutputPath: The S3 URI is not valid"),
        (
            {"NotificationConfig": {"IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]}},
            "has no SuccessTopic",
        ),
    ],
)
def test_a_config_that_cannot_be_asynchronous_is_refused(sm, bucket, model, other_models, members, words):
    output = {name: members[name] for name in ("S3OutputPath", "NotificationConfig") if name in members}
    members = {name: member for name, member in members.items() if name not in output}
    request = {"ProductionVariants": [deployed.variant(model)]} | members
    with pytest.raises(ClientError, match=words):
        sm.create_endpoint_config(
            EndpointConfigName="async-refused", AsyncInferenceConfig=asynchronous.config(bucket, **output), **request
        )


def test_outputs_are_encrypted_with_the_key_that_the_config_names(sm, runtime, bucket, outcomes, model, unique):
    name, key = unique("encrypted"), "arn:aws:kms:us-east-1:111122223333:key/1234abcd"
    asynchronous.create_endpoint(sm, name, asynchronous.config(bucket, KmsKeyId=key), model)
    accepted = runtime.invoke_endpoint_async(EndpointName=name, Body=b"{}", ContentType="application/json")
    answer = outcomes.wait(accepted["OutputLocation"])
    assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", key)
    sm.delete_endpoint(EndpointName=name)


def test_a_request_passes_through_an_inference_pipeline(sm, runtime, bucket, outcomes, other_models, unique):
    name = unique("pipeline")
    asynchronous.create_endpoint(sm, name, asynchronous.config(bucket), "async-pipeline")
    request = {"EndpointName": name, "ContentType": "application/json"}
    accepted = runtime.invoke_endpoint_async(Body=b'{"n": 1}', **request)
    answer = json.loads(outcomes.wait(accepted["OutputLocation"])["content"])
    assert answer["order"]["order"] == {"n": 1} and answer["worker"] != answer["order"]["worker"]
    failed = runtime.invoke_endpoint_async(Body=b'{"raise": "no such card"}', **request)
    assert outcomes.wait(failed["FailureLocation"])["content"].startswith(b"no such card")
    sm.delete_endpoint(EndpointName=name)


def test_an_endpoint_without_paths_answers_by_its_topics_alone(sm, runtime, topics, model, unique):
    name = unique("topics-only")
    notification = {"SuccessTopic": topics[0].arn, "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]}
    asynchronous.create_endpoint(sm, name, {"OutputConfig": {"NotificationConfig": notification}}, model)
    accepted = runtime.invoke_endpoint_async(EndpointName=name, Body=b'{"n": 1}', ContentType="application/json")
    assert accepted.keys() == {"InferenceId", "ResponseMetadata"}
    heard = topics[0].message()
    assert heard["responseParameters"] == {"contentType": "application/json"}
    assert json.loads(base64.b64decode(heard["responseBody"]["content"]))["order"] == {"n": 1}
    sm.delete_endpoint(EndpointName=name)


def test_requests_are_processed_in_their_order_one_at_a_time_unless_declared(sm, s3, runtime, bucket, outcomes, unique):
    name = unique("in-order")
    script = """
import json, time
calls = []

def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(number, model):
    calls.append(number)
    return calls

def output_fn(calls, accept):
    return json.dumps(calls)
"""
    deployed.create_model(sm, s3, bucket, name, {"code/inference.py": script})
    asynchronous.create_endpoint(sm, name, asynchronous.config(bucket), name)
    asynchronous.rescale(sm, name, 0)
    accepted = [
        runtime.invoke_endpoint_async(EndpointName=name, Body=str(number), ContentType="application/json")
        for number in range(20)
    ]
    asynchronous.rescale(sm, name, 1)
    answers = [json.loads(outcomes.wait(request["OutputLocation"])["content"]) for request in accepted]
    assert async_configs.concurrency({}) == 1
    assert answers == [list(range(number + 1)) for number in range(20)]
    sm.delete_endpoint(EndpointName=name)
