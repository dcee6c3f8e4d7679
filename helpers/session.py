"""Opens a session to SageMaker: the local one by default, AWS with COURSE_BACKEND=aws."""

from __future__ import annotations

import os
import secrets
import time
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.costs import Ledger

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient

SCALES = ("smoke", "lab", "full")
BACKENDS = ("local", "aws")
RESOURCE_PREFIX = "course"
CONTAINER_VERSIONS = {"xgboost": "3.2-0", "sklearn": "1.9-0", "pytorch": "2.6", "huggingface": "4.49.0"}
HUGGINGFACE_PYTORCH = {"training": "pytorch2.5.1", "inference": "pytorch2.6.0"}
INSTANCE_TYPES = {
    "training": {"smoke": "ml.m5.large", "lab": "ml.m5.xlarge", "full": "ml.m5.2xlarge"},
    "processing": {"smoke": "ml.m5.large", "lab": "ml.m5.xlarge", "full": "ml.m5.2xlarge"},
    "transform": {"smoke": "ml.m5.large", "lab": "ml.m5.xlarge", "full": "ml.m5.2xlarge"},
    "endpoint": {"smoke": "ml.m5.large", "lab": "ml.m5.large", "full": "ml.m5.xlarge"},
}


def connect(lab: str | None = None, region: str | None = None) -> SageMakerHelper:
    """Open a session to SageMaker for one lab.

    With COURSE_BACKEND unset or `local`, the local SageMaker is started if it does not answer yet, and this process's
    AWS variables are pointed at it, so that every boto3 client and SDK object made afterwards reaches it too. With
    `aws`, the environment's own credentials and endpoints are left alone.

    Args:
        lab: name of the lab, a part of every resource name and of the cost ledger. None outside a lab.
        region: AWS region; the environment's by default.

    Raises:
        ValueError: COURSE_BACKEND or COURSE_SCALE has an unknown value.
        RuntimeError: on AWS, no region or no execution role is configured.
    """
    backend = _choice("COURSE_BACKEND", BACKENDS, "local")
    if backend == "local":
        from helpers import local_sagemaker

        os.environ.update(local_sagemaker.environment(local_sagemaker.start()))
    return SageMakerHelper(backend=backend, lab=lab, region=region)


def scale() -> str:
    """Size at which labs run, from COURSE_SCALE: `smoke`, `lab` (default) or `full`."""
    return _choice("COURSE_SCALE", SCALES, "lab")


class SageMakerHelper:
    """Clients, names and places of one lab's work on SageMaker.

    Attributes:
        backend: "local" or "aws".
        lab: the lab's name, or None.
        scale: "smoke", "lab" or "full".
        ledger: the billable calls made so far, for `helpers.costs.estimate`.
    """

    def __init__(self, backend: str, lab: str | None = None, region: str | None = None) -> None:
        import boto3

        self.backend = backend
        self.lab = lab
        self.scale = scale()
        self.boto_session: boto3.Session = boto3.Session(region_name=region)
        if not self.boto_session.region_name:
            raise RuntimeError("no AWS region: set AWS_DEFAULT_REGION, for example AWS_DEFAULT_REGION=us-east-1")
        self.region: str = self.boto_session.region_name
        self.ledger = Ledger(lab=lab, path=os.environ.get("COURSE_LEDGER"))
        self.ledger.listen(self.boto_session)
        self._clients: dict[str, BaseClient] = {}

    def client(self, service: str) -> Any:
        """boto3 client of an AWS service, made once. The service has boto3's name: "sns", "events"."""
        if service not in self._clients:
            from botocore.config import Config

            config = Config(retries={"mode": "standard"}, max_pool_connections=64, user_agent_extra="sagemaker-course")
            self._clients[service] = self.boto_session.client(service, config=config)
        return self._clients[service]

    @property
    def sagemaker(self) -> Any:
        """boto3 client of the control plane, for jobs, models and endpoints."""
        return self.client("sagemaker")

    @property
    def runtime(self) -> Any:
        """boto3 client that invokes endpoints."""
        return self.client("sagemaker-runtime")

    @property
    def s3(self) -> Any:
        """boto3 client of S3."""
        return self.client("s3")

    @property
    def cloudwatch(self) -> Any:
        """boto3 client of CloudWatch metrics and alarms."""
        return self.client("cloudwatch")

    @property
    def logs(self) -> Any:
        """boto3 client of CloudWatch Logs."""
        return self.client("logs")

    @cached_property
    def account(self) -> str:
        """The account's number."""
        return self.client("sts").get_caller_identity()["Account"]

    @cached_property
    def role(self) -> str:
        """ARN of the execution role that jobs and endpoints assume.

        From COURSE_ROLE_ARN if set; else the role behind the caller's own identity, as in Studio; else the role
        `CourseExecutionRole` of the account, as the template in infra/ makes it.

        Raises:
            RuntimeError: there is none of the three.
        """
        if arn := os.environ.get("COURSE_ROLE_ARN"):
            return arn
        iam = self.client("iam")
        caller = self.client("sts").get_caller_identity()["Arn"]
        names = [caller.split("/")[1]] if ":assumed-role/" in caller else []
        for name in [*names, "CourseExecutionRole"]:
            try:
                role = iam.get_role(RoleName=name)["Role"]
            except iam.exceptions.ClientError:
                continue
            if "sagemaker.amazonaws.com" in str(role["AssumeRolePolicyDocument"]):
                return role["Arn"]
        raise RuntimeError(
            f"no execution role for SageMaker: {caller} is not one, and the account has no CourseExecutionRole. "
            "Deploy infra/account.yaml, or set COURSE_ROLE_ARN to a role that sagemaker.amazonaws.com may assume."
        )

    @cached_property
    def bucket(self) -> str:
        """The course's bucket, `sagemaker-<region>-<account>` unless COURSE_BUCKET names another; made if missing."""
        name = os.environ.get("COURSE_BUCKET", f"sagemaker-{self.region}-{self.account}")
        try:
            self.s3.head_bucket(Bucket=name)
        except self.s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                raise RuntimeError(f"bucket {name} exists but cannot be used: {error}") from error
            where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
            self.s3.create_bucket(Bucket=name, **({"CreateBucketConfiguration": where} if where else {}))
        return name

    def sdk_session(self) -> Any:
        """A `Session` of the sagemaker SDK (3.x) on this session's clients, bucket and region."""
        from sagemaker.core.helper.session_helper import Session

        return Session(
            boto_session=self.boto_session,
            sagemaker_client=self.sagemaker,
            sagemaker_runtime_client=self.runtime,
            default_bucket=self.bucket,
        )

    def name(self, what: str) -> str:
        """A resource name that no other run has, for example `course-fraud-xgb-20260102-030405-1a2b`.

        Raises:
            ValueError: the name would exceed SageMaker's 63 characters.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        name = f"{self.prefix}{what}-{stamp}-{secrets.token_hex(2)}"
        if len(name) > 63:
            raise ValueError(f"{name!r} has {len(name)} characters, SageMaker allows 63: shorten {what!r}")
        return name

    @property
    def prefix(self) -> str:
        """What the names of this lab's resources begin with."""
        return f"{RESOURCE_PREFIX}-{self.lab}-" if self.lab else f"{RESOURCE_PREFIX}-"

    def image(self, framework: str, scope: str = "training") -> str:
        """URI of AWS's public container for a framework: "xgboost", "sklearn", "pytorch" or "huggingface".

        Args:
            framework: the container's framework; its version is the one that the labs are tested with.
            scope: "training" or "inference"; the first two frameworks have one container for both.
        """
        return _image_uri(framework, self.region, scope)

    def instance_type(self, use: str) -> str:
        """Instance type for "training", "processing", "transform" or "endpoint" at the session's scale."""
        return INSTANCE_TYPES[use][self.scale]

    def upload(self, path: str | Path, prefix: str) -> str:
        """Copy a file or a folder to the lab's part of the bucket.

        Args:
            path: a file, or a folder whose files are all copied.
            prefix: key prefix below `course/<lab>/`, for example "data/train".

        Returns:
            S3 URI of the file, or of the prefix for a folder.

        Raises:
            FileNotFoundError: there is no such file or folder.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"nothing to upload at {path.resolve()}")
        base = "/".join([RESOURCE_PREFIX, *([self.lab] if self.lab else []), prefix.strip("/")])
        if path.is_file():
            key = f"{base}/{path.name}"
            self.s3.upload_file(str(path), self.bucket, key)
            return f"s3://{self.bucket}/{key}"
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            self.s3.upload_file(str(file), self.bucket, f"{base}/{file.relative_to(path).as_posix()}")
        return f"s3://{self.bucket}/{base}/"

    def download(self, uri: str, path: str | Path) -> Path:
        """Copy the object at an S3 URI to a file, or all objects below a URI that ends in `/` into a folder.

        Raises:
            FileNotFoundError: nothing lies at the URI.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        path = Path(path)
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        if not key.endswith("/"):
            keys = [found for found in keys if found == key]
        if not keys:
            raise FileNotFoundError(f"nothing lies at {uri}")
        for found in keys:
            target = path / found.removeprefix(key) if key.endswith("/") else path
            if not target.resolve().is_relative_to(path.resolve()):
                raise ValueError(f"the key {found!r} in {uri} leads out of {path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, found, str(target))
        return path

    @property
    def poll_seconds(self) -> float:
        """How long to wait between two looks at a job or an endpoint, seconds."""
        return 0.2 if self.backend == "local" else 10.0

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in ("backend", "lab", "region", "scale")}
        return f"SageMakerHelper({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


@cache
def _image_uri(framework: str, region: str, scope: str) -> str:
    from sagemaker.core import image_uris

    if framework not in CONTAINER_VERSIONS:
        raise ValueError(f"no container for {framework!r}: the course uses {', '.join(CONTAINER_VERSIONS)}")
    options = {"version": CONTAINER_VERSIONS[framework], "image_scope": scope, "instance_type": "ml.m5.large"}
    if framework == "huggingface":
        # AWS publishes its training container for GPUs alone.
        options["base_framework_version"] = HUGGINGFACE_PYTORCH[scope]
        options["instance_type"] = {"training": "ml.g4dn.xlarge", "inference": "ml.m5.large"}[scope]
    return image_uris.retrieve(framework, region, **options)


def _choice(variable: str, allowed: tuple[str, ...], default: str) -> str:
    value = os.environ.get(variable, default)
    if value not in allowed:
        raise ValueError(f"{variable}={value!r} is not one of {', '.join(allowed)}")
    return value
