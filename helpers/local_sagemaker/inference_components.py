"""Inference components: models that share the instances of an endpoint, each with copies and needs of its own."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    component_hosts,
    deployment_configs,
    errors,
    instance_types,
    listing,
    model_data,
    rollback_alarms,
)
from helpers.local_sagemaker.component_fleet import KIND, NEXT_PLAN, PLAN
from helpers.local_sagemaker.instance_types import Capacity
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


@operation("CreateInferenceComponent")
def create_inference_component(server: Server, request: dict) -> dict:
    """Checks the request, and starts the copies."""
    name, copies = request["InferenceComponentName"], request.get("RuntimeConfig", {"CopyCount": 1})["CopyCount"]
    endpoint = server.store.require("Endpoint", request["EndpointName"])
    spec = _host(endpoint, request.get("VariantName"))
    if copies < 1:
        raise errors.validation("Inference components copy count must be an integer larger than 0.")
    plan = _plan(server, spec, request)
    arn = server.arn("inference-component", name)
    record = {
        "InferenceComponentName": name,
        "InferenceComponentArn": arn,
        "EndpointName": endpoint["EndpointName"],
        "EndpointArn": endpoint["EndpointArn"],
        "VariantName": spec["VariantName"],
        "InferenceComponentStatus": "Creating",
        "Specification": plan["Specification"],
        "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": 0},
        PLAN: plan,
    }
    with server.store.transaction():
        if server.store.require("Endpoint", request["EndpointName"])["EndpointStatus"] == "Deleting":
            raise errors.validation(f'Cannot use endpoint "{endpoint["EndpointArn"]}": it is being deleted.')
        server.store.put(KIND, name, record)
        server.add_tags(arn, request.get("Tags", []))
    server.components.begin(name, server.components.create)
    return {"InferenceComponentArn": arn}


@operation("DescribeInferenceComponent")
def describe_inference_component(server: Server, request: dict) -> dict:
    """The whole record."""
    return server.store.require(KIND, request["InferenceComponentName"])


@operation("ListInferenceComponents")
def list_inference_components(server: Server, request: dict) -> dict:
    """One page of summaries."""
    records = [
        record
        for record in server.store.list(KIND)
        if request.get("EndpointNameEquals", record["EndpointName"]) == record["EndpointName"]
        and request.get("VariantNameEquals", record["VariantName"]) == record["VariantName"]
    ]
    page = listing.page(records, request, "InferenceComponentName", "InferenceComponentStatus")
    return listing.response("InferenceComponents", *page)


@operation("UpdateInferenceComponent")
def update_inference_component(server: Server, request: dict) -> dict:
    """Replaces the copies by those of another specification, or changes their number."""
    name = request["InferenceComponentName"]
    config = request.get("DeploymentConfig")
    deployment_configs.check(config)
    rollback_alarms.check(server, deployment_configs.alarms(config))
    with server.store.transaction():
        record = _require_in_service(server, name)
        changes = _desired(record, request["RuntimeConfig"]) if "RuntimeConfig" in request else {}
        if "Specification" in request:
            endpoint = server.store.require("Endpoint", record["EndpointName"])
            changes[NEXT_PLAN] = _plan(server, _host(endpoint, record["VariantName"]), request)
            changes["LastDeploymentConfig"] = config
        elif "RuntimeConfig" not in request:
            raise errors.validation("Provide Specification or RuntimeConfig.")
        server.store.update(KIND, name, InferenceComponentStatus="Updating", FailureReason=None, **changes)
    fleet = server.components
    fleet.begin(name, fleet.update if "Specification" in request else fleet.rescale)
    return {"InferenceComponentArn": record["InferenceComponentArn"]}


@operation("UpdateInferenceComponentRuntimeConfig")
def update_inference_component_runtime_config(server: Server, request: dict) -> dict:
    """Changes the number of copies; 0 is allowed here."""
    name = request["InferenceComponentName"]
    with server.store.transaction():
        record = _require_in_service(server, name)
        changes = _desired(record, request["DesiredRuntimeConfig"])
        server.store.update(KIND, name, InferenceComponentStatus="Updating", FailureReason=None, **changes)
    server.components.begin(name, server.components.rescale)
    return {"InferenceComponentArn": record["InferenceComponentArn"]}


@operation("DeleteInferenceComponent")
def delete_inference_component(server: Server, request: dict) -> None:
    """Ends the copies, then forgets the component."""
    name = request["InferenceComponentName"]
    with server.store.transaction():
        record = server.store.require(KIND, name)
        if record["InferenceComponentStatus"] not in ("InService", "Failed"):
            raise _in_progress(record)
        server.store.update(KIND, name, InferenceComponentStatus="Deleting")
    server.components.begin(name, server.components.delete)


def hosted(server: Server, endpoint: str) -> list[dict]:
    """The records of an endpoint's components."""
    return [record for record in server.store.list(KIND) if record["EndpointName"] == endpoint]


def require_none(server: Server, endpoint: dict) -> None:
    """Checks that an endpoint can be deleted.

    Raises:
        AwsError: `ValidationException`; it hosts components.
    """
    if names := [record["InferenceComponentName"] for record in hosted(server, endpoint["EndpointName"])]:
        raise errors.validation(
            f'Cannot delete endpoint "{endpoint["EndpointArn"]}" because it hosts inference components: delete them '
            f"first ({', '.join(names)})."
        )


def require_room(server: Server, endpoint: dict, spec: dict) -> None:
    """Checks that a variant's new number of instances keeps those on which copies of components are.

    Raises:
        AwsError: `ValidationException`; it does not.
    """
    if not component_hosts.is_host(spec):
        return
    used = server.components.used_instances(endpoint["EndpointName"], spec["VariantName"])
    if component_hosts.most_instances(spec) < used:
        raise errors.validation(
            f'Cannot update endpoint "{endpoint["EndpointArn"]}": copies of inference components are on {used} '
            f"instances of production variant {spec['VariantName']}. Reduce the number of copies first."
        )


def with_instances(server: Server, endpoint: dict) -> dict:
    """An endpoint's record with the numbers of instances that its components need at the moment."""
    specs = {spec["VariantName"]: spec for spec in endpoint["_Plan"]["Variants"]}
    if "ProductionVariants" not in endpoint or not component_hosts.is_host(next(iter(specs.values()))):
        return endpoint
    name = endpoint["EndpointName"]
    counts = {variant: server.components.instances(name, spec) for variant, spec in specs.items()}
    summaries = [
        summary | dict.fromkeys(("CurrentInstanceCount", "DesiredInstanceCount"), counts[summary["VariantName"]])
        for summary in endpoint["ProductionVariants"]
    ]
    return endpoint | {"ProductionVariants": summaries}


def _host(endpoint: dict, variant: str | None) -> dict:
    """The entry of an endpoint's plan for the variant that shall host a component."""
    if endpoint["EndpointStatus"] in ("Failed", "Deleting"):
        raise errors.validation(
            f'Cannot use endpoint "{endpoint["EndpointArn"]}" because its status is {endpoint["EndpointStatus"]}.'
        )
    specs = {spec["VariantName"]: spec for spec in endpoint["_Plan"]["Variants"]}
    name = variant or (next(iter(specs)) if len(specs) == 1 else None)
    if name not in specs:
        raise errors.validation(
            f'Could not find production variant {name} of endpoint "{endpoint["EndpointArn"]}". It has: '
            f"{', '.join(specs)}."
        )
    if not component_hosts.is_host(specs[name]):
        raise errors.validation(
            f'Inference components cannot be deployed to endpoint "{endpoint["EndpointArn"]}": its production '
            "variants have models. Create it from a configuration whose variants have no ModelName."
        )
    return specs[name]


def _plan(server: Server, host: dict, request: dict) -> dict:
    """What to run for a component: a JSON-able copy, because its model may be deleted later."""
    if "Specification" not in request:
        raise errors.validation("Specification is required.")
    given = request["Specification"]
    _check_specification(given)
    required, startup = given["ComputeResourceRequirements"], given.get("StartupParameters", {})
    needs = Capacity(
        required.get("NumberOfCpuCoresRequired", 0),
        required["MinMemoryRequiredInMb"],
        required.get("NumberOfAcceleratorDevicesRequired", 0),
    )
    whole = instance_types.capacity(host["InstanceType"])
    if not whole.holds(needs):
        raise errors.validation(
            f"Not enough hardware resources on {host['InstanceType']} to deploy a copy of the inference component: it "
            f"has {whole.cpus:g} CPU cores, {whole.memory_mb:g} MB of memory and {whole.accelerators:g} accelerators, "
            f"and {needs.cpus:g}, {needs.memory_mb:g} MB and {needs.accelerators:g} are required."
        )
    model = _model(server, given)
    if host["NetworkIsolation"]:
        model["NetworkIsolation"] = True
    return {
        "Generation": secrets.token_hex(4),
        "VariantName": host["VariantName"],
        "InstanceType": host["InstanceType"],
        "Weight": 1.0,
        "Model": model,
        "StartupSeconds": startup.get("ContainerStartupHealthCheckTimeoutInSeconds", host["StartupSeconds"]),
        "DownloadSeconds": startup.get("ModelDataDownloadTimeoutInSeconds", host.get("DownloadSeconds")),
        "Cpus": needs.cpus,
        "MemoryInMb": needs.memory_mb,
        "Accelerators": needs.accelerators,
        "MaxMemoryInMb": required.get("MaxMemoryRequiredInMb"),
        "Placement": given.get("SchedulingConfig", {}).get("PlacementStrategy", component_hosts.SPREAD),
        "Specification": _summary(given),
    }


def _check_specification(given: dict) -> None:
    if ("ModelName" in given) == ("Container" in given):
        raise errors.validation("Provide either ModelName or Container in Specification, and not both.")
    if "Container" in given and "Image" not in given["Container"]:
        raise errors.validation("Container of an inference component must have an Image.")
    if "ComputeResourceRequirements" not in given:
        raise errors.validation("ComputeResourceRequirements is required for an inference component.")
    required = given["ComputeResourceRequirements"]
    least = required["MinMemoryRequiredInMb"]
    if (most := required.get("MaxMemoryRequiredInMb", least)) < least:
        raise errors.validation(
            f"MaxMemoryRequiredInMb {most} must be greater than or equal to MinMemoryRequiredInMb {least}."
        )


def _model(server: Server, given: dict) -> dict:
    if "ModelName" in given:
        model = model_data.served_model(server, given["ModelName"])
        if any(container.get("Mode") == "MultiModel" for container in model["Containers"]):
            raise errors.validation("A model of the mode MultiModel is not supported for inference components.")
        return model
    container = given["Container"]
    served = {"Name": model_data.PRIMARY, "Image": container["Image"], "Environment": container.get("Environment", {})}
    if "ArtifactUrl" in container:
        served["ModelDataUrl"] = container["ArtifactUrl"]
    return {"Containers": [served], "Mode": "Serial", "NetworkIsolation": False}


def _summary(given: dict) -> dict:
    """The specification as Describe shows it."""
    summary = {name: value for name, value in given.items() if value}
    if "Container" in given:
        image = given["Container"]["Image"]
        deployed = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": time.time()}
        kept = {name: value for name, value in given["Container"].items() if name != "Image" and value}
        summary["Container"] = kept | {"DeployedImage": deployed}
    return summary


def _desired(record: dict, runtime: dict) -> dict:
    return {"RuntimeConfig": record["RuntimeConfig"] | {"DesiredCopyCount": runtime["CopyCount"]}}


def _require_in_service(server: Server, name: str) -> dict:
    record = server.store.require(KIND, name)
    if record["InferenceComponentStatus"] == "Failed":
        raise errors.validation(
            f'Cannot update inference component "{record["InferenceComponentArn"]}" because its status is Failed: '
            "delete it and create it again."
        )
    if record["InferenceComponentStatus"] != "InService":
        raise _in_progress(record)
    return record


def _in_progress(record: dict) -> errors.AwsError:
    return errors.validation(
        f'Cannot change in-progress inference component "{record["InferenceComponentArn"]}": its status is '
        f"{record['InferenceComponentStatus']}."
    )
