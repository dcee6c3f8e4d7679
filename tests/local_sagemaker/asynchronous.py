"""Asynchronous endpoints for the tests: their configurations, and where their answers are looked for."""

import json
import uuid
from collections.abc import Callable

import deployed
from botocore.client import BaseClient
from botocore.exceptions import ClientError


class Outcomes:
    """Where an asynchronous endpoint's answers are looked for."""

    def __init__(self, s3: BaseClient, bucket: str) -> None:
        self.s3, self.bucket = s3, bucket

    def read(self, location: str) -> dict | None:
        """The object at a location as GetObject has it, with its content as `content`; None when there is none."""
        bucket, _, key = location.removeprefix("s3://").partition("/")
        try:
            found = self.s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            return None
        return found | {"content": found["Body"].read()}

    def wait(self, location: str) -> dict:
        """The object at a location, once there is one."""
        assert deployed.becomes_true(lambda: self.read(location)), f"nothing lies at {location}"
        return self.read(location)

    def put(self, order: dict, content_type: str = "application/json") -> str:
        """The location of a request's payload."""
        key = f"async-inputs/{uuid.uuid4()}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(order), ContentType=content_type)
        return f"s3://{self.bucket}/{key}"


class Topic:
    """An SNS topic and the queue that hears of its messages."""

    def __init__(self, client: Callable[..., BaseClient], name: str) -> None:
        self._sqs = client("sqs")
        self.arn = client("sns").create_topic(Name=name)["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        client("sns").subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=attributes["QueueArn"])

    def message(self) -> dict:
        """The next message, once there is one."""
        received = self._sqs.receive_message(QueueUrl=self._queue, WaitTimeSeconds=20)["Messages"][0]
        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=received["ReceiptHandle"])
        return json.loads(json.loads(received["Body"])["Message"])


def config(bucket: str, concurrency: int | None = None, **output: object) -> dict:
    """An AsyncInferenceConfig with an output and a failure path."""
    paths = {"S3OutputPath": f"s3://{bucket}/out/", "S3FailurePath": f"s3://{bucket}/failed"}
    made = {"OutputConfig": paths | output}
    if concurrency:
        made["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": concurrency}
    return made


def create_endpoint(
    sm: BaseClient, name: str, config: dict, model: str, wait: str = "InService", **members: object
) -> dict:
    """An asynchronous endpoint and its configuration, both called `name`."""
    variants = [deployed.variant(model)]
    sm.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=variants, AsyncInferenceConfig=config, **members
    )
    sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return deployed.await_status(sm, name, wait)


def rescale(sm: BaseClient, name: str, count: int) -> dict:
    """Gives an endpoint so many instances."""
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
    sm.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=desired)
    return deployed.await_status(sm, name, "InService")
