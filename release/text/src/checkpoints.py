"""Checkpoints that a training job goes on from after its instance was taken away.

SageMaker copies /opt/ml/checkpoints to S3 while the job runs, and back before a job
with the same CheckpointConfig starts.
"""

from pathlib import Path

import torch

NAME = "checkpoint.pt"


class OtherRunError(Exception):
    """The checkpoint is of a run with other data or other hyperparameters."""


def random_state() -> dict:
    """The state of torch's generators, of the CPU and of every GPU."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "gpus": gpus}


def restore_random_state(state: dict) -> None:
    """Set torch's generators to where random_state found them."""
    torch.set_rng_state(state["cpu"].cpu())
    if state["gpus"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([gpu.cpu() for gpu in state["gpus"]])


def write(folder: Path, state: dict) -> None:
    """Write the checkpoint; a kill while it writes leaves the one before it whole."""
    partial = folder / f"{NAME}.partial"
    torch.save(state, partial)
    partial.replace(folder / NAME)


def read(folder: Path, run: dict) -> dict | None:
    """The checkpoint in a folder, None where there is none.

    Args:
        folder: the checkpoints' folder.
        run: what decides a run's result; write's state has it under "run".

    Raises:
        OtherRunError: the checkpoint is of another run. Going on would mix two models.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    other = [name for name in run if state["run"].get(name) != run[name]]
    if other:
        named = ", ".join(
            f"{n}: {state['run'].get(n)} there, {run[n]} now" for n in other
        )
        raise OtherRunError(
            f"{path} is of another run ({named}); give this job a checkpoint path of"
            " its own"
        )
    return state
