"""Unmodified programs of the SageMaker Python SDK 3, each in an interpreter of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import local_sagemaker
from helpers.local_sagemaker import Running

TRAIN = """
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--fail", default="")
arguments = parser.parse_args()
print("files", os.listdir(os.environ["SM_CHANNEL_TRAIN"]))
if arguments.fail:
    raise RuntimeError("the loss is not finite")
print("loss=0.125;")
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"), "w") as file:
    json.dump({"rate": arguments.rate}, file)
"""
MODEL_TRAINER = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

fail, requirements = sys.argv[1:3]
trainer = ModelTrainer(
    training_image="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    source_code=SourceCode(source_dir="source", entry_script="train.py", requirements=requirements or None),
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
    hyperparameters={"rate": 0.5, "fail": fail},
    input_data_config=[InputData(channel_name="train", data_source="data")],
    base_job_name="sdk",
)
try:
    trainer.train(wait=True, logs=True)
    error = ""
except Exception as caught:
    error = type(caught).__name__
job = trainer._latest_training_job
job.refresh()
print(json.dumps({
    "error": error, "status": job.training_job_status, "name": job.training_job_name,
    "reason": job.failure_reason if error else "", "artifacts": job.model_artifacts.s3_model_artifacts,
}))
"""
PROCESSORS = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import FrameworkProcessor, ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output

session = Session()
bucket = session.default_bucket()
session.upload_data("data", bucket=bucket, key_prefix="processors/data")
source = ProcessingS3Input(
    s3_uri=f"s3://{bucket}/processors/data", local_path="/opt/ml/processing/input/data",
    s3_data_type="S3Prefix", s3_input_mode="File",
)
statuses = []
for processor_class, code in ((ScriptProcessor, {"code": "source/step.py"}),
                              (FrameworkProcessor, {"code": "step.py", "source_dir": "source"})):
    processor = processor_class(
        image_uri="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        command=["python3"], role=sys.argv[1], instance_type="ml.m5.large", instance_count=1,
    )
    target = ProcessingS3Output(
        s3_uri=f"s3://{bucket}/processors/{processor_class.__name__}", local_path="/opt/ml/processing/output",
        s3_upload_mode="EndOfJob",
    )
    processor.run(
        inputs=[ProcessingInput(input_name="data", s3_input=source)],
        outputs=[ProcessingOutput(output_name="result", s3_output=target)],
        arguments=["--name", processor_class.__name__], wait=True, logs=True, **code,
    )
    processor.latest_job.refresh()
    statuses.append(processor.latest_job.processing_job_status)
print(json.dumps({"statuses": statuses, "bucket": bucket}))
"""
STEP = """
import pathlib, sys
rows = pathlib.Path("/opt/ml/processing/input/data/a.csv").read_text()
pathlib.Path("/opt/ml/processing/output/result.txt").write_text(sys.argv[2] + ":" + rows)
print("processed by", sys.argv[2])
"""


@pytest.fixture
def sdk(server: Running, tmp_path: Path) -> Callable[..., tuple[dict, str]]:
    """Runs an SDK program beside `source/` and `data/`; returns what it printed last, and all of its output."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text(TRAIN)
    (tmp_path / "source" / "step.py").write_text(STEP)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2\n")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}

    def run(program: str, *arguments: str) -> tuple[dict, str]:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=inherited | local_sagemaker.environment(server),
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1]), done.stdout + done.stderr

    return run


def test_a_model_trainer_job_waits_and_streams_its_logs(sdk, s3):
    result, log = sdk(MODEL_TRAINER, "", "")
    assert (result["status"], result["error"]) == ("Completed", "")
    assert "loss=0.125;" in log
    bucket, _, key = result["artifacts"].removeprefix("s3://").partition("/")
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_a_model_trainer_script_that_raises_fails_with_its_own_error(sdk):
    result, _ = sdk(MODEL_TRAINER, "yes", "")
    assert (result["status"], result["error"]) == ("Failed", "FailedStatusError")
    assert "RuntimeError: the loss is not finite" in result["reason"]


def test_a_model_trainer_requirement_that_cannot_be_had_is_named(sdk, tmp_path):
    (tmp_path / "source" / "requirements.txt").write_text("a-package-of-nobody-1b2c3d==9.9\n")
    result, _ = sdk(MODEL_TRAINER, "", "requirements.txt")
    assert result["status"] == "Failed"
    assert "a-package-of-nobody-1b2c3d==9.9" in result["reason"]


def test_script_and_framework_processors_run_unmodified(sdk, s3, role_arn):
    result, log = sdk(PROCESSORS, role_arn)
    assert result["statuses"] == ["Completed", "Completed"]
    assert "processed by FrameworkProcessor" in log
    for processor in ("ScriptProcessor", "FrameworkProcessor"):
        key = f"processors/{processor}/result.txt"
        assert s3.get_object(Bucket=result["bucket"], Key=key)["Body"].read() == f"{processor}:1,2\n".encode()
