"""Launchers of script mode, asked for as the SDK 2 does."""

import pytest
from submitted_jobs import Submitter

PYTORCH = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
ALL_REDUCE = """
import torch
import torch.distributed as distributed

distributed.init_process_group("gloo")
total = torch.tensor([distributed.get_rank() + 1.0])
distributed.all_reduce(total)
print("sum", total.item(), "of", distributed.get_world_size())
distributed.destroy_process_group()
"""


@pytest.fixture
def submit(client, bucket, role_arn, unique):
    """Submits jobs to the server."""
    return Submitter(client, bucket, role_arn, unique)


def test_torch_distributed_starts_the_script_on_every_host_of_one_group(submit):
    hyperparameters = submit.source(train_py=ALL_REDUCE) | {"sagemaker_torch_distributed_enabled": "true"}
    name = submit.train(PYTORCH, instances=2, HyperParameters=hyperparameters)
    ended = submit.trained(name)
    assert ended["TrainingJobStatus"] == "Completed", ended["FailureReason"]
    for host in ("algo-1", "algo-2"):
        assert "sum 3.0 of 2" in submit.log(name, host=host)


def test_a_launcher_that_is_not_there_fails_the_job_by_its_name(submit):
    hyperparameters = submit.source(train_py=ALL_REDUCE) | {"sagemaker_mpi_enabled": "true"}
    ended = submit.trained(submit.train(PYTORCH, HyperParameters=hyperparameters))
    assert ended["FailureReason"] == "ClientError: distribution by mpi is not available in the local SageMaker"


def test_a_launcher_that_is_switched_off_changes_nothing(submit):
    hyperparameters = submit.source(train_py="print('alone')") | {"sagemaker_mpi_enabled": "false"}
    name = submit.train(PYTORCH, HyperParameters=hyperparameters)
    assert submit.trained(name)["TrainingJobStatus"] == "Completed" and "alone" in submit.log(name)
