"""What a process learns before it forks, so that no fork has to do it again."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from typing import Any

_CLIENTS = ("s3", "sagemaker", "sagemaker-runtime", "cloudwatch", "logs", "sts", "iam")


def remember() -> None:
    """Let the AWS and SageMaker SDKs, where they are imported, do before the fork what they do once a process."""
    if "boto3" in sys.modules:
        _name_operations()
    if "jsonschema.validators" in sys.modules:
        _check_schemas_once()


def _name_operations() -> None:
    """Make a client of each service, which botocore remembers the names of operations from. Nothing is connected."""
    import boto3

    nobody = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
    session = boto3.Session(**nobody)
    for service in _CLIENTS:
        session.client(service).close()


def _check_schemas_once() -> None:
    """Let jsonschema check a schema once: the SageMaker SDK checks its own, a large one, for each value it looks up."""
    from jsonschema import validators

    for kind in {*validators._META_SCHEMAS.values()}:
        kind.check_schema = staticmethod(_once(kind.check_schema))
    with contextlib.suppress(ImportError):
        from sagemaker.core.config.config_schema import SAGEMAKER_PYTHON_SDK_CONFIG_SCHEMA as schema

        validators.validator_for(schema).check_schema(schema)


def _once(check: Any) -> Any:
    checked: set[str] = set()

    @functools.wraps(check)
    def check_once(schema: Any, *arguments: Any, **keywords: Any) -> None:
        try:
            text = json.dumps(schema, sort_keys=True)
        except (TypeError, ValueError):
            text = ""
        if not text or text not in checked:
            check(schema, *arguments, **keywords)
            checked.add(text)

    return check_once
