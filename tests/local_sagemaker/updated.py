"""Updates of endpoints for the tests: DeploymentConfigs, alarms, and the way from one model to the next."""

import time
from collections.abc import Callable

import deployed
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from helpers.local_sagemaker import Running

PATIENCE_SECONDS = 60


def canary(size: dict, wait: int = 120, last_wait: int = 0, **policy: int) -> dict:
    """A DeploymentConfig."""
    routing = {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": wait}
    blue_green = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": last_wait, **policy}
    return {"BlueGreenUpdatePolicy": blue_green}


def linear(size: dict, wait: int = 60, **policy: int) -> dict:
    """A DeploymentConfig."""
    routing = {"Type": "LINEAR", "LinearStepSize": size, "WaitIntervalInSeconds": wait}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def rolling(size: dict, wait: int = 60, **policy: object) -> dict:
    """A DeploymentConfig."""
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait, **policy}}


def watched(config: dict, *alarms: str) -> dict:
    """The DeploymentConfig with alarms that roll it back."""
    return config | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm} for alarm in alarms]}}


class Updates:
    """One server's endpoints, and updates of them."""

    def __init__(
        self, server: Running, client: Callable[..., BaseClient], bucket: str, unique: Callable[[str], str]
    ) -> None:
        self.server = server
        self.sm, self.s3, self.cloudwatch = client("sagemaker"), client("s3"), client("cloudwatch")
        self.bucket, self.unique = bucket, unique
        self.endpoints: list[str] = []

    def config(self, prefix: str, count: int = 1, code: str = deployed.OBEDIENT, **environment: str) -> str:
        """A model and an endpoint configuration of one name: what the model answers with."""
        name = self.unique(prefix)
        files = {"name.txt": name, "code/inference.py": code}
        deployed.create_model(self.sm, self.s3, self.bucket, name, files, environment=environment)
        self.sm.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[deployed.variant(name, "all", count=count)]
        )
        return name

    def endpoint(self, config: str, **members: object) -> str:
        """An endpoint in service."""
        name = self.unique("endpoint")
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName=config, **members)
        self.endpoints.append(name)
        deployed.await_status(self.sm, name, "InService")
        return name

    def begin(self, endpoint: str, config: str, deployment_config: dict | None = None, **members: object) -> None:
        """UpdateEndpoint."""
        if deployment_config:
            members["DeploymentConfig"] = deployment_config
        self.sm.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **members)

    def refusal(self, endpoint: str, config: str, deployment_config: dict | None = None, **members: object) -> str:
        """The message of the ValidationException that UpdateEndpoint answers."""
        with pytest.raises(ClientError) as caught:
            self.begin(endpoint, config, deployment_config, **members)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        return caught.value.response["Error"]["Message"]

    def await_variant(self, endpoint: str, status: str, message: str) -> dict:
        """DescribeEndpoint once the pending fleet has a VariantStatus and a message that begins so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            described = self.sm.describe_endpoint(EndpointName=endpoint)
            assert described["EndpointStatus"] == "Updating", described.get("FailureReason")
            (found,) = described["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"]
            if found["Status"] == status and found["StatusMessage"].startswith(message):
                return described
            time.sleep(0.02)
        raise AssertionError(f"{endpoint} is not {status} but {found}")

    def alarm(self, state: str = "OK") -> str:
        """An alarm that the test itself sets off."""
        name = self.unique("alarm")
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="Test",
            MetricName=name,
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="ignore",
        )
        self.set_off(name, state)
        return name

    def error_alarm(self, endpoint: str, average: float, **dimensions: str) -> str:
        """An alarm on the share of requests to an endpoint that its model fails on."""
        name = self.unique("errors")
        watched = {"EndpointName": endpoint, "VariantName": "all", **dimensions}
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[{"Name": key, "Value": value} for key, value in watched.items()],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=average,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
        )
        return name

    def set_off(self, alarm: str, state: str = "ALARM") -> None:
        """Puts an alarm into a state."""
        self.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="the test says so")
