"""Programs of the SageMaker Python SDK, each in an interpreter of its own; only sleeps are shortened."""

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers import local_sagemaker
from helpers.local_sagemaker import Running

_HURRY = """
import time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.1))
"""


def run_program(server: Running, folder: Path, program: str, *arguments: str) -> tuple[dict, str]:
    """Runs a program in a folder, pointed at the server as a user would.

    Returns:
        The JSON object that it printed last, and all of its output.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}
    done = subprocess.run(
        [sys.executable, "-c", _HURRY + program, *arguments],
        cwd=folder,
        env=inherited | local_sagemaker.environment(server) | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    last = done.stdout.strip().splitlines()[-1]
    # A progress panel of the SDK ends without a new line.
    return json.loads(last[last.index("{") :]), done.stdout + done.stderr
