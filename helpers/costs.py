"""What a lab's calls cost on AWS: records the billable ones, multiplies by the list price."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.prices import INSTANCE_PRICES

if TYPE_CHECKING:
    import boto3
    import pandas as pd

SECONDS_PER_HOUR = 3600

_RECORDED = {
    "CreateTrainingJob": ("TrainingJobName", "ResourceConfig", "EnableManagedSpotTraining"),
    "CreateProcessingJob": ("ProcessingJobName", "ProcessingResources"),
    "CreateTransformJob": ("TransformJobName", "TransformResources"),
    "CreateEndpointConfig": ("EndpointConfigName", "ProductionVariants"),
    "CreateEndpoint": ("EndpointName", "EndpointConfigName"),
    "UpdateEndpoint": ("EndpointName", "EndpointConfigName"),
    "UpdateEndpointWeightsAndCapacities": ("EndpointName", "DesiredWeightsAndCapacities"),
    "DeleteEndpoint": ("EndpointName",),
    "DescribeTrainingJob": ("TrainingJobName",),
    "DescribeProcessingJob": ("ProcessingJobName",),
    "DescribeTransformJob": ("TransformJobName",),
}
_FLEET_CHANGES = ("UpdateEndpoint", "UpdateEndpointWeightsAndCapacities", "DeleteEndpoint")
_DURATIONS = {
    "DescribeTrainingJob": ("TrainingStartTime", "TrainingEndTime", "BillableTimeInSeconds"),
    "DescribeProcessingJob": ("ProcessingStartTime", "ProcessingEndTime"),
    "DescribeTransformJob": ("TransformStartTime", "TransformEndTime"),
}


class Ledger:
    """The billable SageMaker calls of a session, in the order made.

    Attributes:
        calls: one dict per call: lab, time (epoch seconds), operation, and the members that decide the price.
    """

    def __init__(self, lab: str | None = None, path: str | Path | None = None) -> None:
        """Keep calls in memory, and append each as a JSON line to `path` if given."""
        self.lab = lab
        self.path = Path(path) if path else None
        self.calls: list[dict[str, Any]] = []

    def listen(self, session: boto3.Session) -> None:
        """Record every billable call of the clients that `session` makes from now on."""
        session.events.register("provide-client-params.sagemaker.*", self._remember_parameters)
        session.events.register("after-call.sagemaker.*", self._record_answered_call)

    def _remember_parameters(self, params: dict, context: dict, **_: Any) -> None:
        context["ledger_parameters"] = params

    def _record_answered_call(self, http_response: Any, parsed: dict, model: Any, context: dict, **_: Any) -> None:
        if model.name not in _RECORDED or http_response.status_code >= 300:
            return
        parameters = context.get("ledger_parameters", {})
        call = {"lab": self.lab, "time": time.time(), "operation": model.name}
        call |= {key: parameters[key] for key in _RECORDED[model.name] if key in parameters}
        if model.name in _DURATIONS:
            found = {key: _seconds(parsed[key]) for key in _DURATIONS[model.name] if key in parsed}
            if len(found) < 2:
                return
            call |= found
        self.calls.append(call)
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(call, default=str) + "\n")


def read_ledger(path: str | Path) -> list[dict[str, Any]]:
    """The calls that a ledger wrote to a file, in the order made."""
    with Path(path).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def estimate(ledger: Ledger | Iterable[dict[str, Any]], now: float | None = None) -> pd.DataFrame:
    """Price of what a ledger's calls ran, at AWS's list prices in us-east-1.

    Jobs are priced by the seconds they were seen to run, endpoints by their instances from creation to deletion. An
    endpoint that nobody deleted is priced until `now`. What auto scaling adds or takes away is not known here, and
    storage and requests are left out: at the labs' sizes they cost less than a cent.

    Args:
        ledger: a session's ledger, or the calls read from its file.
        now: epoch seconds up to which open endpoints are priced; the current time by default.

    Returns:
        One row per job or endpoint variant: kind, name, instance_type, instances, hours (per instance), usd.

    Raises:
        KeyError: an instance type has no list price here.
    """
    import pandas as pd

    calls = list(ledger.calls if isinstance(ledger, Ledger) else ledger)
    rows = [*_job_rows(calls), *_endpoint_rows(calls, time.time() if now is None else now)]
    for row in rows:
        row["usd"] = row["instances"] * row["hours"] * hourly_price(row["instance_type"])
    return pd.DataFrame(rows, columns=["kind", "name", "instance_type", "instances", "hours", "usd"])


def hourly_price(instance_type: str) -> float:
    """List price of one instance, USD per hour.

    Raises:
        KeyError: there is no list price for the type.
    """
    try:
        return INSTANCE_PRICES[instance_type]
    except KeyError:
        known = ", ".join(INSTANCE_PRICES)
        raise KeyError(f"no list price for {instance_type!r} in prices.INSTANCE_PRICES; known are {known}") from None


def _job_rows(calls: list[dict]) -> list[dict]:
    seconds = {_job(call): _job_seconds(call) for call in calls if call["operation"] in _DURATIONS}
    rows = []
    for call in calls:
        if call["operation"] == "CreateTrainingJob":
            cluster = call["ResourceConfig"]
        elif call["operation"] == "CreateProcessingJob":
            cluster = call["ProcessingResources"]["ClusterConfig"]
        elif call["operation"] == "CreateTransformJob":
            cluster = call["TransformResources"]
        else:
            continue
        kind, name = _job(call)
        rows.append(
            {
                "kind": kind,
                "name": name,
                "instance_type": cluster["InstanceType"],
                "instances": cluster["InstanceCount"],
                "hours": seconds.get((kind, name), 0.0) / SECONDS_PER_HOUR,
            }
        )
    return rows


def _job(call: dict) -> tuple[str, str]:
    """Kind and name of a call's job; jobs of two kinds may have one name."""
    for kind in ("training", "processing", "transform"):
        if name := call.get(f"{kind.capitalize()}JobName"):
            return f"{kind} job", name
    raise KeyError(f"{call['operation']} names no job")


def _job_seconds(call: dict) -> float:
    if "BillableTimeInSeconds" in call:
        return float(call["BillableTimeInSeconds"])
    start, end = (call[key] for key in _DURATIONS[call["operation"]][:2])
    return float(end - start)


def _endpoint_rows(calls: list[dict], now: float) -> list[dict]:
    made = (call for call in calls if call["operation"] == "CreateEndpointConfig")
    configs = {call["EndpointConfigName"]: call["ProductionVariants"] for call in made}
    serving: dict[str, tuple[list[dict], float]] = {}
    rows: list[dict] = []

    def close(endpoint: str, end: float) -> list[dict]:
        variants, start = serving.pop(endpoint)
        rows.extend(
            {
                "kind": "endpoint",
                "name": f"{endpoint}/{variant['VariantName']}",
                "instance_type": variant["InstanceType"],
                "instances": variant.get("InitialInstanceCount", 1),
                "hours": (end - start) / SECONDS_PER_HOUR,
            }
            for variant in variants
            if "InstanceType" in variant
        )
        return variants

    for call in calls:
        endpoint, operation = call.get("EndpointName"), call["operation"]
        old = close(endpoint, call["time"]) if endpoint in serving and operation in _FLEET_CHANGES else []
        if operation in ("CreateEndpoint", "UpdateEndpoint"):
            serving[endpoint] = (configs.get(call["EndpointConfigName"], []), call["time"])
        elif operation == "UpdateEndpointWeightsAndCapacities":
            serving[endpoint] = (_rescaled(old, call["DesiredWeightsAndCapacities"]), call["time"])
    for endpoint in list(serving):
        close(endpoint, now)
    return rows


def _rescaled(variants: list[dict], desired: list[dict]) -> list[dict]:
    """The variants with the numbers of instances that a call gave them."""
    counts = {
        entry["VariantName"]: entry["DesiredInstanceCount"] for entry in desired if "DesiredInstanceCount" in entry
    }
    return [
        variant | {"InitialInstanceCount": counts[variant["VariantName"]]}
        if variant["VariantName"] in counts
        else variant
        for variant in variants
    ]


def _seconds(value: Any) -> float:
    return value.timestamp() if hasattr(value, "timestamp") else float(value)
