"""The student's side in a fresh process, for a sandbox that no fork can enter.

`python -P -m helpers.grading.inside --fd CHANNEL SETTING`, two descriptors; see `bubblewrap`.
"""

from __future__ import annotations

import argparse
import os
import pickle
import socket

from helpers.grading import fork_server, interpreter, sandbox
from helpers.grading.channel import Channel


def main() -> None:
    """Import what the lab imports, and serve one submission."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("setting", type=int)
    options = parser.parse_args()
    with os.fdopen(options.setting, "rb") as file:
        setting: fork_server.Setting = pickle.load(file)  # noqa: S301 - of the fork server, which is trusted
    sandbox.limit(setting.limits)
    shell = fork_server.preload(setting.modules)
    channel = Channel(socket.socket(fileno=options.fd))
    interpreter.run(shell, channel, setting.files, setting.environment, setting.limits.output)


if __name__ == "__main__":
    main()
