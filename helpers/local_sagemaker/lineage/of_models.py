"""Lineage of models: packages and their approval, models, and the endpoints that they are deployed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import component_fleet, deployments, fleet, kinds, model_data
from helpers.local_sagemaker.lineage import graph
from helpers.local_sagemaker.lineage.of_jobs import link_execution, of_containers

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def write_model(server: Server, model: dict) -> None:
    """Writes a model that was made: it derives from its archives, images and packages contribute to it."""
    arn = model_artifact(server, model)
    for uri, artifact_type in of_containers(model_data.containers_of(model)):
        part = graph.content(server, uri, artifact_type)
        graph.link(server, part, arn, "DerivedFrom" if artifact_type == "Model" else "ContributedTo")
    for container in model.get("Containers") or [model["PrimaryContainer"]]:
        if package := container.get("ModelPackageName"):
            package_arn = package if package.startswith("arn:") else kinds.of("ModelPackage").arn(package)
            graph.link(server, graph.artifact(server, package_arn, "Model"), arn, "ContributedTo")
    link_execution(server, model["ModelArn"], arn)


def model_artifact(server: Server, model: dict) -> str:
    """The ARN of a model's artifact; a model that was made again under the same name is another one."""
    made = [{"SourceIdType": "Custom", "Value": f"created {model['CreationTime']:.6f}"}]
    return graph.artifact(server, model["ModelArn"], "Model", made)


def write_package(server: Server, package: dict, time: float, *, approval: bool) -> None:
    """Writes a model package, the group that it is a version of, and its approval.

    Args:
        server: the server.
        package: its record.
        time: of the change, epoch seconds.
        approval: whether it was given the ModelApprovalStatus that it has.
    """
    package_arn, group = package["ModelPackageArn"], package.get("ModelPackageGroupName")
    arn = graph.artifact(server, package_arn, "Model")
    for uri, artifact_type in of_containers(package.get("InferenceSpecification", {}).get("Containers", [])):
        graph.link(server, graph.content(server, uri, artifact_type), arn, "ContributedTo")
    link_execution(server, package_arn, arn)
    if group:
        group_arn = kinds.of("ModelPackageGroup").arn(group)
        context = graph.context(server, f"{group}-aws-model-group", "ModelGroup", group_arn)
        graph.link(server, arn, context, "AssociatedWith")
    if group and approval:
        status = package["ModelApprovalStatus"]
        name = f"{group}-{package['ModelPackageVersion']}-{status}-{time:.0f}-aws-model-group"
        told = {"ModelApprovalStatus": status, "ApprovalDescription": package.get("ApprovalDescription", "")}
        action = graph.action(server, name, "Approval", package_arn, {key: told[key] for key in told if told[key]})
        graph.link(server, action, arn, "ContributedTo")


def write_endpoint(server: Server, endpoint: dict) -> None:
    """Writes what an endpoint that is in service serves: each deployment is an action of its own."""
    plan = endpoint[fleet.PLAN]
    name = f"{endpoint['EndpointName']}-{plan['Generation']}-aws-endpoint"
    told = {"EndpointConfigName": plan["ConfigName"]}
    action = graph.action(server, name, "ModelDeployment", endpoint["EndpointArn"], told)
    graph.link(server, action, _endpoint(server, endpoint), "AssociatedWith")
    for spec in deployments.specs(plan):
        if "Model" in spec:
            _deploy(server, spec["Model"], action)


def write_component(server: Server, component: dict) -> None:
    """Writes what an inference component that is in service serves on its endpoint."""
    plan = component[component_fleet.PLAN]
    name = f"{component['InferenceComponentName']}-{plan['Generation']}-aws-inference-component"
    action = graph.action(server, name, "ModelDeployment", component["InferenceComponentArn"], {})
    _deploy(server, plan["Model"], action)
    if endpoint := server.store.get("Endpoint", component["EndpointName"]):
        graph.link(server, action, _endpoint(server, endpoint), "AssociatedWith")


def _endpoint(server: Server, endpoint: dict) -> str:
    """The ARN of an endpoint's context; an endpoint that was made again under the same name is another one."""
    name = f"{endpoint['EndpointName']}-{endpoint['CreationTime']:.0f}-aws-endpoint"
    return graph.context(server, name, "Endpoint", endpoint["EndpointArn"])


def _deploy(server: Server, served: dict, action: str) -> None:
    """Links all that serves a model with the action that deployed it."""
    for uri, artifact_type in of_containers(served["Containers"]):
        graph.link(server, graph.content(server, uri, artifact_type), action, "ContributedTo")
    if "ModelArn" in served:
        graph.link(server, model_artifact(server, served), action, "ContributedTo")
