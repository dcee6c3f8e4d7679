"""Calls the handler of a Lambda function: `python lambda_handler.py MODULE.FUNCTION EVENT RESULT`.

The event is read from one JSON file, and what the handler returns is written into another. An error of the handler ends
the process with its traceback.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path


class Context:
    """What a handler gets beside its event."""

    def __init__(self) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.invoked_function_arn = os.environ["LOCAL_LAMBDA_FUNCTION_ARN"]
        self.aws_request_id = os.environ["LOCAL_LAMBDA_REQUEST_ID"]
        self._deadline = time.monotonic() + float(os.environ["LOCAL_LAMBDA_TIMEOUT"])

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        return max(0, int(1000 * (self._deadline - time.monotonic())))


def main(name: str, event: str, result: str) -> None:
    """Calls the handler once."""
    module, _, function = name.rpartition(".")
    sys.path.insert(0, str(Path.cwd()))
    handler = getattr(importlib.import_module(module.replace("/", ".")), function)
    returned = handler(json.loads(Path(event).read_text()), Context())
    Path(result).write_text(json.dumps(returned))


if __name__ == "__main__":
    main(*sys.argv[1:])
