"""Endpoints that host inference components, and the components, for the tests."""

import json
import time
from collections.abc import Callable

import deployed
from botocore.client import BaseClient
from botocore.exceptions import ClientError

PATIENCE_SECONDS = 60
NEEDS = {"NumberOfCpuCoresRequired": 0.5, "MinMemoryRequiredInMb": 1024}


def host(name: str = "AllTraffic", count: int = 1, **members: object) -> dict:
    """A ProductionVariant for inference components: an ml.m5.large has 2 CPUs and 8 GB."""
    return {"VariantName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": count, **members}


def await_status(sm, name: str, status: str = "InService") -> dict:
    """DescribeInferenceComponent once it is no longer on its way; asserts that it has the status."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (component := sm.describe_inference_component(InferenceComponentName=name))["InferenceComponentStatus"] in (
        "Creating",
        "Updating",
        "Deleting",
    ):
        assert time.monotonic() < deadline, component
        time.sleep(0.05)
    assert component["InferenceComponentStatus"] == status, component.get("FailureReason")
    return component


def until(condition: Callable[[], object]) -> None:
    """Returns when a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(sm, name: str) -> bool:
    """Whether a component is deleted."""
    try:
        sm.describe_inference_component(InferenceComponentName=name)
    except ClientError as error:
        assert error.response["Error"]["Message"].startswith("Could not find inference component")
        return True
    return False


class Hosted:
    """One server's endpoints for components; `clear` deletes them with all that they host."""

    def __init__(
        self, client: Callable[..., BaseClient], bucket: str, role_arn: str, unique: Callable[[str], str]
    ) -> None:
        self.sm, self.s3, self.runtime = client("sagemaker"), client("s3"), client("sagemaker-runtime")
        self.bucket, self.role_arn, self.unique = bucket, role_arn, unique
        self.endpoints: list[str] = []

    def model(self, files: dict[str, str] | None = None) -> str:
        """A model of these files; by default one that answers with its own name."""
        return deployed.create_model(self.sm, self.s3, self.bucket, self.unique("model"), files)

    def config(self, *variants: dict) -> str:
        """An endpoint configuration; by default of one host."""
        name = self.unique("shared")
        self.sm.create_endpoint_config(
            EndpointConfigName=name, ExecutionRoleArn=self.role_arn, ProductionVariants=list(variants or [host()])
        )
        return name

    def endpoint(self, *variants: dict) -> str:
        """An endpoint in service, called as its configuration is."""
        name = self.config(*variants)
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.endpoints.append(name)
        deployed.await_status(self.sm, name, "InService")
        return name

    def component(
        self,
        endpoint: str,
        copies: int = 1,
        wait: str | None = "InService",
        needs: dict = NEEDS,
        **specification: object,
    ) -> str:
        """A component; by default of a model of its own."""
        name = self.unique("component")
        if not specification:
            specification = {"ModelName": self.model()}
        self.sm.create_inference_component(
            InferenceComponentName=name,
            EndpointName=endpoint,
            VariantName="AllTraffic",
            Specification={**specification, "ComputeResourceRequirements": needs},
            RuntimeConfig={"CopyCount": copies},
        )
        if wait:
            await_status(self.sm, name, wait)
        return name

    def ask(self, endpoint: str, component: str | None, **order: object) -> dict:
        """What the model answered."""
        named = {"InferenceComponentName": component} if component else {}
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=json.dumps(order), **named
        )
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        return json.loads(answer["Body"].read())

    def clear(self) -> None:
        """Deletes the components, then the endpoints."""
        for name in self.endpoints:
            listed = self.sm.list_inference_components(EndpointNameEquals=name)["InferenceComponents"]
            components = [component["InferenceComponentName"] for component in listed]
            for component in components:
                self.sm.delete_inference_component(InferenceComponentName=component)
            until(lambda components=components: all(gone(self.sm, component) for component in components))
            self.sm.delete_endpoint(EndpointName=name)
