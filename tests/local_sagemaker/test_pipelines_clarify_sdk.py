"""The SDK's ClarifyCheckStep, unmodified, in a process of its own."""

from sdk_programs import run_program

PROGRAM = """
import json, sys
from pathlib import Path
from sagemaker.core.clarify import BiasConfig, DataConfig
from sagemaker.core.helper.session_helper import get_execution_role
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.check_job_config import CheckJobConfig
from sagemaker.mlops.workflow.clarify_check_step import ClarifyCheckStep, DataBiasCheckConfig
from sagemaker.mlops.workflow.pipeline import Pipeline

name = sys.argv[1]
session = PipelineSession()
role, bucket = get_execution_role(session), session.default_bucket()
Path("rows").mkdir()
Path("rows/a.csv").write_text("".join(f"{int(n % 40 < (20 - 8 * (n // 40)))},{n // 40},{n % 7}\\n" for n in range(80)))
data = DataConfig(
    s3_data_input_path=session.upload_data("rows", bucket=bucket, key_prefix=f"{name}/rows"),
    s3_output_path=f"s3://{bucket}/{name}/found", label="granted", headers=["granted", "sex", "income"],
    dataset_type="text/csv", s3_analysis_config_output_path=f"s3://{bucket}/{name}/config",
)
bias = BiasConfig(label_values_or_threshold=[1], facet_name="sex", facet_values_or_threshold=[1])
step = ClarifyCheckStep(
    name="Bias", clarify_check_config=DataBiasCheckConfig(data_config=data, data_bias_config=bias, methods=["DPL"]),
    check_job_config=CheckJobConfig(role=role, sagemaker_session=session), skip_check=True, register_new_baseline=True,
)
pipeline = Pipeline(name=name, steps=[step], sagemaker_session=session)
pipeline.upsert(role_arn=role)
execution = pipeline.start()
execution.wait(delay=1, max_attempts=100)
[told] = execution.list_steps()
print(json.dumps({"status": told["StepStatus"], "told": told["Metadata"]["ClarifyCheck"]}))
"""


def test_the_step_of_the_sdk_calculates_a_baseline(server, tmp_path, unique):
    name = unique("clarify-sdk")
    told, _ = run_program(server, tmp_path, PROGRAM, name)
    assert told["status"] == "Succeeded"
    assert told["told"]["CalculatedBaselineConstraints"].endswith(f"/{name}/found/analysis.json")
