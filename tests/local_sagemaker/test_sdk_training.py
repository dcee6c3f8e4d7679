"""Unmodified programs of the SageMaker Python SDK 3 that train in other ways than one script on one host."""

import pytest
from sdk_programs import run_program

from helpers.local_sagemaker import Running

PROGRAM = '''
import json, logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import TrainingJob
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode
from sagemaker.train.distributed import Torchrun

source = Path("source")
source.mkdir()
(source / "hyperparameters.json").write_text('{"rate": 0.5, "layers": [8, 4], "deep": {"bias": true}}')
(source / "train.py").write_text("""
import argparse, json, os
import torch, torch.distributed as distributed

parser = argparse.ArgumentParser()
for name in ("rate", "layers", "deep"):
    parser.add_argument("--" + name, type=json.loads)
arguments = parser.parse_args()
assert vars(arguments) == json.loads(os.environ["SM_HPS"]), arguments
distributed.init_process_group("gloo")
total = torch.tensor([distributed.get_rank() + 1.0])
distributed.all_reduce(total)
print("host", os.environ["SM_CURRENT_HOST"], "sums to", total.item(), "at the rate", arguments.rate)
distributed.destroy_process_group()
""")
session = Session()
common = {
    "training_image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312",
    "sagemaker_session": session,
}
trainer = ModelTrainer(
    **common, source_code=SourceCode(source_dir="source", entry_script="train.py"), base_job_name="torchrun",
    compute=Compute(instance_type="ml.m5.large", instance_count=2), distributed=Torchrun(process_count_per_node=1),
    hyperparameters="source/hyperparameters.json",
)
trainer.train(wait=True, logs=True)
told = {"torchrun": trainer._latest_training_job.training_job_name}

command = SourceCode(source_dir="source", command="echo wait for me && sleep 300")
trainer = ModelTrainer(**common, source_code=command, base_job_name="stopped")
trainer.train(wait=False)
job = TrainingJob.get(trainer._latest_training_job.training_job_name)
job.stop()
job.wait(logs=True)
told["stopped"] = job.training_job_status
print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def program(server: Running, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """What the program told, and all that it printed."""
    return run_program(server, tmp_path_factory.mktemp("sdk-training"), PROGRAM)


def test_torchrun_on_two_hosts_is_one_group_and_both_logs_are_streamed(program):
    _, printed = program
    for host in ("algo-1", "algo-2"):
        assert f"host {host} sums to 3.0 at the rate 0.5" in printed


def test_a_job_that_nobody_waits_for_can_be_stopped_and_waited_for(program):
    assert program[0]["stopped"] == "Stopped"
