"""Unmodified programs of the SageMaker Python SDK 3 that build, deploy and ask models, in one interpreter."""

import pytest
from sdk_programs import run_program

PROGRAM = '''
import json, os
from pathlib import Path
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.inference_config import AsyncInferenceConfig, ServerlessInferenceConfig
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
from sagemaker.core.shapes import ProductionVariant
from sagemaker.serve.builder.schema_builder import SchemaBuilder
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.serve.spec.inference_spec import InferenceSpec
from sagemaker.serve.utils.types import ModelServer
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode

session = Session()
role = get_execution_role(session)
pytorch = {
    scope: image_uris.retrieve(
        "pytorch", region=session.boto_region_name, version="2.6.0", py_version="py312", instance_type="ml.m5.large",
        image_scope=scope,
    )
    for scope in ("training", "inference")
}
Path("source").mkdir()
Path("source/train.py").write_text("""
import json, os, torch

factor = int(os.environ["SM_HP_FACTOR"])
model = torch.nn.Linear(1, 1, bias=False)
torch.nn.init.constant_(model.weight, factor)
torch.jit.save(torch.jit.script(model), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"), "w") as file:
    json.dump({"factor": factor}, file)
""")
trainer = ModelTrainer(
    training_image=pytorch["training"], role=role, sagemaker_session=session, base_job_name="factor",
    source_code=SourceCode(source_dir="source", entry_script="train.py"), hyperparameters={"factor": 3},
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
)
trainer.train(wait=True, logs=True)
told = {}


class Multiply(InferenceSpec):
    def load(self, model_dir):
        import torch
        return torch.jit.load(os.path.join(model_dir, "model.pth"))

    def invoke(self, input_object, model):
        import torch
        return model(torch.tensor(input_object)).tolist()


def ask(endpoint, request):
    answer = endpoint.invoke(body=json.dumps(request), content_type="application/json", accept="application/json")
    return json.loads(answer.body.read())


def clean_up(endpoint):
    endpoint.delete()
    EndpointConfig.get(endpoint_config_name=endpoint.endpoint_name).delete()


builder = ModelBuilder(
    model=trainer, inference_spec=Multiply(), schema_builder=SchemaBuilder([[1.0]], [[3.0]]), role_arn=role,
    sagemaker_session=session, model_server=ModelServer.TORCHSERVE, image_uri=pytorch["inference"],
    dependencies={"auto": False}, instance_type="ml.m5.large",
)
model = builder.build(model_name="from-a-trainer")
endpoint = builder.deploy(endpoint_name="from-a-trainer", initial_instance_count=1)
told["from a trainer"] = ask(endpoint, [[1.5], [2.0]])
clean_up(endpoint)
model.delete()

Path("serving").mkdir()
Path("serving/inference.py").write_text("""
import json, os

def model_fn(model_dir):
    return json.load(open(os.path.join(model_dir, "model.json")))["factor"]

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(rows, factor):
    return [[value * factor for value in row] for row in rows]
""")


def build(name):
    builder = ModelBuilder(
        image_uri=image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1"), role_arn=role,
        s3_model_data_url=trainer._latest_training_job.model_artifacts.s3_model_artifacts, sagemaker_session=session,
        source_code=SourceCode(source_dir="serving", entry_script="inference.py"), instance_type="ml.m5.large",
    )
    return builder, builder.build(model_name=name)


builder, model = build("artifacts-in-s3")
told["script"] = model.primary_container.environment["SAGEMAKER_PROGRAM"]
endpoint = builder.deploy(endpoint_name="artifacts-in-s3", initial_instance_count=1)
told["artifacts in S3"] = ask(endpoint, [[2.0]])
two = ProductionVariant(
    variant_name="AllTraffic", model_name=model.model_name, instance_type="ml.m5.large", initial_instance_count=2
)
EndpointConfig.create(endpoint_config_name="two-instances", production_variants=[two])
endpoint.endpoint_config_name = "two-instances"
endpoint.update()
endpoint.wait_for_status("InService")
told["instances after an update"] = endpoint.production_variants[0].current_instance_count
clean_up(endpoint)

builder, _ = build("serverless")
endpoint = builder.deploy(
    endpoint_name="serverless", inference_config=ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=2)
)
told["serverless"] = ask(endpoint, [[4.0]])
clean_up(endpoint)

builder, _ = build("asynchronous")
endpoint = builder.deploy(
    endpoint_name="asynchronous", inference_config=AsyncInferenceConfig(), initial_instance_count=1
)
bucket = session.default_bucket()
session.upload_string_as_file_body("[[5.0]]", bucket=bucket, key="asynchronous/request.json")
location = f"s3://{bucket}/asynchronous/request.json"
accepted = endpoint.invoke_async(
    input_location=location, content_type="application/json", accept="application/json"
)
session.boto_session.client("s3").get_waiter("object_exists").wait(
    Bucket=bucket, Key=accepted.output_location.removeprefix(f"s3://{bucket}/")
)
told["asynchronous"] = json.loads(session.read_s3_file(bucket, accepted.output_location.removeprefix(f"s3://{bucket}/")))
clean_up(endpoint)

told["training jobs"] = [job.training_job_name for job in TrainingJob.get_all(name_contains="factor")]
told["models"] = [
    model.model_name for model in Model.get_all(name_contains="a", sort_by="Name", sort_order="Ascending")
    if model.model_name in ("artifacts-in-s3", "asynchronous", "serverless")
]
try:
    Endpoint.get("nobody-has-this-name")
except Exception as error:
    told["missing"] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def told(server, tmp_path_factory):
    """What the program found."""
    return run_program(server, tmp_path_factory.mktemp("sdk-serving"), PROGRAM)[0]


def test_a_model_trainer_s_model_is_deployed_with_an_inference_spec(told):
    assert told["from a trainer"] == [[4.5], [6.0]]


def test_artifacts_and_source_code_are_repacked_and_served(told):
    assert told["script"] == "inference.py"
    assert told["artifacts in S3"] == [[6.0]]


def test_an_endpoint_is_updated_in_place(told):
    assert told["instances after an update"] == 2


def test_serverless_and_asynchronous_inference_configs_deploy(told):
    assert told["serverless"] == [[12.0]]
    assert told["asynchronous"] == [[15.0]]


def test_get_all_iterates_and_a_missing_resource_is_named_as_on_aws(told):
    assert len(told["training jobs"]) == 1
    assert told["models"] == ["artifacts-in-s3", "asynchronous"]
    assert "Could not find endpoint" in told["missing"] and "endpoint/nobody-has-this-name" in told["missing"]
