"""The local SageMaker: an HTTP server that accepts AWS's API and runs its jobs and endpoints as local processes.

`start` returns when it answers; `environment` gives the variables that point any program at it.
"""

from helpers.local_sagemaker.lifecycle import (
    LocalSageMakerError,
    Running,
    environment,
    interrupt_spot,
    reset,
    start,
    status,
    stop,
)

__all__ = ["LocalSageMakerError", "Running", "environment", "interrupt_spot", "reset", "start", "status", "stop"]
