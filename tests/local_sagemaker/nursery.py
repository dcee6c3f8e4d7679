"""Forks servers from a process that has imported what a server imports, which is most of the time of a start.

Reads the folders of homes and their ports from its standard input, a line each, and writes the server's pid. A server
that comes from here is in every other way one that `local_sagemaker.start` made.
"""

import gc
import os
import signal
import sys
from pathlib import Path

from helpers.local_sagemaker import __main__ as server
from helpers.local_sagemaker import aws

os.environ.update(aws.MOTO_SETTINGS)

import boto3  # noqa: F401
import moto.cloudwatch.responses
import moto.iam.responses
import moto.logs.responses
import moto.moto_server.werkzeug_app
import moto.s3.responses  # noqa: F401


def main() -> None:
    """Forks a server for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    gc.freeze()
    for line in sys.stdin:
        home, _, port = line.rstrip("\n").rpartition(" ")
        if pid := os.fork():
            print(pid, flush=True)
        else:
            become_server(Path(home), port)


def become_server(home: Path, port: str) -> None:
    """What `python -m helpers.local_sagemaker` does."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(home / "server.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, replaced in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, replaced)
    os.chdir(home)
    sys.argv = ["helpers.local_sagemaker", "--home", str(home), "--port", port]
    server.main()
    os._exit(0)


main()
