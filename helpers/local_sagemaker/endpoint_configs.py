"""Endpoint configurations: which models an endpoint serves, on how many instances, with what share of the traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    async_configs,
    component_hosts,
    data_capture,
    errors,
    kinds,
    listing,
    permissions,
    sandbox,
    serverless_configs,
)
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

KIND = kinds.register("EndpointConfig", "endpoint-config", "endpoint configuration")
VARIANTS = ("ProductionVariants", "ShadowProductionVariants")
_REQUIRED_IN_VARIANT = ("ModelName", "InstanceType", "InitialInstanceCount")


@operation("CreateEndpointConfig")
def create_endpoint_config(server: Server, request: dict) -> dict:
    async_configs.check(server, request)
    if "DataCaptureConfig" in request:
        data_capture.check(request["DataCaptureConfig"])
    shadows = request.get("ShadowProductionVariants", [])
    if shadows and len(request["ProductionVariants"]) + len(shadows) != 2:
        raise errors.validation(
            "An endpoint with ShadowProductionVariants must have one production variant and one shadow variant, got "
            f"{len(request['ProductionVariants'])} and {len(shadows)}."
        )
    variants = [*request["ProductionVariants"], *shadows]
    if serverless_configs.is_serverless(variants):
        serverless_configs.check(server, request)
    elif any(component_hosts.is_host(variant) for variant in request["ProductionVariants"]):
        component_hosts.check(request)
    else:
        for variant in variants:
            _check_variant(server, variant)
    for variant in variants:
        component_hosts.check_routing(variant)
    sandbox.require_isolation(request.get("EnableNetworkIsolation", False))
    if "ExecutionRoleArn" in request:
        permissions.require_role(server, request["ExecutionRoleArn"])
    names = [variant["VariantName"] for variant in variants]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise errors.validation(
            f"Production variant names must be unique, got more than one of: {', '.join(repeated)}."
        )
    name = request["EndpointConfigName"]
    config_arn = server.arn("endpoint-config", name)
    record = request | {
        "EndpointConfigArn": config_arn,
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
    }
    for kind in set(VARIANTS) & set(request):
        record[kind] = [{"InitialVariantWeight": 1.0} | variant for variant in request[kind]]
    tags = record.pop("Tags", [])
    with server.store.transaction():
        server.store.put(KIND, name, record)
        server.add_tags(config_arn, tags)
    return {"EndpointConfigArn": config_arn}


@operation("DescribeEndpointConfig")
def describe_endpoint_config(server: Server, request: dict) -> dict:
    return server.store.require(KIND, request["EndpointConfigName"])


@operation("DeleteEndpointConfig")
def delete_endpoint_config(server: Server, request: dict) -> None:
    server.store.delete(KIND, request["EndpointConfigName"])


@operation("ListEndpointConfigs")
def list_endpoint_configs(server: Server, request: dict) -> dict:
    page = listing.page(server.store.list(KIND), request, "EndpointConfigName")
    return listing.response("EndpointConfigs", *page)


def _check_variant(server: Server, variant: dict) -> None:
    name = variant["VariantName"]
    for member in _REQUIRED_IN_VARIANT:
        if member not in variant:
            raise errors.validation(f"Production variant {name} must have {member}.")
    if "ManagedInstanceScaling" in variant:
        raise errors.validation("ManagedInstanceScaling is only supported for inference component endpoints.")
    server.store.require("Model", variant["ModelName"])
