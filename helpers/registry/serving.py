"""From the registry to an endpoint, back to the version before, and from an endpoint to what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from helpers import rollout
from helpers.deployment import wait_in_service
from helpers.registry.versions import latest_approved, reject

if TYPE_CHECKING:
    import pandas as pd

    from helpers.session import SageMakerHelper


def deploy(
    aws: SageMakerHelper, endpoint: str, version: str, instance_type: str | None = None, **update: Any
) -> dict[str, Any]:
    """Serve a version of the registry behind an endpoint, which is made or updated; wait until it serves.

    Args:
        aws: the lab's session.
        endpoint: the endpoint's name.
        version: ARN of an approved model package.
        instance_type: the session's own for endpoints by default.
        update: how an existing endpoint goes over to it; see `rollout.update_endpoint`.

    Returns:
        The last answer of DescribeEndpoint.

    Raises:
        ClientError: the version is not approved.
        RuntimeError: the endpoint failed, or its update was rolled back.
    """
    group, number = version.split("/")[-2:]
    name = aws.name(f"{group[:20]}-{number}")
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": instance_type or aws.instance_type("endpoint"),
        "InitialInstanceCount": 1,
    }
    aws.sagemaker.create_model(
        ModelName=name, PrimaryContainer={"ModelPackageName": version}, ExecutionRoleArn=aws.role
    )
    aws.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    if _exists(aws, endpoint):
        return rollout.update_endpoint(aws, endpoint, name, **update)
    aws.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=name)
    return wait_in_service(aws, endpoint)


def served_version(aws: SageMakerHelper, endpoint: str) -> str:
    """ARN of the model package behind the first variant of an endpoint.

    Raises:
        LookupError: its model was not made from a package.
    """
    described = aws.sagemaker.describe_endpoint(EndpointName=endpoint)
    config = aws.sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    model = aws.sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    try:
        return model["PrimaryContainer"]["ModelPackageName"]
    except KeyError:
        raise LookupError(f"the model {model['ModelName']} of {endpoint} was not made from a model package") from None


def roll_back(aws: SageMakerHelper, endpoint: str, reason: str, **update: Any) -> str:
    """Serve the approved version before the one in service, and reject the latter; return the former's ARN.

    The rejection comes last: while the older version is not yet in service, the registry says what serves.

    Args:
        aws: the lab's session.
        endpoint: an endpoint that serves a version of the registry.
        reason: kept as the comment of the rejection.
        update: how the endpoint goes over; see `rollout.update_endpoint`. All at once by default.

    Raises:
        LookupError: there is no approved version to go back to.
    """
    failed = served_version(aws, endpoint)
    group, number = failed.split("/")[-2:]
    previous = latest_approved(aws, group, before=int(number))
    deploy(aws, endpoint, previous, **update)
    reject(aws, failed, reason)
    return previous


def training_data(aws: SageMakerHelper, endpoint: str) -> pd.DataFrame:
    """What an endpoint's models were trained on, found by walking the lineage back from it.

    Returns:
        One row per data set: uri (S3), sha256 (of its manifest: keys, sizes and content), name.

    Raises:
        LookupError: the lineage knows nothing of the endpoint.
    """
    import pandas as pd

    arn = aws.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    contexts = aws.sagemaker.list_contexts(SourceUri=arn)["ContextSummaries"]
    if not contexts:
        raise LookupError(f"the lineage has no context of {arn}")
    request = {"StartArns": [contexts[0]["ContextArn"]], "Direction": "Ascendants", "IncludeEdges": False}
    found = aws.sagemaker.query_lineage(**request, Filters={"Types": ["DataSet"]})
    rows = []
    for vertex in found["Vertices"]:
        artifact = aws.sagemaker.describe_artifact(ArtifactArn=vertex["Arn"])
        properties = artifact.get("Properties", {})
        uri = artifact["Source"]["SourceUri"]
        rows.append({"uri": uri, "sha256": properties.get("SHA256", ""), "name": artifact.get("ArtifactName", "")})
    return pd.DataFrame(rows, columns=["uri", "sha256", "name"])


def _exists(aws: SageMakerHelper, endpoint: str) -> bool:
    try:
        aws.sagemaker.describe_endpoint(EndpointName=endpoint)
    except aws.sagemaker.exceptions.ClientError as error:
        if "Could not find endpoint" not in str(error):
            raise
        return False
    return True
