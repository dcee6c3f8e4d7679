"""Endpoints: the operations on them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    component_hosts,
    deployment_configs,
    deployments,
    errors,
    inference_components,
    kinds,
    listing,
    rollback_alarms,
    serverless_configs,
    variant_summaries,
)
from helpers.local_sagemaker.endpoint_configs import VARIANTS
from helpers.local_sagemaker.fleet import NEXT_PLAN, PLAN
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register("Endpoint", "endpoint")


@operation("CreateEndpoint")
def create_endpoint(server: Server, request: dict) -> dict:
    name = request["EndpointName"]
    deployment_configs.check(request.get("DeploymentConfig"))
    config = server.store.require("EndpointConfig", request["EndpointConfigName"])
    plan = deployments.plan(server, config)
    endpoint_arn = server.arn("endpoint", name)
    record = {
        "EndpointName": name,
        "EndpointArn": endpoint_arn,
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointStatus": "Creating",
        "PendingDeploymentSummary": variant_summaries.launching(plan),
        PLAN: plan | {"Generation": secrets.token_hex(4)},
    }
    if "DeploymentConfig" in request:
        record["LastDeploymentConfig"] = request["DeploymentConfig"]
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(endpoint_arn, request.get("Tags", []))
    server.fleet.begin(name, server.fleet.create)
    return {"EndpointArn": endpoint_arn}


@operation("DescribeEndpoint")
def describe_endpoint(server: Server, request: dict) -> dict:
    return inference_components.with_instances(server, server.store.require(KIND, request["EndpointName"]))


@operation("ListEndpoints")
def list_endpoints(server: Server, request: dict) -> dict:
    page = listing.page(server.store.list(KIND), request, "EndpointName", "EndpointStatus")
    return listing.response("Endpoints", *page)


@operation("UpdateEndpoint")
def update_endpoint(server: Server, request: dict) -> dict:
    name = request["EndpointName"]
    with server.store.transaction():
        record = _require_updatable(server, name)
        config = server.store.require("EndpointConfig", request["EndpointConfigName"])
        plan = deployments.plan(server, config)
        components = inference_components.hosted(server, name)
        component_hosts.check_update(record["EndpointArn"], record[PLAN]["Variants"], plan["Variants"], components)
        for spec in plan["Variants"]:
            inference_components.require_room(server, record, spec)
        serverless_configs.check_conversion(record["EndpointArn"], record[PLAN]["Variants"], plan["Variants"])
        if request.get("RetainAllVariantProperties"):
            excluded = [entry["VariantPropertyType"] for entry in request.get("ExcludeRetainedVariantProperties", [])]
            _retain(plan, record[PLAN], excluded)
        deployment_config = _deployment_config(record, request)
        deployment_configs.check(deployment_config, deployments.specs(plan))
        rollback_alarms.check(server, deployment_configs.alarms(deployment_config))
        server.store.update(
            KIND,
            name,
            EndpointStatus="Updating",
            FailureReason=None,
            LastDeploymentConfig=deployment_config,
            PendingDeploymentSummary=variant_summaries.launching(plan),
            **{NEXT_PLAN: plan | {"Generation": secrets.token_hex(4)}},
        )
    server.fleet.begin(name, server.fleet.update)
    return {"EndpointArn": record["EndpointArn"]}


@operation("UpdateEndpointWeightsAndCapacities")
def update_endpoint_weights_and_capacities(server: Server, request: dict) -> dict:
    name = request["EndpointName"]
    with server.store.transaction():
        record = _require_in_service(server, name)
        plan = record[PLAN]
        specs = {spec["VariantName"]: spec for spec in deployments.specs(plan)}
        for desired in request["DesiredWeightsAndCapacities"]:
            variant = desired["VariantName"]
            if variant not in specs:
                raise errors.validation(
                    f'Could not find production variant {variant} of endpoint "{record["EndpointArn"]}". It has: '
                    f"{', '.join(specs)}."
                )
            serverless_configs.updated(specs[variant], desired)
            specs[variant]["Weight"] = desired.get("DesiredWeight", specs[variant]["Weight"])
            specs[variant]["InstanceCount"] = desired.get("DesiredInstanceCount", specs[variant]["InstanceCount"])
            _check_capacity(record, specs[variant])
            inference_components.require_room(server, record, specs[variant])
        summaries = {
            kind: [variant_summaries.changing(summary, specs) for summary in record[kind]]
            for kind in VARIANTS
            if kind in record
        }
        server.store.update(KIND, name, EndpointStatus="Updating", **summaries, **{NEXT_PLAN: plan})
    server.fleet.begin(name, server.fleet.rescale)
    return {"EndpointArn": record["EndpointArn"]}


@operation("DeleteEndpoint")
def delete_endpoint(server: Server, request: dict) -> None:
    name = request["EndpointName"]
    with server.store.transaction():
        record = server.store.require(KIND, name)
        if record["EndpointStatus"] not in ("InService", "Failed", "OutOfService", "UpdateRollbackFailed"):
            raise _in_progress(record)
        inference_components.require_none(server, record)
        server.store.update(KIND, name, EndpointStatus="Deleting")
    server.fleet.begin(name, server.fleet.delete)


def _require_updatable(server: Server, name: str) -> dict:
    record = server.store.require(KIND, name)
    return record if record["EndpointStatus"] == "UpdateRollbackFailed" else _require_in_service(server, name)


def _require_in_service(server: Server, name: str) -> dict:
    record = server.store.require(KIND, name)
    if record["EndpointStatus"] == "Failed":
        raise errors.validation(
            f'Cannot update endpoint "{record["EndpointArn"]}" because its status is Failed: delete it and '
            "create it again."
        )
    if record["EndpointStatus"] != "InService":
        raise _in_progress(record)
    return record


def _in_progress(record: dict) -> errors.AwsError:
    return errors.validation(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')


def _deployment_config(record: dict, request: dict) -> dict | None:
    """How an update shall go: as the request says, or as the last one went."""
    if not request.get("RetainDeploymentConfig"):
        return request.get("DeploymentConfig")
    if "DeploymentConfig" in request:
        raise errors.validation("DeploymentConfig cannot be specified together with RetainDeploymentConfig.")
    return record.get("LastDeploymentConfig")


def _check_capacity(record: dict, spec: dict) -> None:
    if spec["InstanceCount"] == 0 and "AsyncInferenceConfig" not in record and "ServerlessConfig" not in spec:
        raise errors.validation(
            f"DesiredInstanceCount of variant {spec['VariantName']} must be at least 1: only endpoints with an "
            "AsyncInferenceConfig can have no instance."
        )


def _retain(plan: dict, current: dict, excluded: list[str]) -> None:
    """Takes over what was changed since the endpoint's configuration was made."""
    known = {spec["VariantName"]: spec for spec in deployments.specs(current)}
    for spec in deployments.specs(plan):
        old = known.get(spec["VariantName"], spec)
        if "DesiredWeight" not in excluded:
            spec["Weight"] = old["Weight"]
        if "DesiredInstanceCount" not in excluded and "ServerlessConfig" not in old:
            spec["InstanceCount"] = old["InstanceCount"]
    if "DataCaptureConfig" not in excluded:
        plan["DataCaptureConfig"] = current.get("DataCaptureConfig")
