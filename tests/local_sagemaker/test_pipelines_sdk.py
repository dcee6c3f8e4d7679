"""Pipelines of the SDK's other step classes, as the SDK writes them: made and run in one execution."""

import deployed
import pytest
from sdk_programs import run_program

PROGRAM = """
import json, logging, sys
from pathlib import Path
from botocore.exceptions import WaiterError
from sagemaker.core.helper.session_helper import get_execution_role
from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.parameter import CategoricalParameter
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.conditions import ConditionEquals, ConditionIn, ConditionNot, ConditionOr
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.parameters import ParameterBoolean
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.callback_step import CallbackOutput, CallbackOutputTypeEnum, CallbackStep
from sagemaker.mlops.workflow.check_job_config import CheckJobConfig
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.endpoint_step import EndpointConfigStep, EndpointStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.mlops.workflow.parallelism_config import ParallelismConfiguration
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.quality_check_step import DataQualityCheckConfig, QualityCheckStep
from sagemaker.mlops.workflow.retry import SageMakerJobExceptionTypeEnum, SageMakerJobStepRetryPolicy
from sagemaker.mlops.workflow.selective_execution_config import SelectiveExecutionConfig
from sagemaker.mlops.workflow.step_dependency import StepDependency, TriggerCondition
from sagemaker.mlops.workflow.steps import CacheConfig, TransformStep, TuningStep
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode
from sagemaker.train.tuner import HyperparameterTuner

queue, model, name = sys.argv[1:4]
session = PipelineSession()
role, bucket = get_execution_role(session), session.default_bucket()
Path("source").mkdir()
Path("source/train.py").write_text("import json, os\\nprint('loss=%s;' % json.loads(os.environ['SM_HPS'])['x'])\\n")
Path("rows").mkdir()
Path("rows/a.csv").write_text("a,b\\n" + "1,x\\n2,y\\n" * 40)
Path("double.py").write_text("def handler(event, context):\\n    return {'doubled': 2 * event['number']}\\n")
rows = session.upload_data("rows", bucket=bucket, key_prefix=f"{name}/rows")
image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
function = Lambda(
    function_name=name, execution_role_arn=role, script="double.py", handler="double.handler", session=session,
    runtime="python3.12",
)
double = LambdaStep(
    name="Double", lambda_func=function, inputs={"number": 21},
    outputs=[LambdaOutput("doubled", LambdaOutputTypeEnum.Integer)],
)
ask = CallbackStep(
    name="Ask", sqs_queue_url=queue, inputs={"of": ExecutionVariables.PIPELINE_NAME},
    outputs=[CallbackOutput("answer", CallbackOutputTypeEnum.String)],
)
trainer = ModelTrainer(
    training_image=image, source_code=SourceCode(source_dir="source", entry_script="train.py"), role=role,
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10), sagemaker_session=session,
    hyperparameters={"x": "0"},
)
tuner = HyperparameterTuner(
    trainer, "loss", {"x": CategoricalParameter([1, 2])}, [{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
    strategy="Grid", objective_type="Minimize", max_parallel_jobs=2,
)
tune = TuningStep(
    name="Tune", step_args=tuner.tune(), cache_config=CacheConfig(enable_caching=True, expire_after="P1D"),
    retry_policies=[
        SageMakerJobStepRetryPolicy(
            exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT], interval_seconds=1, max_attempts=3
        )
    ],
)
check = QualityCheckStep(
    name="Check", skip_check=True, register_new_baseline=True,
    quality_check_config=DataQualityCheckConfig(
        baseline_dataset=rows, dataset_format={"csv": {"header": True}}, output_s3_uri=f"s3://{bucket}/{name}/baseline"
    ),
    check_job_config=CheckJobConfig(role=role, sagemaker_session=session),
)
transformer = Transformer(
    model_name=model, instance_count=1, instance_type="ml.m5.large", output_path=f"s3://{bucket}/{name}/scores",
    accept="application/json", sagemaker_session=session,
)
score = TransformStep(
    name="Score", depends_on=[check],
    step_args=transformer.transform(f"s3://{bucket}/{name}/orders", content_type="application/json"),
)
session.boto_session.client("s3").put_object(Bucket=bucket, Key=f"{name}/orders/a.json", Body=b"{}")
variant = {"VariantName": "all", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
config = EndpointConfigStep(
    name="Config", step_args=session.create_endpoint_config(name=name, production_variants=[variant])
)
serve = EndpointStep(
    name="Serve",
    step_args=session.create_endpoint(endpoint_name=name, config_name=config.properties.EndpointConfigName),
)
serving = ParameterBoolean("Serving", default_value=True)
both = ConditionOr([
    ConditionNot(ConditionEquals(double.properties.Outputs["doubled"], 42)),
    ConditionIn(ask.properties.Outputs["answer"], ["yes", "surely"]),
])
judge = ConditionStep(
    name="Judge", conditions=[both, ConditionEquals(serving, True)], if_steps=[config, serve],
    else_steps=[FailStep(name="No", error_message="nobody said yes")],
)
rescue = LambdaStep(
    name="Rescue", lambda_func=Lambda(function_arn=f"arn:aws:lambda:us-east-1:111122223333:function:{name}"),
    inputs={"number": 1}, depends_on=[StepDependency(score, TriggerCondition.FAILED)],
)
pipeline = Pipeline(
    name=name, parameters=[serving], steps=[double, ask, tune, check, score, judge, rescue], sagemaker_session=session
)
pipeline.upsert(role_arn=role, parallelism_config=ParallelismConfiguration(4))
execution = pipeline.start(execution_display_name="all")
sqs = session.boto_session.client("sqs")
messages = []
while not messages:
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages", [])
token = json.loads(messages[0]["Body"])["token"]
session.sagemaker_client.send_pipeline_execution_step_success(
    CallbackToken=token, OutputParameters=[{"Name": "answer", "Value": "yes"}]
)
try:
    execution.wait(delay=1, max_attempts=400)
except WaiterError:
    sys.exit(str(execution.list_steps()))
chosen = pipeline.start(selective_execution_config=SelectiveExecutionConfig(selected_steps=["Double"]))
chosen.wait(delay=1, max_attempts=400)
session.sagemaker_client.delete_endpoint(EndpointName=name)
print(json.dumps({
    "steps": {step["StepName"]: [step["StepStatus"], step.get("FailureReason")] for step in execution.list_steps()},
    "kinds": sorted(kind for step in execution.list_steps() for kind in step["Metadata"]),
    "chosen": [step["StepName"] for step in chosen.list_steps()],
    "parameters": execution.list_parameters()["PipelineParameters"],
    "versions": pipeline.latest_pipeline_version_id,
}))
"""


@pytest.mark.timeout(600)
def test_the_step_classes_of_the_sdk_run_unmodified(server, tmp_path, client, sm, s3, bucket, unique):
    model = deployed.create_model(sm, s3, bucket, unique("model"))
    queue = client("sqs").create_queue(QueueName=unique("queue"))["QueueUrl"]
    told, _ = run_program(server, tmp_path, PROGRAM, queue, model, unique("sdk-steps"))
    ran = ("Ask", "Check", "Config", "Double", "Judge", "Score", "Serve", "Tune")
    assert told["steps"] == {name: ["Succeeded", None] for name in ran}
    assert told["kinds"] == [
        *("Callback", "Condition", "Endpoint", "EndpointConfig", "Lambda", "QualityCheck", "TransformJob", "TuningJob"),
    ]
    assert told["chosen"] == ["Double"] and told["versions"] == 1
    assert told["parameters"] == [{"Name": "Serving", "Value": "true"}]
