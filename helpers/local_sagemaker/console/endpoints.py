"""Endpoints: the list, and one endpoint with its variants, live traffic, deployment, scaling, queue and capture."""

from __future__ import annotations

import functools
import time

from helpers.local_sagemaker import auto_scaling, deployments, metrics
from helpers.local_sagemaker import model as service_model
from helpers.local_sagemaker import tags as tags_of
from helpers.local_sagemaker.console import addresses, charts, logs, measured, prices, rendering
from helpers.local_sagemaker.console.measured import Span
from helpers.local_sagemaker.console.visits import Visit, page

VARIANT_KINDS = ("ProductionVariants", "ShadowProductionVariants")
_RECENT_SECONDS = 300
_ACTIVITIES = 10


@page("/endpoints", "endpoints.html")
def endpoint_list(visit: Visit) -> dict:
    """One page of the endpoints."""
    filters = {"name": "NameContains", "status": "StatusEquals"}
    found = visit.one_page("ListEndpoints", "Endpoints", filters)
    for row in found["rows"]:
        endpoint = visit.read("DescribeEndpoint", EndpointName=row["EndpointName"])
        names = [variant["VariantName"] for variant in endpoint.get("ProductionVariants", [])]
        row |= {
            "variants": ", ".join(names) or rendering.NOTHING,
            "requests": sum(_recent(visit, row["EndpointName"], name, "Invocations") for name in names),
            "errors": sum(
                _recent(visit, row["EndpointName"], name, metric)
                for name in names
                for metric in ("Invocation4XXErrors", "Invocation5XXErrors")
            ),
        }
    next_address = functools.partial(_list_address, found["filters"])
    statuses = service_model.service()["shapes"]["EndpointStatus"]["enum"]
    page_shown = found | {"token": visit.query.get("token")}
    return {"section": "endpoints", "page": page_shown, "next_address": next_address, "statuses": statuses}


def _list_address(filters: dict, token: str | None) -> str:
    return addresses.to("endpoints", **filters, token=token)


def _recent(visit: Visit, endpoint: str, variant: str, metric: str) -> float:
    """The sum of a metric of the last five minutes."""
    key = (metrics.NAMESPACE, metric, frozenset({("EndpointName", endpoint), ("VariantName", variant)}))
    begin = int(time.time()) - _RECENT_SECONDS
    return sum(summary.total for _, _, summary in visit.server.metric_data.windows(key, begin, _RECENT_SECONDS + 1, 1))


@page("/endpoints/{name}", "endpoint.html")
def endpoint(visit: Visit) -> dict:
    """One endpoint."""
    name = visit.path["name"]
    found = visit.require("DescribeEndpoint", EndpointName=name)
    over, address = measured.span(visit.query.get("span")), addresses.to("endpoints", name)
    specs = _specs(visit, found)
    targets = _scaling(visit, name)
    return {
        "section": "endpoints",
        "trail": [("Endpoints", addresses.to("endpoints"))],
        "endpoint": found,
        "tags": tags_of.of(visit.server.store, found["EndpointArn"]),
        "pending": found.get("PendingDeploymentSummary"),
        "variants": _variants(visit, found, specs, over),
        "rate": hourly_rate(found, specs),
        "has_lineage": visit.has("QueryLineage"),
        "spans": measured.SPANS,
        "span": over,
        "queue": _queue(visit, found, over),
        "components": list(visit.all("ListInferenceComponents", "InferenceComponents", EndpointNameEquals=name)),
        "targets": targets,
        "activities": _activities(visit, targets),
        "log": logs.tail(visit, deployments.log_group(name), address),
    }


def _specs(visit: Visit, found: dict) -> dict[str, dict]:
    """The variants of the endpoint's configuration by their names; nothing when that was deleted."""
    config = visit.server.store.get("EndpointConfig", found["EndpointConfigName"]) or {}
    return {spec["VariantName"]: spec for kind in VARIANT_KINDS for spec in config.get(kind, [])}


def hourly_rate(found: dict, specs: dict[str, dict]) -> float | None:
    """USD an hour of the endpoint's instances at AWS's list price; None where it has none, or one without a price."""
    rates = [
        prices.hourly(specs[variant["VariantName"]]["InstanceType"], variant.get("CurrentInstanceCount", 0))
        for kind in VARIANT_KINDS
        for variant in found.get(kind, [])
        if "InstanceType" in specs.get(variant["VariantName"], {})
    ]
    return None if not rates or None in rates else sum(rates)


def _variants(visit: Visit, found: dict, specs: dict[str, dict], over: Span) -> list[dict]:
    total = sum(each.get("CurrentWeight", 0) for each in found.get("ProductionVariants", []))
    shown = []
    for kind in VARIANT_KINDS:
        for each in found.get(kind, []):
            spec, weight = specs.get(each["VariantName"], {}), each.get("CurrentWeight", 0)
            is_shadow = kind != "ProductionVariants"
            shown.append(
                {
                    "name": each["VariantName"],
                    "is_shadow": is_shadow,
                    "model": spec.get("ModelName"),
                    "serverless": each.get("CurrentServerlessConfig"),
                    "instance_type": spec.get("InstanceType"),
                    "instance_count": each.get("CurrentInstanceCount", 0),
                    "desired_count": each.get("DesiredInstanceCount", 0),
                    "weight": weight,
                    "desired_weight": each.get("DesiredWeight"),
                    "share": None if is_shadow else weight / total if total else 0.0,
                    "states": each.get("VariantStatus", []),
                    "serves": found["EndpointStatus"] in ("InService", "Updating"),
                    "series": _traffic(visit, found["EndpointName"], each["VariantName"], over),
                }
            )
    for position in range(len(_CHARTS)):
        # Variants are compared with each other: their charts of one kind have one scale.
        most = max((value for each in shown for line in each["series"][position] for value in line.values), default=0.0)
        for each in shown:
            title, unit = _CHARTS[position]
            drawn = charts.line_chart(title, each["series"][position], unit=unit, ends=over.ends, most=most)
            each.setdefault("charts", []).append(drawn)
    return shown


_CHARTS = (("Requests", "per min"), ("Model latency", "ms"), ("Errors", "per min"))


def _traffic(visit: Visit, endpoint: str, variant: str, over: Span) -> tuple[list, list, list]:
    """The lines of the three charts of a variant."""
    dimensions = {"EndpointName": endpoint, "VariantName": variant}

    def line(name: str, metric: str, stat: str, scale: float, missing: float | None) -> charts.Series:
        key = (metrics.NAMESPACE, metric, dimensions)
        return measured.series(visit.server, name, key, stat, over, scale=scale, missing=missing)

    per_minute = 60 / over.seconds
    return (
        [line("requests", "Invocations", "Sum", per_minute, 0.0)],
        [line(stat, "ModelLatency", stat, 1e-3, None) for stat in ("p50", "p99")],
        [line(f"{kind}xx", f"Invocation{kind}XXErrors", "Sum", per_minute, 0.0) for kind in "45"],
    )


def _queue(visit: Visit, found: dict, over: Span) -> dict | None:
    """The queue of an asynchronous endpoint."""
    config = found.get("AsyncInferenceConfig")
    if not config:
        return None
    name = found["EndpointName"]
    count, oldest = visit.server.async_inference.queue.backlog().get(name, (0, None))
    lines = [
        (
            title,
            unit,
            measured.series(visit.server, title, (metrics.NAMESPACE, metric, {"EndpointName": name}), "Maximum", over),
        )
        for title, unit, metric in (
            ("Backlog", "requests", "ApproximateBacklogSize"),
            ("Age of the oldest request", "s", "ApproximateAgeOfOldestRequest"),
        )
    ]
    drawn = [charts.line_chart(title, [line], unit=unit, ends=over.ends) for title, unit, line in lines if line.values]
    return {"count": count, "oldest": oldest, "output": config["OutputConfig"].get("S3OutputPath"), "charts": drawn}


def _scaling(visit: Visit, name: str) -> list[dict]:
    """The endpoint's scalable targets with their policies."""
    asked = {"ServiceNamespace": "sagemaker"}
    answer = auto_scaling.OPERATIONS["DescribeScalableTargets"](visit.server, dict(asked))
    targets = [
        target for target in answer["ScalableTargets"] if target["ResourceId"].startswith(f"endpoint/{name}/variant/")
    ]
    for target in targets:
        chosen = asked | {"ResourceId": target["ResourceId"], "ScalableDimension": target["ScalableDimension"]}
        policies = auto_scaling.OPERATIONS["DescribeScalingPolicies"](visit.server, chosen)["ScalingPolicies"]
        target["what"] = f"{target['ResourceId'].rpartition('/')[2]}, {target['ScalableDimension'].rpartition(':')[2]}"
        target["policies"] = [_policy_words(policy) for policy in policies]
    return targets


def _policy_words(policy: dict) -> str:
    tracked = policy.get("TargetTrackingScalingPolicyConfiguration")
    if not tracked:
        return f"{policy['PolicyName']} (steps)"
    metric = tracked.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType") or tracked.get(
        "CustomizedMetricSpecification", {}
    ).get("MetricName", "metric math")
    return f"{policy['PolicyName']}: {metric} at {rendering.number(tracked['TargetValue'])}"


def _activities(visit: Visit, targets: list[dict]) -> list[dict]:
    found = []
    for target in targets:
        asked = {"ServiceNamespace": "sagemaker", "ResourceId": target["ResourceId"]}
        answer = auto_scaling.OPERATIONS["DescribeScalingActivities"](visit.server, asked)
        found += answer["ScalingActivities"]
    return sorted(found, key=lambda each: each["StartTime"], reverse=True)[:_ACTIVITIES]


@page("/models/{name}", "record.html")
def model(visit: Visit) -> dict:
    """One model, and the endpoint configurations that use it."""
    name = visit.path["name"]
    found = visit.require("DescribeModel", ModelName=name)
    used = [
        (config["EndpointConfigName"], spec["VariantName"])
        for config in visit.server.store.list("EndpointConfig")
        for kind in VARIANT_KINDS
        for spec in config.get(kind, [])
        if spec.get("ModelName") == name
    ]
    serving = {each["EndpointConfigName"]: each["EndpointName"] for each in visit.server.store.list("Endpoint")}
    links = [
        (f"{variant} of {serving[config]}", addresses.to("endpoints", serving[config]))
        for config, variant in used
        if config in serving
    ]
    return {
        "section": "endpoints",
        "trail": [("Endpoints", addresses.to("endpoints"))],
        "heading": name,
        "kind": "Model",
        "links_heading": "Served by",
        "links": links,
        "record": found,
        "operation": "DescribeModel",
        "tags": tags_of.of(visit.server.store, found["ModelArn"]),
    }
