"""The body of a CloudWatch dashboard for an endpoint and the drift of its features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_ENDPOINTS = "AWS/SageMaker"


def dashboard_body(
    endpoint: str,
    variant: str,
    region: str,
    drift_namespace: str,
    features: Sequence[str],
    alarm_arns: Sequence[str] = (),
    period: int = 300,
) -> str:
    """JSON for PutDashboard: traffic and errors, latency, drift by feature, and the state of alarms.

    Args:
        endpoint: the endpoint's name.
        variant: the variant's name.
        region: AWS region of the metrics.
        drift_namespace: namespace of the metric `psi`, with the dimensions Endpoint and Feature.
        features: features to show.
        alarm_arns: ARNs of the alarms to show.
        period: seconds of a datapoint.
    """
    dimensions = ["EndpointName", endpoint, "VariantName", variant]
    traffic = [
        [_ENDPOINTS, name, *dimensions, {"stat": "Sum"}]
        for name in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")
    ]
    latency = [
        [_ENDPOINTS, name, *dimensions, {"stat": stat}]
        for name in ("ModelLatency", "OverheadLatency")
        for stat in ("p50", "p99")
    ]
    drift = [[drift_namespace, "psi", "Endpoint", endpoint, "Feature", name, {"stat": "Maximum"}] for name in features]
    widgets = [
        _graph("Requests and errors", traffic, "count", region, period, (0, 0)),
        _graph("Latency", latency, "microseconds", region, period, (12, 0)),
        _graph("Drift (population stability index)", drift, "PSI", region, period, (0, 6)),
    ]
    if alarm_arns:
        place = {"type": "alarm", "x": 12, "y": 6, "width": 12, "height": 6}
        widgets.append(place | {"properties": {"title": "Alarms", "alarms": list(alarm_arns)}})
    return json.dumps({"widgets": widgets})


def _graph(title: str, metrics: list, unit: str, region: str, period: int, corner: tuple[int, int]) -> dict[str, Any]:
    properties = {
        "title": title,
        "metrics": metrics,
        "region": region,
        "period": period,
        "view": "timeSeries",
        "yAxis": {"left": {"label": unit, "min": 0, "showUnits": False}},
    }
    return {"type": "metric", "x": corner[0], "y": corner[1], "width": 12, "height": 6, "properties": properties}
