"""What DescribeEndpoint says about variants: those that serve, and those that are on their way into service."""

from __future__ import annotations

import time

from helpers.local_sagemaker import deployments


def serving(spec: dict) -> dict:
    """The summary of a variant of a plan that is in service as it shall be."""
    summary = {
        "VariantName": spec["VariantName"],
        "DeployedImages": _images(spec),
        "CurrentWeight": spec["Weight"],
        "DesiredWeight": spec["Weight"],
        "CurrentInstanceCount": spec["InstanceCount"],
        "DesiredInstanceCount": spec["InstanceCount"],
    }
    if "ServerlessConfig" in spec:
        summary["CurrentServerlessConfig"] = spec["ServerlessConfig"]
    if "ManagedInstanceScaling" in spec:
        summary["ManagedInstanceScaling"] = spec["ManagedInstanceScaling"]
    if spec.get("Routing"):
        summary["RoutingConfig"] = {"RoutingStrategy": spec["Routing"]}
    return summary


def changing(summary: dict, specs: dict[str, dict]) -> dict:
    """A variant's summary while it is on its way to its spec."""
    spec, current = specs[summary["VariantName"]], summary["CurrentInstanceCount"]
    desired = {"DesiredWeight": spec["Weight"], "DesiredInstanceCount": spec["InstanceCount"]}
    if "ServerlessConfig" in spec:
        desired["DesiredServerlessConfig"] = spec["ServerlessConfig"]
    if spec["InstanceCount"] != current:
        way = "out" if spec["InstanceCount"] > current else "in"
        message = f"Scaling {way} desired instance count to {spec['InstanceCount']}."
        desired["VariantStatus"] = [_status("Updating", message)]
    return summary | desired


def launching(plan: dict) -> dict:
    """The PendingDeploymentSummary of a plan whose fleet is being started."""
    count = sum(spec["InstanceCount"] for spec in deployments.specs(plan))
    return pending(plan, time.time(), {}, "Creating", f"Launching {count} instance(s).")


def pending(plan: dict, started: float, counts: dict[str, int], status: str, message: str) -> dict:
    """The PendingDeploymentSummary of a plan.

    Args:
        plan: of the new fleet, see `deployments.plan`.
        started: epoch seconds.
        counts: instances of each variant that take traffic.
        status: a VariantStatus.
        message: its StatusMessage.
    """

    def variants(kind: str) -> list[dict] | None:
        found = [_pending(spec, counts.get(spec["VariantName"], 0)) for spec in plan.get(kind, [])]
        return [variant | {"VariantStatus": [_status(status, message)]} for variant in found] or None

    return {
        "EndpointConfigName": plan["ConfigName"],
        "StartTime": started,
        "ProductionVariants": variants("Variants"),
        "ShadowProductionVariants": variants("ShadowVariants"),
    }


def _pending(spec: dict, count: int) -> dict:
    return {
        "VariantName": spec["VariantName"],
        "DeployedImages": _images(spec),
        "CurrentWeight": spec["Weight"],
        "DesiredWeight": spec["Weight"],
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": spec["InstanceCount"],
        "InstanceType": spec["InstanceType"],
        "DesiredServerlessConfig": spec.get("ServerlessConfig"),
    }


def _images(spec: dict) -> list[dict] | None:
    """The images of a variant, None where it has no model of its own."""
    now = time.time()
    return [
        {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now} for image in deployments.images(spec)
    ] or None


def _status(status: str, message: str) -> dict:
    return {"Status": status, "StatusMessage": message, "StartTime": time.time()}
