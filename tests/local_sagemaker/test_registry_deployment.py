"""Models of the registry: what is approved is served, by the containers of the package."""

import io
import json

import deployed
import pytest
from botocore.exceptions import ClientError
from registered import Registry


@pytest.fixture
def registry(sm, s3, bucket, unique):
    return Registry(sm, s3, bucket, unique)


def ask(runtime, endpoint, **order):
    """What an endpoint answers."""
    answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=json.dumps(order))
    return json.loads(answer["Body"].read())


def test_an_approved_version_is_served(sm, runtime, registry, unique):
    name = unique("approved")
    specification = registry.specification(registry.container(name, Environment={"FROM": "package", "BOTH": "package"}))
    arn = registry.version(registry.group(), InferenceSpecification=specification)
    request = {
        "ModelName": name,
        "PrimaryContainer": {"ModelPackageName": arn, "Environment": {"BOTH": "model"}},
    }
    with pytest.raises(ClientError, match='approval status "PendingManualApproval"'):
        sm.create_model(**request)
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    with pytest.raises(ClientError, match='approval status "Rejected"'):
        sm.create_model(**request)
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sm.create_model(**request)
    assert sm.describe_model(ModelName=name)["PrimaryContainer"] == request["PrimaryContainer"]
    # What was created keeps working: its files are known.
    sm.delete_model_package(ModelPackageName=arn)
    deployed.create_endpoint(sm, name, [deployed.variant(name)])
    assert ask(runtime, name)["name"] == name
    sm.delete_endpoint(EndpointName=name)


def test_an_additional_inference_specification_is_served_by_its_name(sm, runtime, registry, unique):
    name = unique("additional")
    extra = {"Name": "other", "Containers": [registry.container(name)]}
    members = {"ModelApprovalStatus": "Approved", "AdditionalInferenceSpecifications": [extra]}
    arn = registry.version(registry.group(), **members)
    version = arn.partition("model-package/")[2]
    container = {"ModelPackageName": version, "InferenceSpecificationName": "missing"}
    with pytest.raises(ClientError, match="no inference specification missing"):
        sm.create_model(ModelName=name, PrimaryContainer=container)
    container["InferenceSpecificationName"] = "other"
    sm.create_model(ModelName=name, PrimaryContainer=container)
    deployed.create_endpoint(sm, name, [deployed.variant(name)])
    assert ask(runtime, name)["name"] == name
    sm.delete_endpoint(EndpointName=name)


def test_a_package_of_two_containers_is_an_inference_pipeline(sm, s3, runtime, registry, bucket, unique):
    step = "def model_fn(d):\n    return {add}\ndef transform_fn(m, data, *_):\n    return str(int(data) * 10 + m)\n"
    containers = []
    for add in (1, 2):
        key = f"{unique('step')}/model.tar.gz"
        s3.put_object(Bucket=bucket, Key=key, Body=deployed.archive({"code/inference.py": step.format(add=add)}))
        containers.append({"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://{bucket}/{key}"})
    specification = registry.specification(*containers)
    arn = registry.version(registry.group(), InferenceSpecification=specification, ModelApprovalStatus="Approved")
    name = unique("pipeline")
    sm.create_model(ModelName=name, PrimaryContainer={"ModelPackageName": arn})
    deployed.create_endpoint(sm, name, [deployed.variant(name)])
    answer = runtime.invoke_endpoint(EndpointName=name, ContentType="text/plain", Body=io.BytesIO(b"7"))
    assert answer["Body"].read() == b"712"
    sm.delete_endpoint(EndpointName=name)


def test_a_container_is_of_an_image_or_of_a_package(sm, registry, unique):
    arn = registry.version(registry.group(), ModelApprovalStatus="Approved")
    with pytest.raises(ClientError, match="Image cannot be specified together with ModelPackageName"):
        sm.create_model(ModelName=unique("no"), PrimaryContainer={"ModelPackageName": arn, "Image": deployed.SKLEARN})
    with pytest.raises(ClientError, match="InferenceSpecificationName requires a ModelPackageName"):
        container = {"Image": deployed.SKLEARN, "InferenceSpecificationName": "other"}
        sm.create_model(ModelName=unique("no"), PrimaryContainer=container)
    with pytest.raises(ClientError, match="does not exist"):
        sm.create_model(ModelName=unique("no"), PrimaryContainer={"ModelPackageName": f"{arn}7"})


PROGRAM = """
import json, sys
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, ModelCard, ModelPackage, ModelPackageGroup
from sagemaker.core.shapes import ContainerDefinition, MetricsSource, ModelMetrics, ModelQuality, ProductionVariant
from sagemaker.serve.model_builder import ModelBuilder

group, url, image = sys.argv[1:]
session = Session()
builder = ModelBuilder(
    s3_model_data_url=url, image_uri=image, role_arn=get_execution_role(session), sagemaker_session=session
)
statistics = MetricsSource(content_type="application/json", s3_uri=url)
arn = builder.register(
    model_package_group_name=group, content_types=["application/json"], response_types=["application/json"],
    inference_instances=["ml.m5.large"], transform_instances=["ml.m5.large"], approval_status="PendingManualApproval",
    model_metrics=ModelMetrics(model_quality=ModelQuality(statistics=statistics)), description="of the SDK",
    customer_metadata_properties={"auc": "0.9"},
)
package = ModelPackage.get(model_package_name=arn)
package.update(model_approval_status="Approved", approval_description="good enough")
Model.create(
    model_name=group, execution_role_arn=get_execution_role(session),
    primary_container=ContainerDefinition(model_package_name=arn),
)
variant = ProductionVariant(
    variant_name="all", model_name=group, initial_instance_count=1, instance_type="ml.m5.large"
)
EndpointConfig.create(endpoint_config_name=group, production_variants=[variant])
endpoint = Endpoint.create(endpoint_name=group, endpoint_config_name=group)
endpoint.wait_for_status("InService")
answer = json.loads(endpoint.invoke(body=b"{}", content_type="application/json").body.read())
endpoint.delete()
card = ModelCard.create(model_card_name=group, content="{}", model_card_status="Draft")
card.update(model_card_status="Approved")
found = [summary.model_package_arn for summary in ModelPackage.get_all(model_package_group_name=group)]
again = builder.register(
    model_package_group_name=group, content_types=["application/json"], response_types=["application/json"],
    inference_instances=["ml.m5.large"], source_uri="https://git.example/churn",
)
second = ModelPackage.get(model_package_name=again)
told = {
    "arn": arn, "found": len(found), "status": package.model_approval_status, "why": package.approval_description,
    "metadata": package.customer_metadata_properties, "group": ModelPackageGroup.get(group).model_package_group_status,
    "answer": answer["name"], "card": card.model_card_status, "source": second.source_uri,
    "version": second.model_package_version,
}
second.delete()
told["left"] = len(list(ModelPackage.get_all(model_package_group_name=group)))
print(json.dumps(told))
"""


def test_the_sdk_registers_approves_lists_and_deletes(server, sm, registry, unique, tmp_path):
    from sdk_programs import run_program

    group = unique("sdk")
    container = registry.container(group)
    told, _ = run_program(server, tmp_path, PROGRAM, group, container["ModelDataUrl"], container["Image"])
    assert told.pop("arn").endswith(f"model-package/{group}/1")
    assert told == {
        "answer": group,
        "card": "Approved",
        "found": 1,
        "status": "Approved",
        "why": "good enough",
        "metadata": {"auc": "0.9"},
        "group": "Completed",
        "source": "https://git.example/churn",
        "version": 2,
        "left": 1,
    }
    described = registry.describe(f"{group}/1")
    assert described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == container["ModelDataUrl"]
